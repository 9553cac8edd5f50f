"""A server of ours as a process that answers over HTTP."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import IO


@contextmanager
def serve_over_http(module: str, config: Path, env: Mapping[str, str] | None = None) -> Generator[str]:
    """Start a server on a free port, yield the URL of its MCP endpoint, and end it with SIGTERM."""
    command = [sys.executable, "-m", module, "serve", "--transport", "http", "--port", "0", "--config", str(config)]
    with answering(command, env) as url:
        yield url


@contextmanager
def answering(command: list[str], env: Mapping[str, str] | None = None) -> Generator[str]:
    """Start a process that says on stderr where it answers, yield that URL, and end the process with SIGTERM."""
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env) as process:
        assert process.stderr is not None
        # What it says must be read to the end, or it stops when the pipe is full.
        rest = Thread(target=process.stderr.read)
        try:
            url = _url(process.stderr)
            rest.start()
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)
            if rest.is_alive():
                rest.join()


def _url(stderr: IO[str]) -> str:
    lines = []
    for line in stderr:
        lines.append(line)
        if found := re.search(r"http://\S+/mcp", line):
            return found.group()
    raise AssertionError("the server ended before it answered:\n" + "".join(lines))
