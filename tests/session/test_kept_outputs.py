"""Complete outputs of calls: how long they are kept, and how they travel."""

import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import evolve
from dovetail.builtin_tools import BuiltinTools
from dovetail.kernel import (
    CleanedOutputs,
    EventAggregateError,
    EventDamagedError,
    ExportedOutput,
    InvalidValueError,
    OutputCleanedError,
    OutputNotFoundError,
    OutputPolicy,
    Runtime,
    Session,
    UndecodableError,
    exported_from_line,
    open_runtime,
)
from dovetail.kernel.ports import LeaseRow
from dovetail.kernel.testing import ScriptedProvider, call, calls, text
from dovetail.kernel.testing.clock import ManualClock
from dovetail.kernel.testing.memory_store import MemoryStorePlugin
from dovetail.storage.plugin import plugin as sqlite
from support.bounds import HANG
from support.hosts import Tools

from .test_outputs import COUNT, counted, parts_of, run, told

DAY = 24 * 3600.0
KEEP = OutputPolicy(days=None, bytes=None)

Open = Callable[..., AbstractAsyncContextManager[Runtime]]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["sqlite", "memory"])
def opened(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Open:
    """Return a function that opens a runtime on a store of a name."""
    memory = MemoryStorePlugin()

    @asynccontextmanager
    async def runtime(
        *script: Any, name: str = "one", outputs: OutputPolicy | None = KEEP
    ) -> AsyncIterator[Runtime]:
        url = f"sqlite:///{tmp_path / name}.db"
        async with open_runtime(
            f"memory://{name}" if request.param == "memory" else url,
            plugins=[
                *(sqlite, memory, BuiltinTools(), Tools(COUNT)),
                ScriptedProvider(*script),
            ],
            load_entry_points=False,
            environment={"DOVETAIL_CONFIG": ""},
            outputs=outputs,
            clock=clock,
        ) as opened:
            yield opened

    return runtime


def counting(upto: int) -> list[Any]:
    return [calls(call("count", {"upto": upto}, id="1")), text("done")]


async def key_of(session: Session) -> tuple[str, str]:
    """Return the message of the counting call, and the key of its output."""
    message_id, part = (await parts_of(session))["1"]
    return message_id, told(part).partition("managed:")[2][:64]


@pytest.mark.law("tools.15")
async def test_an_old_output_goes_and_a_page_of_it_says_when(
    opened: Open, clock: ManualClock, tmp_path: Path
) -> None:
    async with opened(*counting(9000)) as runtime:
        session = await run(runtime, tmp_path, "one")
        message_id, key = await key_of(session)
        policy = OutputPolicy(days=30, bytes=None)
        size = len(counted(9000))
        found = await runtime.sessions.clean_outputs(policy)
        assert found == CleanedOutputs(0, 0, size)

        clock.advance(31 * DAY)
        found = await runtime.sessions.clean_outputs(policy)
        assert found == CleanedOutputs(1, size, 0)
        assert await runtime.sessions.clean_outputs(policy) == CleanedOutputs()
        with pytest.raises(OutputCleanedError, match=r"cleaned up on \d{4}-\d\d-\d\d"):
            await session.output(message_id, "1")
        await runtime.sessions.rebuild()
        with pytest.raises(OutputCleanedError):
            await session.output(message_id, "1")
        assert [one async for one in session.export_outputs()] == []
    read = call("read", {"path": f"managed:{key}"}, id="2")
    async with opened(calls(read), text("done")) as runtime:
        session = await run(runtime, tmp_path, "one")
        _, part = (await parts_of(session))["2"]
        assert part.failure is not None
        assert part.failure.code == "output.cleaned"
        assert "it was cleaned up on" in part.failure.message
    # What gives it again keeps it again, and for as long.
    async with opened(*counting(9000)) as runtime:
        session = await run(runtime, tmp_path, "two")
        message_id, _ = await key_of(session)
        assert await session.output(message_id, "1") == counted(9000)
        session = await runtime.sessions.get("one")
        message_id = (await parts_of(session))["1"][0]
        with pytest.raises(OutputCleanedError):
            await session.output(message_id, "1")


@pytest.mark.law("tools.15")
async def test_the_oldest_go_until_the_rest_is_not_too_much(
    opened: Open, clock: ManualClock, tmp_path: Path
) -> None:
    script = [beat for upto in (9000, 9001, 9002, 9001) for beat in counting(upto)]
    async with opened(*script) as runtime:
        sessions = []
        for name in "abcd":
            sessions.append(await run(runtime, tmp_path, name))
            clock.advance(1)
        sizes = [len(counted(upto)) for upto in (9000, 9001, 9002)]

        async def kept() -> list[bool]:
            found = []
            for session in sessions:
                message_id, _ = await key_of(session)
                try:
                    await session.output(message_id, "1")
                except OutputCleanedError:
                    found.append(False)
                else:
                    found.append(True)
            return found

        bound = OutputPolicy(days=None, bytes=sum(sizes[1:]))
        found = await runtime.sessions.clean_outputs(bound)
        assert found == CleanedOutputs(1, sizes[0], sum(sizes[1:]))
        assert await kept() == [False, True, True, True]

        # The second one is let go of, and its text stays for whom it is kept, too.
        bound = OutputPolicy(days=None, bytes=sizes[1])
        found = await runtime.sessions.clean_outputs(bound)
        assert found == CleanedOutputs(2, sizes[2], sizes[1])
        assert await kept() == [False, False, False, True]


async def test_what_a_session_holds_that_runs_stays(
    opened: Open, tmp_path: Path
) -> None:
    async with opened(*counting(9000)) as runtime:
        session = await run(runtime, tmp_path, "one")
        log = runtime._log
        await log.commit(
            lambda tx: tx.rows.put_lease(LeaseRow("one", "worker", 9, lasts=60_000))
        )
        none = OutputPolicy(bytes=0)
        found = await runtime.sessions.clean_outputs(none)
        assert found == CleanedOutputs(0, 0, len(counted(9000)))
        await log.commit(
            lambda tx: tx.rows.put_lease(LeaseRow("one", None, 9, lasts=60_000))
        )
        assert (await runtime.sessions.clean_outputs(none)).outputs == 1
        assert (await session.info()).outcome.succeeded


@pytest.mark.law("tools.15")
async def test_a_fork_reads_what_its_past_left_and_is_told_when_that_went(
    opened: Open, clock: ManualClock, tmp_path: Path
) -> None:
    async with opened(*counting(9000)) as runtime:
        session = await run(runtime, tmp_path, "one")
        message_id, key = await key_of(session)
        await session.fork(id="two")
    pages = [
        beat
        for number in "23"
        for beat in (
            calls(call("read", {"path": f"managed:{key}"}, id=number)),
            text("done"),
        )
    ]
    async with opened(*pages) as runtime:
        fork = await run(runtime, tmp_path, "two")
        assert await fork.output(message_id, "1") == counted(9000)
        none = OutputPolicy(bytes=0)
        log = runtime._log
        await log.commit(
            lambda tx: tx.rows.put_lease(LeaseRow("two", "worker", 9, lasts=60_000))
        )
        assert (await runtime.sessions.clean_outputs(none)).outputs == 0
        await log.commit(
            lambda tx: tx.rows.put_lease(LeaseRow("two", None, 9, lasts=60_000))
        )
        assert (await runtime.sessions.clean_outputs(none)).outputs == 1
        with pytest.raises(OutputCleanedError):
            await fork.output(message_id, "1")
        await run(runtime, tmp_path, "two")
        parts = await parts_of(fork)
        assert "line 1\n" in told(parts["2"][1])
        assert "it was cleaned up on" in told(parts["3"][1])


async def test_a_process_that_left_outputs_cleans_up_when_it_closes(
    opened: Open, tmp_path: Path
) -> None:
    async with opened(*counting(9000), outputs=OutputPolicy(bytes=0)) as runtime:
        session = await run(runtime, tmp_path, "one")
        message_id, _ = await key_of(session)
        assert await session.output(message_id, "1")
    async with opened() as runtime:
        session = await runtime.sessions.get("one")
        with pytest.raises(OutputCleanedError):
            await session.output(message_id, "1")


async def test_an_open_runtime_cleans_up_from_time_to_time(
    opened: Open, clock: ManualClock, tmp_path: Path
) -> None:
    async with opened(*counting(9000), outputs=OutputPolicy(days=1)) as runtime:
        session = await run(runtime, tmp_path, "one")
        message_id, _ = await key_of(session)
        clock.advance(2 * DAY)
        with anyio.fail_after(HANG):
            while True:
                try:
                    await session.output(message_id, "1")
                except OutputCleanedError:
                    return
                await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    "wrong",
    [{"days": 0}, {"days": -1}, {"bytes": -1}, {"days": "3"}, {"days": float("nan")}],
)
def test_a_policy_that_cannot_be_meant_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidValueError):
        OutputPolicy(**wrong)


# --- travelling -------------------------------------------------------------------


async def travelling(session: Session) -> tuple[list[Any], list[ExportedOutput]]:
    async with session.export() as export:
        events = [exported_from_line(one.to_line()) async for one in export]
    outputs = [one async for one in session.export_outputs()]
    again = [exported_from_line(one.to_line()) for one in outputs]
    assert again == outputs
    return events, outputs


@pytest.mark.law("tools.16")
async def test_outputs_travel_with_a_log_where_that_is_asked_for(
    opened: Open, tmp_path: Path
) -> None:
    async with opened(*counting(9000)) as runtime:
        session = await run(runtime, tmp_path, "one")
        message_id, key = await key_of(session)
        events, outputs = await travelling(session)
    assert [one.key for one in outputs] == [key]
    read = call("read", {"path": f"managed:{key}", "offset": 8999}, id="2")
    async with opened(calls(read), text("done"), name="two") as runtime:
        await runtime.sessions.replay(events)
        session = await runtime.sessions.get("one")
        with pytest.raises(OutputNotFoundError, match="export --outputs"):
            await session.output(message_id, "1")

        done = await runtime.sessions.replay(events, outputs=outputs)
        assert done is not None
        assert (done.accepted, done.outputs) == (0, 1)
        done = await runtime.sessions.replay(events, outputs=outputs)
        assert done is not None
        assert done.outputs == 0
        assert await session.output(message_id, "1") == counted(9000)
        await runtime.sessions.rebuild()
        await run(runtime, tmp_path, "one")
        assert "line 9000" in told((await parts_of(session))["2"][1])
        assert (await travelling(session))[1] == outputs
        # It is as old as it is here, and says so when it went.
        found = await runtime.sessions.clean_outputs(OutputPolicy(bytes=0))
        assert found.outputs == 1
        with pytest.raises(OutputCleanedError):
            await session.output(message_id, "1")
        done = await runtime.sessions.replay(events, outputs=outputs)
        assert done is not None
        assert done.outputs == 1
        assert await session.output(message_id, "1") == counted(9000)


@pytest.mark.law("tools.16")
@pytest.mark.law("access.12")
async def test_an_output_that_is_not_what_it_says_is_refused_with_all_that_came(
    opened: Open, tmp_path: Path
) -> None:
    async with opened(*counting(9000)) as runtime:
        session = await run(runtime, tmp_path, "one")
        message_id, _ = await key_of(session)
        events, [good] = await travelling(session)
    other = "something else"
    named = hashlib.sha256(other.encode()).hexdigest()
    hostile: list[tuple[ExportedOutput, type[Exception]]] = [
        (evolve(good, text=good.text + "!"), UndecodableError),
        (evolve(good, size=3), UndecodableError),
        (evolve(good, key="0" * 64), UndecodableError),
        (evolve(good, key=good.key.upper()), UndecodableError),
        (evolve(good, text="\ud800"), UndecodableError),
        (evolve(good, text=3), UndecodableError),  # type: ignore[arg-type]
        (evolve(good, seq=True), UndecodableError),
        (evolve(good, seq=0), EventDamagedError),
        (evolve(good, seq=-1), UndecodableError),
        (evolve(good, seq=2**40), EventDamagedError),
        (evolve(good, session_id="another"), EventAggregateError),
        (evolve(good, key=named, size=len(other), text=other), EventDamagedError),
    ]
    async with opened(name="two") as runtime:
        for bad, error in hostile:
            with pytest.raises(error):
                await runtime.sessions.replay(events, outputs=[good, bad])
            assert not (await runtime.sessions.list()).items
        with pytest.raises(InvalidValueError, match="with the events that left them"):
            await runtime.sessions.replay([], outputs=[good])
        # Whoever only knows the key of somebody else's text does not get at it.
        await runtime.sessions._log.commit(
            lambda tx: tx.rows.put_blob(counted(9000).encode())
        )
        await runtime.sessions.replay(events)
        session = await runtime.sessions.get("one")
        with pytest.raises(OutputNotFoundError):
            await session.output(message_id, "1")
        assert [one async for one in session.export_outputs()] == []


def test_a_line_that_is_no_output_is_no_output() -> None:
    line = {"session_id": "s", "seq": 1, "key": "0" * 64, "size": 1, "text": "x"}
    for wrong in (
        line,
        {**line, "size": "1"},
        {**line, "more": 1},
        {**line, "text": None},
        {"key": "k"},
    ):
        with pytest.raises(UndecodableError):
            exported_from_line(json.dumps(wrong))
    for odd in ("[]", "null", "[" * 100_000, '"key"'):
        with pytest.raises(UndecodableError):
            exported_from_line(odd)
