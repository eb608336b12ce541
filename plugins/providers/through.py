"""Through: exchanges by way of httpx, for proxies and tapes.

Owns both directions: what sends requests as ``exchange`` has them by a transport of
httpx's, and the exchange itself as one of those, which a tape is put over. Here, with
the tape, is all that knows httpx; it is loaded where one of them is wanted, or where an
address is not written in the usual characters.
"""

import logging
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

import httpx

from . import exchange
from .exchange import Address, Asked, Exchange, ExchangeError, Limits

_KINDS: Mapping[type[httpx.HTTPError], type[ExchangeError]] = {
    httpx.ConnectTimeout: exchange.ConnectTimeoutError,
    httpx.PoolTimeout: exchange.ConnectTimeoutError,
    httpx.ConnectError: exchange.ConnectError,
    httpx.ProxyError: exchange.ConnectError,
    httpx.WriteTimeout: exchange.WriteTimeoutError,
    httpx.WriteError: exchange.WriteError,
    httpx.ReadTimeout: exchange.ReadTimeoutError,
    httpx.ReadError: exchange.ReadError,
    httpx.LocalProtocolError: exchange.LocalProtocolError,
    httpx.UnsupportedProtocol: exchange.UnsupportedProtocolError,
    httpx.RemoteProtocolError: exchange.RemoteProtocolError,
}


_FAILURES = (httpx.HTTPError, ssl.SSLError)
"""What httpx raises, and what it lets through of an encryption that breaks off."""


def _from_httpx(error: Exception) -> ExchangeError:
    if isinstance(error, ssl.SSLError):
        return exchange.ReadError(str(error))
    kind = next((ours for one, ours in _KINDS.items() if isinstance(error, one)), None)
    return (kind or exchange.RemoteProtocolError)(str(error) or type(error).__name__)


def _to_httpx(error: ExchangeError) -> httpx.HTTPError:
    kinds = (one for one, ours in _KINDS.items() if type(error) is ours)
    return next(kinds, httpx.RemoteProtocolError)(str(error))


def address_of(url: httpx.URL) -> Address:
    """Return where a request goes, as httpx has it."""
    port = url.port or exchange.PORTS.get(url.scheme, 0)
    origin = url.scheme, url.raw_host.decode("ascii"), port
    return Address(str(url), origin, url.netloc, url.raw_path)


# --- the exchange as a transport of httpx's ---------------------------------------


class Carried(httpx.AsyncBaseTransport):
    """Sends what httpx asks over an exchange."""

    def __init__(self, sends: Exchange) -> None:
        self._sends = sends

    def __repr__(self) -> str:
        return f"<Carried by {self._sends!r}>"

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and return its answer once its head is there.

        Raises:
            httpx.TransportError: there is no connection, or no answer came on it.
        """
        limits = request.extensions.get("timeout", {})
        address = address_of(request.url)
        host = request.headers.get("host", "").encode("ascii")
        asked = Asked(
            request.method.encode("ascii"),
            address._replace(host=host or address.host),
            tuple(_text(*one) for one in request.headers.raw),
            request.content,
            Limits(limits.get("connect"), limits.get("read"), limits.get("write")),
        )
        with _as_httpx_errors():
            answer = await self._sends.ask(asked)
        return httpx.Response(
            answer.status,
            headers=answer.head.headers.raw_items(),
            stream=_Body(answer),
            extensions={
                "http_version": b"HTTP/" + answer.head.http_version,
                "reason_phrase": answer.head.reason,
            },
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._sends.aclose()


def _text(name: bytes, value: bytes) -> tuple[str, str]:
    return name.decode("latin-1"), value.decode("latin-1")


@contextmanager
def _as_httpx_errors() -> Iterator[None]:
    try:
        yield
    except ExchangeError as error:
        raise _to_httpx(error) from error.__cause__


class _Body(httpx.AsyncByteStream):
    """The body of an answer as httpx has it."""

    def __init__(self, answer: exchange.Answer) -> None:
        self._answer = answer

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        with _as_httpx_errors():
            return await anext(self._answer)

    async def aclose(self) -> None:
        await self._answer.aclose()


# --- a transport of httpx's as an exchange ----------------------------------------


class Through:
    """Sends what is asked by a transport of httpx's."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def ask(self, asked: Asked) -> "_Answer":
        """Send a request, and return its answer once its head is there.

        Raises:
            ExchangeError: there is no connection, or no answer came on it.
        """
        connect, read, write = asked.limits
        bound = {"connect": connect, "read": read, "write": write, "pool": connect}
        request = httpx.Request(
            asked.method.decode("ascii"),
            asked.address.url,
            headers=asked.headers,
            content=asked.content,
            # The last is for a tape, which must keep nothing of it.
            extensions={"timeout": bound, "redact": asked.redact},
        )
        try:
            with _unlogged():
                response = await self._transport.handle_async_request(request)
        except _FAILURES as error:
            raise _from_httpx(error) from error
        return _Answer(response)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()


class _Answer:
    """An answer as an exchange has it."""

    def __init__(self, response: httpx.Response) -> None:
        assert isinstance(response.stream, httpx.AsyncByteStream)
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.ended = False
        self._response = response
        self._bytes = aiter(response.stream)
        self._begun = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        self._begun = True
        try:
            return await anext(self._bytes)
        except _FAILURES as error:
            raise _from_httpx(error) from error

    async def aclose(self) -> None:
        """Give the connection back, or close it when more would come."""
        await self._response.aclose()
        if not self._begun:
            return
        # Below are generators within generators, each of which must end: reading on
        # from what is closed ends them all, from the inside out.
        try:
            async for _ in self:
                pass
        except ExchangeError:
            return


class Proxying(httpx.AsyncBaseTransport):
    """Sends through a client, which finds the proxies that the environment names."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request as the client does, without its redirects."""
        request.stream = _Content(request.content)
        with _unlogged():
            return await self._client.send(request, stream=True, follow_redirects=False)

    async def aclose(self) -> None:
        """Close the client."""
        await self._client.aclose()


class _Content(httpx.AsyncByteStream):
    """The body of a request. httpx's own is a generator, which a request that is
    cancelled while it is sent leaves behind unfinished."""

    def __init__(self, data: bytes) -> None:
        self._data = [data]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._data:
            raise StopAsyncIteration
        return self._data.pop()


_ours: ContextVar[bool] = ContextVar("dovetail_request", default=False)


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep httpx from logging the request, and what is below it the head of its answer:
    an address may hold a secret, and a server may repeat one (law access.6). Requests
    that others make with httpx are logged as ever."""
    _silence_httpx()
    token = _ours.set(True)
    try:
        yield
    finally:
        _ours.reset(token)


@cache
def _silence_httpx() -> None:
    for name in ("httpx", "httpcore.http11", "httpcore.proxy"):
        logging.getLogger(name).addFilter(lambda _: not _ours.get())
