"""Which JSON Schema a schema is written in, and what each keyword of it must look like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from jsonschema.protocols import Validator
from jsonschema.validators import (
    Draft4Validator,
    Draft6Validator,
    Draft7Validator,
    Draft201909Validator,
    Draft202012Validator,
)
from referencing import Specification
from referencing.jsonschema import DRAFT4, DRAFT6, DRAFT7, DRAFT201909, DRAFT202012

from router_mcp.errors import SchemaInvalidError

# What a keyword's value is. The first group holds schemas.
SCHEMA, SCHEMAS, MAP, ITEMS, DEPENDENCIES = "schema", "schemas", "map", "items", "dependencies"
COUNT, NUMBER, POSITIVE, BOOLEAN, STRING, PATTERN = "count", "number", "positive", "boolean", "string", "pattern"
TYPE, ENUM, NAMES, NAMES_MAP, PATTERN_MAP = "type", "enum", "names", "names map", "patterns"

_COMMON: Final = {
    "$ref": STRING, "type": TYPE, "enum": ENUM, "required": NAMES, "multipleOf": POSITIVE,
    "minimum": NUMBER, "maximum": NUMBER, "exclusiveMinimum": NUMBER, "exclusiveMaximum": NUMBER,
    "minLength": COUNT, "maxLength": COUNT, "minItems": COUNT, "maxItems": COUNT, "minProperties": COUNT,
    "maxProperties": COUNT, "uniqueItems": BOOLEAN, "pattern": PATTERN, "format": STRING,
    "properties": MAP, "patternProperties": PATTERN_MAP, "additionalProperties": SCHEMA,
    "definitions": MAP, "dependencies": DEPENDENCIES, "allOf": SCHEMAS, "anyOf": SCHEMAS, "oneOf": SCHEMAS,
    "not": SCHEMA, "items": ITEMS, "additionalItems": SCHEMA,
}  # fmt: skip
_DRAFT4: Final = _COMMON | {"id": STRING, "exclusiveMinimum": BOOLEAN, "exclusiveMaximum": BOOLEAN}
_DRAFT6: Final = _COMMON | {"$id": STRING, "contains": SCHEMA, "propertyNames": SCHEMA}
_DRAFT7: Final = _DRAFT6 | {"if": SCHEMA, "then": SCHEMA, "else": SCHEMA}
_DRAFT201909: Final = _DRAFT7 | {
    "$defs": MAP, "$anchor": STRING, "$recursiveRef": STRING, "$recursiveAnchor": BOOLEAN, "dependentSchemas": MAP,
    "dependentRequired": NAMES_MAP, "unevaluatedItems": SCHEMA, "unevaluatedProperties": SCHEMA,
    "minContains": COUNT, "maxContains": COUNT, "contentSchema": SCHEMA,
}  # fmt: skip
_DRAFT202012: Final = {
    name: shape
    for name, shape in _DRAFT201909.items()
    if name not in {"additionalItems", "$recursiveRef", "$recursiveAnchor"}
} | {"items": SCHEMA, "prefixItems": SCHEMAS, "$dynamicRef": STRING, "$dynamicAnchor": STRING}


@dataclass(frozen=True, slots=True, eq=False)
class Dialect:
    """One edition of JSON Schema."""

    name: str
    validator: type[Validator]
    specification: Specification[Any]
    keywords: dict[str, str]
    """The shape of each keyword; others are annotations."""
    year: int
    """Later editions have larger ones."""

    @property
    def id_keyword(self) -> str:
        """The keyword that gives a schema its base URI."""
        return "id" if self.year < 2017 else "$id"

    @property
    def ref_hides_siblings(self) -> bool:
        """Whether keywords beside `$ref` are ignored."""
        return self.year < 2019


DEFAULT: Final = Dialect("2020-12", Draft202012Validator, DRAFT202012, _DRAFT202012, 2020)
_BY_URI: Final = {
    "json-schema.org/draft/2020-12/schema": DEFAULT,
    "json-schema.org/draft/2019-09/schema": Dialect("2019-09", Draft201909Validator, DRAFT201909, _DRAFT201909, 2019),
    "json-schema.org/draft-07/schema": Dialect("draft-07", Draft7Validator, DRAFT7, _DRAFT7, 2018),
    "json-schema.org/draft-06/schema": Dialect("draft-06", Draft6Validator, DRAFT6, _DRAFT6, 2017),
    "json-schema.org/draft-04/schema": Dialect("draft-04", Draft4Validator, DRAFT4, _DRAFT4, 2013),
    "json-schema.org/schema": DEFAULT,
}


ALL: Final = tuple(dict.fromkeys(_BY_URI.values()))


def dialect_of(schema: dict[str, Any]) -> Dialect:
    """The dialect that `$schema` names, 2020-12 without it. Raises `SchemaInvalidError` for one that is not known."""
    uri = schema.get("$schema")
    if uri is None:
        return DEFAULT
    known = None
    if isinstance(uri, str):
        known = _BY_URI.get(uri.strip().removeprefix("https://").removeprefix("http://").rstrip("#"))
    if known is None:
        raise SchemaInvalidError(
            "The schema's /$schema names a dialect that is not known. "
            "Use 2020-12, 2019-09, draft-07, draft-06 or draft-04, or leave $schema out."
        )
    return known
