"""The scripts of a multi-node group, run with stand-ins for `ray`, `vllm` and the clock."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

FILES = Path(__file__).parents[2] / "infra" / "helm" / "vllm-runtime" / "files"
ENVIRONMENT = {
    "RAY_PORT": "6379",
    "VLLM_HOST_IP": "10.0.0.1",
    "LWS_GROUP_SIZE": "2",
    "LWS_LEADER_ADDRESS": "group-0.group",
}


def run(tmp_path: Path, script: str, *args: str, **programs: str) -> subprocess.CompletedProcess[str]:
    """Run a script with these programs (shell bodies) and nothing else but the shell's own tools."""
    for name, body in {"sleep": "exit 0", **programs}.items():
        (tmp_path / name).write_text(f'#!/bin/sh\necho "{name} $*" >>"{tmp_path}/log"\n{body}\n')
        (tmp_path / name).chmod(0o755)
    environ = ENVIRONMENT | {"PATH": f"{tmp_path}:/usr/bin:/bin", "STATE": str(tmp_path / "state")}
    command = ["/bin/bash", str(FILES / script), *args]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=20)


def log(tmp_path: Path) -> list[str]:
    return (tmp_path / "log").read_text().splitlines()


# Fails twice, as long as nodes are missing.
SECOND_TRY = 'echo x >>"$STATE"; [ "$(wc -l <"$STATE")" -gt 2 ]'


def test_the_leader_waits_for_its_workers_and_becomes_vllm(tmp_path: Path) -> None:
    done = run(tmp_path, "leader.sh", "a model", "--port", "8001", ray="", python3=SECOND_TRY, vllm="")
    assert done.returncode == 0, done.stderr
    lines = [line.split("\n")[0] for line in log(tmp_path)]
    assert lines[0] == (
        "ray start --head --port=6379 --node-ip-address=10.0.0.1 --include-dashboard=false --disable-usage-stats"
    )
    assert [line for line in lines if line.startswith("python3")] == ["python3 -c "] * 3
    assert lines[-1] == "vllm serve a model --port 8001"
    assert done.stderr.count("waiting for 2 nodes") == 2


def test_the_leader_says_what_to_do_about_an_image_without_ray(tmp_path: Path) -> None:
    done = run(tmp_path, "leader.sh", "model", vllm="")
    assert done.returncode == 1
    assert "EXTRA_PACKAGES" in done.stderr
    assert not (tmp_path / "log").exists()


def test_a_worker_joins_as_soon_as_its_leader_is_there_and_ends_with_it(tmp_path: Path) -> None:
    done = run(tmp_path, "worker.sh", ray=SECOND_TRY)
    assert done.returncode == 0
    joined = [line for line in log(tmp_path) if line.startswith("ray")]
    assert (
        joined
        == ["ray start --block --address=group-0.group:6379 --node-ip-address=10.0.0.1 --disable-usage-stats"] * 3
    )


def test_every_script_is_valid_for_its_shell() -> None:
    scripts = [*FILES.glob("*.sh"), *(FILES.parents[2] / "vllm-or-ollama").glob("*.sh")]
    assert len(scripts) == 4
    for script in scripts:
        shell = script.read_text().splitlines()[0].removeprefix("#!")
        checked = subprocess.run([shell, "-n", str(script)], capture_output=True, check=False, timeout=10)
        assert checked.returncode == 0, f"{script.name}: {checked.stderr.decode()}"
        assert os.access(script, os.X_OK) or shell == "/bin/bash"
