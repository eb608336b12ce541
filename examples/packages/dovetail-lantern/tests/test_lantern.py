"""The provider in sessions, and its route against servers that do as they like."""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import frozen
from dovetail.kernel import (
    AssistantMessage,
    Finish,
    ModelEvent,
    Outcome,
    ProviderError,
    ReasoningPart,
    RetryPolicy,
    RetryScheduled,
    Session,
    TextDelta,
    Tool,
    ToolContext,
    Usage,
    hookimpl,
    open_runtime,
)
from dovetail_lantern import plugin
from dovetail_lantern.protocol import Reader
from dovetail_lantern.route import MAX_LINE
from lantern_server import HANG, LanternServer, answer, bad, lantern_server, line

KEY = "lk-secret-0123"
END = line("end", {"why": "stop"})
HELLO = answer(line("say", "Hello"), END)


@frozen
class Sides:
    sides: int


async def roll(input: Sides, context: ToolContext) -> str:
    return f"{input.sides - 1}"


class Dice:
    @hookimpl
    def dovetail_register_tools(self, register: Any) -> None:
        register(Tool("roll", "Roll a die.", Sides, roll, effect="pure"))


@asynccontextmanager
async def session_with(
    server: LanternServer, folder: Path, **environment: str
) -> AsyncGenerator[Session]:
    given = {"LANTERN_URL": server.url, "LANTERN_KEY": KEY, "DOVETAIL_CONFIG": ""}
    with anyio.fail_after(60):
        async with open_runtime(
            "sqlite://",
            plugins=[plugin, Dice()],
            allow_plugins=["sqlite"],
            on_permission="allow",
            retry=RetryPolicy(retries=2, first=0.001, jitter=0),
            environment={**given, **environment},
        ) as runtime:
            yield await runtime.sessions.create(location=folder, model="lantern/small")


async def prompted(session: Session, text: str = "Go.") -> Outcome:
    await session.prompt(text)
    return await session.wait()


async def replies(session: Session) -> list[AssistantMessage]:
    history = await session.history()
    return [each for each in history if isinstance(each, AssistantMessage)]


# --- in a session -----------------------------------------------------------------


async def test_text_reasoning_calls_and_usage_arrive(tmp_path: Path) -> None:
    called = answer(
        line("think", "A die "),
        line("think", "would help."),
        b"\n",
        line("call", {"id": "c1", "tool": "roll", "input": '{"sides": 6}'}),
        line("end", {"why": "calls", "in": 12, "out": 3, "thought": 2}),
    )
    said = answer(line("say", "It is "), line("say", "five: ⚄"), END)
    async with (
        lantern_server(called, said) as server,
        session_with(server, tmp_path) as session,
    ):
        outcome = await prompted(session, "Roll.")
        first, second = await replies(session)
    assert outcome.succeeded
    assert isinstance(first.parts[0], ReasoningPart)
    assert [part.text for part in first.calls] == ["5"]
    assert first.usage == Usage(input=12, output=3, reasoning=2)
    assert second.text == "It is five: ⚄"
    assert second.usage == Usage()


async def test_a_request_is_as_the_protocol_says_and_begins_like_the_one_before(
    tmp_path: Path,
) -> None:
    called = answer(
        line("call", {"id": "c1", "tool": "roll", "input": '{"sides":6}'}),
        line("end", {"why": "calls"}),
    )
    async with (
        lantern_server(called, HELLO) as server,
        session_with(server, tmp_path) as session,
    ):
        await prompted(session, "Roll.")
    one, two = server.bodies
    assert two.startswith(one[: one.index(b'"Roll."') + len(b'"Roll."}')])
    body = json.loads(two)
    assert body["model"] == "small"
    assert body["tools"][0]["name"] == "roll"
    assert body["messages"] == [
        {"by": "user", "text": "Roll."},
        {
            "by": "model",
            "text": "",
            "calls": [
                {
                    "id": "c1",
                    "tool": "roll",
                    "input": '{"sides":6}',
                    "done": True,
                    "result": "5",
                }
            ],
        },
    ]
    assert server.heads[0].startswith(b"POST /answers ")
    assert f"authorization: bearer {KEY}".encode() in server.heads[0].lower()


async def test_a_busy_server_is_asked_again_when_it_says(tmp_path: Path) -> None:
    busy = bad(429, {"what": "busy", "text": "later", "after": 0.05})
    down = answer(line("fail", {"what": "down", "text": "maintenance"}))
    async with (
        lantern_server(busy, down, HELLO) as server,
        session_with(server, tmp_path) as session,
    ):
        assert (await prompted(session)).succeeded
        retries = [
            event
            async for event in session.events()
            if isinstance(event, RetryScheduled)
        ]
    assert [event.failure.code for event in retries] == [
        "provider.rate_limited",
        "provider.unavailable",
    ]
    assert retries[0].delay_ms == 50


async def test_without_a_key_nothing_is_sent(tmp_path: Path) -> None:
    async with (
        lantern_server() as server,
        session_with(server, tmp_path, LANTERN_KEY="") as session,
    ):
        outcome = await prompted(session)
    assert outcome.reason is not None
    assert outcome.reason.code == "provider.key_missing"
    assert "LANTERN_KEY" in outcome.reason.message
    assert server.heads == []


async def test_an_interrupt_leaves_the_server(tmp_path: Path) -> None:
    async with (
        lantern_server(answer(line("say", "Well"), HANG)) as server,
        session_with(server, tmp_path) as session,
    ):
        await session.prompt("Go.")
        await server.silent.wait()
        await session.interrupt()
        assert (await session.wait()).status == "interrupted"
        await server.left.wait()


# --- servers that do as they like -------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "code", "told"),
    [
        (answer(line("say", "Hel")), "provider.stream_broken", "was cut"),
        (answer(END[:-1]), "provider.stream_broken", "was cut"),
        (answer(b"say Hello\n"), "provider.invalid_output", "no JSON"),
        (answer(b"say \xff\n"), "provider.invalid_output", "no JSON"),
        (answer(b'sing "la"\n'), "provider.invalid_output", "sing"),
        (answer(line("say", 5)), "provider.invalid_output", "say 5"),
        (answer(line("call", {"id": 1})), "provider.invalid_output", "call"),
        (answer(b"say " + b"[" * 9999 + b"\n"), "provider.invalid_output", "no JSON"),
        (answer(b'say "' + b"x" * MAX_LINE), "provider.invalid_output", "longer"),
        (answer(line("fail", {"what": "full"})), "provider.context_overflow", ""),
        (answer(line("fail", {"what": "new"})), "provider.failed", ""),
        (bad(401, {"what": "key", "text": KEY}), "provider.authentication", "[key]"),
        (bad(403, b"<html>"), "provider.authentication", "<html>"),
        (bad(500, b"[" * 99999), "provider.unavailable", "[[["),
        (bad(302, b""), "provider.failed", "no reason"),
        (bad(400, {"what": [], "text": {}}), "provider.invalid_request", "no reason"),
        ([b"HTTP/1.1 200 OK\r\n\r\n<p>"], "provider.invalid_output", "type"),
        (
            [b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n"],
            "provider.invalid_output",
            "packed",
        ),
        ([b"SSH-2.0\r\n"], "provider.unreachable", "RemoteProtocolError"),
        ([], "provider.unreachable", "RemoteProtocolError"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_a_wrong_answer_is_a_typed_error_without_the_key(
    sent: Sequence[bytes], code: str, told: str, tmp_path: Path
) -> None:
    async with (
        lantern_server(sent, sent, sent) as server,
        session_with(server, tmp_path) as session,
    ):
        outcome = await prompted(session)
        everything = [repr(event) async for event in session.events()]
    assert outcome.reason is not None
    assert outcome.reason.code == code
    assert told in outcome.reason.message
    assert KEY not in str(outcome) + "".join(everything)


async def test_an_answer_in_single_bytes_is_the_same(tmp_path: Path) -> None:
    whole = b"".join(HELLO[1:])
    pieces = [HELLO[0], *(whole[at : at + 1] for at in range(len(whole)))]
    async with (
        lantern_server(pieces) as server,
        session_with(server, tmp_path) as session,
    ):
        assert (await prompted(session)).succeeded
        assert (await replies(session))[0].text == "Hello"


async def test_a_server_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    async with lantern_server() as server:
        pass
    async with session_with(server, tmp_path) as session:
        outcome = await prompted(session)
    assert outcome.reason is not None
    assert outcome.reason.code == "provider.unreachable"


@pytest.mark.parametrize("after", [-1, 1e9, "soon", True, None, [3]])
def test_advice_that_makes_no_sense_is_no_advice(after: Any) -> None:
    error = Reader("lantern", KEY).failure({"what": "busy", "after": after})
    assert error.retryable
    assert error.retry_after is None


@pytest.mark.parametrize("count", [-1, 1.5, True, "3", 2**60, None])
def test_a_number_of_tokens_that_makes_no_sense_is_unknown(count: Any) -> None:
    said = line("end", {"why": "?", "in": count, "out": 4})
    events: list[ModelEvent] = list(Reader("lantern", KEY).events(said))
    assert events == [Finish("unknown", Usage(output=4))]


def test_a_lone_surrogate_becomes_a_replacement() -> None:
    [event] = Reader("lantern", KEY).events(b'say "\\ud800"')
    assert event == TextDelta("text", "\ufffd")


def test_a_failure_keeps_to_one_line() -> None:
    with pytest.raises(ProviderError) as caught:
        list(
            Reader("lantern", KEY).events(
                line("fail", {"what": "key", "text": "a\x1b[2J\nb"})
            )
        )
    assert caught.value.problem == "a [2J b"
