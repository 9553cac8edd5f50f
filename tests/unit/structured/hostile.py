"""Schemas made to hurt: to stall a check, to fill the memory, to be read in two ways. Each is built when asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any


def _deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    return schema


def _chain(levels: int, step: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """Definitions that each refer to the next."""
    defs = {f"d{at}": step({"$ref": f"#/$defs/d{at + 1}"}) for at in range(levels)}
    return {"$ref": "#/$defs/d0", "$defs": {**defs, f"d{levels}": {"type": "integer"}}}


def _pattern(pattern: str) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": {"type": "string", "pattern": pattern}}, "required": ["a"]}


def _shared(levels: int) -> dict[str, Any]:
    """Objects in memory that hold the same object twice, again and again: small there, endless as JSON."""
    inner: dict[str, Any] = {"type": "integer"}
    for _ in range(levels):
        inner = {"anyOf": [inner, inner]}
    return inner


def _circular() -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"}
    schema["properties"] = {"self": schema}
    return schema


def _tree() -> dict[str, Any]:
    """A recursive schema whose alternatives nearly match one another: exponential to check by brute force."""
    child = {"$ref": "#/$defs/n"}
    arms = [{"properties": {"a": child, "k": {"const": at}}} for at in range(6)]
    return {"$ref": "#/$defs/n", "$defs": {"n": {"type": "object", "oneOf": arms}}}


HOSTILE: dict[str, Callable[[], Any]] = {
    "31 objects deep": lambda: _deep(31),
    "40 objects deep": lambda: _deep(40),
    "900 objects deep": lambda: _deep(900),
    "20,000 objects deep": lambda: _deep(20_000),
    "allOf 60 deep": lambda: _allof(60),
    "circular in memory": _circular,
    "shared in memory 40 times": lambda: _shared(40),
    "an enum of 10,000 strings": lambda: {"enum": [f"value number {at}" for at in range(10_000)]},
    "an enum of 10,000 strings that begin alike": lambda: {"enum": ["a" * at for at in range(900)]},
    "an enum of 200,000 numbers": lambda: {"enum": list(range(200_000))},
    "an enum of deep values": lambda: {"enum": [[[[[[at]]]]] for at in range(2_000)]},
    "oneOf 2 to the 25 by references": lambda: _chain(25, lambda ref: {"oneOf": [ref, ref]}),
    "anyOf 2 to the 25 through items": lambda: _chain(25, lambda ref: {"anyOf": [{"items": ref}, {"items": ref}]}),
    "allOf 2 to the 25": lambda: _chain(25, lambda ref: {"allOf": [ref, ref]}),
    "properties 2 to the 25": lambda: _chain(25, lambda ref: {"properties": {"a": ref, "b": ref}}),
    "oneOf of 400 overlapping objects": lambda: {
        "oneOf": [{"properties": {f"p{at}": {"type": "integer"}, "q": {"minimum": at}}} for at in range(400)]
    },
    "oneOf of 5,000": lambda: {"oneOf": [{"minimum": at} for at in range(5_000)]},
    "anyOf of 60 beside anyOf of 60": lambda: {
        "allOf": [{"anyOf": [{"properties": {f"{n}{at}": {"type": "integer"}}} for at in range(60)]} for n in "abcd"]
    },
    "nearly equal alternatives, recursive": _tree,
    "nested quantifiers": lambda: _pattern("^(a+)+$"),
    "nested quantifiers with alternatives": lambda: _pattern("^(a|a|aa)*$"),
    "an overlapping pattern": lambda: _pattern(r"^(\w+\s?)*$"),
    "a counted pattern to the third": lambda: _pattern("^((a{100}){100}){100}$"),
    "a pattern with a billion": lambda: _pattern("^a{1000000000}$"),
    "a pattern of 100,000 characters": lambda: _pattern("a" * 100_000),
    "a pattern of 2,000 groups": lambda: _pattern("(" * 2_000 + "a" + ")" * 2_000),
    "a back-reference": lambda: _pattern(r"^(a*)\1$"),
    "a lookbehind": lambda: _pattern("(?<=a)b"),
    "a lookahead in a loop": lambda: _pattern("^((?=a)a)*$"),
    "an automaton with 2 to the 40 states": lambda: _pattern("^(a|b)*a(a|b){40}$"),
    "700 patterns": lambda: {"patternProperties": {f"^x{at}_[a-z]{{1,100}}$": {} for at in range(700)}},
    "400 large patterns": lambda: {"patternProperties": {f"^x{at}[^a-c]{{1,900}}$": {} for at in range(400)}},
    "5 MB of properties": lambda: {"properties": {f"property {at}": {"type": "string"} for at in range(120_000)}},
    "5 MB of description": lambda: {"description": "x" * 5_000_000},
    "5 MB of default": lambda: {"default": list(range(800_000))},
    "3,000 properties": lambda: {"properties": {f"p{at}": {"type": "string"} for at in range(3_000)}},
    "1,900 required properties": lambda: {
        "type": "object",
        "properties": {f"p{at}": {"type": "string", "maxLength": 99} for at in range(1_900)},
        "required": [f"p{at}" for at in range(1_900)],
    },
    "a reference to itself": lambda: {"$ref": "#"},
    "references in a ring": lambda: {
        "$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}
    },
    "a ring through anyOf": lambda: {"anyOf": [{"$ref": "#"}, {"type": "string"}]},
    "endless required recursion": lambda: {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
    "a chain of 4,000 references": lambda: _chain(4_000, lambda ref: ref),
    "a chain of 2,000 properties by reference": lambda: _chain(
        2_000, lambda ref: {"type": "object", "properties": {"a": ref}, "required": ["a"]}
    ),
    "a remote reference": lambda: {"$ref": "http://127.0.0.1:9/schema.json"},
    "a reference to a file": lambda: {"$ref": "file:///etc/passwd"},
    "an id that moves references away": lambda: {"$id": "http://127.0.0.1:9/", "properties": {"a": {"$ref": "b.json"}}},
    "a reference into a default": lambda: {"$ref": "#/default", "default": {"type": "nonsense"}},
    "minItems of a billion": lambda: {"type": "array", "items": {"type": "integer"}, "minItems": 10**9},
    "maxItems of a billion": lambda: {"type": "array", "items": {"type": "string"}, "maxItems": 10**9},
    "maxLength of a trillion": lambda: {"type": "string", "minLength": 5, "maxLength": 10**12},
    "maxItems inside maxItems": lambda: {
        "type": "array", "maxItems": 9_000,
        "items": {"type": "array", "maxItems": 9_000, "items": {"type": "string", "maxLength": 9_000}},
    },
    "bounds of 400 digits": lambda: {"type": "integer", "minimum": -(10**400), "maximum": 10**400},
    "a multiple of almost nothing": lambda: {"type": "number", "multipleOf": 5e-324, "maximum": 1e308},
    "an infinite bound": lambda: {"type": "number", "maximum": float("inf")},
    "half a surrogate pair": lambda: {"properties": {"\ud800": {"type": "string"}}, "required": ["\ud800"]},
    "names that look alike": lambda: {
        "type": "object",
        "properties": {n: {"type": "integer"} for n in ("a", "\u0430", "a\u200b", "\u202ea", "a\u0301", "\0", "")},
        "additionalProperties": False,
    },
    "names that look like keywords": lambda: {
        "type": "object",
        "properties": {"$ref": {"type": "string"}, "$defs": {"type": "object"}, "$schema": {"const": "x"}, "enum": {}},
        "required": ["$ref", "$defs"],
    },
    "dependentSchemas in a web": lambda: {
        "dependentSchemas": {f"p{at}": {"required": [f"p{(at + 1) % 300}"]} for at in range(300)}
    },
    "unevaluatedProperties 20 deep": lambda: _unevaluated(20),
    "if inside if": lambda: _conditions(20),
}  # fmt: skip


def _allof(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer"}
    for at in range(levels // 2):
        schema = {"allOf": [schema], "minimum": at}
    return schema


def _unevaluated(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"properties": {"x": {"type": "integer"}}}
    for _ in range(levels):
        schema = {"allOf": [schema, {"properties": {"y": True}}], "unevaluatedProperties": False}
    return schema


def _conditions(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer"}
    for at in range(levels):
        schema = {"if": {"minimum": at}, "then": schema, "else": {"maximum": at}}
    return schema


ANSWERS = (
    '{"a": "' + "a" * 30_000 + '!"}',
    '{"a": ' * 60 + "1" + "}" * 60,
    "[" * 100 + "]" * 100,
    json.dumps({f"p{at}": "x" for at in range(300)}),
    json.dumps([[1] * 50] * 50),
    '"' + "a" * 5_000 + '"',
    "7",
)
"""What a model might say to any of them."""
