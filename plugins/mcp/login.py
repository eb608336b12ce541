"""Login: a person lets us in at a server, in a browser.

Owns the address on this machine that the browser comes back to, and what is kept of a
login. The steps themselves (discovery, registration, PKCE) are the protocol package's.
Where no browser can reach this machine, the address that it ended at is typed in.
"""

import time
import webbrowser
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import anyio
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

from .http import client_of
from .settings import Server
from .tokens import TokenFile, Tokens

PATH = "/callback"
SECONDS = 600.0
PAGE = b"Done. You may close this window and go back to the terminal."


class _Kept(TokenStorage):
    """What a login gives, until it is kept as a whole."""

    def __init__(self, client_id: str | None, redirect: str) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None
        if client_id is not None:
            self.client = OAuthClientInformationFull.model_validate(
                {
                    "client_id": client_id,
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


async def log_in(
    server: Server,
    tell: Callable[[str], None],
    read: Callable[[], str] | None = None,
    *,
    browser: bool = True,
    file: TokenFile | None = None,
) -> bool:
    """Log in at a server, and keep what that gives. Returns False where it lets
    everybody in.

    ``tell`` shows the address to open. ``read`` asks for the address that the browser
    ended at, where it cannot come back here by itself; then nothing is listened at.
    """
    assert server.url is not None
    async with await anyio.create_tcp_listener(
        local_host="127.0.0.1", local_port=0
    ) as listener:
        port = listener.extra(SocketAttribute.local_port)
        redirect = f"http://127.0.0.1:{port}{PATH}"
        kept = _Kept(server.client_id, redirect)

        async def show(url: str) -> None:
            if urlsplit(url).scheme not in ("https", "http"):
                raise ValueError("the server's login is at no web address")
            tell(url)
            if browser:
                await to_thread.run_sync(webbrowser.open, url)

        async def come_back() -> AuthorizationCodeResult:
            if read is not None:
                text = await to_thread.run_sync(read, abandon_on_cancel=True)
                return _result(text)
            with anyio.fail_after(SECONDS):
                return await _answer(listener)

        provider = OAuthClientProvider(
            server.url,
            OAuthClientMetadata.model_validate(
                {
                    "client_name": "dovetail",
                    "redirect_uris": [redirect],
                    "grant_types": ["authorization_code", "refresh_token"],
                    "response_types": ["code"],
                    "token_endpoint_auth_method": "none",
                }
            ),
            kept,
            show,
            come_back,
        )
        async with (
            client_of(server, provider) as client,
            streamable_http_client(server.url, http_client=client) as streams,
            ClientSession(*streams) as session,
        ):
            await session.initialize()
    given = kept.tokens
    if given is None:
        return False
    known = provider.context.oauth_metadata
    endpoint = None if known is None else str(known.token_endpoint)
    made = Tokens(
        given.access_token,
        given.refresh_token,
        None if given.expires_in is None else time.time() + given.expires_in,
        endpoint,
        None if kept.client is None else kept.client.client_id,
        None if kept.client is None else kept.client.client_secret,
        provider.context.get_resource_url(),
    )
    await to_thread.run_sync((file or TokenFile(server.name, server.url)).write, made)
    return True


def _result(url: str) -> AuthorizationCodeResult:
    said = {name: each[0] for name, each in parse_qs(urlsplit(url).query).items()}
    return AuthorizationCodeResult(
        code=said.get("code", ""), state=said.get("state"), iss=said.get("iss")
    )


async def _answer(
    listener: anyio.abc.Listener[SocketStream],
) -> AuthorizationCodeResult:
    """Return what the browser brings: the first request that has what is wanted."""
    found: list[AuthorizationCodeResult] = []

    async with anyio.create_task_group() as tasks:

        async def heard(stream: SocketStream) -> None:
            async with stream:
                head = b""
                with anyio.move_on_after(15):
                    while b"\r\n\r\n" not in head and len(head) < 65_536:
                        head += await stream.receive()
                target = head.split(b" ", 2)[1:2]
                path = target[0].decode("ascii", "replace") if target else ""
                ours = urlsplit(path).path == PATH
                status = b"200 OK" if ours else b"404 Not Found"
                body = PAGE if ours else b""
                await stream.send(
                    b"HTTP/1.1 %b\r\nContent-Type: text/plain\r\nConnection: close\r\n"
                    b"Content-Length: %d\r\n\r\n%b" % (status, len(body), body)
                )
                if ours:
                    found.append(_result(path))
                    tasks.cancel_scope.cancel()

        tasks.start_soon(listener.serve, heard)
    return found[0] if found else _result("")
