"""HTTP as the web tools speak it: one GET, to an address that was looked at.

Owns the way from a URL to the bytes of one answer. The name is resolved once; every
address that it has must be of the public internet, or the host one that a person named;
and the connection is made to one of these very addresses, so that a name which means
another one a moment later leads nowhere else. The certificate is checked for the name.
Size and time are bounded while the answer comes, packed ones as they are unpacked.

No proxy, no cookie, no netrc and no key is read from anywhere, and no redirect is
followed: whoever asks decides about each. The only module that knows httpcore, which is
loaded with the first request. Knows nothing of tools and permissions.
"""

import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
from anyio import to_thread
from attrs import define, field, frozen

from ._addresses import Address, Hosts, address_of, kind_of
from ._urls import RefusedError, Url

if TYPE_CHECKING:
    import ssl

    import httpcore

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the addresses of a name, as texts."""

CONNECT_SECONDS = 10.0
"""Seconds until the next address of a name is tried."""
CLOSE_SECONDS = 5.0
MAX_ADDRESSES = 16
MAX_PIECES = 65_536
"""Pieces in which a server may send a body: each takes time, however small it is."""
_SLACK = 65_536
_TURN = 64
"""Pieces after which others have their turn."""
USER_AGENT = "dovetail (a tool of an AI agent, for a person)"


@frozen
class Head:
    """What comes before the body of an answer."""

    status: int
    headers: Mapping[str, str]
    """By their names in lower case; of several of one name the first."""

    @property
    def media_type(self) -> str:
        """The type of the body, in lower case and without parameters; may be empty."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@frozen
class Answer:
    """One answer, as far as it was wanted."""

    head: Head
    body: bytes = field(repr=False)
    cut: bool
    """There is more than was wanted."""


Wanted = Callable[[Head], int]
"""Says how many bytes of a body are wanted, of 0 or more, or raises."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses that the system knows of a name."""
    import socket

    found = await to_thread.run_sync(
        partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM),
        # It cannot be ended, and nobody else is to wait for one that takes long.
        abandon_on_cancel=True,
        limiter=anyio.CapacityLimiter(1),
    )
    return [str(one[4][0]) for one in found]


def trusted(environment: Mapping[str, str]) -> "ssl.SSLContext":
    """Return whose certificates are trusted: what ``SSL_CERT_FILE`` and
    ``SSL_CERT_DIR`` name, as for providers, or the usual authorities."""
    file, folder = environment.get("SSL_CERT_FILE"), environment.get("SSL_CERT_DIR")
    if file or folder:
        import ssl

        return ssl.create_default_context(cafile=file or None, capath=folder or None)
    import httpcore

    return httpcore.default_ssl_context()


class Web:
    """Gets what is at a URL. One for a Location's tools; holds no connection."""

    def __init__(
        self,
        trust: "Callable[[], ssl.SSLContext]",
        private: Hosts,
        resolve: Resolve = resolve,
    ) -> None:
        self._trust = trust
        self._private = private
        self._resolve = resolve
        self._context: ssl.SSLContext | None = None

    def check(self, url: Url) -> None:
        """Refuse what can be told of a URL before anything is touched.

        Raises:
            RefusedError: its host is an address that is not of the public internet.
        """
        if url.address is not None:
            self._check(url, url.address)
        elif url.host == "localhost" or url.host.endswith(".localhost"):
            self._check(url, address_of("127.0.0.1"))

    async def get(
        self,
        url: Url,
        wanted: Wanted,
        *,
        seconds: float,
        headers: Iterable[tuple[str, str]] = (),
    ) -> Answer:
        """Return one answer, redirects and failures included.

        Raises:
            RefusedError: there is none, or not in this time, or it may not be got.
        """
        came = _Came()
        with anyio.move_on_after(seconds):
            addresses = await self._addresses(url)
            context = await self._secured() if url.scheme == "https" else None
            # In a thread: it takes long enough to hold up every session.
            await to_thread.run_sync(_load)
            return await _get(url, addresses, context, tuple(headers), wanted, came)
        raise RefusedError(f"the time was over {came.so_far()}")

    def _check(self, url: Url, address: Address) -> None:
        kind, word = kind_of(address)
        if kind == "public":
            return
        named = self._private.holds(url.host, url.port)
        if kind == "private" and named:
            return
        text = f"its host is a {word} address, which is not of the public internet"
        if kind == "private":
            # The model can pass this on; it cannot do it.
            text += (
                f"; a person can open it: {url.authority!r} among private_hosts of "
                "[plugins.tools] in their own configuration"
            )
        raise RefusedError(text)

    async def _addresses(self, url: Url) -> list[str]:
        if url.address is not None:
            self._check(url, url.address)
            return [str(url.address)]
        try:
            found = await self._resolve(url.host, url.port)
        except (OSError, UnicodeError) as error:
            raise RefusedError("its host has no address, or is not known") from error
        addresses = [address_of(one) for one in dict.fromkeys(found)]
        if not addresses:
            raise RefusedError("its host has no address")
        for one in addresses:
            # One is enough: which of them is used would be decided by others.
            self._check(url, one)
        return [str(one) for one in addresses[:MAX_ADDRESSES]]

    async def _secured(self) -> "ssl.SSLContext":
        if self._context is None:
            # Reading certificates takes long enough to hold up other sessions.
            try:
                self._context = await to_thread.run_sync(self._trust)
            except OSError as error:
                raise RefusedError("the trusted certificates cannot be read") from error
        return self._context


def _load() -> None:
    import httpcore  # noqa: F401


@define
class _Came:
    """How far a request got, for whoever gave up waiting."""

    head: bool = False
    size: int = 0

    def so_far(self) -> str:
        if self.size:
            return f"when {self.size:,} bytes had come"
        return "when the content had not come" if self.head else "before an answer came"


async def _get(
    url: Url,
    addresses: Sequence[str],
    context: "ssl.SSLContext | None",
    headers: tuple[tuple[str, str], ...],
    wanted: Wanted,
    came: _Came,
) -> Answer:
    import httpcore

    opened: list[httpcore.AsyncNetworkStream] = []
    connection = httpcore.AsyncHTTPConnection(
        httpcore.Origin(url.scheme.encode(), url.host.encode(), url.port),
        ssl_context=context,
        network_backend=_backend(addresses, opened),
    )
    request = httpcore.Request(
        "GET",
        httpcore.URL(
            scheme=url.scheme, host=url.host, port=url.port, target=url.target
        ),
        headers=[
            ("Host", url.authority),
            ("User-Agent", USER_AGENT),
            ("Accept-Encoding", "gzip, deflate"),
            ("Connection", "close"),
            *headers,
        ],
    )
    pieces: Any = None
    try:
        response = await connection.handle_async_request(request)
        came.head = True
        head = _head(response)
        most = wanted(head)
        pieces = aiter(response.stream)  # type: ignore[arg-type]
        return Answer(head, *await _body(pieces, head, most, came))
    except httpcore.TimeoutException as error:
        raise RefusedError("none of its addresses answers") from error
    except (httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise RefusedError(_cause_text(error, url, came)) from error
    finally:
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            await connection.aclose()
            # A connection that was cancelled while it was being secured forgets these.
            for stream in opened:
                await stream.aclose()
            if pieces is not None:
                # Below are generators within generators, each of which must end:
                # reading on from what is closed ends them all, from the inside out.
                with suppress(httpcore.NetworkError, httpcore.ProtocolError):
                    async for _ in pieces:
                        pass


def _head(response: "httpcore.Response") -> Head:
    headers: dict[str, str] = {}
    for name, value in response.headers:
        headers.setdefault(name.decode("ascii").lower(), _text(value))
    return Head(response.status, headers)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _cause_text(error: Exception, url: Url, came: _Came) -> str:
    """Return what went wrong below, without anything that a server wrote."""
    import ssl

    import httpcore

    cause = error.__cause__ or error.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        why = cause.verify_message.rstrip(".")
        return f"its certificate is not valid for {url.host}: {why}"
    if isinstance(cause, ssl.SSLError):
        return "no secure connection can be made to it"
    if isinstance(error, httpcore.ConnectError):
        return "no connection can be made to it"
    if isinstance(error, httpcore.ProtocolError):
        return f"it does not speak HTTP as it should, {came.so_far()}"
    return f"the connection broke {came.so_far()}"


# --- the connection ---------------------------------------------------------------


def _backend(
    addresses: Sequence[str], opened: "list[httpcore.AsyncNetworkStream]"
) -> "httpcore.AsyncNetworkBackend":
    """Return what connects to one of these addresses, whatever it is asked for, and
    notes what it opened."""
    import httpcore

    class Pinned(httpcore.AsyncNetworkBackend):
        def __init__(self) -> None:
            self._below = httpcore.AnyIOBackend()

        async def connect_tcp(
            self,
            host: str,
            port: int,
            timeout: float | None = None,
            local_address: str | None = None,
            socket_options: Iterable[Any] | None = None,
        ) -> httpcore.AsyncNetworkStream:
            for address in addresses[:-1]:
                with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                    return await self._connect(address, port, CONNECT_SECONDS)
            return await self._connect(addresses[-1], port, None)

        async def _connect(
            self, address: str, port: int, seconds: float | None
        ) -> httpcore.AsyncNetworkStream:
            stream = await self._below.connect_tcp(address, port, timeout=seconds)
            opened.append(stream)
            return stream

        async def connect_unix_socket(
            self,
            path: str,
            timeout: float | None = None,
            socket_options: Iterable[Any] | None = None,
        ) -> httpcore.AsyncNetworkStream:
            raise httpcore.ConnectError("only addresses of the internet are reached")

        async def sleep(self, seconds: float) -> None:
            await anyio.sleep(seconds)

    return Pinned()


# --- the body ---------------------------------------------------------------------


async def _body(pieces: Any, head: Head, most: int, came: _Came) -> tuple[bytes, bool]:
    """Return that much of a body, and whether there is more."""
    if not most:
        return b"", True
    unpack = _Unpacking(head.headers.get("content-encoding", ""))
    body = bytearray()
    count = packed = 0
    async for piece in pieces:
        count += 1
        packed += len(piece)
        if packed > 2 * most + _SLACK:
            # Packing makes nothing larger but what is made to keep one waiting.
            raise RefusedError("its content is larger packed than unpacked")
        if count % _TURN == 0:
            # What came at once is handed over without waiting for anything.
            await anyio.lowlevel.checkpoint()
        if count > MAX_PIECES:
            raise RefusedError("it sends its content in too many pieces")
        # One more than is wanted tells that there is more.
        body += unpack.feed(piece, most + 1 - len(body))
        came.size = len(body)
        if len(body) > most:
            return bytes(body[:most]), True
    unpack.check_end()
    return bytes(body), False


class _Unpacking:
    """Undoes gzip or deflate, and makes no more of it than is wanted."""

    def __init__(self, coding: str) -> None:
        self._coding = coding.strip().lower()
        if self._coding in ("", "identity"):
            self._stream: Any = None
        elif self._coding in ("gzip", "x-gzip"):
            self._stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
        elif self._coding == "deflate":
            self._stream = zlib.decompressobj()
        else:
            raise RefusedError("its content is packed in a way that was not asked for")
        self._begun = False

    def feed(self, data: bytes, most: int) -> bytes:
        """Return at most that many bytes of what this piece holds."""
        if self._stream is None:
            return data[:most]
        try:
            return self._unpacked(data, most)
        except zlib.error as error:
            raise RefusedError("its content is packed and damaged") from error

    def check_end(self) -> None:
        """Refuse what ends before it is complete."""
        if self._begun and not self._stream.eof:
            raise RefusedError("its content is packed and breaks off")

    def _unpacked(self, data: bytes, most: int) -> bytes:
        out = bytearray()
        while data and len(out) < most:
            if self._stream.eof:
                if self._coding == "deflate":
                    break
                # A packed file may be followed by another one, which goes on.
                self._stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
            try:
                out += self._stream.decompress(data, most - len(out))
            except zlib.error:
                if self._begun or self._coding != "deflate":
                    raise
                # Many servers leave out the frame that the standard asks for.
                self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
                out += self._stream.decompress(data, most - len(out))
            self._begun = True
            data = self._stream.unused_data if self._stream.eof else b""
        return bytes(out)
