"""What is said of a call that has no result, and of whoever worked on it, is true."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import frozen
from dovetail.kernel import (
    AgentProfile,
    AssistantMessage,
    EffectClass,
    Failure,
    ProviderError,
    Register,
    RequestAsked,
    Rule,
    Runtime,
    Session,
    Tool,
    ToolContext,
    hookimpl,
)
from dovetail.kernel.execution.calls import CALLS_AT_ONCE
from dovetail.kernel.testing import Gate, ScriptedProvider, call, calls, text
from dovetail.kernel.testing.memory_store import MemoryState
from support.bounds import HANG
from support.crashes import copied, on

UNKNOWABLE = ("process", "died", "crash", "killed", "ended")
"""Nobody can tell such a thing of a worker that only stopped writing."""


@frozen
class Nothing:
    pass


Body = Callable[[ToolContext], Awaitable[object]]


def tool(body: Body, effect: EffectClass = "unsafe") -> Tool[Nothing, str]:
    async def execute(input: Nothing, context: ToolContext) -> str:
        await body(context)
        return "done"

    return Tool("do", "Do it.", Nothing, execute, effect=effect)


async def ask(context: ToolContext) -> None:
    await context.ask("act", ["here"])


class Rules:
    """Allows the action ``look``; any other is asked for."""

    @hookimpl
    def dovetail_register_agents(self, register: Register[AgentProfile]) -> None:
        register(AgentProfile("build", rules=[Rule("look", "*", "allow")]))


async def begun(runtime: Runtime, folder: Path) -> Session:
    session = await runtime.sessions.create(
        id="it", location=folder, model="scripted/model"
    )
    await session.prompt("Go.")
    return session


async def asked(session: Session, times: int = 1) -> None:
    """Return when so many permissions were asked for."""
    with anyio.fail_after(HANG):
        async for event in session.events(follow=True):
            times -= isinstance(event, RequestAsked)
            if not times:
                return


async def failures(session: Session) -> list[Failure]:
    return [
        part.failure
        for message in await session.history()
        if isinstance(message, AssistantMessage)
        for part in message.calls
        if part.failure is not None
    ]


async def failure_of(session: Session) -> tuple[str, str]:
    [failure] = await failures(session)
    return failure.code, failure.message


def several(number: int) -> Any:
    return calls(*(call("do", id=f"call_{at}") for at in range(number)))


def model(*answers: Any) -> ScriptedProvider:
    return ScriptedProvider(calls(call("do")), *answers)


async def goes_on(state: MemoryState, *tools: Tool[Any, Any]) -> tuple[str, str]:
    """Take over what was left, accept it, and return what the model is told."""
    again = ScriptedProvider(text("I see."))
    async with on(state, *tools, plugins=[again], lives=1) as runtime:
        session = await runtime.sessions.get("it")
        digest = (await session.continuation()).digest
        with anyio.fail_after(HANG):
            assert (await session.resume(accept=digest)).succeeded
        return await failure_of(session)


# --- a call that was not allowed did not start -------------------------------------


@pytest.mark.law("recovery.7")
@pytest.mark.parametrize("effect", ["unsafe", "idempotent", "pure"])
async def test_a_call_that_was_interrupted_while_it_asked_did_not_start(
    effect: EffectClass, tmp_path: Path
) -> None:
    async with on(MemoryState(), tool(ask, effect), plugins=[model()]) as runtime:
        session = await begun(runtime, tmp_path)
        await asked(session)
        await session.interrupt()
        with anyio.fail_after(HANG):
            await session.wait()
        code, said = await failure_of(session)
        assert code == "tool.not_started"
        assert "did not start" in said
        assert "may have" not in said


@pytest.mark.law("recovery.7")
async def test_a_call_that_asked_when_the_runtime_was_closed_did_not_start(
    tmp_path: Path,
) -> None:
    state = MemoryState()
    async with on(state, tool(ask), plugins=[model()]) as runtime:
        await asked(await begun(runtime, tmp_path))
    async with on(state, tool(ask), plugins=[model()], lives=1) as runtime:
        code, said = await failure_of(await runtime.sessions.get("it"))
    assert code == "tool.not_started"
    assert "may have" not in said


@pytest.mark.law("recovery.7")
async def test_a_call_that_asked_and_whose_tool_is_gone_is_told_as_that(
    tmp_path: Path,
) -> None:
    """The worker lives: it is only another one that goes on, without the tool."""
    state = MemoryState()
    async with on(state, tool(ask), plugins=[model()]) as runtime:
        await asked(await begun(runtime, tmp_path))
        code, _ = await goes_on(copied(state))
    assert code == "tool.stale"


# --- what may have happened --------------------------------------------------------


@pytest.mark.law("recovery.3")
@pytest.mark.law("recovery.7")
@pytest.mark.parametrize(
    ("first", "begun_before", "known"),
    [
        ("look", None, "unknown"),
        ("act", None, "unknown"),
        ("look", False, "not_started"),
        ("act", False, "not_started"),
    ],
)
async def test_a_question_after_another_proves_only_what_the_tool_says(
    first: str, begun_before: bool | None, known: str, tmp_path: Path
) -> None:
    """Whether a rule or a person allowed the first one makes no difference."""

    async def body(context: ToolContext) -> None:
        await context.ask(first, ["here"])
        await context.ask("act", ["there"], begun=begun_before)

    state = MemoryState()
    async with on(state, tool(body), plugins=[model(), Rules()]) as runtime:
        session = await begun(runtime, tmp_path)
        if first == "act":
            await asked(session)
            permissions = runtime.location(tmp_path).permissions
            [waiting] = await permissions.pending()
            await permissions.reply(waiting.id, "once")
        await asked(session, 2 if first == "act" else 1)
        left = copied(state)
        await session.interrupt()
        with anyio.fail_after(HANG):
            await session.wait()
        code, _ = await failure_of(session)
    assert code == {"unknown": "tool.interrupted"}.get(known, "tool.not_started")
    async with on(left, tool(body), plugins=[model(), Rules()], lives=1) as runtime:
        report = await (await runtime.sessions.get("it")).continuation()
        assert [one.known for one in report.calls] == [known]


@pytest.mark.law("recovery.2")
async def test_a_question_of_a_repeat_does_not_undo_what_came_before(
    tmp_path: Path,
) -> None:
    """The first worker may have acted; that the second one asks proves nothing."""
    gate = Gate()

    async def acts(context: ToolContext) -> None:
        await gate.pass_through()

    async def asks(context: ToolContext) -> None:
        await context.ask("act", ["here"], begun=False)

    state = MemoryState()
    async with on(state, tool(acts, "idempotent"), plugins=[model()]) as runtime:
        await begun(runtime, tmp_path)
        with anyio.fail_after(HANG):
            await gate.reached()
            await anyio.wait_all_tasks_blocked()
        state = copied(state)
    plugins = [model()]
    async with on(
        state, tool(asks, "idempotent"), plugins=plugins, lives=1, resume="always"
    ) as runtime:
        session = await runtime.sessions.get("it")
        await asked(session)
        state = copied(state)
    async with on(state, tool(asks, "idempotent"), plugins=plugins, lives=2) as runtime:
        report = await (await runtime.sessions.get("it")).continuation()
        assert [one.known for one in report.calls] == ["unknown"]


@pytest.mark.law("recovery.7")
async def test_a_call_that_only_reads_is_not_told_as_an_effect(tmp_path: Path) -> None:
    gate = Gate()

    async def body(context: ToolContext) -> None:
        await gate.pass_through()

    async with on(MemoryState(), tool(body, "pure"), plugins=[model()]) as runtime:
        session = await begun(runtime, tmp_path)
        with anyio.fail_after(HANG):
            await gate.reached()
            await session.interrupt()
            await session.wait()
        code, said = await failure_of(session)
    assert code == "tool.interrupted"
    assert "may have" not in said
    assert "changes nothing" in said


@pytest.mark.law("recovery.7")
@pytest.mark.parametrize("effect", ["unsafe", "idempotent"])
async def test_a_call_whose_turn_had_not_come_did_not_start(
    effect: EffectClass, tmp_path: Path
) -> None:
    """Also where its start was recorded in advance, because a repeat is harmless."""
    gate, full = Gate(), anyio.Event()
    running: list[str] = []

    async def body(context: ToolContext) -> None:
        running.append(context.call_id)
        if len(running) == CALLS_AT_ONCE:
            full.set()
        await gate.pass_through()

    many = ScriptedProvider(several(CALLS_AT_ONCE + 3))
    async with on(MemoryState(), tool(body, effect), plugins=[many]) as runtime:
        session = await begun(runtime, tmp_path)
        with anyio.fail_after(HANG):
            await full.wait()
            called = 0
            async for event in session.events(follow=True):
                called += event.kind == "tool.called"
                if called == CALLS_AT_ONCE + 3:
                    break
            await session.interrupt()
            await session.wait()
        codes = [failure.code for failure in await failures(session)]
    assert codes.count("tool.interrupted") == CALLS_AT_ONCE
    assert codes.count("tool.not_started") == 3


@pytest.mark.law("recovery.7")
async def test_no_person_is_said_to_have_refused_what_they_were_not_asked(
    tmp_path: Path,
) -> None:
    both = ScriptedProvider(several(2))
    async with on(MemoryState(), tool(ask), plugins=[both]) as runtime:
        session = await begun(runtime, tmp_path)
        await asked(session, 2)
        permissions = runtime.location(tmp_path).permissions
        first, _ = await permissions.pending()
        await permissions.reply(first.id, "reject")
        with anyio.fail_after(HANG):
            await session.wait()
        said = [failure.message for failure in await failures(session)]
    assert sorted(one.partition(": ")[2] for one in said) == [
        "rejected by the person",
        "the person rejected something else, and with it this",
    ]


@pytest.mark.law("recovery.7")
async def test_an_answer_that_never_began_was_not_cut_off(tmp_path: Path) -> None:
    broken = ProviderError("provider.failed", "scripted", "no")
    provider = ScriptedProvider(broken, text("Here."))
    async with on(MemoryState(), plugins=[provider]) as runtime:
        session = await begun(runtime, tmp_path)
        with anyio.fail_after(HANG):
            await session.wait()
            assert (await session.resume()).succeeded
        texts = [getattr(one, "text", "") for one in provider.histories[-1]]
    assert "Go on." in texts
    assert not [one for one in texts if "cut off" in one]


# --- whoever worked on it ----------------------------------------------------------


@pytest.mark.law("recovery.7")
async def test_nothing_is_said_of_a_worker_that_may_live(tmp_path: Path) -> None:
    gate = Gate()

    async def body(context: ToolContext) -> None:
        await gate.pass_through()

    state = MemoryState()
    async with on(state, tool(body), plugins=[model()]) as runtime:
        session = await begun(runtime, tmp_path)
        with anyio.fail_after(HANG):
            await gate.reached()
            await anyio.wait_all_tasks_blocked()
        code, said = await goes_on(copied(state), tool(body))
        assert (await session.info()).status == "running"
    assert code == "tool.interrupted"
    assert "may have had its effect" in said
    assert not [word for word in UNKNOWABLE if word in said]


@pytest.mark.law("recovery.7")
async def test_a_report_tells_a_session_that_runs_from_one_that_was_left(
    tmp_path: Path,
) -> None:
    """And is the same report, so that it can be accepted when the lease is over."""
    gate = Gate()

    async def body(context: ToolContext) -> None:
        await gate.pass_through()

    state = MemoryState()
    async with on(state, tool(body), plugins=[model()]) as runtime:
        session = await begun(runtime, tmp_path)
        with anyio.fail_after(HANG):
            await gate.reached()
            await anyio.wait_all_tasks_blocked()
        running = await session.continuation()
        state = copied(state)
    async with on(state, tool(body), plugins=[model()], lives=1) as runtime:
        left = await (await runtime.sessions.get("it")).continuation()
    assert (running.ended, left.ended) == ("running", "lost")
    assert [one.known for one in running.calls] == ["unknown"]
    assert running.digest == left.digest
