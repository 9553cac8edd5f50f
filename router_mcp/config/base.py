"""Strict configuration: a parsed file becomes a frozen, validated value, or a list of problems with their remedies.

Both servers read their configuration with this. Values that hold credentials, or that came from a variable, are
never shown: configurations are pasted into tickets, and errors into logs.
"""

from __future__ import annotations

import difflib
import json
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from router_mcp.config.yaml_source import Loc, Problem, Source, read_source

__all__ = ["Problem", "Source", "Strict", "editor_schema", "nearest", "read_source", "validate"]

ModelT = TypeVar("ModelT", bound=BaseModel)

_LONGEST_SHOWN = 60
_WORDS = {
    "model_type": "keys and values belong here",
    "dict_type": "keys and values belong here",
    "tuple_type": "a list belongs here, such as [a, b]",
    "string_type": "text belongs here; put it in quotes",
    "int_type": "a whole number belongs here, without quotes",
    "float_type": "a number belongs here, without quotes",
    "bool_type": "true or false belongs here, without quotes",
    "too_short": "this must not be empty",
}


class Strict(BaseModel):
    """Base of every configuration section: frozen, and unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def validate(source: Source, model: type[ModelT]) -> ModelT:
    """Turn a parsed file into `model`; raise `ConfigError` with every problem that there is.

    A known key without a value counts as absent, so `key: ${VAR:-}` means: as if it were not there.
    """
    try:
        # Through JSON, because pydantic is strict about types there and still takes arrays for tuples.
        return model.model_validate_json(json.dumps(_present(source.data, model)), strict=True)
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise source.error([_problem(source, model, dict(detail)) for detail in details]) from None


def _present(value: Any, section: Any) -> Any:
    """Return the data without the known keys that have no value."""
    if not isinstance(value, dict):
        return value
    fields = _fields(section)
    return {
        key: _present(inner, _inside(section, key))
        for key, inner in value.items()
        if inner is not None or key not in fields
    }


def _problem(source: Source, model: type[BaseModel], detail: dict[str, Any]) -> Problem:
    loc: Loc = tuple(part for part in detail["loc"] if part != "[key]")
    if detail["type"] == "extra_forbidden":
        return Problem(loc, f"unknown key. {_suggestion(str(loc[-1]), _fields_at(model, loc[:-1]))}")
    if detail["type"] == "missing":
        return Problem(loc, f"this key is missing. Add {loc[-1]!r}.")
    loc = source.nearest(loc)  # pydantic puts the alternatives of a union into the path
    if detail["type"] == "value_error":
        return Problem(loc, f"{str(detail['msg']).removeprefix('Value error, ')}.")
    message = _WORDS.get(detail["type"]) or str(detail["msg"]).replace("Input should be", "this should be")
    return Problem(loc, f"{message}{_shown(source, loc, detail.get('input'))}.")


def _shown(source: Source, loc: Loc, given: Any) -> str:
    """Return what was given, in brackets, when it can be no secret."""
    if name := source.variable(loc):
        return f" (it comes from {name} or its default)"
    if not isinstance(given, (str, int, float)):
        return ""
    text = json.dumps(given, ensure_ascii=False)
    return "" if len(text) > _LONGEST_SHOWN or "@" in text or "//" in text else f" (it is {text})"


def _suggestion(key: str, allowed: list[str]) -> str:
    return f"{_meant(key, allowed)}Known keys here: {', '.join(allowed)}."


def nearest(name: str, known: list[str]) -> str:
    """Say which known name was probably meant, and which there are."""
    return f"{_meant(name, known)}There are: {', '.join(known) or 'none'}."


def _meant(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"Did you mean {near[0]!r}? " if near else ""


def _fields_at(model: type[BaseModel], loc: Loc) -> list[str]:
    """List the keys that a section may have, by walking the models along a path."""
    section: Any = model
    for part in loc:
        section = _inside(section, part)
    return _fields(section)


def _fields(section: Any) -> list[str]:
    return list(section.model_fields) if isinstance(section, type) and issubclass(section, BaseModel) else []


def _inside(section: Any, key: str | int) -> Any:
    """Return the type of what stands under a key of a section; `None` when there is nothing."""
    if isinstance(section, type) and issubclass(section, BaseModel):
        field = section.model_fields.get(str(key))
        return field.annotation if field else None
    return get_args(section)[-1] if get_args(section) else None


def editor_schema(model: type[BaseModel], title: str) -> dict[str, Any]:
    """Return the JSON Schema of a configuration file for editors, which see `${VAR}` where a number will be."""
    schema = _loosened(model.model_json_schema())
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": title}


_VARIABLE_SCHEMA = {"type": "string", "pattern": r"^\$\{"}
_ANNOTATIONS = frozenset({"title", "description", "default"})
_MAPS_OF_SCHEMAS = frozenset({"properties", "patternProperties", "$defs"})


def _loosened(node: dict[str, Any]) -> dict[str, Any]:
    """Let a variable stand for every scalar that plain text could not, and close every map of names."""
    if "anyOf" in node and any(map(_is_narrow, node["anyOf"])):
        return {**node, "anyOf": [*node["anyOf"], _VARIABLE_SCHEMA]}
    if _is_narrow(node):
        said = {key: value for key, value in node.items() if key in _ANNOTATIONS}
        return {**said, "anyOf": [{key: value for key, value in node.items() if key not in said}, _VARIABLE_SCHEMA]}
    inner = dict(node)
    for key in _MAPS_OF_SCHEMAS & node.keys():
        inner[key] = {name: _loosened(each) for name, each in node[key].items()}
    if "items" in node:
        inner["items"] = _loosened(node["items"])
    if "patternProperties" in node:
        inner["additionalProperties"] = False
    return inner


def _is_narrow(node: dict[str, Any]) -> bool:
    """Tell whether a schema is of a scalar that `${VAR}` as text would break."""
    scalar = node.get("type") in {"integer", "number", "boolean"}
    return scalar or not node.keys().isdisjoint({"const", "enum", "pattern"})
