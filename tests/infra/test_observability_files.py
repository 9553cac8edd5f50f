"""What compose's observers are told: Prometheus by its own promtool, the rest against what it names."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import yaml

from tests.infra.compose import load, services

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "infra" / "observability"
ALL = services()


def promtool(*args: str) -> subprocess.CompletedProcess[str]:
    binary = shutil.which("promtool")
    assert binary, "promtool is missing. Install it: apt-get install --no-install-recommends prometheus."
    return subprocess.run([binary, *args], capture_output=True, text=True, check=False, timeout=30)


def test_prometheus_takes_its_configuration_and_rules(tmp_path: Path) -> None:
    for name in ("router-token", "embeddings-token"):
        (tmp_path / name).write_text("t")
    (tmp_path / "prometheus.yml").write_text((FOLDER / "prometheus.yml").read_text())
    shutil.copytree(FOLDER / "rules", tmp_path / "rules")
    checked = promtool("check", "config", str(tmp_path / "prometheus.yml"))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_prometheus_scrapes_services_that_it_can_reach() -> None:
    scrapes = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    targets = [target for scrape in scrapes for target in scrape["static_configs"][0]["targets"]]
    for target in targets:
        host = target.split(":")[0]
        if host != "127.0.0.1":
            assert set(ALL[host]["networks"]) & set(ALL["prometheus"]["networks"]), target


def test_prometheus_has_the_tokens_of_both_servers() -> None:
    scrapes = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    wanted = {scrape["authorization"]["credentials_file"] for scrape in scrapes if "authorization" in scrape}
    mounted = {Path(config["target"]).name for config in ALL["prometheus"]["configs"]}
    assert wanted == mounted
    sources = load(ROOT / "infra/vllm-or-ollama/docker-compose.observability.yml")["configs"]
    assert {source["environment"] for source in sources.values()} == {"ROUTER_MCP_TOKEN", "EMBEDDINGS_MCP_TOKEN"}


def test_the_collector_hands_every_signal_to_a_service_that_is_there() -> None:
    config = yaml.safe_load((FOLDER / "otel-collector.yaml").read_text())
    for pipeline in config["service"]["pipelines"].values():
        assert pipeline["processors"][0] == "memory_limiter"
        for kind in ("receivers", "processors", "exporters"):
            assert set(pipeline[kind]) <= config[kind].keys()
    for exporter in config["exporters"].values():
        host = exporter["endpoint"].removeprefix("http://").split(":")[0]
        assert "observability" in ALL[host]["networks"]
    assert "--web.enable-otlp-receiver" in ALL["prometheus"]["command"]


def test_grafana_finds_its_sources_and_dashboards() -> None:
    provisioning = FOLDER / "grafana" / "provisioning"
    sources = yaml.safe_load((provisioning / "datasources/datasources.yaml").read_text())["datasources"]
    for source in sources:
        assert source["url"].removeprefix("http://").split(":")[0] in ALL
    provider = yaml.safe_load((provisioning / "dashboards/dashboards.yaml").read_text())["providers"][0]
    assert f"../grafana:{provider['options']['path']}:ro" in ALL["grafana"]["volumes"]
