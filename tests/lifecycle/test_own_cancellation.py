"""A tool that cancels the task that it is called in, by asyncio's own means: its call
breaks, is settled as every other, and holds up neither its Step nor its neighbours."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest
from attrs import frozen
from dovetail.kernel import (
    AssistantMessage,
    CallNotice,
    Event,
    ModelRequest,
    Tool,
    ToolContext,
    hookimpl,
)
from dovetail.kernel.testing import Gate, ScriptedProvider, call, calls, text
from support.bounds import HANG
from support.hosts import host


@frozen
class Nothing:
    pass


def cancel_own() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


async def and_waits() -> str:
    cancel_own()
    await anyio.lowlevel.checkpoint()
    return "unreachable"


async def and_returns() -> str:
    cancel_own()
    return "returned"


async def twice_and_breaks() -> str:
    cancel_own()
    cancel_own()
    raise ValueError


async def and_goes_on() -> str:
    try:
        await and_waits()
    except asyncio.CancelledError:
        cancel_own()
    return "went on"


OUTCOMES = [
    (and_waits, "tool 'bad' broke (CancelledError)"),
    (and_returns, "returned"),
    (twice_and_breaks, "tool 'bad' broke (ValueError)"),
    (and_goes_on, "went on"),
]


class Guard:
    """A plugin that cancels the task that it is asked in about a call."""

    name = "guard"

    @hookimpl
    def dovetail_prepare_tool_call(self, call: CallNotice) -> None:
        if call.tool == "bad":
            cancel_own()


@pytest.mark.law("tools.1")
@pytest.mark.law("plugins.8")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(("how", "told"), OUTCOMES)
async def test_a_tool_that_cancels_its_own_task_has_one_settlement(
    tmp_path: Path, how: Callable[[], Awaitable[str]], told: str
) -> None:
    async def execute(input: Nothing, context: ToolContext) -> str:
        return await how()

    made = await settled(tmp_path, Tool("bad", "Bad.", Nothing, execute))
    assert made == [told, "good", told]


@pytest.mark.law("tools.1")
@pytest.mark.law("plugins.8")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_hook_that_cancels_the_task_of_a_call_leaves_the_call_as_it_is(
    tmp_path: Path,
) -> None:
    async def execute(input: Nothing, context: ToolContext) -> str:
        await anyio.lowlevel.checkpoint()
        return "fine"

    tool = Tool("bad", "Bad.", Nothing, execute)
    assert await settled(tmp_path, tool, Guard()) == ["fine", "good", "fine"]


class InTheStep:
    """A plugin that cancels the task of a Step, or of whoever tells observers, once."""

    name = "in_the_step"

    def __init__(self, where: str) -> None:
        self._where: str | None = where

    def _cancel(self, where: str) -> None:
        if where == self._where:
            self._where = None
            cancel_own()

    @hookimpl
    def dovetail_prepare_request(self, request: ModelRequest) -> None:
        self._cancel("request")

    @hookimpl
    def dovetail_observe_event(self, event: Event) -> None:
        self._cancel("observer")


@pytest.mark.law("execution.7")
@pytest.mark.law("plugins.8")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(("where", "status"), [("request", "failed"), ("observer", "")])
async def test_whatever_else_cancels_a_task_of_ours_breaks_one_execution_at_most(
    tmp_path: Path, where: str, status: str
) -> None:
    gate = Gate()
    gate.open()
    provider = ScriptedProvider([gate, *text("Done.")], text("Done."))
    plugin = InTheStep(where)
    async with host(tmp_path, provider, plugins=[plugin]) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        with anyio.fail_after(HANG):
            await session.prompt("go")
            outcome = await session.wait()
            assert outcome.status == (status or "succeeded")
            if outcome.reason is not None:
                assert outcome.reason.message == "CancelledError"
            kinds = [event.kind async for event in session.events()]
            assert kinds[-1] == "execution.ended"
            assert kinds.count("step.started") == 1
            await session.prompt("again")
            assert (await session.wait()).succeeded


async def settled(
    tmp_path: Path, bad: Tool[Nothing, str], *plugins: object
) -> list[str | None]:
    """Run two calls of a tool beside one of another; return what was told of each."""

    async def works(input: Nothing, context: ToolContext) -> str:
        return "good"

    good = Tool("good", "Good.", Nothing, works)
    script = calls(call("bad", id="a"), call("good", id="b"), call("bad", id="c"))
    provider = ScriptedProvider(script, text("Done."))
    async with host(tmp_path, provider, bad, good, plugins=plugins) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        with anyio.fail_after(HANG):
            await session.prompt("go")
            assert (await session.wait()).succeeded
        _, asked, _ = await session.history()
    assert isinstance(asked, AssistantMessage)
    return [one.failure.message if one.failure else one.text for one in asked.calls]
