"""A fleet of fakes in a process of its own, so that no number of clients starves it, and the wire to command it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from tests.chaos.faults import Fault
from tests.chaos.machine import Pauses
from tests.chaos.runtime import Counts, FakeRuntime

ROOT = Path(__file__).parents[2]
PATIENCE_S = 20
COMMANDS = "commands"
"""The name of the port for commands among those of the fakes."""
PAUSED = "paused_s"


class Fleet:
    """The fakes as their commander sees them; it belongs to no event loop."""

    def __init__(self, ports: dict[str, int]) -> None:
        self._ports = ports

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self._ports[name]}"

    async def set(self, name: str, fault: Fault, *, pace_s: float | None = None) -> None:
        """Let a fake be broken like this; it is so when this returns."""
        await self._ask({"name": name, "fault": fault.value, "pace_s": pace_s})

    async def restore(self) -> None:
        """Let every fake be well and as fast as at first, and forget what it counted."""
        await self._ask({"restore": True})

    async def counts(self, name: str) -> Counts:
        return Counts(**(await self._ask({}))[name])

    async def paused_s(self) -> float:
        """Return for how long the machine kept the fakes from running, at most, since they were restored."""
        return float((await self._ask({}))[PAUSED])

    async def _ask(self, command: dict[str, Any]) -> Any:
        with anyio.fail_after(PATIENCE_S):
            async with await anyio.connect_tcp("127.0.0.1", self._ports[COMMANDS]) as stream:
                await stream.send(json.dumps(command).encode() + b"\n")
                return json.loads(await BufferedByteReceiveStream(stream).receive_until(b"\n", 1_000_000))


@contextmanager
def running_fleet(**kinds: str) -> Generator[Fleet]:
    """Run fakes of these kinds by name; they end with the block, or with this process."""
    command = [sys.executable, "-m", "tests.chaos.fleet", json.dumps(kinds)]
    # A fake has no code of ours to measure, and is not to be slowed down by that.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_PROCESS")}
    with subprocess.Popen(command, cwd=ROOT, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        yield Fleet(json.loads(process.stdout.readline()))
        process.communicate(timeout=PATIENCE_S)  # it ends when its standard input does


async def _main(kinds: dict[str, str]) -> None:
    runtimes = {name: FakeRuntime(kind) for name, kind in kinds.items()}
    pauses = Pauses()

    async def obey(stream: SocketStream) -> None:
        async with stream:
            command = json.loads(await BufferedByteReceiveStream(stream).receive_until(b"\n", 1_000_000))
            if "fault" in command:
                await runtimes[command["name"]].become(Fault(command["fault"]), command["pace_s"])
            if "restore" in command:
                for runtime in runtimes.values():
                    await runtime.restore()
                pauses.longest_s = 0.0
            states = {name: runtime.state() for name, runtime in runtimes.items()}
            await stream.send(json.dumps(states | {PAUSED: pauses.longest_s}).encode() + b"\n")

    commands = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with commands, anyio.create_task_group() as tasks:
        tasks.start_soon(commands.serve, obey)
        tasks.start_soon(pauses.watch)
        for runtime in runtimes.values():
            await runtime.start(tasks)
        ports = {name: runtime.port for name, runtime in runtimes.items()}
        sys.stdout.write(json.dumps(ports | {COMMANDS: commands.extra(SocketAttribute.local_port)}) + "\n")
        sys.stdout.flush()
        await anyio.to_thread.run_sync(sys.stdin.read)
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    anyio.run(_main, json.loads(sys.argv[1]))
