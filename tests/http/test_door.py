"""Who may come in: by which name, from which page, with which token, with how much."""

import base64
import logging
from collections.abc import Mapping
from pathlib import Path

import anyio
import pytest
from dovetail.kernel import InvalidValueError, Sessions
from dovetail.kernel.testing import ScriptedProvider
from dovetail.plugins.http import Admittance, door
from dovetail.plugins.http.operation import MAX_BODY
from support.bounds import HANG
from support.doors import served

TOKEN = "correct-horse-battery"
GUARDED = Admittance(TOKEN)


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:4096", "127.0.0.1:4096", "[::1]:4096", "192.168.1.5"],
)
async def test_a_server_is_called_localhost_or_by_its_address(host: str) -> None:
    async with served() as it:
        await it.ask("GET", "health", headers={"Host": host})


@pytest.mark.parametrize(
    "host",
    [
        "attacker.example",
        "localhost.attacker.example",
        "127.0.0.1.attacker.example",
        "attacker.example:4096",
        "a@localhost",
        "localhost:80:80",
        "",
    ],
)
async def test_a_name_that_leads_here_by_somebody_elses_doing_is_refused(
    host: str,
) -> None:
    async with served() as it:
        told = await it.ask("GET", "health", 403, headers={"Host": host})
        assert told["code"] == "server.forbidden"


async def test_a_name_that_was_allowed_is_taken() -> None:
    async with served(admittance=Admittance(hosts=["agents.example"])) as it:
        await it.ask("GET", "health", headers={"Host": "Agents.Example:443"})
        await it.ask("GET", "health", 403, headers={"Host": "other.example"})


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://attacker.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "http://localhost:4096.attacker.example"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_page_of_somebody_else_is_kept_out(
    method: str, headers: Mapping[str, str]
) -> None:
    async with served() as it:
        body = {} if method == "GET" else {"json": {}}
        told = await it.ask(method, "session", 403, headers=headers, **body)
        assert told["code"] == "server.forbidden"
        assert not await it.runtime.sessions.list()


async def test_its_own_page_and_an_allowed_one_come_in() -> None:
    other = "https://panel.example"
    async with served(admittance=Admittance(origins=[other])) as it:
        own = {"Origin": "http://localhost:4096", "Sec-Fetch-Site": "same-origin"}
        await it.ask("GET", "session", headers=own)
        answer = await it.http.get("/api/session", headers={"Origin": other})
        assert answer.headers["access-control-allow-origin"] == other
        asked = await it.http.options(
            "/api/session",
            headers={"Origin": other, "Access-Control-Request-Method": "POST"},
        )
        assert asked.status_code == 204
        assert "POST" in asked.headers["access-control-allow-methods"]
        await it.ask("GET", "session", 403, headers={"Origin": "https://x.example"})


async def test_a_form_of_another_page_creates_nothing() -> None:
    """It can send text of any kind without being asked, and JSON only when it is."""
    async with served() as it:
        for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
            told = await it.ask(
                "POST", "session", 400, content="{}", headers={"Content-Type": kind}
            )
            assert told["code"] == "server.malformed"
        assert not await it.runtime.sessions.list()


# --- the token --------------------------------------------------------------------


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"me:{password}".encode()).decode()


@pytest.mark.parametrize("shown", [f"Bearer {TOKEN}", f"bearer {TOKEN}", basic(TOKEN)])
async def test_who_shows_the_token_comes_in(shown: str) -> None:
    async with served(admittance=GUARDED) as it:
        await it.ask("GET", "session", headers={"Authorization": shown})


@pytest.mark.parametrize(
    "shown",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Token {TOKEN}",
        "Basic !!!",
        basic("wrong"),
        basic(""),
    ],
)
async def test_who_does_not_is_told_how_and_nothing_else(
    shown: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with served(admittance=GUARDED) as it:
        headers = {} if shown is None else {"Authorization": shown}
        answer = await it.http.get("/api/session", headers=headers)
        assert answer.status_code == 401
        assert answer.json()["code"] == "server.unauthorized"
        assert answer.headers["www-authenticate"].startswith("Basic ")
        assert TOKEN not in answer.text
    assert TOKEN not in caplog.text


def test_a_token_that_is_guessed_is_none() -> None:
    for token in ("", "short", "ünicode-is-not-sent-alike", "with a\nline's end in it"):
        with pytest.raises(InvalidValueError) as refused:
            Admittance(token)
        assert not token or token not in str(refused.value)
    assert TOKEN not in repr(GUARDED)


# --- how much ---------------------------------------------------------------------


async def test_headers_addresses_and_bodies_are_bounded() -> None:
    async with served() as it:
        told = await it.ask("GET", "health", 431, headers={"X-Long": "x" * 40_000})
        assert told["code"] == "server.too_large"
        await it.ask("GET", "session", 413, params={"search": "x" * 9_000})
        big = b'{"id":"' + b"x" * MAX_BODY
        json = {"Content-Type": "application/json"}
        told = await it.ask("POST", "session", 413, content=big, headers=json)
        assert told["code"] == "server.too_large"


async def test_headers_that_can_be_read_in_two_ways_are_refused() -> None:
    async with served(admittance=GUARDED) as it:
        twice = [("Authorization", f"Bearer {TOKEN}"), ("Authorization", "Bearer x")]
        both = [("Content-Length", "2"), ("Transfer-Encoding", "chunked")]
        for headers in (twice, [*both, twice[0]]):
            answer = await it.http.get("/api/health", headers=headers)
            assert answer.status_code == 400
            assert answer.json()["code"] == "server.malformed"


async def test_a_body_that_lies_about_its_size_is_bounded_all_the_same() -> None:
    async def parts():  # type: ignore[no-untyped-def]
        for _ in range(MAX_BODY // 2**20 + 1):
            yield b"x" * 2**20

    async with served() as it:
        json = {"Content-Type": "application/json"}
        await it.ask("POST", "session", 413, content=parts(), headers=json)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe{}",
        b"[" * 100_000,
        b'{"id": NaN}',
        b"null",
        b'"text"',
        b'{"id": "a", "unknown": 1}',
        b'{"id": 123456789012345678901234567890}',
    ],
)
async def test_a_body_that_is_not_what_is_asked_for_is_refused_with_its_place(
    body: bytes,
) -> None:
    async with served() as it:
        session = await it.runtime.sessions.create("a", ".")
        answer = await it.http.post(
            f"/api/session/{session.id}/title",
            content=body,
            headers={"Content-Type": "application/json"},
        )
        assert answer.status_code == 405
        answer = await it.http.put(
            f"/api/session/{session.id}/title",
            content=body,
            headers={"Content-Type": "application/json"},
        )
        assert answer.status_code in (400, 422)
        told = answer.json()
        assert told["_tag"] == "InvalidRequestError"
        if answer.status_code == 422:
            assert told["problems"][0]["path"].startswith("$")


async def test_what_breaks_is_a_reference_outside_and_a_traceback_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError("the password is hunter2")

    monkeypatch.setattr(Sessions, "get", broken)
    async with served() as it:
        told = await it.ask("GET", "session/a", 500)
    assert told["code"] == "server.failed"
    assert "hunter2" not in str(told)
    assert told["ref"] in caplog.text
    assert "ZeroDivisionError" in caplog.text


async def test_no_answer_can_be_framed_sniffed_or_kept(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<script>alert(1)</script>")
    async with served(ScriptedProvider(), location=tmp_path) as it:
        for path in ("/api/health", "/api/nothing", "/api/fs/read/page.html"):
            headers = (await it.http.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert headers["cache-control"] == "no-store"
            assert "default-src 'none'" in headers["content-security-policy"]
            assert "sandbox" in headers["content-security-policy"]


async def test_a_door_that_closes_takes_nobody_in() -> None:
    async with served() as it:
        it.door.close()
        answer = await it.http.get("/api/health")
        assert answer.status_code == 503
        assert answer.json()["code"] == "server.closing"
        assert int(answer.headers["retry-after"]) >= 1


async def test_odd_addresses_are_answered_and_break_nothing() -> None:
    async with served() as it:
        for path in (
            "/api/session/a%2Fb",
            "/api/session/%00",
            "/api/session/..",
            "/api/session/a/message/%ff",
            "/api//session",
            "/api/session/",
            "/api/session/" + "x" * 4000,
            "/api/session/a/event?after=%ff",
            "/api/session/a/event?after=-5",
            "/api/session/a/message?cursor=%F0%9F%98%80",
            "/api/session?limit=1e400",
            "/api/session?limit=999999999999999999999",
            "/api/session?cursor=AAAA",
            "/api/session?limit=1&limit=2",
            "/api/session?unknown=1",
        ):
            answer = await it.http.get(path)
            assert answer.status_code in (400, 404, 422), (path, answer.text)
            assert answer.json()["code"]


@pytest.mark.parametrize("path", ["/api/health", "/api/event"])
async def test_who_takes_nothing_of_an_answer_is_given_up(
    path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(door, "SEND_SECONDS", 0.01)
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
    }
    async with served() as it:
        with anyio.fail_after(HANG), pytest.raises(Exception) as gone:  # noqa: PT011
            await it.door(scope, anyio.sleep_forever, _never)
    told = gone.value
    while isinstance(told, ExceptionGroup):
        [told] = told.exceptions
    assert isinstance(told, door.ReaderGoneError)
    # It is nothing unexpected.
    assert [one for one in caplog.records if "unexpected" in one.message] == []


async def _never(_: object) -> None:
    await anyio.sleep_forever()
