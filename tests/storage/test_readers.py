"""The readers: here when small, elsewhere when large, and always one state."""

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from dovetail.kernel import StoreClosedError, StoreReadOnlyError
from dovetail.kernel.log.reading import PAGE
from dovetail.kernel.ports import EventRecord, Reader, Transaction
from dovetail.storage.sqlite.store import open_sqlite
from support.bounds import HANG

Appending = Callable[..., Any]


def many(count: int) -> Callable[[Transaction], None]:
    records = [
        EventRecord("a", seq, "k", 1, 0, b"x" * 100, bytes(32)) for seq in range(count)
    ]
    return lambda transaction: transaction.append(records)


async def test_a_small_read_stays_in_the_loop_and_a_large_one_leaves_it(
    tmp_path: Path,
) -> None:
    here = threading.get_ident()

    def small(reader: Reader) -> int:
        assert reader.head("a") is not None
        assert len(reader.events("a", after=100, limit=20)) == 20
        return threading.get_ident()

    def large(reader: Reader) -> int:
        assert len(reader.events("a", limit=5000)) == 5000
        return threading.get_ident()

    async with open_sqlite(tmp_path / "a.db") as store:
        await store.transact(many(5000))
        # Often: whether a read is small must not depend on the reads before it.
        for _ in range(300):
            assert await store.read(small) == here
        for _ in range(5):
            assert await store.read(large) != here
            assert await store.read(small) == here


@pytest.mark.parametrize("read", ["facts", "events", "all_events"])
async def test_a_page_of_events_is_read_once_and_in_the_loop(
    tmp_path: Path, read: str
) -> None:
    tries = 0

    def page(reader: Reader) -> int:
        nonlocal tries
        tries += 1
        found: Any = {
            "facts": lambda: reader.facts("a", after=-1, limit=PAGE),
            "events": lambda: reader.events("a", after=-1, limit=PAGE),
            "all_events": lambda: reader.all_events(after=-1, limit=PAGE),
        }[read]()
        assert len(found) == PAGE
        return threading.get_ident()

    async with open_sqlite(tmp_path / "a.db") as store:
        await store.transact(many(PAGE + 100))
        for _ in range(20):
            assert await store.read(page) == threading.get_ident()
    assert tries == 20


async def test_a_large_read_that_hides_its_errors_is_still_run_again(
    tmp_path: Path,
) -> None:
    def hiding(reader: Reader) -> int:
        try:
            return len(reader.events("a", limit=5000))
        except Exception:
            return -1

    async with open_sqlite(tmp_path / "a.db") as store:
        await store.transact(many(5000))
        for _ in range(20):
            assert await store.read(hiding) == 5000


async def test_a_read_does_not_wait_for_the_writer(
    tmp_path: Path, append: Appending
) -> None:
    entered, opened = threading.Event(), threading.Event()

    def slow(transaction: Transaction) -> None:
        append("a", 1)(transaction)
        entered.set()
        assert opened.wait(HANG)

    def seqs(reader: Reader) -> list[int]:
        return [one.seq for one in reader.events("a")]

    async with open_sqlite(tmp_path / "a.db") as store:
        await store.transact(append("a", 0))
        with anyio.fail_after(HANG):
            async with anyio.create_task_group() as group:
                group.start_soon(store.transact, slow)
                assert await anyio.to_thread.run_sync(entered.wait, HANG)
                assert await store.read(seqs) == [0]
                opened.set()
        assert await store.read(seqs) == [0, 1]


async def test_a_read_sees_one_state_from_beginning_to_end(
    tmp_path: Path, append: Appending
) -> None:
    path = tmp_path / "a.db"

    def look(reader: Reader) -> list[int]:
        first = len(reader.events("a"))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("DELETE FROM event")
        other.close()
        return [first, len(reader.events("a"))]

    async with open_sqlite(path) as store:
        await store.transact(append("a", 0))
        assert await store.read(look) == [1, 1]
        assert await store.read(lambda reader: reader.events("a")) == []


async def test_a_reader_cannot_write(tmp_path: Path) -> None:
    def write(reader: Any) -> None:
        reader.write("DELETE FROM event", ())

    for path in (tmp_path / "a.db", None):
        async with open_sqlite(path) as store:
            assert await store.read(lambda reader: hasattr(reader, "append")) is False
    async with open_sqlite(tmp_path / "a.db") as store:
        with pytest.raises(StoreReadOnlyError):
            await store.read(write)


async def test_closing_waits_for_reads_that_run(tmp_path: Path) -> None:
    entered, opened = threading.Event(), threading.Event()
    found: list[int] = []

    def slow(reader: Reader) -> int:
        count = len(reader.events("a", limit=5000))
        entered.set()
        assert opened.wait(HANG)
        return count

    async def call(store: Any) -> None:
        found.append(await store.read(slow))

    async with open_sqlite(tmp_path / "a.db") as store:
        await store.transact(many(5000))
        with anyio.fail_after(HANG):
            async with anyio.create_task_group() as group:
                group.start_soon(call, store)
                assert await anyio.to_thread.run_sync(entered.wait, HANG)
                group.start_soon(store.aclose)
                await anyio.wait_all_tasks_blocked()
                with pytest.raises(StoreClosedError):
                    await store.read(lambda reader: reader.head("a"))
                opened.set()
    assert found == [5000]
    assert not (tmp_path / "a.db-wal").exists()


async def test_many_large_reads_run_side_by_side(tmp_path: Path) -> None:
    found: list[int] = []

    async with open_sqlite(tmp_path / "a.db") as store:
        await store.transact(many(3000))

        async def call() -> None:
            rows = await store.read(lambda reader: reader.events("a", limit=3000))
            found.append(len(rows))

        with anyio.fail_after(HANG):
            async with anyio.create_task_group() as group:
                for _ in range(30):
                    group.start_soon(call)
    assert found == [3000] * 30
