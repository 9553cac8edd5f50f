"""A real stdio process: it leaves cleanly however it is told to, and speaks nothing but the protocol."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client

from tests.edge_process.process import MODERN, ROOT, command, running, stdio_parameters

pytestmark = pytest.mark.anyio

WAYS = ["SIGTERM", "SIGINT", "EOF"]


@pytest.mark.parametrize("how", WAYS)
async def test_an_idle_server_leaves_with_exit_code_0_and_its_lifespan_complete(how: str) -> None:
    async with running("stdio") as demo:
        assert await demo.end(how) == 0
        assert demo.notes() == ["entered", "left"]
        assert await demo.rest_of_stdout() == b""


@pytest.mark.parametrize("how", WAYS)
async def test_a_server_told_to_leave_in_the_middle_of_a_call_cancels_it_and_leaves_as_well(how: str) -> None:
    async with running("stdio") as demo:
        await demo.call("wait", {})
        await demo.noted("started")
        assert await demo.end(how) == 0
        assert demo.notes() == ["entered", "started", "cancelled", "left"]


async def test_leaving_takes_no_time() -> None:
    async with running("stdio") as demo:
        await demo.call("wait", {})
        await demo.noted("started")
        start = anyio.current_time()
        await demo.end("SIGTERM")
        assert anyio.current_time() - start < 5


async def test_an_exit_that_hangs_is_given_up_after_the_grace_time() -> None:
    async with running("stdio", "--grace", "1", environ={"DEMO_EXIT_S": "3600"}) as demo:
        assert await demo.end("SIGTERM") == 0
        assert demo.notes() == ["entered"]


async def test_a_second_signal_ends_a_server_that_hangs_while_leaving() -> None:
    async with running("stdio", "--grace", "3600", environ={"DEMO_EXIT_S": "3600"}) as demo:
        demo.process.send_signal(signal.SIGTERM)
        with anyio.move_on_after(10):
            while demo.process.returncode is None:
                await anyio.sleep(0.2)
                demo.process.send_signal(signal.SIGTERM)
                await anyio.sleep(0.2)
        assert await demo.wait() == -signal.SIGTERM


async def test_a_client_that_stops_reading_ends_the_session_cleanly() -> None:
    """stdin is still open: only the writing fails."""
    ours, theirs = os.pipe()
    async with running("stdio", stdout=theirs) as demo:
        os.close(theirs)
        await demo.call("wait", {})
        await demo.noted("started")
        os.close(ours)
        await demo.call("echo", {"prompt": "x"}, 2)
        assert await demo.wait() == 0
        assert demo.notes() == ["entered", "started", "cancelled", "left"]


async def test_nothing_but_the_protocol_is_written_to_stdout() -> None:
    async with running("stdio") as demo:
        await demo.call("chatter", {})
        assert (await demo.answer(1))["result"]["content"][0]["text"] == "quiet"
        await demo.call("fail", {"how": "crash"}, 2)
        assert (await demo.answer(2))["result"]["isError"]
        assert await demo.end("EOF") == 0
        assert await demo.rest_of_stdout() == b""


async def test_lines_that_are_no_messages_cost_nobody_anything() -> None:
    lines = {
        "empty": b"",
        "text": b"garbage",
        "not UTF-8": b"\xff\xfe\x00",
        "a batch": b"[]",
        "half a message": b'{"jsonrpc": "2.0", "id": 1}',
        "surrogate id": b'{"jsonrpc":"2.0","id":"\\ud800","method":"tools/list","params":{}}',
        "deep": b'{"jsonrpc":"2.0","id":1,"method":"ping","params":' + b'{"a":' * 5000 + b"1" + b"}" * 5001,
        "long": b"x" * 3_000_000,
    }
    async with running("stdio") as demo:
        await demo.call("echo", {"prompt": "first"}, 100)
        await demo.answer(100)
        for number, (name, line) in enumerate(lines.items()):
            await demo.send(line)
            await demo.call("echo", {"prompt": f"after {name}"}, number)
            assert (await demo.answer(number))["result"]["content"][0]["text"] == f"after {name}"


async def test_numbers_that_are_none_are_refused() -> None:
    async with running("stdio") as demo:
        await demo.call("echo", {"prompt": "first"}, 100)
        await demo.answer(100)
        for number, value in enumerate((b'{"prompt":"x","temperature":NaN}', b'{"prompt":"x","options":{"a":1e999}}')):
            meta = json.dumps(MODERN).encode()
            params = b'{"name":"echo","arguments":' + value + b',"_meta":' + meta + b"}"
            await demo.send(b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":%s}' % (number, params))
            answer = await demo.answer(number)
            assert "NaN and Infinity are not JSON" in answer["result"]["content"][0]["text"]


async def test_a_last_message_without_a_line_end_is_read(tmp_path: Path) -> None:
    async with running("stdio") as demo:
        assert demo.process.stdin is not None
        await demo.process.stdin.send(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')
        assert await demo.end("EOF") == 0


@pytest.fixture(params=["auto", "legacy"])
def mode(request: pytest.FixtureRequest) -> Any:
    return request.param


async def test_a_cancelled_call_is_cancelled_inside_and_the_server_goes_on(mode: Any, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    async with Client(stdio_parameters(notes), mode=mode) as client:
        async with anyio.create_task_group() as group:
            group.start_soon(client.call_tool, "wait", {})
            await until(notes, "started")
            group.cancel_scope.cancel()
        await until(notes, "cancelled")
        assert not (await client.call_tool("echo", {"prompt": "x"})).is_error
    await until(notes, "left")


async def test_progress_reaches_the_client_before_the_result(mode: Any, tmp_path: Path) -> None:
    heard: list[tuple[float, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, message))

    async with Client(stdio_parameters(tmp_path / "notes"), mode=mode) as client:
        await client.call_tool("wait", {"seconds": 0.5}, progress_callback=hear)
    assert heard[0] == (0.0, "waiting")
    assert len(heard) >= 2


async def test_a_big_argument_and_a_big_answer_pass_whole(mode: Any, tmp_path: Path) -> None:
    text = "ü😀" * 1_000_000
    async with Client(stdio_parameters(tmp_path / "notes"), mode=mode) as client:
        result = await client.call_tool("echo", {"prompt": text})
    assert result.structured_content is not None
    assert result.structured_content["text"] == text


async def until(notes: Path, note: str) -> None:
    with anyio.fail_after(20):
        while not notes.exists() or note not in notes.read_text().split():
            await anyio.sleep(0.01)


async def test_stdin_from_a_file_is_read_to_its_end(tmp_path: Path) -> None:
    """A file, or /dev/null, cannot be waited for."""
    script = tmp_path / "stdin"
    script.write_bytes(b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
    for stdin in (script, Path("/dev/null")):
        with stdin.open("rb") as file, anyio.fail_after(20):
            done = await anyio.run_process(command("stdio"), stdin=file, cwd=ROOT)
        assert done.returncode == 0


async def test_an_error_while_starting_comes_out_as_it_is(tmp_path: Path) -> None:
    script = (
        "import anyio\n"
        "from contextlib import asynccontextmanager\n"
        "from mcp.server.mcpserver import MCPServer\n"
        "from router_mcp.edge.run import serve_stdio\n"
        "from router_mcp.errors import ConfigError\n"
        "@asynccontextmanager\n"
        "async def lifespan(server):\n"
        "    raise ConfigError('Correct line 3.')\n"
        "    yield\n"
        "try:\n"
        "    anyio.run(serve_stdio, MCPServer('x', lifespan=lifespan))\n"
        "except ConfigError as error:\n"
        "    raise SystemExit(f'2: {error}')\n"
    )
    with anyio.fail_after(20):
        done = await anyio.run_process([sys.executable, "-c", script], cwd=ROOT, check=False)
    assert done.returncode == 1
    assert done.stderr.strip() == b"2: Correct line 3."
