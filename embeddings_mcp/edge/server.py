"""The tools of the embeddings server: arguments in, a request to the embedder, a reply out. Nothing is decided here."""

from __future__ import annotations

import importlib.metadata
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.types import ToolAnnotations
from pydantic import Field

from embeddings_mcp.domain import EmbedRequest, InputType, RankRequest
from embeddings_mcp.edge.results import (
    ERROR_KEY,
    EmbedReply,
    Encoding,
    ModelsReply,
    RankReply,
    embed_reply,
    items_error,
    models_reply,
    rank_reply,
)
from embeddings_mcp.embedder import Embedder
from embeddings_mcp.errors import ItemsError
from embeddings_mcp.request import MAX_TEXTS
from router_mcp.edge.arguments import StrictTool, strict_tool
from router_mcp.edge.progress import heartbeats
from router_mcp.edge.tasks import Tasks
from router_mcp.edge.tenant import tenant_of
from router_mcp.edge.trace import current_traceparent

INSTRUCTIONS = (
    "Vectors and rankings from local embedding models. To find which of some texts fit a question, call rank_texts: "
    "it returns indices and scores, and no vectors. embed_texts returns vectors, for indexing; embed stored texts with "
    "input_type document and questions with input_type query. Only vectors of one model's space can be compared."
)
LONG_TOOLS = ("embed_texts", "rank_texts")
"""Tools whose calls may be answered with a handle (`router_mcp.edge.tasks`)."""
_READ_ONLY = ToolAnnotations(read_only_hint=True, idempotent_hint=True, destructive_hint=False, open_world_hint=False)

Texts = Annotated[
    list[str], Field(min_length=1, max_length=MAX_TEXTS, description=f"1 to {MAX_TEXTS:,} texts, none empty.")
]
Model = Annotated[str | None, Field(description="Embedding model; list_embedding_models names them.")]
Tenant = Annotated[str | None, Field(max_length=256, description="Whose call this is, for fair queues and caches.")]
Truncate = Annotated[bool, Field(description="Cut texts that are too long, and say which; else they are an error.")]


class Doing:
    """Where a call stands, for progress reports."""

    def __init__(self, texts: int) -> None:
        self.count = 0.0
        self._texts = texts

    def heard(self, done: int, count: int) -> None:
        """Take the embedder's progress."""
        self.count, self._texts = float(done), count

    def describe(self) -> str:
        """Say how many texts are done."""
        return f"{self.count:,.0f} of {self._texts:,} texts"


class Tools:
    """The three tools, bound to an embedder."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    async def embed_texts(  # noqa: PLR0913, PLR0917 - CONTRACT §5
        self,
        texts: Texts,
        ctx: Context[Any, Any],
        model: Model = None,
        input_type: Annotated[
            InputType, Field(description="document for texts that are stored, query for what is asked of them.")
        ] = "document",
        dimensions: Annotated[
            int | None, Field(ge=1, description="Shorter vectors, where the model was trained for them.")
        ] = None,
        encoding: Annotated[
            Encoding, Field(description="How vectors are written; base64 (little-endian float32) is far smaller.")
        ] = "float",
        truncate: Truncate = False,
        tenant: Tenant = None,
    ) -> EmbedReply:
        """Turn texts into vectors, one a text, in their order."""
        request = EmbedRequest(
            texts=tuple(texts),
            model=model,
            input_type=input_type,
            dimensions=dimensions,
            truncate=truncate,
            tenant=tenant_of(ctx, tenant),
            traceparent=current_traceparent(),
        )
        doing = Doing(len(texts))
        try:
            async with heartbeats(ctx, doing):
                result = await self._embedder.embed(request, doing.heard)
        except ItemsError as error:
            return items_error(error)
        return embed_reply(result, encoding)

    async def rank_texts(  # noqa: PLR0913, PLR0917 - CONTRACT §5
        self,
        query: Annotated[str, Field(min_length=1, description="The question, or whatever the texts should be like.")],
        texts: Texts,
        ctx: Context[Any, Any],
        top_k: Annotated[int | None, Field(ge=1, description="Return only the best so many; all if left out.")] = None,
        model: Model = None,
        truncate: Truncate = False,
        tenant: Tenant = None,
    ) -> RankReply:
        """Put texts in order of how well they fit a query: indices and scores, best first."""
        request = RankRequest(
            query=query,
            texts=tuple(texts),
            top_k=top_k,
            model=model,
            truncate=truncate,
            tenant=tenant_of(ctx, tenant),
            traceparent=current_traceparent(),
        )
        doing = Doing(len(texts))
        try:
            async with heartbeats(ctx, doing):
                result = await self._embedder.rank(request, doing.heard)
        except ItemsError as error:
            return items_error(error)
        return rank_reply(result, len(texts))

    async def list_embedding_models(self) -> ModelsReply:
        """List the embedding models: dimensions, limits, space, and how each stands now."""
        return models_reply(self._embedder.cards())


def build_server(embedder: Embedder, tasks: Tasks | None = None) -> MCPServer[None]:
    """Make the MCP server of an embedder, which must stay open as long as it runs."""
    long_calls = tasks or Tasks(LONG_TOOLS)

    @asynccontextmanager
    async def lifespan(_: MCPServer[None]) -> AsyncGenerator[None]:
        async with long_calls.running():
            yield

    return MCPServer(
        "embeddings",
        title="Embeddings MCP",
        instructions=INSTRUCTIONS,
        version=importlib.metadata.version("router-mcp"),
        tools=list(make_tools(embedder)),
        extensions=[long_calls],
        lifespan=lifespan,
    )


def make_tools(embedder: Embedder) -> Sequence[StrictTool]:
    """Make the three tools; the models of the configuration are offered as values of `model`."""
    tools, file = Tools(embedder), embedder.file
    embed = _tool(tools.embed_texts, "Embed texts")
    rank = _tool(tools.rank_texts, "Rank texts")
    for tool in (embed, rank):
        tool.offer("model", list(file.models), default=file.defaults.model)
    return embed, rank, _tool(tools.list_embedding_models, "List embedding models")


def _tool(function: Any, title: str) -> StrictTool:
    return strict_tool(function, error_key=ERROR_KEY, title=title, annotations=_READ_ONLY)
