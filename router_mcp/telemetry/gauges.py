"""What is so at this moment, read from its owners at each scrape, so that no gauge can go stale."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from router_mcp.admission import AdmissionBook
from router_mcp.board import HealthBoard
from router_mcp.domain import State
from router_mcp.fleet import Fleet


class RouterGauges(Collector):
    """States, calls in flight and queues, from the health board and the admission book."""

    def __init__(
        self, board: HealthBoard, book: AdmissionBook, fleet: Callable[[], Fleet], clock: Callable[[], float]
    ) -> None:
        self._board = board
        self._book = book
        self._fleet = fleet
        self._clock = clock

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges."""
        fleet, now = self._fleet(), self._clock()
        place = ["runtime", "endpoint"]
        state = GaugeMetricFamily("router_mcp_endpoint_state", "1 for the state it is in.", labels=[*place, "state"])
        flight = GaugeMetricFamily("router_mcp_in_flight", "Calls in flight.", labels=place)
        limit = GaugeMetricFamily("router_mcp_concurrency_limit", "Calls in flight at the most.", labels=place)
        for endpoint in fleet.endpoints():
            where = [endpoint.runtime, endpoint.url]
            present = self._board.standing(endpoint, "", now).state
            for each in get_args(State):
                state.add_metric([*where, each], float(each == present))
            flight.add_metric(where, self._book.running(endpoint))
            limit.add_metric(where, fleet.policy.runtimes[endpoint.runtime].concurrency)
        queue = GaugeMetricFamily("router_mcp_queue_depth", "Callers that wait.", labels=["runtime"])
        for runtime in fleet.policy.runtimes:
            queue.add_metric([runtime], self._book.queued(runtime))
        yield from (state, flight, limit, queue)


class DroppedSpans(Collector):
    """Spans that were never exported, by reason."""

    def __init__(self, drops: Callable[[], Mapping[str, int]]) -> None:
        self._drops = drops

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield the counter."""
        text = "Spans that were not exported, because the queue was full or the collector did not take them."
        family = CounterMetricFamily("router_mcp_trace_spans_dropped", text, labels=["reason"])
        for reason, count in self._drops().items():
            family.add_metric([reason], count)
        yield family
