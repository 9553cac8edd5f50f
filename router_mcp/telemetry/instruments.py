"""The GenAI client metrics of OpenTelemetry, sent by OTLP beside the spans. Prometheus has metrics of its own names.

`gen_ai.client.operation.time_per_output_chunk` is left out: it would cost a measurement at every token.
"""

from __future__ import annotations

from opentelemetry.metrics import MeterProvider

from router_mcp.telemetry.base import AttemptEnded, AttemptStarted, Event, FirstToken
from router_mcp.telemetry.conventions import Attributes, common

_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS = tuple(4**power for power in range(14))
"""Bucket bounds as the conventions give them."""


class ClientMetrics:
    """Telemetry that measures attempts as the conventions say."""

    def __init__(self, provider: MeterProvider) -> None:
        meter = provider.get_meter("router-mcp")
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration",
            unit="s",
            description="GenAI operation duration.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._first_chunk = meter.create_histogram(
            "gen_ai.client.operation.time_to_first_chunk",
            unit="s",
            description="Time to receive the first chunk.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._usage = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )

    def started(self, event: AttemptStarted) -> str | None:
        """Nothing is measured before it has ended."""
        return None

    def tell(self, event: Event) -> None:
        """Measure an attempt."""
        if isinstance(event, FirstToken):
            self._first_chunk.record(event.seconds, common(event.started))
        elif isinstance(event, AttemptEnded):
            self._attempt(event, common(event.started))

    def _attempt(self, event: AttemptEnded, attributes: Attributes) -> None:
        failed: Attributes = {} if event.outcome == "ok" else {"error.type": event.outcome}
        self._duration.record(event.seconds, attributes | failed)
        if event.completion is not None:
            usage = event.completion.usage
            self._usage.record(usage.input_tokens, attributes | {"gen_ai.token.type": "input"})
            self._usage.record(usage.output_tokens, attributes | {"gen_ai.token.type": "output"})
