"""Logging for both servers: one handler on stderr, as lines for people or as JSON for machines.

stdout belongs to the protocol. Call this before the `MCPServer` is made, which configures the root logger
itself if nobody has (mcp-sdk.md 1.6).
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal, TextIO, TypeAlias

import orjson

LogFormat: TypeAlias = Literal["text", "json"]

_TEXT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
_CHATTY = ("mcp", "uvicorn", "httpx", "httpx2", "sse_starlette")
"""Libraries that log every request and session id at INFO."""
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


def configure_logging(log_format: LogFormat = "text", *, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send every log record from now on to `stream` (stderr), in place of what was configured before."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else logging.Formatter(_TEXT))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, what was passed as `extra`, `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON; what JSON cannot hold appears as its `str`."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _json(line)


def _json(line: dict[str, Any]) -> str:
    """Return JSON in ASCII; for what is no more than that already, a tenth of the time that `json` takes will do."""
    try:
        text = orjson.dumps(line, default=str).decode()
    except orjson.JSONEncodeError:
        text = ""
    return text if text and text.isascii() else json.dumps(line, default=str)
