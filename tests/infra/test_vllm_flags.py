"""The flags that our files pass to vLLM, against those that vLLM 0.32.0 has. The live suite asks vLLM itself."""

from __future__ import annotations

from tests.infra import vllm_flags


def test_every_flag_that_a_file_passes_is_one_of_vllms() -> None:
    assert vllm_flags.passed().keys() - vllm_flags.recorded() == set()


def test_the_collection_sees_compose_and_chart_and_their_switches() -> None:
    found = vllm_flags.passed()
    assert found["--structured-outputs-config"].count('{"backend":"guidance","disable_any_whitespace":true}') >= 5
    assert found.keys() >= {
        "--lora-modules",
        "--distributed-executor-backend",
        "--load-format",
        "--otlp-traces-endpoint",
    }


def test_flags_that_vllm_has_given_up_are_not_passed() -> None:
    gone = {"--guided-decoding-backend", "--disable-log-requests", "--swap-space"}
    assert not vllm_flags.passed().keys() & gone
    assert not vllm_flags.recorded() & gone


def test_flags_are_read_out_of_a_help_text_whatever_its_layout() -> None:
    text = "usage: x [-h] [--api-key KEY [KEY ...]]\n  --enable-lora, --no-enable-lora\n  --a-b, -a  see --cd"
    assert vllm_flags.known(text) == {"--api-key", "--enable-lora", "--no-enable-lora", "--a-b", "--cd"}
