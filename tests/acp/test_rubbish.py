"""A client that sends rubbish, floods, or never answers: it is told, and served on."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from dovetail.kernel import Runtime, open_runtime
from dovetail.kernel.testing.scripted import Gate, ScriptedProvider, call, calls, text
from dovetail.plugins.acp import wire
from dovetail.plugins.acp.saying import mention
from hypothesis import given, settings, strategies as st
from support.acp_client import Client, Failed, connected, opened
from support.bounds import HANG


@pytest.fixture
def anyio_backend() -> str:
    """One loop: how a conversation waits is tried on both elsewhere."""
    return "asyncio"


@pytest.fixture
async def runtime() -> AsyncIterator[Runtime]:
    async with quick_runtime() as opened:
        yield opened


def quick_runtime() -> Runtime:
    """Return one without tools and context, which no test here is about."""
    return open_runtime(
        "sqlite://", plugins=[ScriptedProvider()], allow_plugins=["sqlite"]
    )


async def refused(client: Client, line: bytes) -> dict[str, Any]:
    """Return the error that a line is answered with."""
    before = len(client.messages)
    await client.to_agent.send(line + b"\n")
    [answer] = await client.until(lambda: client.messages[before:])
    error: dict[str, Any] = answer["error"]
    return {"id": answer["id"], **error}


NO_MESSAGES: list[tuple[bytes, object, int]] = [
    (b"{", None, -32700),
    (b"\xff\xfe", None, -32700),
    (b'{"jsonrpc":"2.0","id":1,"method":"x","params":NaN}', None, -32700),
    (b"[" * 100_000, None, -32700),
    (b"[]", None, -32600),
    (b'"a"', None, -32600),
    (b"null", None, -32600),
    (b'{"id":7,"method":3}', 7, -32600),
    (b'{"id":{},"method":"initialize"}', None, -32600),
    (b'{"id":true,"method":"initialize"}', None, -32600),
    (b'{"id":1.5,"method":"initialize"}', None, -32600),
    (b'{"id":"a","method":"initialize","params":[1]}', "a", -32602),
    (b'{"id":8,"method":"initialize","params":{}}', 8, -32602),
    (b'{"id":9,"method":"session/new","params":{}}', 9, -32600),
    (b'{"id":9,"method":"no/such","params":{}}', 9, -32601),
    (b'{"id":9,"method":"_own/method","params":{}}', 9, -32601),
]
"""Lines, and the id and the code of the error that each is answered with."""


async def test_what_is_no_message_has_an_error_for_an_answer(runtime: Runtime) -> None:
    async with connected(runtime) as client:
        for line, id, code in NO_MESSAGES:
            answer = await refused(client, line)
            assert (answer["id"], answer["code"]) == (id, code), line[:60]
        # And what comes after it is heard.
        assert (await client.initialize())["protocolVersion"] == 1


async def test_a_line_that_is_too_long_is_not_kept(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "MAX_LINE", 1000)
    async with connected(runtime) as client:
        await client.to_agent.send(b"x" * 600)
        await client.to_agent.send(b"x" * 600)
        answer = await refused(client, b"x" * 600)
        assert answer["code"] == -32600
        assert (await client.initialize())["protocolVersion"] == 1


async def test_what_nobody_answers_to_is_heard_and_let_go(runtime: Runtime) -> None:
    async with connected(runtime) as client:
        for message in (
            {"id": 99, "result": {}},
            {"id": "never", "error": {"code": 1, "message": "x"}},
            {"id": None, "error": None},
            {"method": "session/cancel", "params": {"sessionId": "none"}},
            {"method": "session/cancel", "params": [1]},
            {"method": "session/prompt", "params": {}},
            {"method": "$/cancel_request", "params": {"requestId": {"a": 1}}},
            {"method": "$/anything"},
        ):
            await client.write({"jsonrpc": "2.0", **message})
        await client.to_agent.send(b"\n   \n\r\n")
        assert (await client.initialize())["protocolVersion"] == 1
        assert len(client.messages) == 1


async def test_a_notification_with_an_id_is_done_and_answered(
    runtime: Runtime,
) -> None:
    async with connected(runtime) as client:
        await client.initialize()
        assert await client.call("session/cancel", sessionId="none") is None


async def test_the_newest_version_is_offered_whatever_is_asked_for(
    runtime: Runtime,
) -> None:
    async with connected(runtime) as client:
        for version in (0, 1, 2, 65535):
            answer = await client.call("initialize", protocolVersion=version)
            assert answer["protocolVersion"] == 1


NO_PROMPTS: list[dict[str, Any]] = [
    {"type": "text", "text": ""},
    {"type": "text", "text": "half \ud800 of it"},
    {"type": "text", "text": "x" * 1_100_000},
    {"type": "text", "text": 5},
    {"type": "image", "mimeType": "image/png", "data": "not base64!"},
    {"type": "resource", "resource": {"uri": "file:///a", "blob": "?"}},
    {"type": "no such type"},
    {},
]


async def test_a_directory_that_is_none_is_refused(runtime: Runtime) -> None:
    none = ("relative", "/no/such/directory", "/dev/null", "/tmp\x00x", "/\ud800", "")
    async with connected(runtime) as client:
        await client.initialize()
        for cwd in none:
            with pytest.raises(Failed) as caught:
                await client.call("session/new", cwd=cwd, mcpServers=[])
            assert caught.value.number == -32602, cwd


async def test_a_prompt_that_says_nothing_usable_is_refused(
    runtime: Runtime, tmp_path: Path
) -> None:
    async with connected(runtime) as client:
        await client.initialize()
        session_id = await client.new(tmp_path)
        for block in NO_PROMPTS:
            with pytest.raises(Failed) as caught:
                await client.call(
                    "session/prompt", sessionId=session_id, prompt=[block]
                )
            assert caught.value.number == -32602, block
        session = await runtime.sessions.get(session_id)
        assert (await session.messages()).items == []


async def test_a_session_that_is_not_open_is_not_found(runtime: Runtime) -> None:
    async with connected(runtime) as client:
        await client.initialize()
        for method, params in (
            ("session/prompt", {"prompt": [{"type": "text", "text": "hi"}]}),
            ("session/close", {}),
            ("session/set_mode", {"modeId": "plan"}),
            ("session/load", {"cwd": "/", "mcpServers": []}),
            ("session/resume", {"cwd": "/"}),
            ("session/fork", {"cwd": "/"}),
        ):
            with pytest.raises(Failed) as caught:
                await client.call(method, sessionId="ses_none", **params)
            assert caught.value.number == -32002, method


async def test_an_error_repeats_no_more_than_is_of_use(runtime: Runtime) -> None:
    async with connected(runtime) as client:
        await client.initialize()
        with pytest.raises(Failed) as caught:
            await client.call("session/load", sessionId="s" * 100_000, cwd="/")
        assert len(str(caught.value)) < 5000


def test_a_link_that_is_no_address_is_named_as_it_is() -> None:
    assert mention("file://[::1", "odd", "/here") == "[odd](file://[::1)"


async def test_a_flood_is_answered_one_by_one(runtime: Runtime) -> None:
    async with connected(runtime) as client:
        await client.initialize()
        numbers = [await client.begin("session/list") for _ in range(600)]
        refused: list[str] = []
        for number in numbers:
            try:
                assert (await client.end(number))["sessions"] == []
            except Failed as failure:
                refused.append(str(failure))
        # More than are worked on at once, where listing is slower than asking.
        assert all("requests at once" in words for words in refused)
        assert len(refused) <= len(numbers) - wire.MAX_REQUESTS
        assert (await client.call("session/list"))["sessions"] == []


async def test_more_prompts_than_may_be_at_once_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "MAX_REQUESTS", 4)
    gate = Gate()
    model = ScriptedProvider([gate, *text("Done.")], text("All."))
    async with opened(tmp_path, model) as (_, client, session_id):
        numbers = [await client.begin_prompt(session_id, f"{n}") for n in range(5)]
        with pytest.raises(Failed, match="over 4 requests"):
            await client.end(numbers[-1])
        await gate.reached()
        gate.open()
        for number in numbers[:-1]:
            assert (await client.end(number))["stopReason"] == "end_turn"


async def test_a_permission_that_is_never_answered_waits_and_holds_up_nobody(
    tmp_path: Path,
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    model = ScriptedProvider(calls(call("bash", {"command": "true"})), text("Other."))
    async with (
        open_runtime("sqlite://", plugins=[model]) as runtime,
        connected(runtime) as client,
    ):
        await client.initialize()
        first = await client.new(tmp_path / "one")
        second = await client.new(tmp_path / "two")
        await client.begin_prompt(first, "run it")
        await client.until(lambda: client.requests("session/request_permission"))
        assert await client.prompt(second, "hi") == "end_turn"
        [waiting] = await runtime.requests.pending()
        assert waiting.session_id == first


NO_CHOICES: list[object] = [
    {"outcome": {"outcome": "cancelled"}},
    {"outcome": {"outcome": "selected", "optionId": "root"}},
    {"outcome": {"outcome": "selected"}},
    {"outcome": 5},
    {},
    None,
    [],
]


async def test_an_answer_that_chooses_nothing_is_no_yes(tmp_path: Path) -> None:
    again = [calls(call("bash", {"command": "touch made"})) for _ in NO_CHOICES]
    async with opened(tmp_path, ScriptedProvider(*again)) as (_, client, session_id):
        left = list(NO_CHOICES)

        async def odd(params: object) -> object:
            return left.pop(0)

        client.answering["session/request_permission"] = odd
        for answer in NO_CHOICES:
            assert await client.prompt(session_id, "run") == "cancelled", answer
        assert left == []
        assert not (tmp_path / "made").exists()


async def test_a_client_that_stops_reading_holds_up_only_itself(
    tmp_path: Path,
) -> None:
    model = ScriptedProvider(text(*("word " for _ in range(6000))))
    async with opened(tmp_path, model) as (runtime, client, session_id):
        client.checking = False
        with client.deaf():
            number = await client.begin_prompt(session_id, "go")
            session = await runtime.sessions.get(session_id)
            with anyio.fail_after(HANG):
                while (await session.info()).outcome.status == "idle":
                    await session.wait()
        # What it missed comes all the same, once.
        assert (await client.end(number))["stopReason"] == "end_turn"
        assert client.said() == "word " * 6000


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["id", "method", "params", "result", "error", "jsonrpc"]),
            st.sampled_from(
                ["initialize", "session/new", "session/prompt", "session/cancel"]
            )
            | json_values,
        ),
        min_size=5,
        max_size=20,
    )
)
@settings(max_examples=15)
def test_no_message_ends_the_conversation(messages: list[dict[str, Any]]) -> None:
    async def main() -> None:
        async with (
            quick_runtime() as runtime,
            connected(runtime) as client,
        ):
            for message in messages:
                await client.to_agent.send(json.dumps(message).encode() + b"\n")
            last = {"id": "last", "method": "initialize"}
            await client.write({**last, "params": {"protocolVersion": 1}})
            await client.until(
                lambda: [one for one in client.messages if one.get("id") == "last"]
            )

    anyio.run(main)
