"""What the terminal shows of a status: whole words on a narrow screen, and what is wrong in full below."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from router_mcp.cli.status_view import seconds, tables
from router_mcp.cli.tables import Column, FittedTable

URL = "http://10.0.12.34:8000"
ERROR = f"gpu ({URL}) cannot be reached (Connection refused). Start it, or correct its URL in the policy."


def printed(what: Any, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(what)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def seen(*, queued: int = 0, ready: bool = True) -> dict[str, Any]:
    """Return what `edge.overview` would."""
    endpoint: dict[str, Any] = {
        "runtime": "vllm-summarisation",
        "kind": "vllm",
        "url": URL,
        "state": "unhealthy",
        "since_s": 90.0,
    }
    endpoint |= {"in_flight": 3, "max_concurrency": 64, "queued": queued, "error": ERROR}
    recent = {"p50_s": 0.7, "p95_s": 9.0, "first_token_p50_s": 0.2, "tokens_per_s": 41.0, "failed": 2, "attempts": 9}
    model: dict[str, Any] = {
        "name": "mixtral-8x7b-instruct",
        "runtime": "vllm-summarisation",
        "state": "unhealthy",
        "recent": recent,
    }
    model |= {"context_window": 32768, "tasks": ["reasoning", "report"], "hardware": "2 cards", "error": ERROR}
    change = {"ago_s": -0.0001, "runtime": "vllm-summarisation", "url": URL, "state": "unhealthy"}
    reason = None if ready else f"No task can be served: {ERROR}"
    return {"endpoints": [endpoint], "models": [model], "changes": [change], "server": {"reason": reason}}


def test_a_status_has_whole_names_and_numbers_in_eighty_columns() -> None:
    text = printed(tables(seen()), 80)
    for whole in (URL, "vllm-summarisation", "mixtral-8x7b-instruct", "unhealthy", "3/64", "1 min", "700 ms", "2/9"):
        assert whole in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_wide_terminal_shows_every_column() -> None:
    text = printed(tables(seen(queued=7)), 200)
    for heading in ("kind", "waiting", "first token", "tokens/s", "context", "hardware"):
        assert heading in text


def test_a_column_that_says_nothing_is_left_out() -> None:
    assert "waiting" not in printed(tables(seen()), 200)


def test_an_error_is_told_once_and_in_full_below_the_tables() -> None:
    text = " ".join(printed(tables(seen(ready=False)), 80).split())
    assert text.count("cannot be reached") == 1
    assert text.endswith(f"{ERROR} No task can be served.")


def test_a_server_that_heard_of_no_runtime_yet_says_so() -> None:
    fresh = {"endpoints": [], "models": [], "changes": [], "server": {"reason": "Wait for the first probes."}}
    assert "Wait for the first probes." in printed(tables(fresh), 80)


def test_what_changed_just_now_is_not_in_the_future() -> None:
    assert "-0" not in printed(tables(seen()), 120)


def test_columns_that_must_stay_are_wrapped_when_nothing_more_can_be_spared() -> None:
    table = FittedTable("", [Column("name"), Column("spared", 1), Column("why", wraps=True)])
    table.add("a-name-of-some-length", "spared text", "a reason of several words", style="red")
    text = printed(table, 40)
    assert "a-name-of-some-length" in text
    assert "spared" not in text
    assert all(word in text for word in ("reason", "several", "words"))
    assert "spared text" in printed(table, 90)


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, ""), (0.0123, "12 ms"), (1.26, "1.3 s"), (42.4, "42 s"), (600, "10 min"), (9000, "2.5 h")],
)
def test_durations_read_as_people_say_them(value: float | None, said: str) -> None:
    assert seconds(value) == said
