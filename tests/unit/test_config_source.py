"""What a configuration file may be, how its values are typed, and what is said when it cannot be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from router_mcp.config.yaml_source import MAX_BYTES, Problem, Source, read_source
from router_mcp.errors import ConfigError

FILE = Path("policy.yaml")


def data(text: str, **environ: str) -> dict[str, Any]:
    return Source(FILE, text, environ).data


def complaint(text: str, **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        data(text, **environ)
    return str(caught.value)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("8", 8),
        ("-8", -8),
        ("+8", 8),
        ("010", 10),
        ("0o17", 15),
        ("0xff", 255),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("text", "text"),
        ("a b", "a b"),
        ("8 # a comment", 8),
    ],
)
def test_a_plain_value_has_the_type_that_editors_see(written: str, value: object) -> None:
    found = data(f"key: {written}")["key"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("written", ["yes", "no", "on", "off", "1:30", "2026-01-01", "1_000", ".inf", ".nan", "1e999"])
def test_what_json_lacks_stays_text(written: str) -> None:
    assert data(f"key: {written}")["key"] == written


@pytest.mark.parametrize("written", ["'8'", '"8"', "|-\n  8", ">-\n  8"])
def test_what_is_quoted_is_text(written: str) -> None:
    assert data(f"key: {written}") == {"key": "8"}


def test_a_number_too_long_to_be_one_is_text_and_takes_no_time() -> None:
    assert data("key: " + "1" * 5000)["key"] == "1" * 5000


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("${PORT}", 8001),
        ('"${PORT}"', "8001"),
        ("${PORT:-9}", 8001),
        ("${NOT_SET:-9}", 9),
        ("'${NOT_SET:-9}'", "9"),
        ("${EMPTY:-9}", 9),
        ("${EMPTY}", None),
        ('"${EMPTY}"', ""),
        ("${NOT_SET:-}", None),
        ("'${NOT_SET:-}'", ""),
        ('"http://${HOST}:${PORT}/x"', "http://gpu:8001/x"),
        ("$${PORT}", "${PORT}"),
        ("$PORT", "$PORT"),
        ("${COMMENT}", "# no comment"),
        ("${LIST}", "[1, 2]"),
    ],
)
def test_variables_are_filled_in_before_a_value_is_typed(written: str, value: object) -> None:
    environ = {"PORT": "8001", "HOST": "gpu", "EMPTY": "", "COMMENT": "# no comment", "LIST": "[1, 2]"}
    found = data(f"key: {written}", **environ)["key"]
    assert (found, type(found)) == (value, type(value))


def test_a_variable_that_is_not_set_is_named_with_what_to_do() -> None:
    assert complaint("a: 1\nb: {c: '${NOT_SET}'}") == (
        "policy.yaml:2: b.c: the environment variable NOT_SET is not set. Set it, or give a default: ${NOT_SET:-value}."
    )


@pytest.mark.parametrize("written", ["${}", "${not-a-name}", "${A-b}", "${A:?b}", "${A:-${B:-c}}", "${A", "${1}"])
def test_a_variable_that_is_written_wrongly_is_refused(written: str) -> None:
    assert complaint(f"x: 1\nkey: '{written}'", B="b").startswith("policy.yaml:2: key: write a variable as ${NAME} or")


def test_keys_are_names_even_when_they_look_like_numbers() -> None:
    assert data("1: a\ntrue: b\n1.10: c\nnull: d\n") == {"1": "a", "true": "b", "1.10": "c", "null": "d"}


def test_a_key_that_stands_twice_is_refused_at_its_second_place() -> None:
    assert (
        complaint("a:\n  b: 1\n  c: 2\n  b: 3\n") == "policy.yaml:4: a.b: this key stands twice; keep one of the two."
    )


def test_a_key_that_is_no_text_is_refused() -> None:
    assert complaint("a: 1\n? [b, c]\n: 2\n").startswith("policy.yaml:2: ?: a key must be plain text.")


def test_merge_keys_are_refused_with_the_way_out() -> None:
    said = complaint("a: &a {b: 1}\nc:\n  <<: *a\n")
    assert said.startswith("policy.yaml:3: c.<<: merge keys are not supported. Write the keys out")


def test_an_alias_stands_for_its_value() -> None:
    assert data("a: &names [x, y]\nb: *names\n") == {"a": ["x", "y"], "b": ["x", "y"]}


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a, *a]",
        "a: &a {b: *a}",
        "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)),
        f"a: &a {'x' * 100_000}\nb: [{'*a, ' * 10_000}]",
    ],
    ids=["a list in itself", "a map in itself", "a billion laughs", "one long text many times"],
)
def test_aliases_that_multiply_are_refused_at_once(text: str) -> None:
    assert "an alias makes this endless or far too large" in complaint(text)


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_a_bomb_of_brackets_is_refused_at_once(opening: str) -> None:
    assert "nested deeper than 32 levels" in complaint("a:\n  " + opening * 2000)


def test_tags_are_refused_since_they_would_be_ignored() -> None:
    assert complaint("a: 1\nb: !secret key").startswith(
        "policy.yaml:2: not valid YAML: tags are not supported, use quotes for text."
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a:\n\tb: 1", "policy.yaml:2: not valid YAML: while scanning"),
        ("a:\n\tb: 1", "Indent with spaces, not tabs."),
        ("a: [1,\nb: 2", "Check the indentation and quotes there."),
        ("a: 1\n---\nb: 2", "policy.yaml:2: not valid YAML: expected a single document in the stream"),
        ("a: *b", "policy.yaml:1: not valid YAML: found undefined alias 'b'"),
        ("a: 1\nb: \x01", "policy.yaml:2: not valid YAML: a control character stands there. Remove it."),
        ('a: 1\nb: "\\UFFFFFFFF"', "policy.yaml:2: not valid YAML: an escape stands for no character. Correct it."),
        ("%YAML 1." + "1" * 5000 + "\n---\na: 1", "policy.yaml:1: not valid YAML"),
        ('a: 1\nb: "\\ud800"', "policy.yaml:2: b: this holds half of a Unicode character."),
        ('a: 1\n"\\ud800": 1', "policy.yaml:2: ?: this key holds half of a Unicode character."),
        ("", "policy.yaml: the file must hold keys and values at its top. Start it with version: 1."),
        ("# nothing\n", "must hold keys and values"),
        ("- a\n- b\n", "must hold keys and values"),
        ("just text", "must hold keys and values"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_line(text: str, says: str) -> None:
    assert says in complaint(text)


def test_a_variable_that_is_no_text_is_refused() -> None:
    assert "half of a Unicode character" in complaint("a: ${BYTES}", BYTES="\udcff")


def test_every_problem_is_named_in_the_order_of_the_file_but_not_hundreds() -> None:
    lines = complaint("".join(f"k{n}: ${{NOT_SET_{n}}}\n" for n in range(100))).split("\n")
    assert [line.split(":")[1] for line in lines[:20]] == [str(n) for n in range(1, 21)]
    assert lines[20:] == ["policy.yaml: and 80 more problems. Correct these first."]


def test_a_problem_is_placed_at_the_nearest_line_there_is() -> None:
    source = Source(FILE, "a: 1\nb:\n  c:\n    - x\n    - {d: 1}\n", {})
    assert str(source.error([Problem(("b", "c", 1, "missing"), "add it.")])) == "policy.yaml:5: b.c.1.missing: add it."
    assert source.line(("nowhere",)) == 1
    assert str(source.error([Problem((), "all is wrong.")])) == "policy.yaml:1: all is wrong."


def test_a_file_is_read_as_utf8_with_or_without_its_mark(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_bytes("\ufeffhardware: 2×A100\r\nb: 1\r\n".encode())
    assert read_source(path, {}).data == {"hardware": "2×A100", "b": 1}


def test_a_file_of_another_encoding_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_bytes("a: 1\nhardware: 2×A100\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"policy\.yaml:2: not UTF-8 text\. Save it as UTF-8\."):
        read_source(path, {})


def test_a_file_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_bytes(b"#" * MAX_BYTES)
    with pytest.raises(ConfigError, match="must hold keys"):
        read_source(path, {})
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(ConfigError, match=r"larger than 512 KiB, which no configuration needs\. Shorten it\."):
        read_source(path, {})


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read \(No such file or directory\)\. Give the right path"):
        read_source(tmp_path / "none.yaml", {})
    with pytest.raises(ConfigError, match=r"cannot be read \(Is a directory\)"):
        read_source(tmp_path, {})


_NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
_CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="$", max_codepoint=0xFFFF)
_TEXTS = st.text(_CHARACTERS)
_NAMES = st.from_regex(r"[a-z]{1,8}", fullmatch=True)


def values(texts: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    scalars = st.none() | st.booleans() | _NUMBERS | texts
    return st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_NAMES, inner, max_size=4), max_leaves=8
    )


@settings(max_examples=50)
@given(st.dictionaries(st.text(_CHARACTERS, max_size=100), values(_TEXTS), min_size=1, max_size=4))
def test_json_is_read_as_it_was_written(value: dict[str, Any]) -> None:
    assert data(json.dumps(value)) == value


@settings(max_examples=50)
@given(st.dictionaries(_NAMES, values(_TEXTS.map(lambda text: f"t{text}")), min_size=1, max_size=4))
def test_yaml_is_read_as_another_writer_wrote_it(value: dict[str, Any]) -> None:
    assert data(yaml.safe_dump(value)) == value


@given(st.text(st.sampled_from("ab:-[]{}&*!|>'\"#%\t\n ,$?\\")))
def test_any_text_is_read_or_refused_with_the_name_of_the_file(text: str) -> None:
    said = "policy.yaml: good"
    try:
        json.dumps(data(text))
    except ConfigError as error:
        said = str(error)
    assert all(line.startswith("policy.yaml") for line in said.split("\n"))
