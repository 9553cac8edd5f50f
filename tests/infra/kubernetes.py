"""Manifests against the schemas of Kubernetes and of the custom resources that the charts use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import jsonschema
import kubernetes_validate  # type: ignore[import-untyped]  # it has no stubs
from cloudcoil.models.keda.v1alpha1 import ScaledObject
from cloudcoil.models.prometheus_operator.v1 import PodMonitor, PrometheusRule, ServiceMonitor
from pydantic import BaseModel, ValidationError

from tests.infra.charts import Manifest, pod_specs

VERSIONS = ("1.31", "1.34", "1.37")
"""Three minor versions of Kubernetes, over three years: what the charts promise to run on."""
MODELS: dict[str, type[BaseModel]] = {
    "ScaledObject": ScaledObject,
    "PodMonitor": PodMonitor,
    "PrometheusRule": PrometheusRule,
    "ServiceMonitor": ServiceMonitor,
}
SCHEMAS = {
    kind: json.loads((Path(__file__).parent / "crds" / f"{kind}.json").read_text())
    for kind in ("HTTPRoute", "LeaderWorkerSet")
}


def mistakes(manifest: Manifest, version: str) -> list[str]:
    """List what a cluster of this version would not accept of an object, or would silently ignore."""
    return list(_mistakes(json.dumps(manifest), version))


@cache  # profiles share most of their objects
def _mistakes(text: str, version: str) -> tuple[str, ...]:
    return tuple(_look(json.loads(text), version))


def _look(manifest: Manifest, version: str) -> Iterator[str]:
    kind = manifest["kind"]
    where = f"{kind} {manifest['metadata']['name']}"
    if kind in MODELS:
        yield from (f"{where}: {text}" for text in _by_model(manifest))
    elif kind in SCHEMAS:
        yield from (f"{where}: {text}" for text in _by_schema(manifest))
        for spec in pod_specs(manifest):
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec}
            yield from (f"{where}: {text}" for text in _native(pod, version))
    else:
        yield from (f"{where}: {text}" for text in _native(manifest, version))


def _native(manifest: Manifest, version: str) -> Iterator[str]:
    try:
        kubernetes_validate.validate(manifest, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        yield f"{'.'.join(str(part) for part in error.path)}: {error.message}"
    except kubernetes_validate.SchemaNotFoundError as error:
        yield error.message


def _by_model(manifest: Manifest) -> Iterator[str]:
    """Check by the operator's own types. They drop what they do not know, so what comes back must be the same."""
    try:
        known = MODELS[manifest["kind"]].model_validate(manifest)
    except ValidationError as error:
        yield str(error)
        return
    if known.model_dump(mode="json", by_alias=True, exclude_unset=True) != manifest:
        yield "holds a key that the custom resource does not have"


def _by_schema(manifest: Manifest) -> Iterator[str]:
    validator = jsonschema.Draft202012Validator(SCHEMAS[manifest["kind"]])
    for error in validator.iter_errors(manifest):
        yield f"{error.json_path}: {error.message}"
