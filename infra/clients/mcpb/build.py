"""`make mcpb`: the bundle that Claude Desktop installs with a double click.

    python infra/clients/mcpb/build.py [FOLDER]

It holds this project's sources and no dependencies: Desktop's own `uv` fetches those for the machine that it is on.
The same sources give the same bytes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

ROOT = Path(__file__).parents[3]
MANIFEST = Path(__file__).with_name("manifest.json")
FOLDERS = ("router_mcp", "embeddings_mcp", "configs")
FILES = ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md")
_EPOCH = (1980, 1, 1, 0, 0, 0)


def sources() -> Iterator[Path]:
    """Yield the files of the bundle, in order."""
    for folder in FOLDERS:
        yield from sorted(path for path in (ROOT / folder).rglob("*") if path.is_file() and _belongs(path))
    yield from (ROOT / name for name in FILES)


def _belongs(path: Path) -> bool:
    """Leave out what tools put beside sources."""
    return not any(part.startswith(".") or part == "__pycache__" for part in path.relative_to(ROOT).parts)


def build(folder: Path) -> Path:
    """Write the bundle into a folder, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    bundle = folder / f"router-mcp-{json.loads(MANIFEST.read_text())['version']}.mcpb"
    with ZipFile(bundle, "w") as archive:
        for name, path in (("manifest.json", MANIFEST), *((str(path.relative_to(ROOT)), path) for path in sources())):
            info = ZipInfo(name, _EPOCH)
            info.compress_type, info.external_attr = ZIP_DEFLATED, 0o644 << 16
            archive.writestr(info, path.read_bytes())
    return bundle


if __name__ == "__main__":
    made = build(Path(sys.argv[1]) if sys.argv[1:] else ROOT / "dist")
    sys.stdout.write(f"{made}, {made.stat().st_size // 1024} KiB\n")
