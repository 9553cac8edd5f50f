"""What holds for every chart: Helm's strict lint, Kubernetes' schemas, a schema of values that bites."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml
from helm_python import chart as helm

from infra.helm import generate
from tests.infra.charts import (
    CHARTS,
    NAMESPACE,
    PROFILES,
    Manifest,
    environment,
    merged,
    nested,
    path_of,
    pod_specs,
    profile_values,
    render,
    render_files,
)
from tests.infra.kubernetes import VERSIONS, mistakes

# Every switch on, so that no template goes unseen: (chart, what it is, values).
SWITCHED: list[tuple[str, str, dict[str, Any]]] = [
    (
        "vllm-runtime",
        "everything",
        nested(
            canary=True,
            lora={"enabled": True, "adapters": [{"name": "law", "path": "acme/law-lora"}]},
            apiKey__secretName="key",
            hubToken__secretName="hub",
            objectStorage={"endpointUrl": "https://store.internal", "secretName": "store"},
            cloudIdentity={"provider": "azure", "role": "1234"},
            promptCaching__reset=True,
            monitoring={"enabled": True, "labels": {"release": "prometheus"}},
            autoscaling={"enabled": True, "kind": "hpa"},
            cache={"accessModes": ["ReadWriteMany"], "storageClass": "nfs"},
            tracing__endpoint="http://collector:4317",
            podLabels={"team": "ml"},
            podAnnotations={"note": "x"},
            nodeSelector={"pool": "gpu"},
            affinity={"nodeAffinity": {}},
            runtimeClassName="nvidia",
            priorityClassName="high",
            imagePullSecrets=[{"name": "registry"}],
            extraEnv=[{"name": "A", "value": "b"}],
            serviceAccount__annotations={"a": "b"},
            service__annotations={"a": "b"},
        ),
    ),
    (
        "vllm-runtime",
        "multi-node",
        nested(
            multiNode={"enabled": True, "nodes": 2},
            tensorParallelSize=8,
            pipelineParallelSize=2,
            resources__limits={"nvidia.com/gpu": 8},
            cache__accessModes=["ReadWriteMany"],
            autoscaling__enabled=True,
        ),
    ),
    ("vllm-runtime", "host path", nested(cache={"type": "hostPath", "hostPath": "/srv/models"})),
    ("vllm-runtime", "volume", nested(model={"source": "/models/mixtral", "volume": {"claim": "weights"}})),
    ("vllm-runtime", "bare", nested(networkPolicy__enabled=False, podDisruptionBudget__enabled=False)),
    (
        "router-mcp",
        "everything",
        nested(
            ingress={"enabled": True, "host": "mcp.example.com", "tlsSecret": "tls", "annotations": {"a": "b"}},
            httpRoute={"enabled": True, "parentRefs": [{"name": "gw"}], "hostnames": ["mcp.example.com"]},
            autoscaling__enabled=True,
            monitoring__enabled=True,
            tracing={"exporter": "otlp", "endpoint": "http://collector:4318"},
            warming__templates="version: 1\n",
            tenantSalt__secretName="salt",
            env={"VLLM_REASONING_URL": "http://mixtral:8000"},
            secretEnv=[{"name": "VLLM_API_KEY", "secretName": "key", "secretKey": "key"}],
            embeddings={"env": {"EMBEDDINGS_MODEL": "wordllama"}},
            ollama__cache={"type": "hostPath", "hostPath": "/srv/ollama"},
            podLabels={"team": "ml"},
            podAnnotations={"note": "x"},
            nodeSelector={"pool": "cpu"},
            tolerations=[{"operator": "Exists"}],
            affinity={"podAffinity": {}},
            priorityClassName="high",
            imagePullSecrets=[{"name": "registry"}],
            serviceAccount__annotations={"a": "b"},
            service__annotations={"a": "b"},
        ),
    ),
    (
        "router-mcp",
        "bare",
        nested(
            embeddings__enabled=False,
            ollama__enabled=False,
            warming__enabled=False,
            networkPolicy__enabled=False,
            podDisruptionBudget__enabled=False,
            policy__existingConfigMap="mine",
        ),
    ),
]
CASES = [
    *((chart, profile, profile_values(chart, profile)) for chart in CHARTS for profile in PROFILES),
    *((chart, "defaults", {}) for chart in CHARTS),
    *SWITCHED,
]
IDS = [f"{chart}-{what}" for chart, what, _ in CASES]
SYSTEM_PORTS = 1024


@pytest.mark.parametrize(("chart", "what", "values"), CASES, ids=IDS)
def test_helm_lint_strict_finds_nothing(chart: str, what: str, values: dict[str, Any]) -> None:
    report = helm.lint(path_of(chart), values, strict=True, kube_version="v1.34.0")
    assert report["errors"] == []
    assert [message for message in report["messages"] if message["severity"] > 1] == []


@pytest.mark.parametrize(("chart", "what", "values"), CASES, ids=IDS)
def test_rendered_objects_fit_three_versions_of_kubernetes(chart: str, what: str, values: dict[str, Any]) -> None:
    manifests = render(chart, values)
    found = [mistake for version in VERSIONS for manifest in manifests for mistake in mistakes(manifest, version)]
    assert found == []


def test_a_misspelt_key_would_be_seen_in_every_kind_of_object() -> None:
    by_kind = {manifest["kind"]: manifest for chart, _, values in CASES for manifest in render(chart, values)}
    for kind, manifest in by_kind.items():
        wrong = merged(manifest, {"spec": {"replicaz": 1}} if "spec" in manifest else {"spek": 1})
        assert list(mistakes(wrong, VERSIONS[-1])), f"{kind} is not checked"
    assert by_kind.keys() >= {"ScaledObject", "PodMonitor", "ServiceMonitor", "HTTPRoute", "LeaderWorkerSet", "CronJob"}


@pytest.mark.parametrize(("chart", "what", "values"), CASES, ids=IDS)
def test_every_container_runs_bounded_and_without_rights(chart: str, what: str, values: dict[str, Any]) -> None:
    specs = [spec for manifest in render(chart, values) for spec in pod_specs(manifest)]
    assert specs
    for spec in specs:
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec.get("hostNetwork") is None
        for each in [*spec.get("initContainers", []), *spec["containers"]]:
            security = each["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert security["readOnlyRootFilesystem"] is True
            assert security.get("runAsUser", spec["securityContext"]["runAsUser"]) > 0
            assert "memory" in each["resources"]["limits"]
            assert ":" in each["image"]
            assert not each["image"].endswith(":latest")
            assert all(port["containerPort"] >= SYSTEM_PORTS for port in each.get("ports", []))


@pytest.mark.parametrize(("chart", "what", "values"), CASES, ids=IDS)
def test_every_volume_that_is_mounted_exists_and_none_is_idle(chart: str, what: str, values: dict[str, Any]) -> None:
    for manifest in render(chart, values):
        claimed = {claim["metadata"]["name"] for claim in manifest.get("spec", {}).get("volumeClaimTemplates", [])}
        for spec in pod_specs(manifest):
            volumes = {volume["name"] for volume in spec.get("volumes", [])} | claimed
            containers = [*spec.get("initContainers", []), *spec["containers"]]
            assert {mount["name"] for each in containers for mount in each.get("volumeMounts", [])} == volumes


@pytest.mark.parametrize(("chart", "what", "values"), CASES, ids=IDS)
def test_no_object_holds_a_secret(chart: str, what: str, values: dict[str, Any]) -> None:
    manifests = render(chart, values)
    assert "Secret" not in {manifest["kind"] for manifest in manifests}
    for manifest in manifests:
        for spec in pod_specs(manifest):
            for each in [*spec.get("initContainers", []), *spec["containers"]]:
                plain = environment(each)
                assert not [name for name in plain if name.endswith(("_TOKEN", "_KEY", "_SECRET", "_PASSWORD"))]


@pytest.mark.parametrize(("chart", "what", "values"), CASES, ids=IDS)
def test_nothing_is_published_beyond_the_cluster_by_a_service(chart: str, what: str, values: dict[str, Any]) -> None:
    services = [manifest for manifest in render(chart, values) if manifest["kind"] == "Service"]
    assert services
    assert {service["spec"]["type"] for service in services} == {"ClusterIP"}


@pytest.mark.parametrize("chart", CHARTS)
def test_services_budgets_and_monitors_select_pods_that_exist(chart: str) -> None:
    manifests = render(chart, nested(monitoring__enabled=True))
    pods = [m["spec"]["template"]["metadata"]["labels"] for m in manifests if m["kind"] == "Deployment"]
    services = [m["metadata"]["labels"] for m in manifests if m["kind"] == "Service"]

    def selected(wanted: dict[str, str], among: list[dict[str, str]]) -> int:
        return sum(wanted.items() <= labels.items() for labels in among)

    for manifest in manifests:
        spec = manifest.get("spec", {})
        match manifest["kind"]:
            case "Service":
                assert selected(spec["selector"], pods) == 1
            case "PodDisruptionBudget" | "PodMonitor" | "Deployment":
                assert selected(spec["selector"]["matchLabels"], pods) == 1
            case "ServiceMonitor":
                assert selected(spec["selector"]["matchLabels"], services) == 1


@pytest.mark.parametrize("chart", CHARTS)
def test_two_releases_in_one_namespace_do_not_select_each_others_pods(chart: str) -> None:
    first, second = (render(chart, release=name) for name in ("one", "two"))
    labels = [m["spec"]["template"]["metadata"]["labels"] for m in second if m["kind"] == "Deployment"]
    for manifest in first:
        if manifest["kind"] == "Service":
            assert not any(manifest["spec"]["selector"].items() <= theirs.items() for theirs in labels)
        if manifest["kind"] in {"Deployment", "PodDisruptionBudget", "NetworkPolicy"}:
            selector = manifest["spec"].get("selector") or manifest["spec"]["podSelector"]
            assert not any(selector["matchLabels"].items() <= theirs.items() for theirs in labels)
    assert not {m["metadata"]["name"] for m in first} & {m["metadata"]["name"] for m in second}


@pytest.mark.parametrize("chart", CHARTS)
def test_a_long_release_name_still_makes_valid_names(chart: str) -> None:
    long = "a" * 53
    values = nested(canary=True, workload="StatefulSet") if chart == "vllm-runtime" else {}
    for manifest in render(chart, values, release=long):
        # Jobs and revisions get eleven characters more, in names and labels that have 63.
        limit = 52 if manifest["kind"] in {"CronJob", "StatefulSet"} else 63
        assert len(manifest["metadata"]["name"]) <= limit


@pytest.mark.parametrize("chart", CHARTS)
def test_the_profile_fits_its_machine(chart: str) -> None:
    """Issue 7: dev-cpu 8 cores/32 GB, dev-gpu 16/64 + 1 GPU, staging 32/128 + 2, production 64/256 + 2."""
    machines = {"dev-cpu": (8, 32, 0), "dev-gpu": (16, 64, 1), "staging": (32, 128, 2), "production": (64, 256, 2)}
    for profile, (cores, gigabytes, gpus) in machines.items():
        requests = [
            each["resources"].get("requests", {})
            for each_chart in ({chart, "router-mcp"} if profile != "dev-cpu" else {chart})
            for manifest in render(each_chart, profile_values(each_chart, profile))
            if manifest["kind"] in {"Deployment", "StatefulSet"}
            for _ in range(_least_replicas(manifest, each_chart, profile))
            for spec in pod_specs(manifest)
            for each in [*spec.get("initContainers", []), *spec["containers"]]
        ]
        assert sum(_cpu(request) for request in requests) <= cores
        assert sum(_memory(request) for request in requests) <= gigabytes
        wanted = gpus if chart == "vllm-runtime" else 0
        assert sum(request.get("nvidia.com/gpu", 0) for request in requests) == wanted


def _least_replicas(manifest: Manifest, chart: str, profile: str) -> int:
    least = profile_values(chart, profile).get("autoscaling", {}).get("minReplicas", 1)
    return int(manifest["spec"].get("replicas", least))


def _cpu(request: dict[str, str]) -> float:
    cpu = str(request.get("cpu", "0"))
    return float(cpu.removesuffix("m")) / 1000 if cpu.endswith("m") else float(cpu)


def _memory(request: dict[str, str]) -> float:
    memory = request.get("memory", "0Gi")
    return float(memory[:-2]) / {"Gi": 1, "Mi": 1024}[memory[-2:]]


# --- the schema of values


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("packages")
    return {chart: Path(helm.package(path_of(chart), destination=folder)).read_bytes() for chart in CHARTS}


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("vllm-runtime", nested(tensorParallelSize="two"), "/tensorParallelSize.*want integer"),
    ("vllm-runtime", nested(tensorParalelSize=2), "tensorParalelSize.*not allowed"),
    ("vllm-runtime", nested(model__sorce="x"), "/model.*sorce.*not allowed"),
    ("vllm-runtime", nested(tensorParallelSize=0), "/tensorParallelSize.*minimum"),
    ("vllm-runtime", nested(gpuMemoryUtilization=90), "/gpuMemoryUtilization.*maximum"),
    ("vllm-runtime", nested(structuredOutputs__backend="json"), "/structuredOutputs/backend.*guidance"),
    ("vllm-runtime", nested(promptCaching__hashAlgo="xxhash"), "/promptCaching/hashAlgo.*sha256"),
    ("vllm-runtime", nested(model__servedNames=[]), "/model/servedNames.*minItems"),
    ("vllm-runtime", nested(service__type="LoadBalancer"), "/service.*type.*not allowed"),
    ("vllm-runtime", nested(security__runAsUser=0), "/security/runAsUser.*minimum"),
    ("vllm-runtime", nested(apiKey__value="hunter2"), "/apiKey.*value.*not allowed"),
    ("router-mcp", nested(replicaCount="2"), "/replicaCount.*want integer"),
    ("router-mcp", nested(replicas=2), "replicas.*not allowed"),
    ("router-mcp", nested(policy__profile="prod"), "/policy/profile.*production"),
    ("router-mcp", nested(auth__secretName=""), "/auth/secretName.*minLength"),
    ("router-mcp", nested(auth__token="hunter2"), "/auth.*token.*not allowed"),
    ("router-mcp", nested(warming__schedule="daily"), "/warming/schedule.*pattern"),
    ("router-mcp", nested(env={"A": 1}), "/env/A.*want string"),
]


@pytest.mark.parametrize(("chart", "values", "message"), REFUSED, ids=[str(values) for _, values, _ in REFUSED])
def test_the_packaged_chart_refuses_wrong_values_and_says_which(
    packages: dict[str, bytes], chart: str, values: dict[str, Any], message: str
) -> None:
    refused = pytest.raises(helm_python.HelmError, match=f"(?s){message}")
    with helm.Chart.load_archive(packages[chart]) as packaged, refused:
        packaged.render(values, name="x", namespace=NAMESPACE)


@pytest.mark.parametrize("chart", CHARTS)
def test_the_package_carries_what_an_operator_needs(packages: dict[str, bytes], chart: str) -> None:
    with tarfile.open(fileobj=io.BytesIO(packages[chart])) as archive:
        names = {name.removeprefix(f"{chart}/") for name in archive.getnames()}
    assert names >= {"Chart.yaml", "values.yaml", "values.schema.json", "README.md", "templates/NOTES.txt"}
    assert names >= {f"values/{profile}.yaml" for profile in PROFILES}
    assert any(name.startswith("templates/tests/") for name in names)
    assert "about.md" not in names


def _objects(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield path, schema
        for key, value in schema.items():
            yield from _objects(value, f"{path}/{key}")


# What Kubernetes itself defines is left to Kubernetes' own schema, against which the result is checked.
PASSED_ON = ("global", "affinity", "podSelector", "namespaceSelector", "ipBlock", "valueFrom", "/items")


@pytest.mark.parametrize("chart", CHARTS)
def test_the_schema_is_strict_everywhere(chart: str) -> None:
    schema = json.loads((path_of(chart) / "values.schema.json").read_text())
    for path, node in _objects(schema):
        closed = node.get("additionalProperties") is False or isinstance(node.get("additionalProperties"), dict)
        passed_on = "properties" not in node and any(name in path for name in PASSED_ON)
        assert closed or passed_on, f"{path} takes unknown keys"


def _keys(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _keys(value, f"{prefix}{key}.")


def _schema_keys(schema: dict[str, Any], node: dict[str, Any], prefix: str = "") -> Iterator[str]:
    if "$ref" in node:
        node = schema["definitions"][node["$ref"].rsplit("/", 1)[1]]
    for key, child in node.get("properties", {}).items():
        yield f"{prefix}{key}"
        yield from _schema_keys(schema, child, f"{prefix}{key}.")


@pytest.mark.parametrize("chart", CHARTS)
def test_values_and_schema_name_the_same_keys(chart: str) -> None:
    schema = json.loads((path_of(chart) / "values.schema.json").read_text())
    values = yaml.safe_load((path_of(chart) / "values.yaml").read_text())
    written = set(_keys(values))
    known = set(_schema_keys(schema, schema)) - {"global"}
    free = ("resources.", "affinity.")
    assert {key for key in known - written if not any(part in key for part in free)} == set()


@pytest.mark.parametrize("chart", CHARTS)
def test_every_value_is_described(chart: str) -> None:
    values = yaml.safe_load((path_of(chart) / "values.yaml").read_text())
    described = {value.key for value in generate.documented(path_of(chart) / "values.yaml")}
    covered = {key for key in _keys(values) for prefix in described if key == prefix or key.startswith(f"{prefix}.")}
    groups = {key for key in _keys(values) if any(other.startswith(f"{key}.") for other in described)}
    assert set(_keys(values)) - covered - groups == set()


def test_readmes_and_copies_are_up_to_date() -> None:
    assert generate.stale() == [], "run python -m infra.helm.generate"


def test_the_generator_sees_what_is_out_of_date(tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text("# -- What it is.\nkey: 1\ngroup:\n  # -- Inside.\n  a|b: x\nbare: 2\n")
    found = list(generate.documented(tmp_path / "values.yaml"))
    assert [(value.key, value.default, value.text) for value in found] == [
        ("key", 1, "What it is."),
        ("group.a|b", "x", "Inside."),
    ]


@pytest.mark.parametrize(("chart", "what", "values"), CASES, ids=IDS)
def test_notes_say_what_to_do_next(chart: str, what: str, values: dict[str, Any]) -> None:
    notes = render_files(chart, values)["NOTES.txt"]
    assert "helm -n serving test mixtral" in notes
    assert "<no value>" not in notes
