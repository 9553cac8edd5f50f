"""Health check of the image: exit 0 while the server in this container answers `/healthz`.

The server's own command line (process 1) says which transport it serves and on which port. Over stdio there is
nothing to ask: the process lives as long as its client, so its being there is its health.
"""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from pathlib import Path

TIMEOUT_S = 2.0


def option(command: list[str], name: str, default: str) -> str:
    """Return an option's value from a command line, given as `--name value` or `--name=value`."""
    for position, word in enumerate(command):
        if word == name and position + 1 < len(command):
            return command[position + 1]
        if word.startswith(f"{name}="):
            return word.removeprefix(f"{name}=")
    return default


def healthy(command: list[str]) -> bool:
    """Tell whether the server with this command line is well."""
    if option(command, "--transport", "stdio") != "http":
        return True
    # Host and port as a client on this machine would name them, which the server's Host check lets pass.
    url = f"http://127.0.0.1:{option(command, '--port', '8080')}/healthz"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def main(cmdline: Path = Path("/proc/1/cmdline")) -> int:
    """Return the exit status that Docker reads."""
    command = cmdline.read_bytes().decode(errors="replace").split("\0")
    return 0 if healthy(command) else 1


if __name__ == "__main__":
    sys.exit(main())
