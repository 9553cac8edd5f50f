"""What is kept of a child's stderr."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator

import pytest

from router_mcp.runtimes.last_words import MAX_BYTES, TAIL_BYTES, LastWords


@pytest.fixture
def words() -> Generator[LastWords]:
    words = LastWords()
    yield words
    words.close()


def test_the_end_of_what_a_child_wrote_is_kept_on_one_line_without_control_characters(words: LastWords) -> None:
    script = "import sys; sys.stderr.write('x' * 5000 + chr(27) + '[2Jout of\\nmemory\\n')"
    subprocess.run([sys.executable, "-c", script], stderr=words.fileno(), check=True)
    assert words.tail().endswith("x\\x1b[2Jout of | memory")
    assert len(words.tail()) < TAIL_BYTES + 10


def test_too_much_is_forgotten_and_what_follows_is_kept(words: LastWords) -> None:
    os.write(words.fileno(), b"early")
    words.trim()
    assert words.tail() == "early"
    os.write(words.fileno(), b"x" * MAX_BYTES)
    words.trim()
    assert words.tail() == ""
    os.write(words.fileno(), b"late")
    assert words.tail() == "late"
    assert os.fstat(words.fileno()).st_size == 4


def test_trimming_after_the_end_is_no_failure(words: LastWords) -> None:
    words.close()
    words.trim()
