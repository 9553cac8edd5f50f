"""The last step: a loosened schema as the document that an engine is sent."""

from __future__ import annotations

import re
from typing import Any, Final

from router_mcp.structured.document import Schema
from router_mcp.structured.engines import UNREADABLE_NAMES
from router_mcp.structured.normal import PREFIX, Normal

ANYTHING: Final = {"type": ["object", "array", "string", "number", "boolean", "null"]}
"""Any value, for a converter that reads `{}` as an object and `true` not at all."""

_OPTIONS: Final = {"whitespace_flexible": False, "lenient": True}
"""llguidance's own key in a schema: no white space between tokens, which a weak model repeats until it is cut
(vLLM B1 #19: the request field for it has no effect), and keywords that its version does not know are ignored."""

_APART: Final = frozenset({"items", "prefixItems", "properties", "required"})
_UNTESTABLE: Final = re.compile(r'[\]\\"]|[^\x20-\x7e]')
"""Characters of a property name from which llama.cpp cannot build its rule for all other names."""


def for_llguidance(normal: Normal, *, closed: bool = False) -> dict[str, Any]:
    """2020-12 as it is, with llguidance's options; other engines ignore those.

    `closed` leaves only declared properties in objects that do not say otherwise; the schema must be merged then.
    """
    spelled = _closed if closed else _as_it_is
    root = spelled(normal.root) if isinstance(normal.root, dict) else {}
    defs = {name: spelled(schema) for name, schema in normal.defs.items()}
    return _document(root, defs) | {"x-guidance": dict(_OPTIONS)}


def _as_it_is(schema: Any) -> Any:
    return schema


def _closed(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    made = dict(schema)
    for keyword in ("anyOf", "prefixItems"):
        if keyword in made:
            made[keyword] = [_closed(inner) for inner in made[keyword]]
    for keyword in ("items", "additionalProperties"):
        if keyword in made:
            made[keyword] = _closed(made[keyword])
    for keyword in ("properties", "patternProperties"):
        if keyword in made:
            made[keyword] = {name: _closed(inner) for name, inner in made[keyword].items()}
    if any(inner is not False for inner in made.get("properties", {}).values()) and "patternProperties" not in made:
        missing = [name for name in made.get("required", ()) if name not in made["properties"]]
        made["properties"] |= {name: made.get("additionalProperties", True) for name in missing}
        made.setdefault("additionalProperties", False)
    return made


def for_llama(normal: Normal) -> dict[str, Any]:
    """What llama.cpp's converter reads: one thing per schema, no booleans, every required property declared."""
    return _document(_llama(normal.root), {name: _llama(schema) for name, schema in normal.defs.items()})


def _document(root: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    used: dict[str, Any] = {}
    waiting: list[Any] = [root]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, dict):
            waiting.extend(value.values())
            ref = value.get("$ref")
            name = ref.removeprefix(PREFIX) if isinstance(ref, str) else None
            if name in defs and name not in used:
                used[name] = defs[name]
                waiting.append(defs[name])
    return root | {"$defs": dict(sorted(used.items()))} if used else dict(root)


def _llama(schema: Schema) -> dict[str, Any]:
    if isinstance(schema, bool) or not schema:
        return dict(ANYTHING)
    if "$ref" in schema:
        return {"$ref": schema["$ref"]}
    if "anyOf" in schema:
        return {"anyOf": [_llama(option) for option in schema["anyOf"]]}
    if "enum" in schema:
        return {"enum": schema["enum"]}
    made = {
        key: value for key, value in schema.items() if key not in {"items", "prefixItems", "properties", "required"}
    }
    if _speaks_of("array", schema, ("items", "prefixItems", "minItems", "maxItems")):
        made |= _array(schema)
    if _speaks_of("object", schema, ("properties", "required", "additionalProperties")):
        made.pop("additionalProperties", None)
        made |= _object(schema)
    return made


def _speaks_of(kind: str, schema: dict[str, Any], keywords: tuple[str, ...]) -> bool:
    types = schema.get("type", kind)
    return (kind == types or kind in types) and not schema.keys().isdisjoint(keywords)


def _array(schema: dict[str, Any]) -> dict[str, Any]:
    first, rest = list(schema.get("prefixItems", ())), schema.get("items", True)
    least, most = schema.get("minItems", 0), schema.get("maxItems")
    if False in first:
        first, rest = first[: first.index(False)], False
    if first and least >= len(first) and (rest is False or most == len(first)):
        return {"prefixItems": [_llama(item) for item in first]}
    if rest is False:
        most = len(first) if most is None else min(most, len(first))
    kinds = [_llama(item) for item in (*first, *([] if rest is False else [rest]))]
    kinds = [kind for at, kind in enumerate(kinds) if kind not in kinds[:at]]
    items = {"anyOf": kinds} if len(kinds) > 1 else kinds[0] if kinds else dict(ANYTHING)
    return {"items": items} | ({} if most is None else {"maxItems": most})


def _object(schema: dict[str, Any]) -> dict[str, Any]:
    rest = schema.get("additionalProperties")
    asked: dict[str, Schema] = dict(schema.get("properties", {}))
    required = schema.get("required", [])
    for name in required:
        asked.setdefault(name, True if rest is None or rest is False else rest)
    declared = {name: _llama(inner) for name, inner in asked.items() if inner is not False}
    if not UNREADABLE_NAMES.isdisjoint(declared):
        return {}
    made: dict[str, Any] = {}
    if declared:
        made = {"properties": declared, "required": [name for name in required if name in declared]}
        rest = True if rest is None and not schema.get("properties") else rest
    if rest is False:
        made["additionalProperties"] = False
    elif rest is not None and (declared or isinstance(rest, dict)) and not any(map(_UNTESTABLE.search, declared)):
        made["additionalProperties"] = True if rest is True else _llama(rest)
    return made
