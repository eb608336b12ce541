"""What is found after a crash: lost sessions, and what is reported of them."""

from pathlib import Path

import anyio
import pytest
from dovetail.kernel import (
    OpenCall,
    Session,
    ToolContext,
)
from dovetail.kernel.testing import (
    Gate,
    ScriptedProvider,
    call,
    calls,
    text,
)
from dovetail.kernel.testing.memory_store import MemoryState
from support.bounds import HANG
from support.crashes import on
from support.left import Input, Ran, accept, left


async def test_a_session_that_nobody_holds_any_more_is_listed_as_lost(
    tmp_path: Path,
) -> None:
    seen: list[str] = []

    async def look(session: Session) -> None:
        seen.append((await session.info()).status)

    gate = Gate()

    async def body(input: Input, context: ToolContext) -> str:
        await gate.pass_through()
        return ""

    tool = Ran().tool(body=body)
    state = await left(tmp_path, [calls(call("do"))], tool, at=gate, before=look)
    assert seen == ["running"]
    provider = ScriptedProvider(text("done"))
    async with on(state, Ran().tool(), plugins=[provider], lives=1) as runtime:
        [listed] = await runtime.sessions.list()
        session = await runtime.sessions.get("it")
        assert listed.status == (await session.info()).status == "lost"
        assert (await accept(session)).succeeded
        assert (await session.info()).status == "idle"


# --- the report -------------------------------------------------------------------


@pytest.mark.law("recovery.4")
async def test_the_report_says_what_is_trusted_and_who_left_what(
    tmp_path: Path,
) -> None:
    gate = Gate()
    ran = Ran()

    async def body(input: Input, context: ToolContext) -> str:
        await gate.pass_through()
        return ""

    async def before(session: Session) -> None:
        await session.prompt("One.", key="one", delivery="queue")
        gone = await session.prompt("Two.", delivery="queue")
        await session.withdraw(gone.id)

    state = await left(
        tmp_path, [calls(call("do"))], ran.tool(body=body), at=gate, before=before
    )
    events = {record.seq: record for record in state.events["it"]}
    async with on(state, ran.tool(), plugins=[ScriptedProvider()], lives=1) as runtime:
        session = await runtime.sessions.get("it")
        report = await session.continuation()
        assert report == await session.continuation()
        happened = [event async for event in session.events()]
    started = next(one for one in happened if one.kind == "execution.started")
    trusted = next(one for one in happened if one.kind == "tool.started")
    admitted = [one.input_id for one in happened if one.kind == "prompt.admitted"]
    assert report.session_id == "it"
    assert report.location.directory == str(tmp_path)
    assert (report.previous_owner, report.ended) == (started.owner, "lost")
    assert report.trusted_seq == trusted.seq
    assert report.trusted_hash == events[trusted.seq].hash.hex()
    assert (report.promoted, report.pending, report.withdrawn) == tuple(
        (one,) for one in admitted
    )
    message = next(one for one in happened if one.kind == "step.started").message_id
    assert report.calls == (
        OpenCall("call_do", message, "do", "unsafe", "unknown", "settle"),
    )
    assert report.moved == ()
    assert not report.clean


async def test_a_session_that_nobody_left_has_nothing_to_report(tmp_path: Path) -> None:
    provider = ScriptedProvider(text("Hi."))
    async with on(MemoryState(), plugins=[provider]) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        fresh = await session.continuation()
        assert (fresh.ended, fresh.previous_owner, fresh.clean) == ("never", None, True)
        await session.prompt("Go.")
        with anyio.fail_after(HANG):
            await session.wait()
        ended = await session.continuation()
        assert (ended.ended, ended.calls, ended.clean) == ("ended", (), True)
