"""A real vLLM as a child process: started on a free loopback port, ended with all that it started.

A shell leads its process group and ends the group when its own standard input ends, which happens when
the tests are over and also when they are killed; or when the server itself ends.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.live.vllm import places

SERVED = ("mixtral-8x7b-instruct", "smollm2")
CONTEXT_WINDOW = 2048
START_S = 300
"""It takes half a minute on an idle machine, and two on a busy one."""
STOP_S = 20
FLAGS = {
    "--dtype": "float32",  # in bfloat16 the first token of many answers is a tie that each CPU settles its own way
    "--max-model-len": str(CONTEXT_WINDOW),
    "--max-num-seqs": "16",
    "--max-num-batched-tokens": "2048",
    # As our chart pins it: with `auto` the first structured request chooses for all later ones (vLLM B1 #1).
    "--structured-outputs-config": json.dumps({"backend": "guidance", "disable_any_whitespace": True}),
}
SWITCHES = ("--enforce-eager", "--enable-prefix-caching", "--enable-prompt-tokens-details")
ENVIRONMENT = {
    "VLLM_SERVER_DEV_MODE": "1",  # for /reset_prefix_cache
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
}
GUARD = """
exec 3<&0
"$@" 3<&- &
server=$!
(cat <&3; kill -TERM $server; sleep 15; kill -KILL -$$) &
wait $server
kill -KILL -$$
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A vLLM that answers at `url`; `group` is its process group, `None` if someone else started it."""

    url: str
    group: int | None = None

    def engine(self) -> int:
        """Return the process id of the engine, which works for the API process (Linux)."""
        for pid, name in processes(self.group).items():
            if "EngineCor" in name:
                return pid
        raise AssertionError(f"no engine in process group {self.group}")


def processes(group: int | None) -> dict[int, str]:
    """Return the names of the processes of a group (Linux)."""
    found: dict[int, str] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().rpartition(")")
        except OSError:  # it ended meanwhile
            continue
        if int(rest.split()[2]) == group:
            found[int(stat.parent.name)] = name
    return found


@contextmanager
def running(log: Path, flags: Mapping[str, str] = FLAGS) -> Iterator[Server]:
    """Start a server, wait until it is healthy, and end its process group afterwards."""
    port = _free_port()
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["/bin/sh", "-c", GUARD, "vllm", *_command(port, flags)],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=_environment(),
            cwd=log.parent,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(process, url, log)
        yield Server(url, process.pid)
    finally:
        _end(process)


def _command(port: int, flags: Mapping[str, str]) -> list[str]:
    # `vllm serve` asks for a distribution called vllm and does not find `vllm-cpu`; this is the same server.
    entry = [places.PYTHON, "-m", "vllm.entrypoints.launchers.api_server.entry"]
    where = ["--model", places.model(), "--served-model-name", *SERVED, "--host", "127.0.0.1", "--port", port]
    given = [part for flag in flags.items() for part in flag]
    return [str(part) for part in (*entry, *where, *given, *SWITCHES)]


def _environment() -> dict[str, str]:
    openmp = places.VENV / "lib" / "libiomp5.so"
    preload = {"LD_PRELOAD": str(openmp)} if openmp.exists() else {}  # twice as fast
    return {**os.environ, **ENVIRONMENT, **preload}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    for _ in range(START_S * 2):
        try:
            if httpx.get(f"{url}/health", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        try:
            process.wait(0.5)
        except subprocess.TimeoutExpired:
            continue
        break
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-30:])
    raise AssertionError(f"vLLM did not start within {START_S} s. The end of {log}:\n{tail}")


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin
    process.stdin.close()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(STOP_S)
