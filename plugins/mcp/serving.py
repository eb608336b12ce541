"""Serving: dovetail as a server of the protocol, over standard input or HTTP.

Owns the runtime that is offered and the way in. Over HTTP a caller is another user's
program unless it shows the token: without one only this machine is listened to, and
only under its own names, so that no page in a browser gets in.
"""

import secrets
import sys
from contextlib import suppress
from importlib.metadata import version
from typing import Any

import anyio
from dovetail.kernel import open_runtime

from .sessions import SessionsServer


async def serve_stdio(url: str, directory: str, model: str | None) -> None:
    """Serve whoever began this process, until the input ends."""
    async with open_runtime(url) as runtime:
        made = SessionsServer(runtime, directory, model).server(version("dovetail"))
        await made.run_stdio_async()


async def serve_http(
    url: str,
    directory: str,
    model: str | None,
    host: str,
    port: int,
    token: str | None,
) -> None:
    """Serve callers over streamable HTTP at ``/mcp``, until the process is ended."""
    import uvicorn

    async with open_runtime(url) as runtime:
        made = SessionsServer(runtime, directory, model).server(version("dovetail"))
        app = made.streamable_http_app(host=host)
        guarded = app if token is None else Guarded(app, token)
        settings = uvicorn.Config(
            guarded, host=host, port=port, log_level="warning", lifespan="on"
        )
        server = uvicorn.Server(settings)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_tell, server)
            # A signal is raised again by it when it has ended.
            with suppress(KeyboardInterrupt):
                await server.serve()
            tasks.cancel_scope.cancel()


async def _tell(server: Any) -> None:
    while not server.started:  # noqa: ASYNC110 - it has nothing to wait for
        await anyio.sleep(0.05)
    for one in server.servers:
        for place in one.sockets:
            host, port = place.getsockname()[:2]
            print(f"http://{host}:{port}/mcp", file=sys.stderr, flush=True)


class Guarded:
    """Lets nobody in who does not show the token."""

    def __init__(self, app: Any, token: str) -> None:
        self._app = app
        self._wanted = f"Bearer {token}".encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            shown = dict(scope["headers"]).get(b"authorization", b"")
            if not secrets.compare_digest(shown, self._wanted):
                await send(
                    {
                        "type": "http.response.start",
                        "status": 401,
                        "headers": [(b"www-authenticate", b"Bearer")],
                    }
                )
                await send({"type": "http.response.body", "body": b""})
                return
        await self._app(scope, receive, send)
