"""Transport: one HTTP client for all routes of a plugin in a Location.

Owns timeouts, and turns whatever goes wrong below into ProviderError. What it sends by
is loaded on the first request: ``exchange``, or httpx (``through``) where there is a
proxy or a tape. Knows nothing of protocols: it sends bytes and hands back bytes.
"""

import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

import anyio
from anyio import to_thread
from attrs import field, frozen
from dovetail.kernel import AnswerLimits, ProviderError, ProviderFault, Redactor, Tap

from .faults import (
    MAX_BODY_CHARS,
    fault_of_answer,
    fault_of_no_stream,
)
from .reading import answers_in, begins_events, is_cut
from .sse import MAX_EVENT_BYTES

if TYPE_CHECKING:
    import ssl

    from .exchange import Address, Answer, Asked, ExchangeError

EVENT_STREAM = "text/event-stream"
WRITE_TIMEOUT = 120.0
"""Seconds in which a part of the request must be taken off our hands."""
GET_TIMEOUT = 10.0
"""Seconds without a byte that are borne where a person waits for a list."""
GET_SECONDS = 60.0
"""Seconds that are borne there, however its bytes come."""
CLOSE_TIMEOUT = 5.0
DRAIN_TIMEOUT = 0.1
"""Seconds in which the end of a finished response must come for its connection to be
kept; a new one costs about as much."""
# UTF-8 has at most four bytes a character; the rest lets a secret at the cut be whole.
_MAX_BODY_BYTES = 4 * MAX_BODY_CHARS + 4096
_MAX_ADDRESSES = 64
_SIGHT = 16
"""Bytes that tell a stream of events from other bodies."""


@frozen
class Target:
    """Where a route sends its requests, prepared once."""

    provider: str
    url: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    redact: Redactor
    connect_timeout: float
    read_timeout: float | None
    limits: AnswerLimits = field(factory=AnswerLimits)
    accept: str = EVENT_STREAM
    """The kind of stream that is asked for."""
    trouble: str | None = None
    """Why no key is shown, where one was looked for in what could not be read."""


class ByteStream(Protocol):
    """The body of an answer, piece by piece."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def __anext__(self) -> bytes: ...

    async def drain(self) -> None:
        """Read what is left, briefly, so that the connection can be used again."""
        ...

    async def aclose(self) -> None:
        """Give the connection back, or close it when more would come; also where the
        caller is cancelled, and no longer than for some seconds. Twice is once."""
        ...


class Sender(Protocol):
    """What requests are sent by."""

    async def ask(self, asked: "Asked") -> "Answer":
        """Send a request, and return its answer once its head is there.

        Raises:
            ExchangeError: there is no connection, or no answer came on it.
        """
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...


class Transport:
    """Sends requests and streams answers. Opens nothing until the first one."""

    def __init__(self, tape: Tap | None = None) -> None:
        self._tape = tape
        self._clients: dict[bool, Sender] = {}
        """One for each answer to whether anything of it may be encrypted. Reading the
        certificates that are trusted takes as long as a dozen requests, and a model on
        this machine needs none; a client without them trusts nobody."""
        self._addresses: dict[str, Address] = {}
        # As a client reads it: once, when it is made.
        self._proxied = _proxied()
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open" if self._clients else "unused"
        return f"<Transport {state}>"

    async def begin(self, target: Target, body: bytes) -> ByteStream:
        """Send one request; return the body of its answer once that began well. It is
        to be closed.

        There is no total timeout, and a limit on silence where the target has one.
        Nothing is repeated and no redirect is followed. Closing before the end closes
        the connection.

        Raises:
            ProviderError: here, and while the body is read.
        """
        answer = await self._asked(
            b"POST",
            target,
            body,
            (target.connect_timeout, target.read_timeout, WRITE_TIMEOUT),
        )
        chunks = _Chunks(answer, target)
        try:
            undivided = await _check(answer, chunks, target)
        except BaseException:
            await chunks.aclose()
            raise
        if undivided is None:
            return chunks
        await chunks.aclose()
        return _Undivided(undivided)

    async def get(self, target: Target) -> bytes:
        """Return the body of what is there; at most ``MAX_EVENT_BYTES`` of it.

        Raises:
            ProviderError: it cannot be had, or not in ``GET_SECONDS``, or is a refusal.
        """
        with anyio.move_on_after(GET_SECONDS):
            return await self._got(target)
        problem = f"it took over {GET_SECONDS:g} seconds"
        raise ProviderError(
            "provider.stream_broken", target.provider, problem, retryable=True
        )

    async def _got(self, target: Target) -> bytes:
        bounds = (GET_TIMEOUT, GET_TIMEOUT, GET_TIMEOUT)
        answer = await self._asked(b"GET", target, b"", bounds)
        chunks = _Chunks(answer, target)
        try:
            body, _ = await _bounded(chunks, MAX_EVENT_BYTES)
            packed = answer.headers.get("content-encoding", "identity")
            if answer.status != 200 or packed != "identity":
                text = body[:_MAX_BODY_BYTES].decode("utf-8", "replace")
                refused = fault_of_answer(
                    target.provider,
                    answer.status,
                    answer.headers,
                    text,
                    target.redact,
                    target.trouble,
                )
                assert isinstance(refused, ProviderError)
                raise refused
            return body
        finally:
            await chunks.aclose()

    async def _asked(
        self,
        method: bytes,
        target: Target,
        body: bytes,
        bounds: tuple[float | None, float | None, float | None],
    ) -> "Answer":
        sender = await self._opened(target)
        from .exchange import Asked, ExchangeError, Limits

        asked = Asked(
            method,
            self._address(target),
            target.headers,
            body,
            Limits(*bounds),
            target.redact,
        )
        try:
            return await sender.ask(asked)
        except ExchangeError as error:
            raise _fault_of(error, target) from error

    async def _opened(self, target: Target) -> Sender:
        encrypted = self._proxied or not target.url.startswith("http://")
        if encrypted not in self._clients:
            # In a thread: importing it and reading certificates takes long enough to
            # hold up every session of the process.
            try:
                made = await to_thread.run_sync(self._made, encrypted)
            except (OSError, ValueError, ImportError, TypeError) as error:
                raise _unusable(error, target) from error
            # Another request may have been quicker; a client without connections holds
            # nothing that had to be closed.
            self._clients.setdefault(encrypted, made)
        if self._closed:
            self._clients.clear()
            raise ProviderError(
                "provider.unreachable", target.provider, "its Location was closed"
            )
        return self._clients[encrypted]

    def _address(self, target: Target) -> "Address":
        """Return where a request goes, taken apart once."""
        found = self._addresses.get(target.url)
        if found is None:
            if len(self._addresses) >= _MAX_ADDRESSES:
                self._addresses.clear()
            found = self._addresses[target.url] = _address_of(target.url)
        return found

    def _made(self, encrypted: bool) -> Sender:
        return _new_sender(encrypted, self._proxied, self._tape)

    async def aclose(self) -> None:
        """Close all connections. Closing twice is harmless."""
        self._closed = True
        while self._clients:
            _, client = self._clients.popitem()
            with anyio.move_on_after(CLOSE_TIMEOUT, shield=True):
                await client.aclose()


def _unusable(error: Exception, target: Target) -> ProviderError:
    """Return what it means that nothing can be sent at all, without the value of a
    variable: the address of a proxy may hold a password."""
    if isinstance(error, ImportError):
        why = "a SOCKS proxy is named, and the package socksio is not installed"
    elif isinstance(error, OSError):
        problem = error.strerror or type(error).__name__
        why = f"the certificates of SSL_CERT_FILE or SSL_CERT_DIR: {problem}"
    else:
        why = "the proxy that the environment names is no address of one"
    problem = f"no connection: {why}"
    return ProviderError("provider.unreachable", target.provider, problem)


def _proxied() -> bool:
    """Return whether the environment names a proxy, as httpx reads it."""
    return any(
        name.lower() in ("http_proxy", "https_proxy", "all_proxy") and os.environ[name]
        for name in os.environ
    ) or sys.platform in ("darwin", "win32")


def _address_of(url: str) -> "Address":
    from .exchange import plain_address

    plain = plain_address(url)
    if plain is not None:
        return plain
    import httpx

    from .through import address_of

    return address_of(httpx.URL(url))


def _new_sender(encrypted: bool, proxied: bool, tape: Tap | None) -> Sender:
    """Return what sends requests.

    A client of httpx's only where it has to tell which proxy a request goes through.
    """
    import ssl

    from .exchange import KEPT_FOR, MOST_KEPT, Exchange

    trusted = _trusting() if encrypted else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not proxied and tape is None:
        return Exchange(trusted)
    import httpx

    from .through import Carried, Proxying, Through

    if not proxied:
        carried: httpx.AsyncBaseTransport = Carried(Exchange(trusted))
    else:
        # No limit on connections: sessions must not wait for each other's model.
        limits = httpx.Limits(
            max_connections=None,
            max_keepalive_connections=MOST_KEPT,
            keepalive_expiry=KEPT_FOR,
        )
        carried = Proxying(httpx.AsyncClient(verify=trusted, limits=limits))
    return Through(carried if tape is None else tape.over(carried))


def _trusting() -> "ssl.SSLContext":
    import httpx

    return httpx.create_ssl_context()


@asynccontextmanager
async def open_transport(tape: Tap | None = None) -> AsyncGenerator[Transport, None]:
    """Give a transport that is closed on leaving. What it sends and is answered is
    recorded on the tape, or played from it."""
    transport = Transport(tape)
    try:
        yield transport
    finally:
        await transport.aclose()


class _Chunks:
    """The bytes of one answer, with errors in our words."""

    def __init__(self, answer: "Answer", target: Target) -> None:
        from .exchange import ExchangeError

        self._answer = answer
        self._broken = ExchangeError
        self._target = target
        self._seen = b""
        """What was looked at, and is yet to be read."""
        self._failed: ProviderError | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._seen:
            seen, self._seen = self._seen, b""
            return seen
        if self._failed is not None:
            failed, self._failed = self._failed, None
            raise failed
        try:
            return await anext(self._answer)
        except self._broken as error:
            raise _fault_of(error, self._target, began=True) from error

    async def look(self) -> bytes:
        """Return the first bytes, if any come; they, and what fails, are read again."""
        seen = b""
        try:
            while len(seen) < _SIGHT:
                seen += await anext(self)
        except StopAsyncIteration:
            pass
        except ProviderError as error:
            self._failed = error
        self._seen = seen
        return seen

    async def drain(self) -> None:
        if self._answer.ended and not self._seen:
            return
        with anyio.move_on_after(DRAIN_TIMEOUT):
            try:
                async for _ in self:
                    pass
            except ProviderError:
                # The answer is complete; only its connection is lost.
                return

    async def aclose(self) -> None:
        if not self._answer.ended:
            with anyio.move_on_after(CLOSE_TIMEOUT, shield=True):
                await self._answer.aclose()


class _Undivided:
    """An answer that came as JSON and not as a stream, as the events it would be."""

    def __init__(self, answers: list[bytes]) -> None:
        self._events = [b"data: %b\n\n" % one for one in reversed(answers)]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._events:
            raise StopAsyncIteration
        return self._events.pop()

    async def drain(self) -> None:
        """Nothing is left: it was read whole."""

    async def aclose(self) -> None:
        """Nothing is held: what it came on was given back."""


async def _check(
    answer: "Answer", chunks: _Chunks, target: Target
) -> list[bytes] | None:
    """Return None when the answer is a stream, or at least does not deny it; or the
    answer itself, from a server that does not stream.

    Raises:
        ProviderError, CallRefusedError: it is no answer.
    """
    headers = answer.headers
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    packed = headers.get("content-encoding", "").strip().lower()
    if packed in ("", "identity"):
        packed = ""
    streamed = kind == target.accept or kind not in _NO_STREAM
    if answer.status == 200 and streamed and not packed:
        return None
    sent = answer.status == 200 and not packed and target.accept == EVENT_STREAM
    if sent and begins_events(await chunks.look()):
        # Some label their streams as what they would send without.
        return None
    answered = answer.status == 200 and kind == "application/json"
    most = MAX_EVENT_BYTES if answered else _MAX_BODY_BYTES
    raw, broken = (b"", None) if packed else await _bounded(chunks, most)
    if answered and (undivided := answers_in(raw)):
        return undivided
    if answered and (broken is not None or (len(raw) < most and is_cut(raw))):
        told = "the stream ended before the answer did"
        raise broken or ProviderError(
            "provider.stream_broken", target.provider, told, retryable=True
        )
    body = raw[:_MAX_BODY_BYTES].decode("utf-8", "replace")
    if answer.status != 200:
        raise fault_of_answer(
            target.provider,
            answer.status,
            headers,
            body,
            target.redact,
            target.trouble,
        )
    raise fault_of_no_stream(
        target.provider, f"packed as {packed}" if packed else kind, body, target.redact
    )


_NO_STREAM = frozenset(
    ("application/json", "application/x-ndjson", "text/html", "application/xml")
)


async def _bounded(chunks: _Chunks, most: int) -> tuple[bytes, ProviderError | None]:
    """Return that much of a body, or what came of it and why it broke off."""
    broken = None
    read = bytearray()
    try:
        async for chunk in chunks:
            read += chunk
            if len(read) >= most:
                break
    except ProviderError as error:
        # A status that is no success says more than the loss of its explanation.
        broken = error
    return bytes(read[:most]), broken


def _untrusted(error: BaseException) -> str | None:
    """Return what is wrong with a certificate, where that is why there is no
    connection; on trio the error itself says nothing."""
    import ssl

    below: BaseException | None = error
    while below is not None:
        if isinstance(below, ssl.SSLCertVerificationError):
            why = below.verify_message
            return f"its certificate is not trusted ({why}); SSL_CERT_FILE names others"
        below = below.__cause__ or below.__context__
    return None


def _fault_of(
    error: "ExchangeError", target: Target, *, began: bool = False
) -> ProviderError:
    """Return what an error of the connection means."""
    from . import exchange

    fault: ProviderFault
    retryable = True
    told = target.redact.masked(str(error)) or type(error).__name__
    if isinstance(error, exchange.ConnectTimeoutError):
        fault, problem = (
            "provider.unreachable",
            f"no connection within {target.connect_timeout:g} seconds",
        )
    elif isinstance(error, exchange.ConnectError):
        told = _untrusted(error) or told
        fault, problem = "provider.unreachable", f"no connection: {told}"
    elif isinstance(error, exchange.ReadTimeoutError):
        fault, problem = (
            "provider.stream_broken",
            f"it was silent for {target.read_timeout:g} seconds",
        )
    elif isinstance(
        error, exchange.LocalProtocolError | exchange.UnsupportedProtocolError
    ):
        fault, problem = "provider.invalid_request", f"it cannot be asked: {told}"
        retryable = False
    elif began:
        fault, problem = "provider.stream_broken", f"the stream broke off: {told}"
    else:
        fault, problem = (
            "provider.stream_broken",
            f"the connection broke before an answer came: {told}",
        )
    return ProviderError(fault, target.provider, problem, retryable=retryable)
