"""When two JSON values are the same: 1 and 1.0 are, 1 and true are not, and objects have no order."""

from __future__ import annotations

from collections.abc import Hashable
from decimal import Decimal
from typing import Any


def key(value: Any) -> Hashable:
    """A hashable that two JSON values share exactly when JSON Schema holds them to be equal."""
    if isinstance(value, bool) or value is None:
        return ("literal", value)
    if isinstance(value, dict):
        return ("object", frozenset((name, key(inner)) for name, inner in value.items()))
    if isinstance(value, list):
        return ("array", tuple(map(key, value)))
    assert isinstance(value, str | int | float)
    return value


def divides(divisor: float, number: float) -> bool:
    """Whether `number` is a multiple of `divisor`, both read as the decimals that they are written as.

    So 0.3 is a multiple of 0.1, though the doubles are not. Both have at most some hundreds of digits.
    """
    if isinstance(divisor, int) and isinstance(number, int):
        return number % divisor == 0
    over, under = _ratio(number), _ratio(divisor)
    return (over[0] * under[1]) % (under[0] * over[1]) == 0


def _ratio(number: float) -> tuple[int, int]:
    return Decimal(repr(number)).as_integer_ratio()
