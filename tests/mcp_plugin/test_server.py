"""Dovetail as a server: sessions as tools and resources of another program."""

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import click
import httpx
import pytest
from dovetail.kernel import Runtime, open_runtime
from dovetail.kernel.testing import Gate, ScriptedProvider, call, calls, text
from mcp_plugin.test_misbehaving import quiet
from support.bounds import HANG


@asynccontextmanager
async def served(
    folder: Path, *answers: Any, elicit: Any = None, **options: Any
) -> AsyncIterator[tuple[Any, Runtime, ScriptedProvider]]:
    # Here, because every process of a run imports this file, and one runs it.
    from dovetail.plugins.mcp.sessions import SessionsServer
    from mcp.client import Client

    script = ScriptedProvider(*answers)
    async with open_runtime(
        "sqlite://", plugins=[script], environment=quiet(folder), **options
    ) as runtime:
        server = SessionsServer(runtime, str(folder), script.model).server("1")
        client = Client(server, mode="legacy", cache=None, elicitation_callback=elicit)
        async with client:
            yield client, runtime, script


async def use(client: Any, tool: str, **arguments: Any) -> Any:
    with anyio.fail_after(HANG):
        result = await client.call_tool(tool, arguments)
    [block] = result.content
    assert block.type == "text"
    return block.text if result.is_error else json.loads(block.text)


@pytest.mark.law("mcp.9")
async def test_another_program_has_work_done_and_may_repeat_all_of_it(
    tmp_path: Path,
) -> None:
    async with served(tmp_path, text("It is done.")) as (client, _, script):
        offered = (await client.list_tools()).tools
        assert not [one.name for one in offered if "\n  " in (one.description or "")]
        listed = {tool.name for tool in offered}
        assert listed == {
            f"session_{one}"
            for one in (
                *("create", "prompt", "wait", "read", "list", "interrupt", "answer"),
            )
        }
        for _ in range(2):
            made = await use(client, "session_create", name="issue-42")
            session = made["session_id"]
            first = await use(
                client, "session_prompt", session_id=session, text="Do it", key="k"
            )
            found = await use(client, "session_wait", session_id=session)
            assert (found["status"], found["said"]) == ("succeeded", "It is done.")
        assert session == "issue-42"
        assert first["input_id"]
        assert len(script.requests) == 1
        read = await use(client, "session_read", session_id=session)
        assert [one["type"] for one in read["messages"]] == ["user", "assistant"]
        after = read["messages"][0]["seq"]
        later = await use(client, "session_read", session_id=session, after=after)
        assert [one["text"] for one in later["messages"]] == ["It is done."]
        sessions = await use(client, "session_list")
        assert [one["session_id"] for one in sessions["sessions"]] == [session]
        for what in ("transcript", "log"):
            contents = (
                await client.read_resource(f"session://{session}/{what}")
            ).contents
            assert json.loads(contents[0].text)
        assert "session.not_found" in await use(
            client, "session_wait", session_id="another"
        )


@pytest.mark.law("mcp.9")
async def test_what_waits_for_a_person_is_told_and_answered_by_a_tool(
    tmp_path: Path,
) -> None:
    async with served(
        tmp_path, calls(call("bash", {"command": "true"}, id="x")), text("Done.")
    ) as (client, _, _):
        session = (await use(client, "session_create", name="s"))["session_id"]
        await use(client, "session_prompt", session_id=session, text="Go", key="k")
        found: Any = {}
        with anyio.fail_after(HANG):
            while "waits_for" not in found:
                found = await use(
                    client, "session_wait", session_id=session, seconds=0.05
                )
        assert found["status"] == "working"
        [asked] = found["waits_for"]
        assert (asked["what"], asked["asked"]["action"]) == ("permission", "bash")
        await use(
            client, "session_answer", request_id=asked["request_id"], answer="once"
        )
        found = await use(client, "session_wait", session_id=session)
        assert (found["status"], found["said"]) == ("succeeded", "Done.")
        again = await use(
            client, "session_answer", request_id=asked["request_id"], answer="once"
        )
        assert "request.ended" in again


@pytest.mark.law("mcp.9")
async def test_the_person_of_the_caller_is_asked_for_permission(tmp_path: Path) -> None:
    asked: list[str] = []

    async def elicit(context: Any, params: Any) -> Any:
        asked.append(params.message)
        import mcp_types

        return mcp_types.ElicitResult(action="accept", content={"answer": "once"})

    async with served(
        tmp_path,
        calls(call("bash", {"command": "true"}, id="x")),
        text("Done."),
        elicit=elicit,
    ) as (client, _, _):
        session = (await use(client, "session_create", name="s"))["session_id"]
        await use(client, "session_prompt", session_id=session, text="Go", key="k")
        seen: list[str | None] = []

        async def progress(one: float, total: float | None, words: str | None) -> None:
            seen.append(words)

        with anyio.fail_after(HANG):
            result = await client.call_tool(
                "session_wait", {"session_id": session}, progress_callback=progress
            )
        assert result.content[0].type == "text"
        assert json.loads(result.content[0].text)["status"] == "succeeded"
    assert len(asked) == 1
    assert "bash" in asked[0]
    assert "true" in asked[0]
    assert "calls bash" in seen


@pytest.mark.law("mcp.9")
@pytest.mark.parametrize("said", [None, {"answer": "perhaps"}])
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_a_caller_answers_wrongly_may_be_answered_otherwise(
    said: Any, tmp_path: Path
) -> None:
    asked = anyio.Event()

    async def elicit(context: Any, params: Any) -> Any:
        import mcp_types

        asked.set()
        if said is None:
            return mcp_types.ErrorData(code=-32_000, message="nobody is here")
        return mcp_types.ElicitResult(action="accept", content=said)

    async with served(
        tmp_path,
        calls(call("bash", {"command": "true"}, id="x")),
        text("Done."),
        elicit=elicit,
    ) as (client, runtime, _):
        session = (await use(client, "session_create", name="s"))["session_id"]
        await use(client, "session_prompt", session_id=session, text="Go", key="k")
        found: list[Any] = []

        async def wait() -> None:
            found.append(await use(client, "session_wait", session_id=session))

        with anyio.fail_after(HANG):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait)
                await asked.wait()
                [one] = await runtime.requests.pending()
                await use(client, "session_answer", request_id=one.id, answer="once")
    assert [one["status"] for one in found] == ["succeeded"]


@pytest.mark.law("mcp.9")
async def test_a_session_is_interrupted_by_a_tool(tmp_path: Path) -> None:
    async with served(
        tmp_path, calls(call("question", {"questions": [{"question": "Why?"}]}, id="x"))
    ) as (client, runtime, _):
        session = (await use(client, "session_create", name="s"))["session_id"]
        await use(client, "session_prompt", session_id=session, text="Go", key="k")
        with anyio.fail_after(HANG):
            while not await runtime.requests.pending():
                await use(client, "session_list")
        stopped = await use(client, "session_interrupt", session_id=session)
        assert stopped == {"interrupted": True}
        found = await use(client, "session_wait", session_id=session)
        assert found["status"] == "interrupted"


HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "caller", "version": "1"},
    },
}
TAKES = {"accept": "application/json, text/event-stream"}


@asynccontextmanager
async def behind_a_door(
    folder: Path, token: str | None = None
) -> AsyncIterator[tuple[Any, Any]]:
    """The way in over HTTP without a network, and the door."""
    from dovetail.plugins.http import Admittance
    from dovetail.plugins.mcp.serving import door_of
    from dovetail.plugins.mcp.sessions import SessionsServer

    async with open_runtime("sqlite://", environment=quiet(folder)) as runtime:
        made = SessionsServer(runtime, str(folder), None).server("1")
        door = door_of(made, Admittance(token, () if token is None else ("*",)))
        async with (
            made.session_manager.run(),
            httpx.AsyncClient(
                transport=httpx.ASGITransport(door),
                base_url="http://127.0.0.1:4100",
                headers=TAKES,
            ) as client,
        ):
            yield client, door


@pytest.mark.law("mcp.9")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_over_http_nobody_gets_in_without_the_token(tmp_path: Path) -> None:
    async with behind_a_door(tmp_path, "the-right-token-of-many") as (client, _):
        for shown in ({}, {"authorization": "Bearer the-wrong-token-of-all"}):
            found = await client.post("/mcp", json=HELLO, headers=shown)
            assert found.status_code == 401
        right = {"authorization": "Bearer the-right-token-of-many"}
        found = await client.post("/mcp", json=HELLO, headers=right)
        assert found.status_code == 200
        assert "serverInfo" in found.text


@pytest.mark.law("mcp.9")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    "said",
    [
        {"host": "evil.example"},
        {"host": "localhost:4100.evil.example"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:3000"},
        {"origin": "http://127.0.0.1:4100.evil.example"},
        {"sec-fetch-site": "cross-site"},
    ],
    ids=lambda said: " ".join(*said.items()),
)
async def test_over_http_no_page_in_a_browser_gets_in(
    said: dict[str, str], tmp_path: Path
) -> None:
    async with behind_a_door(tmp_path) as (client, _):
        found = await client.post("/mcp", json=HELLO, headers=said)
        assert found.status_code == 403, found.text


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_over_http_what_is_too_long_is_refused_before_it_is_read(
    tmp_path: Path,
) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b'{"jsonrpc": "'
        while True:
            yield b"x" * 1_000_000

    async with behind_a_door(tmp_path) as (client, _):
        with anyio.fail_after(HANG):
            found = await client.post(
                "/mcp", content=endless(), headers={"content-type": "application/json"}
            )
        assert found.status_code == 413, found.text


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("id", [None, 1.0, 1.5, True, [1], {"id": 1}], ids=str)
async def test_over_http_a_request_with_no_id_that_can_be_is_refused(
    id: Any, tmp_path: Path
) -> None:
    """And not taken for a notification, which nobody is answered."""
    async with behind_a_door(tmp_path) as (client, _):
        begun = await client.post("/mcp", json=HELLO)
        here = {"mcp-session-id": begun.headers["mcp-session-id"]}
        asked = {"jsonrpc": "2.0", "method": "tools/list"}
        await client.post(
            "/mcp", json=asked | {"method": "notifications/initialized"}, headers=here
        )
        found = await client.post("/mcp", json=asked | {"id": id}, headers=here)
        assert found.status_code == 400, found.text
        assert found.json()["error"]["code"] == -32600
        for sound in (0, "one", 2**70):
            found = await client.post("/mcp", json=asked | {"id": sound}, headers=here)
            assert "session_create" in found.text


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_over_http_half_a_message_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dovetail.plugins.http import operation

    monkeypatch.setattr(operation, "BODY_SECONDS", 0.0)

    async def half() -> AsyncIterator[bytes]:
        yield b"{"
        await anyio.sleep_forever()

    async with behind_a_door(tmp_path) as (client, _):
        with anyio.fail_after(HANG):
            found = await client.post(
                "/mcp", content=half(), headers={"content-type": "application/json"}
            )
        assert found.status_code == 408, found.text


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_over_http_a_stream_ends_with_the_door(tmp_path: Path) -> None:
    """It has no end of its own, and a server that is told to end would wait for it."""
    async with behind_a_door(tmp_path) as (client, door):
        found = await client.post("/mcp", json=HELLO)
        heads = [(b"host", b"127.0.0.1"), (b"accept", b"text/event-stream")]
        heads.append((b"mcp-session-id", found.headers["mcp-session-id"].encode()))
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/mcp",
            "raw_path": b"/mcp",
            "query_string": b"",
            "headers": heads,
        }
        asked = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> Any:
            if asked:
                return asked.pop()
            return await anyio.sleep_forever()

        async def send(message: Any) -> None:
            assert message["type"] != "http.response.start" or message["status"] == 200
            door.close()

        from dovetail.plugins.http.door import BrokenOffError

        with anyio.fail_after(HANG), pytest.raises(BrokenOffError):
            await door(scope, receive, send)
        found = await client.post("/mcp", json=HELLO)
        assert found.json()["code"] == "server.closing"


def test_over_http_a_port_that_is_taken_is_told_in_a_line() -> None:
    from dovetail.plugins.mcp.commands import mcp_command

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with pytest.raises(click.ClickException, match="cannot listen on"):
            mcp_command.main(["serve", "--http", port], standalone_mode=False)


def test_over_http_a_token_that_can_be_guessed_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from dovetail.plugins.mcp.commands import mcp_command

    monkeypatch.setenv("DOVETAIL_TOKEN", "short")
    with pytest.raises(click.UsageError, match="16 characters") as refused:
        mcp_command.main(["serve", "--http", "0"], standalone_mode=False)
    assert "short" not in str(refused.value)


@pytest.mark.law("mcp.9")
async def test_whoever_waits_for_no_time_hears_how_it_is(tmp_path: Path) -> None:
    async with served(tmp_path, text("Done.")) as (client, _, _):
        session = (await use(client, "session_create", name="s"))["session_id"]
        await use(client, "session_prompt", session_id=session, text="Go", key="k")
        await use(client, "session_wait", session_id=session)
        for seconds in (0, -1.0):
            found = await use(
                client, "session_wait", session_id=session, seconds=seconds
            )
            assert (found["status"], found["said"]) == ("succeeded", "Done.")


async def test_progress_grows_and_is_that_of_the_latest_work(tmp_path: Path) -> None:
    gates = [Gate(), Gate()]
    told: list[tuple[float, str | None]] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        told.append((done, message))
        gates[at].open()

    answers = [
        [*text("One."), gates[0]],
        [*calls(call("read", {"path": "a"}, id="x")), gates[1]],
        text("Two."),
    ]
    (tmp_path / "a").write_text("a")
    async with served(tmp_path, *answers, on_permission="allow") as (client, _, _):
        session = (await use(client, "session_create", name="s"))["session_id"]
        for at in range(2):
            told.clear()
            await use(
                client, "session_prompt", session_id=session, text="Go", key=str(at)
            )
            with anyio.fail_after(HANG):
                await client.call_tool(
                    "session_wait", {"session_id": session}, progress_callback=progress
                )
    assert told[0] == (1, "Step 1")
    assert [one[0] for one in told] == list(range(1, len(told) + 1))
