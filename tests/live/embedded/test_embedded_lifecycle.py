"""The embedded runtime's child process: started once, missed when it dies, found when it freezes, never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.abc
import httpx
import pytest

from router_mcp.config.policy_file import RuntimeConfig
from router_mcp.domain import Grammar
from router_mcp.errors import AttemptError, StalledError, UnreachableError
from router_mcp.runtimes.embedded import EmbeddedRuntime, spec_of
from router_mcp.runtimes.llama_process import LlamaSpec
from router_mcp.runtimes.llama_supervisor import Limits
from router_mcp.runtimes.weights import SMOLLM2
from tests.live.embedded.llama import ENDPOINT, WINDOW, Heard, call, child_of, is_gone, opened, runs, runtime_with

pytestmark = pytest.mark.anyio

IMPATIENT = Limits(answer_s=0.5, frozen_s=0.0)
PATIENT = Limits(answer_s=0.2, frozen_s=3600)
LOST_IN = Grammar("root ::= " + "a " * 20 + "\na ::= " + "b " * 8 + "\nb ::= [a-z]*")
"""So ambiguous that llama.cpp follows more readings of it than there is memory for."""


def instead(script: str) -> Callable[[RuntimeConfig, int], LlamaSpec]:
    """Run this Python text where llama.cpp would be."""
    return lambda config, window: LlamaSpec(
        gguf=Path("any.gguf"), context=window, slots=1, threads=1, command=(sys.executable, "-c", script)
    )


class Counting:
    """`spec_of`, and how often it was asked: once a start."""

    def __init__(self, make_spec: Callable[[RuntimeConfig, int], LlamaSpec] = spec_of) -> None:
        self.starts = 0
        self._make_spec = make_spec

    def __call__(self, config: RuntimeConfig, window: int) -> LlamaSpec:
        self.starts += 1
        return self._make_spec(config, window)


async def test_nothing_is_started_before_the_first_call_and_a_probe_is_content(gguf: Path) -> None:
    async with opened(runtime_with(gguf)) as runtime:
        assert (await runtime.probe(ENDPOINT)).running is None
        assert runtime._supervisor._child is None
        assert runtime.capabilities.json_schema
        await runtime.start()
        assert (await runtime.probe(ENDPOINT)).running == 0


async def test_two_first_calls_at_once_share_one_start(gguf: Path) -> None:
    count = Counting()
    async with opened(runtime_with(gguf, make_spec=count)) as runtime, anyio.create_task_group() as tasks:
        tasks.start_soon(runtime.generate, call(), Heard())
        tasks.start_soon(runtime.generate, call(), Heard())
    assert count.starts == 1


async def test_a_first_caller_who_goes_away_leaves_the_start_to_the_next(gguf: Path) -> None:
    count = Counting()
    async with opened(runtime_with(gguf, make_spec=count)) as runtime:
        with anyio.move_on_after(0.05):
            await runtime.generate(call(), Heard())
        assert child_of(runtime).url == ""
        assert (await runtime.probe(ENDPOINT)).running is None  # it starts, which is no failure
        assert (await runtime.generate(call(), Heard())).text
    assert count.starts == 1


async def test_a_killed_child_fails_its_calls_and_the_next_call_has_a_new_one(
    gguf: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(runtime_with(gguf)) as runtime:
        heard = Heard()

        async def talk() -> None:
            with pytest.raises(AttemptError, match=r"llama\.cpp, the child process of embedded"):
                await runtime.generate(call("Tell a long story.", max_output_tokens=400), heard)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(talk)
            await heard.spoke.wait()
            killed = child_of(runtime).pid
            os.kill(killed, signal.SIGKILL)
        assert (await runtime.generate(call(), Heard())).text
        assert child_of(runtime).pid != killed
    assert f"llama.cpp ended (pid {killed}" in caplog.text


async def test_an_idle_child_that_was_killed_is_replaced_by_the_next_call(gguf: Path) -> None:
    async with opened(runtime_with(gguf)) as runtime:
        await runtime.start()
        os.kill(child_of(runtime).pid, signal.SIGKILL)
        await is_gone(child_of(runtime).pid)
        with suppress(AttemptError):  # whether the event loop has noticed is a race; either is well
            await runtime.probe(ENDPOINT)
        assert (await runtime.probe(ENDPOINT)).running is None
        assert (await runtime.generate(call(), Heard())).text


async def test_a_frozen_child_is_found_by_a_probe_and_replaced(gguf: Path) -> None:
    async with opened(runtime_with(gguf, limits=IMPATIENT)) as runtime:
        await runtime.start()
        frozen = child_of(runtime).pid
        os.kill(frozen, signal.SIGSTOP)
        with anyio.fail_after(5), pytest.raises(UnreachableError, match="was frozen"):
            await runtime.probe(ENDPOINT)
        assert (await runtime.probe(ENDPOINT)).running is None
        assert (await runtime.generate(call(), Heard())).text
        assert not runs(frozen)


async def test_a_child_that_was_heard_of_lately_is_busy_and_not_killed(gguf: Path) -> None:
    async with opened(runtime_with(gguf, limits=PATIENT)) as runtime:
        await runtime.start()
        busy = child_of(runtime).pid
        os.kill(busy, signal.SIGSTOP)
        with pytest.raises(StalledError, match="too busy"):
            await runtime.probe(ENDPOINT)
        async with anyio.create_task_group() as tasks:
            heard = Heard()
            tasks.start_soon(runtime.generate, call(), heard)  # asks it first, and takes no answer for an answer
            await anyio.sleep(0.5)
            os.kill(busy, signal.SIGCONT)
        assert heard.texts
        assert child_of(runtime).pid == busy


async def test_a_call_that_was_given_up_on_a_frozen_child_lets_the_next_one_replace_it(gguf: Path) -> None:
    async with opened(runtime_with(gguf, limits=IMPATIENT)) as runtime:
        await runtime.start()
        os.kill(child_of(runtime).pid, signal.SIGSTOP)
        with anyio.move_on_after(0.3) as stall:
            await runtime.generate(call(), Heard())
        assert stall.cancelled_caught
        assert (await runtime.generate(call(), Heard())).text


async def test_an_engine_that_is_lost_in_a_grammar_is_replaced_though_its_health_check_is_fine(gguf: Path) -> None:
    async with opened(runtime_with(gguf, limits=IMPATIENT)) as runtime, httpx.AsyncClient(trust_env=False) as client:
        await runtime.start()
        with anyio.move_on_after(1.5) as stall:
            await runtime.generate(call(constraint=LOST_IN), Heard())
        assert stall.cancelled_caught
        assert (await client.get(child_of(runtime).url + "/health")).status_code == 200
        assert (await runtime.generate(call(), Heard())).text


async def test_resetting_the_cache_gives_later_calls_a_new_child_and_lets_running_ones_finish(gguf: Path) -> None:
    async with opened(runtime_with(gguf)) as runtime:
        assert await runtime.reset_cache(ENDPOINT)  # nothing runs: nothing is cached
        heard = Heard()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(runtime.generate, call("Tell a long story.", max_output_tokens=60), heard)
            await heard.spoke.wait()
            old = child_of(runtime).pid
            assert await runtime.reset_cache(ENDPOINT)
            assert (await runtime.generate(call(), Heard())).text
            assert child_of(runtime).pid != old
        assert len(heard.texts) > 10
        await is_gone(old)
        new = child_of(runtime).pid
        assert await runtime.reset_cache(ENDPOINT)
        await is_gone(new)


@pytest.mark.parametrize("stop_it", [False, True], ids=["well", "frozen"])
async def test_closing_leaves_no_process(gguf: Path, stop_it: bool) -> None:
    async with opened(runtime_with(gguf)) as runtime:
        await runtime.start()
        pid = child_of(runtime).pid
        if stop_it:
            os.kill(pid, signal.SIGSTOP)
        await runtime.aclose()
        assert not runs(pid)
        with pytest.raises(UnreachableError, match="shut down"):
            await runtime.generate(call(), Heard())


async def test_closing_ends_a_child_that_starts_and_one_that_serves(gguf: Path) -> None:
    async def fails(runtime: EmbeddedRuntime, heard: Heard) -> None:
        with pytest.raises(AttemptError):
            await runtime.generate(call("Tell a long story.", max_output_tokens=400), heard)

    serving = Heard()
    async with opened(runtime_with(gguf)) as one, opened(runtime_with(gguf)) as other:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fails, one, serving)
            await serving.spoke.wait()
            tasks.start_soon(fails, other, Heard())
            await anyio.sleep(0.1)
            pids = [child_of(one).pid, child_of(other).pid]
            await one.aclose()
            await other.aclose()
        assert not any(runs(pid) for pid in pids)


async def test_a_child_that_is_being_made_while_the_runtime_closes_does_not_stay(gguf: Path) -> None:
    async with anyio.create_task_group() as tasks:

        def close_meanwhile(config: RuntimeConfig, window: int) -> LlamaSpec:
            tasks.start_soon(runtime.aclose)
            return spec_of(config, window)

        runtime = runtime_with(gguf, make_spec=close_meanwhile)
        with pytest.raises(UnreachableError, match="shut down"):
            await runtime.start()
    assert runtime._supervisor._child is None


PARENT = """
import sys, anyio
from tests.live.embedded.llama import child_of, runtime_with
async def main():
    runtime = runtime_with(sys.argv[1])
    await runtime.start()
    print(child_of(runtime).pid, flush=True)
    await anyio.sleep_forever()
anyio.run(main)
"""


@pytest.mark.parametrize("stop_it", [False, True], ids=["well", "frozen"])
async def test_the_child_of_a_killed_router_dies_with_it(gguf: Path, stop_it: bool) -> None:
    if stop_it and sys.platform != "linux":
        pytest.skip("only Linux ends a stopped child with its parent")
    command = [sys.executable, "-c", PARENT, str(gguf)]
    async with await anyio.open_process(command, stderr=None, cwd=Path(__file__).parents[3]) as parent:
        assert parent.stdout is not None
        with anyio.fail_after(60):
            pid = int(await parent.stdout.receive())
        assert runs(pid)
        if stop_it:
            os.kill(pid, signal.SIGSTOP)
        parent.kill()
        await is_gone(pid)


async def test_a_file_that_is_no_model_is_said_so_by_calls_and_probes_until_it_is_replaced(
    tmp_path: Path, gguf: Path
) -> None:
    file = tmp_path / "mine.gguf"
    file.write_bytes(b"not a model")
    async with opened(runtime_with(file)) as runtime:
        for ask in (runtime.start(), runtime.probe(ENDPOINT)):
            with pytest.raises(UnreachableError, match=r"cannot load mine\.gguf") as raised:
                await ask
            assert str(tmp_path) not in str(raised.value)
        file.unlink()
        file.symlink_to(gguf)
        assert (await runtime.generate(call(), Heard())).text
        assert (await runtime.probe(ENDPOINT)).running == 0


async def test_a_file_that_is_not_there_is_said_so_without_starting_anything(tmp_path: Path) -> None:
    async with opened(runtime_with(tmp_path / "none.gguf")) as runtime:
        for ask in (runtime.start(), runtime.probe(ENDPOINT)):
            with pytest.raises(UnreachableError, match=r"no GGUF file none\.gguf"):
                await ask


async def test_missing_weights_are_said_with_the_command_that_fetches_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROUTER_MCP_CACHE", str(tmp_path))
    async with opened(runtime_with("")) as runtime:  # as `${ROUTER_MCP_GGUF:-}` leaves it
        with pytest.raises(UnreachableError, match=r"python -m router_mcp\.runtimes\.weights"):
            await runtime.probe(ENDPOINT)
        here = tmp_path / SMOLLM2.cache_name
        here.parent.mkdir(parents=True)
        with here.open("wb") as file:
            file.truncate(SMOLLM2.size)
        await runtime.probe(ENDPOINT)


async def test_a_missing_package_is_said_with_the_command_that_installs_it(
    gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_packages(config: RuntimeConfig, window: int) -> LlamaSpec:
        *_, child = spec_of(config, window).command
        script = f"import runpy, sys; sys.modules['xllamacpp'] = None; runpy.run_path({child!r}, run_name='__main__')"
        return instead(script)(config, window)

    async with opened(runtime_with(gguf, make_spec=without_packages)) as runtime:
        with pytest.raises(UnreachableError, match=r"pip install 'router-mcp\[embedded\]'"):
            await runtime.start()
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    async with opened(runtime_with(gguf)) as runtime:
        with pytest.raises(UnreachableError, match=r"pip install 'router-mcp\[embedded\]'"):
            await runtime.probe(ENDPOINT)


async def test_a_child_that_ends_again_and_again_is_not_started_in_a_hot_loop() -> None:
    count = Counting(instead("raise SystemExit('out of luck\\x1b[31m')"))
    async with opened(runtime_with("any.gguf", make_spec=count)) as runtime:
        for _ in range(2):
            with pytest.raises(UnreachableError, match="ended while it started") as raised:
                await runtime.start()
            assert raised.value.retry_after_s is None
        with pytest.raises(UnreachableError, match="ended while it started") as raised:
            await runtime.start()
        assert 0 < (raised.value.retry_after_s or 0) <= 1
    assert count.starts == 2


async def test_what_a_dead_child_said_is_logged_without_its_control_characters(
    caplog: pytest.LogCaptureFixture,
) -> None:
    script = "import sys; sys.stderr.write('out of luck\\x1b[31m\\n'); sys.exit(7)"
    async with opened(runtime_with("any.gguf", make_spec=instead(script))) as runtime:
        with pytest.raises(UnreachableError) as raised:
            await runtime.start()
    assert "out of luck\\x1b[31m" in caplog.text
    assert "luck" not in str(raised.value)


@pytest.mark.parametrize(
    "said", ["not json", "[]", '{"url": 7}', "x" * 5000], ids=["text", "list", "number", "endless"]
)
async def test_a_child_that_says_nonsense_is_not_used(said: str) -> None:
    script = f"import sys; sys.stdout.write({said!r} + chr(10)); sys.stdout.flush(); sys.stdin.read()"
    async with opened(runtime_with("any.gguf", make_spec=instead(script))) as runtime:
        with pytest.raises(UnreachableError, match="ended while it started"):
            await runtime.start()


async def test_a_child_that_does_not_get_ready_in_time_is_ended() -> None:
    waits = instead("import signal; signal.pause()")
    limits = Limits(startup_s=0.2)
    async with opened(runtime_with("any.gguf", make_spec=waits, limits=limits)) as runtime:
        with pytest.raises(UnreachableError, match=r"not ready after 0\.2 s"):
            await runtime.start()
        assert runtime._supervisor._child is None


async def test_callers_who_wait_for_a_start_are_told_when_the_runtime_closes() -> None:
    waits = instead("import sys; sys.stdin.readline(); sys.stdin.read()")
    async with opened(runtime_with("any.gguf", make_spec=waits)) as runtime, anyio.create_task_group() as tasks:

        async def fails() -> None:
            with pytest.raises(UnreachableError):
                await runtime.start()

        tasks.start_soon(fails)
        await anyio.wait_all_tasks_blocked()
        await anyio.sleep(0.1)
        await runtime.aclose()


NOT_LLAMA = """
import http.server, json, sys, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_error(404)
    def do_POST(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for delta, reason in (({"reasoning_content": "hm"}, None), ({"content": "yes"}, None), ({}, "stop")):
            event = {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
            self.wfile.write(b"data: " + json.dumps(event).encode() + bytes([10, 10]))
    def log_message(self, *args):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.readline()
print(json.dumps({"url": f"http://127.0.0.1:{server.server_port}"}), flush=True)
sys.stdin.read()
"""


async def test_a_model_that_thinks_is_alive_and_its_thoughts_are_no_answer() -> None:
    async with opened(runtime_with("any.gguf", make_spec=instead(NOT_LLAMA))) as runtime:
        heard = Heard()
        completion = await runtime.generate(call(), heard)
    assert (completion.text, heard.texts, heard.thoughts) == ("yes", ["yes"], 1)


async def test_a_child_that_answers_a_probe_with_something_else_is_not_well() -> None:
    async with opened(runtime_with("any.gguf", make_spec=instead(NOT_LLAMA), limits=PATIENT)) as runtime:
        await runtime.start()
        with pytest.raises(StalledError):
            await runtime.probe(ENDPOINT)


async def test_a_child_that_no_longer_listens_fails_one_call_and_is_replaced(gguf: Path) -> None:
    async with opened(runtime_with(gguf)) as runtime:
        await runtime.start()
        deaf = child_of(runtime)
        deaf.url = "http://127.0.0.1:9"
        with pytest.raises(UnreachableError, match=r"has ended\. The next call starts it again"):
            await runtime.generate(call(), Heard())
        assert (await runtime.generate(call(), Heard())).text
        assert child_of(runtime) is not deaf
        assert not runs(deaf.pid)


async def test_a_process_that_cannot_be_made_is_a_failed_attempt() -> None:
    def nowhere(_: RuntimeConfig, window: int) -> LlamaSpec:
        return LlamaSpec(gguf=Path("any.gguf"), context=window, slots=1, threads=1, command=("/nowhere/python",))

    async with opened(runtime_with("any.gguf", make_spec=nowhere)) as runtime:
        with pytest.raises(UnreachableError, match="cannot be started"):
            await runtime.start()


def test_the_key_is_not_on_the_command_line(gguf: Path) -> None:
    spec = spec_of(RuntimeConfig(kind="embedded", gguf=str(gguf), threads=3, max_concurrency=500), 4096)
    numbers = ["--context", "4096", "--slots", "16", "--threads", "3"]
    assert spec.argv() == [*spec.command, "--gguf", str(gguf), *numbers]


def test_the_child_runs_without_importing_the_router(gguf: Path) -> None:
    """It starts at once then, and never imports what lies in the folder that the router was started in."""
    python, flag, child = spec_of(RuntimeConfig(kind="embedded", gguf=str(gguf)), WINDOW).command
    code = f"import runpy, sys; runpy.run_path({child!r}); print([name for name in sys.modules if 'router' in name])"
    assert subprocess.run([python, flag, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    assert flag == "-P"
