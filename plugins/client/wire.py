"""The wire: questions to a server and its answers, and streams that go on.

Owns the connection and what its troubles are called. The only module here that knows
httpx. Knows nothing of sessions.
"""

import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from ssl import PROTOCOL_TLS_CLIENT, SSLContext
from types import TracebackType
from typing import Any, Self

import anyio
import httpx
import orjson
from attrs import frozen
from dovetail.kernel import (
    ServerAnswerTooLargeError,
    ServerError,
    ServerUnreachableError,
)

from .answer import Answer, Source
from .errors import refusal_of

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 120.0
"""Seconds without a byte that are borne: longer than any answer waits by itself."""
SILENCE_SECONDS = 60.0
"""The same in a stream, which gives a sign of life every 15."""
MAX_PART = 256 * 1024 * 1024
"""Bytes of one answer, of one event or one line: as much as a server takes of an
import."""
_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)
FIRST_PAUSE, LAST_PAUSE = 0.1, 5.0
"""Seconds between tries to reach a server that was there before."""


def _trusted(url: httpx.URL) -> SSLContext:
    """Return what is trusted on the way to a server. Nothing is, where nothing is
    encrypted: to read whom one may trust takes longer than most of what is asked."""
    if url.scheme == "https":
        return httpx.create_ssl_context()
    return SSLContext(PROTOCOL_TLS_CLIENT)


def _address(url: str) -> httpx.URL:
    """Return the address of a server.

    Raises:
        ServerError: it is none, or has a password in it.
    """
    try:
        found = httpx.URL(url.rstrip("/"))
        is_one = found.scheme in ("http", "https") and bool(found.host)
        is_one = is_one and (found.port or 0) < 2**16
    except httpx.InvalidURL:
        is_one = False
    if not is_one:
        # What is in it is not told: where it went wrong may be in a password.
        raise ServerError("this is no address, such as http://127.0.0.1:4096")
    if found.userinfo:
        # A password in an address stands in logs and histories.
        raise ServerError("give the token by itself, not in the address")
    return found


@frozen
class Frame:
    """One server-sent event."""

    event: str
    id: int | None
    data: Answer


class Wire:
    """A server, by its address."""

    def __init__(
        self,
        url: str,
        token: str | None,
        patience: float,
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        self._url = _address(url)
        self.origin = f"{self._url.scheme}://{self._url.netloc.decode()}"
        if token is not None and not (token.isascii() and token.isprintable()):
            raise ServerError("the token has signs that no token of a server has")
        self.patience = patience
        self.on_reach: Callable[[bool], None] | None = None
        self._gone: set[object] = set()
        """The readers that wait for the server to come back."""
        # What is packed may be a thousand times as much when it is unpacked.
        headers = {"Accept-Encoding": "identity"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        self._client = httpx.AsyncClient(
            headers=headers,
            verify=_trusted(self._url),
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=16),
            transport=transport,
            follow_redirects=False,
        )

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._client.__aexit__(kind, error, traceback)

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        content: bytes | None = None,
    ) -> Answer:
        """Return what the server answers.

        Raises:
            ServerUnreachableError: it does not.
            ServerAnswerError: what answers is no server of this kind, or says more
                than is read of one answer.
            DovetailError: it refuses, as the class that its code has.
        """
        request = self._request(method, path, body, query, content)
        data, stream = await self._whole(request)
        return Answer.of(data, stream.source)

    async def tell(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Ask for what a server does and says nothing of; return what it says in
        headers.

        Raises: as ``ask``.
        """
        request = self._request(method, path, body, query)
        _, stream = await self._whole(request)
        source = stream.source
        if source.status != 204:
            raise source.wrong(f"it answers {source.status}, and 204 was to come")
        return Answer.of_headers(stream.headers, source)

    async def fetch(self, path: str, key: str) -> bytes:
        """Return the bytes that the server answers, whose SHA-256 is the key.

        Raises: as ``ask``.
        """
        data, stream = await self._whole(self._request("GET", path))
        if sha256(data).hexdigest() != key:
            raise stream.source.wrong("the bytes are not those of this key")
        return data

    def _request(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        content: bytes | None = None,
        **options: Any,
    ) -> httpx.Request:
        if body is not None:
            content = orjson.dumps(body)
            options["headers"] = {"Content-Type": "application/json"}
        return self._client.build_request(
            method, self.at(path), params=_query(query), content=content, **options
        )

    async def _whole(self, request: httpx.Request) -> "tuple[bytes, Stream]":
        stream = await self._send(request)
        try:
            return await stream.whole(), stream
        finally:
            await stream.aclose()

    async def _send(self, request: httpx.Request) -> "Stream":
        """Return an answer that has begun, and is no refusal. The caller closes it."""
        try:
            answer = await self._client.send(request, stream=True)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        asked = f"{request.method} {request.url.path}"
        source = Source(self.origin, asked, answer.status_code)
        stream = Stream(answer, source, self._unreachable)
        try:
            if stream.headers.get("content-encoding", "identity") != "identity":
                raise source.wrong("it is packed, which nobody asked for")
            if source.status >= 300:
                raise refusal_of(await stream.whole(), source)
        except BaseException:
            await stream.aclose()
            raise
        return stream

    def miss(self, reader: object) -> None:
        """Take that a reader waits for the server to come back."""
        first = not self._gone
        self._gone.add(reader)
        if first and self.on_reach is not None:
            self.on_reach(False)

    def let_go(self, reader: object, *, there: bool) -> None:
        """Take that a reader waits no longer: the server is ``there``, or the reader
        has ended. The last that waited tells that it is there."""
        missed = reader in self._gone
        self._gone.discard(reader)
        if there and missed and not self._gone and self.on_reach is not None:
            self.on_reach(True)

    def at(self, path: str) -> str:
        return f"{self._url}/api/{path}"

    def _unreachable(self, error: Exception) -> ServerUnreachableError:
        text = str(error)
        name = type(error).__name__
        return ServerUnreachableError(self.origin, f"{name}: {text}" if text else name)

    async def stream(
        self,
        path: str,
        query: Mapping[str, Any] | None = None,
    ) -> "Stream":
        """Begin an answer that goes on. The caller closes it.

        Raises: as ``ask``.
        """
        timeout = httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)
        return await self._send(
            self._request("GET", path, query=query, timeout=timeout)
        )


class Stream:
    """An answer as it comes: whole, or in parts that are divided by a mark.

    Raises (while it is read):
        ServerUnreachableError: the connection broke.
        ServerAnswerTooLargeError: one part of it goes on for too long.
    """

    def __init__(
        self,
        answer: httpx.Response,
        source: Source,
        unreachable: Callable[[Exception], ServerUnreachableError],
    ) -> None:
        self._answer = answer
        self.headers = answer.headers
        self.source = source
        self._unreachable = unreachable
        assert isinstance(answer.stream, httpx.AsyncByteStream)
        self._bytes: Any = aiter(answer.stream)
        self._begun = False
        self._rest = bytearray()

    async def _more(self) -> bool:
        """Wait for more, and say whether there was any."""
        self._begun = True
        try:
            part = await anext(self._bytes, None)
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise self._unreachable(error) from error
        if part is None:
            return False
        self._rest += part
        if len(self._rest) > MAX_PART:
            self._rest.clear()
            raise ServerAnswerTooLargeError(
                self.source.origin, self.source.asked, MAX_PART
            )
        return True

    async def whole(self) -> bytes:
        """Return all that is left of it."""
        while await self._more():
            pass
        return bytes(self._rest)

    async def next(self, mark: bytes) -> bytes | None:
        """Return what is before the next mark; None at the end. A cancelled call loses
        nothing that came."""
        looked = 0
        while (found := self._rest.find(mark, looked)) < 0:
            looked = max(0, len(self._rest) - len(mark))
            if not await self._more():
                if self._rest:
                    raise ServerUnreachableError(self.source.origin, "it breaks off")
                return None
        taken = bytes(self._rest[:found])
        del self._rest[: found + len(mark)]
        return taken

    async def frame(self) -> Frame | None:
        """Return the next server-sent event; None at the end.

        Raises: as all, and ServerAnswerError: what is told is none.
        """
        kind = self.headers.get("content-type", "")
        if not kind.startswith("text/event-stream"):
            raise self.source.wrong("it is no stream of events")
        while (part := await self.next(b"\n\n")) is not None:
            fields: dict[str, str] = {}
            for line in part.decode("utf-8", "replace").split("\n"):
                name, _, value = line.partition(": ")
                if name:
                    fields[name] = value
            if "data" in fields:
                place = fields.get("id")
                if place is not None and not _NUMBER.fullmatch(place):
                    raise self.source.wrong("the id of an event is no number", ("id",))
                return Frame(
                    fields.get("event", "message"),
                    None if place is None else int(place),
                    Answer.of(fields["data"].encode(), self.source),
                )
        return None

    async def aclose(self) -> None:
        """Let go of the connection. Closing twice is harmless."""
        with anyio.CancelScope(shield=True), anyio.move_on_after(1):
            await self._answer.aclose()
            if not self._begun:
                return
            # Below are generators within generators, each of which must end: reading
            # on from what is closed ends them all, from the inside out.
            try:
                while await anext(self._bytes, None) is not None:
                    pass
            except (httpx.HTTPError, httpx.StreamError):
                return


def _query(query: Mapping[str, Any] | None) -> dict[str, str]:
    """Return a query as it is written; what is None is not asked."""
    return {
        name: ("true" if value else "false") if isinstance(value, bool) else str(value)
        for name, value in (query or {}).items()
        if value is not None
    }
