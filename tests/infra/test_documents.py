"""What the deployment documents say exists, exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.infra.charts import CHARTS, PROFILES, path_of

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "SECURITY.md", ROOT / "docs/deploy.md", ROOT / "docs/security.md", ROOT / "docs/operations.md"] + [
    path_of(chart) / "about.md" for chart in CHARTS
]
OURS = ("infra/", "configs/", "docs/", "tests/")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_that_is_named_is_there(document: Path) -> None:
    text = document.read_text()
    named = {word.rstrip(".,:;)`") for word in re.findall(rf"(?:{'|'.join(OURS)})[\w./-]+", text)}
    assert {name for name in named if not (ROOT / name).exists()} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        assert (document.parent / target).resolve().exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_value_that_is_named_is_one_of_a_chart(document: Path) -> None:
    values = "\n".join((path_of(chart) / "README.md").read_text() for chart in CHARTS)
    for name in re.findall(r"--set(?:-file)? ([\w.]+)=", document.read_text()):
        assert f"| `{name}` |" in values, name


def test_the_machines_of_the_profiles_are_told_alike_everywhere() -> None:
    text = (ROOT / "docs/deploy.md").read_text()
    for profile in PROFILES:
        assert f"`configs/profiles/{profile}.yaml`" in text
        assert (ROOT / f"configs/profiles/{profile}.yaml").exists()


def test_no_file_of_the_deployment_names_a_registry_host_or_a_path_of_one_machine() -> None:
    files = [path for path in (ROOT / "infra").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    for path in [*files, *DOCUMENTS]:
        text = path.read_text()
        assert not re.search(r"\b(ghcr|quay|gcr|docker)\.io/|registry\.k8s\.io|/work/|/root/", text), path
