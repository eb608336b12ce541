"""Ways to look at a store, and to harm it, from behind its back."""

import sqlite3
from typing import Any

from dovetail.kernel.testing.memory_store import MemoryState, MemoryTransaction
from dovetail.storage.sql.checks import checksum, event_checksum
from dovetail.storage.sqlite.database import Medium
from dovetail.storage.sqlite.migrations import STEPS
from dovetail.storage.sqlite.opening import open_writer
from dovetail.storage.sqlite.store import SqliteTransaction

PROJECTIONS = ("session", "work", "input", "message", "request", "job", "epoch")


class MemoryDesk:
    """A reference store driven by hand, without an event loop."""

    def __init__(self) -> None:
        self.state = MemoryState()
        self.rows = MemoryTransaction(self.state)

    def projections(self) -> Any:
        """Return every projection row."""
        state = self.state
        tables = (
            state.sessions,
            state.inputs,
            state.messages,
            state.requests,
            state.jobs,
            state.epochs,
        )
        return [dict(table) for table in tables]

    def close(self) -> None:
        self.rows.end()


class SqliteDesk:
    """An SQLite store in memory, driven by hand."""

    def __init__(self) -> None:
        medium = Medium(name="desk", path=None, wait=0)
        self.connection = open_writer(medium, STEPS)
        self.rows = SqliteTransaction(self.connection, medium)

    def projections(self) -> Any:
        """Return every column of every projection row."""
        return [
            sorted(self.connection.execute(f"SELECT * FROM {table}"), key=repr)
            for table in PROJECTIONS
        ]

    def close(self) -> None:
        self.rows.end()
        self.connection.close()


DESKS: dict[str, type[MemoryDesk] | type[SqliteDesk]] = {
    "memory": MemoryDesk,
    "sqlite": SqliteDesk,
}


def harm(file: Any, *statements: str, summed: bool = False) -> None:
    """Change a database file as no store would.

    With ``summed``, the sums of logs and their events are right afterwards, as those
    that another release wrote, or somebody who knows how.
    """
    connection = sqlite3.connect(file)
    connection.text_factory = lambda stored: stored.decode(errors="replace")
    for statement in statements:
        connection.execute(statement)
    if summed:
        sum_again(connection)
    connection.commit()
    connection.close()


def sum_again(connection: sqlite3.Connection) -> None:
    """Make the sums of logs and events right; rows that have none are left."""
    for key, session_id, *place, _ in connection.execute(
        "SELECT * FROM aggregate"
    ).fetchall():
        connection.execute(
            "UPDATE aggregate SET checksum = ? WHERE id = ?",
            (checksum((session_id, key, *place)), key),
        )
        for position, *fact in connection.execute(
            "SELECT position, seq, kind, version, created, data FROM event"
            " WHERE aggregate = ?",
            (key,),
        ).fetchall():
            if isinstance(fact[-1], bytes):
                connection.execute(
                    "UPDATE event SET checksum = ? WHERE position = ?",
                    (event_checksum(session_id, *fact), position),
                )
