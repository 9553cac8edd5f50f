"""Any dialect as one: 2020-12, without annotations, every reference to a name in `$defs`.

What engines are given is made from this form, and what they enforce may only be looser than the schema, never
tighter. So what has no exact form here is left out: `$dynamicRef` and `$recursiveRef`, whose target depends on the way.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

from router_mcp.structured.document import Document, Schema, escape

COUNTS: Final = frozenset({"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties",
                           "minContains", "maxContains"})  # fmt: skip
ONE: Final = frozenset({"additionalProperties", "propertyNames", "contains", "not", "if", "then", "else",
                        "unevaluatedItems", "unevaluatedProperties"})  # fmt: skip
MANY: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
NAMED: Final = frozenset({"properties", "patternProperties", "dependentSchemas"})
PLAIN: Final = frozenset({"type", "required", "multipleOf", "minimum", "maximum", "uniqueItems", "pattern",
                          "format", "dependentRequired", "enum"})  # fmt: skip
PREFIX: Final = "#/$defs/"


@dataclass(slots=True)
class Normal:
    """A schema in the one form. Not changed afterwards."""

    root: Schema = True
    defs: dict[str, Schema] = field(default_factory=dict)
    """What references lead to, by name."""
    pointers: dict[int, str] = field(default_factory=dict)
    """Where each schema stood in the original, by its identity."""


def name_of(schema: dict[str, Any]) -> str:
    """The name in `$defs` that the `$ref` of `schema` leads to."""
    return str(schema["$ref"]).removeprefix(PREFIX)


def normalise(document: Document) -> Normal:
    """`document` in the one form."""
    return _Normaliser(document).run()


class _Normaliser:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.keywords = document.dialect.keywords
        self.normal = Normal()
        self.names: dict[int, str] = {}
        """The name of each schema that is referred to, by its identity; booleans need none."""

    def run(self) -> Normal:
        targets = {
            id(node.schema): node
            for (_, keyword), node in self.document.targets.items()
            if keyword == "$ref" and isinstance(node.schema, dict)
        }
        for identity, node in targets.items():
            self.names[identity] = self.free_name(node.pointer)
            self.normal.defs[self.names[identity]] = True
        for identity, node in targets.items():
            self.normal.defs[self.names[identity]] = self.schema(node.schema, node.pointer)
        self.normal.root = self.schema(self.document.root, "")
        return self.normal

    def free_name(self, pointer: str) -> str:
        base = re.sub(r"[^A-Za-z0-9]+", "-", pointer.rpartition("/")[2])[:40].strip("-") or "root"
        name, count = base, 1
        while name in self.normal.defs:
            count += 1
            name = f"{base}-{count}"
        return name

    def schema(self, schema: Schema, pointer: str) -> Schema:
        if isinstance(schema, bool):
            return schema
        made: dict[str, Any] = {}
        self.normal.pointers[id(made)] = pointer
        if (id(schema), "$ref") in self.document.targets:
            target = self.document.target(schema).schema
            if isinstance(target, bool):
                made |= {} if target else {"not": {}}
            else:
                made["$ref"] = PREFIX + self.names[id(target)]
            if self.document.dialect.ref_hides_siblings:
                return made
        dynamic = "$dynamicRef" in schema or "$recursiveRef" in schema
        for keyword, value in schema.items():
            if dynamic and keyword.startswith("unevaluated"):
                continue  # what the reference leads to, which is left out here, evaluates something
            if keyword in {"exclusiveMinimum", "exclusiveMaximum"}:
                made |= {} if isinstance(value, bool) else {keyword: value}
            elif keyword in self.keywords or keyword == "const":
                made.update(self.keyword(keyword, value, schema, f"{pointer}/{keyword}"))
        return made

    def keyword(self, keyword: str, value: Any, schema: dict[str, Any], pointer: str) -> dict[str, Any]:
        made: dict[str, Any] = {}
        if keyword in COUNTS:
            made[keyword] = int(value)
        elif keyword in ONE:
            made[keyword] = self.schema(value, pointer)
        elif keyword in MANY:
            made[keyword] = [self.schema(inner, f"{pointer}/{i}") for i, inner in enumerate(value)]
        elif keyword in NAMED:
            made[keyword] = {name: self.schema(inner, f"{pointer}/{escape(name)}") for name, inner in value.items()}
        elif keyword == "items":
            made = self.items(value, schema, pointer)
        elif keyword == "dependencies":
            made = self.dependencies(value, pointer)
        elif keyword in PLAIN or (keyword == "const" and self.document.dialect.year >= 2017):
            made[_bound(keyword, schema)] = value
        return made

    def items(self, value: Any, schema: dict[str, Any], pointer: str) -> dict[str, Any]:
        if not isinstance(value, list):
            return {"items": self.schema(value, pointer)}
        made = {"prefixItems": [self.schema(inner, f"{pointer}/{i}") for i, inner in enumerate(value)]}
        if "additionalItems" in schema:
            rest = pointer.removesuffix("items") + "additionalItems"
            return made | {"items": self.schema(schema["additionalItems"], rest)}
        return made

    def dependencies(self, value: dict[str, Any], pointer: str) -> dict[str, Any]:
        return {
            "dependentRequired": {name: inner for name, inner in value.items() if isinstance(inner, list)},
            "dependentSchemas": {
                name: self.schema(inner, f"{pointer}/{escape(name)}")
                for name, inner in value.items()
                if not isinstance(inner, list)
            },
        }


def _bound(keyword: str, schema: dict[str, Any]) -> str:
    """The keyword, with what draft-04's booleans beside `minimum` and `maximum` make of it."""
    exclusive = f"exclusive{keyword.capitalize()}"
    return exclusive if keyword in {"minimum", "maximum"} and schema.get(exclusive) is True else keyword
