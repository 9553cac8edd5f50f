"""The lower bound on a prompt's tokens: never above what tokenizers make of it, and cheap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_mcp.tokens import BRIEFLY, COUNTED, Bound, at_least, cannot_fit, least, roughly

# What the tokenizers of Qwen 2, Mistral (v1 and Nemo) and SmolLM2 make of these texts at the least, counted once.
MEASURED = [
    ("I don't think we'll say that it's what they've done, you're right. ", 20),
    ("foo.bar.get_name(self.x_y).append(i)\n", 11),
    ("<html><head><title>x</title></head><body><p>Hello, world!</p></body></html>\n", 24),
    ("2026-11-23T15:26:01.123Z INFO [main] com.example.Foo - started in 12ms (pid=4242)\n", 47),
    (r"\frac{\partial f}{\partial x} = \sum_{i=0}^{n} x_i^2", 22),
    ("हिन्दी भारत की राजभाषा है और विश्व में सबसे अधिक बोली जाने वाली भाषाओं में से एक है। ", 26),
    ("中文是世界上使用人数最多的语言之一，人工智能正在改变我们的生活方式。", 15),
    ("Русский язык является одним из самых распространённых языков в мире. ", 16),
    ("getElementById setTimeoutInterval XMLHttpRequest isNotNullOrEmpty ", 10),
    ("👍🏽 great 👨‍👩‍👧‍👦 family 🎉🎉🎉 ", 21),
    ("-" * 80 + "\n" + "=" * 80 + "\n| a | b |\n|---|---|\n", 14),
    ("12345678901234567890", 20),
]


@pytest.mark.parametrize(("text", "measured"), MEASURED, ids=[text[:12] for text, _ in MEASURED])
def test_the_bound_stays_below_what_tokenizers_make_of_a_text(text: str, measured: int) -> None:
    assert 0 < at_least(text) <= measured


def test_the_bound_is_of_use_for_prose() -> None:
    prose = (
        "The router keeps a bounded queue for each runtime, so that no caller waits longer than its deadline allows. "
    )
    assert at_least(prose * 100) >= 0.7 * 22 * 100


def test_white_space_may_cost_nothing() -> None:
    assert at_least(" \n\t" * 1000) == at_least("") == 0


@given(st.text())
def test_the_bound_never_exceeds_the_characters(text: str) -> None:
    assert at_least(text) <= len(text)


@given(st.text(), st.text())
def test_two_texts_together_have_at_most_one_token_less_than_apart_and_never_more(one: str, other: str) -> None:
    apart = at_least(one) + at_least(other)
    assert apart - 2 <= at_least(one + other) <= apart


@given(st.text(), st.text())
def test_more_text_never_has_fewer_tokens(one: str, other: str) -> None:
    assert at_least(one + other) >= at_least(one) - 1


@given(st.lists(st.text(max_size=30), max_size=5), st.integers(0, 50))
def test_a_prompt_is_withheld_exactly_when_its_bound_exceeds_the_window(texts: list[str], window: int) -> None:
    bound, said = sum(map(at_least, texts)), cannot_fit(texts, window)
    assert (said is not None) == (bound > window)
    assert said is None or window < said <= bound


@given(st.text("aZ'_.- \n07\x1f\x0b") | st.text(st.characters(max_codepoint=127)))
def test_what_is_told_without_counting_is_true(text: str) -> None:
    assert roughly(text).least <= at_least(text) <= roughly(text).most


def test_prose_and_code_are_told_apart_from_what_fits_without_counting() -> None:
    prose = "The router keeps a bounded queue for each runtime, so that no caller waits longer than allowed. " * 50
    code = "def add(self, waiter: Waiter) -> None:\n    self.lines[waiter.tenant].append(waiter)\n" * 50
    for text in (prose, code):
        least, most = roughly(text)
        assert most < 2.2 * at_least(text)
        assert least > 0.6 * at_least(text)


def test_a_prompt_is_counted_once_for_all_windows() -> None:
    bound = Bound(["a b c", "d, e"])
    assert [bound.beyond(window) for window in (4, 5, 6, 1, 100)] == [5, 6, None, 5, None]


def test_of_an_enormous_prompt_only_the_beginning_is_counted() -> None:
    bound = Bound(["a " * COUNTED, "b " * COUNTED])
    assert bound.beyond(1000) == COUNTED // 2


def test_texts_are_counted_together_and_briefly() -> None:
    assert least("a b c", "", "d, e") == 6
    assert least("a " * BRIEFLY, "b") == BRIEFLY // 2
