"""The writer: what shares a commit, what a failure takes with it, who is told when."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from dovetail.kernel import StoreClosedError, StoreFullError, StoreLockedError
from dovetail.kernel.ports import EventRecord, Transaction
from dovetail.storage.sqlite.store import SqliteStore, open_sqlite
from support.bounds import HANG
from support.programs import Forking

Appending = Callable[..., Any]
Bare = Callable[[Path], sqlite3.Connection]


class Gate:
    """Holds the writer inside a transaction until the test lets it go on."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def work(self, _: Transaction) -> None:
        self.entered.set()
        assert self.opened.wait(HANG)

    async def reached(self) -> None:
        assert await anyio.to_thread.run_sync(self.entered.wait, HANG)


@contextmanager
def statements(store: SqliteStore) -> Iterator[list[str]]:
    """Collect what the write connection is asked meanwhile."""
    connection = store._writer._connection
    seen: list[str] = []
    connection.set_trace_callback(seen.append)
    yield seen
    connection.set_trace_callback(None)


async def test_what_waits_together_shares_one_commit(
    tmp_path: Path, append: Appending
) -> None:
    gate = Gate()
    async with open_sqlite(tmp_path / "a.db") as store:
        with anyio.fail_after(HANG):
            async with anyio.create_task_group() as group:
                group.start_soon(store.transact, gate.work)
                await gate.reached()
                for number in range(100):
                    group.start_soon(store.transact, append(f"s{number}", 0))
                await anyio.wait_all_tasks_blocked()
                with statements(store) as seen:
                    gate.opened.set()
                    await store.transact(lambda tx: None)
        # The gate's own, and one for all the others.
        assert seen.count("COMMIT") == 2
        # Nothing failed, so nothing had to be undone alone.
        assert not any("SAVEPOINT" in one for one in seen)
        found = await store.read(lambda reader: reader.all_events())
        assert len(found) == 100


async def test_one_that_fails_in_a_group_is_undone_alone_in_a_second_run(
    tmp_path: Path, append: Appending
) -> None:
    gate = Gate()
    runs: list[str] = []
    told: list[str] = []

    def work(name: str) -> Callable[[Transaction], int]:
        def run(transaction: Transaction) -> int:
            runs.append(name)
            append(name, 0)(transaction)
            # What failed left nothing that a neighbour could see.
            others = len(transaction.all_events())
            if name == "wrong":
                raise LookupError(name)
            return others

        return run

    async def call(store: SqliteStore, name: str) -> None:
        try:
            found = await store.transact(work(name), lambda found: told.append(name))
        except LookupError:
            told.append(f"{name} failed")
        else:
            told.append(f"{name} {found}")

    async with open_sqlite(tmp_path / "a.db") as store:
        with anyio.fail_after(HANG):
            async with anyio.create_task_group() as group:
                group.start_soon(store.transact, gate.work)
                await gate.reached()
                for name in ("a", "wrong", "b"):
                    group.start_soon(call, store, name)
                    await anyio.wait_all_tasks_blocked()
                with statements(store) as seen:
                    gate.opened.set()
                    await store.transact(lambda tx: None)
        found = await store.read(lambda reader: reader.all_events())
    assert runs == ["a", "wrong", "a", "wrong", "b"]
    assert sorted(told) == ["a", "a 1", "b", "b 2", "wrong failed"]
    assert [one.session_id for one in found] == ["a", "b"]
    assert [one.position for one in found] == [1, 2]
    # The gate's own, and one for all the others.
    assert seen.count("COMMIT") == 2
    assert seen.count("ROLLBACK") == 1


async def test_a_lone_transaction_has_no_savepoint(
    tmp_path: Path, append: Appending
) -> None:
    async with open_sqlite(tmp_path / "a.db") as store:
        with statements(store) as seen:
            await store.transact(append("a", 0))
        assert seen[0] == "BEGIN IMMEDIATE"
        assert seen[-1] == "COMMIT"
        assert not any("SAVEPOINT" in one for one in seen)


async def test_a_caller_cancelled_in_flight_is_told_the_result_before_it_ends(
    tmp_path: Path, append: Appending
) -> None:
    gate = Gate()
    story: list[str] = []

    async def call(store: SqliteStore, scope: anyio.CancelScope) -> None:
        def work(transaction: Transaction) -> str:
            append("a", 0)(transaction)
            return "result"

        with scope:
            story.append(await store.transact(work, lambda _: story.append("commit")))
            await checkpoint()
            story.append("went on")

    async with open_sqlite(tmp_path / "a.db") as store:
        with anyio.fail_after(HANG):
            async with anyio.create_task_group() as group:
                group.start_soon(store.transact, gate.work)
                await gate.reached()
                scope = anyio.CancelScope()
                group.start_soon(call, store, scope)
                await anyio.wait_all_tasks_blocked()
                scope.cancel()
                await anyio.wait_all_tasks_blocked()
                assert story == []
                gate.opened.set()
        assert story == ["commit", "result"]
        assert scope.cancelled_caught
        assert await store.read(lambda reader: reader.head("a")) is not None


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_caller_cancelled_by_asyncio_itself_is_told_the_result_too(
    tmp_path: Path, append: Appending
) -> None:
    gate = Gate()
    story: list[str] = []

    async def call(store: SqliteStore) -> None:
        await store.transact(append("a", 0), lambda _: story.append("commit"))
        story.append("told")
        await asyncio.sleep(0)
        story.append("went on")

    async with open_sqlite(tmp_path / "a.db") as store, asyncio.timeout(HANG):
        held = asyncio.create_task(store.transact(gate.work))
        await gate.reached()
        cancelled = asyncio.create_task(call(store))
        for _ in range(3):
            await anyio.wait_all_tasks_blocked()
            cancelled.cancel()
        await anyio.wait_all_tasks_blocked()
        assert story == []
        gate.opened.set()
        await held
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert await store.read(lambda reader: reader.head("a")) is not None
    assert story == ["commit", "told"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_timeout_of_asyncio_stays_a_timeout(tmp_path: Path) -> None:
    gate = Gate()

    async def call(store: SqliteStore) -> None:
        async with asyncio.timeout(0):
            await store.transact(gate.work)
            await asyncio.sleep(0)

    async with open_sqlite(tmp_path / "a.db") as store:
        caller = asyncio.create_task(call(store))
        await gate.reached()
        await anyio.wait_all_tasks_blocked()
        gate.opened.set()
        with pytest.raises(TimeoutError):
            await caller
        assert caller.cancelling() == 0


async def test_a_transaction_that_is_too_large_does_not_take_its_neighbours(
    tmp_path: Path, append: Appending
) -> None:
    """The medium gives up the whole group; each then gets its own chance."""
    gate = Gate()
    outcomes: dict[str, str] = {}

    async def call(store: SqliteStore, name: str, size: int) -> None:
        try:
            await store.transact(append(name, 0, bytes(size)))
            outcomes[name] = "kept"
        except StoreFullError:
            outcomes[name] = "full"

    async with open_sqlite(tmp_path / "a.db") as store:
        await _limit_pages(store, 400)
        with anyio.fail_after(HANG):
            async with anyio.create_task_group() as group:
                group.start_soon(store.transact, gate.work)
                await gate.reached()
                for name, size in (("a", 10), ("large", 4_000_000), ("b", 10)):
                    group.start_soon(call, store, name, size)
                await anyio.wait_all_tasks_blocked()
                gate.opened.set()
        found = await store.read(lambda reader: reader.all_events())
    assert outcomes == {"a": "kept", "large": "full", "b": "kept"}
    assert {one.session_id for one in found} == {"a", "b"}


async def test_a_function_cannot_go_on_after_the_medium_failed(
    tmp_path: Path, append: Appending
) -> None:
    """SQLite rolls back by itself then, and what follows would commit alone."""

    def work(transaction: Transaction) -> str:
        append("a", 0)(transaction)
        for seq in range(1, 3):
            try:
                append("a", seq, bytes(4_000_000))(transaction)
            except StoreFullError:
                continue
        return "fine"

    async with open_sqlite(tmp_path / "a.db") as store:
        await _limit_pages(store, 400)
        with pytest.raises(StoreFullError):
            await store.transact(work)
        assert await store.read(lambda reader: reader.all_events()) == []
        await store.transact(append("a", 0))


async def _limit_pages(store: SqliteStore, pages: int) -> None:
    def limit(transaction: Any) -> None:
        transaction.one(f"PRAGMA max_page_count = {pages}", ())

    await store.transact(limit)


# --- other processes --------------------------------------------------------------


@pytest.mark.law("storage.5")
async def test_a_lock_is_waited_for_and_then_named(
    tmp_path: Path, bare: Bare, append: Appending
) -> None:
    path = tmp_path / "a.db"
    outcomes: list[StoreLockedError] = []

    async def call(store: SqliteStore, number: int) -> None:
        with pytest.raises(StoreLockedError) as caught:
            await store.transact(append(f"s{number}", 0))
        outcomes.append(caught.value)

    async with open_sqlite(path, busy_timeout=0.2) as store:
        other = bare(path)
        other.execute("BEGIN IMMEDIATE")
        with anyio.fail_after(HANG):
            async with anyio.create_task_group() as group:
                for number in range(5):
                    group.start_soon(call, store, number)
        assert [error.waited for error in outcomes] == [0.2] * 5
        assert len({id(error) for error in outcomes}) == 5
        assert "0.2 s" in str(outcomes[0])
        # A reader never waits for a writer.
        assert await store.read(lambda reader: reader.all_events()) == []
        other.execute("COMMIT")
        await store.transact(append("a", 0))


async def test_a_lock_that_goes_away_in_time_is_not_noticed(
    tmp_path: Path, bare: Bare, append: Appending
) -> None:
    path = tmp_path / "a.db"
    async with open_sqlite(path) as store:
        other = bare(path)
        other.execute("BEGIN IMMEDIATE")
        with anyio.fail_after(HANG):
            async with anyio.create_task_group() as group:
                group.start_soon(store.transact, append("a", 0))
                await anyio.wait_all_tasks_blocked()
                other.execute("COMMIT")
        assert await store.read(lambda reader: reader.head("a")) is not None


WRITER = """
import sys, anyio
from dovetail.kernel.ports import EventRecord
from dovetail.storage.sqlite.store import open_sqlite

async def main(path, name, count):
    async with open_sqlite(path, busy_timeout=30) as store:
        for seq in range(int(count)):
            record = EventRecord(name, seq, "k", 1, 0, b"{}", bytes(32))
            await store.transact(lambda tx: tx.append([record]))

anyio.run(main, *sys.argv[1:])
"""


def test_processes_that_write_one_file_do_not_get_in_each_others_way(
    tmp_path: Path, forked: Forking
) -> None:
    path = tmp_path / "a.db"
    writers = [forked(path, f"s{number}", 40, program=WRITER) for number in range(3)]
    for writer in writers:
        assert writer.wait(timeout=HANG) == 0

    async def look() -> list[EventRecord]:
        async with open_sqlite(path) as store:
            return list(await store.read(lambda reader: reader.all_events()))

    found = anyio.run(look)
    for number in range(3):
        own = [one.seq for one in found if one.session_id == f"s{number}"]
        assert own == list(range(40))


async def test_a_commit_of_another_process_is_noticed_while_watched(
    tmp_path: Path, forked: Forking
) -> None:
    path = tmp_path / "a.db"
    told = anyio.Event()
    async with open_sqlite(path) as store:
        end = store.watch(told.set)
        with anyio.fail_after(HANG):
            forked(path, "other", 1, program=WRITER)
            await told.wait()
            head = await store.read(lambda reader: reader.head("other"))
        assert head is not None
        end()


async def test_a_watcher_that_fails_disturbs_nobody(
    tmp_path: Path, append: Appending, caplog: pytest.LogCaptureFixture
) -> None:
    told = anyio.Event()

    def failing() -> None:
        raise LookupError("on purpose")

    path = tmp_path / "a.db"
    async with open_sqlite(path) as store, open_sqlite(path) as other:
        store.watch(failing)
        store.watch(told.set)
        await other.transact(append("a", 0))
        with anyio.fail_after(HANG):
            await told.wait()
    assert "on purpose" in caplog.text


# --- closing ----------------------------------------------------------------------


async def test_closing_ends_the_thread_and_answers_everybody(
    tmp_path: Path, append: Appending
) -> None:
    gate = Gate()
    done: list[int] = []

    async def call(store: SqliteStore, number: int) -> None:
        await store.transact(append(f"s{number}", 0))
        done.append(number)

    before = threading.active_count()
    async with open_sqlite(tmp_path / "a.db") as store:
        with anyio.fail_after(HANG):
            async with anyio.create_task_group() as group:
                group.start_soon(store.transact, gate.work)
                await gate.reached()
                for number in range(600):
                    group.start_soon(call, store, number)
                await anyio.wait_all_tasks_blocked()
                group.start_soon(store.aclose)
                await anyio.wait_all_tasks_blocked()
                with pytest.raises(StoreClosedError):
                    await store.transact(append("late", 0))
                gate.opened.set()
        assert sorted(done) == list(range(600))
        assert not store._writer._thread.is_alive()
        store.watch(lambda: None)()
    # Whoever starts commands in this process keeps a thread for it.
    name = store._writer._thread.name
    assert [one for one in threading.enumerate() if one.name == name] == []
    assert threading.active_count() <= before + 2  # idle worker threads of anyio


def test_a_store_that_was_never_closed_does_not_keep_the_process_alive(
    tmp_path: Path, child: Callable[..., Any]
) -> None:
    code = """
import sys, anyio
from dovetail.storage.sqlite.store import open_sqlite

async def main():
    opened = open_sqlite(sys.argv[1])
    store = await opened.__aenter__()
    await store.transact(lambda tx: tx.put_blob(b"x"))
    print("confirmed", flush=True)
    sys.exit(3)

anyio.run(main)
"""
    process = child(code, tmp_path / "a.db")
    assert process.wait(timeout=HANG) == 3
