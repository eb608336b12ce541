"""Where nobody is there, a function of the application may answer (law access.5)."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import frozen
from dovetail.kernel import (
    InvalidValueError,
    PermissionRequest,
    Tool,
    ToolContext,
)
from dovetail.kernel.testing.memory_store import MemoryState
from dovetail.kernel.testing.scripted import ScriptedProvider, call, calls, text
from support.bounds import HANG
from support.crashes import copied, on
from support.hosts import host, kinds_of, said_of_the_call

Answerer = Callable[[PermissionRequest], Awaitable[Any]]


@frozen
class Nothing:
    pass


async def asks(input: object, context: ToolContext) -> str:
    await context.ask("act", ["it"], save=["it"])
    return "done"


TOOL = Tool("asks", "Ask.", Nothing, asks)


def script() -> ScriptedProvider:
    return ScriptedProvider(calls(call("asks", id="c1")), text("Done."))


def saying(reply: Any, seen: list[PermissionRequest] | None = None) -> Answerer:
    async def answer(request: PermissionRequest) -> Any:
        if seen is not None:
            seen.append(request)
        if isinstance(reply, BaseException):
            raise reply
        return reply

    return answer


@pytest.mark.law("access.5")
async def test_it_is_given_the_durable_request_and_its_answer_is_recorded(
    tmp_path: Path,
) -> None:
    seen: list[PermissionRequest] = []
    answer = saying("once", seen)
    async with host(tmp_path, script(), TOOL, on_permission=answer) as runtime:
        session = await runtime.sessions.create(
            location=tmp_path, model="scripted/model"
        )
        await session.prompt("go")
        assert await said_of_the_call(session) == "done"
        [request] = seen
        assert (request.action, request.resources) == ("act", ("it",))
        kinds = await kinds_of(session)
        assert kinds.index("request.asked") < kinds.index("request.answered")
        # It answers this once, and nothing is remembered of it.
        assert await runtime.location(tmp_path).permissions.saved() == []


@pytest.mark.parametrize(
    "reply", ["reject", "always", True, "", RuntimeError("no"), SystemExit(3)]
)
async def test_whatever_else_it_does_allows_nothing(tmp_path: Path, reply: Any) -> None:
    async with host(tmp_path, script(), TOOL, on_permission=saying(reply)) as runtime:
        session = await runtime.sessions.create(
            location=tmp_path, model="scripted/model"
        )
        await session.prompt("go")
        assert "done" not in await said_of_the_call(session)
        assert await runtime.requests.pending() == []


async def test_what_it_leaves_waits_for_a_person(tmp_path: Path) -> None:
    asked = anyio.Event()

    async def answer(request: PermissionRequest) -> None:
        asked.set()

    async with host(tmp_path, script(), TOOL, on_permission=answer) as runtime:
        session = await runtime.sessions.create(
            location=tmp_path, model="scripted/model"
        )
        await session.prompt("go")
        with anyio.fail_after(HANG):
            await asked.wait()
        [request] = await runtime.requests.pending()
        await runtime.requests.reply(request.id, "once")
        assert await said_of_the_call(session) == "done"


async def test_a_person_may_be_quicker_than_it(tmp_path: Path) -> None:
    asked, cancelled = anyio.Event(), anyio.Event()

    async def answer(request: PermissionRequest) -> str:
        asked.set()
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()
        return "reject"

    async with host(tmp_path, script(), TOOL, on_permission=answer) as runtime:
        session = await runtime.sessions.create(
            location=tmp_path, model="scripted/model"
        )
        await session.prompt("go")
        with anyio.fail_after(HANG):
            await asked.wait()
            [request] = await runtime.requests.pending()
            await runtime.requests.reply(request.id, "once")
            assert await said_of_the_call(session) == "done"
            await cancelled.wait()


async def test_a_call_that_goes_on_after_a_restart_asks_it_again(
    tmp_path: Path,
) -> None:
    state = MemoryState()
    async with on(
        state, TOOL, plugins=[script()], on_permission=saying(None)
    ) as runtime:
        session = await runtime.sessions.create(
            location=tmp_path, model="scripted/model"
        )
        async with session.events(follow=True) as tail:
            await session.prompt("go")
            with anyio.fail_after(HANG):
                async for event in tail:
                    if event.kind == "request.asked":
                        break
        state = copied(state)
    seen: list[PermissionRequest] = []
    async with on(
        state,
        TOOL,
        plugins=[ScriptedProvider(text("Done."))],
        lives=1,
        on_permission=saying("once", seen),
    ) as runtime:
        again = await runtime.sessions.get(session.id)
        with anyio.fail_after(HANG):
            report = await again.continuation()
            assert (await again.resume(report.digest)).succeeded
        assert await said_of_the_call(again) == "done"
        assert len(seen) == 1


async def test_a_policy_is_a_word_or_a_function(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="on_permission"):
        async with host(tmp_path, script(), on_permission="perhaps"):
            pass
