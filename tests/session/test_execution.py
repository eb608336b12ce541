"""Who runs a session, who waits for it, and how it is stopped."""

from pathlib import Path

import anyio
import pytest
from attrs import frozen
from dovetail.kernel import (
    AssistantMessage,
    LocationNotFoundError,
    RuntimeClosedError,
    TextDelta,
    Tool,
    ToolContext,
)
from dovetail.kernel.testing.scripted import (
    Gate,
    ScriptedProvider,
    call,
    calls,
    finish,
    text,
)
from support.bounds import HANG
from support.hosts import host, kinds_of


@frozen
class Nothing:
    pass


def _holding(gate: Gate) -> Tool[Nothing, str]:
    async def hold(input: Nothing, context: ToolContext) -> str:
        await gate.pass_through()
        return "ok"

    return Tool("hold", "Hold.", Nothing, hold)


@pytest.mark.law("execution.5")
async def test_interrupting_a_stream_keeps_what_came_and_starts_nothing(
    tmp_path: Path,
) -> None:
    gate = Gate()
    provider = ScriptedProvider([TextDelta("0", "half"), gate, finish()], text("more"))
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            await gate.reached()
            await session.prompt("next", delivery="queue")
            assert await session.interrupt("enough")
            outcome = await session.wait()
        assert outcome.status == "interrupted"
        assert outcome.reason is not None
        assert outcome.reason.message == "enough"
        assert not await session.interrupt()
        [_, answer] = await session.history()
        assert isinstance(answer, AssistantMessage)
        assert answer.text == "half"
        assert answer.failure is not None
        assert [one.prompt.text for one in await session.pending()] == ["next"]
        assert len(provider.requests) == 1
        with anyio.fail_after(HANG):
            assert (await session.resume()).succeeded


@pytest.mark.law("execution.5")
@pytest.mark.law("tools.2")
async def test_interrupting_a_tool_settles_its_call(tmp_path: Path) -> None:
    gate = Gate()
    provider = ScriptedProvider(calls(call("hold")), text("more"))
    async with host(tmp_path, provider, _holding(gate)) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            await gate.reached()
            await session.interrupt()
            await session.wait()
        [_, asked] = await session.history()
        assert isinstance(asked, AssistantMessage)
        assert asked.calls[0].failure is not None
        assert asked.calls[0].failure.code == "tool.interrupted"
        await session.prompt("go on")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded


@pytest.mark.law("execution.3")
async def test_a_cancelled_waiter_does_not_stop_the_work(tmp_path: Path) -> None:
    gate = Gate()
    provider = ScriptedProvider([gate, *text("done")])
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            await gate.reached()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(session.wait)
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
            gate.open()
            assert (await session.wait()).succeeded


@pytest.mark.law("execution.3")
async def test_joined_callers_share_one_outcome(tmp_path: Path) -> None:
    gate = Gate()
    outcomes = []
    provider = ScriptedProvider([gate, *text("done")])
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)

        async def wait() -> None:
            outcomes.append(await session.wait())

        await session.prompt("go")
        with anyio.fail_after(HANG):
            await gate.reached()
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(wait)
                await anyio.wait_all_tasks_blocked()
                gate.open()
    assert len(outcomes) == 3
    assert all(outcome is outcomes[0] for outcome in outcomes)


@pytest.mark.law("execution.3")
async def test_closing_the_runtime_settles_what_runs_and_whoever_waits(
    tmp_path: Path,
) -> None:
    gate = Gate()
    outcomes = []
    provider = ScriptedProvider(calls(call("hold")))
    async with (
        anyio.create_task_group() as tasks,
        host(tmp_path, provider, _holding(gate)) as runtime,
    ):
        session = await runtime.sessions.create(
            location=tmp_path, model=provider.model, id="mine"
        )

        async def wait() -> None:
            outcomes.append(await session.wait())

        await session.prompt("go")
        with anyio.fail_after(HANG):
            await gate.reached()
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
    assert [outcome.status for outcome in outcomes] == ["interrupted"]
    with pytest.raises(RuntimeClosedError):
        await session.prompt("too late")
    async with host(tmp_path, provider) as runtime:
        info = await (await runtime.sessions.get("mine")).info()
        assert (info.status, info.outcome.status) == ("idle", "interrupted")


@pytest.mark.law("execution.4")
async def test_a_wake_with_nothing_to_do_records_nothing(tmp_path: Path) -> None:
    provider = ScriptedProvider(text("hi"))
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go", key="k")
        with anyio.fail_after(HANG):
            await session.wait()
            before = await kinds_of(session)
            await session.prompt("go", key="k")
            await session.wait()
        assert await kinds_of(session) == before


@pytest.mark.law("execution.6")
async def test_sessions_do_not_wait_for_each_other(tmp_path: Path) -> None:
    slow = Gate()
    provider = ScriptedProvider([slow, *text("slow")], text("quick"))
    async with host(tmp_path, provider) as runtime:
        first = await runtime.sessions.create(location=tmp_path, model=provider.model)
        second = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await first.prompt("go")
        with anyio.fail_after(HANG):
            await slow.reached()
            await second.prompt("go")
            assert (await second.wait()).succeeded
            slow.open()
            assert (await first.wait()).succeeded


async def test_a_model_switch_takes_effect_at_the_next_boundary(tmp_path: Path) -> None:
    gate = Gate()
    first = ScriptedProvider(calls(call("hold")), name="first")
    second = ScriptedProvider(text("hi"), name="second")
    async with host(tmp_path, first, _holding(gate), plugins=[second]) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=first.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            await gate.reached()
            await session.switch_model(second.model)
            gate.open()
            assert (await session.wait()).succeeded
    assert (len(first.requests), len(second.requests)) == (1, 1)


async def test_a_location_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    async with host(tmp_path, ScriptedProvider()) as runtime:
        with pytest.raises(LocationNotFoundError):
            await runtime.sessions.create(location=tmp_path / "nosuch")
        (tmp_path / "file").touch()
        with pytest.raises(LocationNotFoundError):
            await runtime.sessions.create(location=tmp_path / "file")


async def test_a_location_that_vanished_fails_the_execution_and_keeps_the_input(
    tmp_path: Path,
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    provider = ScriptedProvider(text("hi"))
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(location=place, model=provider.model)
        place.rmdir()
        await session.prompt("go")
        with anyio.fail_after(HANG):
            outcome = await session.wait()
        assert outcome.reason is not None
        assert (outcome.status, outcome.reason.code) == ("failed", "location.not_found")
        place.mkdir()
        with anyio.fail_after(HANG):
            assert (await session.resume()).succeeded


@pytest.mark.law("context.1")
async def test_the_baseline_is_the_same_bytes_in_every_request_and_after_reopening(
    tmp_path: Path,
) -> None:
    provider = ScriptedProvider(text("a"), text("b"), text("c"))
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(
            location=tmp_path, model=provider.model, id="mine"
        )
        for word in ("one", "two"):
            await session.prompt(word)
            with anyio.fail_after(HANG):
                await session.wait()
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.get("mine")
        await session.prompt("three")
        with anyio.fail_after(HANG):
            await session.wait()
    assert len({request.system for request in provider.requests}) == 1
    assert len(provider.histories[2]) == 5
