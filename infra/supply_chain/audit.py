"""What this project depends on: licences, a bill of materials, known vulnerabilities.

    python -m infra.supply_chain.audit licences          offline: every licence is allowed, or excepted with a reason
    python -m infra.supply_chain.audit sbom FILE         offline: CycloneDX of this environment
    python -m infra.supply_chain.audit advisories        asks an advisory service, by pip-audit

Run it in the environment that is to be audited. Exceptions stand in `exceptions.yaml` beside this file, each with
its reason. pip-audit passes over what it cannot look up and still ends well; here that is a failure (`--strict`),
so a run without a network never looks like a clean one.
"""

from __future__ import annotations

import argparse
import datetime
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import Requirement

from infra.supply_chain.bill import bill_of_materials

EXCEPTIONS = Path(__file__).with_name("exceptions.yaml")
DISTRIBUTION = "router-mcp"
EXTRAS = ("embedded",)
# Permissive licences, by SPDX name or as classifiers write them. `X AND Y` needs both, `X OR Y` one.
ALLOWED = re.compile(
    r"(?i)0BSD|Apache(-2\.0| Software License)|(2|3)-Clause BSD License|BSD(-2-Clause|-3-Clause| License)"
    r"|CC0-1\.0|ISC( License)?|MIT(-0| License)?|PSF-2\.0|Python Software Foundation License|Zlib"
)


def runtime() -> dict[str, metadata.Distribution]:
    """Return the distributions that an installation needs to run, by name, this project itself left out."""
    found: dict[str, metadata.Distribution] = {}
    _collect(DISTRIBUTION, EXTRAS, found)
    del found[DISTRIBUTION]
    return found


def _collect(name: str, extras: tuple[str, ...], found: dict[str, metadata.Distribution]) -> None:
    key = re.sub(r"[-_.]+", "-", name).lower()
    if key in found:
        return
    found[key] = metadata.distribution(name)
    for line in found[key].requires or []:
        needed = Requirement(line)
        if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            _collect(needed.name, tuple(needed.extras), found)


def licence(distribution: metadata.Distribution) -> str:
    """Return what a distribution says of its licence: its SPDX expression, else its classifiers, else its text."""
    about = distribution.metadata.json
    classifiers = [line.split(" :: ")[-1] for line in about.get("classifier", []) if line.startswith("License ::")]
    text = str(about.get("license") or "unknown").strip().splitlines()[0]
    return str(about.get("license_expression") or " AND ".join(classifiers) or text)


def allowed(expression: str) -> bool:
    """Tell whether a licence expression asks for nothing but what is permissive."""
    plain = expression.replace("(ISCL)", "").replace("(", " ( ").replace(")", " ) ")
    groups = re.sub(r"\s+", " ", plain).strip()
    if "(" in groups:
        inner = re.sub(r"\( ([^()]*) \)", lambda match: "MIT" if allowed(match[1]) else "refused", groups)
        return inner != groups and allowed(inner)
    return all(
        any(ALLOWED.fullmatch(choice.strip()) for choice in part.split(" OR ")) for part in groups.split(" AND ")
    )


def exceptions() -> dict[str, dict[str, Any]]:
    """Return the exceptions of the file: `licences` by package, `advisories` by id."""
    loaded: dict[str, dict[str, Any]] = yaml.safe_load(EXCEPTIONS.read_text(encoding="utf-8"))
    return {kind: loaded.get(kind) or {} for kind in ("licences", "advisories")}


def licence_problems() -> Iterator[str]:
    """Yield each dependency whose licence is neither allowed nor excepted, and each exception without a package."""
    excepted = exceptions()["licences"]
    needed = runtime()
    for name, distribution in needed.items():
        said = licence(distribution)
        known = name in excepted and re.fullmatch(excepted[name]["licence"], said)
        if not allowed(said) and not known:
            yield f"{name} is under {said!r}. Replace it, or say in exceptions.yaml why it may stay."
    for name in excepted.keys() - needed.keys():
        yield f"{name} has an exception, but nothing needs it any more."


def audit_command(requirements: Path, today: datetime.date) -> list[str]:
    """Return the pip-audit call, with the advisories that are excepted today."""
    command = [sys.executable, "-m", "pip_audit", "--strict", "--disable-pip", "--no-deps", "-r", str(requirements)]
    for name, exception in exceptions()["advisories"].items():
        if today <= exception["until"]:
            command += ["--ignore-vuln", name]
    return command


def main(argv: list[str]) -> int:
    """Run one of the three audits; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("licences", "sbom", "advisories"))
    parser.add_argument("file", nargs="?", type=Path, default=Path("sbom.cdx.json"))
    options = parser.parse_args(argv)
    if options.what == "licences":
        problems = list(licence_problems())
        sys.stderr.writelines(f"{problem}\n" for problem in problems)
        return 1 if problems else 0
    if options.what == "sbom":
        options.file.write_text(bill_of_materials(DISTRIBUTION, licence), encoding="utf-8")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        pins = Path(folder) / "requirements.txt"
        pins.write_text("".join(f"{name}=={found.version}\n" for name, found in runtime().items()), encoding="utf-8")
        today = datetime.datetime.now(datetime.UTC).date()
        return subprocess.run(audit_command(pins, today), check=False).returncode  # noqa: S603 - our own words


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
