"""Step 3: fewer pages to write per commit. Frozen.

Positions are given out without a table that counts them, and the open messages of a
session are found among its messages: each of these was a page of its own in every
commit.
"""

import sqlite3

STATEMENTS = (
    """
    CREATE TABLE "lean" (
        "position" INTEGER NOT NULL PRIMARY KEY,
        "aggregate" INTEGER NOT NULL,
        "seq" INTEGER NOT NULL,
        "kind" TEXT NOT NULL,
        "version" INTEGER NOT NULL,
        "created" INTEGER NOT NULL,
        "data" BLOB NOT NULL,
        "hash" BLOB NOT NULL,
        "digest" BLOB,
        FOREIGN KEY ("aggregate") REFERENCES "aggregate" ("id")
    )
    """,
    """
    INSERT INTO "lean" (
        "position", "aggregate", "seq", "kind", "version", "created", "data", "hash",
        "digest"
    )
    SELECT
        "position", "aggregate", "seq", "kind", "version", "created", "data", "hash",
        "digest"
    FROM "event"
    """,
    'DROP TABLE "event"',
    'ALTER TABLE "lean" RENAME TO "event"',
    'CREATE UNIQUE INDEX "event_aggregate_seq" ON "event" ("aggregate", "seq")',
    'DROP INDEX "message_open"',
)


def apply(connection: sqlite3.Connection) -> None:
    """Move the events to a leaner table, and drop an index."""
    for statement in STATEMENTS:
        connection.execute(statement)
