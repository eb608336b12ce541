"""HTTP: a server that is reached over a network.

Owns the client that carries the messages: headers, proxies of the environment, how long
it waits, and the token of a login. Sessions, streams and their resumption are the
protocol package's own.
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import httpx2
from mcp.client.streamable_http import streamable_http_client

from .process import MAX_LINE
from .settings import Server
from .tokens import StoredLogin, TokenFile, private

CONNECT_SECONDS = 20.0
SILENT_SECONDS = 3_600.0
"""How long a stream may say nothing: calls have times of their own."""


@cache
def _tls() -> ssl.SSLContext:
    """Return what is trusted: read once, which takes longer than a request."""
    return httpx2.create_ssl_context()


def client_of(server: Server, auth: httpx2.Auth | None = None) -> httpx2.AsyncClient:
    """Return the client for a server. A redirect is never followed to another place:
    what is shown here is for this one."""
    return httpx2.AsyncClient(
        # What is small on the wire may be anything in memory: nothing is compressed.
        headers={"Accept-Encoding": "identity", **server.headers},
        event_hooks={"response": [_bound]},
        timeout=httpx2.Timeout(CONNECT_SECONDS, read=SILENT_SECONDS),
        follow_redirects=False,
        verify=_tls(),
        auth=auth,
    )


def plain_client() -> httpx2.AsyncClient:
    """Return a client for other places than a server, such as where its tokens are
    refreshed: they see nothing that is meant for the server."""
    return httpx2.AsyncClient(
        headers={"Accept-Encoding": "identity"},
        event_hooks={"response": [_bound]},
        timeout=CONNECT_SECONDS,
        follow_redirects=False,
        verify=_tls(),
    )


@asynccontextmanager
async def reached(server: Server) -> AsyncIterator[Any]:
    """Reach a server, and end its session when this is left."""
    assert server.url is not None
    named = {name.lower() for name in server.headers}
    auth = None
    # A token is shown where nobody on the way can read it, and nowhere else.
    if "authorization" not in named and private(server.url):
        file = TokenFile(server.name, server.url)
        auth = StoredLogin(server.name, file, plain_client)
    async with (
        client_of(server, auth) as client,
        streamable_http_client(server.url, http_client=client) as streams,
    ):
        yield streams


async def _bound(response: httpx2.Response) -> None:
    """Hold an answer in one piece to the bound of one message. A stream of events may
    go on for ever; its events are bounded by the protocol's package."""
    response.headers.pop("content-encoding", None)
    kind = response.headers.get("content-type", "")
    stream = response.stream
    if not kind.lower().startswith("text/event-stream") and isinstance(
        stream, httpx2.AsyncByteStream
    ):
        response.stream = _Bounded(stream)


class _Bounded(httpx2.AsyncByteStream):
    """A body that fails where it is longer than a message may be."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > MAX_LINE:
                raise httpx2.StreamError(f"its answer is over {MAX_LINE} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
