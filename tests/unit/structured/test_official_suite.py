"""The official JSON-Schema-Test-Suite: where a schema is accepted, our verdict is the suite's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from router_mcp.errors import OutputInvalidError, SchemaInvalidError
from router_mcp.structured import Compiled, check
from router_mcp.structured.prepared import Prepared
from tests.unit.structured.constraints import prepared

SUITE = json.loads((Path(__file__).parents[2] / "data" / "json-schema-test-suite.json").read_text())
URIS = {
    "draft4": "http://json-schema.org/draft-04/schema#",
    "draft6": "http://json-schema.org/draft-06/schema#",
    "draft7": "http://json-schema.org/draft-07/schema#",
    "draft2019-09": "https://json-schema.org/draft/2019-09/schema",
    "draft2020-12": "https://json-schema.org/draft/2020-12/schema",
}
FILES = [(draft, name) for draft, files in SUITE.items() for name in files]


def cases(draft: str, name: str) -> list[tuple[dict[str, Any], list[tuple[Any, bool]]]]:
    """The schemas of a file that are objects, each with its data and whether that is valid."""
    return [
        ({"$schema": URIS[draft], **case["schema"]}, [(data, valid) for _, data, valid in case["tests"]])
        for case in SUITE[draft][name]
        if isinstance(case["schema"], dict)
    ]


def accepts(ready: Prepared, data: Any) -> bool:
    try:
        check(ready, Compiled(ready.constraint), json.dumps(data), "stop")
    except OutputInvalidError:
        return False
    return True


def unless_refused(schema: dict[str, Any]) -> Prepared | str:
    try:
        return prepared(schema)
    except SchemaInvalidError as refused:
        return str(refused)


@pytest.mark.parametrize(("draft", "name"), FILES, ids=map("-".join, FILES))
def test_our_verdict_is_the_suites(draft: str, name: str) -> None:
    for schema, instances in cases(draft, name):
        ready = unless_refused(schema)
        if isinstance(ready, str):
            remote = "points outside" in ready or "points to nothing" in ready
            assert remote or not any(valid for _, valid in instances), f"{schema}: {ready}"
            continue
        for data, valid in instances:
            assert accepts(ready, data) == valid, f"{schema} {data}"


def test_the_suite_is_not_passed_by_refusing_it() -> None:
    refused = total = 0
    for draft, name in FILES:
        for schema, _ in cases(draft, name):
            total += 1
            refused += isinstance(unless_refused(schema), str)
    assert total > 1_400
    assert refused / total < 0.05
