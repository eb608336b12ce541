"""A conversation with an editor: what is said, what is told, and how it ends."""

import base64
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest
from dovetail.kernel import ModelRequest, Price, PromptAdmitted, Usage, open_runtime
from dovetail.kernel.testing.scripted import (
    Beat,
    Gate,
    ScriptedProvider,
    call,
    calls,
    finish,
    reasoning,
    text,
)
from dovetail.plugins.acp import wire
from support.acp_client import Client, Failed, connected, opened
from support.bounds import HANG

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAA"
    "AABJRU5ErkJggg=="
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


BOTH_LOOPS = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
"""For what waits in a way of its own."""


def chosen(params: dict[str, object], option: str) -> dict[str, object]:
    """Return the answer to a permission request."""
    offered = [one["optionId"] for one in params["options"]]  # type: ignore[attr-defined]
    assert option in offered
    return {"outcome": {"outcome": "selected", "optionId": option}}


@BOTH_LOOPS
async def test_an_answer_is_told_as_it_streams_and_once(tmp_path: Path) -> None:
    model = ScriptedProvider([reasoning("Hm."), *text("Hel", "lo")])
    async with opened(tmp_path, model) as (_, client, session_id):
        assert await client.prompt(session_id, "hi") == "end_turn"
        assert client.said() == "Hello"
        assert len(client.updates("agent_message_chunk")) == 2
        assert client.said("agent_thought_chunk") == "Hm."
        assert client.updates("user_message_chunk") == []


async def test_a_call_is_told_with_its_change_and_a_permission(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n")
    change = {"path": "a.txt", "old_string": "one", "new_string": "two"}
    model = ScriptedProvider(calls(call("edit", change)), text("Done."))
    async with opened(tmp_path, model) as (_, client, session_id):
        asked: list[dict[str, object]] = []

        async def allow(params: dict[str, object]) -> object:
            asked.append(params)
            return chosen(params, "once")

        client.answering["session/request_permission"] = allow
        assert await client.prompt(session_id, "change it") == "end_turn"
        assert (tmp_path / "a.txt").read_text() == "two\n"

        [start] = client.updates("tool_call")
        diff = {
            "type": "diff",
            "path": str(tmp_path / "a.txt"),
            "oldText": "one",
            "newText": "two",
        }
        assert start["title"] == "edit a.txt"
        assert start["kind"] == "edit"
        assert start["content"] == [diff]
        assert start["locations"] == [{"path": str(tmp_path / "a.txt")}]
        [last] = client.updates("tool_call_update")[-1:]
        assert last["toolCallId"] == start["toolCallId"]
        assert last["status"] == "completed"
        [card] = asked
        assert card["toolCall"]["toolCallId"] == start["toolCallId"]  # type: ignore[index]
        assert card["toolCall"]["content"][0] == diff  # type: ignore[index]


async def test_a_rejection_without_advice_stops_the_run(tmp_path: Path) -> None:
    model = ScriptedProvider(calls(call("bash", {"command": "rm -rf build"})))
    async with opened(tmp_path, model) as (_, client, session_id):

        async def stop(params: dict[str, object]) -> object:
            return chosen(params, "stop")

        client.answering["session/request_permission"] = stop
        assert await client.prompt(session_id, "clean up") == "cancelled"
        assert client.updates("tool_call")[0]["title"] == "rm -rf build"
        assert client.updates("tool_call_update")[-1]["status"] == "failed"


async def test_a_rejection_lets_the_model_go_on(tmp_path: Path) -> None:
    model = ScriptedProvider(
        calls(call("bash", {"command": "rm -rf build"})), text("Left as it is.")
    )
    async with opened(tmp_path, model) as (_, client, session_id):

        async def reject(params: dict[str, object]) -> object:
            return chosen(params, "reject")

        client.answering["session/request_permission"] = reject
        assert await client.prompt(session_id, "clean up") == "end_turn"
        assert client.said() == "Left as it is."


@BOTH_LOOPS
async def test_cancel_settles_before_the_prompt_is_answered(tmp_path: Path) -> None:
    gate = Gate()
    model = ScriptedProvider([*text("Half")[:1], gate, finish()], text("Again."))
    async with opened(tmp_path, model) as (runtime, client, session_id):
        number = await client.begin_prompt(session_id, "go")
        await gate.reached()
        await client.notify("session/cancel", sessionId=session_id)
        assert (await client.end(number))["stopReason"] == "cancelled"
        session = await runtime.sessions.get(session_id)
        assert (await session.info()).outcome.status == "interrupted"
        assert client.said() == "Half"
        assert await client.prompt(session_id, "go on") == "end_turn"
        assert client.said() == "HalfAgain."


@BOTH_LOOPS
async def test_a_second_prompt_steers_and_both_end_with_the_work(
    tmp_path: Path,
) -> None:
    gate = Gate()

    def second(request: ModelRequest) -> Sequence[Beat]:
        said = [m.text for m in request.history.messages if m.type == "user"]
        assert said == ["first", "second"]
        return text("Both.")

    model = ScriptedProvider([*text("One.")[:1], gate, finish()], second)
    async with opened(tmp_path, model) as (runtime, client, session_id):
        first = await client.begin_prompt(session_id, "first")
        await gate.reached()
        then = await client.begin_prompt(session_id, "second")
        session = await runtime.sessions.get(session_id)
        async with session.events(follow=True) as tail:
            async for event in tail:
                if isinstance(event, PromptAdmitted) and event.prompt.text == "second":
                    break
        gate.open()
        assert (await client.end(first))["stopReason"] == "end_turn"
        assert (await client.end(then))["stopReason"] == "end_turn"
        assert client.said() == "One.Both."


async def test_a_cancelled_prompt_that_nobody_saw_is_taken_back(tmp_path: Path) -> None:
    gate = Gate()
    model = ScriptedProvider([*text("One.")[:1], gate, finish()])
    async with opened(tmp_path, model) as (runtime, client, session_id):
        first = await client.begin_prompt(session_id, "first")
        await gate.reached()
        then = await client.begin_prompt(session_id, "second")
        await client.notify("session/cancel", sessionId=session_id)
        assert (await client.end(first))["stopReason"] == "cancelled"
        assert (await client.end(then))["stopReason"] == "cancelled"
        session = await runtime.sessions.get(session_id)
        assert await session.pending() == []


async def test_files_links_and_images_are_part_of_a_prompt(tmp_path: Path) -> None:
    model = ScriptedProvider(text("Seen."))
    async with opened(tmp_path, model) as (_, client, session_id):
        uri = (tmp_path / "src" / "main.py").as_uri()
        answer = await client.call(
            "session/prompt",
            sessionId=session_id,
            prompt=[
                {"type": "text", "text": "Look at "},
                {"type": "resource_link", "name": "main.py", "uri": uri},
                {"type": "text", "text": " and "},
                {
                    "type": "resource",
                    "resource": {
                        "uri": (tmp_path / "notes.md").as_uri(),
                        "mimeType": "text/markdown",
                        "text": "# Notes",
                    },
                },
                {"type": "image", "mimeType": "image/png", "data": PIXEL},
                {
                    "type": "resource_link",
                    "name": "issue",
                    "uri": "https://example.org/1",
                },
            ],
        )
        assert answer["stopReason"] == "end_turn"
        [said] = [m for m in model.histories[0] if m.type == "user"]
        assert (
            said.text
            == "Look at @src/main.py and @notes.md[issue](https://example.org/1)"
        )
        assert [(one.name, one.mime) for one in said.files] == [
            ("notes.md", "text/markdown"),
            ("image-2.png", "image/png"),
        ]
        assert base64.b64decode(said.files[0].data) == b"# Notes"


async def test_todos_are_a_plan_and_usage_is_told(tmp_path: Path) -> None:
    todos = [
        {"id": "1", "content": "Look", "status": "completed"},
        {"id": "2", "content": "Change", "status": "in_progress", "priority": "high"},
        {"id": "3", "content": "Nothing", "status": "cancelled"},
    ]
    model = ScriptedProvider(
        calls(call("todowrite", {"todos": todos})),
        text("Planned.", usage=Usage(input=70, output=30)),
        context=1000,
    )
    async with opened(tmp_path, model) as (_, client, session_id):
        assert await client.prompt(session_id, "plan") == "end_turn"
        [plan] = client.updates("plan")
        assert [one["content"] for one in plan["entries"]] == ["Look", "Change"]
        assert plan["entries"][1]["priority"] == "high"
        usage = client.updates("usage_update")[-1]
        assert (usage["used"], usage["size"]) == (100, 1000)


async def test_a_cost_is_told_only_where_it_is_whole(tmp_path: Path) -> None:
    model = ScriptedProvider(
        text("Counted.", usage=Usage(input=2, output=1)),
        text("Not told.", usage=Usage(input=3)),
        context=1000,
        price=Price(input=1_000_000, output=2_000_000),
    )
    async with opened(tmp_path, model) as (_, client, session_id):
        assert await client.prompt(session_id, "count") == "end_turn"
        assert await client.prompt(session_id, "and on") == "end_turn"
        whole, part = client.updates("usage_update")
        assert whole["cost"] == {"amount": 4, "currency": "USD"}
        assert "_meta" not in whole
        assert "cost" not in part
        assert part["_meta"] == {"dovetail/cost": {"at_least": 4, "unpriced": 1}}


async def test_what_went_wrong_is_an_error_of_the_prompt(tmp_path: Path) -> None:
    model = ScriptedProvider()
    async with opened(tmp_path, model) as (_, client, session_id):
        with pytest.raises(Failed) as caught:
            await client.prompt(session_id, "hi")
        assert caught.value.data == {"code": "provider.invalid_request"}


async def load(client: Client, session_id: str, cwd: Path) -> None:
    await client.call("session/load", sessionId=session_id, cwd=str(cwd), mcpServers=[])


@BOTH_LOOPS
async def test_load_tells_all_of_the_past_in_order_and_once(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("what it holds\n")
    model = ScriptedProvider(
        [reasoning("Hm."), *calls(call("read", {"path": "a.txt"}))],
        text("Read it."),
        text("Again."),
    )
    async with open_runtime("sqlite://", plugins=[model]) as runtime:
        async with connected(runtime) as client:
            await client.initialize()
            session_id = await client.new(tmp_path)
            await client.prompt(session_id, "read a.txt")
        async with connected(runtime) as client:
            await client.initialize()
            await load(client, session_id, tmp_path)
            order = [
                (one["sessionUpdate"], one["content"]["text"])
                if "chunk" in one["sessionUpdate"]
                else (one["sessionUpdate"], one.get("status"))
                for one in client.updates()
                if one["sessionUpdate"] != "available_commands_update"
            ]
            assert order == [
                ("user_message_chunk", "read a.txt"),
                ("agent_thought_chunk", "Hm."),
                ("tool_call", "pending"),
                ("tool_call_update", "completed"),
                ("agent_message_chunk", "Read it."),
            ]
            assert await client.prompt(session_id, "and again") == "end_turn"
            assert client.said() == "Read it.Again."
            assert client.said("user_message_chunk") == "read a.txt"


async def test_what_another_door_says_is_told_too(tmp_path: Path) -> None:
    model = ScriptedProvider(text("Heard."))
    async with opened(tmp_path, model) as (runtime, client, session_id):
        session = await runtime.sessions.get(session_id)
        await session.prompt("from elsewhere")
        await session.wait()
        await client.until(lambda: client.said() == "Heard.")
        assert client.said("user_message_chunk") == "from elsewhere"


@BOTH_LOOPS
async def test_a_request_that_is_answered_elsewhere_is_withdrawn(
    tmp_path: Path,
) -> None:
    model = ScriptedProvider(calls(call("bash", {"command": "true"})), text("Ran."))
    async with opened(tmp_path, model) as (runtime, client, session_id):
        number = await client.begin_prompt(session_id, "run it")
        [asked] = await client.until(
            lambda: client.requests("session/request_permission")
        )
        here = runtime.location(tmp_path)
        [request] = await here.permissions.pending(session_id)
        await here.permissions.reply(request.id, "once")
        assert (await client.end(number))["stopReason"] == "end_turn"
        await client.until(lambda: client.withdrawn)
        assert client.withdrawn == [asked["id"]]


async def test_cancel_withdraws_what_waits_for_a_permission(tmp_path: Path) -> None:
    model = ScriptedProvider(calls(call("bash", {"command": "true"})))
    async with opened(tmp_path, model) as (runtime, client, session_id):
        number = await client.begin_prompt(session_id, "run it")
        await client.until(lambda: client.requests("session/request_permission"))
        await client.notify("session/cancel", sessionId=session_id)
        assert (await client.end(number))["stopReason"] == "cancelled"
        await client.until(lambda: client.withdrawn)
        assert not (await runtime.requests.pending())


@BOTH_LOOPS
async def test_a_client_that_hangs_up_leaves_a_session_that_goes_on(
    tmp_path: Path,
) -> None:
    gate = Gate()
    model = ScriptedProvider([*text("Half")[:1], gate, finish()], text("Whole."))
    async with open_runtime("sqlite://", plugins=[model]) as runtime:
        async with connected(runtime) as client:
            await client.initialize()
            session_id = await client.new(tmp_path)
            await client.begin_prompt(session_id, "go")
            await gate.reached()
        session = await runtime.sessions.get(session_id)
        with anyio.fail_after(HANG):
            assert (await session.wait()).status == "interrupted"
        async with connected(runtime) as client:
            await client.initialize()
            await load(client, session_id, tmp_path)
            assert client.said() == "Half"
            assert await client.prompt(session_id, "go on") == "end_turn"
            assert client.said() == "HalfWhole."


async def test_what_was_asked_before_the_end_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "DRAIN_SECONDS", HANG)
    async with (
        open_runtime("sqlite://", plugins=[ScriptedProvider()]) as runtime,
        connected(runtime) as client,
    ):
        await client.initialize()
        number = await client.begin("session/new", cwd=str(tmp_path), mcpServers=[])
        client.to_agent.end()
        assert (await client.end(number))["sessionId"]


@BOTH_LOOPS
async def test_a_prompt_that_runs_at_the_end_is_answered_as_cancelled(
    tmp_path: Path,
) -> None:
    gate = Gate()
    model = ScriptedProvider([*text("Half")[:1], gate, finish()])
    async with opened(tmp_path, model) as (_, client, session_id):
        number = await client.begin_prompt(session_id, "go")
        await gate.reached()
        client.to_agent.end()
        assert (await client.end(number))["stopReason"] == "cancelled"


@pytest.mark.law("tools.19")
async def test_what_is_not_saved_is_read_and_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("on the disk\n")
    (tmp_path / "b.txt").write_text("the same\n")
    change = {"path": "a.txt", "old_string": "typed", "new_string": "other"}
    model = ScriptedProvider(
        calls(
            call("read", {"path": "a.txt"}, id="a"),
            call("read", {"path": "b.txt"}, id="b"),
        ),
        calls(call("edit", change), call("write", {"path": "a.txt", "content": "x"})),
        text("It must be saved."),
    )
    async with opened(
        tmp_path, model, on_permission="allow", fs={"readTextFile": True}
    ) as (_, client, session_id):
        has = {str(tmp_path / "a.txt"): "typed\n", str(tmp_path / "b.txt"): "the same"}

        async def read(params: dict[str, str]) -> object:
            assert params["sessionId"] == session_id
            return {"content": has[params["path"]]}

        client.answering["fs/read_text_file"] = read
        assert await client.prompt(session_id, "change it") == "end_turn"
        made = [
            one for m in model.histories[-1] if m.type == "assistant" for one in m.calls
        ]
        first, second, *refused = [one.text for one in made]
        assert first.startswith("1\ttyped\n")
        assert "has not saved" in first
        assert second == "1\tthe same"
        assert len(refused) == 2
        for one in refused:
            assert "not saved it" in one
        assert (tmp_path / "a.txt").read_text() == "on the disk\n"


@pytest.mark.parametrize("answer", [None, {}, {"content": 5}, []], ids=str)
async def test_an_editor_that_says_nothing_of_a_file_is_no_hindrance(
    tmp_path: Path, answer: object
) -> None:
    (tmp_path / "a.txt").write_text("on the disk\n")
    model = ScriptedProvider(calls(call("read", {"path": "a.txt"})), text("Read."))
    async with opened(tmp_path, model, fs={"readTextFile": True}) as (
        _,
        client,
        session_id,
    ):

        async def odd(params: object) -> object:
            return answer

        client.answering["fs/read_text_file"] = odd
        assert await client.prompt(session_id, "read it") == "end_turn"
        [made] = [
            one for m in model.histories[-1] if m.type == "assistant" for one in m.calls
        ]
        assert made.text == "1\ton the disk"
