"""The child process: llama.cpp's HTTP server on a loopback port, alive exactly as long as its parent wants it.

    stdin    one line, the API key that clients must send; then nothing, and its end means: stop
    stdout   one line of JSON, {"url": ...} once the server listens, or {"error": "package" | "model"}
    stderr   llama.cpp's errors; the router keeps them for the case that it dies

It runs by its path and with `-P`, so it starts without importing the router, and imports nothing from the
folder that it is started in.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import importlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import IO, Any

CACHE_RAM_MIB = 256
"""Prompts kept in RAM beside those in the slots; llama.cpp would keep 8 GiB."""
BATCH = 128
"""Prompt tokens computed in one go. A cancelled call ends, and others get their next token, after that many."""
EXIT_S = 2
PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Serve until stdin ends; the exit code is 0 then, and 3 when there was nothing to serve."""
    options = _parse(arguments)
    # Whatever llama.cpp prints goes to stderr, so that the pipe to the parent holds that one line only.
    with os.fdopen(os.dup(1), "w") as channel:
        os.dup2(2, 1)
        _fall_first()
        key = sys.stdin.readline().strip()
        try:
            server = _serve(options, key)
        except ImportError:
            return _tell(channel, {"error": "package"}, 3)
        except RuntimeError:
            return _tell(channel, {"error": "model"}, 3)
        _tell(channel, {"url": server.listening_address}, 0)
        sys.stdin.read()
    signal.alarm(EXIT_S)  # in case that llama.cpp does not come to an end by itself
    return 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="llama_server", description="llama.cpp as a child process of the router.")
    parser.add_argument("--gguf", required=True, help="path of the model file")
    parser.add_argument("--slots", type=int, required=True, help="calls that are generated at once")
    parser.add_argument("--context", type=int, required=True, help="tokens of prompt and answer that each call may use")
    parser.add_argument("--threads", type=int, required=True, help="CPU threads")
    parser.add_argument("--pooling", choices=("model", "mean", "cls", "last"), help="make vectors instead of text")
    return parser.parse_args(arguments)


def _tell(channel: IO[str], message: dict[str, str], status: int) -> int:
    channel.write(json.dumps(message) + "\n")
    channel.flush()
    return status


def _fall_first() -> None:
    """Do not outlive a parent that was killed, and be the one that the kernel ends when memory is short."""
    if sys.platform == "linux":
        # The end of stdin says it too, but not to a process that is stopped or still loads its model.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("500")


def _serve(options: argparse.Namespace, key: str) -> Any:
    # Threads that wait for each other sleep. Spinning, as is the default, they keep each other from the cores as soon
    # as anything else runs: 3 tokens a second where these write 40, on 2 busy cores. OpenMP reads this when loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # 100 MB that only this process needs, untyped, and perhaps not installed.
    xllamacpp: Any = importlib.import_module("xllamacpp")

    params = xllamacpp.CommonParams()
    params.model.path = options.gguf
    params.n_parallel = options.slots
    params.n_ctx = options.context * options.slots  # it is divided; a slot gets no more than the model was made for
    # A vector is made of a whole text at once, so a text must fit the batch.
    params.n_batch = params.n_ubatch = options.context if options.pooling else BATCH
    if options.pooling:
        params.embedding = True
        if options.pooling != "model":
            params.pooling_type = getattr(xllamacpp.llama_pooling_type, f"LLAMA_POOLING_TYPE_{options.pooling.upper()}")
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = options.threads
    params.cpuparams.poll = params.cpuparams_batch.poll = 0  # the same for builds without OpenMP
    # Only where something stands beside the CPU is there anything to fit; finding out costs 0.2 s.
    params.fit_params = len(xllamacpp.get_device_info()) > 1
    params.cache_ram_mib = CACHE_RAM_MIB
    params.api_keys = [key]
    params.endpoint_metrics = True
    params.endpoint_slots = False
    params.ui = False
    params.offline = True
    params.verbosity = 1
    return xllamacpp.Server(params)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
