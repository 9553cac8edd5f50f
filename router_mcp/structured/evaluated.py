"""Which properties and items of a value other keywords have looked at: what `unevaluated…` leaves over.

jsonschema works this out with `re` on the patterns of `patternProperties`; here RE2 does, and every step counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from referencing.jsonschema import lookup_recursive_ref


def evaluated_properties(validator: Any, instance: dict[str, Any], schema: Any, *, outer: bool = True) -> set[str]:
    """Names that `schema`, and every schema in place that accepts `instance`, look at.

    `outer` is the schema whose own `unevaluatedProperties` asks.
    """
    if not isinstance(schema, dict):
        return set()
    validator.format_checker.spend()
    if "additionalProperties" in schema or (not outer and "unevaluatedProperties" in schema):
        return set(instance)
    seen = {name for name in schema.get("properties", {}) if name in instance}
    for pattern in schema.get("patternProperties", {}):
        seen.update(name for name in instance if validator.format_checker.found(pattern, name))
    for scope in _accepting(validator, instance, schema):
        seen |= evaluated_properties(scope, instance, scope.schema, outer=False)
    return seen


def evaluated_items(validator: Any, instance: list[Any], schema: Any, *, outer: bool = True) -> set[int]:
    """Indices that `schema`, and every schema in place that accepts `instance`, look at."""
    if not isinstance(schema, dict):
        return set()
    validator.format_checker.spend()
    items = schema.get("items", schema.get("prefixItems", []))
    if not isinstance(items, list) or ("items" in schema and "prefixItems" in schema):
        return set(range(len(instance)))
    if ("additionalItems" in schema and "items" in schema) or (not outer and "unevaluatedItems" in schema):
        return set(range(len(instance)))
    seen = set(range(min(len(items), len(instance))))
    if "contains" in schema and "prefixItems" in validator.VALIDATORS:  # only from 2020-12 on does it evaluate
        inside = validator.evolve(schema=schema["contains"])
        seen.update(index for index, value in enumerate(instance) if inside.is_valid(value))
    for scope in _accepting(validator, instance, schema):
        seen |= evaluated_items(scope, instance, scope.schema, outer=False)
    return seen


def _accepting(validator: Any, instance: Any, schema: dict[str, Any]) -> Iterator[Any]:
    """A validator for each schema in place that accepts the instance."""
    yield from _referred(validator, schema)
    for keyword in ("allOf", "anyOf", "oneOf"):
        yield from _valid(instance, (validator.evolve(schema=inner) for inner in schema.get(keyword, ())))
    if isinstance(instance, dict):
        dependent = schema.get("dependentSchemas", {}).items()
        yield from _valid(instance, (validator.evolve(schema=inner) for name, inner in dependent if name in instance))
    if "if" in schema:
        condition = validator.evolve(schema=schema["if"])
        holds = condition.is_valid(instance)
        if holds:
            yield condition
        yield validator.evolve(schema=schema.get("then" if holds else "else", True))


def _valid(instance: Any, scopes: Iterator[Any]) -> Iterator[Any]:
    return (scope for scope in scopes if scope.is_valid(instance))


def _referred(validator: Any, schema: dict[str, Any]) -> Iterator[Any]:
    resolver = validator._resolver  # noqa: SLF001 - jsonschema's own keywords follow a reference this way, and no other
    for keyword in ("$ref", "$dynamicRef"):
        if keyword in schema and keyword in validator.VALIDATORS:
            found = resolver.lookup(schema[keyword])
            yield validator.evolve(schema=found.contents, _resolver=found.resolver)
    if "$recursiveRef" in schema and "$recursiveRef" in validator.VALIDATORS:
        found = lookup_recursive_ref(resolver)
        yield validator.evolve(schema=found.contents, _resolver=found.resolver)
