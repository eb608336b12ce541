"""Migrations: once, whole or not at all, and always to the schema of the models."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from dovetail.kernel import StoreMigrationError
from dovetail.storage.sqlite import statements
from dovetail.storage.sqlite.migrations import STEPS, Migration
from dovetail.storage.sqlite.store import open_sqlite
from support.bounds import HANG
from support.programs import Forking

Bare = Callable[[Path], sqlite3.Connection]


def schema_of(connection: sqlite3.Connection) -> dict[str, str]:
    rows = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE sql NOT NULL AND name != 'migration'"
    )
    return {name: "".join(sql.split()) for name, sql in rows}


async def test_the_steps_lead_to_the_schema_of_the_models(
    tmp_path: Path, bare: Bare
) -> None:
    async with open_sqlite(tmp_path / "a.db"):
        pass
    modelled = bare(tmp_path / "models.db")
    for statement in statements.SCHEMA:
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
from dovetail.storage.sqlite.migrations import STEPS, Migration
from dovetail.storage.sqlite.store import open_sqlite

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
    existing: bool, tmp_path: Path, bare: Bare, forked: Forking
) -> None:
    path = tmp_path / "a.db"
    if existing:

        async def create() -> None:
            async with open_sqlite(path):
                pass

        anyio.run(create)
    racers = [forked(path, number, program=RACER) for number in range(4)]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    for racer in racers:
        assert racer.stdout.readline() == "done\n"
        assert racer.wait(timeout=HANG) == 0
    connection = bare(path)
    assert connection.execute("SELECT count(*) FROM ran").fetchone() == (1,)
    steps = connection.execute("SELECT count(*) FROM migration").fetchone()
    assert steps == (len(STEPS) + 1,)
    assert connection.execute("SELECT count(*) FROM blob").fetchone() == (4,)
