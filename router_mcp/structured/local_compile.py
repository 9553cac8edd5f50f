"""llguidance, asked here and now whether it can compile a schema, as vLLM and llama.cpp will ask it.

llama.cpp answers without any constraint where llguidance refuses its grammar, and vLLM with a 400; so it is found
out before. The work is bounded by llguidance's own fuel, which counts steps, not seconds.
"""

from __future__ import annotations

import json
from typing import Any, Final

from llguidance import LLMatcher, LLParserLimits, grammar_from

_LIMITS: Final = LLParserLimits(
    initial_lexer_fuel=1_000_000, max_lexer_states=50_000, max_grammar_size=300_000, precompute_large_lexemes=False
)


def compiles(schema: dict[str, Any]) -> bool:
    """Whether llguidance takes the schema."""
    grammar = LLMatcher.grammar_from_json_schema(json.dumps(schema))
    refused, _ = LLMatcher.validate_grammar_with_warnings(grammar, limits=_LIMITS)
    return not refused


def compiles_grammar(text: str) -> bool:
    """Whether llguidance takes the grammar, in Lark or in GBNF, which it turns into Lark first."""
    try:
        grammar = grammar_from("grammar", text)
    except ValueError:
        return False
    refused, _ = LLMatcher.validate_grammar_with_warnings(grammar, limits=_LIMITS)
    return not refused
