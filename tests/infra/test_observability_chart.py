"""The chart `observability`: what it makes is valid, finds what the other charts make, and is what the files say."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml
from helm_python import chart as helm

from infra.helm import generate
from tests.infra.charts import (
    NAMESPACE,
    Manifest,
    container,
    merged,
    nested,
    only,
    path_of,
    pod_specs,
    render,
    render_files,
)
from tests.infra.kubernetes import VERSIONS, mistakes
from tests.infra.test_charts import PASSED_ON, _keys, _objects, _schema_keys

CHART = "observability"
RELEASE = "observability"
ROOT = Path(__file__).parents[2]
EVERYTHING = nested(
    labels={"release": "prometheus"},
    namespaces=["serving", "staging"],
    rules__withoutAlerts=["SpansLost"],
    dashboards__annotations={"grafana_folder": "Router MCP"},
    collector={
        "traces": {"endpoint": "tempo.monitoring.svc:4317", "insecure": True},
        "imagePullSecrets": [{"name": "registry"}],
        "nodeSelector": {"pool": "cpu"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"podAffinity": {}},
        "priorityClassName": "high",
        "podLabels": {"team": "ml"},
        "image": {"digest": "sha256:" + "0" * 64},
    },
)
BARE = nested(
    collector__enabled=False,
    rules__enabled=False,
    dashboards__enabled=False,
    vllm__enabled=False,
    routers__enabled=False,
)
CASES = [
    ("defaults", {}),
    ("everything", EVERYTHING),
    ("bare", BARE),
    ("traces only", nested(collector={"metrics": {"enabled": False}, "networkPolicy": {"enabled": False}})),
]
IDS = [what for what, _ in CASES]


def made(values: dict[str, Any] | None = None) -> list[Manifest]:
    return render(CHART, values or {}, release=RELEASE)


@pytest.mark.parametrize(("what", "values"), CASES, ids=IDS)
def test_helm_lint_strict_finds_nothing(what: str, values: dict[str, Any]) -> None:
    report = helm.lint(path_of(CHART), values, strict=True, kube_version="v1.34.0")
    assert report["errors"] == []
    assert [message for message in report["messages"] if message["severity"] > 1] == []


@pytest.mark.parametrize(("what", "values"), CASES, ids=IDS)
def test_rendered_objects_fit_three_versions_of_kubernetes(what: str, values: dict[str, Any]) -> None:
    manifests = made(values)
    assert [wrong for version in VERSIONS for manifest in manifests for wrong in mistakes(manifest, version)] == []
    if what == "defaults":
        expected = {"ServiceMonitor", "PodMonitor", "PrometheusRule", "ConfigMap", "Deployment", "Service"}
        assert expected < {manifest["kind"] for manifest in manifests}
        for manifest in manifests:
            wrong = merged(manifest, {"spec": {"replicaz": 1}} if "spec" in manifest else {"spek": 1})
            assert mistakes(wrong, VERSIONS[-1]), f"{manifest['kind']} is not checked"


def test_bare_makes_nothing() -> None:
    assert made(BARE) == []


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])
def test_the_collector_runs_bounded_and_without_rights(values: dict[str, Any]) -> None:
    deployment = only(made(values), "Deployment")
    (spec,) = pod_specs(deployment)
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    collector = container(spec, "collector")
    assert collector["securityContext"]["readOnlyRootFilesystem"] is True
    assert collector["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert "memory" in collector["resources"]["limits"]
    assert ":" in collector["image"]
    assert not collector["image"].endswith(":latest")


@pytest.mark.parametrize(("what", "values"), CASES, ids=IDS)
def test_the_collectors_pipelines_name_only_what_it_has(what: str, values: dict[str, Any]) -> None:
    found = [m for m in made(values) if m["kind"] == "ConfigMap" and "config.yaml" in m["data"]]
    assert bool(found) is (what != "bare")
    for manifest in found:
        config = yaml.safe_load(manifest["data"]["config.yaml"])
        used: dict[str, set[str]] = {"receivers": set(), "processors": set(), "exporters": set()}
        for pipeline in config["service"]["pipelines"].values():
            assert pipeline["processors"][0] == "memory_limiter"
            for kind, names in used.items():
                names |= set(pipeline[kind])
        assert used == {kind: set(config[kind]) for kind in used}
        assert set(config["service"]["extensions"]) == set(config["extensions"])


def test_a_new_configuration_restarts_the_collector() -> None:
    def checksum(values: dict[str, Any]) -> str:
        annotations = only(made(values), "Deployment")["spec"]["template"]["metadata"]["annotations"]
        return str(annotations["checksum/config"])

    assert checksum({}) == checksum(nested(collector__replicaCount=2))
    assert checksum({}) != checksum(nested(collector__traces__endpoint="tempo:4317"))


def test_the_ports_agree_everywhere() -> None:
    manifests = made()
    collector = container(pod_specs(only(manifests, "Deployment"))[0], "collector")
    ports = {port["name"]: port["containerPort"] for port in collector["ports"]}
    service = only(manifests, "Service")["spec"]
    assert {port["targetPort"] for port in service["ports"]} <= ports.keys()
    scraped = only(manifests, "PodMonitor", "observability-collector")["spec"]["podMetricsEndpoints"]
    assert {endpoint["port"] for endpoint in scraped} == {"own-metrics", "metrics"}
    allowed = {port["port"] for rule in only(manifests, "NetworkPolicy")["spec"]["ingress"] for port in rule["ports"]}
    assert allowed == {ports[name] for name in ("otlp-grpc", "otlp-http", "own-metrics", "metrics")}


def _labels(manifest: Manifest) -> dict[str, str]:
    labels: dict[str, str] = manifest["metadata"]["labels"]
    return labels


def test_the_monitors_find_what_the_other_charts_make() -> None:
    manifests = made()
    routers = only(manifests, "ServiceMonitor")["spec"]
    services = [m for m in render("router-mcp", release="router") if m["kind"] == "Service"]
    wanted = routers["selector"]["matchLabels"]
    (expression,) = routers["selector"]["matchExpressions"]
    found = [
        service
        for service in services
        if wanted.items() <= _labels(service).items() and _labels(service)[expression["key"]] in expression["values"]
    ]
    assert {_labels(service)["app.kubernetes.io/component"] for service in found} == {"router", "embeddings"}
    for service in found:
        assert routers["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}
        assert _labels(service)[routers["jobLabel"]] == "router-mcp", "the alert RouterDown asks for this job"
    vllm = only(manifests, "PodMonitor", "observability-vllm")["spec"]
    (deployment,) = [m for m in render("vllm-runtime") if m["kind"] == "Deployment"]
    template = deployment["spec"]["template"]
    assert vllm["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    names = {port.get("name") for each in template["spec"]["containers"] for port in each.get("ports", [])}
    names |= {port.get("name") for each in template["spec"].get("initContainers", []) for port in each.get("ports", [])}
    assert vllm["podMetricsEndpoints"][0]["port"] in names


def test_the_monitors_ask_for_the_token_where_the_router_chart_keeps_it() -> None:
    (endpoint,) = only(made(), "ServiceMonitor")["spec"]["endpoints"]
    auth = yaml.safe_load((path_of("router-mcp") / "values.yaml").read_text())["auth"]
    assert endpoint["authorization"]["credentials"] == {"name": auth["secretName"], "key": auth["secretKey"]}


def test_the_rules_are_those_of_the_files_and_promtool_takes_them(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    assert promtool, "promtool is missing. Install it: apt-get install --no-install-recommends prometheus."
    manifests = [m for m in made() if m["kind"] == "PrometheusRule"]
    files = sorted((ROOT / "infra/observability/rules").glob("*.yml"))
    assert len(manifests) == len(files) == 2
    for manifest, path in zip(sorted(manifests, key=lambda m: str(m["metadata"]["name"])), files, strict=True):
        assert manifest["spec"] == yaml.safe_load(path.read_text())
        copy = tmp_path / path.name
        copy.write_text(yaml.safe_dump(manifest["spec"]))
        done = subprocess.run([promtool, "check", "rules", str(copy)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_an_alert_that_nobody_wants_is_left_out() -> None:
    rules = [
        rule
        for manifest in made(nested(rules__withoutAlerts=["SpansLost", "RouterDown"]))
        if manifest["kind"] == "PrometheusRule"
        for group in manifest["spec"]["groups"]
        for rule in group["rules"]
    ]
    names = {rule.get("alert") for rule in rules}
    assert not {"SpansLost", "RouterDown"} & names
    assert "RuntimeDemoted" in names


def test_the_dashboards_are_those_of_compose() -> None:
    found = [m for m in made(EVERYTHING) if "grafana_dashboard" in _labels(m)]
    for manifest in found:
        ((name, text),) = manifest["data"].items()
        original = ROOT / "infra" / "grafana" / name.removeprefix("router-mcp-")
        assert json.loads(text) == json.loads(original.read_text())
        assert manifest["metadata"]["annotations"] == {"grafana_folder": "Router MCP"}
        assert len(text) < 1_000_000, "a ConfigMap holds 1 MiB"
    assert len(found) == 2


def test_what_prometheus_selects_carries_its_labels() -> None:
    for manifest in made(EVERYTHING):
        if manifest["kind"] in {"ServiceMonitor", "PodMonitor", "PrometheusRule"}:
            assert _labels(manifest)["release"] == "prometheus"
    monitor = only(made(EVERYTHING), "ServiceMonitor")["spec"]
    assert monitor["namespaceSelector"] == {"matchNames": ["serving", "staging"]}


REFUSED = [
    (nested(rulez__enabled=True), "rulez.*not allowed"),
    (nested(collector__replicaCount="2"), "replicaCount.*want integer"),
    (nested(collector__traces__endpoint="http://tempo:4317"), "endpoint.*pattern"),
    (nested(routers__token="hunter2"), "token.*not allowed"),
    (nested(routers__interval="often"), "interval.*pattern"),
]


@pytest.mark.parametrize(("values", "message"), REFUSED, ids=[str(values) for values, _ in REFUSED])
def test_the_packaged_chart_refuses_wrong_values_and_says_which(
    tmp_path: Path, values: dict[str, Any], message: str
) -> None:
    package = Path(helm.package(path_of(CHART), destination=tmp_path))
    refused = pytest.raises(helm_python.HelmError, match=f"(?s){message}")
    with helm.Chart.load_archive(package.read_bytes()) as packaged, refused:
        packaged.render(values, name="x", namespace=NAMESPACE)


def test_the_package_carries_what_an_operator_needs(tmp_path: Path) -> None:
    with tarfile.open(helm.package(path_of(CHART), destination=tmp_path)) as archive:
        names = {name.removeprefix(f"{CHART}/") for name in archive.getnames()}
    wanted = {"values.schema.json", "README.md", "files/rules/router.yml", "files/rules/vllm.yml"}
    assert names >= wanted | {"files/dashboards/router.json", "files/dashboards/vllm.json"}
    assert "about.md" not in names


def test_the_schema_is_strict_and_names_the_keys_of_the_values() -> None:
    schema = json.loads((path_of(CHART) / "values.schema.json").read_text())
    for path, node in _objects(schema):
        closed = node.get("additionalProperties") is False or isinstance(node.get("additionalProperties"), dict)
        assert closed or ("properties" not in node and any(name in path for name in PASSED_ON)), path
    values = yaml.safe_load((path_of(CHART) / "values.yaml").read_text())
    known = {key for key in _schema_keys(schema, schema) if key != "global"}
    assert known - set(_keys(values)) == set()


def test_every_value_is_described_and_the_readme_is_up_to_date() -> None:
    values = yaml.safe_load((path_of(CHART) / "values.yaml").read_text())
    described = {value.key for value in generate.documented(path_of(CHART) / "values.yaml")}
    covered = {key for key in _keys(values) for prefix in described if key == prefix or key.startswith(f"{prefix}.")}
    groups = {key for key in _keys(values) if any(other.startswith(f"{key}.") for other in described)}
    assert set(_keys(values)) - covered - groups == set()
    assert generate.stale() == [], "run python -m infra.helm.generate"


@pytest.mark.parametrize(("what", "values"), CASES, ids=IDS)
def test_notes_say_what_to_do_next(what: str, values: dict[str, Any]) -> None:
    notes = render_files(CHART, values, release=RELEASE)["NOTES.txt"]
    assert "<no value>" not in notes
    if what == "defaults":
        assert "http://observability-collector.serving.svc:4318" in notes
        assert "collector.traces.endpoint is empty" in notes
