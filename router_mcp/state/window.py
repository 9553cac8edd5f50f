"""The numbers of every process about canaries, in one bounded file: what is counted is added each second.

Processes of routers come and go (clients start one for a session, some for a call), so no process can be asked for
its own. The file is a ring of slots of time; what is older than the window is dropped by whoever writes next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from pydantic import TypeAdapter, ValidationError

from router_mcp.comparison import Tally, total
from router_mcp.state.directory import StateDirectory

FILE = "window.json"
SLOTS = 60
Tallies: TypeAlias = dict[str, dict[str, Tally]]
"""By canary, then by model."""
_Slots: TypeAlias = dict[int, Tallies]
_SHAPE = TypeAdapter(_Slots)


def add_counts(state: StateDirectory, counted: Tallies, now: float, windows: Mapping[str, float]) -> bool:
    """Add what this process counted; `False` when another process is writing, so try again.

    `windows` has the canaries that are still of interest and for how many seconds; all else is dropped.
    """
    with state.lock_if_free("window") as taken:
        if not taken:
            return False
        slots = _read(state)
        longest = max(windows.values(), default=0.0)
        slot = slots.setdefault(_slot(now, longest), {})
        for canary, models in counted.items():
            for model, tally in models.items():
                slot.setdefault(canary, {}).setdefault(model, Tally()).add(tally)
        kept = {
            start: {canary: models for canary, models in each.items() if canary in windows}
            for start, each in slots.items()
            if now - start <= 2 * longest
        }
        state.write(FILE, _SHAPE.dump_json(kept), durable=False)
        return True


def read_counts(state: StateDirectory, canary: str, model: str, now: float, window: float) -> Tally:
    """Return what all processes counted of a model since `window` seconds ago, for one canary."""
    slots = _read(state)
    return total(
        models[model]
        for start, each in slots.items()
        if now - start <= window and model in (models := each.get(canary, {}))
    )


def _slot(now: float, longest: float) -> int:
    width = max(1, int(longest / SLOTS))
    return int(now) // width * width


def _read(state: StateDirectory) -> _Slots:
    raw = state.read(FILE)
    try:
        return _SHAPE.validate_json(raw) if raw else {}
    except ValidationError:  # only numbers are lost, and the next ones come
        return {}
