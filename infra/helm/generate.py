"""Makes what the charts repeat: READMEs out of values comments, and copies of files that live elsewhere.

`python -m infra.helm.generate` writes; with `--check` it only says what is out of date, and exits 1.
A chart cannot reach outside its own folder, hence the copies. In `values.yaml` a comment that begins with `# --`
describes the key on the next line.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parents[2]
CHARTS = ROOT / "infra" / "helm"
COPIES: dict[str, tuple[str, ...]] = {
    "infra/proxy/runtime-proxy.conf.template": ("vllm-runtime/files", "router-mcp/files"),
    "infra/vllm-or-ollama/pull-models.sh": ("router-mcp/files",),
    "configs/embeddings/embedded.yaml": ("router-mcp/files/embeddings",),
    **{
        f"configs/profiles/{name}.yaml": ("router-mcp/files/profiles",)
        for name in ("dev-cpu", "dev-gpu", "staging", "production")
    },
    **{f"infra/observability/rules/{name}.yml": ("observability/files/rules",) for name in ("router", "vllm")},
    **{f"infra/grafana/{name}.json": ("observability/files/dashboards",) for name in ("router", "vllm")},
}
MARK = "# -- "


class Value(NamedTuple):
    """One documented key of a values file."""

    key: str
    default: Any
    text: str


def documented(values: Path) -> Iterator[Value]:
    """Yield the keys of a values file that have a description, in the order of the file."""
    text = values.read_text(encoding="utf-8")
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if isinstance(root, yaml.MappingNode):
        yield from _documented(root, text.splitlines(), yaml.safe_load(text), "")


def _documented(node: yaml.MappingNode, lines: list[str], values: dict[str, Any], prefix: str) -> Iterator[Value]:
    for key_node, value_node in node.value:
        name = str(key_node.value)
        path = f"{prefix}{name}"
        before = lines[key_node.start_mark.line - 1].strip() if key_node.start_mark.line else ""
        if before.startswith(MARK):
            yield Value(path, values[name], before.removeprefix(MARK))
        elif isinstance(value_node, yaml.MappingNode):
            yield from _documented(value_node, lines, values[name], f"{path}.")


def readme(chart: Path) -> str:
    """Return a chart's README: what it says of itself, and a table of its values."""
    about = yaml.safe_load((chart / "Chart.yaml").read_text(encoding="utf-8"))
    rows = [
        f"| `{value.key}` | `{_cell(json.dumps(value.default, ensure_ascii=False))}` | {_cell(value.text)} |"
        for value in documented(chart / "values.yaml")
    ]
    return "\n".join(
        [
            f"# {about['name']}",
            "",
            "<!-- Made by python -m infra.helm.generate from about.md, Chart.yaml and values.yaml. -->",
            "",
            f"{about['description']}. Chart {about['version']}, application {about['appVersion']}.",
            "",
            (chart / "about.md").read_text(encoding="utf-8").strip(),
            "",
            "## Values",
            "",
            "| Key | Default | What it does |",
            "| --- | --- | --- |",
            *rows,
            "",
        ]
    )


def _cell(text: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\\|", text)


def outputs() -> Iterator[tuple[Path, str]]:
    """Yield every generated file with the text that it should have."""
    for source, folders in COPIES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        for folder in folders:
            yield CHARTS / folder / Path(source).name, text
    for chart in ("vllm-runtime", "router-mcp", "observability"):
        yield CHARTS / chart / "README.md", readme(CHARTS / chart)


def stale() -> list[Path]:
    """List the generated files that are missing or out of date."""
    return [path for path, text in outputs() if not path.exists() or path.read_text(encoding="utf-8") != text]


def main(argv: list[str]) -> int:
    """Write or check; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="say what is out of date and change nothing")
    if parser.parse_args(argv).check:
        for path in stale():
            sys.stderr.write(f"{path.relative_to(ROOT)} is out of date: run python -m infra.helm.generate\n")
        return 1 if stale() else 0
    for path, text in outputs():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
