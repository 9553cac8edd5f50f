"""How results and errors look on the wire (CONTRACT §5). Text and structured content carry the same facts, but for
the numbers of vectors: those are in the structured content only.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from mcp.types import CallToolResult, TextContent
from pydantic import BaseModel, Field

from embeddings_mcp.domain import EmbedResult, ModelCard, RankResult
from embeddings_mcp.errors import ItemsError
from router_mcp.domain import State
from router_mcp.edge.failure import route_key, to_error_result
from router_mcp.edge.receipt import route_meta

Encoding: TypeAlias = Literal["float", "base64"]

ERROR_KEY = "embeddings-mcp/error"
ROUTE_KEY = route_key(ERROR_KEY)
LISTED = 100
"""Lines of a ranking that the text shows; the structured content has all."""
NAMED_ITEMS = 50
"""Texts at fault that an error names for machines."""


class UsageOutput(BaseModel):
    """What was counted."""

    input_tokens: int = Field(description="Tokens that the backend counted; remembered texts cost none.")


class EmbedOutput(BaseModel):
    """Vectors, in the order of the texts."""

    model: str = Field(description="The model that made every vector.")
    dimensions: int
    count: int
    encoding: Encoding
    usage: UsageOutput
    truncated: list[int] = Field(default=[], description="Indices of texts that were cut to the model's limit.")
    fallback_from: list[str] = Field(default=[], description="Models of the same space that could not serve.")
    # Not list[list[float]]: clients check results against the schema, and a million numbers one by one take seconds.
    embeddings: list[Any] = Field(
        description="One vector a text: a list of numbers, or with base64 a string of little-endian float32."
    )


class RankedOutput(BaseModel):
    """One text of a ranking."""

    index: int = Field(description="Index in `texts`.")
    score: float = Field(description="Cosine similarity to the query, -1 to 1.")


class RankOutput(BaseModel):
    """A ranking, best first."""

    model: str
    count: int = Field(description="How many texts were ranked.")
    usage: UsageOutput
    truncated: list[int] = Field(default=[], description="Indices of texts that were cut to the model's limit.")
    query_truncated: bool = False
    fallback_from: list[str] = Field(default=[], description="Models of the same space that could not serve.")
    results: list[RankedOutput]


class ModelOutput(BaseModel):
    """One embedding model."""

    name: str
    backend: str
    space: str = Field(description="Only vectors of one space can be compared.")
    dimensions: int
    allowed_dimensions: list[int] = Field(description="What `dimensions` may be.")
    max_input_tokens: int
    default: bool
    fallbacks: list[str]
    state: State
    description: str
    detail: str | None = Field(default=None, description="Why it is not well, and what to do.")


class ModelsOutput(BaseModel):
    """The models of the configuration."""

    models: list[ModelOutput]


EmbedReply: TypeAlias = Annotated[CallToolResult, EmbedOutput]
RankReply: TypeAlias = Annotated[CallToolResult, RankOutput]
ModelsReply: TypeAlias = Annotated[CallToolResult, ModelsOutput]


def embed_reply(result: EmbedResult, encoding: Encoding) -> CallToolResult:
    """Return vectors; the text says what they are, and never their numbers."""
    from embeddings_mcp.vectors import to_base64, to_floats  # noqa: PLC0415 - numpy, which no start needs

    count, usage = len(result.vectors), UsageOutput(input_tokens=result.usage.input_tokens)
    output = EmbedOutput(
        model=result.model,
        dimensions=result.dimensions,
        count=count,
        encoding=encoding,
        usage=usage,
        truncated=list(result.truncated),
        fallback_from=list(result.fallback_from),
        embeddings=to_base64(result.vectors) if encoding == "base64" else to_floats(result.vectors),
    )
    text = f"{count:,} {_plural(count, 'vector')} of {result.dimensions} dimensions from {result.model}"
    text += f" ({usage.input_tokens:,} tokens), in structuredContent.{_asides(result)}"
    return _reply(text, output, result)


def rank_reply(result: RankResult, count: int) -> CallToolResult:
    """Return a ranking as numbers and as lines to read."""
    output = RankOutput(
        model=result.model,
        count=count,
        usage=UsageOutput(input_tokens=result.usage.input_tokens),
        truncated=list(result.truncated),
        query_truncated=result.query_truncated,
        fallback_from=list(result.fallback_from),
        results=[RankedOutput(index=each.index, score=round(each.score, 6)) for each in result.results],
    )
    lines = [f"Best first of {count:,} {_plural(count, 'text')}, by {result.model}:"]
    lines += [
        f"{place}. index {each.index}, score {each.score:.4f}" for place, each in enumerate(output.results[:LISTED], 1)
    ]
    if (more := len(output.results) - LISTED) > 0:
        lines.append(f"… and {more:,} more in structuredContent.")
    cut = " The query was cut to the model's limit." if result.query_truncated else ""
    return _reply("\n".join(lines) + _asides(result, "\n") + cut, output, result)


def models_reply(cards: tuple[ModelCard, ...]) -> CallToolResult:
    """Return the catalog."""
    output = ModelsOutput(
        models=[
            ModelOutput(
                name=card.name,
                backend=card.backend,
                space=card.space,
                dimensions=card.dimensions,
                allowed_dimensions=list(card.allowed_dimensions),
                max_input_tokens=card.max_input_tokens,
                default=card.default,
                fallbacks=list(card.fallbacks),
                state=card.state,
                description=card.description,
                detail=card.detail,
            )
            for card in cards
        ]
    )
    return _reply("\n".join(map(_line, output.models)), output, None)


def items_error(error: ItemsError) -> CallToolResult:
    """Return an error that also names the texts at fault for machines: `items` under the error's key."""
    result = to_error_result(error, error_key=ERROR_KEY)
    assert result.meta is not None
    result.meta[ERROR_KEY]["items"] = [
        {"index": item.index, "reason": item.reason} for item in error.items[:NAMED_ITEMS]
    ]
    return result


def _line(model: ModelOutput) -> str:
    sizes = "/".join(map(str, model.allowed_dimensions))
    parts = [f"{model.name}{' (default)' if model.default else ''}: {model.state}, {sizes} dimensions"]
    parts += [f"{model.max_input_tokens:,} tokens a text", f"space {model.space}", f"backend {model.backend}"]
    if model.fallbacks:
        parts.append(f"falls back to {', '.join(model.fallbacks)}")
    return ", ".join(parts) + "." + "".join(f" {said}" for said in (model.description, model.detail) if said)


def _asides(result: EmbedResult | RankResult, before: str = " ") -> str:
    said = ""
    if result.truncated:
        shown = ", ".join(map(str, result.truncated[:LISTED]))
        more = ", …" if len(result.truncated) > LISTED else ""
        said += f"{before}Cut to the model's limit: {_plural(len(result.truncated), 'text')} {shown}{more}."
    if result.fallback_from:
        said += f"{before}{', '.join(result.fallback_from)} could not serve."
    return said


def _plural(count: int, noun: str) -> str:
    return noun if count == 1 else f"{noun}s"


def _reply(text: str, output: BaseModel, result: EmbedResult | RankResult | None) -> CallToolResult:
    return CallToolResult(
        content=[TextContent(text=text)],
        structured_content=output.model_dump(exclude_defaults=True),
        _meta={ROUTE_KEY: route_meta(result.receipt)} if result else None,
    )
