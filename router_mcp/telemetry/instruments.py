"""The GenAI client metrics of OpenTelemetry, sent by OTLP beside the spans. Prometheus has metrics of its own names.

`gen_ai.client.operation.time_per_output_chunk` is left out: it would cost a measurement at every token.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeAlias

from opentelemetry.metrics import MeterProvider

from router_mcp.domain import Endpoint, RuntimeKind
from router_mcp.telemetry.base import AttemptEnded, AttemptStarted, Event, FirstToken
from router_mcp.telemetry.conventions import Attributes, common

_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS = tuple(4**power for power in range(14))
"""Bucket bounds as the conventions give them."""

Record: TypeAlias = Callable[[float], None]
Bind: TypeAlias = Callable[[Attributes], Record]


@dataclass(frozen=True, slots=True)
class Shape:
    """What a histogram is."""

    name: str
    unit: str
    description: str
    bounds: tuple[float, ...]


_DURATION = Shape("gen_ai.client.operation.duration", "s", "GenAI operation duration.", _SECONDS)
_FIRST_CHUNK = Shape("gen_ai.client.operation.time_to_first_chunk", "s", "Time to receive the first chunk.", _SECONDS)
_USAGE = Shape("gen_ai.client.token.usage", "{token}", "Number of input and output tokens used.", _TOKENS)


class Histograms(Protocol):
    """Makes histograms whose attributes are settled before values are recorded."""

    def histogram(self, shape: Shape) -> Bind:
        """Return what gives a recorder for a set of attributes."""
        ...


class SdkHistograms:
    """Histograms of OpenTelemetry's API, for those who ask the SDK for more than plain buckets."""

    def __init__(self, provider: MeterProvider) -> None:
        self._meter = provider.get_meter("router-mcp")

    def histogram(self, shape: Shape) -> Bind:
        """Return what gives a recorder for a set of attributes."""
        made = self._meter.create_histogram(
            shape.name, shape.unit, shape.description, explicit_bucket_boundaries_advisory=shape.bounds
        )
        return lambda attributes: partial(made.record, attributes=attributes)


@dataclass(frozen=True, slots=True)
class _Recorders:
    """Where the values of one model on one endpoint go."""

    duration: Record
    first_chunk: Record
    input_tokens: Record
    output_tokens: Record


class ClientMetrics:
    """Telemetry that measures attempts as the conventions say."""

    def __init__(self, histograms: Histograms) -> None:
        self._duration = histograms.histogram(_DURATION)
        self._first_chunk = histograms.histogram(_FIRST_CHUNK)
        self._usage = histograms.histogram(_USAGE)
        self._recorders: dict[tuple[str, RuntimeKind, Endpoint], _Recorders] = {}
        self._failures: dict[tuple[str, RuntimeKind, Endpoint, str], Record] = {}

    def started(self, event: AttemptStarted) -> str | None:
        """Nothing is measured before it has ended."""
        return None

    def tell(self, event: Event) -> None:
        """Measure an attempt."""
        if isinstance(event, FirstToken):
            self._of(event.started).first_chunk(event.seconds)
        elif isinstance(event, AttemptEnded):
            self._attempt(event)

    def _attempt(self, event: AttemptEnded) -> None:
        recorders = self._of(event.started)
        if event.outcome == "ok":
            recorders.duration(event.seconds)
        else:
            self._failure(event)(event.seconds)
        if event.completion is not None:
            recorders.input_tokens(event.completion.usage.input_tokens)
            recorders.output_tokens(event.completion.usage.output_tokens)

    def _of(self, started: AttemptStarted) -> _Recorders:
        key = (started.model, started.kind, started.call.endpoint)
        found = self._recorders.get(key)
        if found is None:
            shared = common(started)
            found = self._recorders[key] = _Recorders(
                self._duration(shared),
                self._first_chunk(shared),
                self._usage(shared | {"gen_ai.token.type": "input"}),
                self._usage(shared | {"gen_ai.token.type": "output"}),
            )
        return found

    def _failure(self, event: AttemptEnded) -> Record:
        started = event.started
        key = (started.model, started.kind, started.call.endpoint, event.outcome)
        found = self._failures.get(key)
        if found is None:
            found = self._failures[key] = self._duration(common(started) | {"error.type": event.outcome})
        return found
