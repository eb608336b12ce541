"""Login: a person lets us in at a server, in a browser.

Owns the address on this machine that the browser comes back to, and what is kept of a
login. The steps themselves (discovery, registration, PKCE) are the protocol package's.
Where no browser can reach this machine, the address that it ended at is typed in, or
the login is one by a code (``device``).
"""

import time
import webbrowser
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx2
from anyio import to_thread
from anyio.abc import SocketAttribute, SocketStream
from mcp import ClientSession
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider, TokenStorage
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import (
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthToken,
)

from .http import client_of, plain_client
from .names import one_line
from .settings import Server
from .tokens import TokenFile, Tokens, both_scopes, ending, here, private

PATH = "/callback"
SECONDS = 600.0
"""How long a person may take."""
DONE = b"Done. You may close this window and go back to the terminal."
DENIED = b"You were not let in. The terminal says why."


class LoginError(Exception):
    """A login failed; the text says why."""


class _Kept(TokenStorage):
    """What a login gives, until it is kept as a whole."""

    def __init__(self, server: Server, redirect: str) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None
        if server.client_id is not None:
            self.client = OAuthClientInformationFull.model_validate(
                {
                    "client_id": server.client_id,
                    "client_secret": server.client_secret,
                    "redirect_uris": [redirect],
                    "token_endpoint_auth_method": "none",
                }
            )

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


class _Wanted(OAuthClientMetadata):
    """What we say of ourselves. Scopes that are set are added to those that there are:
    a login that is asked for because of one thing stays good for the others."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "scope":
            value = both_scopes(self.scope, value)
        super().__setattr__(name, value)


def method_of(server: Server, offered: Sequence[str] | None) -> str:
    """Return how a client shows its secret, of what a login says that it takes.
    One that says nothing takes the first (RFC 8414, section 2)."""
    if server.client_secret is None:
        return "none"
    basic, post = "client_secret_basic", "client_secret_post"
    return post if offered and post in offered and basic not in offered else basic


def careful(server_url: str) -> Callable[[httpx2.Request], Awaitable[None]]:
    """Return what looks at each request of a login before it is sent: a server says
    where the next one goes, and it goes nowhere without TLS. To this machine it goes
    only where the server itself is on it."""

    async def look(request: httpx2.Request) -> None:
        url = str(request.url)
        if not private(url) or (here(url) and not here(server_url)):
            place = f"{request.url.scheme}://{request.url.netloc.decode()}"
            raise LoginError(f"{one_line(place)} is no place for a login: it needs TLS")

    return look


async def log_in(
    server: Server,
    tell: Callable[[str], None],
    read: Callable[[], str] | None = None,
    *,
    browser: bool = True,
    file: TokenFile | None = None,
    seconds: float = SECONDS,
) -> bool:
    """Log in at a server, and keep what that gives. Returns False where it lets
    everybody in.

    It is asked for what a login of before is for, and for what the server wanted since
    then, besides what it wants now. ``tell`` shows the address to open. ``read`` asks
    for the address that the browser ended at, where it cannot come back here by itself;
    then nothing is listened at.

    Raises:
        LoginError: the person or the server does not let us in, or too late.
        OAuthFlowError: the server does not do what it must.
    """
    assert server.url is not None
    file = file or TokenFile(server.name, server.url)
    before = await to_thread.run_sync(file.read)
    async with await anyio.create_tcp_listener(
        local_host="127.0.0.1", local_port=0
    ) as listener:
        port = listener.extra(SocketAttribute.local_port)
        redirect = f"http://127.0.0.1:{port}{PATH}"
        kept = _Kept(server, redirect)
        state: list[str] = []

        async def show(url: str) -> None:
            if not private(url) or (here(url) and not here(server.url or "")):
                raise LoginError("the server's login is at no address with TLS")
            if server.client_id is not None and kept.client is not None:
                # What the login takes is known from here on, and not used before.
                found = provider.context.oauth_metadata
                takes = found.token_endpoint_auth_methods_supported if found else None
                method = method_of(server, takes)
                kept.client = kept.client.model_copy(
                    update={"token_endpoint_auth_method": method}
                )
                provider.context.client_info = kept.client
            state.append(_query(url).get("state", ""))
            tell(url)
            if browser:
                await to_thread.run_sync(webbrowser.open, url)

        async def come_back() -> AuthorizationCodeResult:
            with anyio.move_on_after(seconds):
                if read is None:
                    said = await _answer(listener, state[-1])
                else:
                    text = await to_thread.run_sync(read, abandon_on_cancel=True)
                    said = _query(text)
                return _result(said, state[-1])
            raise LoginError(f"nobody came back in {seconds:g} s")

        provider = OAuthClientProvider(
            server.url,
            _Wanted.model_validate(
                {
                    "client_name": "dovetail",
                    "redirect_uris": [redirect],
                    "grant_types": ["authorization_code", "refresh_token"],
                    "response_types": ["code"],
                    "token_endpoint_auth_method": "none",
                    "scope": None if before is None else before.wanted(),
                }
            ),
            kept,
            show,
            come_back,
        )
        async with client_of(server, provider) as client:
            client.event_hooks["request"].append(careful(server.url))
            await begin_session(server.url, client)
    given = kept.tokens
    if given is None:
        return False
    known = provider.context.oauth_metadata
    made = Tokens(
        given.access_token,
        given.refresh_token,
        ending(given.expires_in),
        None if known is None else str(known.token_endpoint),
        None if kept.client is None else kept.client.client_id,
        None if kept.client is None else kept.client.client_secret,
        provider.context.get_resource_url(),
        None if kept.client is None else kept.client.token_endpoint_auth_method,
        None
        if known is None or known.revocation_endpoint is None
        else str(known.revocation_endpoint),
        time.time(),
        given.scope,
    )
    await to_thread.run_sync(file.write, made)
    return True


async def give_back(file: TokenFile) -> bool:
    """Forget a login, and say so where it was given (RFC 7009); whoever cannot be
    reached now forgets it by itself later. Returns whether there was one."""
    kept = await to_thread.run_sync(file.remove)
    request = None if kept is None else kept.giving_back()
    if request is not None and private(str(request.url)):
        with suppress(httpx2.HTTPError):
            async with plain_client() as client:
                await client.send(request)
    return kept is not None


async def begin_session(url: str, client: httpx2.AsyncClient) -> None:
    """Begin a session at a server, and end it."""
    async with (
        streamable_http_client(url, http_client=client) as streams,
        ClientSession(*streams) as session,
    ):
        await session.initialize()


def _query(url: str) -> dict[str, str]:
    return {name: each[0] for name, each in parse_qs(urlsplit(url).query).items()}


def _result(said: dict[str, str], state: str) -> AuthorizationCodeResult:
    if said.get("state") != state:
        raise LoginError("that address is not what this login ended at")
    if "error" in said:
        why = one_line(said["error"], 100)
        about = one_line(said.get("error_description", ""), 300)
        raise LoginError(f"it says {why}" + (f": {about}" if about else ""))
    if "code" not in said:
        raise LoginError("that address has no code in it")
    return AuthorizationCodeResult(
        code=said["code"], state=said["state"], iss=said.get("iss")
    )


async def _answer(
    listener: anyio.abc.Listener[SocketStream], state: str
) -> dict[str, str]:
    """Return what the browser brings: the first request that is of this login. Whatever
    else opens the address, such as another page, is sent away."""
    found: list[dict[str, str]] = []

    async with anyio.create_task_group() as tasks:

        async def heard(stream: SocketStream) -> None:
            async with stream:
                try:
                    said = await one(stream)
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    return
            if said is not None:
                found.append(said)
                tasks.cancel_scope.cancel()

        async def one(stream: SocketStream) -> dict[str, str] | None:
            head = b""
            with anyio.move_on_after(15):
                while b"\r\n\r\n" not in head and len(head) < 65_536:
                    head += await stream.receive()
            target = head.split(b" ", 2)[1:2]
            path = target[0].decode("ascii", "replace") if target else ""
            try:
                said = _query(path) if urlsplit(path).path == PATH else {}
            except ValueError:
                said = {}
            ours = said.get("state") == state
            status = b"200 OK" if ours else b"404 Not Found"
            body = b"" if not ours else DENIED if "error" in said else DONE
            await stream.send(
                b"HTTP/1.1 %b\r\nContent-Type: text/plain\r\nConnection: close\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (status, len(body), body)
            )
            return said if ours else None

        tasks.start_soon(listener.serve, heard)
    return found[0]
