"""Grammars in GBNF and in Lark: read, checked exactly, and refused where an answer could not be checked."""

from __future__ import annotations

import pytest

from router_mcp.domain import Grammar
from router_mcp.errors import OutputInvalidError, SchemaInvalidError
from router_mcp.structured.grammar import read
from tests.unit.structured.constraints import answer, prepared

ARITHMETIC = r"""
# llama.cpp's example: a lexer that takes the longest token fails on it
root ::= (expr "=" ws term "\n")+
expr ::= term ([-+*/] term)*
term ::= ident | num | "(" ws expr ")" ws
ident ::= [a-z] [a-z0-9_]* ws
num ::= [0-9]+ ws
ws ::= [ \t\n]*
"""
SUMS = """
%import common.NUMBER
%import common (WS, CNAME)
%import common.INT -> WHOLE
%ignore WS
?start: sum
?sum: product | sum "+" product -> add   // left-recursive
?product.2: NUMBER | CNAME | "(" sum ")" | "#" WHOLE
"""


def belongs(grammar: str, text: str) -> bool:
    try:
        return isinstance(answer(Grammar(grammar), text), str)
    except OutputInvalidError:
        return False


@pytest.mark.parametrize(
    ("grammar", "text"),
    [
        (ARITHMETIC, "(a+3)*b=7\n"),
        (ARITHMETIC, "x = 1\ny = 2\n"),
        ('root ::= [a-z]* "a"', "banana"),
        ('root ::= x root "a" | ""\nx ::= [a-z]+', "baca"),
        ('root ::= "\\u00e9" "\\x41" "\\U0001F600" "\\\\" "\\n"', "éA😀\\\n"),
        ("root ::= [^a-c\\]-] .", "dx"),
        ('root ::= "a"{2} "b"{1,} "c"{0,2} "d"?', "aabbc"),
        ('root ::= ("a" |\n  "b") # a comment\n  "c"', "bc"),
        ("root ::= [\\u0041-\\u0043]+", "ABC"),
        (SUMS, "1 + (x2+3.5e1) + #7"),
        (SUMS, " 1 "),
        ('start: "yes"i | "no"', "YeS"),
        ('start: A+\nA.1: "a".."c" | /[0-9]{2}/', "a12c"),
        ('start: /a.b/s "x" ~ 2', "a\nbxx"),
        ('start: /[a-c]+/i "d" ~ 1..2', "aBCdd"),
        ('start: ["a"] ("b"){,2}', "abb"),
        ('%llguidance {}\nstart[lazy]: "\\x41\\u0042\\"\\n" // comment', 'AB"\n'),
        ("start: WORD\n%import common.WORD", "abc"),
        ('!start: _x\n_x: "a"', "a"),
    ],
)
def test_a_sentence_is_accepted(grammar: str, text: str) -> None:
    assert belongs(grammar, text)


@pytest.mark.parametrize(
    ("grammar", "text"),
    [
        (ARITHMETIC, "(a+3)*b=7"),
        (ARITHMETIC, "a+=1\n"),
        ('root ::= "a"{2}', "aaa"),
        ("root ::= .", "ab"),
        (SUMS, "1 +"),
        (SUMS, "1 2"),
        ('start: "yes"i', "yess"),
        ("start: /a.b/", "a\nb"),
        ('start: "a" ~ 2', "a"),
        ('root ::= ""', "x"),
    ],
)
def test_what_is_no_sentence_is_refused(grammar: str, text: str) -> None:
    assert not belongs(grammar, text)


@pytest.mark.parametrize(
    ("grammar", "why"),
    [
        ("root ::= x", "uses the rule x"),
        ('x ::= "a"', "has no rule root"),
        ("root ::= root", "never comes to an end"),
        ('root ::= "a', "something that GBNF does not, on line 1"),
        ('root ::= "a" )', "where a rule should begin"),
        ('root ::= ("a"', "unclosed group"),
        ('root ::= "\\q"', "an escape that GBNF does not have"),
        ("root ::= [z-a]", "wrong way round"),
        ('root ::= "a"{3,2}', "wrong way round"),
        ('root ::= "a"{100000}', "more than 50,000 symbols"),
        (f'root ::= "{"ab" * 26_000}"', "more than 50,000 symbols"),
        ("root ::= " + "(" * 60 + '"a"' + ")" * 60, "nests groups deeper than 50"),
        ('start: %json {"type": "object"}', "does not, or that could not be checked"),
        ("start: <|special|>", "does not, or that could not be checked"),
        ('start: "a" & "b"', "does not, or that could not be checked"),
        ('start: "a" )', "where a rule should begin"),
        ('start: ("a"', "unclosed group"),
        ("start: " + "(" * 60 + '"a"' + ")" * 60, "nests groups deeper than 50"),
        ("start: /(/", "regular expression that has an unclosed group"),
        ("start: /a/x", "flags 'x'"),
        ("start: /^a/", "an anchor or a lookahead"),
        (r"start: /\p{L}/", "a Unicode property"),
        ('start: "b".."a"', "not two characters in order"),
        ('start: "ab".."c"', "not two characters in order"),
        ('start: "a" ~ 3..2', "wrong way round"),
        ('start: "\\U00110000"', "no character"),
        ("start: A\n%import common.NOPE", "imports common.NOPE"),
        ("start: nope", "uses the rule nope"),
    ],
)
def test_a_grammar_that_is_wrong_or_uncheckable_is_refused(grammar: str, why: str) -> None:
    with pytest.raises(SchemaInvalidError) as refused:
        prepared(Grammar(grammar))
    assert why in str(refused.value)


@pytest.mark.parametrize(
    ("grammar", "recursive"),
    [
        ('root ::= root "a" | "b"', True),
        ('root ::= x "a"\nx ::= "" | root', True),
        ('root ::= ("a"*)*', True),
        ('root ::= "a"* ("b" root)?', False),
        (ARITHMETIC, False),
    ],
)
def test_left_recursion_is_told_from_repetition(grammar: str, recursive: bool) -> None:
    assert read(grammar).language.is_left_recursive() is recursive
