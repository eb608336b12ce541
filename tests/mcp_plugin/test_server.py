"""Dovetail as a server: sessions as tools and resources of another program."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
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


@pytest.mark.law("mcp.9")
async def test_over_http_nobody_gets_in_without_the_token() -> None:
    inside: list[Any] = []
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        inside.append(scope)

    async def send(message: Any) -> None:
        sent.append(message)

    from dovetail.plugins.mcp.serving import Guarded

    door = Guarded(app, "right")
    for shown in ([], [(b"authorization", b"Bearer wrong")]):
        await door({"type": "http", "headers": shown}, None, send)
    assert not inside
    assert [one["status"] for one in sent if "status" in one] == [401, 401]
    right = [(b"authorization", b"Bearer right")]
    await door({"type": "http", "headers": right}, None, send)
    assert len(inside) == 1


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
