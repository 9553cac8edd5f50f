"""What an engine is sent accepts every answer that the schema accepts: a rewrite is looser or equal, never tighter."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterator
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from jsonschema.validators import extend

from router_mcp.domain import RuntimeKind
from router_mcp.errors import OutputInvalidError, SchemaInvalidError, UnsupportedConstraintError
from router_mcp.structured import check, compile_for
from router_mcp.structured.patterns import compile_search
from tests.unit.structured.constraints import prepared, sent
from tests.unit.structured.test_official_suite import FILES, SUITE, accepts, cases, unless_refused
from tests.unit.structured.test_preflight import SAMPLE

Accepts = Callable[[Any], bool]
TRIED = [file for file in FILES if file[0] in {"draft4", "draft2020-12"}]
NAME = operator.itemgetter("name")


def _quoted_pattern(_validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[jsonschema.ValidationError]:
    """llama.cpp holds a pattern against the inside of a JSON string as it is written."""
    if isinstance(instance, str):
        ours = re.sub(r"\\U00([0-9A-F]{6})", r"\\u{\1}", pattern)
        if not compile_search(ours).matches(json.dumps(instance, ensure_ascii=False)[1:-1]):
            yield jsonschema.ValidationError("pattern")


_extended: Callable[..., Any] = extend
LlamaValidator = _extended(jsonschema.Draft202012Validator, {"pattern": _quoted_pattern})


def engine(kind: RuntimeKind, schema: dict[str, Any], *, plain: bool = False) -> Accepts:
    """What the engine would let a model write, as far as it enforces what it is sent."""
    form = sent(kind, schema, plain=plain)
    if kind == "ollama":
        validator = LlamaValidator(form)
        return lambda data: bool(validator.is_valid(data))
    ready = prepared(form)
    return lambda data: accepts(ready, data)


@pytest.mark.parametrize(("draft", "name"), TRIED, ids=map("-".join, TRIED))
def test_every_valid_instance_of_the_suite_is_within_what_is_sent(draft: str, name: str) -> None:
    for schema, instances in cases(draft, name):
        if isinstance(unless_refused(schema), str):
            continue
        for accepted in (engine("vllm", schema), engine("ollama", schema), engine("vllm", schema, plain=True)):
            for data, valid in instances:
                assert accepted(data) or not valid, f"{schema} {data}"


@pytest.mark.parametrize(
    "row", [row for row in SAMPLE if row.get("valid_example") is not None], ids=lambda row: row["name"]
)
def test_every_valid_example_of_the_sample_is_within_what_is_sent(row: dict[str, Any]) -> None:
    for kind in ("vllm", "ollama"):
        assert engine(kind, row["schema"])(row["valid_example"])


@pytest.mark.parametrize("row", SAMPLE, ids=NAME)
def test_every_schema_of_the_sample_can_be_asked_of_every_runtime(row: dict[str, Any]) -> None:
    for kind in ("vllm", "embedded", "ollama"):
        assert sent(kind, row["schema"])


NAMES = st.sampled_from(["a", "b", "c"])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-4, 4),
    st.sampled_from([0.5, 1.0, -1.5, 0.3]),
    st.sampled_from(["", "a", "ab", "abc"]),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6
)
TYPES = st.sampled_from(["string", "integer", "number", "boolean", "null", "array", "object"])
COUNTS = st.integers(0, 3)


def _schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(inner, min_size=1, max_size=3)
    keywords: dict[str, st.SearchStrategy[Any]] = {
        "type": TYPES | st.lists(TYPES, min_size=1, max_size=3, unique=True),
        "enum": st.lists(VALUES, min_size=1, max_size=4),
        "const": VALUES,
        "minimum": st.integers(-3, 3),
        "exclusiveMaximum": st.sampled_from([-1, 0.5, 2, 3]),
        "multipleOf": st.sampled_from([1, 2, 0.5, 0.1]),
        "pattern": st.sampled_from(["^a", "b$", "^a?b*$", "a|c", "^(?!b)", "x*"]),
        "uniqueItems": st.booleans(),
        "properties": st.dictionaries(NAMES, inner, max_size=3),
        "patternProperties": st.dictionaries(st.sampled_from(["^a", "b|c"]), inner, max_size=2),
        "propertyNames": st.just({"maxLength": 1}),
        "required": st.lists(NAMES, max_size=2, unique=True),
        "dependentRequired": st.dictionaries(NAMES, st.lists(NAMES, max_size=2, unique=True), max_size=2),
        "dependentSchemas": st.dictionaries(NAMES, inner, max_size=1),
    }
    keywords |= dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), lists)
    keywords |= dict.fromkeys(
        ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"), COUNTS
    )
    keywords |= dict.fromkeys(("items", "additionalProperties", "contains", "not", "if", "then", "else"), inner)
    keywords |= dict.fromkeys(("unevaluatedProperties", "unevaluatedItems"), inner)
    some = st.lists(st.sampled_from(sorted(keywords)), min_size=1, max_size=4, unique=True)
    return some.flatmap(lambda names: st.fixed_dictionaries({name: keywords[name] for name in names}))


REFERENCES = st.sampled_from([{"$ref": "#/$defs/x"}, {"$ref": "#/$defs/y"}, {"$ref": "#"}])
SCHEMAS = st.recursive(st.booleans() | REFERENCES | st.just({}), _schemas, max_leaves=8).filter(
    lambda s: isinstance(s, dict)
)
ROOTS = st.builds(lambda root, x, y: {**root, "$defs": {"x": x, "y": y}}, SCHEMAS, SCHEMAS, SCHEMAS)
SETTINGS = settings(
    max_examples=120,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@SETTINGS
@given(schema=ROOTS, instances=st.lists(VALUES, min_size=1, max_size=6), kind=st.sampled_from(["vllm", "ollama"]))
def test_a_rewrite_accepts_what_the_schema_accepts(
    schema: dict[str, Any], instances: list[Any], kind: RuntimeKind
) -> None:
    try:
        ready = prepared(schema)
        accepted = engine(kind, schema)
    except (SchemaInvalidError, UnsupportedConstraintError):
        assume(False)
    for data in instances:
        assert accepted(data) or not accepts(ready, data), data


@SETTINGS
@given(schema=ROOTS, instances=st.lists(VALUES, min_size=1, max_size=6))
def test_the_check_agrees_with_jsonschema_itself(schema: dict[str, Any], instances: list[Any]) -> None:
    """Stock jsonschema reads `multipleOf` as doubles, so tenths are left to the tests of `check`."""
    assume("0.1" not in json.dumps(schema))
    ready = unless_refused(schema)
    theirs = jsonschema.Draft202012Validator(schema)
    for data in instances:
        if isinstance(ready, str):
            if ready.startswith("No value can satisfy"):
                assert not theirs.is_valid(data)
        else:
            assert accepts(ready, data) == theirs.is_valid(data)


@SETTINGS
@given(schema=ROOTS)
def test_what_passes_preflight_is_valid_against_the_meta_schema(schema: dict[str, Any]) -> None:
    if not isinstance(unless_refused(schema), str):
        jsonschema.Draft202012Validator.check_schema(schema)


@SETTINGS
@given(
    schema=ROOTS,
    text=st.text(max_size=40)
    | VALUES.map(json.dumps)
    | st.sampled_from(["[" * 3_000, '{"a": ' * 60 + "1" + "}" * 60, "\ud800"]),
    finish_reason=st.sampled_from(["stop", "length"]),
    kind=st.sampled_from(["vllm", "embedded", "ollama"]),
)
def test_a_check_ends_in_valid_data_or_one_kind_of_error(
    schema: dict[str, Any], text: str, finish_reason: str, kind: RuntimeKind
) -> None:
    try:
        ready = prepared(schema)
        compiled = compile_for(kind, ready)
    except (SchemaInvalidError, UnsupportedConstraintError):
        assume(False)
    try:
        data = check(ready, compiled, text, finish_reason)
    except OutputInvalidError as error:
        assert error.reason in {"truncated", "not_json", "violation", "degenerate"}  # noqa: PT017 - either outcome is right
        return
    assert accepts(ready, data)


def test_the_suite_is_there() -> None:
    assert set(SUITE) == {"draft4", "draft6", "draft7", "draft2019-09", "draft2020-12"}
