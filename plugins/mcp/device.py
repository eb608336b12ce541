"""Device: a person lets us in at a server by a code, in a browser anywhere.

Owns the device authorization grant (RFC 8628): where it is asked for (RFC 9728, RFC
8414), as whom (RFC 7591), what the person is told, and the asking again until there is
an answer. Knows no redirect; ``login`` does.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import httpx2
import mcp_types as types
from anyio import to_thread
from attrs import evolve, frozen
from mcp.client.auth import utils
from mcp.shared.auth import OAuthMetadata, ProtectedResourceMetadata
from mcp.shared.auth_utils import check_resource_allowed, resource_url_from_server_url

from .http import client_of, plain_client
from .login import SECONDS, LoginError, careful, method_of
from .names import one_line
from .settings import Server
from .tokens import (
    TokenFile,
    Tokens,
    asking,
    both_scopes,
    ending,
    here,
    json_of,
    private,
)

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
INTERVAL = 5.0
"""Seconds between two questions, and by how many more where they are too often (RFC
8628, sections 3.2 and 3.5)."""


@frozen
class _Login:
    """Where a login is, and for what."""

    metadata: OAuthMetadata
    device: str
    resource: str
    scope: str | None


@frozen
class _Client:
    id: str
    secret: str | None = None
    method: str | None = None


async def log_in_by_code(
    server: Server,
    tell: Callable[[str, str], None],
    *,
    file: TokenFile | None = None,
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
) -> bool:
    """Log in at a server by a code that a person types in somewhere, and keep what that
    gives. Returns False where it lets everybody in.

    ``tell`` shows the address to open and the code.

    Raises:
        LoginError: there is no such login, or nobody let us in.
        httpx2.HTTPError: somebody cannot be reached.
    """
    assert server.url is not None
    file = file or TokenFile(server.name, server.url)
    before = await to_thread.run_sync(file.read)
    async with client_of(server) as own:
        own.event_hooks["request"].append(careful(server.url))
        challenge = await own.send(first_request(own, server.url), stream=True)
        await challenge.aclose()
    if challenge.status_code != 401:
        if challenge.is_success:
            return False
        raise LoginError(f"it answers with HTTP {challenge.status_code}")
    async with plain_client() as other:
        other.event_hooks["request"].append(careful(server.url))
        place = await _place(other, server.url, challenge)
        if before is not None:
            # As what one thing needs is asked for, the others are kept.
            place = evolve(place, scope=both_scopes(before.wanted(), place.scope))
        known = await _registered(other, server, place)
        given = await _allowed(other, server.url, place, known, tell, sleep)
    revocation = place.metadata.revocation_endpoint
    access, refresh = given.get("access_token"), given.get("refresh_token")
    if not isinstance(access, str):
        raise LoginError("it gave no token")
    granted = given.get("scope")
    made = Tokens(
        access,
        refresh if isinstance(refresh, str) else None,
        ending(given.get("expires_in")),
        str(place.metadata.token_endpoint),
        known.id,
        known.secret,
        place.resource,
        known.method,
        None if revocation is None else str(revocation),
        time.time(),
        granted if isinstance(granted, str) else place.scope,
    )
    await to_thread.run_sync(file.write, made)
    return True


def first_request(client: httpx2.AsyncClient, url: str) -> httpx2.Request:
    """Return what a server answers with where its login is."""
    body = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": types.LATEST_PROTOCOL_VERSION,
            "capabilities": {},
            "clientInfo": {"name": "dovetail", "version": "0.1.0"},
        },
    }
    headers = {"Accept": "application/json, text/event-stream"}
    return client.build_request("POST", url, json=body, headers=headers)


async def _place(
    client: httpx2.AsyncClient, url: str, challenge: httpx2.Response
) -> _Login:
    """Find out who lets us in."""
    told: ProtectedResourceMetadata | None = None
    named = utils.extract_resource_metadata_from_www_auth(challenge)
    for one in utils.build_protected_resource_metadata_discovery_urls(named, url):
        answer = await client.send(utils.create_oauth_metadata_request(one))
        told = await utils.handle_protected_resource_response(answer)
        if told is not None:
            break
    resource = resource_url_from_server_url(url)
    issuer = None
    if told is not None:
        if not check_resource_allowed(resource, str(told.resource)):
            raise LoginError(f"its login is for {one_line(str(told.resource))}")
        resource = str(told.resource)
        issuer = str(told.authorization_servers[0])
    for one in utils.build_oauth_authorization_server_metadata_discovery_urls(
        issuer, url
    ):
        answer = await client.send(utils.create_oauth_metadata_request(one))
        _, found = await utils.handle_auth_metadata_response(answer)
        if found is None:
            continue
        # Without this a server could have us log in at somebody else for it (RFC 8414,
        # section 3.3).
        wanted = issuer or str(httpx2.URL(url).copy_with(raw_path=b"/"))
        if not utils.issuers_match(str(found.issuer), wanted):
            raise LoginError(f"{one_line(wanted)} calls itself {found.issuer}")
        device = json_of(answer).get("device_authorization_endpoint")
        if not isinstance(device, str):
            raise LoginError("it knows no login by a code: leave --device out")
        scope = utils.get_client_metadata_scopes(
            utils.extract_scope_from_www_auth(challenge), told, found, ["refresh_token"]
        )
        return _Login(found, device, resource, scope)
    raise LoginError("it does not say where its login is")


async def _registered(
    client: httpx2.AsyncClient, server: Server, place: _Login
) -> _Client:
    """Return who we are there."""
    if server.client_id is not None:
        offered = place.metadata.token_endpoint_auth_methods_supported
        return _Client(
            server.client_id, server.client_secret, method_of(server, offered)
        )
    if place.metadata.registration_endpoint is None:
        raise LoginError("it registers nobody by itself: set client_id of the server")
    wanted: dict[str, Any] = {
        "client_name": "dovetail",
        "grant_types": [GRANT, "refresh_token"],
        "response_types": [],
        "token_endpoint_auth_method": "none",
    }
    if place.scope:
        wanted["scope"] = place.scope
    answer = await client.post(str(place.metadata.registration_endpoint), json=wanted)
    said = json_of(answer)
    client_id = said.get("client_id")
    if answer.status_code not in (200, 201) or not isinstance(client_id, str):
        raise LoginError(f"it does not register us: {_why(answer)}")
    secret, method = said.get("client_secret"), said.get("token_endpoint_auth_method")
    return _Client(
        client_id,
        secret if isinstance(secret, str) and method != "none" else None,
        method if isinstance(method, str) else None,
    )


async def _allowed(
    client: httpx2.AsyncClient,
    url: str,
    place: _Login,
    known: _Client,
    tell: Callable[[str, str], None],
    sleep: Callable[[float], Awaitable[None]],
) -> dict[str, Any]:
    """Return the answer with the tokens, once a person let us in."""
    data = {"resource": place.resource}
    if place.scope:
        data["scope"] = place.scope

    def ask(at: str, **more: str) -> httpx2.Request:
        return asking(at, {**data, **more}, known.id, known.secret, known.method)

    answer = await client.send(ask(place.device))
    said = json_of(answer)
    code, shown, page = (
        one if isinstance(one, str) else ""
        for one in map(said.get, ("device_code", "user_code", "verification_uri"))
    )
    if answer.status_code != 200 or not (code and shown and page):
        raise LoginError(f"it gives no code: {_why(answer)}")
    if not private(page) or (here(page) and not here(url)):
        raise LoginError("its code is typed in at no address with TLS")
    tell(one_line(page, 2_000), one_line(shown, 100))
    interval = _seconds(said.get("interval"), INTERVAL)
    end = anyio.current_time() + min(_seconds(said.get("expires_in"), SECONDS), SECONDS)
    token = str(place.metadata.token_endpoint)
    while anyio.current_time() + interval < end:
        await sleep(interval)
        try:
            answer = await client.send(ask(token, grant_type=GRANT, device_code=code))
        except httpx2.TransportError:
            interval *= 2  # section 3.5
            continue
        if answer.status_code == 200:
            return json_of(answer)
        error = json_of(answer).get("error")
        if error == "slow_down":
            interval += INTERVAL
        elif error != "authorization_pending":
            raise LoginError(f"it says {_why(answer)}")
    raise LoginError("nobody typed the code in while it was good")


def _seconds(value: object, otherwise: float) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
        return float(value)
    return otherwise


def _why(answer: httpx2.Response) -> str:
    said = json_of(answer)
    error = said.get("error") or f"HTTP {answer.status_code}"
    about = said.get("error_description")
    return one_line(f"{error}: {about}" if about else f"{error}", 400)
