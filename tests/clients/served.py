"""A server of ours as a process that answers over HTTP."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def serve_over_http(module: str, config: Path, env: dict[str, str] | None = None) -> Generator[str]:
    """Start a server on a free port, yield the URL of its MCP endpoint, and end it with SIGTERM."""
    command = [sys.executable, "-m", module, "serve", "--transport", "http", "--port", "0", "--config", str(config)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env) as process:
        assert process.stderr is not None
        try:
            lines = []
            for line in process.stderr:
                lines.append(line)
                if found := re.search(r"http://\S+/mcp", line):
                    yield found.group()
                    break
            else:
                raise AssertionError("the server ended before it answered:\n" + "".join(lines))
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)
