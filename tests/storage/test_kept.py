"""Rows that a writer keeps: what it knows of a session is what is stored of it."""

import contextlib
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest
from dovetail.kernel import RowDamagedError
from dovetail.kernel.ports import (
    ApprovalRow,
    LeaseRow,
    MessageRow,
    Reader,
    Transaction,
)
from dovetail.kernel.testing.contracts.store.cases import input_row, record, session_row
from dovetail.storage.sql.kept import MOST
from dovetail.storage.sqlite.store import SqliteStore, SqliteTransaction, open_sqlite
from hypothesis import given, settings, strategies as st
from support.bounds import HANG

Work = Callable[[Transaction], object]


def appending(tx: Transaction) -> None:
    head = tx.head("a")
    tx.append([record("a", 0 if head is None else head.seq + 1)])


def titling(tx: Transaction) -> None:
    row = tx.session("a")
    titled = session_row("a", title=f"{row.title or ''}x" if row else None)
    tx.put_session(titled)


def leasing(tx: Transaction) -> None:
    row = tx.lease("a")
    tx.put_lease(LeaseRow("a", "me", row.fence + 1 if row else 1, lasts=1, renewed=1))


def marking(tx: Transaction) -> None:
    tx.set_damaged("a", None if (head := tx.head("a")) and head.damaged else 0)


def stepping(tx: Transaction) -> None:
    row = tx.message("a", "step")
    ends = None if row is None or row.end_seq is not None else row.seq + 1
    tx.put_message(MessageRow("a", 7, "step", "assistant", 7, ends))


def another(tx: Transaction) -> None:
    """In the place of the one before, by its number."""
    tx.put_message(MessageRow("a", 7, "other", "user", 7, 7))


def admitting(tx: Transaction) -> None:
    appending(tx)
    head = tx.head("a")
    tx.put_input(input_row("a", 3, seq=head.seq if head else 0))


def delivering(tx: Transaction) -> None:
    for row in tx.pending_inputs("a"):
        found = tx.input("a", row.id)
        assert found == row
        other = "queue" if row.delivery == "steer" else "steer"
        tx.put_input(attrs.evolve(row, delivery=other))


def promoting(tx: Transaction) -> None:
    for row in tx.pending_inputs("a"):
        tx.put_input(attrs.evolve(row, state="promoted", settled_seq=row.seq + 1))


def running(tx: Transaction) -> None:
    row = tx.session("a")
    ends = row is not None and row.status == "running"
    new = session_row("a", status="idle" if ends else "running")
    tx.put_session(new if row is None else attrs.evolve(row, status=new.status))


def approving(tx: Transaction) -> None:
    tx.put_approval(
        ApprovalRow("apr", "/work", None, None, "edit", "exact", "", "me", 0, None)
    )


def clearing(tx: Transaction) -> None:
    tx.clear_projections("a")


def begin(tx: Transaction) -> None:
    appending(tx)
    titling(tx)


def seen(rows: Reader) -> tuple[Any, ...]:
    return (
        rows.session("a"),
        rows.head("a"),
        rows.lease("a"),
        rows.message("a", "step"),
        rows.message("a", "other"),
        rows.messages("a"),
        rows.input("a", "in_3"),
        rows.pending_inputs("a"),
        rows.approval_changes("/work"),
        rows.sessions_with_work(),
    )


class Wrong(Exception):
    """What a transaction fails with here."""


WORKS = (
    *(appending, titling, leasing, marking, clearing),
    *(stepping, another, running, approving),
    *(admitting, delivering, promoting),
)
steps = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.lists(st.sampled_from(WORKS), min_size=1, max_size=3),
        st.booleans(),
    ),
    max_size=8,
)


@settings(max_examples=40, deadline=None)
@given(steps)
def test_whoever_writes_knows_what_is_stored(
    steps: list[tuple[int, list[Work], bool]],
) -> None:
    """Two processes write by turns, and transactions fail after they have written."""

    async def play(folder: Path) -> None:
        path = folder / "a.db"
        async with open_sqlite(path) as one, open_sqlite(path) as other:
            await one.transact(begin)
            for which, works, fails in steps:
                store = (one, other)[which]

                def all_of(
                    tx: Transaction, works: list[Work] = works, fails: bool = fails
                ) -> None:
                    for work in works:
                        work(tx)
                    assert isinstance(tx, SqliteTransaction)
                    assert seen(tx) == tx.read(seen)
                    if fails:
                        raise Wrong

                with contextlib.suppress(Wrong):
                    await store.transact(all_of)
                stored = await store.read(seen)
                assert await store.transact(seen) == stored
                assert await (one, other)[1 - which].transact(seen) == stored

    with tempfile.TemporaryDirectory() as folder:
        anyio.run(play, Path(folder))


async def test_one_that_fails_in_a_group_is_unknown_to_its_neighbours(
    tmp_path: Path,
) -> None:
    async with open_sqlite(tmp_path / "a.db") as store:
        await store.transact(begin)
        told: list[object] = []

        async def failing() -> None:
            def work(tx: Transaction) -> None:
                titling(tx)
                raise Wrong

            with pytest.raises(Wrong):
                await store.transact(work)

        async def looking() -> None:
            told.append(await store.transact(seen))

        before = await store.read(seen)
        with anyio.fail_after(HANG):
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(failing)
                    tasks.start_soon(looking)
        assert told == [before] * 3


@pytest.mark.law("storage.6")
@pytest.mark.parametrize("table", ["session", "aggregate"])
async def test_a_row_that_was_changed_since_it_was_kept_is_not_handed_out(
    tmp_path: Path, table: str
) -> None:
    async with open_sqlite(tmp_path / "a.db") as store:
        await store.transact(begin)
        assert (await store.transact(seen))[0] is not None
        bare = sqlite3.connect(tmp_path / "a.db")
        with bare:
            bare.execute(f'UPDATE "{table}" SET checksum = checksum + 1')
        bare.close()
        with pytest.raises(RowDamagedError):
            await store.transact(seen)


async def test_rows_are_kept_of_so_many_sessions_only(tmp_path: Path) -> None:
    def adding(number: int) -> Work:
        def work(tx: Transaction) -> None:
            tx.append([record(f"s{number}", 0)])

        return work

    async with open_sqlite(tmp_path / "a.db") as store:
        with anyio.fail_after(HANG):
            async with anyio.create_task_group() as tasks:
                for number in range(MOST + 10):
                    tasks.start_soon(store.transact, adding(number))
        await store.transact(adding(MOST + 10))
        assert 0 < len(kept_by(store)) <= MOST


def kept_by(store: SqliteStore) -> dict[str, Any]:
    return dict(store._writer._kept.aggregates)


@pytest.mark.parametrize("at_once", [True, False])
async def test_an_input_waits_in_one_way_however_it_was_put(
    at_once: bool, tmp_path: Path
) -> None:
    def admitted(tx: Transaction) -> None:
        tx.append([record("a", 1)])
        tx.put_input(input_row("a", 1, delivery="queue"))

    def delivered(tx: Transaction) -> None:
        tx.append([record("a", 2)])
        tx.put_input(input_row("a", 1, delivery="steer"))

    def both(tx: Transaction) -> None:
        admitted(tx)
        delivered(tx)

    async with open_sqlite(tmp_path / "a.db") as store:
        await store.transact(begin)
        for work in (both,) if at_once else (admitted, delivered):
            await store.transact(work)
        found = await store.read(lambda rows: rows.pending_inputs("a"))
    assert [(row.id, row.delivery) for row in found] == [("in_1", "steer")]
