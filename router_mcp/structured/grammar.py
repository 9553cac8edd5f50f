"""Which notation a grammar is in, and whether answers can be checked against it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from router_mcp.errors import SchemaInvalidError
from router_mcp.structured import gbnf, lark
from router_mcp.structured.grammar_tree import GrammarError, Language, language
from router_mcp.structured.limits import GRAMMAR_CHARS

Notation = Literal["gbnf", "lark"]
_GBNF: Final = re.compile(r"^\s*[A-Za-z][A-Za-z0-9_-]*\s*::=", re.MULTILINE)
_LARK: Final = re.compile(r"^\s*[?!]*start(?:\.-?\d+)?(?:\[\w+\])?\s*:(?!:)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class CheckedGrammar:
    """A grammar in a notation that is known."""

    notation: Notation
    language: Language


def read(text: str) -> CheckedGrammar:
    """Read a grammar; raises `SchemaInvalidError` when it is wrong or answers could not be checked against it."""
    if len(text) > GRAMMAR_CHARS:
        raise SchemaInvalidError(f"The grammar has more than {GRAMMAR_CHARS:,} characters. Use a smaller one.")
    notation: Notation
    try:
        if _GBNF.search(text):
            notation, rules, start = "gbnf", gbnf.parse(text), "root"
        elif _LARK.search(text):
            notation, rules, start = "lark", lark.parse(text), "start"
        else:
            raise SchemaInvalidError(
                "The grammar is neither GBNF (root ::= …) nor Lark (start: …). Write it in one of the two."
            )
        return CheckedGrammar(notation, language(rules, start))
    except GrammarError as wrong:
        raise SchemaInvalidError(f"The grammar {wrong}. Correct it, or use a JSON schema.") from wrong
