"""Ways to look at a store, and to harm it, from behind its back."""

import sqlite3
from typing import Any

from dovetail.kernel.testing.memory_store import MemoryState, MemoryTransaction
from dovetail.storage.sqlite.database import Medium
from dovetail.storage.sqlite.migrations import STEPS
from dovetail.storage.sqlite.opening import open_writer
from dovetail.storage.sqlite.store import SqliteTransaction

PROJECTIONS = ("session", "work", "input", "message", "request", "epoch")


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


def harm(file: Any, *statements: str) -> None:
    """Change a database file as no store would."""
    connection = sqlite3.connect(file)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()
