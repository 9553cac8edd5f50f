"""How large a constraint and an answer may be, in one place.

Every number is a refusal that names itself: a constraint beyond it could stall an engine (vLLM #54003 has no
compile timeout; llama.cpp's sampler slows with the grammar) or this process. They are far above what the
schemas of JSONSchemaBench need.
"""

from __future__ import annotations

from typing import Final

SCHEMA_CHARS: Final = 512 * 1024
"""Characters of a schema written as compact JSON."""

NESTING: Final = 64
"""Objects and arrays inside one another in a schema, as vLLM limits it (`so_rf_schema_deep`)."""

SUBSCHEMAS: Final = 10_000
"""Schemas in a schema, itself and its definitions included."""

BRANCHES: Final = 500
"""Members of one `anyOf`, `oneOf` or `allOf`."""

ALTERNATIVES: Final = 1_000_000
"""Ways through nested `anyOf` and `oneOf` when every `$ref` is followed: the measure of an exponential schema."""

LOOKS: Final = 2_000
"""Schemas that look at one and the same value, through `allOf`, `$ref` and their like."""

DEFINITION_LEVELS: Final = 500
"""Levels of schemas in all definitions that are referred to, added up. llguidance follows references on the stack,
which ends it, and the process that it runs in, at about 1,500 (measured with 8 MB)."""

ENUM_VALUES: Final = 10_000
"""Values of one `enum`, and options of a choice."""

PROPERTIES: Final = 2_000
"""Properties that one schema may declare."""

PATTERN_CHARS: Final = 4_096
"""Characters of one regular expression."""

PATTERN_NESTING: Final = 50
"""Groups inside one another in a regular expression."""

PATTERN_STEPS: Final = 50_000
"""Characters and classes of one regular expression when every counted repetition is written out."""

PATTERNS: Final = 500
"""Different regular expressions in one schema."""

PATTERN_STEPS_TOTAL: Final = 100_000
"""`PATTERN_STEPS` summed over a schema."""

LEAST_ITEMS: Final = 10_000
"""The largest `minItems`, `minProperties` or `minContains` that an answer could be asked for."""

LEAST_LENGTH: Final = 100_000
"""The largest `minLength` that an answer could be asked for."""

GRAMMAR_CHARS: Final = 64 * 1024
"""Characters of a grammar."""

GRAMMAR_SYMBOLS: Final = 50_000
"""Symbols of a grammar when every counted repetition is written out."""

ANSWER_NESTING: Final = 128
"""Objects and arrays inside one another in an answer."""

ANSWER_CHARS: Final = 4 * 1024 * 1024
"""Characters of an answer."""

NUMBER_DIGITS: Final = 1_000
"""Digits of one integer in an answer; beyond, arithmetic on it is no longer free."""

CHECK_STEPS: Final = 200_000
"""Keywords applied while one answer is checked, one or two seconds: the bound on exponential schemas."""

GRAMMAR_CHECK_STEPS: Final = 500_000
"""Items that the recogniser looks at for one answer, about a second."""

VIOLATIONS: Final = 5
"""Violations that an error carries: enough to repair from, few enough for a prompt."""

VIOLATION_CHARS: Final = 300
"""Characters of one violation."""
