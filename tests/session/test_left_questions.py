"""Questions that calls were left with."""

from pathlib import Path

import anyio
import pytest
from dovetail.kernel import (
    Tool,
    ToolContext,
)
from dovetail.kernel.testing import (
    ManualClock,
    ScriptedProvider,
    call,
    calls,
    text,
)
from dovetail.kernel.testing.memory_store import MemoryState
from support.bounds import HANG
from support.crashes import copied, on
from support.left import (
    Input,
    Ran,
    accept,
    asked_after,
    asking,
    asking_tool,
    codes_of,
    request_waiting,
)


@pytest.mark.law("access.5")
@pytest.mark.law("recovery.3")
@pytest.mark.parametrize("first", ["answer", "accept"])
async def test_a_call_that_waits_for_permission_goes_on_in_either_order(
    first: str, tmp_path: Path
) -> None:
    state = await asking(tmp_path)
    ran = Ran()
    async with on(
        state,
        asking_tool(ran, "here"),
        plugins=[ScriptedProvider(text("done"))],
        lives=1,
    ) as runtime:
        session = await runtime.sessions.get("it")
        permissions = runtime.location(tmp_path).permissions
        report = await session.continuation()
        assert [one.known for one in report.calls] == ["not_started"]
        [waiting] = await permissions.pending()
        async with anyio.create_task_group() as tasks:
            if first == "answer":
                await permissions.reply(waiting.id, "once")
                report = await session.continuation()
                assert [one.known for one in report.calls] == ["not_started"]
            tasks.start_soon(accept, session)
            await anyio.wait_all_tasks_blocked()
            if first == "accept":
                await permissions.reply(waiting.id, "once")
        assert await codes_of(session) == ["succeeded"]
        assert len(ran.tokens) == 1
        assert await permissions.pending() == []


@pytest.mark.law("recovery.2")
async def test_a_second_question_does_not_prove_that_nothing_happened(
    tmp_path: Path,
) -> None:
    state = await asking(tmp_path, ["here", "there"])
    ran = Ran()
    async with on(
        state,
        asking_tool(ran, "here", "there"),
        plugins=[ScriptedProvider(text("done"))],
        lives=1,
    ) as runtime:
        session = await runtime.sessions.get("it")
        report = await session.continuation()
        assert [(one.known, one.action) for one in report.calls] == [
            ("unknown", "settle")
        ]
        assert (await accept(session)).succeeded
        assert ran.tokens == []
        # Nobody is asked any more for what will not be done.
        assert await runtime.location(tmp_path).permissions.pending() == []


@pytest.mark.law("access.5")
async def test_a_question_of_a_call_that_is_stale_is_not_left_open(
    tmp_path: Path,
) -> None:
    state = await asking(tmp_path)
    async with on(state, plugins=[ScriptedProvider(text("done"))], lives=1) as runtime:
        session = await runtime.sessions.get("it")
        assert (await accept(session)).succeeded
        assert await codes_of(session) == ["tool.stale"]
        assert await runtime.location(tmp_path).permissions.pending() == []


@pytest.mark.law("access.5")
async def test_a_question_that_a_call_does_not_ask_again_is_not_left_open(
    tmp_path: Path,
) -> None:
    state = await asking(tmp_path)
    ran = Ran()
    async with on(
        state, asking_tool(ran), plugins=[ScriptedProvider(text("done"))], lives=1
    ) as runtime:
        session = await runtime.sessions.get("it")
        assert (await accept(session)).succeeded
        assert len(ran.tokens) == 1
        assert await runtime.requests.pending() == []


@pytest.mark.law("access.5")
async def test_a_question_may_outlive_two_crashes(tmp_path: Path) -> None:
    state = await asking(tmp_path)
    plugins = [ScriptedProvider(text("done"))]
    again = None
    async with on(
        state, asking_tool(Ran(), "here"), plugins=plugins, lives=1, resume="always"
    ) as runtime:
        session = await runtime.sessions.get("it")
        with anyio.fail_after(HANG):
            await asked_after(session, len(state.events["it"]) - 1)
        again = copied(state)
    ran = Ran()
    async with on(again, asking_tool(ran, "here"), plugins=plugins, lives=2) as runtime:
        session = await runtime.sessions.get("it")
        report = await session.continuation()
        assert [one.known for one in report.calls] == ["not_started"]
        permissions = runtime.location(tmp_path).permissions
        [waiting] = await permissions.pending()
        await permissions.reply(waiting.id, "once")
        assert (await accept(session)).succeeded
        assert len(ran.tokens) == 1


@pytest.mark.law("execution.2")
@pytest.mark.law("recovery.2")
async def test_a_worker_that_lost_the_session_while_it_asked_does_not_act(
    tmp_path: Path,
) -> None:
    acted: list[str] = []

    def asking(name: str) -> Tool[Input, str]:
        async def body(input: Input, context: ToolContext) -> str:
            await context.ask("act", ["here"])
            acted.append(name)
            return name

        return Ran().tool(body=body)

    state = MemoryState()
    provider = ScriptedProvider(calls(call("do")), text("done"))
    async with on(state, asking("old"), plugins=[provider], lease_seconds=3600) as old:
        session = await old.sessions.create(
            id="it", location=tmp_path, model=provider.model
        )
        await session.prompt("Go.")
        with anyio.fail_after(HANG):
            await request_waiting(old, session)
            before = (await session.continuation()).trusted_seq
            clock = ManualClock()
            async with on(
                state, asking("new"), plugins=[provider], clock=clock, resume="always"
            ) as new:
                other = await new.sessions.get("it")
                # As if the old worker slept for longer than its lease.
                async with clock.jumping(longest=3600):
                    await asked_after(other, before)
                permissions = new.location(tmp_path).permissions
                await permissions.reply(await request_waiting(new, other), "once")
                assert (await other.wait()).succeeded
                await anyio.wait_all_tasks_blocked()
                assert await codes_of(other) == ["succeeded"]
    assert acted == ["new"]
