"""One llama.cpp child process, seen from the router: started, waited for, ended. Its other side is `llama_server`."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from router_mcp.errors import UnreachableError
from router_mcp.runtimes.last_words import LastWords
from router_mcp.runtimes.wire import parse_json

GRACE_S = 1.0
"""A child that was asked to end is killed after this; it has nothing to lose."""
PACKAGE = "xllamacpp"
INSTALL = f"The package {PACKAGE} is not installed. Install it: pip install 'router-mcp[embedded]'."
_MAX_LINE = 4096
_NO_LINE = (anyio.IncompleteRead, anyio.DelimiterNotFound, anyio.BrokenResourceError, anyio.ClosedResourceError)
_CHILD = (sys.executable, "-P", str(Path(__file__).with_name("llama_server.py")))


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaSpec:
    """What to run."""

    gguf: Path
    context: int
    """Tokens of prompt and answer that each slot has room for."""
    slots: int
    threads: int
    pooling: str | None = None
    """To make vectors instead of text: `mean`, `cls`, `last`, or `model` for what the file says."""
    command: tuple[str, ...] = _CHILD

    def argv(self) -> list[str]:
        """Return the command line of the child. It holds no secret, because every local user can read it."""
        numbers = {"--context": self.context, "--slots": self.slots, "--threads": self.threads}
        options = [text for name, number in numbers.items() for text in (name, str(number))]
        kind = ["--pooling", self.pooling] if self.pooling else []
        return [*self.command, "--gguf", str(self.gguf), *options, *kind]


class LlamaProcess:
    """A child from its start to its end. Use `spawn`; always `aclose`."""

    def __init__(self, process: Process, spec: LlamaSpec, key: str, words: LastWords) -> None:
        self._process = process
        self._spec = spec
        self._words = words
        assert process.stdout is not None
        self._stdout = BufferedByteReceiveStream(process.stdout)
        # It closes the connection after a stream without saying so, and the next call would trip over that.
        self.headers = {"authorization": f"Bearer {key}", "connection": "close"}
        """What a request to it must carry; other users of the machine cannot know the key."""
        self.url = ""
        """Where it listens; empty until it is ready."""
        self.started_at = self.heard_at = anyio.current_time()
        """On the event loop's clock; `heard_at` moves with every sign of life."""
        self.doubted = False
        """Whether a call on it ended so that it may be dead or frozen."""
        self.calls = 0
        """Calls that use it now."""
        self._killed = False

    @classmethod
    async def spawn(cls, spec: LlamaSpec) -> LlamaProcess:
        """Start a child. It does not get the terminal's Ctrl-C: the router still needs it to drain.

        Raises `UnreachableError` when the machine cannot start another process.
        """
        key, pipe = secrets.token_urlsafe(32), subprocess.PIPE
        with anyio.CancelScope(shield=True), contextlib.ExitStack() as undo:  # half a start would be an orphan
            try:
                words = undo.enter_context(contextlib.closing(LastWords()))
                process = await anyio.open_process(
                    spec.argv(), stdin=pipe, stdout=pipe, stderr=words.fileno(), start_new_session=True
                )
            except OSError as error:
                raise UnreachableError(
                    f"The process for llama.cpp cannot be started ({error.strerror}). See to the machine's limits."
                ) from error
            undo.pop_all()
            assert process.stdin is not None
            with contextlib.suppress(anyio.BrokenResourceError, OSError):  # it has died already, as `ready` will say
                await process.stdin.send(f"{key}\n".encode())
        return cls(process, spec, key, words)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs, as far as the event loop knows; it learns of an end a moment later."""
        return self._process.returncode is None and not self._killed

    async def ready(self) -> None:
        """Return once it listens. May be cancelled and called again. Raises `UnreachableError` when it never will."""
        try:
            line = await self._stdout.receive_until(b"\n", _MAX_LINE)
        except _NO_LINE:
            raise self._failed("") from None
        said = parse_json(line)
        url = said.get("url") if isinstance(said, dict) else None
        if not isinstance(url, str):
            raise self._failed(said.get("error") if isinstance(said, dict) else None)
        self.url = url
        self.heard()

    def heard(self) -> None:
        """Note a sign of life."""
        self.heard_at = anyio.current_time()

    def trim(self) -> None:
        """Keep what it writes to stderr from growing without end."""
        self._words.trim()

    def obituary(self) -> str:
        """Return how it ended and what it last wrote, for the log."""
        how = "killed" if self._killed else f"code {self._process.returncode}"
        return f"pid {self.pid}, {how}: {self._words.tail() or 'it left no message'}"

    def kill(self) -> None:
        """End it at once; it may be frozen."""
        self._killed = True
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def aclose(self) -> None:
        """End it, whatever state it is in, and leave nothing behind."""
        with anyio.CancelScope(shield=True):
            assert self._process.stdin is not None
            await self._process.stdin.aclose()
            with anyio.move_on_after(GRACE_S):
                await self._process.wait()
            self.kill()
            await self._process.aclose()
            self._words.close()

    def _failed(self, reason: object) -> UnreachableError:
        if reason == "package":
            return UnreachableError(INSTALL)
        name = self._spec.gguf.name
        if reason == "model":
            return UnreachableError(
                f"llama.cpp cannot load {name}. Set `gguf` in the policy to a whole GGUF file of a model that it knows."
            )
        return UnreachableError(
            f"llama.cpp ended while it started with {name}. Look at the router's log, and at the machine's memory."
        )
