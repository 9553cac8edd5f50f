"""The charts as Helm itself sees them: linted, packaged, rendered. No cluster, no network."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from helm_python import chart as helm

ROOT = Path(__file__).parents[2]
CHARTS = ("vllm-runtime", "router-mcp")
PROFILES = ("dev-cpu", "dev-gpu", "staging", "production")
NAMESPACE = "serving"

Manifest: TypeAlias = dict[str, Any]


def path_of(chart: str) -> Path:
    return ROOT / "infra" / "helm" / chart


def profile_values(chart: str, profile: str) -> dict[str, Any]:
    values = yaml.safe_load((path_of(chart) / "values" / f"{profile}.yaml").read_text())
    assert isinstance(values, dict)
    return values


def nested(**flat: Any) -> dict[str, Any]:
    """Turn `cache__type="pvc"` into `{"cache": {"type": "pvc"}}`, as `--set cache.type=pvc` does."""
    out: dict[str, Any] = {}
    for path, value in flat.items():
        *parents, last = path.split("__")
        here = out
        for parent in parents:
            here = here.setdefault(parent, {})
        here[last] = value
    return out


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    out = copy.deepcopy(base)
    for key, value in over.items():
        out[key] = merged(out[key], value) if isinstance(value, dict) and isinstance(out.get(key), dict) else value
    return out


@cache
def _loaded(chart: str) -> helm.Chart:
    return helm.Chart.load(path_of(chart))


@cache
def _rendered(chart: str, values: str, release: str) -> str:
    files = _loaded(chart).render(json.loads(values), name=release, namespace=NAMESPACE)
    return json.dumps({name.split("/templates/")[-1]: text for name, text in files.items()})


@cache
def _objects(chart: str, values: str, release: str) -> str:
    files = json.loads(_rendered(chart, values, release))
    documents = (yaml.load_all(text, yaml.CSafeLoader) for name, text in files.items() if not name.endswith(".txt"))
    return json.dumps([document for stream in documents for document in stream if document])


def render_files(chart: str, values: dict[str, Any] | None = None, *, release: str = "mixtral") -> dict[str, str]:
    """Render every template; raises `HelmError` when the values are refused."""
    files: dict[str, str] = json.loads(_rendered(chart, json.dumps(values or {}), release))
    return files


def render(chart: str, values: dict[str, Any] | None = None, *, release: str = "mixtral") -> list[Manifest]:
    """Return the objects that a release would make. A copy each time: what is kept is text."""
    manifests: list[Manifest] = json.loads(_objects(chart, json.dumps(values or {}), release))
    return manifests


def only(manifests: list[Manifest], kind: str, name: str | None = None) -> Manifest:
    found = [m for m in manifests if m["kind"] == kind and (name is None or m["metadata"]["name"] == name)]
    assert len(found) == 1, f"{len(found)} objects of kind {kind} ({name})"
    return found[0]


def kinds(manifests: list[Manifest]) -> set[str]:
    return {str(manifest["kind"]) for manifest in manifests}


def pod_specs(manifest: Manifest) -> list[Manifest]:
    """Return the pod specs inside an object: none, one, or two for a LeaderWorkerSet."""
    spec = manifest.get("spec", {})
    match manifest["kind"]:
        case "Pod":
            return [spec]
        case "Deployment" | "StatefulSet":
            return [spec["template"]["spec"]]
        case "CronJob":
            return [spec["jobTemplate"]["spec"]["template"]["spec"]]
        case "LeaderWorkerSet":
            template = spec["leaderWorkerTemplate"]
            return [template["leaderTemplate"]["spec"], template["workerTemplate"]["spec"]]
    return []


def container(spec: Manifest, name: str) -> Manifest:
    found: list[Manifest] = [c for c in [*spec.get("initContainers", []), *spec["containers"]] if c["name"] == name]
    assert len(found) == 1, f"{len(found)} containers called {name}"
    return found[0]


def environment(of: Manifest) -> dict[str, str]:
    """Return the variables of a container that have plain values."""
    return {entry["name"]: entry["value"] for entry in of.get("env", []) if "value" in entry}


def secrets_of(of: Manifest) -> dict[str, str]:
    """Return the variables of a container that come from Secrets, as `secret/key`."""
    refs = {
        entry["name"]: entry["valueFrom"]["secretKeyRef"]
        for entry in of.get("env", [])
        if "secretKeyRef" in entry.get("valueFrom", {})
    }
    return {name: f"{ref['name']}/{ref['key']}" for name, ref in refs.items()}


def flags(args: list[str]) -> dict[str, list[str]]:
    """Return the flags of a command line with their values."""
    out: dict[str, list[str]] = {}
    for word in args:
        if word.startswith("--"):
            flag, equals, value = word.partition("=")
            out[flag] = [value] if equals else []
        elif out:
            out[next(reversed(out))].append(word)
    return out
