"""HTTP: a server that is reached over a network.

Owns the client that carries the messages: headers, proxies of the environment, how long
it waits, and who logs in. Sessions, streams and their resumption are the protocol
package's own.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from mcp.client.streamable_http import streamable_http_client

from .settings import Server

CONNECT_SECONDS = 20.0
SILENT_SECONDS = 3_600.0
"""How long a stream may say nothing: calls have times of their own."""


@asynccontextmanager
async def reached(server: Server) -> AsyncIterator[Any]:
    """Reach a server, and end its session when this is left."""
    assert server.url is not None
    async with (
        httpx2.AsyncClient(
            headers=dict(server.headers),
            timeout=httpx2.Timeout(CONNECT_SECONDS, read=SILENT_SECONDS),
            follow_redirects=False,
        ) as client,
        streamable_http_client(server.url, http_client=client) as streams,
    ):
        yield streams
