"""The JSON Schemas that editors check `warmup.yaml` and `smoke.yaml` with: current, and in agreement with the files."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
import yaml

from router_mcp.config import shipped
from router_mcp.config.smoke_file import smoke_schema
from router_mcp.config.warmup_file import warmup_schema

FILES = [("warmup", warmup_schema), ("smoke", smoke_schema)]


@pytest.mark.parametrize(("name", "schema"), FILES)
def test_the_published_schema_is_current(name: str, schema: Callable[[], dict[str, Any]]) -> None:
    remedy = f"run `router-mcp config schema --of {name} > configs/router/{name}.schema.json`"
    assert json.loads(shipped(f"router/{name}.schema.json").read_text(encoding="utf-8")) == schema(), remedy


@pytest.mark.parametrize(("name", "schema"), FILES)
def test_an_editor_finds_the_schema_and_nothing_wrong_with_the_file_that_ships(
    name: str, schema: Callable[[], dict[str, Any]]
) -> None:
    text = shipped(f"router/{name}.yaml").read_text(encoding="utf-8")
    assert text.startswith(f"# yaml-language-server: $schema=./{name}.schema.json\n")
    found = list(jsonschema.Draft202012Validator(schema()).iter_errors(yaml.safe_load(text)))
    assert found == []
