"""Logins that are kept: private, refreshed once for all, and named when over."""

import json
import os
import stat
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import anyio
import httpx2
import pytest
from dovetail.plugins.mcp.tokens import (
    LoginNeededError,
    StoredLogin,
    TokenFile,
    Tokens,
)
from support.bounds import HANG

URL = "https://mcp.example/mcp"


class Door:
    """A server that lets in who shows the token of the hour, and gives out others."""

    def __init__(self, right: str = "new") -> None:
        self.right = right
        self.refreshed: list[dict[str, list[str]]] = []
        self.shown: list[str | None] = []

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/token":
            self.refreshed.append(parse_qs(request.content.decode()))
            await anyio.lowlevel.checkpoint()
            answer = {"access_token": self.right, "expires_in": 3600}
            return httpx2.Response(200, json=answer)
        self.shown.append(request.headers.get("authorization"))
        inside = self.shown[-1] == f"Bearer {self.right}"
        return httpx2.Response(200 if inside else 401)

    def client(self, file: TokenFile) -> httpx2.AsyncClient:
        def plain() -> httpx2.AsyncClient:
            return httpx2.AsyncClient(transport=httpx2.MockTransport(self))

        return httpx2.AsyncClient(
            transport=httpx2.MockTransport(self), auth=StoredLogin("s", file, plain)
        )


def kept(folder: Path, **more: Any) -> TokenFile:
    file = TokenFile("s", URL, folder)
    given = {
        "refresh": "r1",
        "endpoint": "https://login.example/token",
        "client_id": "me",
        **more,
    }
    file.write(Tokens("old", **given))
    return file


@pytest.mark.law("mcp.10")
async def test_a_token_that_is_over_is_refreshed_once_for_all(tmp_path: Path) -> None:
    door = Door()
    kept(tmp_path, ends=1.0)
    # Each as another process has it: nothing but the file in common.
    clients = [door.client(TokenFile("s", URL, tmp_path)) for _ in range(4)]

    async def ask(client: httpx2.AsyncClient) -> None:
        async with client:
            assert (await client.get(URL)).status_code == 200

    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            for client in clients:
                tasks.start_soon(ask, client)
    [refreshed] = door.refreshed
    assert refreshed["refresh_token"] == ["r1"]
    assert refreshed["client_id"] == ["me"]
    assert set(door.shown) == {"Bearer new"}
    now = TokenFile("s", URL, tmp_path).read()
    assert now is not None
    assert (now.access, now.refresh, now.over()) == ("new", "r1", False)


@pytest.mark.law("mcp.10")
async def test_a_token_that_is_refused_is_refreshed_and_shown_again(
    tmp_path: Path,
) -> None:
    door = Door()
    async with door.client(kept(tmp_path)) as client:
        assert (await client.get(URL)).status_code == 200
    assert door.shown == ["Bearer old", "Bearer new"]


@pytest.mark.law("mcp.10")
@pytest.mark.parametrize("refresh", [None, "r1"])
async def test_where_nothing_lets_us_in_a_login_is_asked_for_by_name(
    refresh: str | None, tmp_path: Path
) -> None:
    door = Door()
    file = kept(tmp_path, refresh=refresh)
    if refresh:
        door.right = "another"
        file.write(Tokens("old"))
    async with door.client(file) as client:
        with pytest.raises(LoginNeededError, match="dovetail mcp login s"):
            await client.get(URL)
    async with door.client(TokenFile("none", URL, tmp_path)) as client:
        with pytest.raises(LoginNeededError):
            await client.get(URL)


@pytest.mark.law("mcp.10")
def test_tokens_are_private_and_shown_nowhere(tmp_path: Path) -> None:
    file = kept(tmp_path / "deep")
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700
    tokens = file.read()
    assert tokens is not None
    assert "old" not in repr(tokens)
    assert "r1" not in repr(tokens)
    # What others could have read or written is not used.
    os.chmod(file.path, 0o644)
    assert file.read() is None
    os.chmod(file.path, 0o600)
    file.path.write_text(json.dumps({"unknown": 1}))
    assert file.read() is None
    assert file.remove() is None
    assert not file.path.exists()


class Strict(Door):
    """A door that wants more of one request than a login is for."""

    def __init__(self, challenge: str) -> None:
        super().__init__("old")
        self.challenge = challenge

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        answer = await super().__call__(request)
        if request.method != "POST" or request.url.path == "/token":
            return answer
        headers = {"WWW-Authenticate": f"Bearer {self.challenge}"}
        # As from a network: nothing of it is read yet.
        body = httpx2.ByteStream(b"<p>No</p>")
        return httpx2.Response(403, headers=headers, stream=body)


@pytest.mark.law("mcp.10")
async def test_where_more_is_wanted_one_request_says_so_and_the_next_login_asks_for_all(
    tmp_path: Path,
) -> None:
    file = kept(tmp_path, scope="read")
    door = Strict('error="insufficient_scope", scope="write read"')
    async with door.client(file) as client:
        answer = await client.post(URL)
        said = answer.json()
        assert "write read" in said["error"]["message"]
        assert "dovetail mcp login s" in said["error"]["message"]
        # It is asked once, and whoever asks for something else is let in as before.
        assert len(door.shown) == 1
        assert (await client.get(URL)).status_code == 200
        door.challenge = "scope=admin error=insufficient_scope"
        await client.post(URL)
    now = file.read()
    assert now is not None
    assert now.wanted() == "read write admin"
    assert door.refreshed == []


@pytest.mark.law("mcp.10")
async def test_nobody_logs_in_again_for_what_a_login_is_for_already(
    tmp_path: Path,
) -> None:
    file = kept(tmp_path, scope="read write")
    door = Strict('error="insufficient_scope", scope="write"')
    async with door.client(file) as client:
        said = (await client.post(URL)).json()["error"]["message"]
    assert "it refuses a login that is for write" in said
    assert "dovetail mcp login" not in said
    now = file.read()
    assert now is not None
    assert now.needed is None


@pytest.mark.law("mcp.10")
@pytest.mark.parametrize(
    "challenge",
    [
        'error="insufficient_scope"',
        'error="insufficient_scope", scope="\\"',
        'error="insufficient_scope", not-scope="all"',
        'error="invalid_token", scope="write"',
        'error="insufficient_scope", scope="' + "x" * 5_000 + '"',
    ],
)
async def test_a_refusal_that_says_no_scope_is_what_it_was(
    challenge: str, tmp_path: Path
) -> None:
    file = kept(tmp_path)
    async with Strict(challenge).client(file) as client:
        answer = await client.post(URL)
    assert (answer.status_code, answer.text) == (403, "<p>No</p>")
    now = file.read()
    assert now is not None
    assert now.needed is None
