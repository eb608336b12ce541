"""Step 1: the first schema. Frozen: a later change is a step of its own."""

import sqlite3

STATEMENTS = (
    """
    CREATE TABLE "aggregate" (
        "id" INTEGER NOT NULL PRIMARY KEY,
        "session_id" TEXT NOT NULL,
        "seq" INTEGER NOT NULL,
        "hash" BLOB NOT NULL,
        "owner" TEXT,
        "worker" TEXT,
        "fence" INTEGER,
        "renewals" INTEGER,
        "lasts" INTEGER,
        "renewed" INTEGER,
        "process" TEXT,
        "imported" TEXT,
        "damaged" INTEGER,
        "removed" INTEGER,
        "checksum" INTEGER NOT NULL
    )
    """,
    'CREATE UNIQUE INDEX "aggregate_session_id" ON "aggregate" ("session_id")',
    """
    CREATE INDEX "aggregate_removed" ON "aggregate" ("removed")
    WHERE ("removed" = 1)
    """,
    """
    CREATE TABLE "event" (
        "position" INTEGER NOT NULL PRIMARY KEY,
        "aggregate" INTEGER NOT NULL,
        "seq" INTEGER NOT NULL,
        "kind" TEXT NOT NULL,
        "version" INTEGER NOT NULL,
        "created" INTEGER NOT NULL,
        "data" BLOB NOT NULL,
        "hash" BLOB NOT NULL,
        "digest" BLOB,
        "checksum" INTEGER NOT NULL,
        FOREIGN KEY ("aggregate") REFERENCES "aggregate" ("id")
    )
    """,
    'CREATE UNIQUE INDEX "event_aggregate_seq" ON "event" ("aggregate", "seq")',
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
    """
    CREATE TABLE "blob" (
        "digest" BLOB NOT NULL PRIMARY KEY,
        "data" BLOB NOT NULL
    )
    """,
    """
    CREATE TABLE "hold" (
        "aggregate" INTEGER NOT NULL,
        "seq" INTEGER NOT NULL,
        "digest" BLOB NOT NULL,
        "kept" INTEGER,
        "imported" INTEGER NOT NULL,
        "cleaned" INTEGER,
        "checksum" INTEGER NOT NULL,
        PRIMARY KEY ("aggregate", "seq", "digest"),
        FOREIGN KEY ("aggregate") REFERENCES "aggregate" ("id")
    ) WITHOUT ROWID
    """,
    'CREATE INDEX "hold_digest" ON "hold" ("digest")',
    """
    CREATE INDEX "hold_kept" ON "hold" ("kept", "aggregate", "seq")
    WHERE (("kept" IS NOT NULL) AND ("cleaned" IS NULL))
    """,
    """
    CREATE TABLE "session" (
        "aggregate" INTEGER NOT NULL PRIMARY KEY,
        "directory" TEXT NOT NULL,
        "workspace" TEXT,
        "title" TEXT,
        "agent" TEXT,
        "model" TEXT,
        "parent" TEXT,
        "forked_from" TEXT,
        "forked_seq" INTEGER,
        "created" INTEGER NOT NULL,
        "updated" INTEGER NOT NULL,
        "status" TEXT NOT NULL,
        "outcome" TEXT,
        "reason_code" TEXT,
        "reason_message" TEXT,
        "ended_seq" INTEGER NOT NULL,
        "steps" INTEGER NOT NULL,
        "input_tokens" INTEGER NOT NULL,
        "output_tokens" INTEGER NOT NULL,
        "reasoning_tokens" INTEGER NOT NULL,
        "cache_read_tokens" INTEGER NOT NULL,
        "cache_write_tokens" INTEGER NOT NULL,
        "picodollars" INTEGER,
        "unpriced" INTEGER NOT NULL,
        "todos_seq" INTEGER NOT NULL,
        "compaction_due" INTEGER NOT NULL,
        "folded" TEXT,
        "checksum" INTEGER NOT NULL,
        FOREIGN KEY ("aggregate") REFERENCES "aggregate" ("id")
    )
    """,
    'CREATE INDEX "session_directory" ON "session" ("directory")',
    'CREATE INDEX "session_parent" ON "session" ("parent")',
    """
    CREATE INDEX "session_roots" ON "session" ("directory")
    WHERE ("parent" IS NULL)
    """,
    """
    CREATE INDEX "session_forks" ON "session" ("forked_from")
    WHERE ("forked_from" IS NOT NULL)
    """,
    """
    CREATE INDEX "session_compactions" ON "session" ("compaction_due")
    WHERE ("compaction_due" >= 0)
    """,
    """
    CREATE TABLE "work" (
        "aggregate" INTEGER NOT NULL,
        "what" TEXT NOT NULL,
        "delivery" TEXT NOT NULL,
        "id" TEXT NOT NULL,
        "seq" INTEGER NOT NULL,
        "created" INTEGER NOT NULL,
        "key" TEXT,
        "checksum" INTEGER NOT NULL,
        PRIMARY KEY ("aggregate", "what", "delivery", "id"),
        FOREIGN KEY ("aggregate") REFERENCES "aggregate" ("id")
    ) WITHOUT ROWID
    """,
    """
    CREATE INDEX "work_queued" ON "work" ("aggregate", "seq", "id")
    WHERE ("delivery" = 'queue')
    """,
    """
    CREATE TABLE "input" (
        "aggregate" INTEGER NOT NULL,
        "id" TEXT NOT NULL,
        "seq" INTEGER NOT NULL,
        "delivery" TEXT NOT NULL,
        "state" TEXT NOT NULL,
        "settled_seq" INTEGER,
        "created" INTEGER NOT NULL,
        "key" TEXT,
        "checksum" INTEGER NOT NULL,
        PRIMARY KEY ("aggregate", "id"),
        FOREIGN KEY ("aggregate") REFERENCES "aggregate" ("id")
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE "message" (
        "aggregate" INTEGER NOT NULL,
        "seq" INTEGER NOT NULL,
        "id" TEXT NOT NULL,
        "type" TEXT NOT NULL,
        "body_seq" INTEGER NOT NULL,
        "end_seq" INTEGER,
        "checksum" INTEGER NOT NULL,
        PRIMARY KEY ("aggregate", "seq"),
        FOREIGN KEY ("aggregate") REFERENCES "aggregate" ("id")
    ) WITHOUT ROWID
    """,
    'CREATE UNIQUE INDEX "message_aggregate_id" ON "message" ("aggregate", "id")',
    """
    CREATE TABLE "request" (
        "aggregate" INTEGER NOT NULL,
        "id" TEXT NOT NULL,
        "what" TEXT NOT NULL,
        "seq" INTEGER NOT NULL,
        "directory" TEXT NOT NULL,
        "answered_seq" INTEGER,
        "checksum" INTEGER NOT NULL,
        PRIMARY KEY ("aggregate", "id"),
        FOREIGN KEY ("aggregate") REFERENCES "aggregate" ("id")
    ) WITHOUT ROWID
    """,
    'CREATE INDEX "request_id" ON "request" ("id")',
    """
    CREATE INDEX "request_pending_aggregate" ON "request" ("aggregate")
    WHERE ("answered_seq" IS NULL)
    """,
    """
    CREATE INDEX "request_pending_directory" ON "request" ("directory")
    WHERE ("answered_seq" IS NULL)
    """,
    """
    CREATE TABLE "job" (
        "aggregate" INTEGER NOT NULL,
        "id" TEXT NOT NULL,
        "seq" INTEGER NOT NULL,
        "directory" TEXT NOT NULL,
        "ended_seq" INTEGER,
        "checksum" INTEGER NOT NULL,
        PRIMARY KEY ("aggregate", "id"),
        FOREIGN KEY ("aggregate") REFERENCES "aggregate" ("id")
    ) WITHOUT ROWID
    """,
    'CREATE INDEX "job_aggregate_seq_id" ON "job" ("aggregate", "seq", "id")',
    """
    CREATE INDEX "job_running_aggregate" ON "job" ("aggregate", "seq", "id")
    WHERE ("ended_seq" IS NULL)
    """,
    """
    CREATE INDEX "job_running_directory" ON "job"
    ("directory", "aggregate", "seq", "id")
    WHERE ("ended_seq" IS NULL)
    """,
    """
    CREATE TABLE "epoch" (
        "aggregate" INTEGER NOT NULL PRIMARY KEY,
        "seq" INTEGER NOT NULL,
        "updated_seq" INTEGER NOT NULL,
        "checksum" INTEGER NOT NULL,
        FOREIGN KEY ("aggregate") REFERENCES "aggregate" ("id")
    )
    """,
    """
    CREATE TABLE "admission" (
        "aggregate" INTEGER NOT NULL,
        "key" TEXT NOT NULL,
        "digest" TEXT NOT NULL,
        "delivery" TEXT NOT NULL,
        "receipt" BLOB NOT NULL,
        "checksum" INTEGER NOT NULL,
        PRIMARY KEY ("aggregate", "key"),
        FOREIGN KEY ("aggregate") REFERENCES "aggregate" ("id")
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE "approval" (
        "number" INTEGER NOT NULL PRIMARY KEY,
        "id" TEXT NOT NULL,
        "directory" TEXT NOT NULL,
        "workspace" TEXT,
        "agent" TEXT,
        "action" TEXT NOT NULL,
        "kind" TEXT NOT NULL,
        "pattern" TEXT NOT NULL,
        "author" TEXT NOT NULL,
        "created" INTEGER NOT NULL,
        "expires" INTEGER,
        "folder" TEXT,
        "session_id" TEXT,
        "request_id" TEXT,
        "scope" TEXT NOT NULL,
        "tool" TEXT,
        "definition" TEXT,
        "rules" TEXT,
        "checksum" INTEGER NOT NULL
    )
    """,
    'CREATE UNIQUE INDEX "approval_id" ON "approval" ("id")',
    'CREATE INDEX "approval_directory" ON "approval" ("directory")',
    """
    CREATE INDEX "approval_session" ON "approval" ("session_id")
    WHERE ("scope" = 'session')
    """,
    """
    CREATE TABLE "approval_changes" (
        "directory" TEXT NOT NULL PRIMARY KEY,
        "changes" INTEGER NOT NULL,
        "checksum" INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
)

SCHEMA = tuple(" ".join(statement.split()) for statement in STATEMENTS)
"""As SQLite keeps it, which is as it was given."""


def apply(connection: sqlite3.Connection) -> None:
    """Create every table and index."""
    for statement in SCHEMA:
        connection.execute(statement)
