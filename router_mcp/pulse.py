"""Signs of life: what was heard from each endpoint, and for how long nothing was.

A health check can answer 200 while nothing is generated (vLLM B1 #5, Ollama #12), so silence is what counts: an
endpoint hangs when a call waits for it beyond its patience and no other call hears anything from it either. A
model that is still being loaded is no sign of that (Ollama #13): while a call waits for one, nothing is concluded.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field

from router_mcp.domain import Endpoint, Probe

READ_CHARS_PER_S = 1000
"""A prompt is read before the first word of its answer: some 250 tokens a second, as CPUs do."""
PREFILLED_CHARS_PER_S = 10_000
"""A vLLM counts the tokens of a prompt when it has read all of it, some 2,500 a second; until then it looks frozen."""
GAVE_UP_S = 2.0
"""A caller who gave up earlier proves nothing."""
REMEMBERED_S = 60.0
"""What callers waited in vain counts for so long after the last of them gave up."""
_NEVER = float("-inf")


@dataclass(slots=True, eq=False)
class Listening:
    """One call in flight, as far as silence goes."""

    begun: float
    warm: bool
    """Whether its model was in memory when it began."""
    patience_s: float
    """Seconds of silence that prove nothing yet."""
    prompt_chars: int = 0
    heard_at: float | None = None


@dataclass(slots=True)
class _Signs:
    """What is remembered of one endpoint."""

    in_flight: set[Listening] = field(default_factory=set)
    heard_at: float = _NEVER
    """When a call that is over last heard from it, or its counters last moved."""
    active_at: float = _NEVER
    """When a call last began or was heard."""
    in_vain_s: float = 0.0
    """Seconds that callers who gave up waited since anything was heard."""
    counted_at: float = _NEVER
    """Up to when they are counted."""
    probe: Probe | None = None
    probed_at: float = _NEVER
    still_since: float = 0.0
    """When its counters were last seen to move, or nothing to run there."""


class Pulse:
    """The only owner of what was heard. Every method is synchronous."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._now = clock
        self._signs: dict[Endpoint, _Signs] = {}

    @contextmanager
    def listening(
        self, endpoint: Endpoint, served_name: str, *, prompt_chars: int, silence_s: float
    ) -> Generator[Listening]:
        """Count a call as in flight; whoever hears its words sets `heard_at`."""
        signs, now = self._of(endpoint), self._now()
        loaded = signs.probe.loaded if signs.probe else frozenset[str]()
        call = Listening(
            begun=now,
            warm=loaded is None or served_name in loaded,
            patience_s=silence_s + prompt_chars / READ_CHARS_PER_S,
            prompt_chars=prompt_chars,
        )
        if now - signs.counted_at > REMEMBERED_S:
            signs.in_vain_s = 0.0
        signs.in_flight.add(call)
        signs.active_at = now
        try:
            yield call
        finally:
            signs.in_flight.discard(call)
            if call.heard_at is not None:
                self.heard(endpoint, call.heard_at)
            elif call.warm and self._now() - call.begun >= GAVE_UP_S:
                signs.in_vain_s += self._waited(signs, call, signs.heard_at)
                signs.counted_at = self._now()

    def heard(self, endpoint: Endpoint, at: float) -> None:
        """Note that an endpoint generated something."""
        signs = self._of(endpoint)
        signs.heard_at = max(signs.heard_at, at)
        signs.active_at = max(signs.active_at, at)
        if at > signs.counted_at:
            signs.in_vain_s = 0.0

    def told(self, endpoint: Endpoint, probe: Probe) -> float:
        """Take what a probe said; return for how many seconds calls have run there without a token."""
        signs, now = self._of(endpoint), self._now()
        before, asked_at = signs.probe, signs.probed_at
        signs.probe, signs.probed_at = probe, now
        moved = before is not None and probe.tokens_total != before.tokens_total
        if before is None:
            signs.active_at = max(signs.active_at, now)
        elif moved:  # somewhere between the two probes: at the earlier one, for all that is known
            self.heard(endpoint, asked_at)
        if before is None or moved or not probe.running or probe.tokens_total is None:
            signs.still_since = now
        return now - signs.still_since

    def silent_s(self, endpoint: Endpoint, *, at_least: float | None = None) -> float:
        """Return how long an endpoint has kept callers waiting without a word to anyone.

        It is 0 while that is shorter than `at_least`, or (without it) than the patience of a call in flight.
        """
        signs = self._of(endpoint)
        if not all(call.warm for call in signs.in_flight):
            return 0.0
        heard = max([signs.heard_at, *(call.heard_at for call in signs.in_flight if call.heard_at is not None)])
        in_vain = signs.in_vain_s if heard < signs.counted_at else 0.0
        waits = ((in_vain + self._waited(signs, call, heard), call.patience_s) for call in signs.in_flight)
        return max((wait for wait, patience in waits if wait >= (at_least or patience)), default=0.0)

    def _waited(self, signs: _Signs, call: Listening, heard: float) -> float:
        """Return for how long a call has waited in vain beyond what is counted already."""
        return max(0.0, self._now() - max(call.begun, heard, signs.counted_at))

    def reading_s(self, endpoint: Endpoint) -> float:
        """Return for how long counters may stand still there because a prompt of ours is being read."""
        unheard = (call.prompt_chars for call in self._of(endpoint).in_flight if call.heard_at is None)
        return max(unheard, default=0) / PREFILLED_CHARS_PER_S

    def idle_s(self, endpoint: Endpoint) -> float:
        """Return for how long nobody has asked an endpoint for anything, as far as is known; 0 before it was seen."""
        signs = self._of(endpoint)
        return 0.0 if signs.in_flight or signs.probe is None else self._now() - signs.active_at

    def probe(self, endpoint: Endpoint) -> Probe | None:
        """Return what an endpoint last said of itself."""
        return self._of(endpoint).probe

    def keep(self, endpoints: Iterable[Endpoint]) -> None:
        """Forget endpoints that the configuration no longer has, once no call is in flight on them."""
        kept = set(endpoints)
        self._signs = {each: signs for each, signs in self._signs.items() if each in kept or signs.in_flight}

    def _of(self, endpoint: Endpoint) -> _Signs:
        return self._signs.setdefault(endpoint, _Signs())
