"""Failures of the medium, made for real: typed, survived, nothing confirmed lost."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from dovetail.kernel import (
    StoreDamagedError,
    StoreError,
    StoreFullError,
    StoreReadOnlyError,
)
from dovetail.kernel.ports import EventRecord, Transaction
from dovetail.storage.sqlite.database import Medium
from dovetail.storage.sqlite.store import SqliteStore, open_sqlite
from support.bounds import HANG
from support.programs import Forking

pytestmark = pytest.mark.law("storage.5")

Appending = Callable[..., Any]


async def seqs(store: SqliteStore) -> list[int]:
    found = await store.read(lambda reader: reader.events("a", limit=10**6))
    return [one.seq for one in found]


# --- disk full --------------------------------------------------------------------


async def test_a_full_disk_is_told_and_loses_nothing_that_was_confirmed(
    mounted: Callable[..., Path], append: Appending
) -> None:
    path = mounted("-t", "tmpfs", "-o", "size=1m") / "a.db"
    confirmed = 0
    with anyio.fail_after(HANG):
        async with open_sqlite(path) as store:
            with pytest.raises(StoreFullError):  # noqa: PT012 - it is the loop that ends
                while True:
                    await store.transact(append("a", confirmed, b"x" * 4000))
                    confirmed += 1
            assert confirmed > 10
            # Again and again, also small ones: typed, and nobody hangs.
            for _ in range(3):
                with pytest.raises(StoreFullError):
                    await store.transact(append("a", confirmed, b"x" * 100_000))
            assert await seqs(store) == list(range(confirmed))
        async with open_sqlite(path) as store:
            assert await seqs(store) == list(range(confirmed))


async def test_on_a_full_disk_every_caller_gets_its_own_truth(
    mounted: Callable[..., Path], append: Appending
) -> None:
    path = mounted("-t", "tmpfs", "-o", "size=1m") / "a.db"
    outcomes: dict[str, str] = {}

    async def call(store: SqliteStore, name: str, size: int) -> None:
        try:
            await store.transact(append(name, 0, bytes(size)))
            outcomes[name] = "kept"
        except StoreFullError:
            outcomes[name] = "full"

    with anyio.fail_after(HANG):
        async with open_sqlite(path) as store:
            async with anyio.create_task_group() as group:
                for number in range(20):
                    size = 2_000_000 if number % 5 == 0 else 10
                    group.start_soon(call, store, f"s{number}", size)
            found = await store.read(lambda reader: reader.all_events())
    kept = {name for name, outcome in outcomes.items() if outcome == "kept"}
    assert kept == {f"s{number}" for number in range(20) if number % 5}
    assert {one.session_id for one in found} == kept


async def test_a_disk_that_is_full_from_the_start_is_told_at_opening(
    mounted: Callable[..., Path],
) -> None:
    folder = mounted("-t", "tmpfs", "-o", "size=64k")
    (folder / "filler").write_bytes(bytes(60_000))
    with anyio.fail_after(HANG), pytest.raises(StoreFullError):
        async with open_sqlite(folder / "a.db"):
            pass
    (folder / "filler").unlink()
    assert not (folder / "a.db").exists()


# --- the file goes away -----------------------------------------------------------


@pytest.mark.parametrize("replaced", [False, True])
async def test_nothing_is_confirmed_into_a_file_that_is_gone(
    replaced: bool, tmp_path: Path, append: Appending
) -> None:
    path = tmp_path / "a.db"
    with anyio.fail_after(HANG):
        async with open_sqlite(path) as store:
            await store.transact(append("a", 0))
            if replaced:
                os.replace(_empty(tmp_path / "other"), path)
            else:
                os.unlink(path)
            told: list[None] = []
            for _ in range(2):
                with pytest.raises(StoreDamagedError) as caught:
                    await store.transact(append("b", 0), told.append)
                assert "removed or replaced" in str(caught.value)
            with pytest.raises(StoreDamagedError):
                await store.read(lambda reader: reader.head("b"))
            assert told == []


def _empty(path: Path) -> Path:
    path.touch()
    return path


async def test_a_file_that_is_truncated_underneath_is_told_as_damaged(
    tmp_path: Path, append: Appending
) -> None:
    path = tmp_path / "a.db"
    async with open_sqlite(path) as store:
        for seq in range(300):
            await store.transact(append("a", seq, b"x" * 400))
    with anyio.fail_after(HANG):
        async with open_sqlite(path) as store:
            os.truncate(path, 4096 * 3)
            for _ in range(2):
                with pytest.raises(StoreError) as caught:
                    await store.read(lambda reader: reader.all_events(limit=10**6))
                assert caught.value.code == "store.damaged"


# --- the power fails --------------------------------------------------------------


@pytest.mark.parametrize("cut", [0, 1, 31, 32, 5000, 20_000])
async def test_a_log_that_was_cut_short_loses_only_its_end(
    cut: int, tmp_path: Path, append: Appending
) -> None:
    """As after a power failure in which the last writes did not reach the disk."""
    path = tmp_path / "a.db"
    copy = tmp_path / "copy.db"
    async with open_sqlite(path) as store:
        for seq in range(30):
            await store.transact(append("a", seq, b"x" * 700))
        copy.write_bytes(path.read_bytes())
        log = (tmp_path / "a.db-wal").read_bytes()
        (tmp_path / "copy.db-wal").write_bytes(log[: len(log) - cut])
    with anyio.fail_after(HANG):
        async with open_sqlite(copy) as store:
            kept = await seqs(store)
            assert kept == list(range(len(kept)))
            assert 0 < len(kept) <= 30
            assert (len(kept) == 30) == (cut == 0)
            await store.transact(append("a", len(kept)))


CONFIRMING = """
import sys, anyio
from dovetail.kernel.ports import EventRecord
from dovetail.storage.sqlite.store import open_sqlite

async def main(path):
    async with open_sqlite(path) as store:
        async def session(name):
            for seq in range(10**6):
                record = EventRecord(name, seq, "k", 1, 0, b"x" * 300, bytes(32))
                await store.transact(lambda tx: tx.append([record]))
                print(name, seq, flush=True)
        async with anyio.create_task_group() as group:
            for number in range(8):
                group.start_soon(session, f"s{number}")

anyio.run(main, sys.argv[1])
"""


def test_what_was_confirmed_before_a_kill_is_there_afterwards(
    tmp_path: Path, forked: Forking
) -> None:
    path = tmp_path / "a.db"
    for _ in range(2):
        path.unlink(missing_ok=True)
        process = forked(path, program=CONFIRMING)
        confirmed: dict[str, int] = {}
        for _ in range(400):
            name, seq = process.stdout.readline().split()
            confirmed[name] = int(seq)
        process.kill()
        for line in process.stdout.read().splitlines():
            if len(line.split()) == 2 and line.endswith(tuple("0123456789")):
                confirmed[line.split()[0]] = int(line.split()[1])
        process.wait()
        found = anyio.run(_logs, path)
        for name, last in confirmed.items():
            assert found[name][: last + 1] == list(range(last + 1))
            assert found[name] == list(range(len(found[name])))


async def _logs(path: Path) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    async with open_sqlite(path) as store:
        rows: list[EventRecord] = list(
            await store.read(lambda reader: reader.all_events(limit=10**6))
        )
    for one in rows:
        found.setdefault(one.session_id, []).append(one.seq)
    return found


# --- what the driver says ---------------------------------------------------------


async def test_a_medium_that_turns_read_only_is_told_as_such(
    tmp_path: Path, append: Appending
) -> None:
    def turn(transaction: Any) -> None:
        transaction.one("PRAGMA query_only = ON", ())

    async with open_sqlite(tmp_path / "a.db") as store:
        await store.transact(turn)
        with pytest.raises(StoreReadOnlyError):
            await store.transact(append("a", 0))
        assert await store.read(lambda reader: reader.all_events()) == []


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("nonsense", "store.failed"),
        ("INSERT INTO aggregate VALUES (1, NULL, 0, x'', NULL)", "store.failed"),
        ("SELECT * FROM nowhere", "store.damaged"),
        ("SELECT missing FROM event", "store.damaged"),
    ],
)
async def test_no_error_of_the_driver_reaches_a_caller(
    sql: str, code: str, tmp_path: Path
) -> None:
    def work(transaction: Any) -> None:
        transaction.write(sql, ())

    def bad_value(transaction: Transaction) -> None:
        transaction.put_blob(b"x")
        transaction.set_owner("a", object())  # type: ignore[arg-type]

    async with open_sqlite(tmp_path / "a.db") as store:
        with pytest.raises(StoreError) as caught:
            await store.transact(work)
        assert caught.value.code == code
        assert isinstance(caught.value.__cause__, sqlite3.Error)
        with pytest.raises(StoreError):
            await store.transact(bad_value)
        digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
        assert await store.read(lambda reader: reader.blob(digest)) is None


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (sqlite3.SQLITE_BUSY, "store.locked"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, "store.locked"),
        (sqlite3.SQLITE_LOCKED, "store.locked"),
        (sqlite3.SQLITE_FULL, "store.full"),
        (sqlite3.SQLITE_IOERR_SHMSIZE, "store.full"),
        (sqlite3.SQLITE_IOERR, "store.failed"),
        (sqlite3.SQLITE_READONLY, "store.read_only"),
        (sqlite3.SQLITE_READONLY_DIRECTORY, "store.read_only"),
        (sqlite3.SQLITE_CORRUPT, "store.damaged"),
        (sqlite3.SQLITE_NOTADB, "store.damaged"),
        (sqlite3.SQLITE_NOMEM, "store.failed"),
    ],
)
def test_every_kind_of_failure_has_its_own_code(number: int, code: str) -> None:
    error = sqlite3.OperationalError("why")
    error.sqlite_errorcode = number
    meant = Medium("a.db", Path("a.db"), 5).failure(error)
    assert meant.code == code
    assert "a.db" in str(meant)
