"""What each engine can enforce of a schema, as data.

Two engines stand behind three kinds of runtime. Facts: vLLM B1 and B5 with llguidance's own documentation;
ollama.md section 4 with the converter of llama.cpp that it runs; what was tried with xllamacpp 2026.10.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from router_mcp.domain import RuntimeKind

_EVERYWHERE: Final = frozenset({
    "$ref", "type", "enum", "const", "anyOf", "allOf", "properties", "required", "additionalProperties", "items",
    "prefixItems", "minItems", "maxItems", "minLength", "maxLength", "pattern", "format", "minimum", "maximum",
    "exclusiveMinimum", "exclusiveMaximum",
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """One constrained decoder. Keywords that are not named here are left out and checked afterwards."""

    name: str
    keywords: frozenset[str]
    """Those that it enforces; the rest it refuses (llguidance: 400) or drops in silence (llama.cpp)."""
    formats: frozenset[str]
    """Those that it enforces; llguidance refuses others."""
    largest_count: int
    """Counts above this are left out. llama.cpp writes them out: `maxLength` 100,000 took 42 s (`026s`)."""
    widest_enum: int
    """An enum of more strings becomes a pattern. llama.cpp tries every alternative: 2,000 took 53 s (`026t`)."""
    patterns: Literal["portable", "llama"]
    """The syntax of its regular expressions: `regex_emit.portable` or `regex_emit.llama`."""
    closed: bool
    """Whether an object without `additionalProperties` gets its declared properties only."""
    fitted: bool
    """Whether its models need every answer bounded to their token limit, and not only a second try."""


LLGUIDANCE: Final = Engine(
    name="llguidance",
    keywords=_EVERYWHERE | {"multipleOf", "patternProperties", "minProperties", "maxProperties"},
    formats=frozenset({
        "date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri",
    }),
    largest_count=100_000,
    widest_enum=10_000,
    patterns="portable",
    closed=False,
    fitted=False,
)  # fmt: skip
EMBEDDED: Final = replace(LLGUIDANCE, name="llguidance in llama.cpp", closed=True, fitted=True)
"""The same for the small models that run here, which fill an open object, a text or a list with rubbish until they
are cut. Closed is also what llama.cpp's own converter makes of it."""

LLAMA_CPP: Final = Engine(
    name="llama.cpp",
    keywords=_EVERYWHERE,
    formats=frozenset({"date", "time", "date-time", "uuid"}),
    largest_count=256,
    widest_enum=32,
    patterns="llama",
    closed=True,
    fitted=False,
)
PLAIN: Final = replace(
    LLGUIDANCE,
    name="plain",
    keywords=frozenset(
        {"$ref", "type", "enum", "anyOf", "allOf", "properties", "required", "additionalProperties", "items"}
    ),
    formats=frozenset(),
)
"""What every engine there is has: the last form to try before giving up."""
PLAIN_LLAMA_CPP: Final = replace(LLAMA_CPP, name="plain llama.cpp", keywords=PLAIN.keywords, formats=frozenset())
"""The same within what llama.cpp's converter reads."""

OF_KIND: Final[dict[RuntimeKind, Engine]] = {"vllm": LLGUIDANCE, "embedded": EMBEDDED, "ollama": LLAMA_CPP}
"""The engine behind each kind. vLLM's is as we deploy it: pinned to `guidance` (vLLM B5). xllamacpp has both
engines; its own converter is the slower, and refuses or drops more."""

UNREADABLE_NAMES: Final = frozenset({"$ref", "$defs"})
"""Property names that llama.cpp's converter takes for keywords, wherever they stand."""

LARGEST_INTEGER: Final = 2**63 - 1
"""Bounds beyond it are left out: neither engine reads them."""
