"""What comes back as a success satisfies the caller's own constraint, to the letter of JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from router_mcp.domain import Choices, Constraint, Grammar, JsonSchema, Regex
from router_mcp.errors import OutputInvalidError
from router_mcp.structured import check, compile_for
from tests.unit.structured.constraints import answer, fault, prepared

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"name": "Ada", "age": NaN}', "NaN is not JSON"),
        ("-Infinity", "Infinity is not JSON"),
        ('{"age": 1, "age": 2}', 'the name "age" stands twice'),
        ('{"name": "Ada", "age": 36} Hope this helps!', "text after the JSON value, at line 1 column 28"),
        ('{"name": "Ada", "age": 36}\n{"name": "Bob", "age": 3}', "text after the JSON value, at line 2"),
        ('```json\n{"name": "Ada", "age": 36}\n```', "Markdown code fence"),
        ("Sure! Here you are.", "expecting value at line 1 column 1"),
        ("", "it is empty"),
        (" \n", "it is empty"),
        ('{"name": "Ada"', "it ends before the JSON value is complete"),
        ('{"name": "Ad', "it ends before the JSON value is complete"),
        ('"\\ud83d"', "half of a surrogate pair"),
        ('"\ud83d"', "half of a surrogate pair"),
        ('"\\x41"', "invalid \\escape"),
        ('"a\nb"', "invalid control character"),
        ("1e999", "a number is too large"),
        ("9" * 1_001, "more than 1,000 digits"),
        ("[" * 129 + "]" * 129, "deeper than 128 levels"),
        ("".join(f"[{at}, " for at in range(9_000)), "deeper than 128 levels"),
        ("01", "text after the JSON value"),
        ("\ufeff1", "expecting value"),
        ("'a'", "expecting value"),
        (" ".join(map(str, range(700_000))), "more than 4,194,304 characters"),
    ],
)
def test_what_is_not_exactly_one_json_value_is_refused(text: str, why: str) -> None:
    error = fault({}, text)
    assert error.reason == "not_json"
    assert why in str(error)
    assert len(str(error)) < 300


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (' \n{"name": "Ada", "age": 36}\t\n', {"name": "Ada", "age": 36}),
        ("12345678901234567890123456789", 12345678901234567890123456789),
        ("0.1", 0.1),
        ("-0", 0),
        ('"\\ud83d\\ude00 é\\u0000"', "😀 é\0"),
        ("1e2", 100.0),
        ("123456789.123456789123", 123456789.12345679),
    ],
)
def test_values_come_back_as_they_are(text: str, value: Any) -> None:
    got = answer({}, text)
    assert got == value
    assert type(got) is type(value)
    assert json.loads(json.dumps(got)) == value


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"multipleOf": 0.1}, "0.3"),
        ({"multipleOf": 0.01}, "19.99"),
        ({"multipleOf": 1e-8}, "0.00000123"),
        ({"multipleOf": 3}, str(3 * 10**40)),
        ({"multipleOf": 0.5}, str(10**40)),
        ({"const": 1.0}, "1"),
        ({"type": "integer"}, "1.0"),
        ({"uniqueItems": True}, "[1, true, 0, false, null, [1], [true]]"),
        ({"enum": [{"a": 1, "b": [2]}]}, '{"b": [2.0], "a": 1}'),
    ],
)
def test_numbers_are_compared_as_the_decimals_they_are_written_as(schema: dict[str, Any], text: str) -> None:
    assert answer(schema, text) == json.loads(text)


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"multipleOf": 0.1}, "0.35"),
        ({"multipleOf": 3}, str(3 * 10**40 + 1)),
        ({"const": 1}, "true"),
        ({"enum": [0]}, "false"),
        ({"uniqueItems": True}, "[1, 1.0]"),
        ({"uniqueItems": True}, '[{"a": [1]}, {"a": [1.0]}]'),
        ({"type": "integer"}, "1.5"),
        ({"type": "integer", "maximum": 9007199254740992}, "9007199254740993"),
    ],
)
def test_numbers_that_only_look_alike_are_told_apart(schema: dict[str, Any], text: str) -> None:
    assert fault(schema, text).reason == "violation"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"name": "Ada", "age": -1}', "/age: must be at least 0, not -1"),
        ('{"name": "Ada"}', '/: lacks the required property "age"'),
        ("{}", '/: lacks the required properties "name", "age"'),
        ('{"name": 3, "age": 1}', "/name: must be string, not 3"),
        ('{"name": "Ada", "age": 1, "x": 2}', "/x: is a property that is not allowed here; leave it out"),
        ("[]", "/: must be object, not []"),
    ],
)
def test_a_violation_says_where_and_what_must_be(text: str, words: str) -> None:
    error = fault(PERSON, text)
    assert error.reason == "violation"
    assert words in error.violations
    assert words in str(error)


@pytest.mark.parametrize(
    ("schema", "text", "words"),
    [
        ({"anyOf": [{"type": "string"}, PERSON]}, '{"name": "Ada", "age": -1}', "/age: must be at least 0, not -1"),
        ({"anyOf": [False, {"const": None}]}, "[]", "/: must be null"),
        ({"oneOf": [{"minimum": 1}, {"maximum": 5}]}, "3", "/: must match exactly one of the alternatives"),
        ({"type": ["string", "null"]}, "3", "/: must be string or null, not 3"),
        ({"items": {"enum": ["a", "b"]}}, '["a", "c"]', '/1: must be one of ["a", "b"]'),
        ({"const": "x"}, "1", '/: must be "x"'),
        ({"maxLength": 2}, '"abc"', "/: must have at most 2 characters, not 3"),
        ({"minItems": 2}, "[1]", "/: must have at least 2 items, not 1"),
        ({"exclusiveMaximum": 2}, "2", "/: must be below 2, not 2"),
        ({"exclusiveMinimum": 2}, "2", "/: must be above 2, not 2"),
        ({"maximum": 2}, "3", "/: must be at most 2, not 3"),
        ({"multipleOf": 2}, "3", "/: must be a multiple of 2, not 3"),
        ({"pattern": "^a"}, '"b"', '/: must match the pattern "^a", and "b" does not'),
        ({"properties": {"a/b": {"format": "date"}}}, '{"a/b": "2023-02-31"}', "/a~1b: must be a valid date"),
        ({"uniqueItems": True}, "[1, 1]", "/: must not hold the same item twice"),
        ({"not": {"type": "null"}}, "null", '/: must not match {"type": "null"}'),
        ({"dependentRequired": {"a": ["b"]}}, '{"a": 1}', "/: lacks properties that others bring with them"),
        ({"dependencies": {"a": ["b"]}}, '{"a": 1}', "/: lacks properties that others bring with them"),
        ({"contains": {"const": 1}}, "[2]", "/: must hold the right number of items that match `contains`"),
        ({"properties": {"a": False}}, '{"a": 1}', "/a: is a property that is not allowed here"),
        ({"items": False}, "[1]", "/: has more items than are allowed"),
        ({"propertyNames": False}, '{"a": 1}', "/: is not allowed here; leave it out"),
        ({"propertyNames": {"maxLength": 1}}, '{"ab": 1}', "/: must have at most 1 characters, not 2"),
        ({"prefixItems": [{}], "unevaluatedItems": False}, "[1, 2]", "/1: is an item that is not allowed here"),
        ({"unevaluatedProperties": False}, '{"x": 1}', "/x: is a property that is not allowed here"),
        ({"unevaluatedProperties": {"type": "null"}}, '{"x": 1}', "/x: must be null, not 1"),
        ({"if": {}, "then": {"type": "null"}}, "1", "/: must be null, not 1"),
    ],
)
def test_each_keyword_has_words_that_a_model_can_repair_from(schema: dict[str, Any], text: str, words: str) -> None:
    assert any(words in violation for violation in fault(schema, text).violations)


def test_of_several_alternatives_the_one_that_was_meant_is_spoken_of() -> None:
    cat = {"properties": {"kind": {"const": "cat"}, "lives": {"type": "integer"}}, "required": ["kind", "lives"]}
    dog = {"properties": {"kind": {"const": "dog"}, "breed": {"type": "string"}}, "required": ["kind", "breed"]}
    schema = {"oneOf": [{"type": "object", **cat}, {"type": "object", **dog}, {"type": "null"}]}
    assert fault(schema, '{"kind": "dog", "breed": 3}').violations == ("/breed: must be string, not 3",)
    assert fault(schema, '{"kind": "dog"}').violations == ('/: lacks the required property "breed"',)
    nested = {"anyOf": [{"items": schema}, {"type": "string"}]}
    assert fault({"items": {"anyOf": [False, False]}, "minItems": 1}, "[1]").violations == (
        "/0: must match one of the alternatives of anyOf",
    )
    assert fault(nested, '[null, {"kind": "cat", "lives": "nine"}, 1, {"a": 2}]').violations[0].startswith("/1/lives")


def test_an_error_stays_small_whatever_the_answer_was() -> None:
    error = fault({"items": {"type": "null"}}, json.dumps([str(list(range(9_000)))] * 9))
    assert len(error.violations) == 5
    assert len(str(error)) < 2_000


@pytest.mark.parametrize("text", ['{"name": "Ada', '{"name": "Ada", "age": ', "[1, 2", "", '{"a": tru'])
def test_an_answer_that_was_cut_is_called_truncated(text: str) -> None:
    assert fault(PERSON, text, "length").reason == "truncated"


def test_a_complete_answer_at_the_limit_is_an_answer() -> None:
    assert answer(PERSON, '{"name": "Ada", "age": 36}', "length") == {"name": "Ada", "age": 36}


def test_a_bare_number_at_the_limit_may_lack_digits_and_is_not_trusted() -> None:
    assert fault({"type": "integer"}, "12", "length").reason == "truncated"
    assert answer({"type": "boolean"}, "true", "length") is True


@pytest.mark.parametrize("constraint", [Choices(("yes", "no")), Regex("a{3}"), Grammar('root ::= "aaa"')])
def test_a_text_that_was_cut_is_called_truncated_too(constraint: Constraint) -> None:
    assert fault(constraint, "a", "length").reason == "truncated"


@pytest.mark.parametrize(
    "constraint", [Choices(("yes", "no")), Regex("a{3}"), Grammar('root ::= "aaa"'), JsonSchema({})]
)
def test_a_text_that_runs_on_blank_is_called_degenerate(constraint: Constraint) -> None:
    assert fault(constraint, "{" + "\n" * 400, "length").reason == "degenerate"


@pytest.mark.parametrize(
    ("constraint", "text", "value"),
    [
        (Choices(("yes", "no")), "yes", "yes"),
        (Choices(("yes", "no")), " no\n", "no"),
        (Choices((" padded ",)), " padded ", " padded "),
        (Regex("[a-z]+"), "abc", "abc"),
        (Regex("[a-z]+"), " abc", "abc"),
        (Regex("^[a-z]+$"), "abc", "abc"),
        (Regex("a|bc"), "bc", "bc"),
        (Regex(r"(?=.*\d)[a-z\d]{3}"), "a1b", "a1b"),
        (Grammar('root ::= "yes" | "no"'), "no", "no"),
        (Grammar("start: /[0-9]+/"), "42\n", "42"),
    ],
)
def test_texts_are_taken_with_or_without_white_space_around(constraint: Constraint, text: str, value: str) -> None:
    assert answer(constraint, text) == value


@pytest.mark.parametrize(
    ("constraint", "text"),
    [
        (Choices(("yes", "no")), "Yes"),
        (Choices(("yes", "no")), "yes, of course"),
        (Regex("[a-z]+"), "abc1"),
        (Regex("a|bc"), "abc"),
        (Regex("a|bc"), "a\nbc"),
        (Regex(r"(?!.*x)[a-z]{3}"), "axb"),
        (Regex("a+"), "\ud800"),
        (Grammar('root ::= "yes" | "no"'), "yes no"),
        (Grammar('root ::= root root | "a"'), "a" * 5_000),
        (Choices(("yes", "no")), "y" * 5_000_000),
    ],
)
def test_texts_that_break_the_constraint_are_refused(constraint: Constraint, text: str) -> None:
    error = fault(constraint, text)
    assert error.reason in {"violation", "degenerate"}
    assert error.violations[0].startswith("/: ")


def test_what_the_runtime_wrapped_is_unwrapped_before_it_is_checked() -> None:
    ready = prepared(Choices(("yes", "no")))
    compiled = compile_for("ollama", ready)
    assert check(ready, compiled, '"yes"', "stop") == "yes"
    assert check(ready, compiled, "yes", "stop") == "yes"
    with pytest.raises(OutputInvalidError):
        check(ready, compiled, '{"answer": "yes"}', "stop")


def test_an_answer_that_costs_too_much_to_check_is_refused_in_bounded_time() -> None:
    child = {"$ref": "#/$defs/n"}
    arms = [{"properties": {"a": child, "k": {"const": at}}} for at in range(6)]
    error = fault(
        {"$ref": "#/$defs/n", "$defs": {"n": {"type": "object", "oneOf": arms}}}, '{"a":' * 40 + "{}" + "}" * 40
    )
    assert error.violations == ("/: is too large or too deeply nested to be checked; answer more simply",)


def test_an_answer_nested_too_deeply_for_the_stack_is_refused() -> None:
    node = {"allOf": [{"anyOf": [{"allOf": [{"properties": {"a": {"$ref": "#/$defs/n"}}}]}]}]}
    error = fault({"$ref": "#/$defs/n", "$defs": {"n": node}}, '{"a":' * 120 + "1" + "}" * 120)
    assert error.violations == ("/: is too large or too deeply nested to be checked; answer more simply",)


@pytest.mark.parametrize(
    ("format_", "good", "bad"),
    [
        ("date", "2024-02-29", "2023-02-29"),
        ("date-time", "2024-02-29T12:00:00Z", "2024-02-29 12:00:00Z"),
        ("date-time", "1998-12-31T23:59:60Z", "1998-12-31T22:59:60Z"),
        ("time", "12:00:00+01:00", "12:00"),
        ("time", "12:00:00.5z", "12:00:00+24:00"),
        ("duration", "P3DT4H", "P"),
        ("email", "ada@example.org", "ada@@example.org"),
        ("email", "ada@[127.0.0.1]", "ada@[127.0.0.300]"),
        ("email", '"a b"@example.org', "@"),
        ("email", "a@[IPv6:::1]", "a@[::1]"),
        ("idn-email", "실례@실례.테스트", "2962"),
        ("hostname", "example.org", "-example.org"),
        ("ipv4", "127.0.0.1", "127.0.0.256"),
        ("ipv6", "::1", "12345::"),
        ("uri", "https://example.org/a?b#c", "example.org"),
        ("uuid", "2eb8aa08-aa98-11ea-b4aa-73b441d16380", "2eb8aa08-aa98-11ea-b4aa-73b441d1638"),
        ("json-pointer", "/a~1b", "a"),
        ("regex", r"^(?<=a)\1$", "("),
    ],
)
def test_formats_are_asserted(format_: str, good: str, bad: str) -> None:
    assert answer({"format": format_}, json.dumps(good)) == good
    assert "must be a valid" in fault({"format": format_}, json.dumps(bad)).violations[0]
    assert fault({"format": format_}, json.dumps(good[:1] * 3_000)).reason in {"violation", "degenerate"}


def test_a_format_that_is_not_known_asserts_nothing() -> None:
    assert answer({"format": "phone-number"}, '"x"') == "x"
