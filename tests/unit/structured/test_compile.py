"""What each kind of runtime is asked for: facts of `engines.py`, seen in what is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from router_mcp.domain import Choices, Constraint, Grammar, JsonSchema, Regex, RuntimeKind
from router_mcp.errors import UnsupportedConstraintError
from router_mcp.structured import compile_for
from router_mcp.structured.spell import ANYTHING
from tests.unit.structured.constraints import prepared, sent

A = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
B = {"type": "object", "properties": {"b": {"type": "string"}}, "required": ["b"]}
STRING = {"type": "string"}


@pytest.mark.parametrize(
    "schema",
    [
        {"uniqueItems": True},
        {"contains": {"type": "integer"}},
        {"format": "phone-number"},
        {"not": {"type": "string"}},
        {"if": {"type": "string"}, "then": {"maxLength": 3}},
        {"oneOf": [{"type": "integer"}, {"type": "number"}]},
        {"dependentRequired": {"a": ["b"]}},
        {"dependentSchemas": {"a": {"required": ["b"]}}},
        {"propertyNames": {"maxLength": 3}},
        {"properties": {"a": {}}, "minProperties": 1},
        {"allOf": [A, B], "unevaluatedProperties": False},
        {"type": "integer", "minimum": -(10**30), "maximum": 10**30},
        {"pattern": r"\bfoo\b"},
        {"pattern": "^(?=a)b"},
        {"pattern": "^[^]$"},
        {"type": "number", "multipleOf": 5e-324},
        {"anyOf": [{"$ref": "#/$defs/never"}, STRING], "$defs": {"never": {"enum": []}}},
        {"patternProperties": {"^a": {}, "^ab": {}}},
    ],
)
@pytest.mark.parametrize("kind", ["vllm", "embedded"])
def test_what_guidance_would_refuse_is_said_so_that_it_does_not(kind: RuntimeKind, schema: dict[str, Any]) -> None:
    """vLLM B5: 400 for these as they are. The local compile inside proves that the form sent is taken."""
    assert sent(kind, {"type": ["object", "array", "string", "integer", "number"], **schema}) is not None


@pytest.mark.parametrize(
    ("schema", "form"),
    [
        ({"oneOf": [STRING, {"type": "null"}]}, {"anyOf": [STRING, {"type": "null"}]}),
        ({"oneOf": [A, B], "anyOf": [A, {}]}, {"allOf": [{"anyOf": [A, B]}]}),
        ({"anyOf": [{}, STRING]}, {}),
        ({"anyOf": [False, STRING]}, {"anyOf": [STRING]}),
        ({"allOf": [True]}, {}),
        ({"const": 1}, {"enum": [1]}),
        ({"type": "string", "enum": ["a", 1]}, {"type": "string", "enum": ["a"]}),
        ({"type": "integer", "minimum": 0.5, "exclusiveMaximum": 9}, {"type": "integer", "minimum": 1, "maximum": 8}),
        ({"type": "string", "minLength": 2, "maxLength": 10**9}, {"type": "string", "minLength": 2}),
        ({"type": "string", "pattern": "a?"}, STRING),
        ({"type": "string", "pattern": r"^\d+$", "title": "x"}, {"type": "string", "pattern": "^(?:[0-9])+$"}),
        ({"type": "array", "contains": STRING, "minContains": 2}, {"type": "array", "minItems": 2}),
        ({"type": "array", "contains": STRING, "minContains": 0}, {"type": "array"}),
        ({"properties": {"a": STRING}, "unevaluatedProperties": False},
         {"properties": {"a": STRING}, "additionalProperties": False}),
        ({"prefixItems": [STRING], "unevaluatedItems": False}, {"prefixItems": [STRING], "items": False}),
        ({"if": STRING, "then": {"maxLength": 2}, "else": A},
         {"allOf": [{"anyOf": [{"allOf": [STRING, {"maxLength": 2}]}, A]}]}),
        ({"required": ["a"], "properties": {"a": {}}, "maxProperties": 2},
         {"required": ["a"], "properties": {"a": {}}, "maxProperties": 2}),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "items": [STRING], "additionalItems": False},
         {"prefixItems": [STRING], "items": False}),
        ({"$ref": "#/definitions/a", "minLength": 1, "definitions": {"a": STRING}},
         {"$ref": "#/$defs/a", "minLength": 1, "$defs": {"a": STRING}}),
    ],
)  # fmt: skip
def test_vllm_is_sent_the_schema_in_what_guidance_has(schema: dict[str, Any], form: dict[str, Any]) -> None:
    assert sent("vllm", schema) == form


def test_guidance_is_told_to_write_no_white_space_and_to_overlook_what_it_does_not_know() -> None:
    constraint = compile_for("vllm", prepared(A)).constraint
    assert isinstance(constraint, JsonSchema)
    assert constraint.schema["x-guidance"] == {"whitespace_flexible": False, "lenient": True}


def test_property_order_is_kept_for_every_engine() -> None:
    names = ["z", "a", "m", "b"]
    schema = {"type": "object", "properties": dict.fromkeys(names, STRING), "required": sorted(names)}
    for kind in ("vllm", "embedded", "ollama"):
        assert list(sent(kind, schema)["properties"]) == names


def test_an_embedded_model_gets_a_guidance_grammar_with_closed_objects() -> None:
    constraint = compile_for("embedded", prepared({**A, "required": ["a", "c"]})).constraint
    assert isinstance(constraint, Grammar)
    assert constraint.text.startswith("%llguidance {}\nstart: %json {")
    schema = json.loads(constraint.text.partition("%json ")[2])
    assert schema["additionalProperties"] is False
    assert schema["properties"] == {"a": {"type": "integer"}, "c": True}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": STRING}, "additionalProperties": True},
        {"type": "object", "properties": {"a": STRING}, "minProperties": 2},
        {"type": "object", "properties": {"a": False}},
        {"type": "object", "properties": {"a": STRING}, "patternProperties": {"^b": STRING}},
        {"type": "object", "additionalProperties": {"items": STRING}},
    ],
)
def test_an_embedded_model_keeps_objects_open_that_must_be(schema: dict[str, Any]) -> None:
    assert sent("embedded", schema).get("additionalProperties") is not False


@pytest.mark.parametrize(
    ("schema", "form"),
    [
        ({}, ANYTHING),
        ({"items": False}, {"items": ANYTHING, "maxItems": 0}),
        ({"items": {}}, {"items": ANYTHING}),
        ({"type": "array", "minItems": 2}, {"type": "array", "minItems": 2, "items": ANYTHING}),
        ({"const": 1}, {"enum": [1]}),
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": STRING}}, {"$ref": "#/$defs/a-1b", "$defs": {"a-1b": STRING}}),
        ({"$ref": "#/$defs/a", "maxLength": 3, "$defs": {"a": STRING}}, {"type": "string", "maxLength": 3}),
        ({"allOf": [A, B]},
         {"type": "object", "properties": {"a": {"type": "integer"}, "b": STRING}, "required": ["a", "b"]}),
        ({"properties": {"a": {"type": "integer"}}, "anyOf": [{"required": ["a"]}, B]},
         {"anyOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]},
                    {"type": "object", "properties": {"a": {"type": "integer"}, "b": STRING}, "required": ["b"]}]}),
        ({"type": "object", "required": ["x"]},
         {"type": "object", "properties": {"x": ANYTHING}, "required": ["x"], "additionalProperties": True}),
        ({"type": "object", "patternProperties": {"^a": STRING}, "additionalProperties": False},
         {"type": "object", "additionalProperties": STRING}),
        ({"type": "object", "patternProperties": {"^a": STRING}}, {"type": "object"}),
        ({"type": "object", "properties": {"a": STRING, "b": False}, "additionalProperties": False},
         {"type": "object", "properties": {"a": STRING}, "required": [], "additionalProperties": False}),
        ({"type": "object", "properties": {"$ref": STRING}, "required": ["$ref"]}, {"type": "object"}),
        ({"type": "object", "properties": {"é": STRING}, "additionalProperties": STRING},
         {"type": "object", "properties": {"é": STRING}, "required": []}),
        ({"prefixItems": [STRING, A], "items": False, "minItems": 2}, {"minItems": 2, "prefixItems": [STRING, A]}),
        ({"prefixItems": [STRING, STRING], "items": {"type": "null"}, "maxItems": 9},
         {"items": {"anyOf": [STRING, {"type": "null"}]}, "maxItems": 9}),
        ({"prefixItems": [STRING, False]}, {"items": STRING, "maxItems": 1}),
        ({"prefixItems": [False]}, {"items": ANYTHING, "maxItems": 0}),
        ({"prefixItems": [STRING], "items": False, "maxItems": 5}, {"items": STRING, "maxItems": 1}),
        ({"type": "string", "maxLength": 257}, STRING),
        ({"type": "string", "pattern": "^a{257}$"}, STRING),
        ({"type": "string", "pattern": "^(?:)*$"}, STRING),
        ({"type": "string", "pattern": r"\p{L}"}, STRING),
        ({"type": "string", "pattern": "a*"}, STRING),
        ({"type": "string", "pattern": "^ab$"}, {"type": "string", "pattern": "^(ab)$"}),
        ({"type": "string", "format": "email"}, STRING),
        ({"type": "string", "format": "date"}, {"type": "string", "format": "date"}),
        ({"enum": [*range(40)]}, ANYTHING),
        ({"type": "string", "minLength": 300}, {"type": "string", "minLength": 256}),
        ({"anyOf": [{"enum": ["a"], "minLength": 3}, False], "enum": ["a", "b"]}, {"enum": ["a"]}),
        ({"allOf": [{"enum": [1, "a", 2]}, {"enum": [2.0, 1, "b"]}, {"type": "integer"}]}, {"enum": [1, 2]}),
        ({"allOf": [{"minItems": 1, "items": STRING}, {"minItems": 2, "maxItems": 3}, {"maxItems": 9}]},
         {"items": STRING, "minItems": 2, "maxItems": 3}),
        ({"allOf": [{"prefixItems": [STRING]}, {"prefixItems": [{"maxLength": 2}, STRING]}]},
         {"items": {"anyOf": [{"type": "string", "maxLength": 2}, STRING, ANYTHING]}}),
        ({"allOf": [{"anyOf": [STRING, {"type": "null"}]}, {"anyOf": [{"type": "null"}, {"type": "integer"}]}]},
         {"type": "null"}),
        ({"type": "string", "pattern": "^(a|b|)c$"}, {"type": "string", "pattern": "^(((a|b)?)c)$"}),
        ({"type": "string", "pattern": "^(^a)$"}, STRING),
        ({"type": "string", "pattern": "^a(b|$)"}, STRING),
        ({"type": "object", "properties": {"a": STRING}, "minProperties": 2},
         {"type": "object", "properties": {"a": STRING}, "required": [], "additionalProperties": True}),
    ],
)  # fmt: skip
def test_ollama_is_sent_one_thing_per_schema_and_nothing_that_it_answers_400_to(
    schema: dict[str, Any], form: dict[str, Any]
) -> None:
    assert sent("ollama", schema) == form


def test_alternatives_that_would_multiply_too_far_are_left_out_on_one_side() -> None:
    ones = [{"properties": {f"a{at}": STRING}, "required": [f"a{at}"]} for at in range(10)]
    twos = [{"properties": {f"b{at}": STRING}, "required": [f"b{at}"]} for at in range(10)]
    form = sent("ollama", {"allOf": [{"anyOf": ones}, {"anyOf": twos}]})
    assert len(form["anyOf"]) == 10


def test_an_alternative_that_cannot_be_is_left_out_wherever_it_is_referred_to() -> None:
    never = {"allOf": [{"anyOf": [{"type": "string"}, False]}, False]}
    schema = {
        "anyOf": [{"$ref": "#/$defs/b"}, {"type": "null"}],
        "$defs": {"a": never, "b": {"allOf": [{"$ref": "#/$defs/a"}]}},
    }
    assert sent("vllm", schema) == {"anyOf": [{"type": "null"}]}


def test_a_wide_enum_becomes_a_pattern_that_branches_for_ollama() -> None:
    """2,000 alternatives took Ollama 53 s for six tokens (`026t`)."""
    form = sent("ollama", {"enum": [f"item {at}" for at in range(10, 60)]})
    assert form == {"type": "string", "pattern": f"^(item ({'|'.join(f'{d}({_digits()})' for d in '12345')}))$"}


def _digits() -> str:
    return "|".join("0123456789")


def test_a_recursive_schema_stays_recursive_by_reference() -> None:
    tree = {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#"}}}, "required": ["kids"]}
    for kind in ("vllm", "embedded", "ollama"):
        form = sent(kind, tree)
        assert form["properties"]["kids"]["items"] == {"$ref": "#/$defs/root"}
        assert form["$defs"]["root"]["required"] == ["kids"]


def test_a_recursive_reference_with_something_beside_it_keeps_the_reference_for_ollama() -> None:
    schema = {"$ref": "#/$defs/n", "$defs": {"n": {"properties": {"n": {"$ref": "#/$defs/n", "minProperties": 1,
                                                                      "required": ["n"]}}}}}  # fmt: skip
    assert sent("ollama", schema)["$defs"]["n"]["properties"]["n"] == {"$ref": "#/$defs/n"}


@pytest.mark.parametrize("kind", ["vllm", "embedded"])
def test_the_plain_form_has_only_what_every_engine_has(kind: RuntimeKind) -> None:
    schema = {**A, "properties": {"a": {"type": "integer", "multipleOf": 5}, "b": {"type": "string", "pattern": "^a$"}}}
    form = sent(kind, schema, plain=True)
    assert form["properties"] == {"a": {"type": "integer"}, "b": STRING}


def test_impossible_alternatives_are_not_sent() -> None:
    schema = {"anyOf": [{"allOf": [{"type": "string"}, {"type": "integer"}]}, {"type": "null"}]}
    assert sent("ollama", schema) == {"type": "null"}


def test_a_schema_found_impossible_only_while_compiling_is_unsupported() -> None:
    either = [{"type": "integer"}, {"type": "boolean"}]
    schema = {"allOf": [{"anyOf": [{"type": "string"}, {"type": "null"}]}, {"anyOf": either}]}
    with pytest.raises(UnsupportedConstraintError, match="No value can satisfy"):
        compile_for("ollama", prepared(schema))


@pytest.mark.parametrize(
    ("kind", "constraint", "asked"),
    [
        ("vllm", Choices(("a", "b")), Choices(("a", "b"))),
        ("embedded", Choices(("a", "b")), Choices(("a", "b"))),
        ("ollama", Choices(("a", "b")), JsonSchema({"type": "string", "enum": ["a", "b"]})),
        ("vllm", Regex("^a[0-9]$"), Regex("a[0-9]")),
        ("vllm", Regex("^a$|^b$"), Regex("a|b")),
        ("vllm", Regex("(?!x)[a-z]/"), Regex(r"[a-z]\u002F")),
        ("embedded", Regex("a/b"), Grammar("%llguidance {}\nstart: /a\\u002Fb/")),
        ("ollama", Regex('"?'), JsonSchema({"type": "string", "pattern": "^(([\\u005C][\\u0022])?)$"})),
        ("vllm", Grammar('root ::= "a"'), Grammar('root ::= "a"')),
        ("embedded", Grammar('root ::= "a"'), Grammar('root ::= "a"')),
        ("vllm", Grammar('start: "a"'), Grammar('start: "a"')),
        ("embedded", Grammar('start: "a"'), Grammar('%llguidance {}\nstart: "a"')),
        ("embedded", Grammar('%llguidance {}\nstart: "a"'), Grammar('%llguidance {}\nstart: "a"')),
        ("vllm", Grammar('root ::= root "a" | "b"'), Grammar('root ::= root "a" | "b"')),
    ],
)
def test_texts_are_asked_for_in_the_runtimes_own_way(
    kind: RuntimeKind, constraint: Constraint, asked: Constraint
) -> None:
    assert compile_for(kind, prepared(constraint)).constraint == asked


def test_many_choices_are_a_pattern_for_ollama_and_unwrapped_again() -> None:
    compiled = compile_for("ollama", prepared(Choices(tuple(f"choice {at}" for at in range(10_000 // 8)))))
    assert isinstance(compiled.constraint, JsonSchema)
    assert compiled.constraint.schema["pattern"].startswith("^(choice (0|1")
    assert compiled.unwrap('"choice 7"') == "choice 7"
    assert compiled.unwrap("choice 7") == "choice 7"
    assert compiled.unwrap("7") == "7"


@pytest.mark.parametrize(
    ("kind", "constraint", "why"),
    [
        ("ollama", Grammar('root ::= "a"'), "Ollama has no grammars"),
        ("embedded", Grammar('root ::= root "a" | "b"'), "no left-recursive grammar"),
        ("vllm", Grammar('start: A\nA: "x" A | "y"'), "cannot compile this grammar"),
        ("vllm", Grammar('root ::= "\\u00e9"'), "cannot compile this grammar"),
        ("vllm", Regex(r"a\b"), "anchors or lookaheads inside"),
        ("vllm", Regex("a(^b|c)"), "anchors or lookaheads inside"),
        ("vllm", Regex("[^\\s\\S]"), "class that matches nothing"),
        ("ollama", Regex(r"\p{L}"), "Unicode property"),
        ("ollama", Regex("(a*)*"), "repeats what may be empty"),
        ("ollama", Choices(tuple("a" * at for at in range(1, 100))), "branches more than 40 times"),
        ("ollama", Choices(tuple(f"{at} {'x' * 1_000}" for at in range(100))), "lists more than 20,000 characters"),
    ],
)
def test_what_a_runtime_cannot_enforce_is_said_before_it_is_asked(
    kind: RuntimeKind, constraint: Constraint, why: str
) -> None:
    ready = prepared(constraint)
    with pytest.raises(UnsupportedConstraintError, match=why) as refused:
        compile_for(kind, ready)
    assert refused.value.code == "unsupported_constraint"
    assert refused.value.try_next


def test_a_constraint_in_steady_use_is_compiled_once_a_runtime() -> None:
    ready = prepared(A)
    assert compile_for("vllm", ready) is compile_for("vllm", ready)
    assert compile_for("vllm", ready) is not compile_for("vllm", ready, plain=True)
    assert compile_for("vllm", ready) != compile_for("ollama", ready)
