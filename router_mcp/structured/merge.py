"""For an engine that reads one thing per schema.

`allOf` is merged, and what stands beside `anyOf` and `$ref` is put inside them.
"""

from __future__ import annotations

from typing import Any, Final

from router_mcp.structured.document import Schema
from router_mcp.structured.intersect import intersection
from router_mcp.structured.normal import Normal, name_of

_MOST: Final = 5_000
"""Schemas that merging may make; beyond, parts are left out instead of merged."""


def merged(normal: Normal) -> Normal:
    """The same or looser, each schema with only one of `$ref`, `anyOf` or the rest, and without `allOf`."""
    work = _Merger(normal)
    return Normal(
        work.schema(normal.root, ()), {name: work.schema(made, (name,)) for name, made in normal.defs.items()}
    )


class _Merger:
    def __init__(self, normal: Normal) -> None:
        self.normal = normal
        self.made = 0

    def schema(self, schema: Schema, inside: tuple[str, ...], *, alone: bool = True) -> Schema:
        """`inside` are the definitions that are being put in; one that holds itself stays a reference.

        `alone` when nothing is merged with it: then a reference may stay one.
        """
        if isinstance(schema, bool):
            return schema
        self.made += 1
        own = self.inner({key: value for key, value in schema.items() if key not in {"allOf", "anyOf", "$ref"}}, inside)
        parts: list[Schema] = [own]
        if "$ref" in schema:
            parts.append(self.reference(schema, alone=alone and len(schema) == 1, inside=inside))
        if "anyOf" in schema:
            alone = alone and len(schema) == 1
            made = [self.schema(option, inside, alone=alone) for option in schema["anyOf"]]
            options = [option for option in made if option is not False]
            if not any(option is True or option == {} for option in options):
                parts.append(options[0] if len(options) == 1 else {"anyOf": options} if options else False)
        parts.extend(self.schema(part, inside, alone=False) for part in schema.get("allOf", ()))
        result: Schema = True
        for part in parts:
            result = intersection(result, part)
        return own if result == {} else result

    def reference(self, schema: dict[str, Any], *, alone: bool, inside: tuple[str, ...]) -> Schema:
        name = name_of(schema)
        if alone or name in inside or self.made > _MOST:
            return {"$ref": schema["$ref"]}
        return self.schema(self.normal.defs[name], (*inside, name))

    def inner(self, schema: dict[str, Any], inside: tuple[str, ...]) -> dict[str, Any]:
        made = dict(schema)
        if "prefixItems" in made:
            made["prefixItems"] = [self.schema(inner, inside) for inner in made["prefixItems"]]
        if "properties" in made:
            made["properties"] = {name: self.schema(inner, inside) for name, inner in made["properties"].items()}
        for keyword in ("items", "additionalProperties"):
            if keyword in made:
                made[keyword] = self.schema(made[keyword], inside)
        return made
