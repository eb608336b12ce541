"""Leases are renewed as long as the process lives, and end whatever clocks say."""

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import frozen
from dovetail.kernel import Runtime, Session, Tool, ToolContext
from dovetail.kernel.execution.keeper import Keeper
from dovetail.kernel.execution.ownership import Fence
from dovetail.kernel.lifecycle.loop import loop_caller
from dovetail.kernel.log import lookout as lookout_module
from dovetail.kernel.log.lookout import LONGEST_LEASE_SECONDS, Lookout
from dovetail.kernel.ports import LeaseRow
from dovetail.kernel.testing import Gate, ManualClock, ScriptedProvider
from dovetail.kernel.testing.memory_store import open_memory_store
from dovetail.kernel.testing.scripted import call, calls, text
from dovetail.kernel.values.errors import StoreDamagedError, StoreLockedError
from hypothesis import given, strategies as st
from support.bounds import HANG
from support.crashes import ended
from support.hosts import host, kinds_of

YEARS = 3600 * 24 * 365 * 10.0


# --- renewing ---------------------------------------------------------------------


@frozen
class Nothing:
    pass


def renewals(file: Path) -> int:
    """Return how often the one lease in a file was renewed, in any thread."""
    with sqlite3.connect(file) as connection:
        [(found,)] = connection.execute("SELECT max(renewals) FROM aggregate")
    connection.close()
    return int(found or 0)


@pytest.mark.law("execution.14")
async def test_a_tool_that_blocks_the_loop_costs_no_lease(tmp_path: Path) -> None:
    """The tool holds up the loop until its lease was renewed several times over."""
    seen: list[int] = []

    async def block(input: Nothing, context: ToolContext) -> str:
        end = time.monotonic() + HANG
        while renewals(tmp_path / "test.db") < 7 and time.monotonic() < end:
            threading.Event().wait(0.01)  # the loop stands still meanwhile
        seen.append(renewals(tmp_path / "test.db"))
        return "done"

    provider = ScriptedProvider(calls(call("block")), text("Done."))
    tool = Tool("block", "Block.", Nothing, block)
    async with host(tmp_path, provider, tool, lease_seconds=0.3) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        with anyio.fail_after(2 * HANG):
            await session.prompt("Begin")
            assert (await session.wait()).succeeded
    assert seen[0] >= 7


@pytest.mark.law("execution.14")
async def test_a_loop_that_stands_still_beyond_its_bound_is_named_and_given_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, anyio_backend_name: str
) -> None:
    """Another runtime, with a loop of its own in a thread, takes over meanwhile."""
    taken = threading.Event()
    outcomes: list[str] = []

    async def take_over() -> None:
        provider = ScriptedProvider(text("Taken over."))
        async with host(tmp_path, provider, resume="always") as other:
            session = await other.sessions.get("it")
            with anyio.fail_after(HANG):
                await session.prompt("Go on")
                outcomes.append((await session.wait()).status)

    def elsewhere() -> None:
        try:
            anyio.run(take_over, backend=anyio_backend_name)
        finally:
            taken.set()

    async def block(input: Nothing, context: ToolContext) -> str:
        threading.Thread(target=elsewhere).start()
        assert taken.wait(2 * HANG)
        return "too late"

    provider = ScriptedProvider(calls(call("block")), text("Never asked."))
    tool = Tool("block", "Block.", Nothing, block)
    async with host(
        tmp_path, provider, tool, lease_seconds=0.6, blocked_seconds=1.5
    ) as runtime:
        session = await runtime.sessions.create(
            id="it", location=tmp_path, model=provider.model
        )
        with anyio.fail_after(4 * HANG):
            await session.prompt("Begin")
            await session.wait()
        kinds = await kinds_of(session)
    assert outcomes == ["succeeded"]
    assert kinds.count("execution.started") >= 2
    assert "tool.succeeded" not in kinds
    # There may be more to say of a loop that stood still, and of a busy store.
    [told] = [
        one
        for one in caplog.records
        if (one.name, one.levelname) == (Keeper.__module__, "ERROR")
    ]
    assert "tool 'block' of plugin 'test-tools'" in told.getMessage()
    assert "another process may take over" in told.getMessage()


@pytest.mark.law("execution.1")
async def test_a_live_owner_keeps_its_session_beyond_one_lease(tmp_path: Path) -> None:
    """Another runtime watches for several leases, and takes nothing."""
    gate = Gate()
    provider = ScriptedProvider([gate, *text("mine")], text("and this"))
    async with (
        # Long enough for its thread to have its turn on a busy machine.
        host(tmp_path, provider, lease_seconds=1.5) as owner,
        host(tmp_path, provider) as other,
    ):
        theirs = await owner.sessions.create(
            id="it", location=tmp_path, model=provider.model
        )
        with anyio.fail_after(HANG):
            await theirs.prompt("Begin")
            await gate.reached()
            mine = await other.sessions.get("it")
            await mine.prompt("And this", delivery="queue")
            signs = {await mine.held_until()}
            while len(signs) < 5:
                # The thread that renews needs the processor more than who watches.
                await anyio.to_thread.run_sync(threading.Event().wait, 0.02)
                signs.add(await mine.held_until())
            assert None not in signs
            assert (await kinds_of(mine)).count("execution.started") == 1
            gate.open()
            assert (await theirs.wait()).succeeded
            assert (await mine.wait()).succeeded


async def test_what_was_given_back_or_lost_is_not_renewed() -> None:
    async with open_memory_store() as store:

        def rows(tx: Any) -> None:
            tx.put_lease(LeaseRow("mine", "me", 1, lasts=300))
            tx.put_lease(LeaseRow("ended", None, 1, lasts=300))
            tx.put_lease(LeaseRow("taken", "other", 2, lasts=300))

        await store.transact(rows)
        lost: list[Fence] = []
        fences = [Fence(name, "me", 1) for name in ("mine", "ended", "taken")]
        told = anyio.Event()

        def hear(fence: Fence) -> None:
            lost.append(fence)
            told.set()

        keeper = Keeper(
            store,
            ManualClock(),
            0.3,
            call=loop_caller(),
            fences=lambda: fences,
            lost=hear,
            given_up=lambda: None,
        )
        keeper.begin()
        with anyio.fail_after(HANG):
            await told.wait()
            await keeper.aclose()
        assert set(lost) == {fences[2]}

        def found(reader: Any) -> list[LeaseRow]:
            return [reader.lease(fence.session_id) for fence in fences]

        mine, ended_, taken = await store.read(found)
        assert mine.renewals >= 1
        assert (ended_.renewals, taken.renewals) == (0, 0)


@pytest.mark.parametrize("error", [StoreDamagedError, LookupError])
async def test_one_lease_that_cannot_be_renewed_costs_no_other(error: Any) -> None:
    async with open_memory_store() as store:
        names = [f"s{number}" for number in range(250)]

        def rows(tx: Any) -> None:
            for name in names:
                tx.put_lease(LeaseRow(name, "me", 1, lasts=300))

        await store.transact(rows)
        forward = store.transact_in_thread
        broken = error("s", "damaged") if error is StoreDamagedError else error()

        def failing(work: Callable[[Any], Any]) -> Any:
            def checked(tx: Any) -> Any:
                result = work(tx)
                if (tx.lease("s7").renewals) > 0:
                    raise broken
                return result

            return forward(checked)

        store.transact_in_thread = failing  # type: ignore[method-assign]
        await _renewed_once(store, [Fence(name, "me", 1) for name in names])

        def kept(reader: Any) -> set[str]:
            return {name for name in names if reader.lease(name).renewals}

        assert await store.read(kept) == set(names) - {"s7"}


async def test_a_store_that_was_locked_is_tried_again_soon() -> None:
    async with open_memory_store() as store:
        await store.transact(
            lambda tx: tx.put_lease(LeaseRow("s", "me", 1, lasts=3_000_000))
        )
        forward, refused = store.transact_in_thread, list[int]()

        def locked(work: Callable[[Any], Any]) -> Any:
            if len(refused) < 2:
                refused.append(1)
                raise StoreLockedError("it", 5)
            return forward(work)

        store.transact_in_thread = locked  # type: ignore[method-assign]
        await _renewed_once(store, [Fence("s", "me", 1)], lease_seconds=3)
        assert len(refused) == 2


async def _renewed_once(
    store: Any, fences: list[Fence], lease_seconds: float = 0.3
) -> None:
    """Renew until the last lease was."""
    renewed, call_in_loop = anyio.Event(), loop_caller()
    forward = store.transact_in_thread

    def hearing(work: Callable[[Any], Any]) -> Any:
        result = forward(work)
        if forward(lambda rows: rows.lease(fences[-1].session_id).renewals):
            call_in_loop(renewed.set)
        return result

    store.transact_in_thread = hearing
    keeper = Keeper(
        store,
        ManualClock(),
        lease_seconds,
        call=loop_caller(),
        fences=lambda: fences,
        lost=lambda fence: None,
        given_up=lambda: None,
    )
    keeper.begin()
    with anyio.fail_after(HANG):
        await renewed.wait()
        await keeper.aclose()


# --- when a lease has run out -----------------------------------------------------


class Jumping(ManualClock):
    """A clock whose time of day is set as a test likes; what has elapsed is real."""

    def __init__(self) -> None:
        super().__init__()
        self.off = 0.0

    def now(self) -> int:
        return super().now() + int(self.off * 1000)


jumps = st.floats(-YEARS, YEARS)


@pytest.mark.law("execution.15")
@given(
    before=jumps,
    steps=st.lists(st.tuples(jumps, st.floats(0.01, 0.99), st.booleans())),
)
def test_no_jump_of_a_clock_takes_a_session_from_a_live_owner_or_holds_it(
    before: float, steps: list[tuple[float, float, bool]]
) -> None:
    clock = Jumping()
    lookout = Lookout(clock)
    renewed = clock.now() + int(before * 1000)
    row = LeaseRow("s", "other", 1, lasts=15_000, renewed=renewed)
    assert lookout.held(row) is not None
    alive = 15.0
    for jump, part, renews in steps:
        clock.off = jump
        clock.advance(alive * part)
        alive -= alive * part
        if renews:
            alive = 15.0
            row = LeaseRow("s", "other", 1, row.renewals + 1, 15_000, int(jump))
        assert lookout.held(row) is not None
    clock.off = -clock.off
    clock.advance(15.001)
    assert lookout.held(row) is None


@pytest.mark.law("execution.15")
def test_nobody_is_waited_for_who_has_ended_or_let_go() -> None:
    lookout = Lookout(ManualClock(), "me")
    assert lookout.held(None) is None
    assert lookout.held(LeaseRow("s", None, 1, lasts=9000)) is None
    assert lookout.held(LeaseRow("s", "me", 1, lasts=9000)) is None
    row = LeaseRow("s", "other", 1, lasts=9000, process=ended())
    assert lookout.held(row) is None
    assert lookout.held(LeaseRow("s", "other", 1, lasts=9000)) is not None


@pytest.mark.law("execution.15")
@pytest.mark.parametrize("lasts", [-5, 2**62])
def test_whatever_a_row_says_it_holds_nobody_for_longer_than_a_lease_may_last(
    lasts: int,
) -> None:
    clock = ManualClock()
    lookout = Lookout(clock)
    row = LeaseRow("s", "other", 1, lasts=lasts)
    lookout.held(row)
    clock.advance(LONGEST_LEASE_SECONDS)
    assert lookout.held(row) is None


@pytest.mark.law("execution.15", "execution.13")
def test_however_few_are_remembered_a_lease_that_is_waited_for_runs_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lookout_module, "REMEMBERED", 1)
    clock = ManualClock()
    lookout = Lookout(clock)
    rows = [LeaseRow(f"s{number}", "other", 1, lasts=9000) for number in range(50)]
    assert all(lookout.held(row) for row in rows)
    clock.advance(9)
    assert not any(lookout.held(row) for row in rows)
    # What ran out long ago makes room for others, and only costs another wait.
    clock.advance(lookout_module.LONG_AGO_SECONDS + 1)
    fresh = [LeaseRow(f"t{number}", "other", 1, lasts=9000) for number in range(9)]
    assert all(lookout.held(row) for row in fresh)
    assert lookout.held(rows[0]) is not None


async def _left_behind(
    folder: Path, stack: AsyncExitStack, clock: ManualClock, gate: Gate
) -> tuple[Runtime, Session]:
    """Return a runtime at work by this clock, and its session."""
    provider = ScriptedProvider([gate, *text("mine")], text("later"))
    runtime = await stack.enter_async_context(
        host(folder, provider, clock=clock, lease_seconds=3600)
    )
    session = await runtime.sessions.create(
        id="it", location=folder, model=provider.model
    )
    await session.prompt("Begin")
    await gate.reached()
    return runtime, session


@pytest.mark.law("execution.15")
@pytest.mark.parametrize("days", [-10_000, -30, 30, 10_000])
async def test_an_owner_whose_clock_is_days_off_holds_no_longer_than_its_lease(
    tmp_path: Path, days: int
) -> None:
    wrong, right, gate = ManualClock(), ManualClock(), Gate()
    wrong.set_back(-days * 86_400)
    provider = ScriptedProvider(text("taken over"))
    with anyio.fail_after(HANG):
        async with AsyncExitStack() as stack:
            _, theirs = await _left_behind(tmp_path, stack, wrong, gate)
            other = await stack.enter_async_context(
                host(tmp_path, provider, clock=right, resume="always")
            )
            mine = await other.sessions.get("it")
            # Seen for the first time here, so that the time runs from here.
            assert await mine.held_until() is not None
            await mine.prompt("Go on")
            right.advance(3599)
            assert await mine.held_until() is not None
            right.advance(2)
            assert await mine.held_until() is None
            # Whoever stands by may sleep for what was left when it looked.
            async with right.jumping(longest=3600):
                assert (await mine.wait()).succeeded
            gate.open()
            await theirs.wait()
    assert len(provider.requests) == 1


@pytest.mark.law("execution.15")
@pytest.mark.parametrize("days", [-10_000, -30, 30, 10_000])
async def test_a_clock_that_jumps_takes_nothing_from_a_live_owner(
    tmp_path: Path, days: int
) -> None:
    clock, gate = ManualClock(), Gate()
    with anyio.fail_after(HANG):
        async with AsyncExitStack() as stack:
            _, theirs = await _left_behind(tmp_path, stack, ManualClock(), gate)
            other = await stack.enter_async_context(
                host(tmp_path, ScriptedProvider(text("later")), clock=clock)
            )
            mine = await other.sessions.get("it")
            assert await mine.held_until() is not None
            clock.set_back(-days * 86_400)
            assert await mine.held_until() is not None
            await mine.prompt("And this", delivery="queue")
            await anyio.wait_all_tasks_blocked()
            assert (await kinds_of(mine)).count("execution.started") == 1
            gate.open()
            assert (await theirs.wait()).succeeded
