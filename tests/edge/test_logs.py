"""Logs are lines on stderr: for people, or a JSON object each."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Generator

import pytest

from router_mcp.edge.logs import configure_logging


@pytest.fixture(autouse=True)
def _restored_logging() -> Generator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level


def test_json_lines_hold_what_was_said_and_what_was_added() -> None:
    stream = io.StringIO()
    configure_logging("json", stream=stream)
    logging.getLogger("router_mcp.x").info("call %s", "done\nnow", extra={"receipt": {"seconds": 1.5}, "odd": {1}})
    line = json.loads(stream.getvalue())
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "info",
        "logger": "router_mcp.x",
        "message": "call done\nnow",
        "receipt": {"seconds": 1.5},
        "odd": "{1}",
    }
    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize("said", ["naïve\u2028café", "torn \ud800", "plain"])
def test_json_lines_are_ascii_whatever_was_said(said: str) -> None:
    stream = io.StringIO()
    configure_logging("json", stream=stream)
    logging.getLogger("x").info(said)
    assert stream.getvalue().isascii()
    assert json.loads(stream.getvalue())["message"] == said


def test_a_traceback_is_part_of_its_json_line() -> None:
    stream = io.StringIO()
    configure_logging("json", stream=stream)
    try:
        int("why")
    except ValueError:
        logging.getLogger("x").exception("broken")
    assert "ValueError: invalid literal" in json.loads(stream.getvalue())["exception"]


def test_text_lines_name_level_and_logger() -> None:
    stream = io.StringIO()
    configure_logging(stream=stream)
    logging.getLogger("x").warning("beware")
    assert "WARNING x: beware" in stream.getvalue()


def test_libraries_that_log_session_ids_are_heard_from_warnings_on() -> None:
    stream = io.StringIO()
    configure_logging(stream=stream)
    logging.getLogger("mcp.server.streamable_http_manager").info("session 1234")
    logging.getLogger("uvicorn.error").error("broken")
    assert "1234" not in stream.getvalue()
    assert "broken" in stream.getvalue()


def test_logging_goes_to_stderr_once(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    configure_logging()
    logging.getLogger("x").error("once")
    captured = capsys.readouterr()
    assert captured.err.count("once") == 1
    assert captured.out == ""
