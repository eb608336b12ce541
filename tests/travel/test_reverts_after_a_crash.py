"""Going back in a session whose process is gone: what it left is settled first."""

from pathlib import Path
from typing import Any

import anyio
import pytest
from dovetail.builtin_tools import plugin as builtin_tools
from dovetail.kernel import (
    Location,
    MessageNotFoundError,
    Restoration,
    SessionBusyError,
    ToolContext,
)
from dovetail.kernel.testing import Gate, ScriptedProvider, call, calls, text
from dovetail.kernel.testing.memory_store import MemoryState
from support.bounds import HANG
from support.crashes import copied, on
from support.left import Input, Ran


async def restored(location: Location, wanted: Restoration) -> None:
    """Say that a file is as it was: so the tool is one that may change files."""


async def crashed(folder: Path) -> tuple[MemoryState, str]:
    """Return what a process leaves that dies in a call, after one that wrote a file;
    and the message before all that."""
    gate = Gate()
    state = MemoryState()

    async def body(input: Input, context: ToolContext) -> str:
        await gate.pass_through()
        return "too late"

    tool = Ran().tool("unsafe", body, restore=restored)
    write = call("write", {"path": "made.txt", "content": "made\n"}, id="w")
    provider = ScriptedProvider(text("Hello."), calls(write), calls(call("do", id="d")))
    plugins = [provider, builtin_tools]
    async with on(state, tool, plugins=plugins, on_permission="allow") as runtime:
        session = await runtime.sessions.create(
            id="it", location=folder, model=provider.model
        )
        with anyio.fail_after(HANG):
            await session.prompt("Hi")
            await session.wait()
            [to] = [one.id for one in await session.history() if one.text == "Hello."]
            await session.prompt("Go.")
            await gate.reached()
            await anyio.wait_all_tasks_blocked()
        with pytest.raises(SessionBusyError):
            await session.revert(to)
        return copied(state), to


def opened(state: MemoryState, provider: ScriptedProvider, ran: Ran) -> Any:
    plugins = [provider, builtin_tools]
    return on(
        state,
        ran.tool(restore=restored),
        plugins=plugins,
        lives=1,
        on_permission="allow",
    )


@pytest.mark.law("travel.10")
@pytest.mark.parametrize("paused", [False, True])
async def test_a_session_that_a_crash_left_is_settled_and_reverted(
    tmp_path: Path, paused: bool
) -> None:
    state, to = await crashed(tmp_path)
    (tmp_path / "made.txt").write_text("made\n")
    ran, provider = Ran(), ScriptedProvider(text("On."))
    async with opened(state, provider, ran) as runtime:
        session = await runtime.sessions.get("it")
        with anyio.fail_after(HANG):
            if paused:
                assert (await session.resume()).status == "paused"
            plan = await session.plan_revert(to)
            assert [(one.call_id, one.tool) for one in plan.unsure] == [("d", "do")]
            done = await session.revert(to)
            assert done.plan.unsure == plan.unsure
            assert [Path(one).name for one in done.done] == ["made.txt"]
            assert not (tmp_path / "made.txt").exists()
            assert not provider.requests
            outcome = await session.wait()
            assert outcome.status == "interrupted"
            kinds = [one.kind async for one in session.events()]
            ran_last = [one for one in kinds if one.startswith("execution.")][-1]
            assert ran_last == "execution.ended"

            await session.unrevert()
            assert (tmp_path / "made.txt").read_text() == "made\n"
            [part] = (await session.history())[-1].calls  # type: ignore[union-attr]
            assert part.failure is not None
            assert part.failure.code == "tool.interrupted"

            await session.revert(to)
            # Nothing is left that anybody has to be asked about.
            await session.prompt("On")
            assert (await session.wait()).succeeded
        assert [one.text for one in await session.history()] == [
            *("Hi", "Hello.", "On", "On.")
        ]
        assert ran.tokens == []


@pytest.mark.law("travel.10")
async def test_a_revert_that_is_refused_settles_nothing(tmp_path: Path) -> None:
    state, _ = await crashed(tmp_path)
    async with opened(state, ScriptedProvider(), Ran()) as runtime:
        session = await runtime.sessions.get("it")
        before = [one.seq async for one in session.events()]
        with pytest.raises(MessageNotFoundError):
            await session.revert("msg_nothing")
        assert [one.seq async for one in session.events()] == before


@pytest.mark.law("travel.10")
async def test_what_an_agent_did_that_died_with_it_is_restored(tmp_path: Path) -> None:
    gate = Gate()
    state = MemoryState()

    async def body(input: Input, context: ToolContext) -> str:
        await gate.pass_through()
        return "too late"

    given = {"agent": "build", "prompt": "Write it.", "description": "part"}
    write = call("write", {"path": "made.txt", "content": "made\n"}, id="w")
    provider = ScriptedProvider(
        text("Hello."), calls(call("subagent", given)), calls(write), calls(call("do"))
    )
    plugins = [provider, builtin_tools]
    tool = Ran().tool("unsafe", body)
    async with on(state, tool, plugins=plugins, on_permission="allow") as runtime:
        session = await runtime.sessions.create(
            id="it", location=tmp_path, model=provider.model
        )
        with anyio.fail_after(HANG):
            await session.prompt("Hi")
            await session.wait()
            [to] = [one.id for one in await session.history() if one.text == "Hello."]
            await session.prompt("Go.")
            await gate.reached()
            await anyio.wait_all_tasks_blocked()
        [at_work] = (await session.plan_revert(to)).files
        assert at_work.problem is not None
        assert "is not done" in at_work.problem
        left = copied(state)
    (tmp_path / "made.txt").write_text("made\n")
    async with opened(left, ScriptedProvider(), Ran()) as runtime:
        session = await runtime.sessions.get("it")
        [child] = await runtime.sessions.list(parent="it")
        with anyio.fail_after(HANG):
            [planned] = (await session.plan_revert(to)).files
            assert (planned.by, planned.problem) == (child.id, None)
            done = await session.revert(to)
            assert (len(done.done), done.left) == (1, {})
            assert not (tmp_path / "made.txt").exists()
            [child] = await runtime.sessions.list(parent="it")
            assert child.outcome.status == "interrupted"
