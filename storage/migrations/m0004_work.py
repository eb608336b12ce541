"""Step 4: what is left to do in one small table, and leases beside the logs. Frozen.

Pending inputs and running sessions were each found by an index, and leases were kept in
a table: pages of their own in nearly every commit.
"""

import sqlite3

STATEMENTS = (
    """
    CREATE TABLE "work" (
        "aggregate" INTEGER NOT NULL,
        "what" TEXT NOT NULL,
        "id" TEXT NOT NULL,
        "seq" INTEGER NOT NULL,
        "delivery" TEXT NOT NULL,
        "created" INTEGER NOT NULL,
        "key" TEXT,
        PRIMARY KEY ("aggregate", "what", "id"),
        FOREIGN KEY ("aggregate") REFERENCES "aggregate" ("id")
    ) WITHOUT ROWID
    """,
    """
    INSERT INTO "work"
    SELECT "aggregate", 'input', "id", "seq", "delivery", "created", "key"
    FROM "input" WHERE "state" = 'pending'
    """,
    """DELETE FROM "input" WHERE "state" = 'pending'""",
    """
    INSERT INTO "work"
    SELECT "aggregate", 'execution', '', -1, '', 0, NULL
    FROM "session" WHERE "status" = 'running'
    """,
    'DROP INDEX "input_pending"',
    'DROP INDEX "session_running"',
    'ALTER TABLE "aggregate" ADD COLUMN "worker" TEXT',
    'ALTER TABLE "aggregate" ADD COLUMN "fence" INTEGER',
    'ALTER TABLE "aggregate" ADD COLUMN "expires" INTEGER',
    """
    UPDATE "aggregate" SET ("worker", "fence", "expires") = (
        SELECT "owner", "fence", "expires" FROM "lease"
        WHERE "lease"."aggregate" = "aggregate"."id"
    )
    """,
    'DROP TABLE "lease"',
)


def apply(connection: sqlite3.Connection) -> None:
    """Make the table of work, and move what it and the aggregates take over."""
    for statement in STATEMENTS:
        connection.execute(statement)
