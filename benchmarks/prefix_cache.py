"""A model of a runtime's prefix cache: whole blocks, found only after all before them; the oldest are forgotten."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence

BLOCK = 16
"""Tokens of a block, as vLLM has it on a GPU."""


class PrefixCache:
    """The blocks that one replica remembers. Pure: nothing here takes time."""

    def __init__(self, blocks: int) -> None:
        self._most = blocks
        self._blocks: OrderedDict[int, None] = OrderedDict()
        self.queried = 0
        """Tokens that were ever looked for."""
        self.hit = 0
        """Those that were found."""

    def read(self, tokens: Sequence[str]) -> int:
        """Return how many of a prompt's tokens need no reading, and remember the prompt.

        One token at least is read anew, as an engine must to have something to go on from.
        """
        keys = list(_chain(tokens))
        known = next((place for place, key in enumerate(keys) if key not in self._blocks), len(keys))
        found = min(known, max(0, len(tokens) - 1) // BLOCK) * BLOCK
        for key in reversed(keys):  # so that of one prompt the end is forgotten first
            self._blocks[key] = None
            self._blocks.move_to_end(key)
        while len(self._blocks) > self._most:
            self._blocks.popitem(last=False)
        self.queried += len(tokens)
        self.hit += found
        return found

    def metrics(self) -> str:
        """Return the counters as vLLM publishes them."""
        return (
            f'vllm:num_requests_running{{engine="0"}} 0.0\n'
            f'vllm:prefix_cache_queries_total{{engine="0"}} {float(self.queried)}\n'
            f'vllm:prefix_cache_hits_total{{engine="0"}} {float(self.hit)}\n'
        )


def _chain(tokens: Sequence[str]) -> Iterator[int]:
    """Yield what stands for each whole block: it and all before it."""
    key = 0
    for start in range(0, len(tokens) - BLOCK + 1, BLOCK):
        key = hash((key, *tokens[start : start + BLOCK]))
        yield key
