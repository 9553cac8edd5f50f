"""What the project depends on: every licence allowed or excepted with a reason, a bill of materials that is whole."""

from __future__ import annotations

import datetime
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from infra.supply_chain import audit

ROOT = Path(__file__).parents[2]
TODAY = datetime.date(2026, 11, 23)


def test_every_licence_is_allowed_or_excepted() -> None:
    assert list(audit.licence_problems()) == []


def test_every_exception_has_a_reason_and_advisories_an_end() -> None:
    found = audit.exceptions()
    assert all(len(exception["reason"]) > 20 for kind in found.values() for exception in kind.values())
    assert all(isinstance(exception["until"], datetime.date) for exception in found["advisories"].values())


@pytest.mark.parametrize(
    ("expression", "fine"),
    [
        ("MIT", True),
        ("Apache-2.0 AND BSD-3-Clause", True),
        ("GPL-3.0 OR MIT", True),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", False),
        ("(GPL-3.0 OR MIT) AND ISC", True),
        ("GPL-3.0-only", False),
        ("MIT AND GPL-2.0", False),
        ("LGPL-3.0 (", False),
        ("unknown", False),
    ],
)
def test_a_licence_expression_is_read_as_spdx_means_it(expression: str, fine: bool) -> None:
    assert audit.allowed(expression) is fine


def test_a_licence_that_is_not_allowed_and_an_idle_exception_are_both_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "exceptions.yaml"
    file.write_text("licences: {tqdm: {licence: GPL, reason: x}, gone: {licence: MIT, reason: x}}\nadvisories:\n")
    monkeypatch.setattr(audit, "EXCEPTIONS", file)
    said = "\n".join(audit.licence_problems())
    assert "certifi is under 'Mozilla Public License 2.0 (MPL 2.0)'" in said
    assert "tqdm is under 'MPL-2.0 AND MIT'" in said
    assert "gone has an exception, but nothing needs it" in said


def test_the_audit_sees_every_dependency_that_the_project_declares() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [*project["dependencies"], *project["optional-dependencies"]["embedded"]]
    names = {re.split(r"[\[<>=!~ ]", line)[0].lower() for line in declared}
    assert names <= audit.runtime().keys()
    assert "pytest" not in audit.runtime()


def test_the_bill_of_materials_names_every_package_with_its_version(tmp_path: Path) -> None:
    assert audit.main(["sbom", str(tmp_path / "sbom.json")]) == 0
    sbom: dict[str, Any] = json.loads((tmp_path / "sbom.json").read_text())
    listed = {
        re.sub(r"[-_.]+", "-", component["name"]).lower(): component["version"] for component in sbom["components"]
    }
    assert sbom["bomFormat"] == "CycloneDX"
    assert {name: found.version for name, found in audit.runtime().items()}.items() <= listed.items()
    assert sbom["metadata"]["component"]["name"] == "router-mcp"
    needs = {each["ref"].split("==")[0]: each.get("dependsOn", []) for each in sbom["dependencies"]}
    assert f"pydantic=={listed['pydantic']}" in needs["router-mcp"]


def test_an_advisory_is_passed_over_only_until_its_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "exceptions.yaml"
    file.write_text("advisories: {CVE-1: {package: x, reason: y, until: 2026-11-23}}\n")
    monkeypatch.setattr(audit, "EXCEPTIONS", file)
    pins = tmp_path / "requirements.txt"
    assert audit.audit_command(pins, TODAY)[-2:] == ["--ignore-vuln", "CVE-1"]
    assert "CVE-1" not in audit.audit_command(pins, TODAY + datetime.timedelta(days=1))


def test_a_package_that_could_not_be_looked_up_fails_the_audit(tmp_path: Path) -> None:
    assert "--strict" in audit.audit_command(tmp_path, TODAY)
