"""Checking a value against a schema with jsonschema, in bounded time.

jsonschema does what the specification says; what it does not do is stop. So every keyword here costs a step of a
budget, regular expressions run on RE2, and `enum`, `const`, `uniqueItems` and `multipleOf` neither compare all
pairs nor trust binary fractions. A check's own state rides in the format checker, the one object that jsonschema
hands from each validator to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, TypeAlias

from jsonschema import FormatChecker
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

from router_mcp.structured import formats
from router_mcp.structured.dialect import ALL, Dialect
from router_mcp.structured.document import Document
from router_mcp.structured.equality import divides, key
from router_mcp.structured.evaluated import evaluated_items, evaluated_properties
from router_mcp.structured.limits import CHECK_STEPS, VIOLATIONS
from router_mcp.structured.patterns import Pattern

Keyword: TypeAlias = Callable[[Any, Any, Any, Any], Any]
Errors: TypeAlias = Iterator[ValidationError]


class UncheckableError(Exception):
    """The check took too many steps or nested too deeply to come to an end."""


class Examination(FormatChecker):
    """What one check carries along: how much work is left, and what was compiled before."""

    def __init__(self, document: Document, patterns: Mapping[str, Pattern]) -> None:
        super().__init__(())
        self.document = document
        self.patterns = patterns
        self.enums: dict[int, frozenset[Hashable]] = {}
        self.left = CHECK_STEPS

    def spend(self, steps: int = 1) -> None:
        """Take steps from the budget; raises `UncheckableError` when it is used up."""
        self.left -= steps
        if self.left < 0:
            raise UncheckableError

    def found(self, pattern: str, text: str) -> bool:
        """Whether the pattern is found in the text."""
        self.spend(1 + len(text) // 1024)
        return self.patterns[pattern].matches(text)

    def allowed(self, values: list[Any]) -> frozenset[Hashable]:
        """The keys of an enum's values, made once a check."""
        if id(values) not in self.enums:
            self.spend(len(values) // 8)
            self.enums[id(values)] = frozenset(map(key, values))
        return self.enums[id(values)]


def errors_of(document: Document, patterns: Mapping[str, Pattern], value: Any) -> list[ValidationError]:
    """The first violations of the schema by `value`, none when it is valid.

    Raises `UncheckableError` when the bound on work or depth is reached first.
    """
    validator = _VALIDATORS[document.dialect.name](
        document.root, registry=Registry(), format_checker=Examination(document, patterns)
    )
    try:
        return list(islice(validator.iter_errors(value), VIOLATIONS))
    except (RecursionError, Unresolvable) as endless:
        raise UncheckableError from endless


def _metered(keyword: Keyword) -> Keyword:
    def apply(validator: Any, value: Any, instance: Any, schema: Any) -> Any:
        validator.format_checker.spend()
        return keyword(validator, value, instance, schema)

    return apply


def _pattern(validator: Any, pattern: str, instance: Any, _schema: Any) -> Errors:
    if isinstance(instance, str) and not validator.format_checker.found(pattern, instance):
        yield ValidationError("pattern")


def _properties(validator: Any, properties: dict[str, Any], instance: Any, _schema: Any) -> Errors:
    """As jsonschema's, which forgets the place of a property whose schema is false."""
    if isinstance(instance, dict):
        for name, inner in properties.items():
            if name in instance and inner is False:
                yield ValidationError("properties", path=[name])
            elif name in instance:
                yield from validator.descend(instance[name], inner, path=name, schema_path=name)


def _pattern_properties(validator: Any, patterns: dict[str, Any], instance: Any, _schema: Any) -> Errors:
    if isinstance(instance, dict):
        for pattern, inner in patterns.items():
            for name, value in instance.items():
                if validator.format_checker.found(pattern, name):
                    yield from validator.descend(value, inner, path=name, schema_path=pattern)


def _additional_properties(validator: Any, inner: Any, instance: Any, schema: Any) -> Errors:
    if not isinstance(instance, dict):
        return
    declared, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name, value in instance.items():
        if name in declared or any(validator.format_checker.found(pattern, name) for pattern in patterns):
            continue
        if inner is False:
            yield ValidationError("additionalProperties", path=[name])
        else:
            yield from validator.descend(value, inner, path=name)


def _enum(validator: Any, values: list[Any], instance: Any, _schema: Any) -> Errors:
    if key(instance) not in validator.format_checker.allowed(values):
        yield ValidationError("enum")


def _const(_validator: Any, value: Any, instance: Any, _schema: Any) -> Errors:
    if key(instance) != key(value):
        yield ValidationError("const")


def _unique_items(_validator: Any, unique: bool, instance: Any, _schema: Any) -> Errors:
    if unique and isinstance(instance, list) and len(set(map(key, instance))) < len(instance):
        yield ValidationError("uniqueItems")


def _multiple_of(validator: Any, divisor: float, instance: Any, _schema: Any) -> Errors:
    if validator.is_type(instance, "number") and not divides(divisor, instance):
        yield ValidationError("multipleOf")


def _format(_validator: Any, name: str, instance: Any, _schema: Any) -> Errors:
    if isinstance(instance, str) and not formats.holds(name, instance):
        yield ValidationError("format")


def _unevaluated_properties(validator: Any, inner: Any, instance: Any, schema: Any) -> Errors:
    if isinstance(instance, dict):
        seen = evaluated_properties(validator, instance, schema)
        for name, value in instance.items():
            if name not in seen:
                yield from _leftover(validator, inner, value, name, "unevaluatedProperties")


def _unevaluated_items(validator: Any, inner: Any, instance: Any, schema: Any) -> Errors:
    if isinstance(instance, list):
        seen = evaluated_items(validator, instance, schema)
        for index, value in enumerate(instance):
            if index not in seen:
                yield from _leftover(validator, inner, value, index, "unevaluatedItems")


def _dependencies(validator: Any, dependencies: dict[str, Any], instance: Any, _schema: Any) -> Errors:
    if not isinstance(instance, dict):
        return
    for name, needed in dependencies.items():
        if name not in instance:
            continue
        if isinstance(needed, list):
            if any(other not in instance for other in needed):
                yield ValidationError("dependencies")
        else:
            yield from validator.descend(instance, needed, schema_path=name)


def _leftover(validator: Any, inner: Any, value: Any, step: str | int, keyword: str) -> Errors:
    if inner is False:
        yield ValidationError(keyword, path=[step])
    else:
        yield from validator.descend(value, inner, path=step)


_OWN: Final[dict[str, Keyword]] = {
    "pattern": _pattern,
    "properties": _properties,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "enum": _enum,
    "const": _const,
    "uniqueItems": _unique_items,
    "multipleOf": _multiple_of,
    "format": _format,
    "unevaluatedProperties": _unevaluated_properties,
    "unevaluatedItems": _unevaluated_items,
    "dependencies": _dependencies,  # jsonschema drops it from 2019-09 on, where people still write it
}


def _bounded(dialect: Dialect) -> type[Validator]:
    theirs: Mapping[str, Keyword] = dialect.validator.VALIDATORS
    known = {name: _OWN.get(name, keyword) for name, keyword in theirs.items()} | {"dependencies": _dependencies}
    make: Callable[..., type[Validator]] = extend
    return make(dialect.validator, {name: _metered(keyword) for name, keyword in known.items()})


_VALIDATORS: Final = {dialect.name: _bounded(dialect) for dialect in ALL}
