"""The arguments of the router's tools, described once: bounds, units and examples (CONTRACT §4)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_PROMPT_CHARS = 4_000_000


class Turn(BaseModel):
    """One earlier turn of the conversation."""

    model_config = ConfigDict(extra="forbid", strict=True)

    role: Literal["user", "assistant", "system"]
    content: Annotated[str, Field(max_length=MAX_PROMPT_CHARS)]


Prompt = Annotated[
    str,
    Field(min_length=1, max_length=MAX_PROMPT_CHARS, description="What to do, with all the text that it needs."),
]
Task = Annotated[
    str | None,
    Field(description="What kind of work it is; the policy picks the model (see list_models)."),
]
System = Annotated[str | None, Field(max_length=MAX_PROMPT_CHARS, description="Instructions that rule the answer.")]
History = Annotated[
    list[Turn] | None, Field(max_length=1000, description='Earlier turns: [{"role": "user", "content": "…"}, …].')
]
Temperature = Annotated[
    float | None, Field(ge=0, le=2, description="0 to 2. Default: the task's, mostly 0.7; clamped to 0.3 if critical.")
]
MaxOutputTokens = Annotated[int | None, Field(ge=1, le=1_000_000, description="Most tokens of the answer.")]
Stop = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=256)]] | None,
    Field(max_length=4, description="Up to 4 texts that end the answer; not used with a constraint."),
]
Seed = Annotated[int | None, Field(ge=0, le=2**32 - 1, description="Same seed, same model, same prompt: same answer.")]
TimeoutS = Annotated[float | None, Field(gt=0, le=86_400, description="Seconds; may only shorten the policy's.")]
Tenant = Annotated[
    str | None, Field(min_length=1, max_length=256, description="Whose call it is; keeps prompt caches apart.")
]
IdempotencyKey = Annotated[
    str | None,
    Field(
        min_length=1,
        max_length=256,
        description="Any text. Repeat a call that timed out with the same key, and it joins the first run.",
    ),
]
Model = Annotated[str | None, Field(description="Pins one model of the catalog; then there is no fallback.")]

JsonSchemaArgument = Annotated[
    dict[str, Any] | None, Field(description='A JSON Schema, such as {"type": "object", "properties": {…}}.')
]
ChoicesArgument = Annotated[list[str] | None, Field(description="The answer is one of these texts.")]
RegexArgument = Annotated[str | None, Field(description="The whole answer matches this pattern.")]
GrammarArgument = Annotated[str | None, Field(description="A grammar (EBNF or Lark) that the answer belongs to.")]
InputTokens = Annotated[int | None, Field(ge=0, description="Length of the prompt to plan for, in tokens.")]
