"""A catalog of made-up models, and backends that answer as a test wants."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import anyio
import numpy as np

from embeddings_mcp.cache import VectorCache
from embeddings_mcp.config.checks import problems
from embeddings_mcp.config.file import EmbeddingsFile
from embeddings_mcp.dispatch import Dispatch
from embeddings_mcp.domain import Answer, Batch, Vectors
from embeddings_mcp.embedder import Embedder
from embeddings_mcp.telemetry.base import BatchStarted, Event
from router_mcp.admission import AdmissionBook, Limit
from router_mcp.board import HealthBoard
from router_mcp.domain import Endpoint, Probe
from router_mcp.errors import AttemptError

DIMENSIONS = 4
Reply = Callable[[Batch], Awaitable[Answer]]


def file(**changes: Any) -> EmbeddingsFile:
    """Return a configuration: `first` falls back to `second` of the same space, and `other` is of another one."""
    first = {"backend": "a", "space": "s", "dimensions": DIMENSIONS, "max_input_tokens": 100, "matryoshka": [2]}
    data: dict[str, Any] = {
        "version": 1,
        "backends": {
            "a": {"kind": "ollama", "endpoints": ["http://127.0.0.1:1", "http://127.0.0.1:2"], "max_concurrency": 2},
            "b": {"kind": "openai", "endpoints": ["http://127.0.0.1:3"]},
            "c": {"kind": "wordllama"},
        },
        "models": {
            "first": {**first, "fallbacks": ["second"], "query_prefix": "Q: ", "document_prefix": "D: "},
            "second": {**first, "backend": "b", "query_prefix": "Q: ", "document_prefix": "D: "},
            "other": {"backend": "c", "dimensions": DIMENSIONS, "max_input_tokens": 100},
        },
        "defaults": {"model": "first"},
    }
    for path, value in changes.items():
        *sections, key = path.split("__")
        place = data
        for section in sections:
            place = place.setdefault(section, {})
        place[key] = value
    parsed = EmbeddingsFile.model_validate(data)
    assert not problems(parsed)
    return parsed


def vector(text: str, length: int = DIMENSIONS) -> list[float]:
    """Return the vector that the made-up models have for a text: different for different texts, never zero."""
    seed = sum((place + 1) * ord(letter) for place, letter in enumerate(text))
    return [float((seed * (index + 3)) % 97 + 1) for index in range(length)]


def expected(*texts: str) -> Vectors:
    """Return what a caller should get for texts with their prefixes: normalised vectors."""
    rows = np.array([vector(text) for text in texts], dtype=np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def answer(batch: Batch) -> Answer:
    """Answer a batch well; a token a letter."""
    return Answer(
        vectors=np.array([vector(text) for text in batch.texts], dtype=np.float32),
        input_tokens=sum(map(len, batch.texts)),
    )


async def well(batch: Batch) -> Answer:
    return answer(batch)


def failing(error: AttemptError) -> Reply:
    async def reply(batch: Batch) -> Answer:
        raise error

    return reply


def slow(seconds: float) -> Reply:
    async def reply(batch: Batch) -> Answer:
        await anyio.sleep(seconds)
        return answer(batch)

    return reply


@dataclass
class FakeBackend:
    """A backend that replies as told, and remembers what it was sent."""

    cuts_silently: ClassVar[bool] = False
    reply: Reply = well
    batches: list[Batch] = field(default_factory=list)
    running: int = 0
    most: int = 0
    probe_error: AttemptError | None = None
    has: frozenset[str] | None = None
    probe_s: float = 0.0

    async def embed(self, batch: Batch) -> Answer:
        self.batches.append(batch)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            return await self.reply(batch)
        finally:
            self.running -= 1

    async def probe(self, endpoint: Endpoint) -> Probe:
        await anyio.sleep(self.probe_s)
        if self.probe_error:
            raise self.probe_error
        return Probe(models=self.has)

    async def aclose(self) -> None: ...

    @property
    def sizes(self) -> list[int]:
        return [len(batch.texts) for batch in self.batches]

    @property
    def texts(self) -> list[str]:
        return [text for batch in self.batches for text in batch.texts]


class SilentCutter(FakeBackend):
    cuts_silently: ClassVar[bool] = True


@dataclass
class Ear:
    """Telemetry that remembers."""

    starts: list[BatchStarted] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    traceparent: str | None = None

    def started(self, event: BatchStarted) -> str | None:
        self.starts.append(event)
        return self.traceparent

    def tell(self, event: Event) -> None:
        self.events.append(event)

    def heard(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@dataclass
class World:
    """An embedder on three fake backends."""

    file: EmbeddingsFile
    a: FakeBackend
    b: FakeBackend
    c: FakeBackend
    ear: Ear
    board: HealthBoard
    book: AdmissionBook
    cache: VectorCache
    embedder: Embedder


def world(parsed: EmbeddingsFile | None = None, **backends: FakeBackend) -> World:
    """Make an embedder; `a`, `b` and `c` replace a backend."""
    parsed = parsed or file()
    each = {name: backends.get(name) or FakeBackend() for name in ("a", "b", "c")}
    ear, board, book = Ear(), HealthBoard(parsed.health), AdmissionBook(anyio.current_time)
    book.configure(
        {
            name: Limit(concurrency=config.concurrency, queue=config.max_queue)
            for name, config in parsed.backends.items()
        }
    )
    dispatch = Dispatch(file=parsed, backends=each, board=board, book=book, telemetry=ear, clock=anyio.current_time)
    cache = VectorCache(parsed.cache)
    embedder = Embedder(dispatch=dispatch, cache=cache, new_id=lambda: "id")
    return World(parsed, each["a"], each["b"], each["c"], ear, board, book, cache, embedder)


@asynccontextmanager
async def deadline(seconds: float) -> AsyncGenerator[None]:
    """Fail a test that hangs, instead of hanging with it."""
    with anyio.fail_after(seconds):
        yield
