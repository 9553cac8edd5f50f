"""What a child process wrote to stderr, kept for the log entry in case that it dies.

It is kept in a file without a name, and not sent to our own stderr: llama.cpp repeats a caller's grammar there,
and a caller's text belongs neither on an operator's terminal nor, unasked, in a log.
"""

from __future__ import annotations

import fcntl
import os
import tempfile

MAX_BYTES = 1024 * 1024
TAIL_BYTES = 2000


class LastWords:
    """A file for a child's stderr that never grows beyond `MAX_BYTES` for long."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the child
        fcntl.fcntl(self._file, fcntl.F_SETFL, os.O_APPEND)  # the child goes on at the end, wherever that is

    def fileno(self) -> int:
        """Return the descriptor to give to the child."""
        return self._file.fileno()

    def trim(self) -> None:
        """Forget what was written once it is too much."""
        if not self._file.closed and os.fstat(self.fileno()).st_size > MAX_BYTES:
            os.ftruncate(self.fileno(), 0)

    def tail(self) -> str:
        """Return the end of it on one line, with everything escaped that could move a terminal's cursor."""
        size = os.fstat(self.fileno()).st_size
        raw = os.pread(self.fileno(), TAIL_BYTES, max(0, size - TAIL_BYTES))
        text = " | ".join(raw.decode(errors="replace").split("\n")).strip(" |")
        return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)

    def close(self) -> None:
        """Let the file go; may be called again."""
        self._file.close()
