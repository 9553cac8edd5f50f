"""What is wrong with an answer, in words that a model can repair from and a caller may read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from jsonschema.exceptions import ValidationError

from router_mcp.structured.document import escape
from router_mcp.structured.limits import VIOLATION_CHARS

_SHOWN: Final = 80
"""Characters of a value or a list that are quoted."""


def words(error: ValidationError) -> str:
    """One violation: where, as a JSON pointer, and what must be instead."""
    closest = _closest(error)
    place = "".join(f"/{escape(str(step))}" for step in closest.absolute_path) or "/"
    return shortened(f"{place}: {_must(closest)}", VIOLATION_CHARS)


def shortened(text: str, most: int) -> str:
    """At most so many characters, with a mark where some are left out."""
    return text if len(text) <= most else text[: most - 1] + "…"


def _closest(error: ValidationError) -> ValidationError:
    """Of an anyOf or oneOf, what the alternative that was meant complains of; other errors as they are.

    Meant is the one of the right type whose constants are met, as a discriminator is, and that lacks least.
    """
    while error.validator in {"anyOf", "oneOf"} and error.context:
        alternatives: dict[Any, list[ValidationError]] = {}
        for inner in error.context:
            if inner.relative_schema_path:  # an alternative that is false has none, and was not meant
                alternatives.setdefault(inner.relative_schema_path[0], []).append(inner)
        if not alternatives:
            break
        error = min(alternatives.values(), key=_distance)[0]
    return error


def _distance(errors: list[ValidationError]) -> tuple[bool, bool, int]:
    wrong_type = any(error.validator == "type" and not error.relative_path for error in errors)
    return wrong_type, any(error.validator in {"const", "enum"} for error in errors), len(errors)


def _must(error: ValidationError) -> str:
    keyword, asked = str(error.validator), error.validator_value
    if keyword in _WORDS:
        return _WORDS[keyword](asked, error.instance)
    if keyword in {"additionalProperties", "unevaluatedProperties", "properties"}:
        return "is a property that is not allowed here; leave it out"
    if keyword in {"contains", "minContains", "maxContains"}:
        return "must hold the right number of items that match `contains`"
    if error.validator is None:
        return "is not allowed here; leave it out"
    return f"does not satisfy {keyword}"


def _one_of(asked: Any, _value: Any) -> str:
    return f"must be one of {_quote(asked)}"


def _type(asked: Any, value: Any) -> str:
    return f"must be {asked if isinstance(asked, str) else ' or '.join(asked)}, not {_quote(value)}"


def _required(asked: Any, value: Any) -> str:
    missing = [name for name in asked if name not in value] if isinstance(value, dict) else asked
    return f"lacks the required {'properties' if len(missing) > 1 else 'property'} {_quote(missing)[1:-1]}"


def _bound(form: str) -> Callable[[Any, Any], str]:
    return lambda asked, value: f"{form.format(asked)}, not {_quote(value)}"


def _size(form: str) -> Callable[[Any, Any], str]:
    return lambda asked, value: f"{form.format(asked)}, not {len(value)}"


_WORDS: Final[dict[str, Callable[[Any, Any], str]]] = {
    "type": _type,
    "enum": _one_of,
    "const": lambda asked, _value: f"must be {_quote(asked)}",
    "required": _required,
    "minimum": _bound("must be at least {}"),
    "maximum": _bound("must be at most {}"),
    "exclusiveMinimum": _bound("must be above {}"),
    "exclusiveMaximum": _bound("must be below {}"),
    "multipleOf": _bound("must be a multiple of {}"),
    "minLength": _size("must have at least {} characters"),
    "maxLength": _size("must have at most {} characters"),
    "minItems": _size("must have at least {} items"),
    "maxItems": _size("must have at most {} items"),
    "minProperties": _size("must have at least {} properties"),
    "maxProperties": _size("must have at most {} properties"),
    "pattern": lambda asked, value: f"must match the pattern {_quote(asked)}, and {_quote(value)} does not",
    "format": lambda asked, value: f"must be a valid {_quote(asked)[1:-1]}, not {_quote(value)}",
    "uniqueItems": lambda _asked, _value: "must not hold the same item twice",
    "not": lambda asked, _value: f"must not match {_quote(asked)}",
    "oneOf": lambda _asked, _value: "must match exactly one of the alternatives of oneOf",
    "anyOf": lambda _asked, _value: "must match one of the alternatives of anyOf",
    "dependentRequired": lambda asked, _value: f"lacks properties that others bring with them: {_quote(asked)}",
    "dependencies": lambda asked, _value: f"lacks properties that others bring with them: {_quote(asked)}",
    "items": lambda _asked, _value: "has more items than are allowed",
    "unevaluatedItems": lambda _asked, _value: "is an item that is not allowed here; leave it out",
}


def _quote(value: Any) -> str:
    return shortened(json.dumps(value, ensure_ascii=False), _SHOWN)
