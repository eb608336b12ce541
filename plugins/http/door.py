"""The door: who may come in, by which name, from which page, and with how much.

Owns what is checked of a request before anything of it is read, and that what breaks
behind the door is told as an error of ours. Knows no route.

A page of the web may not reach a server on its visitor's machine. Three things keep it
out, each by itself: ``Host`` must be an address or a name that was allowed, so that a
name of the attacker's that leads here is refused (DNS rebinding); ``Origin`` must be
this server or one that was allowed; and where a token is set, no page can know it.
"""

import base64
import binascii
import hashlib
import hmac
import ipaddress
import re
from collections.abc import (
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
)
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import anyio
import orjson
from attrs import field, frozen
from dovetail.kernel import InvalidValueError, sanitised

from .problems import (
    Refusal,
    answer_to,
    busy,
    closing,
    headers_too_large,
    malformed,
    too_large,
)
from .waiting import BOUND, Bound

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_HEADERS = 32 * 1024
"""Bytes of all headers of a request."""
MAX_TARGET = 8 * 1024
"""Bytes of a path and its query."""
SEND_SECONDS = 60.0
"""Seconds for which a reader may take nothing before it is given up."""
MAX_WORKING = 512
"""Requests that are worked on at once, streams among them."""
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?\Z")

# What every answer carries: nothing of it is anything to run, to frame or to keep.
SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
CLOSED_POLICY = (
    b"content-security-policy",
    b"default-src 'none'; frame-ancestors 'none'; sandbox",
)
_ALL = (*SECURITY, CLOSED_POLICY, (b"cache-control", b"no-store"))
_OURS = frozenset(name for name, _ in _ALL)


def _names(names: Iterable[str]) -> frozenset[str]:
    found = frozenset(name.lower().rstrip(".") for name in names)
    for name in found:
        if name != "*" and not _NAME.match(name):
            raise InvalidValueError("host", name, "a name without a port, or *")
    return found


def _origins(origins: Iterable[str]) -> frozenset[str]:
    found = frozenset(origin.lower().rstrip("/") for origin in origins)
    for origin in found:
        if not re.match(r"https?://[^/@?#\s]+\Z", origin):
            raise InvalidValueError(
                "origin", origin, "such as https://example.org, without a path"
            )
    return found


def _token(token: str | None) -> bytes | None:
    if token is None:
        return None
    if not token.isascii() or not token.isprintable() or len(token) < 16:
        # Not shown: it is a secret.
        raise InvalidValueError(
            "token", "", "16 characters at least, printable ASCII; nobody guesses it"
        )
    return token.encode()


@frozen
class Admittance:
    """Who may come in."""

    token: bytes | None = field(default=None, converter=_token, repr=False)
    """What must be shown, as a bearer token or as a password; None: nothing."""
    hosts: frozenset[str] = field(default=(), converter=_names)
    """Names that the server may be called by, besides ``localhost`` and addresses;
    ``*`` for any: then somebody in front of it checks that."""
    origins: frozenset[str] = field(default=(), converter=_origins)
    """Origins of other pages that may use it from a browser."""

    def check(self, scope: Scope) -> None:
        """Let a request in.

        Raises:
            Refusal: it may not come in, and why.
        """
        headers = _headers(scope)
        host = self._check_host(headers)
        self._check_origin(scope, headers, host)
        if self.token is not None and not _asks_first(scope, headers):
            self._check_token(headers.get(b"authorization"))

    def _check_host(self, headers: Mapping[bytes, bytes]) -> str:
        host = headers.get(b"host", b"").decode("latin-1").lower()
        name = _name_of(host)
        known = name == "localhost" or _is_address(name) or name in self.hosts
        if not name or not (known or "*" in self.hosts):
            raise _forbidden(
                f"the server is not called {name[:80]!r}; allow the name first"
            )
        return host

    def _check_origin(
        self, scope: Scope, headers: Mapping[bytes, bytes], host: str
    ) -> None:
        origin = headers.get(b"origin")
        if origin is not None:
            said = origin.decode("latin-1").lower()
            own = said in (f"http://{host}", f"https://{host}")
            if not own and said not in self.origins:
                raise _forbidden(f"pages of {said[:80]!r} may not use this server")
            return
        site = headers.get(b"sec-fetch-site")
        if site in (None, b"same-origin", b"none"):
            return
        # A picture or a script of another page sends no origin. Following a link to
        # the page itself is what links are for.
        opened = headers.get(b"sec-fetch-mode") == b"navigate"
        if not (opened and scope["method"] == "GET" and scope["path"] == "/"):
            raise _forbidden("other pages may not use this server")

    def _check_token(self, given: bytes | None) -> None:
        assert self.token is not None
        shown = _shown(given)
        # Digests, so that not even the length is told by how long it takes.
        same = hmac.compare_digest(
            hashlib.sha256(shown or b"").digest(), hashlib.sha256(self.token).digest()
        )
        if shown is None or not same:
            raise Refusal(
                401,
                "server.unauthorized",
                "show the token: as a bearer token, or as a password of any user",
                tag="UnauthorizedError",
                headers={
                    "WWW-Authenticate": 'Basic realm="dovetail", charset="UTF-8"',
                },
            )


def _headers(scope: Scope) -> dict[bytes, bytes]:
    """Return the headers that count here; one that stands twice is refused."""
    found: dict[bytes, bytes] = {}
    single = (b"host", b"origin", b"authorization", b"content-length", b"content-type")
    for name, value in scope["headers"]:
        name = bytes(name).lower()
        if name in found and name in single:
            raise malformed(f"the header {name.decode('latin-1')} stands twice")
        found[name] = bytes(value)
    if b"transfer-encoding" in found and b"content-length" in found:
        # Whoever stands in front may count on the other one of the two.
        raise malformed("a body has a length or comes in chunks, not both")
    return found


def _asks_first(scope: Scope, headers: Mapping[bytes, bytes]) -> bool:
    """Whether a browser asks what it may ask: it shows no token with that."""
    asks = b"access-control-request-method" in headers and b"origin" in headers
    return scope["method"] == "OPTIONS" and asks


def _shown(given: bytes | None) -> bytes | None:
    """Return the secret of an Authorization header, or None where there is none."""
    scheme, _, rest = (given or b"").strip().partition(b" ")
    if scheme.lower() == b"bearer":
        return rest.strip()
    if scheme.lower() == b"basic":
        try:
            pair = base64.b64decode(rest.strip(), validate=True)
        except (binascii.Error, ValueError):
            return None
        return pair.partition(b":")[2]
    return None


# Nearly all of what asks calls the server by the same name.
@lru_cache(maxsize=32)
def _name_of(host: str) -> str:
    """Return the name of ``name``, ``name:port`` or ``[address]:port``; empty for
    anything else."""
    found = re.match(r"(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::[0-9]{1,5})?\Z", host)
    return found[1].strip("[]").rstrip(".") if found else ""


@lru_cache(maxsize=32)
def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _forbidden(message: str) -> Refusal:
    return Refusal(403, "server.forbidden", message, tag="ForbiddenError")


class BrokenOffError(Exception):
    """Half an answer was sent, and nothing more of it comes. Why was told already."""


class ReaderGoneError(BrokenOffError):
    """Whoever asked takes nothing of the answer."""

    def __init__(self) -> None:
        super().__init__(f"the reader took nothing for {SEND_SECONDS:g} s")


def _to_be_taken() -> float:
    """Return until when something that is sent now must have been taken."""
    return anyio.current_time() + SEND_SECONDS


class Door:
    """An ASGI application in front of another one."""

    def __init__(self, inner: Application, admittance: Admittance) -> None:
        self._inner = inner
        self._admittance = admittance
        self._working = 0
        self._waiting: set[anyio.CancelScope] = set()
        self.closing = anyio.Event()
        """Set when no new request is taken, and streams are to end."""

    def close(self) -> None:
        """Take no new requests, and end the waiting of those who wait for something."""
        self.closing.set()
        for scope in tuple(self._waiting):
            scope.cancel()

    @contextmanager
    def waiting(self, scope: anyio.CancelScope) -> Iterator[None]:
        """Say that a scope waits for something that may take for ever: it is cancelled
        when the door closes."""
        self._waiting.add(scope)
        if self.closing.is_set():
            scope.cancel()
        try:
            yield
        finally:
            self._waiting.discard(scope)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        late: Exception | None = None
        while True:
            with anyio.CancelScope() as limit:
                bound = Bound(limit)
                await self._answered(scope, receive, send, bound, late)
            if not limit.cancelled_caught:
                return
            # It held a place for as long as it was waited for.
            late = bound.late
            if not isinstance(late, Refusal):
                assert late is not None
                raise late

    async def _answered(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        bound: Bound,
        late: Exception | None,
    ) -> None:
        """Answer a request, or tell that it came too late."""
        began = False

        async def sending(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                message = {**message, "headers": self._dressed(scope, message)}
            await bound.within(send(message), _to_be_taken, ReaderGoneError)

        self._working += 1
        try:
            if late is not None:
                raise late
            self._check(scope)
            if not await self._preflight(scope, sending):
                await self._inner({**scope, BOUND: bound}, receive, sending)
        except Exception as error:
            # Boundary: whatever breaks in a request ends that request only.
            status, headers, body = answer_to(error)
            if began:
                # Half an answer cannot become another one; the connection ends.
                raise BrokenOffError(str(body["message"])) from error
            await answer(sending, status, body, headers)
        finally:
            self._working -= 1

    def _check(self, scope: Scope) -> None:
        size = sum([len(name) + len(value) for name, value in scope["headers"]])
        if size > MAX_HEADERS:
            raise headers_too_large(MAX_HEADERS)
        target = len(scope.get("raw_path") or b"") + len(scope["query_string"])
        if target > MAX_TARGET:
            raise too_large("the address", MAX_TARGET)
        self._admittance.check(scope)
        if self.closing.is_set():
            raise closing()
        if self._working > MAX_WORKING:
            raise busy(f"{MAX_WORKING} requests are worked on already")

    async def _preflight(self, scope: Scope, send: Send) -> bool:
        """Answer a browser that asks whether a page of another origin may ask."""
        if scope["method"] != "OPTIONS" or not _asks_first(scope, _headers(scope)):
            return False
        allowed = {
            "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE",
            "Access-Control-Allow-Headers": "authorization, content-type, "
            "idempotency-key, last-event-id, x-opencode-directory",
            "Access-Control-Max-Age": "600",
        }
        await answer(send, 204, None, allowed)
        return True

    def _dressed(self, scope: Scope, message: Message) -> list[tuple[bytes, bytes]]:
        headers = [(bytes(name), bytes(value)) for name, value in message["headers"]]
        said = _OURS.intersection([name.lower() for name, _ in headers])
        headers += [one for one in _ALL if one[0] not in said] if said else _ALL
        if self._admittance.origins:
            headers.append((b"vary", b"Origin"))
            for name, value in scope["headers"]:
                if bytes(name).lower() == b"origin":
                    known = value.decode("latin-1").lower() in self._admittance.origins
                    if known:
                        headers.append((b"access-control-allow-origin", value))
        return headers


async def _lifespan(receive: Receive, send: Send) -> None:
    """Answer a server that begins and ends: the runtime is its owner's to close."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def answer(
    send: Send, status: int, body: Any, headers: Mapping[str, str] | None = None
) -> None:
    """Send a whole answer: JSON, or nothing at all."""
    data = b"" if body is None else encoded(body)
    fields = {"Content-Length": str(len(data)), **(headers or {})}
    if status == 204:
        del fields["Content-Length"]
    elif body is not None:
        fields["Content-Type"] = "application/json"
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (name.lower().encode("latin-1"), value.encode("latin-1"))
                for name, value in fields.items()
            ],
        }
    )
    await send({"type": "http.response.body", "body": data, "more_body": False})


def encoded(value: Any) -> bytes:
    """Return data as JSON; what JSON cannot hold is replaced in it."""
    try:
        return orjson.dumps(value)
    except TypeError:
        # Half of a surrogate pair, as a model wrote it, or an integer of many digits.
        return orjson.dumps(sanitised(value))
