"""The status page in a real browser: what it says, that it stays true, for whom it opens, and that all can read it."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.stage import AUTHORIZED, TOKEN, staged
from tests.observability.calls import call

pytestmark = pytest.mark.anyio

PICTURES = Path(__file__).parents[2] / "docs" / "images"
LOGIN: Any = {"username": "me", "password": TOKEN}
NARROW: Any = {"width": 390, "height": 844}
WIDE: Any = {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
async def router(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[str]:
    async with staged(tmp_path_factory.mktemp("stage")) as url:
        yield url


async def opened(browser: Browser, url: str, **options: Any) -> Page:
    """Open the page as a person does who typed in the token; a script error fails the test."""
    context = await browser.new_context(http_credentials=LOGIN, **{"viewport": WIDE, **options})
    page = await context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    await page.goto(url)
    await expect(page.locator("#ready")).to_have_text("ready")
    assert problems == []
    return page


async def test_the_page_shows_tasks_runtimes_models_and_changes(chromium: Browser, router: str) -> None:
    page = await opened(chromium, router)
    route = page.locator("#tasks tr", has_text="reasoning").locator("ol.route li")
    await expect(route).to_have_count(2)
    await expect(route.first).to_contain_text("mixtral-8x7b-instruct")
    gone = page.locator("#endpoints tbody tr", has_text="laptop")
    await expect(gone.locator(".state")).to_have_text("unhealthy")
    await expect(gone.locator(".error")).not_to_be_empty()
    await expect(gone.locator("svg.timeline")).to_have_attribute("aria-label", pattern("unhealthy"))
    served = page.locator("#models tbody tr", has_text="mixtral-8x7b-instruct").first
    await expect(served.locator("svg.latency polyline")).to_have_count(1)
    await expect(served.locator("td[data-label='Tokens/s']")).to_have_text(pattern(r"^\d"))
    await expect(page.locator("#changes li", has_text="laptop")).not_to_have_count(0)
    await page.context.close()


def pattern(text: str) -> Any:
    import re  # noqa: PLC0415 - one use

    return re.compile(text)


async def test_the_page_stays_true_by_itself(chromium: Browser, router: str) -> None:
    page = await opened(chromium, router)
    row = page.locator("#models tbody tr", has_text="qwen2.5-14b-instruct").first.locator("td[data-label='Failed']")
    before = await row.text_content()
    async with httpx.AsyncClient(timeout=30, headers=AUTHORIZED) as client:
        await call(client, router, "generate", {"prompt": "x", "task": "summarisation"})
    await expect(row).not_to_have_text(str(before), timeout=15_000)
    await page.context.close()


async def test_when_the_server_does_not_answer_the_page_says_so_and_keeps_what_it_knows(
    chromium: Browser, router: str
) -> None:
    page = await opened(chromium, router)
    await page.context.set_offline(True)
    await expect(page.locator("#problem")).to_contain_text("No news", timeout=15_000)
    await expect(page.locator("#models tbody tr")).to_have_count(3)
    await page.context.set_offline(False)
    await expect(page.locator("#problem")).to_be_hidden(timeout=15_000)
    await page.context.close()


async def test_without_the_token_nobody_sees_anything(router: str) -> None:
    async with httpx.AsyncClient() as stranger:
        for path in ("/", "/status.json"):
            refused = await stranger.get(f"{router}{path}")
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"].startswith("Basic")
            assert "mixtral" not in refused.text
            wrong = await stranger.get(f"{router}{path}", auth=("me", "guess"))
            assert wrong.status_code == 401
            garbled = await stranger.get(f"{router}{path}", headers={"authorization": "Basic %%%"})
            assert garbled.status_code == 401
        # Only the pages take a password: everything for machines still wants the bearer token.
        assert (await stranger.get(f"{router}/metrics", auth=("me", TOKEN))).status_code == 401
        assert (await stranger.get(f"{router}/status.json", headers=AUTHORIZED)).status_code == 200


async def test_the_page_runs_its_own_script_and_loads_nothing_from_elsewhere(chromium: Browser, router: str) -> None:
    context = await chromium.new_context(http_credentials=LOGIN)
    page = await context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    answer = await page.goto(router)
    await expect(page.locator("#ready")).to_have_text("ready")
    assert answer is not None
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert all(url.startswith((router, "data:")) for url in asked)
    await context.close()


THEMES = [(theme, width) for theme in ("light", "dark") for width in ("wide", "narrow")]


@pytest.mark.parametrize(("theme", "width"), THEMES)
async def test_the_page_can_be_read(chromium: Browser, router: str, theme: str, width: str, tmp_path: Path) -> None:
    size = WIDE if width == "wide" else NARROW
    page = await opened(chromium, router, color_scheme=theme, viewport=size)
    assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (
        "it must not scroll sideways"
    )
    poor = await page.evaluate(CONTRAST)
    assert poor == [], "text needs a contrast of 4.5 to 1 (WCAG AA)"
    folder = PICTURES if os.environ.get("UPDATE_PICTURES") else tmp_path
    await page.screenshot(path=folder / f"status-{theme}-{width}.png", full_page=width == "wide")
    await page.context.close()


@pytest.mark.parametrize("pixels", [320, 600, 760, 1000, 1060, 1100, 1600])
async def test_no_width_makes_the_page_scroll_sideways(chromium: Browser, router: str, pixels: int) -> None:
    page = await opened(chromium, router, viewport={"width": pixels, "height": 800})
    assert await page.evaluate("document.documentElement.scrollWidth") <= pixels
    await page.context.close()


async def test_the_page_reads_aloud_in_order(chromium: Browser, router: str) -> None:
    page = await opened(chromium, router)
    assert await page.locator("html").get_attribute("lang") == "en"
    assert await page.locator("h1").count() == 1
    headings = await page.locator("h2").all_text_contents()
    assert headings == ["Where the next call goes", "Runtimes", "Models", "Recent changes"]
    for table in await page.locator("table").all():
        assert await table.locator("caption").count() == 1
        assert await table.locator("thead th[scope=col]").count() > 2
        assert await table.locator("tbody th[scope=row]").count() == await table.locator("tbody tr").count()
    for drawing in await page.locator("svg").all():
        assert await drawing.get_attribute("role") == "img"
        assert await drawing.get_attribute("aria-label")
    # A state is a word, never only a colour: screen readers get it where eyes get a sign.
    assert "healthy" in (await page.locator("#tasks ol.route li").first.inner_text()).lower()
    await page.context.close()


CONTRAST = """() => {
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const background = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    const style = getComputedStyle(element);
    if (!own || element.closest("[hidden], .hint, script, style, thead") || style.fontSize === "0px") continue;
    const [a, b] = [luminance(parse(style.color)), luminance(background(element))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const what = `${element.tagName}.${element.className} ${element.textContent.slice(0, 20)}`;
    if (ratio < 4.5) poor.push(`${what} ${ratio.toFixed(2)}`);
  }
  return poor;
}"""
