"""What the chart of the router and the embeddings server renders, and what it refuses to render."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from router_mcp.config import load_config
from router_mcp.config.checks import is_loopback
from router_mcp.edge.bind import check_bind
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

CHART = "router-mcp"
NAME = "mixtral-router-mcp"
PROFILES = ("dev-cpu", "dev-gpu", "staging", "production")
POD_IP = "10.1.2.3"


def router(values: dict[str, Any] | None = None) -> Manifest:
    return container(pod_specs(only(render(CHART, values), "Deployment", NAME))[0], "router")


def refusal(**values: Any) -> str:
    with pytest.raises(helm_python.HelmError) as refused:
        render(CHART, nested(**values))
    return str(refused.value)


def started_with(values: dict[str, Any] | None = None) -> dict[str, str]:
    """Return the router's environment as its process sees it, Secrets and pod address filled in."""
    found = router(values)
    plain = {name: value.replace("$(POD_IP)", POD_IP) for name, value in environment(found).items()}
    return plain | dict.fromkeys(secrets_of(found), "from-a-secret")


# --- policy


@pytest.mark.parametrize("profile", PROFILES)
def test_the_policy_of_a_profile_loads_with_the_variables_that_the_pod_has(profile: str, tmp_path: Path) -> None:
    values = profile_values(CHART, profile)
    policy = only(render(CHART, values), "ConfigMap", f"{NAME}-policy")["data"]["models-policy.yaml"]
    (tmp_path / "models-policy.yaml").write_text(policy)
    loaded = load_config(tmp_path / "models-policy.yaml", started_with(values))
    for runtime in loaded.runtimes.values():
        for url in runtime.endpoints:
            host = url.split("//")[1].split(":")[0]
            assert is_loopback(host) is (runtime.kind == "ollama")
            assert runtime.api_key_env is None or profile == "dev-gpu" or runtime.api_key_env in started_with(values)


def test_a_policy_of_ones_own_takes_the_profiles_place() -> None:
    manifests = render(CHART, nested(policy__content="version: 1\n# mine\n"))
    assert only(manifests, "ConfigMap", f"{NAME}-policy")["data"]["models-policy.yaml"].startswith("version: 1\n# mine")


def test_a_config_map_that_is_already_there_is_used_as_it_is() -> None:
    manifests = render(CHART, nested(policy__existingConfigMap="mine"))
    assert f"{NAME}-policy" not in {m["metadata"]["name"] for m in manifests}
    volumes = pod_specs(only(manifests, "Deployment", NAME))[0]["volumes"]
    assert {"name": "config", "configMap": {"name": "mine"}} in volumes


def test_routers_follow_the_policy_without_a_restart() -> None:
    """A file mounted by subPath never changes, and a checksum in the pod would restart it at each change."""
    mount = next(mount for mount in router()["volumeMounts"] if mount["name"] == "config")
    assert "subPath" not in mount
    assert environment(router())["ROUTER_MCP_CONFIG"] == f"{mount['mountPath']}/models-policy.yaml"
    before, after = (
        only(render(CHART, nested(policy__content=text)), "Deployment", NAME)["spec"]["template"]
        for text in ("version: 1\n", "version: 1\n# changed\n")
    )
    assert before == after


# --- who may enter


@pytest.mark.parametrize("server", ["router", "embeddings"])
def test_the_token_comes_from_the_secret_that_is_named(server: str) -> None:
    manifests = render(CHART, nested(auth={"secretName": "front-door", "secretKey": "bearer"}))
    name = NAME if server == "router" else f"{NAME}-embeddings"
    prefix = "ROUTER_MCP" if server == "router" else "EMBEDDINGS_MCP"
    found = container(pod_specs(only(manifests, "Deployment", name))[0], server)
    assert secrets_of(found)[f"{prefix}_TOKEN"] == "front-door/bearer"


def test_the_server_agrees_to_start_with_the_arguments_and_variables_of_the_pod() -> None:
    args = flags(router()["args"])
    bind = check_bind(args["--host"][0], started_with())
    assert bind.tokens
    for host in (f"{POD_IP}:8080", NAME, f"{NAME}.serving.svc:8080", f"{NAME}.serving.svc.cluster.local:8080"):
        assert bind.names.host_allowed(host), host
    assert not bind.names.host_allowed("evil.example")


def test_names_of_ingress_and_gateway_are_known_to_the_server() -> None:
    values = nested(
        ingress={"enabled": True, "host": "a.example", "tlsSecret": "tls"},
        httpRoute={"enabled": True, "parentRefs": [{"name": "gw"}], "hostnames": ["b.example"]},
        allowedHosts=["c.example"],
    )
    names = check_bind("0.0.0.0", started_with(values)).names
    assert all(names.host_allowed(host) for host in ("a.example", "b.example", "c.example"))


def test_an_ingress_without_tls_is_refused_because_the_token_would_travel_in_the_clear() -> None:
    assert "ingress.tlsSecret" in refusal(ingress={"enabled": True, "host": "a.example"})


def test_a_secret_among_the_public_variables_is_refused() -> None:
    assert "Name it in secretEnv" in refusal(env={"VLLM_API_KEY": "hunter2"})


def test_an_ingress_streams_for_an_hour_and_publishes_mcp_only() -> None:
    values = nested(ingress={"enabled": True, "host": "mcp.example", "tlsSecret": "tls"})
    ingress = only(render(CHART, values), "Ingress")
    notes = ingress["metadata"]["annotations"]
    assert notes["nginx.ingress.kubernetes.io/proxy-buffering"] == "off"
    assert int(notes["nginx.ingress.kubernetes.io/proxy-read-timeout"]) >= 600
    assert notes["nginx.ingress.kubernetes.io/proxy-next-upstream"] == "off"
    assert [path["path"] for path in ingress["spec"]["rules"][0]["http"]["paths"]] == ["/mcp"]
    assert ingress["spec"]["tls"] == [{"hosts": ["mcp.example"], "secretName": "tls"}]


def test_a_gateway_streams_for_an_hour_and_publishes_mcp_only() -> None:
    values = nested(httpRoute={"enabled": True, "parentRefs": [{"name": "gw"}], "hostnames": ["mcp.example"]})
    rule = only(render(CHART, values), "HTTPRoute")["spec"]["rules"]
    assert rule[0]["timeouts"] == {"request": "1h", "backendRequest": "1h"}
    assert [match["path"]["value"] for match in rule[0]["matches"]] == ["/mcp"]
    assert rule[0]["backendRefs"] == [{"name": NAME, "port": 8080}]


def test_the_network_policy_names_clients_prometheus_and_runtimes() -> None:
    policy = only(render(CHART), "NetworkPolicy")["spec"]
    labels = [m["spec"]["template"]["metadata"]["labels"] for m in render(CHART) if m["kind"] == "Deployment"]
    assert all(policy["podSelector"]["matchLabels"].items() <= each.items() for each in labels)
    assert all(rule["ports"] == [{"port": 8080, "protocol": "TCP"}] for rule in policy["ingress"])
    to_runtimes = policy["egress"][1]
    assert to_runtimes["to"][0]["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "vllm-runtime"}
    assert to_runtimes["ports"] == [{"port": 8000, "protocol": "TCP"}]


def test_the_two_charts_network_policies_let_each_other_through() -> None:
    router_pod = only(render(CHART), "Deployment", NAME)["spec"]["template"]["metadata"]["labels"]
    runtime = render("vllm-runtime")
    peers = only(runtime, "NetworkPolicy")["spec"]["ingress"][0]["from"]
    assert any(peer["podSelector"]["matchLabels"].items() <= router_pod.items() for peer in peers)
    runtime_pod = only(runtime, "Deployment")["spec"]["template"]["metadata"]["labels"]
    target = only(render(CHART), "NetworkPolicy")["spec"]["egress"][1]["to"][0]["podSelector"]["matchLabels"]
    assert target.items() <= runtime_pod.items()


@pytest.mark.parametrize(
    ("profile", "variable"),
    [("dev-gpu", "VLLM_SUMMARISATION_URL"), ("staging", "VLLM_REASONING_URL"), ("production", "VLLM_REASONING_URL")],
)
def test_a_profile_points_at_the_service_of_the_other_charts_profile(profile: str, variable: str) -> None:
    url = started_with(profile_values(CHART, profile))[variable]
    release = url.removeprefix("http://").split("-vllm-runtime")[0]
    services = render("vllm-runtime", profile_values("vllm-runtime", profile), release=release)
    names = {
        f"http://{m['metadata']['name']}:{m['spec']['ports'][0]['port']}" for m in services if m["kind"] == "Service"
    }
    assert url in names


# --- life


def test_probes_tell_alive_from_ready() -> None:
    found = router()
    assert found["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert found["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert found["startupProbe"]["httpGet"]["path"] == "/healthz"


def test_a_rollout_never_has_fewer_routers_than_wanted() -> None:
    strategy = only(render(CHART), "Deployment", NAME)["spec"]["strategy"]["rollingUpdate"]
    assert strategy == {"maxSurge": 1, "maxUnavailable": 0}


def test_a_leaving_router_first_leaves_the_service() -> None:
    spec = pod_specs(only(render(CHART), "Deployment", NAME))[0]
    pause = container(spec, "router")["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert spec["terminationGracePeriodSeconds"] >= pause + 10


def test_the_scaler_watches_the_routers_cpu_and_not_its_neighbours() -> None:
    manifests = render(CHART, nested(autoscaling__enabled=True))
    metric = only(manifests, "HorizontalPodAutoscaler")["spec"]["metrics"][0]
    assert metric["containerResource"]["container"] == "router"
    assert "replicas" not in only(manifests, "Deployment", NAME)["spec"]


def test_a_scaler_with_its_bounds_the_wrong_way_round_is_refused() -> None:
    assert "is above" in refusal(autoscaling={"enabled": True, "minReplicas": 9, "maxReplicas": 2})


def test_older_clients_keep_their_session_with_one_pod() -> None:
    assert only(render(CHART), "Service", NAME)["spec"]["sessionAffinity"] == "ClientIP"


def test_metrics_are_scraped_with_the_token() -> None:
    for name in (NAME, f"{NAME}-embeddings"):
        monitor = only(render(CHART, nested(monitoring__enabled=True)), "ServiceMonitor", name)["spec"]["endpoints"][0]
        credentials = {"name": "router-mcp-token", "key": "token"}
        assert monitor["authorization"] == {"type": "Bearer", "credentials": credentials}


def test_traces_go_to_the_collector_that_is_named() -> None:
    values = nested(tracing={"exporter": "otlp", "endpoint": "http://c:4318"})
    found = environment(router(values))
    assert found["LLM_TRACE_EXPORTER"] == "otlp"
    assert found["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://c:4318"
    assert "tracing.endpoint is empty" in refusal(tracing__exporter="otlp")


# --- warming


def test_prompt_caches_are_warmed_every_night() -> None:
    values = merged(profile_values(CHART, "production"), {"warming": {"templates": "version: 1\n"}})
    job = only(render(CHART, values), "CronJob")["spec"]
    assert job["schedule"].split()[2:] == ["*", "*", "*"]
    assert job["concurrencyPolicy"] == "Forbid"
    assert job["jobTemplate"]["spec"]["activeDeadlineSeconds"] == 3600
    warm = container(job["jobTemplate"]["spec"]["template"]["spec"], "warm")
    assert (warm["command"], warm["args"]) == (
        ["router-mcp"],
        ["warm", "--templates", "/etc/warmup/warmup.yaml", "--json"],
    )
    # A tenant's prefix is found again only under the salt that the routers use.
    assert secrets_of(warm)["ROUTER_MCP_SALT_SECRET"] == secrets_of(router(values))["ROUTER_MCP_SALT_SECRET"]
    assert environment(warm)["VLLM_REASONING_URL"] == environment(router(values))["VLLM_REASONING_URL"]


def test_the_warming_job_may_reach_the_runtimes() -> None:
    job = only(render(CHART), "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
    peers = only(render("vllm-runtime"), "NetworkPolicy")["spec"]["ingress"][0]["from"]
    assert any(peer["podSelector"]["matchLabels"].items() <= job.items() for peer in peers)


def test_routers_and_jobs_follow_the_same_orders_when_there_is_a_place_for_them() -> None:
    manifests = render(CHART, merged(profile_values(CHART, "production"), nested(state__existingClaim="orders")))
    for kind, name, container_name in (("Deployment", NAME, "router"), ("CronJob", f"{NAME}-warm", "warm")):
        [spec] = pod_specs(only(manifests, kind, name))
        [volume] = [each for each in spec["volumes"] if each["name"] == "state"]
        assert volume["persistentVolumeClaim"] == {"claimName": "orders"}
        inside = container(spec, container_name)
        [mount] = [each for each in inside["volumeMounts"] if each["name"] == "state"]
        assert environment(inside)["ROUTER_MCP_STATE"] == mount["mountPath"]
    alone = pod_specs(only(render(CHART), "Deployment", NAME))[0]["volumes"]
    assert all("emptyDir" in each for each in alone if each["name"] == "state")


def test_tenants_tokens_come_out_of_a_secret_as_a_file_that_only_the_router_has() -> None:
    manifests = render(CHART, merged(profile_values(CHART, "production"), nested(tenantTokens__secretName="tenants")))
    [spec] = pod_specs(only(manifests, "Deployment", NAME))
    assert environment(container(spec, "router"))["ROUTER_MCP_TOKENS_FILE"] == "/etc/router-mcp-tokens/tokens.yaml"
    [volume] = [each for each in spec["volumes"] if each["name"] == "tenant-tokens"]
    assert volume["secret"]["secretName"] == "tenants"
    [job] = pod_specs(only(manifests, "CronJob", f"{NAME}-warm"))
    assert "ROUTER_MCP_TOKENS_FILE" not in environment(container(job, "warm"))


def test_without_vllm_nothing_is_warmed() -> None:
    assert "CronJob" not in kinds(render(CHART, profile_values(CHART, "dev-cpu")))


# --- Ollama


@pytest.mark.parametrize("profile", PROFILES)
def test_ollama_and_its_proxy_listen_on_the_pods_loopback_and_have_no_port(profile: str) -> None:
    spec = pod_specs(only(render(CHART, profile_values(CHART, profile)), "Deployment", NAME))[0]
    engine, proxy = container(spec, "ollama"), container(spec, "ollama-proxy")
    assert environment(engine)["OLLAMA_HOST"] == environment(proxy)["PROXY_UPSTREAM"] == "127.0.0.1:11435"
    assert environment(proxy)["PROXY_LISTEN"] == "127.0.0.1:11434"
    assert "ports" not in engine
    assert "ports" not in proxy


def test_a_router_does_not_wait_for_gigabytes_of_models() -> None:
    spec = pod_specs(only(render(CHART), "Deployment", NAME))[0]
    assert {each["restartPolicy"] for each in spec["initContainers"]} == {"Always"}
    puller = container(spec, "ollama-models")
    wanted = environment(puller)["OLLAMA_MODELS_WANTED"]
    assert wanted == "llama3.1-8b-instruct=llama3.1:8b phi3-mini-4k=phi3:mini"


def test_ollamas_models_are_those_that_the_policy_names() -> None:
    for profile in PROFILES:
        policy = yaml.safe_load(
            only(render(CHART, profile_values(CHART, profile)), "ConfigMap", f"{NAME}-policy")["data"][
                "models-policy.yaml"
            ]
        )
        named = {name for name, model in policy["models"].items() if model["runtime"] == "ollama"}
        values = yaml.safe_load(render_values())
        assert named <= {model["name"] for model in values["ollama"]["models"]}


def render_values() -> str:
    return (Path(__file__).parents[2] / "infra/helm/router-mcp/values.yaml").read_text()


# --- embeddings


def test_the_embeddings_server_can_be_left_out_with_all_that_is_its() -> None:
    names = {m["metadata"]["name"] for m in render(CHART, nested(embeddings__enabled=False, monitoring__enabled=True))}
    assert not [name for name in names if "embeddings" in name]


def test_the_embeddings_server_needs_no_other_server_by_default() -> None:
    text = only(render(CHART), "ConfigMap", f"{NAME}-embeddings")["data"]["embeddings.yaml"]
    assert {backend["kind"] for backend in yaml.safe_load(text)["backends"].values()} == {"wordllama"}


def test_notes_name_the_addresses_that_are_published() -> None:
    values = nested(ingress={"enabled": True, "host": "mcp.example", "tlsSecret": "tls"})
    notes = render_files(CHART, values)["NOTES.txt"]
    assert "https://mcp.example/mcp" in notes
    assert "router-mcp-token" in notes
    assert "WARNING" not in notes
    assert "WARNING" in render_files(CHART, nested(networkPolicy__enabled=False))["NOTES.txt"]
