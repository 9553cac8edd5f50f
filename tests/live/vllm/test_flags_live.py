"""Asks the real vLLM whether it takes every flag, and every command line, that a file of this project passes."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from tests.infra import vllm_flags
from tests.live.vllm import places

pytestmark = pytest.mark.live_vllm

ENTRY = "vllm.entrypoints.launchers.api_server.entry"
"""The server behind `vllm serve`, which this package's CLI cannot start (vLLM A, trap 2)."""
ENVIRONMENT = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}
# Parses command lines as the server would, and stops before it loads anything.
PARSE = """
import json, sys
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = make_arg_parser(FlexibleArgumentParser())
for line in json.load(sys.stdin):
    parser.parse_args(["--model", *line])
"""


def python(*args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    if not places.PYTHON.exists():
        pytest.fail("There is no vLLM to ask. Build it: make live-vllm.", pytrace=False)
    return subprocess.run(
        [str(places.PYTHON), *args],
        input=stdin,
        env=os.environ | ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_vllms_own_help_names_every_flag_that_our_files_pass() -> None:
    helped = python("-m", ENTRY, "--help=all")
    assert helped.returncode == 0, helped.stderr[-2000:]
    real = vllm_flags.known(helped.stdout)
    assert vllm_flags.passed().keys() - real == set()
    # And the list that the offline tests go by is not invented.
    assert vllm_flags.recorded() - real == set()


def test_vllms_own_parser_takes_every_command_line_of_our_files() -> None:
    parsed = python("-c", PARSE, stdin=json.dumps(vllm_flags.command_lines()))
    assert parsed.returncode == 0, parsed.stderr[-2000:]


def test_the_parser_would_refuse_a_flag_that_is_gone() -> None:
    parsed = python("-c", PARSE, stdin=json.dumps([["model", "--guided-decoding-backend", "guidance"]]))
    assert parsed.returncode != 0
    assert "--guided-decoding-backend" in parsed.stderr
