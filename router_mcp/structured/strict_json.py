"""JSON as RFC 8259 has it, and nothing that other readers would understand differently.

Refused: `NaN` and `Infinity`, a name twice in one object, text after the value, lone surrogates, numbers that
overflow. Integers stay exact at any size. A decimal is carried as a double, as every JSON reader on the way
carries it; what has more digits than a double is rounded here, once, and it is the rounded value that is
checked and returned.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final, NoReturn

from router_mcp.structured.limits import ANSWER_CHARS, ANSWER_NESTING, NUMBER_DIGITS


class NotJsonError(ValueError):
    """The text is not one JSON value. `str()` says why and where, without quoting the text."""


def loads(text: str) -> Any:
    """The value of `text`; white space around it is allowed. Raises only `NotJsonError`."""
    if len(text) > ANSWER_CHARS:
        raise NotJsonError(f"it has more than {ANSWER_CHARS:,} characters")
    try:
        value = _DECODER.decode(text)
        _encodable(text, value)
    except json.JSONDecodeError as wrong:
        raise NotJsonError(_place(wrong, text)) from wrong
    except RecursionError as deep:
        raise NotJsonError(f"it nests deeper than {ANSWER_NESTING} levels") from deep
    if nesting(value) > ANSWER_NESTING:
        raise NotJsonError(f"it nests deeper than {ANSWER_NESTING} levels")
    return value


def nesting(value: Any) -> int:
    """How many objects and arrays lie inside one another at the deepest place; 0 for a scalar."""
    depth = 0
    level = [value] if isinstance(value, dict | list) else []
    while level:
        depth += 1
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    return depth


def _place(wrong: json.JSONDecodeError, text: str) -> str:
    if not text.strip():
        return "it is empty"
    if text.lstrip().startswith("```"):
        return "it is wrapped in a Markdown code fence"
    if wrong.msg == "Extra data":
        return f"there is text after the JSON value, at line {wrong.lineno} column {wrong.colno}"
    if wrong.pos >= len(text.rstrip()) or wrong.msg.startswith("Unterminated"):
        return "it ends before the JSON value is complete"
    return f"{wrong.msg[:1].lower()}{wrong.msg[1:]} at line {wrong.lineno} column {wrong.colno}"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise NotJsonError(f"the name {json.dumps(twice[:60])} stands twice in one object")
    return found


def _constant(name: str) -> NoReturn:
    raise NotJsonError(f"{name} is not JSON")


def _integer(digits: str) -> int:
    if len(digits) > NUMBER_DIGITS:
        raise NotJsonError(f"a number has more than {NUMBER_DIGITS:,} digits")
    return int(digits)


def _decimal(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise NotJsonError("a number is too large")
    return number


def _encodable(text: str, value: Any) -> None:
    try:
        text.encode()
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as lone:
        raise NotJsonError("it has half of a surrogate pair, which is no character") from lone


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_constant, parse_int=_integer, parse_float=_decimal
)
