"""Step 2: a place for events that were taken out of a damaged log. Frozen."""

import sqlite3

STATEMENTS = (
    """
    CREATE TABLE "set_aside" (
        "number" INTEGER NOT NULL PRIMARY KEY,
        "aggregate" INTEGER NOT NULL,
        "seq" INTEGER NOT NULL,
        "kind" TEXT NOT NULL,
        "version" INTEGER NOT NULL,
        "created" INTEGER NOT NULL,
        "data" BLOB NOT NULL,
        "hash" BLOB NOT NULL,
        "digest" BLOB,
        "position" INTEGER NOT NULL,
        FOREIGN KEY ("aggregate") REFERENCES "aggregate" ("id")
    )
    """,
    'CREATE INDEX "set_aside_aggregate" ON "set_aside" ("aggregate")',
)


def apply(connection: sqlite3.Connection) -> None:
    """Create the table and its index."""
    for statement in STATEMENTS:
        connection.execute(statement)
