"""The configuration is strict: what cannot work is refused with its line and a remedy, mixed spaces above all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from embeddings_mcp.config import EmbeddingsFile, default_path, embedded_path, load_config
from embeddings_mcp.config.file import json_schema
from router_mcp.errors import ConfigError

GOOD = """\
version: 1
backends:
  ollama: {kind: ollama, endpoints: ["http://127.0.0.1:11434"]}
  tei: {kind: openai, endpoints: ["http://127.0.0.1:8080"]}
models:
  nomic:
    backend: ollama
    space: nomic
    fallbacks: [twin]
    dimensions: 768
    matryoshka: [256]
    max_input_tokens: 2048
  twin: {backend: tei, space: nomic, dimensions: 768, matryoshka: [256], max_input_tokens: 8192}
  small: {backend: ollama, dimensions: 384, max_input_tokens: 512}
defaults: {model: nomic}
"""


def load(folder: Path, text: str) -> EmbeddingsFile:
    path = folder / "embeddings.yaml"
    path.write_text(text)
    return load_config(path, {})


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(folder, text)
    return str(caught.value)


def test_a_good_file_becomes_frozen_values(tmp_path: Path) -> None:
    parsed = load(tmp_path, GOOD)
    assert parsed.models["nomic"].fallbacks == ("twin",)
    assert (parsed.space("small"), parsed.space("twin")) == ("small", "nomic")
    assert parsed.backend_of("twin").concurrency == 16
    assert parsed.served_name("small") == "small"


def test_a_fallback_into_another_space_is_refused_with_its_line(tmp_path: Path) -> None:
    said = refusal(tmp_path, GOOD.replace("fallbacks: [twin]", "fallbacks: [small]"))
    assert ":9: models.nomic.fallbacks.0: 'small' is of space 'small' and 'nomic' of 'nomic'" in said
    assert "same weights" in said


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ("dimensions: 512, matryoshka: [256]", "dimensions"),
        ("dimensions: 768, matryoshka: [128]", "matryoshka"),
        ("dimensions: 768, matryoshka: [256], normalize: false", "normalize"),
        ('dimensions: 768, matryoshka: [256], query_prefix: "q: "', "query_prefix"),
        ('dimensions: 768, matryoshka: [256], document_prefix: "d: "', "document_prefix"),
    ],
)
def test_a_fallback_that_makes_other_vectors_is_refused(tmp_path: Path, change: str, field: str) -> None:
    said = refusal(tmp_path, GOOD.replace("dimensions: 768, matryoshka: [256]", change))
    assert f"'twin' has another {field} than 'nomic'" in said


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("fallbacks: [twin]", "fallbacks: [nomic]", "'nomic' stands here already"),
        ("fallbacks: [twin]", "fallbacks: [twin, twin]", "'twin' stands here already"),
        ("fallbacks: [twin]", "fallbacks: [twim]", "there is no model 'twim'. Did you mean 'twin'?"),
        ("model: nomic}", "model: nomc}", "there is no model 'nomc'. Did you mean 'nomic'?"),
        ("backend: tei", "backend: tej", "there is no backend 'tej'. Did you mean 'tei'?"),
        ("    matryoshka: [256]", "    matryoshka: [768]", "remove 768"),
        ("max_input_tokens: 512", "max_tokens: 512", "Did you mean 'max_input_tokens'?"),
        ('["http://127.0.0.1:8080"]', '["http://127.0.0.1:11434"]', "already belongs to backend 'ollama'"),
        ('["http://127.0.0.1:8080"]', "[]", "this backend has no endpoints"),
        ('["http://127.0.0.1:11434"]', '["http://10.0.0.5:11434"]', "Ollama has no authentication"),
        ('["http://127.0.0.1:8080"]', '["http://user:pw@127.0.0.1"]', "must not hold credentials"),
        ('["http://127.0.0.1:8080"]', '["http://127.0.0.1"], keep_alive: 5m', "kind openai does not take this"),
        ("dimensions: 384", "dimensions: 0", "greater than or equal to 1"),
    ],
)
def test_what_cannot_work_is_refused_with_a_remedy(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in GOOD
    assert says in refusal(tmp_path, GOOD.replace(old, new, 1))


@pytest.mark.parametrize(
    ("backend", "says"),
    [
        ("{kind: wordllama, endpoints: ['http://127.0.0.1:1']}", "wordllama runs in this server; remove endpoints"),
        ("{kind: wordllama, api_key_env: KEY}", "kind wordllama does not take this"),
        ("{kind: gguf}", "a gguf backend needs a model"),
        ("{kind: openai, endpoints: ['http://127.0.0.1:1'], gguf: x}", "kind openai does not take this"),
    ],
)
def test_a_backend_takes_only_what_its_kind_needs(tmp_path: Path, backend: str, says: str) -> None:
    assert says in refusal(tmp_path, GOOD.replace("backends:\n", f"backends:\n  extra: {backend}\n"))


def test_ollama_on_a_trusted_network_must_be_allowed_by_name(tmp_path: Path) -> None:
    remote = 'ollama: {kind: ollama, allow_insecure: true, endpoints: ["http://10.0.0.5:11434"]}'
    parsed = load(tmp_path, GOOD.replace('ollama: {kind: ollama, endpoints: ["http://127.0.0.1:11434"]}', remote))
    assert [each.url for each in parsed.endpoints("ollama")] == ["http://10.0.0.5:11434"]


def test_the_shipped_files_are_good_and_say_what_the_issue_says() -> None:
    shipped = load_config(default_path({}), {})
    nomic = shipped.models["nomic-embed-text"]
    assert shipped.defaults.model == "nomic-embed-text"
    assert shipped.backend_of("nomic-embed-text").kind == "ollama"
    assert (nomic.prefix("query"), nomic.prefix("document")) == ("search_query: ", "search_document: ")
    assert (nomic.dimensions, nomic.max_input_tokens) == (768, 2048)
    assert shipped.cache.tenants == ()
    embedded = load_config(embedded_path(), {})
    assert {each.kind for each in embedded.backends.values()} == {"wordllama"}


def test_the_environment_chooses_file_and_default_model() -> None:
    assert default_path({"EMBEDDINGS_MCP_CONFIG": "elsewhere.yaml"}) == Path("elsewhere.yaml")
    chosen = load_config(default_path({}), {"EMBEDDINGS_MODEL": "wordllama", "OLLAMA_URL": "http://127.0.0.1:7"})
    assert chosen.defaults.model == "wordllama"
    assert chosen.endpoints("ollama")[0].url == "http://127.0.0.1:7"


def test_the_published_schema_is_the_one_that_the_code_makes() -> None:
    folder = default_path({}).parent
    assert json.loads((folder / "embeddings.schema.json").read_text()) == json_schema()
    for name in ("embeddings.yaml", "embedded.yaml"):
        first = (folder / name).read_text().splitlines()[0]
        assert first == "# yaml-language-server: $schema=./embeddings.schema.json"
