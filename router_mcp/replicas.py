"""The replicas of a runtime, or some of them, such that a part of a thousand costs no more than a part of three."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from itertools import islice
from typing import NamedTuple, overload

from router_mcp.domain import Endpoint


class _Whole(NamedTuple):
    """What all parts share."""

    endpoints: tuple[Endpoint, ...]
    places: Mapping[str, int]
    """Of each, by its URL."""


class Replicas(Sequence[Endpoint]):
    """Replicas of one runtime, in the order of the file. Immutable."""

    __slots__ = ("_chosen", "_left_out", "_whole")

    def __init__(
        self,
        endpoints: Iterable[Endpoint] | _Whole = (),
        left_out: frozenset[str] = frozenset(),
        chosen: frozenset[str] | None = None,
    ) -> None:
        """Take endpoints; parts are made by `without` and `only`."""
        self._whole = endpoints if isinstance(endpoints, _Whole) else _whole(endpoints)
        self._left_out = left_out
        self._chosen = chosen
        """URLs; `None` means all but those that are left out."""

    def without(self, urls: Iterable[str]) -> Replicas:
        """Return all but these."""
        if self._chosen is not None:
            return Replicas(self._whole, chosen=self._chosen.difference(urls))
        left_out = self._left_out | (self._whole.places.keys() & urls)
        return Replicas(self._whole, left_out) if left_out else self

    def only(self, urls: Iterable[str]) -> Replicas:
        """Return these, as far as they are among them."""
        if self._chosen is not None:
            return Replicas(self._whole, chosen=self._chosen.intersection(urls))
        return Replicas(self._whole, chosen=frozenset(self._whole.places.keys() & urls) - self._left_out)

    def split(self, parts: Iterable[Set[str]]) -> tuple[Replicas, ...]:
        """Return those that are in no part, and then those of each part. Parts are URLs of this whole; none is in two.

        It is what `without` and `only` would say, without a look at each.
        """
        chosen = [frozenset(part) for part in parts]
        rest = Replicas(self._whole, frozenset[str]().union(*chosen))
        return (rest, *(Replicas(self._whole, chosen=part) for part in chosen))

    def _has(self, url: str) -> bool:
        if self._chosen is not None:
            return url in self._chosen
        return url in self._whole.places and url not in self._left_out

    def __contains__(self, item: object) -> bool:
        return isinstance(item, Endpoint) and self._has(item.url) and item.runtime == self._whole.endpoints[0].runtime

    def __iter__(self) -> Iterator[Endpoint]:
        endpoints, places = self._whole
        if self._chosen is not None:
            return (endpoints[place] for place in sorted(places[url] for url in self._chosen))
        if not self._left_out:
            return iter(endpoints)
        return (each for each in endpoints if each.url not in self._left_out)

    def __len__(self) -> int:
        return len(self._whole.endpoints) - len(self._left_out) if self._chosen is None else len(self._chosen)

    @overload
    def __getitem__(self, index: int) -> Endpoint: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Endpoint, ...]: ...
    def __getitem__(self, index: int | slice) -> Endpoint | tuple[Endpoint, ...]:
        if self._chosen is None and not self._left_out:
            return self._whole.endpoints[index]
        if isinstance(index, slice) or index < 0:
            return tuple(self)[index]
        if index == 0 and self._chosen:
            return self._whole.endpoints[min(map(self._whole.places.__getitem__, self._chosen))]
        for each in islice(self, index, None):
            return each
        raise IndexError(index)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Replicas | tuple) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"Replicas({list(self)})"


def _whole(endpoints: Iterable[Endpoint]) -> _Whole:
    unique = tuple(dict.fromkeys(endpoints))
    return _Whole(unique, {each.url: place for place, each in enumerate(unique)})
