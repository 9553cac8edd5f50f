"""A collector that takes everything and keeps nothing. `otlp.py PORT`."""

from __future__ import annotations

import sys

from aiohttp import web


async def take(request: web.Request) -> web.Response:
    """Read an export and answer as a collector does."""
    await request.read()
    return web.Response(content_type="application/x-protobuf")


def main() -> None:
    """Serve until ended."""
    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_post("/v1/traces", take)
    app.router.add_post("/v1/metrics", take)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=lambda _: None)


if __name__ == "__main__":
    main()
