"""What the chart of one model on vLLM renders, and what it refuses to render."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import helm_python
import pytest

from tests.infra.charts import (
    Manifest,
    container,
    environment,
    flags,
    kinds,
    merged,
    nested,
    only,
    pod_specs,
    profile_values,
    render,
    render_files,
    secrets_of,
)

CHART = "vllm-runtime"
DATA = Path(__file__).parent / "data"
LONGEST_DEADLINE_S = 120


def workload(values: dict[str, Any] | None = None, **more: Any) -> Manifest:
    manifests = render(CHART, merged(values or {}, nested(**more)))
    return next(m for m in manifests if m["kind"] in {"Deployment", "StatefulSet", "LeaderWorkerSet"})


def vllm(values: dict[str, Any] | None = None, **more: Any) -> Manifest:
    return container(pod_specs(workload(values, **more))[0], "vllm")


def vllm_flags(values: dict[str, Any] | None = None, **more: Any) -> dict[str, list[str]]:
    return flags(vllm(values, **more)["args"])


def refusal(**values: Any) -> str:
    with pytest.raises(helm_python.HelmError) as refused:
        render(CHART, nested(**values))
    return str(refused.value)


# --- arguments


@pytest.mark.parametrize(
    ("values", "flag", "value"),
    [
        (nested(tensorParallelSize=2, resources__limits={"nvidia.com/gpu": 2}), "--tensor-parallel-size", ["2"]),
        (nested(pipelineParallelSize=2, resources__limits={"nvidia.com/gpu": 2}), "--pipeline-parallel-size", ["2"]),
        (nested(maxNumSeqs=17), "--max-num-seqs", ["17"]),
        (nested(maxNumBatchedTokens=4096), "--max-num-batched-tokens", ["4096"]),
        (nested(maxNumQueuedReqs=9), "--max-num-queued-reqs", ["9"]),
        (nested(model__maxLen=1048576), "--max-model-len", ["1048576"]),
        (nested(model__servedNames=["a", "b"]), "--served-model-name", ["a", "b"]),
        (nested(model__quantization="awq_marlin"), "--quantization", ["awq_marlin"]),
        (nested(model__revision="abc"), "--revision", ["abc"]),
        (nested(model__dtype="float16"), "--dtype", ["float16"]),
        (nested(model__tokenizerMode="hf"), "--tokenizer-mode", ["hf"]),
        (nested(model__source="s3://bucket/model"), "--load-format", ["runai_streamer"]),
        (nested(model__source="gs://bucket/model", model__loadFormat="auto"), "--load-format", ["auto"]),
        (nested(gpuMemoryUtilization=0.85), "--gpu-memory-utilization", ["0.85"]),
        (nested(kvCacheDtype="fp8"), "--kv-cache-dtype", ["fp8"]),
        (nested(schedulingPolicy="priority"), "--scheduling-policy", ["priority"]),
        (nested(promptCaching__enabled=False), "--no-enable-prefix-caching", []),
        (nested(promptCaching__hashAlgo="sha256_cbor"), "--prefix-caching-hash-algo", ["sha256_cbor"]),
        (nested(tracing__endpoint="http://c:4317"), "--otlp-traces-endpoint", ["http://c:4317"]),
        (nested(shutdown__timeoutSeconds=300), "--shutdown-timeout", ["300"]),
        (nested(extraArgs=["--enforce-eager"]), "--enforce-eager", []),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else "",
)
def test_a_value_becomes_its_flag(values: dict[str, Any], flag: str, value: list[str]) -> None:
    assert vllm_flags(values)[flag] == value


def test_structured_output_is_pinned_to_guidance_without_white_space() -> None:
    """Left to `auto` the first structured request decides for the life of the process (vLLM B1 #1)."""
    config = json.loads(vllm_flags()["--structured-outputs-config"][0])
    assert config == {"backend": "guidance", "disable_any_whitespace": True}


def test_prompt_caching_is_on_and_its_hash_fit_for_tenants() -> None:
    found = vllm_flags()
    assert found["--enable-prefix-caching"] == []
    assert found["--prefix-caching-hash-algo"] == ["sha256"]


def test_lora_adapters_are_served_by_name() -> None:
    adapters = [{"name": "law", "path": "acme/law"}, {"name": "med", "path": "s3://b/med"}]
    found = vllm_flags(lora={"enabled": True, "maxLoras": 2, "maxRank": 32, "adapters": adapters})
    assert found["--enable-lora"] == []
    assert found["--max-loras"] == ["2"]
    assert found["--max-lora-rank"] == ["32"]
    assert [json.loads(module) for module in found["--lora-modules"]] == adapters


def test_optional_flags_stay_away_until_asked_for() -> None:
    assert not vllm_flags(maxNumQueuedReqs=0).keys() & {
        "--enable-lora",
        "--quantization",
        "--revision",
        "--load-format",
        "--max-num-batched-tokens",
        "--max-num-queued-reqs",
        "--otlp-traces-endpoint",
        "--distributed-executor-backend",
    }


def test_the_documentation_pages_of_vllm_are_off() -> None:
    assert "--disable-fastapi-docs" in vllm_flags()


# --- GPUs and nodes


@pytest.mark.parametrize(
    ("profile", "gpus", "tensor", "product"),
    [
        ("dev-gpu", 1, "1", None),
        ("staging", 2, "2", "NVIDIA-L40S"),
        ("production", 2, "2", "NVIDIA-A100-SXM4-80GB"),
    ],
)
def test_a_profile_asks_for_its_gpus_and_puts_up_with_their_taint(
    profile: str, gpus: int, tensor: str, product: str | None
) -> None:
    values = profile_values(CHART, profile)
    spec = pod_specs(workload(values))[0]
    resources = vllm(values)["resources"]
    assert resources["limits"]["nvidia.com/gpu"] == resources["requests"]["nvidia.com/gpu"] == gpus
    assert vllm_flags(values)["--tensor-parallel-size"] == [tensor]
    assert spec["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert spec.get("nodeSelector", {}).get("nvidia.com/gpu.product") == product


def test_the_profile_without_a_gpu_asks_for_none() -> None:
    values = profile_values(CHART, "dev-cpu")
    assert "nvidia.com/gpu" not in json.dumps(workload(values))
    assert vllm(values)["image"] == "vllm/vllm-openai-cpu:v0.32.0-x86_64"
    assert "--gpu-memory-utilization" not in vllm_flags(values)


def test_another_kind_of_gpu_is_counted_by_its_own_resource() -> None:
    limits = {"nvidia.com/gpu": None, "amd.com/gpu": 2}
    resources = vllm(gpu__resource="amd.com/gpu", tensorParallelSize=2, resources__limits=limits)["resources"]
    assert resources["limits"]["amd.com/gpu"] == resources["requests"]["amd.com/gpu"] == 2


def test_parallelism_that_does_not_match_the_gpus_is_refused_with_both_numbers() -> None:
    message = refusal(tensorParallelSize=4, resources__limits={"nvidia.com/gpu": 2})
    assert "tensorParallelSize 4 × pipelineParallelSize 1 needs 4 GPUs" in message
    assert "nvidia.com/gpu: 2 on 1 node(s), that is 2" in message
    assert "Make the two equal" in message


def test_gpus_of_all_nodes_count_together() -> None:
    values = nested(
        multiNode={"enabled": True, "nodes": 2},
        tensorParallelSize=8,
        resources__limits={"nvidia.com/gpu": 8},
        cache__accessModes=["ReadWriteMany"],
    )
    with pytest.raises(helm_python.HelmError, match=r"needs 8 GPUs.*on 2 node.*that is 16"):
        render(CHART, values)
    assert render(CHART, merged(values, nested(pipelineParallelSize=2)))


def test_shared_memory_is_there_for_tensor_parallel_workers() -> None:
    spec = pod_specs(workload(shmSize="24Gi"))[0]
    assert {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "24Gi"}} in spec["volumes"]
    assert {"name": "shm", "mountPath": "/dev/shm"} in vllm(shmSize="24Gi")["volumeMounts"]


def test_replicas_spread_over_nodes() -> None:
    spread = pod_specs(workload())[0]["topologySpreadConstraints"][0]
    labels = workload()["spec"]["template"]["metadata"]["labels"]
    assert spread["labelSelector"]["matchLabels"].items() <= labels.items()


# --- the door


def test_vllm_listens_on_loopback_and_only_the_proxy_has_a_port() -> None:
    spec = pod_specs(workload())[0]
    assert vllm_flags()["--host"] == ["127.0.0.1"]
    assert "ports" not in container(spec, "vllm")
    assert container(spec, "proxy")["ports"] == [{"name": "http", "containerPort": 8000, "protocol": "TCP"}]
    upstream = environment(container(spec, "proxy"))["PROXY_UPSTREAM"]
    assert upstream == f"127.0.0.1:{vllm_flags()['--port'][0]}"


def test_the_proxy_outlives_vllm_so_that_drained_answers_still_leave() -> None:
    proxy = next(each for each in pod_specs(workload())[0]["initContainers"] if each["name"] == "proxy")
    assert proxy["restartPolicy"] == "Always"


def test_the_cache_reset_is_open_only_where_asked_for() -> None:
    for wanted in (False, True):
        values = nested(promptCaching__reset=wanted)
        paths = environment(container(pod_specs(workload(values))[0], "proxy"))["PROXY_OPEN_PATHS"]
        assert ("reset_prefix_cache" in paths) is wanted
        assert ("VLLM_SERVER_DEV_MODE" in environment(vllm(values))) is wanted


def test_only_routers_and_prometheus_may_come_in() -> None:
    policy = only(render(CHART), "NetworkPolicy")["spec"]
    labels = workload()["spec"]["template"]["metadata"]["labels"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    peers = [peer for rule in policy["ingress"] for peer in rule["from"]]
    names = [peer["podSelector"]["matchLabels"].get("app.kubernetes.io/name") for peer in peers]
    assert names == ["router-mcp", "prometheus", None]
    assert peers[2]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "test"
    assert all(rule["ports"] == [{"port": 8000, "protocol": "TCP"}] for rule in policy["ingress"])


def test_pods_may_connect_to_dns_and_https_only() -> None:
    egress = only(render(CHART), "NetworkPolicy")["spec"]["egress"]
    assert [[port["port"] for port in rule["ports"]] for rule in egress] == [[53, 53], [443]]


def test_routers_and_prometheus_can_be_named() -> None:
    peers = [{"namespaceSelector": {"matchLabels": {"team": "ml"}}}]
    policy = only(render(CHART, nested(networkPolicy__routers=peers, networkPolicy__prometheus=[])), "NetworkPolicy")
    assert next(rule["from"] for rule in policy["spec"]["ingress"]) == peers
    assert len(policy["spec"]["ingress"]) == 2


# --- life


def test_probes_ask_healthz_and_give_loading_half_an_hour() -> None:
    found = vllm()
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert found[probe]["httpGet"] == {"path": "/healthz", "port": 8000}
    startup = found["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 30 * 60


def test_a_slow_load_is_not_called_a_failed_rollout() -> None:
    deployment = workload(probes__startup={"periodSeconds": 20, "failureThreshold": 360})
    assert deployment["spec"]["progressDeadlineSeconds"] > 20 * 360


@pytest.mark.parametrize("profile", ["dev-cpu", "dev-gpu", "staging", "production"])
def test_a_pod_has_time_to_leave_the_service_and_to_finish_the_longest_call(profile: str) -> None:
    """With its defaults vLLM never answers the calls in flight on SIGTERM (vLLM B1 #3)."""
    values = profile_values(CHART, profile)
    drain = int(vllm_flags(values)["--shutdown-timeout"][0])
    pause = vllm(values)["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pause >= 10
    assert drain > LONGEST_DEADLINE_S
    assert pod_specs(workload(values))[0]["terminationGracePeriodSeconds"] > pause + drain


def test_a_rollout_needs_no_second_set_of_gpus() -> None:
    assert workload()["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}


def test_a_disruption_budget_never_blocks_the_drain_of_a_node() -> None:
    budget = only(render(CHART), "PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    assert "minAvailable" not in budget


def test_the_environment_of_other_services_does_not_reach_vllm() -> None:
    """Kubernetes would set VLLM_… variables for a Service called vllm, which vLLM takes for settings."""
    assert pod_specs(workload())[0]["enableServiceLinks"] is False


# --- weights and secrets


def test_weights_on_a_claim_are_mounted_read_only() -> None:
    values = nested(model={"source": "/models/mixtral", "volume": {"claim": "weights"}})
    spec = pod_specs(workload(values))[0]
    assert {"name": "model", "persistentVolumeClaim": {"claimName": "weights", "readOnly": True}} in spec["volumes"]
    assert {"name": "model", "mountPath": "/models", "readOnly": True} in vllm(values)["volumeMounts"]
    assert vllm(values)["args"][0] == "/models/mixtral"


@pytest.mark.parametrize(
    ("provider", "annotation"),
    [
        ("aws", "eks.amazonaws.com/role-arn"),
        ("gcp", "iam.gke.io/gcp-service-account"),
        ("azure", "azure.workload.identity/client-id"),
    ],
)
def test_object_storage_is_read_with_the_role_of_a_cloud(provider: str, annotation: str) -> None:
    values = nested(model__source="s3://weights/mixtral", cloudIdentity={"provider": provider, "role": "reader"})
    manifests = render(CHART, values)
    account = only(manifests, "ServiceAccount")
    assert account["metadata"]["annotations"] == {annotation: "reader"}
    pod = workload(values)["spec"]["template"]
    assert pod["spec"]["serviceAccountName"] == account["metadata"]["name"]
    assert ("azure.workload.identity/use" in pod["metadata"]["labels"]) is (provider == "azure")


def test_keys_come_from_secrets_and_never_stand_in_arguments() -> None:
    values = nested(apiKey__secretName="vllm", hubToken__secretName="hub", objectStorage__secretName="s3")
    found = vllm(values)
    assert secrets_of(found) == {"VLLM_API_KEY": "vllm/api-key", "HF_TOKEN": "hub/token"}
    assert found["envFrom"] == [{"secretRef": {"name": "s3"}}]
    assert "--api-key" not in flags(found["args"])
    assert "apiKey.secretName" in refusal(extraArgs=["--api-key=hunter2"])


def test_downloaded_weights_survive_an_uninstall() -> None:
    claim = only(render(CHART), "PersistentVolumeClaim")
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    spec = pod_specs(workload())[0]
    name = claim["metadata"]["name"]
    assert {"name": "cache", "persistentVolumeClaim": {"claimName": name}} in spec["volumes"]


def test_a_stateful_set_gives_each_replica_a_name_and_a_cache() -> None:
    values = nested(workload="StatefulSet", replicaCount=3)
    manifests = render(CHART, values)
    sts = only(manifests, "StatefulSet")
    pods = only(manifests, "Service", sts["spec"]["serviceName"])
    assert pods["spec"]["clusterIP"] == "None"
    assert [claim["metadata"]["name"] for claim in sts["spec"]["volumeClaimTemplates"]] == ["cache"]
    assert "PersistentVolumeClaim" not in kinds(manifests)
    notes = render_files(CHART, values)["NOTES.txt"]
    name = sts["metadata"]["name"]
    assert all(f"http://{name}-{i}.{name}-pods.serving.svc:8000" in notes for i in range(3))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"model__source": "/models/x"}, "model.volume.claim"),
        ({"model": {"source": "/other/x", "volume": {"claim": "c"}}}, "does not lie below model.volume.path /models"),
        ({"replicaCount": 2}, "lack ReadWriteMany"),
        ({"autoscaling__enabled": True}, "lack ReadWriteMany"),
        ({"cache__type": "hostPath"}, "cache.hostPath is empty"),
        ({"cloudIdentity__provider": "aws"}, "cloudIdentity.role is empty"),
        ({"rollout": {"maxSurge": 0, "maxUnavailable": 0}}, "no rollout could ever move"),
        ({"autoscaling": {"enabled": True, "minReplicas": 5, "maxReplicas": 2}, "cache__type": "emptyDir"}, "is above"),
        ({"gpu__enabled": False}, "gpu.enabled is false"),
        ({"resources__requests": {"nvidia.com/gpu": 2}}, "Remove the request"),
    ],
    ids=str,
)
def test_values_that_contradict_each_other_are_refused_with_a_remedy(values: dict[str, Any], words: str) -> None:
    assert words in refusal(**values)


# --- scaling, canary, several nodes


def test_keda_scales_by_a_series_that_a_real_vllm_has() -> None:
    values = profile_values(CHART, "production")
    trigger = only(render(CHART, values), "ScaledObject")["spec"]["triggers"][0]
    served = vllm_flags(values)["--served-model-name"][0]
    assert trigger["metadata"]["query"] == f'sum(vllm:num_requests_waiting{{model_name="{served}"}})'
    assert trigger["metadata"]["threshold"] == "5"
    assert trigger["metadata"]["ignoreNullValues"] == "false"
    series = [line for line in (DATA / "vllm-0.32.0-metrics.txt").read_text().splitlines() if line[:1] != "#"]
    waiting = [line for line in series if line.startswith("vllm:num_requests_waiting{")]
    assert waiting
    assert all(f'model_name="{served}"' in line for line in waiting)


def test_a_scaler_owns_the_number_of_replicas() -> None:
    scaled = render(CHART, nested(autoscaling__enabled=True, cache__type="emptyDir"))
    assert "replicas" not in only(scaled, "Deployment")["spec"]
    target = only(scaled, "ScaledObject")["spec"]["scaleTargetRef"]
    assert target == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "mixtral-vllm-runtime"}


def test_the_plain_autoscaler_reads_the_same_queue_under_a_name_without_a_colon() -> None:
    values = nested(autoscaling={"enabled": True, "kind": "hpa"}, cache__type="emptyDir")
    metric = only(render(CHART, values), "HorizontalPodAutoscaler")["spec"]["metrics"][0]
    assert metric["pods"]["metric"]["name"] == "vllm_num_requests_waiting"


def test_more_matchers_narrow_the_query() -> None:
    values = nested(autoscaling={"enabled": True, "matchers": 'namespace="a"'}, cache__type="emptyDir")
    query = only(render(CHART, values), "ScaledObject")["spec"]["triggers"][0]["metadata"]["query"]
    assert query == 'sum(vllm:num_requests_waiting{model_name="qwen2.5-14b-instruct",namespace="a"})'


def test_a_canary_stands_beside_the_stable_release_and_touches_nothing_of_it() -> None:
    values = profile_values(CHART, "staging")
    stable = render(CHART, values)
    canary = render(CHART, merged(values, nested(canary=True)), release="mixtral-canary")
    assert only(canary, "Deployment")["metadata"]["name"] == "mixtral-vllm-runtime-canary"
    for manifest in canary:
        if not manifest["metadata"]["name"].endswith("-test"):
            assert "-canary" in manifest["metadata"]["name"]
    assert not {m["metadata"]["name"] for m in stable} & {m["metadata"]["name"] for m in canary}
    theirs = only(stable, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert not only(canary, "Deployment")["spec"]["selector"]["matchLabels"].items() <= theirs.items()


def test_a_canary_is_told_apart_in_metrics_and_still_answers_to_the_plain_name() -> None:
    values = nested(canary=True, autoscaling__enabled=True, cache__type="emptyDir")
    assert vllm_flags(values)["--served-model-name"] == ["qwen2.5-14b-instruct-canary", "qwen2.5-14b-instruct"]
    query = only(render(CHART, values), "ScaledObject")["spec"]["triggers"][0]["metadata"]["query"]
    assert 'model_name="qwen2.5-14b-instruct-canary"' in query
    labels = workload(values)["spec"]["template"]["metadata"]["labels"]
    assert labels["router-mcp/track"] == "canary"


@pytest.mark.parametrize("release", ["qwen-vllm-runtime", "qwen-vllm-runtime-canary"])
def test_the_suffix_of_a_canary_is_never_doubled(release: str) -> None:
    manifests = render(CHART, nested(canary=True), release=release)
    assert only(manifests, "Deployment")["metadata"]["name"] == "qwen-vllm-runtime-canary"


def groups() -> list[Manifest]:
    return render(
        CHART,
        nested(
            multiNode={"enabled": True, "nodes": 2},
            tensorParallelSize=8,
            pipelineParallelSize=2,
            resources__limits={"nvidia.com/gpu": 8},
            cache__accessModes=["ReadWriteMany"],
            autoscaling__enabled=True,
        ),
    )


def test_a_model_beyond_one_node_becomes_a_group_of_leader_and_workers() -> None:
    manifests = groups()
    lws = only(manifests, "LeaderWorkerSet")
    template = lws["spec"]["leaderWorkerTemplate"]
    assert template["size"] == 2
    assert not kinds(manifests) & {"Deployment", "StatefulSet"}
    leader, worker = (container(spec, "vllm") for spec in pod_specs(lws))
    assert flags(leader["args"])["--distributed-executor-backend"] == ["ray"]
    assert leader["command"] == ["/bin/bash", "/etc/ray/leader.sh"]
    assert worker["command"] == ["/bin/bash", "/etc/ray/worker.sh"]
    assert "args" not in worker
    assert "readinessProbe" not in worker
    assert leader["resources"] == worker["resources"]
    assert only(manifests, "ScaledObject")["spec"]["scaleTargetRef"]["kind"] == "LeaderWorkerSet"


def test_calls_reach_the_leader_only_and_the_group_talks_freely_within() -> None:
    manifests = groups()
    template = only(manifests, "LeaderWorkerSet")["spec"]["leaderWorkerTemplate"]
    selector = only(manifests, "Service", "mixtral-vllm-runtime")["spec"]["selector"]
    assert selector.items() <= template["leaderTemplate"]["metadata"]["labels"].items()
    assert not selector.items() <= template["workerTemplate"]["metadata"]["labels"].items()
    policy = only(manifests, "NetworkPolicy")["spec"]
    within = policy["ingress"][-1]
    assert "ports" not in within
    for role in ("leaderTemplate", "workerTemplate"):
        labels = template[role]["metadata"]["labels"]
        assert within["from"][0]["podSelector"]["matchLabels"].items() <= labels.items()


def test_workers_stay_until_their_leader_has_drained() -> None:
    leader, worker = (container(spec, "vllm") for spec in pod_specs(only(groups(), "LeaderWorkerSet")))
    drain = int(flags(leader["args"])["--shutdown-timeout"][0])
    pause = leader["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert worker["lifecycle"]["preStop"]["sleep"]["seconds"] >= pause + drain


def test_metrics_are_read_from_each_pod_without_the_created_noise() -> None:
    monitor = only(render(CHART, nested(monitoring__enabled=True)), "PodMonitor")["spec"]
    endpoint = monitor["podMetricsEndpoints"][0]
    assert (endpoint["port"], endpoint["path"]) == ("http", "/metrics")
    assert endpoint["metricRelabelings"][0]["action"] == "drop"
