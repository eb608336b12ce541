"""The wire: questions to a server and its answers, and streams that go on.

Owns the connection and what its troubles are called. The only module here that knows
httpx. Knows nothing of sessions.
"""

import json
from collections.abc import Callable, Mapping
from ssl import PROTOCOL_TLS_CLIENT, SSLContext
from types import TracebackType
from typing import Any, Self

import anyio
import httpx
import orjson
from attrs import frozen
from dovetail.kernel import ServerError, ServerUnreachableError

from .errors import error_of

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 120.0
"""Seconds without a byte that are borne: longer than any answer waits by itself."""
SILENCE_SECONDS = 60.0
"""The same in a stream, which gives a sign of life every 15."""
MAX_PART = 256 * 1024 * 1024
"""Bytes of one event or one line: as much as a server takes of an import."""
FIRST_PAUSE, LAST_PAUSE = 0.1, 5.0
"""Seconds between tries to reach a server that was there before."""


def _trusted(url: httpx.URL) -> SSLContext:
    """Return what is trusted on the way to a server. Nothing is, where nothing is
    encrypted: to read whom one may trust takes longer than most of what is asked."""
    if url.scheme == "https":
        return httpx.create_ssl_context()
    return SSLContext(PROTOCOL_TLS_CLIENT)


@frozen
class Frame:
    """One server-sent event."""

    event: str
    id: str | None
    data: Any


class Wire:
    """A server, by its address."""

    def __init__(
        self,
        url: str,
        token: str | None,
        patience: float,
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        self._url = httpx.URL(url.rstrip("/"))
        self.origin = f"{self._url.scheme}://{self._url.netloc.decode()}"
        if self._url.userinfo:
            # A password in an address stands in logs and histories.
            raise ServerError("give the token by itself, not in the address")
        self.patience = patience
        self.on_reach: Callable[[bool], None] | None = None
        self._gone: set[object] = set()
        """The readers that wait for the server to come back."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
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
        raw: bool = False,
    ) -> Any:
        """Return what the server answers: an object; a mapping of headers where that is
        nothing, and with ``raw`` its bytes.

        Raises:
            ServerUnreachableError: it does not.
            ServerError: what answers is no server of this kind.
            DovetailError: it refuses, as the class that its code has.
        """
        options: dict[str, Any] = {"params": _query(query)}
        if content is not None:
            options["content"] = content
        elif body is not None:
            options["content"] = orjson.dumps(body)
            options["headers"] = {"Content-Type": "application/json"}
        try:
            answer = await self._client.request(method, self.at(path), **options)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        if answer.status_code >= 300:
            raise error_of(answer.status_code, _json(answer.content))
        if answer.status_code == 204:
            return answer.headers
        if raw:
            return answer.content
        found = _json(answer.content)
        if not isinstance(found, dict):
            raise _not_ours(self.origin)
        return _Told(found, self.origin)

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
        headers: Mapping[str, str] | None = None,
    ) -> "Stream":
        """Begin an answer that goes on. The caller closes it.

        Raises: as ``ask``.
        """
        request = self._client.build_request(
            "GET",
            self.at(path),
            params=_query(query),
            headers=headers,
            timeout=httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS),
        )
        try:
            answer = await self._client.send(request, stream=True)
            if answer.status_code >= 300:
                await answer.aread()
                raise error_of(answer.status_code, _json(answer.content))
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        return Stream(answer, self.origin, self._unreachable)


class Stream:
    """Parts of an answer that goes on, divided by a mark."""

    def __init__(
        self,
        answer: httpx.Response,
        origin: str,
        unreachable: Callable[[Exception], ServerUnreachableError],
    ) -> None:
        self._answer = answer
        self._origin = origin
        self._unreachable = unreachable
        assert isinstance(answer.stream, httpx.AsyncByteStream)
        self._bytes: Any = aiter(answer.stream)
        self._begun = False
        self._rest = bytearray()

    async def next(self, mark: bytes) -> bytes | None:
        """Return what is before the next mark; None at the end. A cancelled call loses
        nothing that came.

        Raises:
            ServerUnreachableError: the connection broke.
        """
        looked = 0
        while (found := self._rest.find(mark, looked)) < 0:
            looked = max(0, len(self._rest) - len(mark))
            self._begun = True
            try:
                part = await anext(self._bytes, None)
            except (httpx.HTTPError, httpx.StreamError) as error:
                raise self._unreachable(error) from error
            if part is None:
                return None
            self._rest += part
            if len(self._rest) > MAX_PART:
                raise ServerError(
                    f"{self._origin} says more than {MAX_PART} bytes at once"
                )
        taken = bytes(self._rest[:found])
        del self._rest[: found + len(mark)]
        return taken

    async def frame(self) -> Frame | None:
        """Return the next server-sent event; None at the end.

        Raises: as ``next``, and ServerError: what is told is none.
        """
        kind = self._answer.headers.get("content-type", "")
        if not kind.startswith("text/event-stream"):
            raise _not_ours(self._origin)
        while (part := await self.next(b"\n\n")) is not None:
            fields: dict[str, str] = {}
            for line in part.decode("utf-8", "replace").split("\n"):
                name, _, value = line.partition(": ")
                if name:
                    fields[name] = value
            if "data" in fields:
                place, data = fields.get("id"), _json(fields["data"].encode())
                numbered = place is None or (place.isascii() and place.isdigit())
                if not numbered or not isinstance(data, dict):
                    raise _not_ours(self._origin)
                event = fields.get("event", "message")
                return Frame(event, place, _Told(data, self._origin))
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


def _json(data: bytes) -> Any:
    try:
        return json.loads(data) if data else None
    except (ValueError, RecursionError):
        return None


class _Told(dict[str, Any]):
    """What a server answers. That a part is missing is the server's fault."""

    def __init__(self, told: dict[str, Any], origin: str) -> None:
        super().__init__(told)
        self._origin = origin

    def __missing__(self, name: str) -> Any:
        raise _not_ours(self._origin)


def _not_ours(origin: str) -> ServerError:
    return ServerError(
        f"what answers at {origin} is no server of dovetail, or one of another "
        "version: look at the address, and whether `dovetail serve` runs there"
    )
