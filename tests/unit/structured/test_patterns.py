"""Regular expressions mean what ECMA-262 says, and take linear time whatever they are."""

from __future__ import annotations

import pytest

from router_mcp.structured.patterns import compile_search, compile_whole
from router_mcp.structured.regex_syntax import PatternError


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("b", "abc"),
        ("^abc$", "abc"),
        ("", ""),
        ("a|", "x"),
        (r"^\d{2,3}$", "123"),
        (r"^\w+\s\S$", "ab c"),
        (r"^[\w.-]+$", "a.b-c"),
        (r"^[a\]b]+$", "a]b"),
        ("^[a-]$", "-"),
        (r"^[\d-x]$", "-"),
        (r"^[a-\d]$", "7"),
        (r"^[\b]$", "\b"),
        (r"^\x41\u0042\u{43}\cJ\0$", "ABC\n\0"),
        (r"^\ud83d\ude00$", "😀"),
        (r"^.$", "😀"),
        ("^[^]$", "\n"),
        (r"^\p{Letter}\p{Lu}\P{L}$", "éA1"),
        (r"^\p{Script=Greek}+$", "αβ"),
        (r"^[\p{L}\d]+$", "é1"),
        (r"^[^\p{L}]+$", "12"),
        ("^(?:a|b)(c)(?<name>d)$", "acd"),
        ("^a{2}b{1,}c{0,2}?d+?$", "aabbd"),
        ("^a{,2}$", "a{,2}"),
        ("^x{$", "x{"),
        ("^(?=.*[0-9])(?=.*[a-z]).{3}$", "a1_"),
        ("^(?!.*secret).*$", "plain"),
        (r"\bfoo\b", "a foo b"),
        (r"^a\Bb$", "ab"),
        ("^.{2,5000}$", "x" * 4_000),
        ("^((ab){40}){50}$", "ab" * 2_000),
        ("^(a{600}){2,}$", "a" * 1_800),
        (r"^\-\/\_$", "-/_"),
        ("^(a+)+$", "a" * 30_000),
    ],
)
def test_a_pattern_is_found(pattern: str, text: str) -> None:
    assert compile_search(pattern).matches(text)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("^abc$", "abc\n"),
        ("^.$", "\n"),
        (r"^\d$", "٣"),
        (r"^\w$", "é"),
        ("^(?!.*secret).*$", "a secret"),
        ("^(?=.*[0-9])a+$", "aa"),
        ("^(a+)+$", "a" * 30_000 + "!"),
        ("^(a|a|aa)*$", "a" * 30_000 + "!"),
        (r"^[^\s\S]$", "a"),
        ("^(a|b)*a(a|b){12}$", "b" * 30_000),
        ("^.{2,5000}$", "x" * 5_001),
    ],
)
def test_a_pattern_is_not_found(pattern: str, text: str) -> None:
    assert not compile_search(pattern).matches(text)


def test_a_regex_constraint_matches_the_whole_text() -> None:
    assert compile_whole("a|ab").matches("ab")
    assert not compile_whole("a|ab").matches("abc")
    assert compile_whole("(?=a)[a-z]{2}").matches("ab")
    assert not compile_whole("(?!a)[a-z]{2}").matches("ab")


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(", "unclosed group"),
        (")", "unmatched )"),
        ("[", "in the middle"),
        ("\\", "in the middle"),
        ("*a", "repeats nothing with *"),
        ("a**", "two quantifiers"),
        ("^*", "repeats an anchor or a lookahead"),
        ("(?=a)+", "repeats an anchor or a lookahead"),
        ("a{3,2}", "wrong way round"),
        ("[z-a]", "wrong way round"),
        (r"\Z", r"the escape \Z"),
        (r"\k<a>", "back-reference"),
        (r"[\1]", "back-reference"),
        ("(?<=a)b", "lookbehind"),
        ("(?<!a)b", "lookbehind"),
        ("(?i)a", "group or flag"),
        ("(?P<a>b)", "group or flag"),
        ("a(?=b)", "lookahead where"),
        (r"\x4", r"malformed \x"),
        (r"\u12", r"malformed \u"),
        (r"\ud800", "no character"),
        (r"\u{110000}", "no character"),
        (r"\c1", r"malformed \c"),
        (r"\p", r"malformed \p"),
        (r"\p{Nonsense}", "Unicode property that is not known"),
        (r"[\P{L}]", r"\P inside a class"),
        ("(" * 60 + ")" * 60, "nests groups deeper than 50"),
        ("a" * 5_000, "5,000 characters"),
        ("(a{1000}){100}", "repeats more than 50,000"),
        ("a{99999999999999}", "repeats more than 50,000"),
        (r"\p{L}{9000}", "larger than can be checked"),
    ],
)
def test_a_pattern_that_is_wrong_or_cannot_be_bounded_is_refused(pattern: str, why: str) -> None:
    with pytest.raises(PatternError) as refused:
        compile_search(pattern)
    assert why in str(refused.value)
