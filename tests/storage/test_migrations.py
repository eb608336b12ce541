"""Migrations: once, whole or not at all, and always to the schema of the models."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from dovetail.kernel import StoreMigrationError
from dovetail.kernel.ports import InputRow, LeaseRow, Reader
from dovetail.storage import tables
from dovetail.storage.migrations import STEPS, Migration
from dovetail.storage.sqlite import open_sqlite

Bare = Callable[[Path], sqlite3.Connection]


def schema_of(connection: sqlite3.Connection) -> dict[str, str]:
    rows = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE sql NOT NULL"
        " AND name NOT IN ('migration', 'sqlite_sequence')"
    )
    return {name: "".join(sql.split()) for name, sql in rows}


async def test_the_steps_lead_to_the_schema_of_the_models(
    tmp_path: Path, bare: Bare
) -> None:
    async with open_sqlite(tmp_path / "a.db"):
        pass
    modelled = bare(tmp_path / "models.db")
    for statement in tables.schema():
        modelled.execute(statement)
    assert schema_of(bare(tmp_path / "a.db")) == schema_of(modelled)


async def test_the_journal_names_every_step(tmp_path: Path, bare: Bare) -> None:
    async with open_sqlite(tmp_path / "a.db"):
        pass
    journal = bare(tmp_path / "a.db").execute("SELECT number, name FROM migration")
    assert journal.fetchall() == [(n, one.name) for n, one in enumerate(STEPS, 1)]


def adding(table: str) -> Migration:
    def apply(connection: sqlite3.Connection) -> None:
        connection.execute(f"CREATE TABLE {table} (x)")
        connection.execute(f"INSERT INTO {table} VALUES (1)")

    return Migration(name=f"add {table}", apply=apply)


def failing(problem: Exception) -> Migration:
    def apply(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM event")
        raise problem

    return Migration(name="0003_wrong", apply=apply)


@pytest.mark.law("storage.1")
@pytest.mark.parametrize(
    "wrong",
    [
        failing(LookupError("on purpose")),
        Migration("0003_wrong", lambda connection: _run(connection, "nonsense")),
        Migration(
            "0003_wrong",
            lambda connection: _run(connection, "DELETE FROM aggregate"),
        ),
    ],
    ids=["raises", "wrong statement", "leaves rows that refer to nothing"],
)
async def test_a_failing_step_is_named_and_leaves_the_file_as_it_was(
    wrong: Migration, tmp_path: Path, append: Callable[..., Any]
) -> None:
    path = tmp_path / "a.db"
    async with open_sqlite(path) as store:
        await store.transact(append("a", 0))
        await store.transact(append("a", 1))
    before = path.read_bytes()
    with pytest.raises(StoreMigrationError) as caught:
        async with open_sqlite(path, steps=[*STEPS, adding("extra"), wrong]):
            pass
    assert caught.value.step == "0003_wrong"
    assert path.read_bytes() == before
    async with open_sqlite(path) as store:
        assert len(await store.read(lambda reader: reader.all_events())) == 2


def _run(connection: sqlite3.Connection, sql: str) -> None:
    connection.execute(sql)


@pytest.mark.law("storage.1")
async def test_a_file_whose_first_migration_failed_is_not_left_behind(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.db"
    with pytest.raises(StoreMigrationError):
        async with open_sqlite(path, steps=[*STEPS, failing(LookupError())]):
            pass
    assert os.listdir(tmp_path) == ["a.db.lock"]
    async with open_sqlite(path) as store:
        assert await store.read(lambda reader: reader.head("a")) is None


async def test_an_older_file_is_migrated_and_keeps_its_rows(
    tmp_path: Path, bare: Bare, append: Callable[..., Any]
) -> None:
    path = tmp_path / "a.db"
    async with open_sqlite(path) as store:
        await store.transact(append("a", 0))
    async with open_sqlite(path, steps=[*STEPS, adding("extra")]) as store:
        assert len(await store.read(lambda reader: reader.all_events())) == 1
        await store.transact(append("a", 1))
    async with open_sqlite(path, steps=[*STEPS, adding("extra")]):
        pass
    assert bare(path).execute("SELECT count(*) FROM extra").fetchone() == (1,)


RACER = """
import sys, time
import anyio
from dovetail.storage.migrations import STEPS, Migration
from dovetail.storage.sqlite import open_sqlite

def slow(connection):
    connection.execute("CREATE TABLE IF NOT EXISTS ran (x)")
    # Long enough for every other process to arrive meanwhile.
    time.sleep(0.3)
    connection.execute("INSERT INTO ran VALUES (1)")

async def main():
    steps = [*STEPS, Migration("slow", slow)]
    async with open_sqlite(sys.argv[1], steps=steps) as store:
        await store.transact(lambda tx: tx.put_blob(sys.argv[2].encode()))

print("ready", flush=True)
sys.stdin.readline()
anyio.run(main)
print("done", flush=True)
"""


@pytest.mark.law("storage.2")
@pytest.mark.parametrize("existing", [False, True])
def test_processes_that_open_one_file_at_once_run_each_step_once(
    existing: bool, tmp_path: Path, bare: Bare, child: Callable[..., Any]
) -> None:
    path = tmp_path / "a.db"
    if existing:

        async def create() -> None:
            async with open_sqlite(path):
                pass

        anyio.run(create)
    racers = [child(RACER, path, number) for number in range(4)]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    for racer in racers:
        assert racer.stdout.readline() == "done\n"
        assert racer.wait(timeout=10) == 0
    connection = bare(path)
    assert connection.execute("SELECT count(*) FROM ran").fetchone() == (1,)
    steps = connection.execute("SELECT count(*) FROM migration").fetchone()
    assert steps == (len(STEPS) + 1,)
    assert connection.execute("SELECT count(*) FROM blob").fetchone() == (4,)


OLD_EVENT = (
    "INSERT INTO event (aggregate, seq, kind, version, created, data, hash)"
    " VALUES (1, ?, 'text.ended', 1, 0, x'7b7d', zeroblob(32))"
)


def old_file(path: Path, bare: Bare, steps: int, *statements: str) -> None:
    """Make a file as it was after so many steps, with a log of three events."""

    async def make() -> None:
        async with open_sqlite(path, steps=STEPS[:steps]):
            pass

    anyio.run(make)
    connection = bare(path)
    connection.execute("INSERT INTO aggregate VALUES (1, 'a', 2, zeroblob(32), NULL)")
    for seq in range(3):
        connection.execute(OLD_EVENT, (seq,))
    for statement in statements:
        connection.execute(statement)
    connection.close()


def test_a_file_of_the_second_step_keeps_its_events_in_their_places(
    tmp_path: Path, bare: Bare, append: Callable[..., Any]
) -> None:
    path = tmp_path / "a.db"
    old_file(path, bare, 2, "UPDATE event SET position = position + 4")

    async def look() -> None:
        async with open_sqlite(path) as store:
            before = await store.read(lambda reader: reader.all_events())
            assert [(one.position, one.seq) for one in before] == [
                (5, 0),
                (6, 1),
                (7, 2),
            ]
            await store.transact(append("a", 3))
            after = await store.read(lambda reader: reader.all_events())
            assert after[:-1] == before
            assert after[-1].position == 8

    anyio.run(look)


@pytest.mark.law("storage.3")
def test_a_file_of_the_third_step_keeps_what_waits_what_runs_and_its_leases(
    tmp_path: Path, bare: Bare
) -> None:
    path = tmp_path / "a.db"
    session = (
        "'/', NULL, NULL, NULL, NULL, NULL, 0, 0, {}, NULL, NULL, NULL" + ", 0" * 6
    )
    old_file(
        path,
        bare,
        3,
        *(
            f"INSERT INTO aggregate VALUES ({n}, '{name}', -1, x'', 'other')"
            for n, name in ((2, "b"), (3, "c"))
        ),
        *(
            f"INSERT INTO session VALUES ({n}, {session.format(status)}, NULL)"
            for n, status in ((1, "'idle'"), (2, "'running'"), (3, "'idle'"))
        ),
        "INSERT INTO input VALUES (1, 'done', 0, 'steer', 'promoted', 2, 7, NULL)",
        "INSERT INTO input VALUES (1, 'waits', 9, 'queue', 'pending', NULL, 8, 'k')",
        "INSERT INTO input VALUES (1, 'before', 1, 'steer', 'pending', NULL, 7, NULL)",
        "INSERT INTO lease VALUES (1, NULL, 4, 0)",
        "INSERT INTO lease VALUES (2, 'w', 3, 99)",
    )

    async def look() -> None:
        async with open_sqlite(path) as store:
            await store.read(check)
            with pytest.raises(ValueError, match="cannot go down"):
                await store.transact(lambda tx: tx.put_lease(LeaseRow("a", "w", 3, 9)))

    def check(reader: Reader) -> None:
        assert list(reader.sessions_with_work()) == ["a", "b"]
        waits = InputRow("a", "waits", 9, "queue", "pending", None, 8, "k")
        before = InputRow("a", "before", 1, "steer", "pending", None, 7, None)
        assert list(reader.pending_inputs("a")) == [before, waits]
        assert reader.input("a", "waits") == waits
        done = InputRow("a", "done", 0, "steer", "promoted", 2, 7, None)
        assert reader.input("a", "done") == done
        leases = [reader.lease(name) for name in ("a", "b", "c")]
        assert leases == [LeaseRow("a", None, 4, 0), LeaseRow("b", "w", 3, 99), None]
        heads = [reader.head(name) for name in ("a", "b")]
        assert [head and (head.seq, head.owner) for head in heads] == [
            (2, None),
            (-1, "other"),
        ]

    anyio.run(look)
