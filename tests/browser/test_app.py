"""The MCP App in a real browser, inside the extension's own host bridge, fed by a real server through a real client."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.client import ClientExtension
from playwright.async_api import Browser, FrameLocator, Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from tests.browser.bridge import bundle
from tests.browser.stage import staged
from tests.observability.sockets import served

pytestmark = pytest.mark.anyio

HERE = Path(__file__).parent
PICTURES = HERE.parents[1] / "docs" / "images"
URI = "ui://router/status"
MIME = "text/html;profile=mcp-app"


class AppsSupport(ClientExtension):
    """What a host that renders MCP Apps says of itself."""

    identifier = "io.modelcontextprotocol/ui"

    def settings(self) -> dict[str, Any]:
        return {"mimeTypes": [MIME]}


@asynccontextmanager
async def hosted(router: str) -> AsyncGenerator[str]:
    """Serve a host whose server is the router; yield the host's URL."""
    async with Client(f"{router}/mcp", extensions=[AppsSupport()]) as client:

        async def call(request: Request) -> Response:
            asked = json.loads(await request.body())
            result = await client.call_tool(asked["name"], asked.get("arguments"))
            return JSONResponse(result.model_dump(mode="json", by_alias=True, exclude_none=True))

        async def read(request: Request) -> Response:
            content = (await client.read_resource(URI)).contents[0]
            assert content.mime_type == MIME
            return JSONResponse({"text": content.text})  # type: ignore[union-attr] # it is a text

        routes = [
            Route("/", lambda _: FileResponse(HERE / "host.html")),
            Route("/bridge.js", lambda _: FileResponse(bundle())),
            Route("/call", call, methods=["POST"]),
            Route("/read", read, methods=["POST"]),
        ]
        async with served(Starlette(routes=routes)) as url:
            yield url


@pytest.fixture(scope="module")
async def router(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[str]:
    async with staged(tmp_path_factory.mktemp("stage"), {"ROUTER_MCP_TOKEN": ""}) as url:
        yield url


async def rendered(browser: Browser, url: str, query: str = "", **options: Any) -> tuple[Page, FrameLocator]:
    context = await browser.new_context(viewport={"width": 760, "height": 900}, **options)
    page = await context.new_page()
    await page.goto(f"{url}/?{query}")
    await page.wait_for_function("window.heard.initialized")
    return page, page.frame_locator("iframe")


async def test_a_host_that_renders_apps_shows_the_same_view(chromium: Browser, router: str) -> None:
    async with hosted(router) as url:
        page, app = await rendered(chromium, url)
        await expect(app.locator("#ready")).to_have_text("ready")
        await expect(app.locator("#tasks tbody tr")).to_have_count(4)
        await expect(app.locator("#endpoints tbody tr", has_text="laptop").locator(".state")).to_have_text("unhealthy")
        await expect(app.locator("svg.latency")).not_to_have_count(0)
        heard = await page.evaluate("window.heard")
        assert heard["sizes"] > 0
        assert heard["app"]["name"] == "router-status"
        assert heard["errors"] == []
        fits = "document.querySelector('iframe').clientHeight > 600"
        await page.wait_for_function(fits)
        await page.context.close()


async def test_the_view_stays_true_by_calling_the_tool_through_its_host(chromium: Browser, router: str) -> None:
    async with hosted(router) as url:
        page, app = await rendered(chromium, url)
        await expect(app.locator("#ready")).to_have_text("ready")
        before = await app.locator("#updated").text_content()
        await page.wait_for_function("window.heard.calls.length > 0", timeout=15_000)
        await expect(app.locator("#updated")).not_to_have_text(str(before), timeout=15_000)
        assert set(await page.evaluate("window.heard.calls")) == {"list_models"}
        await page.context.close()


async def test_a_host_that_allows_no_calls_is_not_asked(chromium: Browser, router: str) -> None:
    async with hosted(router) as url:
        page, app = await rendered(chromium, url, "quiet")
        await expect(app.locator("#ready")).to_have_text("ready")
        await anyio.sleep(6)
        assert await page.evaluate("window.heard.calls") == []
        await expect(app.locator("#problem")).to_be_hidden()
        await page.context.close()


async def test_a_host_that_strips_meta_still_gets_the_models(chromium: Browser, router: str) -> None:
    async with hosted(router) as url:
        page, app = await rendered(chromium, url, "strip&quiet")
        await expect(app.locator("#models tbody tr")).to_have_count(3)
        await expect(app.locator("#tasks")).to_be_hidden()
        await page.context.close()


async def test_the_view_follows_the_hosts_theme_and_answers_its_teardown(chromium: Browser, router: str) -> None:
    async with hosted(router) as url:
        page, app = await rendered(chromium, url, "theme=dark", color_scheme="light")
        await expect(app.locator("html")).to_have_attribute("data-theme", "dark")
        dark = await app.locator("body").evaluate("(body) => getComputedStyle(body).backgroundColor")
        await page.evaluate("window.bridge.sendHostContextChange({ theme: 'light' })")
        await expect(app.locator("html")).to_have_attribute("data-theme", "light")
        light = await app.locator("body").evaluate("(body) => getComputedStyle(body).backgroundColor")
        assert (dark, light) == ("rgb(20, 23, 28)", "rgb(255, 255, 255)")
        assert await page.evaluate("window.bridge.teardownResource({})") == {}
        await page.context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_the_app_can_be_read(chromium: Browser, router: str, theme: str, tmp_path: Path) -> None:
    async with hosted(router) as url:
        page, app = await rendered(chromium, url, f"theme={theme}", color_scheme=theme)
        await expect(app.locator("#changes li")).not_to_have_count(0)
        wide = "document.documentElement.scrollWidth <= window.innerWidth"
        assert await app.locator("html").evaluate(f"() => {wide}")
        folder = PICTURES if os.environ.get("UPDATE_PICTURES") else tmp_path
        await page.screenshot(path=folder / f"app-{theme}.png")
        await page.context.close()


async def test_a_client_without_apps_gets_the_plain_tool(router: str) -> None:
    async with Client(f"{router}/mcp") as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        result = await client.call_tool("list_models")
    assert (tools["list_models"].meta or {})["ui"] == {"resourceUri": URI}
    assert "router-mcp/status" not in (result.meta or {})
    assert "mixtral-8x7b-instruct" in str(result.content)
