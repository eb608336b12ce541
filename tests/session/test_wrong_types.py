"""What a caller or a tool gives in the wrong type is refused before it is recorded: in
the log it could not be read again, and the session would count as damaged for good."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import frozen
from dovetail.kernel import (
    AssistantMessage,
    Budget,
    InvalidValueError,
    ProcessMark,
    Session,
    Tool,
    ToolContext,
)
from dovetail.kernel.testing import ScriptedProvider, call, calls, text
from support.bounds import HANG
from support.hosts import host

BUDGETS: list[Any] = [
    Budget(steps="3"),  # type: ignore[arg-type]
    Budget(steps=1.5),  # type: ignore[arg-type]
    Budget(steps=True),
    Budget(tokens=-1),
    Budget(cost="0.5"),  # type: ignore[arg-type]
    Budget(seconds=float("nan")),
    Budget(seconds=float("inf")),
    {"steps": 3},
]
Say = Callable[[Session, Any], Awaitable[object]]
SAYINGS: dict[str, tuple[Say, list[Any]]] = {
    "prompt": (lambda session, budget: session.prompt("go", budget=budget), BUDGETS),
    "set_budget": (lambda session, budget: session.set_budget(budget), BUDGETS),
    "switch_agent": (lambda session, agent: session.switch_agent(agent), [5, b"a"]),
    "switch_model": (lambda session, model: session.switch_model(model), [5]),
    "rename": (lambda session, title: session.rename(title), [5, ["a"]]),
    "interrupt": (lambda session, reason: session.interrupt(reason), [5, b"a"]),
}


@pytest.mark.parametrize("saying", SAYINGS)
async def test_what_a_session_is_told_in_a_wrong_type_is_refused_and_not_recorded(
    tmp_path: Path, saying: str
) -> None:
    say, wrong = SAYINGS[saying]
    provider = ScriptedProvider(text("fine"))
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        for value in wrong:
            with pytest.raises(InvalidValueError):
                await say(session, value)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded


@pytest.mark.parametrize(
    "wrong",
    [{"budget": budget} for budget in BUDGETS] + [{"agent": 5}, {"title": 5}],
    ids=repr,
)
async def test_no_session_is_created_from_a_wrong_type(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    async with host(tmp_path, ScriptedProvider()) as runtime:
        with pytest.raises(InvalidValueError):
            await runtime.sessions.create("one", location=tmp_path, **wrong)
        assert not (await runtime.sessions.list()).items


@frozen
class Nothing:
    pass


@pytest.mark.parametrize(
    "record",
    [
        lambda context: context.saw(5, None),
        lambda context: context.saw("/a", b"0"),
        lambda context: context.spawns("1"),
        lambda context: context.spawns(ProcessMark("1", "now", "here")),
        lambda context: context.spawns(ProcessMark(1, 2, "here")),
    ],
)
async def test_what_a_tool_records_in_a_wrong_type_fails_its_call_and_nothing_else(
    tmp_path: Path, record: Callable[[ToolContext], Any]
) -> None:
    async def execute(_: Nothing, context: ToolContext) -> str:
        done = record(context)
        if done is not None:
            await done
        return "recorded"

    tool = Tool("record", "Record.", Nothing, execute, effect="unsafe")
    provider = ScriptedProvider(calls(call("record")), text("fine"))
    async with host(tmp_path, provider, tool) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded
        _, asked, _ = await session.history()
        assert isinstance(asked, AssistantMessage)
        assert asked.calls[0].state == "failed"
