"""The command line on the embedded model: what stands on stdout, and how it exits."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from embeddings_mcp import embedded_path

LINES = "Bread needs flour.\n\nTCP uses sockets.\nRivers flow.\n"
EMBEDDED = str(embedded_path())


def run(*arguments: str, stdin: str = "", config: str = EMBEDDED) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "embeddings_mcp", *arguments, *(["--config", config] if config else [])],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_lines_on_stdin_become_json_lines_and_blank_ones_are_skipped() -> None:
    done = run("embed", "--dimensions", "64", stdin=LINES)
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(each["index"], each["model"], len(each["embedding"])) for each in records] == [
        (0, "wordllama", 64),
        (1, "wordllama", 64),
        (2, "wordllama", 64),
    ]


def test_json_is_one_object_with_every_vector() -> None:
    done = run("embed", "--json", stdin=LINES)
    found = json.loads(done.stdout)
    assert (found["model"], found["dimensions"], found["count"], found["failed"]) == ("wordllama", 256, 3, 0)
    assert len(found["embeddings"]) == 3


def test_a_file_is_taken_up_and_gives_the_same_as_one_run(tmp_path: Path) -> None:
    source, whole, broken = tmp_path / "lines.txt", tmp_path / "whole.jsonl", tmp_path / "broken.jsonl"
    source.write_text(LINES)
    assert run("embed", str(source), "-o", str(whole)).returncode == 0
    broken.write_bytes(whole.read_bytes()[:-100])
    done = run("embed", str(source), "-o", str(broken))
    assert done.returncode == 0, done.stderr
    assert broken.read_bytes() == whole.read_bytes()
    assert "3 texts, 256 dimensions, wordllama" in done.stderr


def test_an_array_is_written_and_its_working_file_is_gone(tmp_path: Path) -> None:
    target = tmp_path / "vectors.npy"
    assert run("embed", "-", "--output", str(target), stdin=LINES).returncode == 0
    array = np.load(target)
    assert array.shape == (3, 256)
    assert np.allclose(np.linalg.norm(array, axis=1), 1, atol=1e-5)
    assert list(tmp_path.iterdir()) == [target]


def test_other_texts_than_the_files_are_refused_until_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    assert run("embed", "-o", str(target), stdin=LINES).returncode == 0
    refused = run("embed", "-o", str(target), stdin="Something else.\n")
    assert refused.returncode == 2
    assert "--overwrite" in refused.stderr
    assert run("embed", "-o", str(target), "--overwrite", stdin="Something else.\n").returncode == 0
    assert len(target.read_text().splitlines()) == 1


def test_a_text_that_is_too_long_exits_1_and_is_named_in_its_line() -> None:
    done = run("embed", stdin=f"short\n{'word ' * 9000}\n")
    assert done.returncode == 1
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert "embedding" in first
    assert "9,000 tokens or more" in second["error"]
    assert run("embed", "--truncate", stdin=f"short\n{'word ' * 9000}\n").returncode == 0


def test_a_ranking_shows_the_best_first_and_json_has_indices() -> None:
    done = run("rank", "How do I bake?", stdin=LINES)
    assert done.returncode == 0, done.stderr
    assert "Bread needs flour." in done.stdout.splitlines()[1]
    found = json.loads(run("rank", "How do I bake?", "--top-k", "1", "--json", stdin=LINES).stdout)
    assert [each["index"] for each in found["results"]] == [0]


def test_status_exits_0_when_a_model_can_serve() -> None:
    done = run("status", "--json")
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert [(each["name"], each["state"]) for each in found["models"]] == [("wordllama", "healthy")]
    assert found["endpoints"][0]["url"] == "in-process"
    assert "wordllama" in run("status").stdout


def test_status_exits_1_when_nothing_can_serve(tmp_path: Path) -> None:
    config = tmp_path / "embeddings.yaml"
    config.write_text(
        "version: 1\n"
        'backends: {ollama: {kind: ollama, endpoints: ["http://127.0.0.1:9"]}}\n'
        "models: {m: {backend: ollama, dimensions: 4, max_input_tokens: 512}}\n"
        "defaults: {model: m}\n"
    )
    assert run("status", config=str(config)).returncode == 1
    down = run("embed", stdin="a\n", config=str(config))
    assert down.returncode == 1
    assert "cannot be reached" in down.stderr
    assert down.stdout == ""


def test_a_watched_status_goes_on_until_it_is_interrupted() -> None:
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "embeddings_mcp", "status", "--watch", "--config", EMBEDDED]
    with subprocess.Popen(command, stdout=follower, stderr=subprocess.PIPE) as process:
        seen = b""
        while seen.count(b"Endpoints") < 2:
            seen += os.read(leader, 65536)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    os.close(leader)
    os.close(follower)
    assert b"healthy" in seen
    assert (process.returncode, said) == (0, b"")


def test_config_is_checked_shown_and_described(tmp_path: Path) -> None:
    assert "good. 1 models, 1 backends." in run("config", "check").stderr
    assert json.loads(run("config", "show").stdout)["defaults"]["model"] == "wordllama"
    assert json.loads(run("config", "schema", config="").stdout)["title"] == "Embeddings MCP configuration"
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(embedded_path().read_text().replace("dimensions: 256", "dimension: 256"))
    refused = run("config", "check", str(wrong), config="")
    assert refused.returncode == 2
    assert "Did you mean 'dimensions'?" in refused.stderr.replace("\n", " ")


@pytest.mark.parametrize(
    "arguments", [("embed", "no-such-file"), ("embed", "--model", "nope"), ("embed", "--dimensions", "3")]
)
def test_wrong_use_exits_2(arguments: tuple[str, ...]) -> None:
    done = run(*arguments, stdin="a\n")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_input_that_is_not_text_exits_2(tmp_path: Path) -> None:
    source = tmp_path / "binary"
    source.write_bytes(b"\xff\xfe\x00")
    assert run("embed", str(source)).returncode == 2


def test_the_demo_ranks_on_a_real_model() -> None:
    done = run("demo", config="")
    assert done.returncode == 0, done.stderr
    assert "embed_texts, rank_texts, list_embedding_models" in done.stdout
    assert done.stdout.index("Wrap the loaf") < done.stdout.index("TCP connection")
    assert '"outcome": "ok"' in done.stdout
