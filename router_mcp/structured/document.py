"""A schema read once: every schema in it with its place, every `$ref` resolved, nothing ever fetched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from referencing import Registry
from referencing.exceptions import Unresolvable

from router_mcp.errors import SchemaInvalidError
from router_mcp.structured import dialect as d
from router_mcp.structured.dialect import Dialect, dialect_of
from router_mcp.structured.limits import NESTING, SCHEMA_CHARS, SUBSCHEMAS
from router_mcp.structured.shapes import booleans_are_schemas, wrong_shape

Schema: TypeAlias = dict[str, Any] | bool
REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


@dataclass(frozen=True, slots=True)
class Node:
    """One schema and where it stands, as a JSON pointer."""

    pointer: str
    schema: Schema


@dataclass(slots=True)
class Document:
    """What `read` found. Not changed afterwards. Schemas are told apart by identity, as the copy shares none."""

    root: dict[str, Any]
    text: str
    dialect: Dialect
    nodes: list[Node] = field(default_factory=list)
    pointers: dict[int, str] = field(default_factory=dict)
    """The place of each schema, by its identity."""
    targets: dict[tuple[int, str], Node] = field(default_factory=dict)
    """What each reference points to, by the identity of the schema that it stands in and the keyword."""

    def target(self, schema: dict[str, Any], keyword: str = "$ref") -> Node:
        """What the reference in `schema` points to."""
        return self.targets[id(schema), keyword]


def read(schema: dict[str, Any]) -> Document:
    """Copy `schema` and find every schema and reference in it; raises `SchemaInvalidError` naming the place."""
    text = compact(schema)
    root = json.loads(text)
    _refuse_deep(root)
    document = Document(root, text, dialect_of(root))
    resource = document.dialect.specification.create_resource(root)
    resolver = Registry().resolver_with_root(resource)
    waiting: list[tuple[Node, Any]] = [(Node("", root), resolver)]
    while waiting:
        node, resolver = waiting.pop()
        if id(node.schema) in document.pointers and isinstance(node.schema, dict):
            continue
        document.nodes.append(node)
        document.pointers[id(node.schema)] = node.pointer
        if len(document.nodes) > SUBSCHEMAS:
            raise SchemaInvalidError(f"The schema holds more than {SUBSCHEMAS:,} schemas. Use a smaller one.")
        if isinstance(node.schema, dict):
            if node.pointer:
                resolver = _within(document, node, resolver)
            node.schema.pop("$schema", None)  # jsonschema would leave our validator for its own where it sees one
            waiting.extend(_references(document, node.pointer, node.schema, resolver))
            waiting.extend((child, resolver) for child in _children(document.dialect, node))
    return document


def compact(schema: Any) -> str:
    """The schema as JSON text, in its own order; raises `SchemaInvalidError` when it is not JSON or too large."""
    parts: list[str] = []
    size = 0
    try:
        for part in json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).iterencode(schema):
            parts.append(part)
            size += len(part)
            if size > SCHEMA_CHARS:
                raise SchemaInvalidError(f"The schema has more than {SCHEMA_CHARS:,} characters. Use a smaller one.")
        text = "".join(parts)
        text.encode()
    except (TypeError, ValueError) as wrong:
        raise SchemaInvalidError(
            "The schema is not JSON: it holds a value, a number or a character that JSON does not have. Pass JSON."
        ) from wrong
    except RecursionError as deep:
        raise _too_deep() from deep
    return text


def subschemas(dialect: Dialect, schema: dict[str, Any]) -> Iterator[tuple[str, str, Schema]]:
    """Each schema directly inside: its keyword, its pointer from here, itself."""
    for keyword, value in schema.items():
        shape = dialect.keywords.get(keyword)
        step = f"/{keyword}"
        if shape == d.SCHEMA or (shape == d.ITEMS and not isinstance(value, list)):
            yield keyword, step, value
        elif shape in {d.SCHEMAS, d.ITEMS}:
            yield from ((keyword, f"{step}/{index}", inner) for index, inner in enumerate(value))
        elif shape in {d.MAP, d.PATTERN_MAP, d.DEPENDENCIES}:
            for name, inner in value.items():
                if not isinstance(inner, list):
                    yield keyword, f"{step}/{escape(name)}", inner


def escape(name: str) -> str:
    """One step of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def _children(dialect: Dialect, node: Node) -> list[Node]:
    assert isinstance(node.schema, dict)
    if dialect.ref_hides_siblings and "$ref" in node.schema:
        return [Node(node.pointer + step, inner) for keyword, step, inner in _shaped(dialect, node)
                if keyword in {"definitions", "$defs"}]  # fmt: skip
    found = [Node(node.pointer + step, inner) for _, step, inner in _shaped(dialect, node)]
    return found[::-1]  # the walk takes from the end


def _shaped(dialect: Dialect, node: Node) -> list[tuple[str, str, Schema]]:
    assert isinstance(node.schema, dict)
    for keyword, value in node.schema.items():
        if keyword in dialect.keywords and (words := wrong_shape(dialect, keyword, value)):
            raise SchemaInvalidError(f"The schema's {node.pointer}/{escape(keyword)} must be {words}. Correct it.")
    found = list(subschemas(dialect, node.schema))
    for keyword, step, inner in found:
        if isinstance(inner, bool) and not booleans_are_schemas(dialect, keyword):
            raise SchemaInvalidError(
                f"The schema's {node.pointer}{step} must be an object in draft-04. Use an object, or a later dialect."
            )
    return found


def _within(document: Document, node: Node, resolver: Any) -> Any:
    schema = node.schema
    assert isinstance(schema, dict)
    if "$schema" in schema and dialect_of(schema) is not document.dialect:
        raise SchemaInvalidError(
            f"The schema's {node.pointer}/$schema names another dialect than its root. Use one dialect throughout."
        )
    if isinstance(schema.get(document.dialect.id_keyword), str):
        return resolver.in_subresource(document.dialect.specification.create_resource(schema))
    return resolver


def _references(document: Document, pointer: str, schema: dict[str, Any], resolver: Any) -> Iterator[tuple[Node, Any]]:
    for keyword in REFERENCES:
        ref = schema.get(keyword)
        if keyword not in document.dialect.keywords or not isinstance(ref, str):
            continue
        if keyword == "$recursiveRef" and ref != "#":
            raise SchemaInvalidError(f"The schema's {pointer}/$recursiveRef must be #. Correct it, or use $ref.")
        try:
            found = resolver.lookup(ref)
        except (Unresolvable, ValueError, LookupError, TypeError, AttributeError) as missing:
            raise SchemaInvalidError(_unresolved(f"{pointer}/{keyword}", ref)) from missing
        if not isinstance(found.contents, dict | bool):
            raise SchemaInvalidError(
                f"The schema's {pointer}/{keyword} points to something that is no schema. Point it to a schema."
            )
        place = document.pointers.get(id(found.contents), ref.partition("#")[2])
        node = Node(place, found.contents)
        document.targets[id(schema), keyword] = node
        yield node, found.resolver


def _unresolved(place: str, ref: str) -> str:
    if "#" in ref[:1]:
        return f"The schema's {place} points to nothing in the schema. Add what it points to, under $defs."
    return (
        f"The schema's {place} points outside the schema, and nothing is ever fetched. "
        "Copy what it points to into $defs and refer to it as #/$defs/…"
    )


def _refuse_deep(root: Any) -> None:
    level = [root]
    for _ in range(NESTING):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> SchemaInvalidError:
    return SchemaInvalidError(
        f"The schema nests objects and arrays deeper than {NESTING} levels. "
        "Move inner schemas into $defs and refer to them."
    )
