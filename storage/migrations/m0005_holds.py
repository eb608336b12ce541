"""Step 5: which event holds which large value, so that unheld ones can go. Frozen.

A large value is the complete output of a call, which the call's settlement names, or a
long text that was taken out of an event's data.
"""

import json
import sqlite3
from typing import Any

STATEMENTS = (
    """
    CREATE TABLE "hold" (
        "aggregate" INTEGER NOT NULL,
        "seq" INTEGER NOT NULL,
        "digest" BLOB NOT NULL,
        PRIMARY KEY ("aggregate", "seq", "digest"),
        FOREIGN KEY ("aggregate") REFERENCES "aggregate" ("id")
    ) WITHOUT ROWID
    """,
    'CREATE INDEX "hold_digest" ON "hold" ("digest")',
)
HOLDERS = """
    SELECT "aggregate", "seq", "data" FROM "event"
    WHERE "kind" IN ('tool.succeeded', 'tool.failed') OR substr("data", 1, 1) = x'00'
    UNION ALL
    SELECT "aggregate", "seq", "data" FROM "set_aside"
"""
HOLD = 'INSERT OR IGNORE INTO "hold" VALUES (?, ?, ?)'


def apply(connection: sqlite3.Connection) -> None:
    """Create the table, and fill it from the events that are there."""
    for statement in STATEMENTS:
        connection.execute(statement)
    for aggregate, seq, data in connection.execute(HOLDERS).fetchall():
        for digest in _held(bytes(data)):
            connection.execute(HOLD, (aggregate, seq, digest))


def _held(data: bytes) -> set[bytes]:
    names: list[Any] = []
    try:
        value = json.loads(data[1:] if data.startswith(b"\0") else data)
        if data.startswith(b"\0"):
            names += [name for _, name in value["parts"]]
            value = value["rest"]
        names.append(value.get("managed"))
    except (ValueError, LookupError, TypeError, AttributeError):
        pass  # a damaged event, which is kept as it is and read as unreadable
    return {digest for name in names if (digest := _digest(name)) is not None}


def _digest(name: object) -> bytes | None:
    try:
        return bytes.fromhex(name) if isinstance(name, str) else None
    except ValueError:
        return None
