"""Streams that have stopped saying anything: a run of white space, or a loop (vLLM B1 #19, #52011)."""

from __future__ import annotations

from typing import Final

BLANKS: Final = 256
"""White space in a row that no pretty-printed answer has."""

RUN: Final = 1_024
"""Characters that a loop goes on for, and"""
TIMES: Final = 8
"""how often it repeats, before it counts as one."""
PERIOD: Final = 256
"""Characters of the longest loop that is looked for."""

_PROBE: Final = 48
_EVERY: Final = 256
_WINDOW: Final = PERIOD * TIMES + _PROBE


class Degeneration:
    """Listens to one stream. Work per character is constant, however the stream is cut into pieces."""

    def __init__(self) -> None:
        self._tail = ""
        self._blanks = 0
        self._since = 0
        self._found = False

    def feed(self, delta: str) -> bool:
        """Take the next piece; `True` from the piece on with which the stream degenerated."""
        for start in range(0, len(delta), _EVERY):
            if self._found:
                break
            piece = delta[start : start + _EVERY]
            self._found = self._runs_blank(piece) or self._loops(piece)
        return self._found

    def _runs_blank(self, piece: str) -> bool:
        """Whether white space runs too long up to, or into, this piece; inside it there is no room for that."""
        if piece.isspace():
            self._blanks += len(piece)
            return self._blanks >= BLANKS
        run = self._blanks + len(piece) - len(piece.lstrip())
        self._blanks = len(piece) - len(piece.rstrip())
        return run >= BLANKS

    def _loops(self, piece: str) -> bool:
        self._tail += piece
        self._since += len(piece)
        if self._since < _EVERY:
            return False
        self._since = 0
        self._tail = self._tail[-_WINDOW:]
        return _is_loop(self._tail)


def _is_loop(tail: str) -> bool:
    """Whether the end of the text repeats: where its last characters stood before gives the period."""
    probe = tail[-_PROBE:]
    before = tail.rfind(probe, 0, len(tail) - 1)
    if len(probe) < _PROBE or before < 0:
        return False
    period = len(tail) - _PROBE - before
    length = max(RUN, TIMES * period)
    run = tail[-length:]
    return period <= PERIOD and len(run) == length and run[period:] == run[:-period]
