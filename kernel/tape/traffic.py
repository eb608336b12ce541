"""Traffic: a tape as httpx sees it, between a client and what asks the network.

Owns what is taken from a request and an answer, when an answer is at its end, and how a
recorded one is given again: with its status, its headers, its pieces and its end. The
only module of the kernel that knows httpx; it is imported when a tape is used.
"""

import logging
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import anyio
import anyio.lowlevel
import httpx
from attrs import evolve

from ..values.errors import TapeError
from .hiding import Hiding
from .lines import Ending, Interaction, TapedAnswer, TapedRequest
from .reel import Reel

logger = logging.getLogger("dovetail.tape")

REDACT = "redact"
"""The extension of a request that holds its client's own ``Redactor``."""
MAX_KEPT = 64 * 1024 * 1024
"""Bytes of one answer that are kept; of a longer one nothing is."""
ANSWER_HEADERS = (
    "content-type",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    "x-amzn-errortype",
    "location",
    "www-authenticate",
)
"""The headers of an answer that are recorded: what a client goes by."""


class TapedTransport(httpx.AsyncBaseTransport):
    """What a client is given as its transport. See ``Tape.over``."""

    def __init__(self, tape: Reel, inner: httpx.AsyncBaseTransport | None) -> None:
        self._tape = tape
        self._inner = inner

    def __repr__(self) -> str:
        return f"<TapedTransport of {self._tape!r}>"

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request from the tape, or from the network.

        Raises:
            NotOnTapeError: the tape is only played, and has no such request.
            httpx.TransportError: as the network did, or as was recorded.
        """
        tape = self._tape
        body = await request.aread()
        known = request.extensions.get(REDACT)
        url = str(request.url)
        hiding = tape.hiding(url, request.headers.multi_items(), known)
        asked = _asked(tape, hiding, request, url, body)
        found = tape.take(asked)
        if found is not None:
            return await _given(tape, found, request)
        record = _Record(tape, asked, hiding)
        if self._inner is None:
            self._inner = httpx.AsyncHTTPTransport()
        try:
            response = await self._inner.handle_async_request(request)
        except httpx.TransportError as error:
            await record.broke(error)
            raise
        except BaseException:
            if tape.mode == "tap":
                # Somebody looks for what was asked; as an answer it is none.
                await record.ended("left")
            raise
        record.begun(response)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        return httpx.Response(
            response.status_code,
            headers=response.headers,
            stream=_Recorded(response.stream, record),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        """Close what asks the network."""
        if self._inner is not None:
            await self._inner.aclose()


def _asked(
    tape: Reel, hiding: Hiding, request: httpx.Request, url: str, body: bytes
) -> TapedRequest:
    headers = {
        name: request.headers[name] for name in tape.headers if name in request.headers
    }
    packed = request.headers.get("content-encoding", "identity")
    unpacked = _unpacked([body], packed)
    if unpacked is None:
        # What cannot be looked into cannot be cleaned.
        raise TapeError(tape.path, f"a request is packed as {packed}: send it as it is")
    return TapedRequest(
        request.method.upper(),
        hiding.url(url),
        hiding.headers(headers),
        hiding.body(tape.steadied(b"".join(unpacked))),
    )


class _Record:
    """One interaction while it is recorded."""

    def __init__(self, tape: Reel, asked: TapedRequest, hiding: Hiding) -> None:
        self._tape = tape
        self._asked = asked
        self._hiding = hiding
        self._answer = TapedAnswer()
        self._packed = "identity"
        self._pieces: list[bytes] = []
        self._size = 0
        self._over = False

    def begun(self, response: httpx.Response) -> None:
        """Take in how an answer begins."""
        headers = {
            name: response.headers[name]
            for name in ANSWER_HEADERS
            if name in response.headers
        }
        if "location" in headers:
            headers["location"] = self._hiding.url(headers["location"])
        self._packed = response.headers.get("content-encoding", "identity")
        self._answer = evolve(
            self._answer,
            status=response.status_code,
            headers=self._hiding.headers(headers),
        )

    def add(self, piece: bytes) -> None:
        """Take in more of the body."""
        if self._over:
            return
        self._size += len(piece)
        if self._size > MAX_KEPT:
            self._pieces.clear()
            return
        self._pieces.append(piece)

    async def broke(self, error: Exception) -> None:
        """Write down that the connection failed."""
        problem = self._hiding.text(str(error))
        await self.ended("broken", type(error).__name__, problem)

    async def ended(self, ending: Ending, error: str = "", problem: str = "") -> None:
        """Write it down, once."""
        if self._over:
            return
        self._over = True
        pieces = _unpacked(self._pieces, self._packed)
        if self._size > MAX_KEPT:
            ending, error, pieces = "dropped", "", []
            problem = f"it is over {MAX_KEPT} bytes"
        if pieces is None:
            ending, error, pieces = "dropped", "", []
            problem = f"it is packed as {self._packed}"
        answer = evolve(
            self._answer,
            pieces=self._hiding.pieces(tuple(pieces)),
            ending=ending,
            error=error,
            problem=problem,
        )
        try:
            await self._tape.keep(Interaction(self._asked, answer))
        except TapeError as failed:
            if self._tape.mode != "tap":
                raise
            # Whoever only listens must not disturb the conversation.
            logger.warning("%s", failed)


class _Recorded(httpx.AsyncByteStream):
    """The body of an answer, on its way from the network to the client."""

    def __init__(self, body: httpx.AsyncByteStream, record: _Record) -> None:
        self._body = body
        self._pieces = aiter(body)
        self._record = record

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            piece = await anext(self._pieces)
        except StopAsyncIteration:
            await self._record.ended("whole")
            raise
        except httpx.TransportError as error:
            await self._record.broke(error)
            raise
        self._record.add(piece)
        return piece

    async def aclose(self) -> None:
        try:
            await self._record.ended("left")
        finally:
            await self._body.aclose()


async def _given(
    tape: Reel, found: Interaction, request: httpx.Request
) -> httpx.Response:
    answer = found.answer
    if answer.ending == "dropped":
        raise TapeError(tape.path, f"the answer to {found.request} was not kept: "
                        f"{answer.problem}")  # fmt: skip
    await anyio.lowlevel.checkpoint()
    if answer.status is None:
        raise _error(answer, request)
    return httpx.Response(
        answer.status, headers=answer.headers, stream=_Given(answer, request)
    )


class _Given(httpx.AsyncByteStream):
    """The body of a recorded answer, in the pieces in which it came."""

    def __init__(self, answer: TapedAnswer, request: httpx.Request) -> None:
        self._left = iter(answer.pieces)
        self._answer = answer
        self._request = request
        self._closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await anyio.lowlevel.checkpoint()
        if self._closed:
            raise StopAsyncIteration
        for piece in self._left:
            return piece
        self._closed = True
        if self._answer.ending == "whole":
            raise StopAsyncIteration
        raise _error(self._answer, self._request)

    async def aclose(self) -> None:
        self._closed = True


def _error(answer: TapedAnswer, request: httpx.Request) -> httpx.TransportError:
    if answer.ending == "left":
        return httpx.ReadError("whoever recorded it left here", request=request)
    kind = _ERRORS.get(answer.error, httpx.ReadError)
    return kind(answer.problem, request=request)


def _kinds(base: type[httpx.TransportError]) -> Iterator[type[httpx.TransportError]]:
    yield base
    for one in base.__subclasses__():
        yield from _kinds(one)


_ERRORS = {one.__name__: one for one in _kinds(httpx.TransportError)}


def _unpacked(pieces: list[bytes], packed: str) -> list[bytes] | None:
    """Return what pieces hold, each what it adds; None for what is packed in a way that
    cannot be undone here, or holds too much."""
    made = list(pieces)
    for one in reversed([one.strip().lower() for one in packed.split(",")]):
        if one in ("", "identity"):
            continue
        if one not in _PACKINGS:
            return None
        unpack, left, done = _PACKINGS[one](), MAX_KEPT, []
        try:
            for piece in made:
                done.append(unpack(piece, left + 1))
                left -= len(done[-1])
                if left < 0:
                    return None
        except zlib.error:
            return None
        made = done
    return made


_PACKINGS: Mapping[str, Callable[[], Callable[[bytes, int], Any]]] = {
    "gzip": lambda: zlib.decompressobj(zlib.MAX_WBITS | 16).decompress,
    "x-gzip": lambda: zlib.decompressobj(zlib.MAX_WBITS | 16).decompress,
    "deflate": lambda: zlib.decompressobj(zlib.MAX_WBITS).decompress,
}
