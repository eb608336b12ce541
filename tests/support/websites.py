"""Websites on this machine, in the event loop of the test: what they answer, to the
byte, and what they were asked."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import anyio
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSListener

Answering = Callable[[ByteStream], Awaitable[None]]


def answer(
    body: bytes | str = b"",
    kind: str | None = "text/html",
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """Return a whole answer."""
    data = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(data)}"]
    if kind is not None:
        lines.append(f"Content-Type: {kind}")
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + data


def redirect(to: str, status: int = 302) -> bytes:
    """Return an answer that leads elsewhere."""
    return answer(status=status, headers={"Location": to})


class Website:
    """What is at which path. A path that is not there is not found."""

    def __init__(self, pages: Mapping[str, bytes | Answering]) -> None:
        self.pages = dict(pages)
        self.port = 0
        self.requests: list[str] = []
        """The heads of all requests, as they came."""

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def paths(self) -> list[str]:
        return [head.split(" ")[1] for head in self.requests]

    async def serve(self, stream: ByteStream) -> None:
        async with stream:
            head = b""
            try:
                while b"\r\n\r\n" not in head:
                    head += await stream.receive()
                text = head.decode("latin-1")
                self.requests.append(text)
                page = self.pages.get(text.split(" ")[1], answer(status=404))
                if isinstance(page, bytes):
                    await stream.send(page)
                else:
                    await page(stream)
            except (anyio.BrokenResourceError, anyio.EndOfStream):
                return  # whoever asked has gone
            except ssl.SSLError:
                return  # or does not trust us


@asynccontextmanager
async def website(
    pages: Mapping[str, bytes | Answering], context: ssl.SSLContext | None = None
) -> AsyncIterator[Website]:
    """Serve a website on a port of 127.0.0.1 for as long as this is entered."""
    site = Website(pages)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    site.port = listener.extra(SocketAttribute.local_port)
    served = TLSListener(listener, context, False) if context else listener
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(served.serve, site.serve)
            yield site
            tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await listener.aclose()
