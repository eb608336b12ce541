"""HTTP: a server that is reached over a network.

Owns the client that carries the messages: headers, proxies of the environment, how long
it waits, and the token of a login. Sessions, streams and their resumption are the
protocol package's own.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from mcp.client.streamable_http import streamable_http_client

from .settings import Server
from .tokens import StoredLogin, TokenFile

CONNECT_SECONDS = 20.0
SILENT_SECONDS = 3_600.0
"""How long a stream may say nothing: calls have times of their own."""


def client_of(server: Server, auth: httpx2.Auth | None = None) -> httpx2.AsyncClient:
    """Return the client for a server. A redirect is never followed to another place:
    what is shown here is for this one."""
    return httpx2.AsyncClient(
        headers=dict(server.headers),
        timeout=httpx2.Timeout(CONNECT_SECONDS, read=SILENT_SECONDS),
        follow_redirects=False,
        auth=auth,
    )


@asynccontextmanager
async def reached(server: Server) -> AsyncIterator[Any]:
    """Reach a server, and end its session when this is left."""
    assert server.url is not None
    named = {name.lower() for name in server.headers}
    auth = None
    if "authorization" not in named:
        auth = StoredLogin(server.name, TokenFile(server.name, server.url))
    async with (
        client_of(server, auth) as client,
        streamable_http_client(server.url, http_client=client) as streams,
    ):
        yield streams
