"""Who is right: stock jsonschema, which is not what the router checks with, and what a refusal has to say."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from jsonschema.validators import validator_for

from router_mcp.structured.dialect import dialect_of

_LIMITS = re.compile(r"output limit|deadline of [\d.]+ s|\d[\d,]* |repetition|white space")
_RULES = re.compile(r"must |lacks |stands twice|not one JSON value|is not |allows")


def fault_of(schema: dict[str, Any], text: str) -> str:
    """Return what is wrong with an answer; empty when it is one JSON value that the schema accepts."""
    try:
        value = json.loads(text, parse_constant=_refuse)
    except ValueError:
        return "not JSON"
    validator: Any = validator_for(schema, default=Draft202012Validator)
    error = best_match(validator(schema).iter_errors(value))
    return "" if error is None else f"{error.validator} at {'/'.join(map(str, error.absolute_path)) or '/'}"


def names_its_reason(text: str) -> bool:
    """Tell whether a refusal names the keyword, the place with the rule that it breaks, or the limit."""
    keywords = dialect_of({}).keywords
    named = any(re.search(rf"\b{re.escape(keyword)}\b", text) for keyword in keywords if keyword not in {"not", "if"})
    return bool(named or _LIMITS.search(text) or _RULES.search(text))


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)
