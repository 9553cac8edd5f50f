"""How Ollama compares model names."""

from __future__ import annotations

from collections.abc import Iterable


def canonical(name: str) -> str:
    """Return the one spelling of a name: `SmolLM2` is `smollm2:latest`."""
    folded = name.lower()
    return folded if ":" in folded.rpartition("/")[2] else f"{folded}:latest"


class ModelNames(frozenset[str]):
    """Names of models, where case does not matter and `x` is `x:latest`.

    It holds the spellings that people use, so that it can be shown; `in` accepts every spelling.
    """

    __slots__ = ()

    def __new__(cls, names: Iterable[str]) -> ModelNames:
        """Take names as Ollama lists them."""
        whole = {canonical(name) for name in names if name}
        return super().__new__(cls, whole | {name.removesuffix(":latest") for name in whole})

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(canonical(name))
