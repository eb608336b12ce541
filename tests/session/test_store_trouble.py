"""A store that refuses for a while: what was accepted goes on by itself afterwards.

The store is locked by another program, or full, at any moment of the work. Nothing that
is in hand is lost, nothing is done twice, and nobody is told an older outcome.
"""

import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import frozen
from dovetail.kernel import (
    Event,
    Runtime,
    Session,
    Store,
    StoreDamagedError,
    StoreError,
    StoreFullError,
    StoreLockedError,
    Tool,
    ToolContext,
    hookimpl,
    open_runtime,
)
from dovetail.kernel.log.patience import FIRST_SECONDS
from dovetail.kernel.testing import ScriptedProvider, call, calls, text
from dovetail.kernel.testing.clock import ManualClock
from dovetail.kernel.testing.memory_store import MemoryState, open_memory_store
from dovetail.kernel.testing.scripted import Gate
from dovetail.storage.plugin import plugin as sqlite_plugin
from support.bounds import HANG
from support.hosts import Tools, kinds_of
from support.logs import WrappedStore

LOCKED = StoreLockedError("here", 5.0)


class Refusing(WrappedStore):
    """Refuses what a test chooses, and says that it did."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.refuse: Callable[[Sequence[Event] | None], StoreError | None] | None = None
        """From the events of a commit, or None for a read, to what is raised."""
        self.refused = anyio.Event()

    async def transact(self, work: Any, on_commit: Any = None) -> Any:
        def weighed(tx: Any) -> Any:
            done = work(tx)
            self._weigh(getattr(done, "events", ()))
            return done

        return await self.inner.transact(weighed, on_commit)

    async def read(self, work: Any) -> Any:
        self._weigh(None)
        return await self.inner.read(work)

    def _weigh(self, events: Sequence[Event] | None) -> None:
        error = self.refuse(events) if self.refuse else None
        if error is not None:
            self.refused.set()
            raise error


class Stores:
    """Opens refusing stores on one state."""

    def __init__(self) -> None:
        self.state = MemoryState()
        self.store: Refusing

    @hookimpl
    def dovetail_open_store(self, url: str) -> AbstractAsyncContextManager[Any]:
        return self._opened()

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[Store]:
        async with open_memory_store(self.state) as inner:
            self.store = Refusing(inner)
            yield self.store


@frozen
class Number:
    number: int = 0


class World:
    """A runtime on a refusing store, with a tool that counts what it did."""

    def __init__(self, *answers: Any, clock: ManualClock | None = None) -> None:
        self.stores = Stores()
        self.clock = clock or ManualClock()
        self.provider = ScriptedProvider(*answers)
        self.done: list[int] = []

    @property
    def store(self) -> Refusing:
        return self.stores.store

    async def work(self, input: Number, context: ToolContext) -> str:
        await context.ask("work", [str(input.number)])
        self.done.append(input.number)
        return "worked"

    @asynccontextmanager
    async def open(self, folder: Path, **options: Any) -> AsyncIterator[Session]:
        options.setdefault("on_permission", "allow")
        async with self.runtime(**options) as runtime:
            yield await runtime.sessions.create(
                "mine", location=folder, model=self.provider.model
            )

    def runtime(self, **options: Any) -> Runtime:
        tool = Tool("work", "Work.", Number, self.work, effect="unsafe")
        options.setdefault("clock", self.clock)
        return open_runtime(
            "refusing://",
            plugins=[self.stores, self.provider, Tools(tool)],
            load_entry_points=False,
            environment={"DOVETAIL_CONFIG": ""},
            **options,
        )


def answers() -> list[Any]:
    return [
        calls(call("work", {"number": 1}, id="c1"), call("work", {"number": 2})),
        text("done"),
    ]


class Nth:
    """Refuses the n-th time that the store is asked, and the same thrice in a row."""

    def __init__(self, number: int, error: StoreError) -> None:
        self.left = number
        self.error = error
        self.refusals = 0

    def __call__(self, events: Sequence[Event] | None) -> StoreError | None:
        self.left -= 1
        if self.left < 0 and self.refusals < 3:
            self.refusals += 1
            return self.error
        return None


async def played(folder: Path, refusing: Nth) -> tuple[list[str], list[int], str]:
    """Return the kinds of the events, what the tool did, and the outcome."""
    world = World(*answers())
    async with world.open(folder) as session:
        with anyio.fail_after(HANG):
            async with world.clock.jumping():
                await session.prompt("go")
                # The work has not begun yet, and from here on nobody else asks.
                world.store.refuse = refusing
                outcome = await session.wait()
                world.store.refuse = None
        assert (await session.info()).trouble is None
        return sorted(await kinds_of(session)), sorted(world.done), outcome.status


@pytest.mark.law("execution.16", "tools.1")
async def test_whenever_the_store_refuses_the_work_comes_out_the_same(
    tmp_path: Path,
) -> None:
    """At each moment in turn: before a Step, after a tool has run, at the end."""
    usual = await played(tmp_path, Nth(10**6, LOCKED))
    assert usual[1:] == ([1, 2], "succeeded")
    for number in count():
        refusing = Nth(number, LOCKED if number % 2 else StoreFullError("x", "y"))
        assert await played(tmp_path, refusing) == usual, number
        # How often the store is asked is not the same each time: what cleans up asks
        # it, too. The work was over before the last moment came.
        if refusing.refusals < 3:
            break
    assert number > 10


@pytest.mark.law("execution.16", "tools.1")
async def test_a_step_is_settled_after_every_call_whichever_is_refused(
    tmp_path: Path,
) -> None:
    """The result of one call is refused; the other call comes after it and is not."""
    world, first = World(*answers()), Nth(0, LOCKED)

    def refuse(events: Sequence[Event] | None) -> StoreError | None:
        succeeded = [one for one in events or () if one.kind == "tool.succeeded"]
        return first(events) if succeeded else None

    async with world.open(tmp_path) as session:
        with anyio.fail_after(HANG):
            async with world.clock.jumping():
                await session.prompt("go")
                world.store.refuse = refuse
                assert (await session.wait()).succeeded
        kinds = await kinds_of(session)
    settled = [index for index, kind in enumerate(kinds) if kind == "tool.succeeded"]
    assert len(settled) == 2
    assert kinds.index("step.ended") > max(settled)


@pytest.mark.law("execution.16")
async def test_who_waits_is_told_no_older_outcome_and_can_see_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(text("first"), text("second"))
    async with world.open(tmp_path) as session:
        told: list[str] = []

        async def wait() -> None:
            told.append((await session.wait()).status)

        with anyio.fail_after(HANG):
            await session.prompt("one")
            assert (await session.wait()).succeeded
            await session.prompt("two")
            world.store.refuse = lambda events: LOCKED
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait)
                await world.store.refused.wait()
                await world.clock.until_sleeping(1, within=FIRST_SECONDS)
                world.store.refuse = None
                info = await session.info()
                assert info.trouble is not None
                assert info.trouble.code == "store.locked"
                assert told == []
                assert "waits for the store" in caplog.text
                async with world.clock.jumping():
                    await session.wait()
        assert told == ["succeeded"]
        assert (await session.info()).trouble is None
        texts = [one.text for one in await session.messages(order="asc")]
    assert texts == ["one", "first", "two", "second"]


@pytest.mark.law("execution.16")
async def test_what_is_interrupted_meanwhile_is_settled_and_starts_nothing(
    tmp_path: Path,
) -> None:
    world = World(*answers())

    def refuse(events: Sequence[Event] | None) -> StoreError | None:
        return LOCKED if world.done else None

    async with world.open(tmp_path) as session:
        with anyio.fail_after(HANG):
            await session.prompt("go")
            world.store.refuse = refuse
            await world.store.refused.wait()
            world.store.refuse = None
            assert await session.interrupt()
            async with world.clock.jumping():
                outcome = await session.wait()
        assert outcome.status == "interrupted"
        kinds = await kinds_of(session)
        assert kinds[-1] == "execution.ended"
        # Cut off, or complete where both results were in hand by then.
        settled = kinds.count("step.failed") + kinds.count("step.ended")
        assert kinds.count("step.started") == settled == 1
        assert not await session.pending()


@pytest.mark.law("execution.16", "execution.3")
async def test_closing_waits_for_no_store_and_the_next_runtime_goes_on(
    tmp_path: Path,
) -> None:
    world = World(text("one"))
    with anyio.fail_after(HANG):
        async with world.open(tmp_path) as session:
            await session.prompt("go")
            world.store.refuse = lambda events: LOCKED
            await world.store.refused.wait()
            await world.clock.until_sleeping(1, within=FIRST_SECONDS)
        async with world.open(tmp_path, resume="clean") as session:
            assert (await session.wait()).succeeded


@pytest.mark.law("execution.16")
async def test_a_store_that_is_broken_for_good_is_told_and_seen(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(text("one"), text("two"))
    async with world.open(tmp_path) as session:
        with anyio.fail_after(HANG):
            await session.prompt("one")
            await session.wait()
            await session.prompt("two")
            world.store.refuse = lambda events: StoreDamagedError("here", "torn")
            with pytest.raises(StoreDamagedError):
                await session.wait()
            world.store.refuse = None
            assert "the work of session mine stopped" in caplog.text
            trouble = (await session.info()).trouble
            assert trouble is not None
            assert trouble.code == "store.damaged"
            # Not the outcome of the first prompt, which was another one's.
            outcome = await session.wait()
            assert (outcome.status, outcome.reason) == ("idle", trouble)
            assert (await session.resume()).succeeded
            assert (await session.info()).trouble is None


# --- whoever runs it --------------------------------------------------------------


@pytest.mark.law("execution.16")
async def test_who_waits_beside_another_process_is_told_what_that_one_brings(
    tmp_path: Path,
) -> None:
    gate = Gate()
    world = World(text("first"), [gate, *text("second")])
    async with world.open(tmp_path) as mine, world.runtime() as other:
        theirs = await other.sessions.get("mine")
        with anyio.fail_after(HANG):
            await mine.prompt("one")
            await mine.wait()
            await mine.prompt("two", resume=False)
            # Nobody is at it: what came before is not its outcome.
            outcome = await theirs.wait()
            assert outcome.reason is not None
            assert (outcome.status, outcome.reason.code) == ("idle", "input.waiting")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(mine.resume)
                await gate.reached()
                told: list[str] = []

                async def wait() -> None:
                    told.append((await theirs.wait()).status)

                tasks.start_soon(wait)
                await anyio.wait_all_tasks_blocked()
                assert told == []
                gate.open()
        assert told == ["succeeded"]


@pytest.mark.law("execution.16")
async def test_who_waits_for_work_that_was_lost_is_told_that(tmp_path: Path) -> None:
    gate = Gate()
    clock = ManualClock()
    world = World(text("first"), [gate, *text("second")])
    async with world.open(tmp_path) as mine, world.runtime(clock=clock) as other:
        theirs = await other.sessions.get("mine")
        with anyio.fail_after(HANG):
            await mine.prompt("one")
            await mine.wait()
            await mine.prompt("two")
            await gate.reached()
            # To the other one its lease is not renewed: it waits as long as that lasts.
            async with clock.jumping():
                outcome = await theirs.wait()
            assert outcome.reason is not None
            assert (outcome.status, outcome.reason.code) == ("idle", "execution.lost")
            gate.open()
            assert (await mine.wait()).succeeded


# --- a real lock ------------------------------------------------------------------


@pytest.mark.law("execution.16", "storage.5")
async def test_a_file_that_another_program_holds_only_delays_the_work(
    tmp_path: Path,
) -> None:
    """It takes the lock while a tool runs, and lets go once the refusal is seen."""
    gate, ran = Gate(), list[int]()

    async def work(input: Number, context: ToolContext) -> str:
        ran.append(input.number)
        await gate.pass_through()
        return "worked"

    provider = ScriptedProvider(calls(call("work", {"number": 1})), text("done"))
    tool = Tool("work", "Work.", Number, work, effect="unsafe")
    clock = ManualClock()
    async with open_runtime(
        f"sqlite:///{tmp_path / 'test.db'}?busy_timeout=0.05",
        plugins=[sqlite_plugin, provider, Tools(tool)],
        load_entry_points=False,
        environment={"DOVETAIL_CONFIG": ""},
        clock=clock,
    ) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        other = sqlite3.connect(tmp_path / "test.db", isolation_level=None)
        with anyio.fail_after(HANG):
            await session.prompt("go")
            await gate.reached()
            other.execute("BEGIN IMMEDIATE")
            gate.open()
            await clock.until_sleeping(1, within=FIRST_SECONDS)
            trouble = (await session.info()).trouble
            assert trouble is not None
            assert trouble.code == "store.locked"
            other.execute("ROLLBACK")
            other.close()
            async with clock.jumping():
                assert (await session.wait()).succeeded
        assert ran == [1]
        assert (await kinds_of(session)).count("tool.succeeded") == 1
