"""Logins at a real authorization server: in a browser, by a code, and kept."""

import os
import socket
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import anyio
import httpx2
import pytest
from anyio import to_thread
from dovetail.kernel import first_of
from dovetail.plugins.mcp.settings import Server
from dovetail.plugins.mcp.tokens import TokenFile
from support.bounds import HANG
from support.programs import Forking

pytestmark = pytest.mark.law("mcp.10")


@pytest.fixture(scope="module")
def running() -> Iterator[Any]:
    # Here, because every process of a run imports this file, and one runs it.
    from mcp_plugin.oauth_server import locked_server

    with locked_server() as logins:
        yield logins


@pytest.fixture
def logins(running: Any) -> Any:
    running.forget()
    return running


@pytest.fixture
def server(logins: Any) -> Server:
    return Server("locked", url=f"{logins.url}/mcp", protocol="legacy")


@pytest.fixture
def file(server: Server, tmp_path: Path) -> TokenFile:
    assert server.url is not None
    return TokenFile(server.name, server.url, tmp_path / "tokens")


class Browser:
    """A browser that follows what it is sent to."""

    def __init__(self, change: Callable[[str], str] = str) -> None:
        self.opened: list[str] = []
        self.ended: list[str] = []
        self._opening = anyio.Event()
        self._change = change

    def open(self, url: str) -> None:
        self._opening.set()
        self.opened.append(url)

    async def go(self) -> None:
        """Follow what was opened to the address on this machine, and say what stands
        there."""
        with anyio.fail_after(HANG):
            await self._opening.wait()
        async with httpx2.AsyncClient() as client:
            answer = await client.get(self.opened[0])
            back = self._change(answer.headers["location"])
            self.ended.append(back)
            self.page = (await client.get(back)).text


def changed(**said: str | None) -> Callable[[str], str]:
    """Return what changes parts of the question in an address."""

    def change(url: str) -> str:
        parts = urlsplit(url)
        kept = {**dict(parse_qsl(parts.query)), **said}
        query = urlencode({name: one for name, one in kept.items() if one is not None})
        return parts._replace(query=query).geturl()

    return change


async def in_browser(server: Server, file: TokenFile, browser: Browser) -> bool:
    from dovetail.plugins.mcp.login import log_in

    found: list[bool] = []
    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(browser.go)
            found.append(
                await log_in(server, browser.open, browser=False, file=file, seconds=60)
            )
    return found[0]


@contextmanager
def failing(words: str) -> Iterator[None]:
    """Expect something that fails with these words."""
    said = "nothing failed"
    try:
        yield
    except Exception as error:
        said = str(first_of(error))
    assert words in said


@asynccontextmanager
async def inside(server: Server, file: TokenFile) -> AsyncIterator[httpx2.AsyncClient]:
    from dovetail.plugins.mcp.http import client_of, plain_client
    from dovetail.plugins.mcp.tokens import StoredLogin

    async with client_of(
        server, StoredLogin(server.name, file, plain_client)
    ) as client:
        yield client


async def gets_in(server: Server, file: TokenFile) -> None:
    assert server.url is not None
    from dovetail.plugins.mcp.device import first_request

    async with inside(server, file) as client:
        with anyio.fail_after(HANG):
            asked = first_request(client, server.url)
            assert (await client.send(asked)).status_code == 200


# A login is one at a terminal, which runs on asyncio.
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_person_logs_in_with_a_browser_and_is_let_in_from_then_on(
    logins: Any, server: Server, file: TokenFile
) -> None:
    browser = Browser()
    assert await in_browser(server, file, browser)
    assert "Done" in browser.page
    asked = dict(parse_qsl(urlsplit(browser.opened[0]).query))
    assert asked["code_challenge_method"] == "S256"
    assert asked["resource"] == server.url
    assert logins.resources == [server.url]
    kept = file.read()
    assert kept is not None
    assert kept.refresh
    assert kept.endpoint == f"{logins.url}/token"
    assert stat.S_IMODE(os.stat(file.path).st_mode) == 0o600
    await gets_in(server, file)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"error": "access_denied"}, "access_denied"),
        ({"iss": "https://evil.example"}, "iss mismatch"),
        ({"iss": None}, "missing iss"),
        ({"code": None}, "has no code"),
    ],
)
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_a_browser_brings_that_is_not_as_it_must_be_is_no_login(
    change: dict[str, str | None], wanted: str, server: Server, file: TokenFile
) -> None:
    with failing(wanted):
        await in_browser(server, file, Browser(changed(**change)))
    assert file.read() is None


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_is_of_another_login_is_sent_away_and_ends_nothing(
    server: Server, file: TokenFile
) -> None:
    class Attacked(Browser):
        async def go(self) -> None:
            await self.first()
            await super().go()

        async def first(self) -> None:
            await self._opening.wait()
            place = dict(parse_qsl(urlsplit(self.opened[0]).query))["redirect_uri"]
            async with httpx2.AsyncClient() as client:
                for said in ("", "?code=x&state=guessed", "?error=e", "?state="):
                    assert (await client.get(f"{place}{said}")).status_code == 404

    assert await in_browser(server, file, Attacked())


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_where_no_browser_comes_back_its_address_is_typed_in(
    server: Server, file: TokenFile
) -> None:
    from dovetail.plugins.mcp.login import log_in

    opened: list[str] = []

    def read() -> str:
        answer = httpx2.get(opened[0])
        return f" {answer.headers['location']}\n".strip()

    with anyio.fail_after(HANG):
        assert await log_in(server, opened.append, read, browser=False, file=file)
    await gets_in(server, file)
    with failing("not what this login ended at"):
        await log_in(
            server, opened.append, lambda: "https://x/?code=1", browser=False, file=file
        )


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_login_that_nobody_comes_back_from_ends(
    server: Server, file: TokenFile
) -> None:
    from dovetail.plugins.mcp.login import log_in

    with failing("nobody came back"), anyio.fail_after(HANG):
        await log_in(server, str, browser=False, file=file, seconds=0)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_login_goes_to_no_place_without_tls(
    logins: Any, server: Server, file: TokenFile
) -> None:
    from dovetail.plugins.mcp.login import careful

    logins.metadata["token_endpoint"] = "http://login.example/token"
    with failing("needs TLS"):
        await in_browser(server, file, Browser())
    look = careful("https://mcp.example/mcp")
    await look(httpx2.Request("GET", "https://login.example"))
    # Nor is a server elsewhere one that makes us ask what is on this machine.
    for url in ("http://169.254.169.254/latest", "http://127.0.0.1:8080/admin"):
        with failing("needs TLS"):
            await look(httpx2.Request("GET", url))


# --- by a code --------------------------------------------------------------------


async def by_code(
    server: Server, file: TokenFile, told: list[str], slept: list[float] | None = None
) -> bool:
    from dovetail.plugins.mcp.device import log_in_by_code

    async def sleep(seconds: float) -> None:
        if slept is not None:
            slept.append(seconds)

    with anyio.fail_after(HANG):
        return await log_in_by_code(
            server, lambda url, code: told.extend((url, code)), file=file, sleep=sleep
        )


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_person_logs_in_by_a_code_typed_in_elsewhere(
    logins: Any, server: Server, file: TokenFile
) -> None:
    logins.answers = ["authorization_pending", "authorization_pending"]
    told: list[str] = []
    assert await by_code(server, file, told)
    assert told == [f"{logins.url}/code", "ABCD-EFGH"]
    assert len(logins.asked) == 4
    assert {one["resource"] for one in logins.asked} == {server.url}
    assert {one["client_id"] for one in logins.asked} == set(logins.clients)
    await gets_in(server, file)


@pytest.mark.parametrize(
    ("answers", "wanted"),
    [
        (["access_denied"], "access_denied"),
        (["authorization_pending", "expired_token"], "expired_token"),
        (["unheard_of"], "unheard_of"),
    ],
)
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_code_that_is_refused_is_no_login(
    answers: list[str], wanted: str, logins: Any, server: Server, file: TokenFile
) -> None:
    logins.answers = [*answers]
    with failing(wanted):
        await by_code(server, file, [])
    assert file.read() is None


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_whoever_asks_too_often_asks_less_often_from_then_on(
    logins: Any, server: Server, file: TokenFile
) -> None:
    slept: list[float] = []
    logins.interval = 2
    logins.answers = ["slow_down", "authorization_pending", "slow_down"]
    assert await by_code(server, file, [], slept)
    assert slept == [2, 7, 7, 12]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_who_calls_itself_otherwise_gets_nobody_to_log_in(
    logins: Any, server: Server, file: TokenFile
) -> None:
    logins.metadata["issuer"] = "https://bank.example"
    with failing("calls itself"):
        await by_code(server, file, [])
    with failing("issuer mismatch"):
        await in_browser(server, file, Unused())
    assert not logins.asked


class Unused(Browser):
    async def go(self) -> None:
        """Nothing is opened."""


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_where_there_is_no_login_by_a_code_that_is_said(
    logins: Any, server: Server, file: TokenFile
) -> None:
    logins.metadata["device_authorization_endpoint"] = None
    with failing("leave --device out"):
        await by_code(server, file, [])


# --- kept -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method", ["none", "client_secret_post", "client_secret_basic"]
)
async def test_of_many_that_refresh_at_once_one_asks_and_nobody_loses_the_login(
    method: str, logins: Any, server: Server, file: TokenFile
) -> None:
    logins.method = method
    assert await by_code(server, file, [])
    logins.access.clear()

    async def one() -> None:
        assert server.url is not None
        await gets_in(server, TokenFile(server.name, server.url, file.path.parent))

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(one)
    assert logins.refreshed == 1
    # And the one-time token that came of it is kept.
    logins.access.clear()
    await gets_in(server, file)
    assert logins.refreshed == 2


REFRESHES = """
import anyio, sys
from pathlib import Path
from dovetail.plugins.mcp.http import client_of, plain_client
from dovetail.plugins.mcp.device import first_request
from dovetail.plugins.mcp.settings import Server
from dovetail.plugins.mcp.tokens import StoredLogin, TokenFile
name, url, folder = sys.argv[1:]
async def main():
    auth = StoredLogin(name, TokenFile(name, url, Path(folder)), plain_client)
    async with client_of(Server(name, url=url), auth) as client:
        print("ready", flush=True)
        sys.stdin.readline()
        assert (await client.send(first_request(client, url))).status_code == 200
anyio.run(main)
"""


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_two_processes_that_refresh_at_the_same_instant_ask_once(
    logins: Any, server: Server, file: TokenFile, forked: Forking
) -> None:
    assert await by_code(server, file, [])
    logins.access.clear()
    assert server.url is not None
    arguments = (server.name, server.url, file.path.parent)
    both = [forked(*arguments, program=REFRESHES) for _ in range(2)]

    def together() -> list[int]:
        for one in both:
            assert one.stdout.readline() == "ready\n"
        for one in both:
            one.stdin.write("\n")
            one.stdin.flush()
        return [one.wait() for one in both]

    assert await to_thread.run_sync(together) == [0, 0]
    assert logins.refreshed == 1
    await gets_in(server, file)


async def test_a_refresh_that_is_cut_off_keeps_what_it_gets(
    logins: Any, server: Server, file: TokenFile
) -> None:
    from dovetail.plugins.mcp.http import plain_client
    from dovetail.plugins.mcp.tokens import StoredLogin

    assert await by_code(server, file, [])
    logins.access.clear()
    assert server.url is not None

    def client() -> httpx2.AsyncClient:
        made = plain_client()
        made.event_hooks["request"].append(cut_off)
        return made

    scope = anyio.CancelScope()

    async def cut_off(request: httpx2.Request) -> None:
        scope.cancel()

    with scope:
        async with httpx2.AsyncClient(
            auth=StoredLogin(server.name, file, client)
        ) as asking:
            await asking.get(server.url)
    assert scope.cancelled_caught
    assert logins.refreshed == 1
    await gets_in(server, file)
    assert logins.refreshed == 1


async def test_a_login_that_is_over_is_named_and_not_asked_for_again(
    logins: Any, server: Server, file: TokenFile
) -> None:
    assert await by_code(server, file, [])
    logins.access.clear()
    logins.refresh.clear()
    for _ in range(2):
        with failing("dovetail mcp login locked"):
            await gets_in(server, file)
    kept = file.read()
    assert kept is not None
    assert kept.refresh is None


async def test_where_nobody_can_be_asked_now_the_login_is_kept(
    server: Server, file: TokenFile
) -> None:
    from attrs import evolve

    assert await by_code(server, file, [])
    kept = file.read()
    assert kept is not None
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        place = f"http://127.0.0.1:{nobody.getsockname()[1]}/token"
        # What is refreshed early may do until somebody can be asked.
        soon = kept.since + 30
        file.write(evolve(kept, endpoint=place, ends=soon, since=soon - 3_600))
        await gets_in(server, file)
        file.write(evolve(kept, endpoint=place, ends=1.0))
        with failing("could not be refreshed: ConnectError"):
            await gets_in(server, file)
    assert file.read() is not None


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_login_that_is_forgotten_is_given_back(
    logins: Any, server: Server, file: TokenFile
) -> None:
    from dovetail.plugins.mcp.login import give_back

    logins.method = "client_secret_post"
    assert await by_code(server, file, [])
    assert await give_back(file)
    assert logins.revoked == 1
    assert file.read() is None
    assert not await give_back(file)


# --- more than a login is for -----------------------------------------------------


def before_it(file: TokenFile) -> None:
    """Keep a login that is for too little."""
    from dovetail.plugins.mcp.tokens import Tokens

    file.write(Tokens("old", scope="read", needed="write read"))


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_another_login_is_asked_for_what_there_was_and_what_was_missing(
    logins: Any, server: Server, file: TokenFile
) -> None:
    logins.metadata["scopes_supported"] = ["read", "write", "mail"]
    before_it(file)
    browser = Browser()
    assert await in_browser(server, file, browser)
    asked = dict(parse_qsl(urlsplit(browser.opened[0]).query))
    assert asked["scope"].split() == ["read", "write", "mail"]
    now = file.read()
    assert now is not None
    assert (now.scope, now.needed) == (asked["scope"], None)
    before_it(file)
    assert await by_code(server, file, [])
    assert logins.asked[0]["scope"].split() == ["read", "write", "mail"]


# --- a client that is known by a secret -------------------------------------------


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("by_browser", [True, False])
@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_a_client_with_a_secret_shows_it_as_the_login_takes_it(
    method: str, by_browser: bool, logins: Any, server: Server, file: TokenFile
) -> None:
    from mcp.shared.auth import OAuthClientInformationFull

    given = Server.of(
        server.name,
        {
            "url": server.url,
            "protocol": "legacy",
            "client_id": "us and them",
            "client_secret": "${OF_THE_CLIENT}",
        },
        {"OF_THE_CLIENT": "s3cret/with: signs%"},
        "here",
    )
    logins.metadata["token_endpoint_auth_methods_supported"] = [method]

    class Anywhere(OAuthClientInformationFull):
        def validate_redirect_uri(self, redirect_uri: Any) -> Any:
            return redirect_uri

    known = Anywhere.model_validate(
        {
            "client_id": given.client_id,
            "client_secret": given.client_secret,
            "redirect_uris": ["http://127.0.0.1/callback"],
            "token_endpoint_auth_method": method,
        }
    )
    await logins.register_client(known)
    if by_browser:
        assert await in_browser(given, file, Browser())
    else:
        assert await by_code(given, file, [])
    now = file.read()
    assert now is not None
    assert (now.client_id, now.method) == ("us and them", method)
    logins.access.clear()
    await gets_in(given, file)
    assert logins.refreshed == 1
    assert list(logins.clients) == ["us and them"]
    for shown in (repr(given), repr(now)):
        assert "s3cret" not in shown
