"""The statements that the store runs: what ``sql.queries`` renders, written down.

Written by ``tests/support/statements.py``, never by hand; a test compares the two.
So no process renders statements when it starts, or imports what renders them.
"""

from collections.abc import Mapping
from typing import Any

# fmt: off

# The schema that they are for, as migrations make it.

SCHEMA = (
    (
        'CREATE TABLE "aggregate" ("id" INTEGER NOT NULL PRIMARY KEY,'
        ' "session_id" TEXT NOT NULL,'
        ' "seq" INTEGER NOT NULL,'
        ' "hash" BLOB NOT NULL,'
        ' "owner" TEXT,'
        ' "worker" TEXT,'
        ' "fence" INTEGER,'
        ' "renewals" INTEGER,'
        ' "lasts" INTEGER,'
        ' "renewed" INTEGER,'
        ' "process" TEXT,'
        ' "imported" TEXT,'
        ' "damaged" INTEGER,'
        ' "removed" INTEGER,'
        ' "checksum" INTEGER NOT NULL)'
    ),
    (
        'CREATE UNIQUE INDEX "aggregate_session_id" ON "aggregate" ("session_id")'
    ),
    (
        'CREATE INDEX "aggregate_removed" ON "aggregate" ("removed")'
        ' WHERE ("removed" = 1)'
    ),
    (
        'CREATE TABLE "event" ("position" INTEGER NOT NULL PRIMARY KEY,'
        ' "aggregate" INTEGER NOT NULL,'
        ' "seq" INTEGER NOT NULL,'
        ' "kind" TEXT NOT NULL,'
        ' "version" INTEGER NOT NULL,'
        ' "created" INTEGER NOT NULL,'
        ' "data" BLOB NOT NULL,'
        ' "hash" BLOB NOT NULL,'
        ' "digest" BLOB,'
        ' "checksum" INTEGER NOT NULL,'
        ' FOREIGN KEY ("aggregate") REFERENCES "aggregate" ("id"))'
    ),
    (
        'CREATE UNIQUE INDEX "event_aggregate_seq" ON "event" ("aggregate", '
        '"seq")'
    ),
    (
        'CREATE TABLE "set_aside" ("number" INTEGER NOT NULL PRIMARY KEY,'
        ' "aggregate" INTEGER NOT NULL,'
        ' "seq" INTEGER NOT NULL,'
        ' "kind" TEXT NOT NULL,'
        ' "version" INTEGER NOT NULL,'
        ' "created" INTEGER NOT NULL,'
        ' "data" BLOB NOT NULL,'
        ' "hash" BLOB NOT NULL,'
        ' "digest" BLOB,'
        ' "position" INTEGER NOT NULL,'
        ' FOREIGN KEY ("aggregate") REFERENCES "aggregate" ("id"))'
    ),
    (
        'CREATE INDEX "set_aside_aggregate" ON "set_aside" ("aggregate")'
    ),
    (
        'CREATE TABLE "blob" ("digest" BLOB NOT NULL PRIMARY KEY,'
        ' "data" BLOB NOT NULL)'
    ),
    (
        'CREATE TABLE "hold" ("aggregate" INTEGER NOT NULL,'
        ' "seq" INTEGER NOT NULL,'
        ' "digest" BLOB NOT NULL,'
        ' "kept" INTEGER,'
        ' "imported" INTEGER NOT NULL,'
        ' "cleaned" INTEGER,'
        ' "checksum" INTEGER NOT NULL,'
        ' PRIMARY KEY ("aggregate", "seq", "digest"),'
        ' FOREIGN KEY ("aggregate") REFERENCES "aggregate" ("id")) WITHOUT ROWID'
    ),
    (
        'CREATE INDEX "hold_digest" ON "hold" ("digest")'
    ),
    (
        'CREATE INDEX "hold_kept" ON "hold" ("kept", "aggregate", "seq")'
        ' WHERE (("kept" IS NOT NULL) AND ("cleaned" IS NULL))'
    ),
    (
        'CREATE TABLE "session" ("aggregate" INTEGER NOT NULL PRIMARY KEY,'
        ' "directory" TEXT NOT NULL,'
        ' "workspace" TEXT,'
        ' "title" TEXT,'
        ' "agent" TEXT,'
        ' "model" TEXT,'
        ' "parent" TEXT,'
        ' "forked_from" TEXT,'
        ' "forked_seq" INTEGER,'
        ' "created" INTEGER NOT NULL,'
        ' "updated" INTEGER NOT NULL,'
        ' "status" TEXT NOT NULL,'
        ' "outcome" TEXT,'
        ' "reason_code" TEXT,'
        ' "reason_message" TEXT,'
        ' "ended_seq" INTEGER NOT NULL,'
        ' "steps" INTEGER NOT NULL,'
        ' "input_tokens" INTEGER NOT NULL,'
        ' "output_tokens" INTEGER NOT NULL,'
        ' "reasoning_tokens" INTEGER NOT NULL,'
        ' "cache_read_tokens" INTEGER NOT NULL,'
        ' "cache_write_tokens" INTEGER NOT NULL,'
        ' "picodollars" INTEGER,'
        ' "unpriced" INTEGER NOT NULL,'
        ' "todos_seq" INTEGER NOT NULL,'
        ' "compaction_due" INTEGER NOT NULL,'
        ' "folded" TEXT,'
        ' "checksum" INTEGER NOT NULL,'
        ' FOREIGN KEY ("aggregate") REFERENCES "aggregate" ("id"))'
    ),
    (
        'CREATE INDEX "session_directory" ON "session" ("directory")'
    ),
    (
        'CREATE INDEX "session_parent" ON "session" ("parent")'
    ),
    (
        'CREATE INDEX "session_roots" ON "session" ("directory")'
        ' WHERE ("parent" IS NULL)'
    ),
    (
        'CREATE INDEX "session_forks" ON "session" ("forked_from")'
        ' WHERE ("forked_from" IS NOT NULL)'
    ),
    (
        'CREATE INDEX "session_compactions" ON "session" ("compaction_due")'
        ' WHERE ("compaction_due" >= 0)'
    ),
    (
        'CREATE TABLE "work" ("aggregate" INTEGER NOT NULL,'
        ' "what" TEXT NOT NULL,'
        ' "delivery" TEXT NOT NULL,'
        ' "id" TEXT NOT NULL,'
        ' "seq" INTEGER NOT NULL,'
        ' "created" INTEGER NOT NULL,'
        ' "key" TEXT,'
        ' "checksum" INTEGER NOT NULL,'
        ' PRIMARY KEY ("aggregate", "what", "delivery", "id"),'
        ' FOREIGN KEY ("aggregate") REFERENCES "aggregate" ("id")) WITHOUT ROWID'
    ),
    (
        'CREATE INDEX "work_queued" ON "work" ("aggregate", "seq", "id")'
        ' WHERE ("delivery" = \'queue\')'
    ),
    (
        'CREATE TABLE "input" ("aggregate" INTEGER NOT NULL,'
        ' "id" TEXT NOT NULL,'
        ' "seq" INTEGER NOT NULL,'
        ' "delivery" TEXT NOT NULL,'
        ' "state" TEXT NOT NULL,'
        ' "settled_seq" INTEGER,'
        ' "created" INTEGER NOT NULL,'
        ' "key" TEXT,'
        ' "checksum" INTEGER NOT NULL,'
        ' PRIMARY KEY ("aggregate", "id"),'
        ' FOREIGN KEY ("aggregate") REFERENCES "aggregate" ("id")) WITHOUT ROWID'
    ),
    (
        'CREATE TABLE "message" ("aggregate" INTEGER NOT NULL,'
        ' "seq" INTEGER NOT NULL,'
        ' "id" TEXT NOT NULL,'
        ' "type" TEXT NOT NULL,'
        ' "body_seq" INTEGER NOT NULL,'
        ' "end_seq" INTEGER,'
        ' "checksum" INTEGER NOT NULL,'
        ' PRIMARY KEY ("aggregate", "seq"),'
        ' FOREIGN KEY ("aggregate") REFERENCES "aggregate" ("id")) WITHOUT ROWID'
    ),
    (
        'CREATE UNIQUE INDEX "message_aggregate_id" ON "message" ("aggregate", '
        '"id")'
    ),
    (
        'CREATE TABLE "request" ("aggregate" INTEGER NOT NULL,'
        ' "id" TEXT NOT NULL,'
        ' "what" TEXT NOT NULL,'
        ' "seq" INTEGER NOT NULL,'
        ' "directory" TEXT NOT NULL,'
        ' "answered_seq" INTEGER,'
        ' "checksum" INTEGER NOT NULL,'
        ' PRIMARY KEY ("aggregate", "id"),'
        ' FOREIGN KEY ("aggregate") REFERENCES "aggregate" ("id")) WITHOUT ROWID'
    ),
    (
        'CREATE INDEX "request_id" ON "request" ("id")'
    ),
    (
        'CREATE INDEX "request_pending_aggregate" ON "request" ("aggregate")'
        ' WHERE ("answered_seq" IS NULL)'
    ),
    (
        'CREATE INDEX "request_pending_directory" ON "request" ("directory")'
        ' WHERE ("answered_seq" IS NULL)'
    ),
    (
        'CREATE TABLE "job" ("aggregate" INTEGER NOT NULL,'
        ' "id" TEXT NOT NULL,'
        ' "seq" INTEGER NOT NULL,'
        ' "directory" TEXT NOT NULL,'
        ' "ended_seq" INTEGER,'
        ' "checksum" INTEGER NOT NULL,'
        ' PRIMARY KEY ("aggregate", "id"),'
        ' FOREIGN KEY ("aggregate") REFERENCES "aggregate" ("id")) WITHOUT ROWID'
    ),
    (
        'CREATE INDEX "job_aggregate_seq_id" ON "job" ("aggregate", "seq", "id")'
    ),
    (
        'CREATE INDEX "job_running_aggregate" ON "job" ("aggregate", "seq", "id")'
        ' WHERE ("ended_seq" IS NULL)'
    ),
    (
        'CREATE INDEX "job_running_directory" ON "job" ("directory", "aggregate",'
        ' "seq", "id")'
        ' WHERE ("ended_seq" IS NULL)'
    ),
    (
        'CREATE TABLE "epoch" ("aggregate" INTEGER NOT NULL PRIMARY KEY,'
        ' "seq" INTEGER NOT NULL,'
        ' "updated_seq" INTEGER NOT NULL,'
        ' "checksum" INTEGER NOT NULL,'
        ' FOREIGN KEY ("aggregate") REFERENCES "aggregate" ("id"))'
    ),
    (
        'CREATE TABLE "admission" ("aggregate" INTEGER NOT NULL,'
        ' "key" TEXT NOT NULL,'
        ' "digest" TEXT NOT NULL,'
        ' "delivery" TEXT NOT NULL,'
        ' "receipt" BLOB NOT NULL,'
        ' "checksum" INTEGER NOT NULL,'
        ' PRIMARY KEY ("aggregate", "key"),'
        ' FOREIGN KEY ("aggregate") REFERENCES "aggregate" ("id")) WITHOUT ROWID'
    ),
    (
        'CREATE TABLE "approval" ("number" INTEGER NOT NULL PRIMARY KEY,'
        ' "id" TEXT NOT NULL,'
        ' "directory" TEXT NOT NULL,'
        ' "workspace" TEXT,'
        ' "agent" TEXT,'
        ' "action" TEXT NOT NULL,'
        ' "kind" TEXT NOT NULL,'
        ' "pattern" TEXT NOT NULL,'
        ' "author" TEXT NOT NULL,'
        ' "created" INTEGER NOT NULL,'
        ' "expires" INTEGER,'
        ' "folder" TEXT,'
        ' "session_id" TEXT,'
        ' "request_id" TEXT,'
        ' "scope" TEXT NOT NULL,'
        ' "tool" TEXT,'
        ' "definition" TEXT,'
        ' "rules" TEXT,'
        ' "checksum" INTEGER NOT NULL)'
    ),
    (
        'CREATE UNIQUE INDEX "approval_id" ON "approval" ("id")'
    ),
    (
        'CREATE INDEX "approval_directory" ON "approval" ("directory")'
    ),
    (
        'CREATE INDEX "approval_session" ON "approval" ("session_id")'
        ' WHERE ("scope" = \'session\')'
    ),
    (
        'CREATE TABLE "approval_changes" ("directory" TEXT NOT NULL PRIMARY KEY,'
        ' "changes" INTEGER NOT NULL,'
        ' "checksum" INTEGER NOT NULL) WITHOUT ROWID'
    ),
)

# Statements of the rows that sessions have in ``aggregate``.

AGGREGATE = (
    'SELECT "t1"."id", "t1"."seq", "t1"."hash", "t1"."owner", "t1"."worker", '
    '"t1"."fence", "t1"."renewals", "t1"."lasts", "t1"."renewed", '
    '"t1"."process", "t1"."imported", "t1"."damaged", "t1"."removed", '
    '"t1"."checksum"'
    ' FROM "aggregate" AS "t1"'
    ' WHERE ("t1"."session_id" = ?)'
)

LAST_AGGREGATE = (
    'SELECT MAX("t1"."id")'
    ' FROM "aggregate" AS "t1"'
)

ADD_AGGREGATE = (
    'INSERT INTO "aggregate" ("id", "session_id", "seq", "hash", "owner", '
    '"worker", "fence", "renewals", "lasts", "renewed", "process", '
    '"imported", "damaged", "removed", "checksum")'
    ' VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)'
)

PUT_AGGREGATE = (
    'UPDATE "aggregate"'
    ' SET "seq" = ?, "hash" = ?, "owner" = ?, "worker" = ?, "fence" = ?, '
    '"renewals" = ?, "lasts" = ?, "renewed" = ?, "process" = ?, "imported" = '
    '?, "damaged" = ?, "removed" = ?, "checksum" = ?'
    ' WHERE ("aggregate"."id" = ?)'
)

PUT_HEAD = (
    'UPDATE "aggregate"'
    ' SET "seq" = ?, "hash" = ?, "checksum" = ?'
    ' WHERE ("aggregate"."id" = ?)'
)

PUT_LEASE = (
    'UPDATE "aggregate"'
    ' SET "worker" = ?, "fence" = ?, "renewals" = ?, "lasts" = ?, "renewed" ='
    ' ?, "process" = ?, "checksum" = ?'
    ' WHERE ("aggregate"."id" = ?)'
)

NUMBER_AGGREGATE = (
    'UPDATE "aggregate"'
    ' SET "id" = ?'
    ' WHERE ("aggregate"."id" = ?)'
)

ORPHANS = (
    'SELECT DISTINCT "t1"."aggregate"'
    ' FROM "event" AS "t1"'
    ' WHERE ("t1"."aggregate" NOT IN (SELECT "t2"."id"'
    ' FROM "aggregate" AS "t2"))'
)

# Statements of saved approvals: ``approval``, ``approval_changes``.

APPROVALS = (
    'SELECT "t1"."id", "t1"."directory", "t1"."workspace", "t1"."agent", '
    '"t1"."action", "t1"."kind", "t1"."pattern", "t1"."author", '
    '"t1"."created", "t1"."expires", "t1"."folder", "t1"."session_id", '
    '"t1"."request_id", "t1"."scope", "t1"."tool", "t1"."definition", '
    '"t1"."rules", "t1"."checksum"'
    ' FROM "approval" AS "t1"'
    ' WHERE ("t1"."directory" = ?)'
    ' ORDER BY "t1"."number"'
)

PUT_APPROVAL = (
    'INSERT INTO "approval" ("id", "directory", "workspace", "agent", '
    '"action", "kind", "pattern", "author", "created", "expires", "folder", '
    '"session_id", "request_id", "scope", "tool", "definition", "rules", '
    '"checksum")'
    ' VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)'
    ' ON CONFLICT ("id") DO UPDATE'
    ' SET "directory" = EXCLUDED."directory", "workspace" = '
    'EXCLUDED."workspace", "agent" = EXCLUDED."agent", "action" = '
    'EXCLUDED."action", "kind" = EXCLUDED."kind", "pattern" = '
    'EXCLUDED."pattern", "author" = EXCLUDED."author", "created" = '
    'EXCLUDED."created", "expires" = EXCLUDED."expires", "folder" = '
    'EXCLUDED."folder", "session_id" = EXCLUDED."session_id", "request_id" = '
    'EXCLUDED."request_id", "scope" = EXCLUDED."scope", "tool" = '
    'EXCLUDED."tool", "definition" = EXCLUDED."definition", "rules" = '
    'EXCLUDED."rules", "checksum" = EXCLUDED."checksum"'
)

DELETE_APPROVAL = (
    'DELETE'
    ' FROM "approval"'
    ' WHERE ("approval"."id" = ?)'
)

APPROVAL_DIRECTORY = (
    'SELECT "t1"."directory"'
    ' FROM "approval" AS "t1"'
    ' WHERE ("t1"."id" = ?)'
)

APPROVAL_CHANGES = (
    'SELECT "t1"."directory", "t1"."changes", "t1"."checksum"'
    ' FROM "approval_changes" AS "t1"'
    ' WHERE ("t1"."directory" = ?)'
)

PUT_APPROVAL_CHANGES = (
    'INSERT INTO "approval_changes" ("directory", "changes", "checksum")'
    ' VALUES (?, ?, ?)'
    ' ON CONFLICT ("directory") DO UPDATE'
    ' SET "changes" = EXCLUDED."changes", "checksum" = EXCLUDED."checksum"'
)

# Statements of large values and who holds them: ``blob``, ``hold``.

BLOB = (
    'SELECT "t1"."data"'
    ' FROM "blob" AS "t1"'
    ' WHERE ("t1"."digest" = ?)'
)

PUT_BLOB = (
    'INSERT INTO "blob" ("digest", "data")'
    ' VALUES (?, ?)'
    ' ON CONFLICT ("digest") DO UPDATE'
    ' SET "data" = EXCLUDED."data"'
)

PUT_HOLD = (
    'INSERT OR IGNORE INTO "hold" ("aggregate", "seq", "digest", "kept", '
    '"imported", "cleaned", "checksum")'
    ' VALUES (?, ?, ?, ?, ?, ?, ?)'
)

HELD_BLOBS = (
    'SELECT "t1"."digest"'
    ' FROM "hold" AS "t1"'
    ' WHERE (("t1"."aggregate" = ?) AND ("t1"."seq" = ?))'
)

END_HOLD = (
    'DELETE'
    ' FROM "hold"'
    ' WHERE (("hold"."aggregate" = ?) AND ("hold"."seq" = ?))'
)

BLOB_HOLDER = (
    'SELECT "t1"."aggregate"'
    ' FROM "hold" AS "t1"'
    ' WHERE (("t1"."digest" = ?) AND ("t1"."cleaned" IS NULL))'
)

BLOB_SIZE = (
    'SELECT LENGTH("t1"."data")'
    ' FROM "blob" AS "t1"'
    ' WHERE ("t1"."digest" = ?)'
)

DROP_BLOB = (
    'DELETE'
    ' FROM "blob"'
    ' WHERE ("blob"."digest" = ?)'
)

OUTPUT = (
    'SELECT "t1"."session_id", "t2"."seq", "t2"."digest", "t2"."kept", '
    '"t2"."imported", "t2"."cleaned", "t2"."checksum", LENGTH("t3"."data")'
    ' FROM "hold" AS "t2" INNER JOIN "aggregate" AS "t1" ON ("t2"."aggregate"'
    ' = "t1"."id") LEFT OUTER JOIN "blob" AS "t3" ON ("t3"."digest" = '
    '"t2"."digest")'
    ' WHERE ((("t2"."aggregate" = (SELECT "t1"."id"'
    ' FROM "aggregate" AS "t1"'
    ' WHERE ("t1"."session_id" = ?))) AND ("t2"."digest" = ?)) AND '
    '("t2"."kept" IS NOT NULL))'
)

HELD_OUTPUT = (
    'SELECT "t1"."kept", "t1"."imported"'
    ' FROM "hold" AS "t1"'
    ' WHERE ((((("t1"."aggregate" = ?) AND ("t1"."seq" = ?)) AND '
    '("t1"."digest" = ?)) AND ("t1"."kept" IS NOT NULL)) AND ("t1"."cleaned" '
    'IS NULL))'
)

OUTPUTS = (
    'SELECT "t1"."session_id", "t2"."seq", "t2"."digest", "t2"."kept", '
    '"t2"."imported", "t2"."cleaned", "t2"."checksum", LENGTH("t3"."data")'
    ' FROM "hold" AS "t2" INNER JOIN "aggregate" AS "t1" ON ("t2"."aggregate"'
    ' = "t1"."id") INNER JOIN "blob" AS "t3" ON ("t3"."digest" = '
    '"t2"."digest")'
    ' WHERE (("t2"."kept" IS NOT NULL) AND ("t2"."cleaned" IS NULL))'
    ' ORDER BY "t2"."kept", "t2"."aggregate", "t2"."seq" LIMIT ?'
)

OUTPUTS_SIZE = (
    'SELECT SUM(LENGTH("t1"."data"))'
    ' FROM "blob" AS "t1"'
    ' WHERE ("t1"."digest" IN (SELECT "t2"."digest"'
    ' FROM "hold" AS "t2"'
    ' WHERE (("t2"."kept" IS NOT NULL) AND ("t2"."cleaned" IS NULL))))'
)

CHANGE_HOLD = (
    'INSERT INTO "hold" ("aggregate", "seq", "digest", "kept", "imported", '
    '"cleaned", "checksum")'
    ' VALUES (?, ?, ?, ?, ?, ?, ?)'
    ' ON CONFLICT ("aggregate", "seq", "digest") DO UPDATE'
    ' SET "kept" = EXCLUDED."kept", "imported" = EXCLUDED."imported", '
    '"cleaned" = EXCLUDED."cleaned", "checksum" = EXCLUDED."checksum"'
)

# Statements of Context Epochs: ``epoch``.

EPOCH = (
    'SELECT "t1"."seq", "t1"."updated_seq", "t1"."checksum"'
    ' FROM "epoch" AS "t1"'
    ' WHERE ("t1"."aggregate" = (SELECT "t2"."id"'
    ' FROM "aggregate" AS "t2"'
    ' WHERE ("t2"."session_id" = ?)))'
)

PUT_EPOCH = (
    'INSERT INTO "epoch" ("aggregate", "seq", "updated_seq", "checksum")'
    ' VALUES (?, ?, ?, ?)'
    ' ON CONFLICT ("aggregate") DO UPDATE'
    ' SET "seq" = EXCLUDED."seq", "updated_seq" = EXCLUDED."updated_seq", '
    '"checksum" = EXCLUDED."checksum"'
)

# Statements of inputs and admissions: ``input``, ``admission``, and what waits.

WAITING_INPUT = (
    'SELECT "t1"."what", "t1"."delivery", "t1"."id", "t1"."seq", '
    '"t1"."created", "t1"."key", "t1"."checksum"'
    ' FROM "work" AS "t1"'
    ' WHERE (((("t1"."aggregate" = (SELECT "t2"."id"'
    ' FROM "aggregate" AS "t2"'
    ' WHERE ("t2"."session_id" = ?))) AND ("t1"."what" = \'input\')) AND '
    '("t1"."delivery" IN (\'steer\', \'queue\'))) AND ("t1"."id" = ?))'
)

HIDDEN_INPUT = (
    'SELECT "t1"."what", "t1"."delivery", "t1"."id", "t1"."seq", '
    '"t1"."created", "t1"."key", "t1"."checksum"'
    ' FROM "work" AS "t1"'
    ' WHERE ((("t1"."aggregate" = (SELECT "t2"."id"'
    ' FROM "aggregate" AS "t2"'
    ' WHERE ("t2"."session_id" = ?))) AND ("t1"."what" = \'input\')) AND '
    '("t1"."id" = ?))'
)

SETTLED_INPUT = (
    'SELECT "t1"."id", "t1"."seq", "t1"."delivery", "t1"."state", '
    '"t1"."settled_seq", "t1"."created", "t1"."key", "t1"."checksum"'
    ' FROM "input" AS "t1"'
    ' WHERE (("t1"."aggregate" = (SELECT "t2"."id"'
    ' FROM "aggregate" AS "t2"'
    ' WHERE ("t2"."session_id" = ?))) AND ("t1"."id" = ?))'
)

ANY_PENDING = (
    'SELECT "t1"."what", "t1"."delivery", "t1"."id", "t1"."seq", '
    '"t1"."created", "t1"."key", "t1"."checksum"'
    ' FROM "work" AS "t1"'
    ' WHERE ((("t1"."aggregate" = (SELECT "t2"."id"'
    ' FROM "aggregate" AS "t2"'
    ' WHERE ("t2"."session_id" = ?))) AND ("t1"."what" = \'input\')) AND '
    '("t1"."seq" > ?)) LIMIT 1'
)

PUT_WAITING = (
    'INSERT INTO "work" ("aggregate", "what", "delivery", "id", "seq", '
    '"created", "key", "checksum")'
    ' VALUES (?, ?, ?, ?, ?, ?, ?, ?)'
    ' ON CONFLICT ("aggregate", "what", "delivery", "id") DO UPDATE'
    ' SET "seq" = EXCLUDED."seq", "created" = EXCLUDED."created", "key" = '
    'EXCLUDED."key", "checksum" = EXCLUDED."checksum"'
)

END_WAITING = (
    'DELETE'
    ' FROM "work"'
    ' WHERE (((("work"."aggregate" = ?) AND ("work"."what" = \'input\')) AND '
    '("work"."delivery" IN (\'steer\', \'queue\'))) AND ("work"."id" = ?))'
)

END_OTHERWISE: Mapping[Any, str] = {
    'steer': (
        'DELETE'
        ' FROM "work"'
        ' WHERE (((("work"."aggregate" = ?) AND ("work"."what" = \'input\')) AND '
        '("work"."delivery" = \'queue\')) AND ("work"."id" = ?))'
    ),
    'queue': (
        'DELETE'
        ' FROM "work"'
        ' WHERE (((("work"."aggregate" = ?) AND ("work"."what" = \'input\')) AND '
        '("work"."delivery" = \'steer\')) AND ("work"."id" = ?))'
    ),
}

PENDING_INPUTS: Mapping[Any, str] = {
    None: (
        'SELECT "t1"."what", "t1"."delivery", "t1"."id", "t1"."seq", '
        '"t1"."created", "t1"."key", "t1"."checksum"'
        ' FROM "work" AS "t1"'
        ' WHERE (("t1"."aggregate" = (SELECT "t2"."id"'
        ' FROM "aggregate" AS "t2"'
        ' WHERE ("t2"."session_id" = ?))) AND ("t1"."what" = \'input\'))'
        ' ORDER BY "t1"."seq", "t1"."id" LIMIT ?'
    ),
    'steer': (
        'SELECT "t1"."what", "t1"."delivery", "t1"."id", "t1"."seq", '
        '"t1"."created", "t1"."key", "t1"."checksum"'
        ' FROM "work" AS "t1"'
        ' WHERE ((("t1"."aggregate" = (SELECT "t2"."id"'
        ' FROM "aggregate" AS "t2"'
        ' WHERE ("t2"."session_id" = ?))) AND ("t1"."what" = \'input\')) AND '
        '("t1"."delivery" = \'steer\'))'
        ' ORDER BY "t1"."seq", "t1"."id" LIMIT ?'
    ),
    'queue': (
        'SELECT "t1"."what", "t1"."delivery", "t1"."id", "t1"."seq", '
        '"t1"."created", "t1"."key", "t1"."checksum"'
        ' FROM "work" AS "t1"'
        ' WHERE ((("t1"."aggregate" = (SELECT "t2"."id"'
        ' FROM "aggregate" AS "t2"'
        ' WHERE ("t2"."session_id" = ?))) AND ("t1"."what" = \'input\')) AND '
        '("t1"."delivery" = \'queue\'))'
        ' ORDER BY "t1"."seq", "t1"."id" LIMIT ?'
    ),
}

PUT_INPUT = (
    'INSERT INTO "input" ("aggregate", "id", "seq", "delivery", "state", '
    '"settled_seq", "created", "key", "checksum")'
    ' VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)'
    ' ON CONFLICT ("aggregate", "id") DO UPDATE'
    ' SET "seq" = EXCLUDED."seq", "delivery" = EXCLUDED."delivery", "state" ='
    ' EXCLUDED."state", "settled_seq" = EXCLUDED."settled_seq", "created" = '
    'EXCLUDED."created", "key" = EXCLUDED."key", "checksum" = '
    'EXCLUDED."checksum"'
)

ADMISSION = (
    'SELECT "t1"."key", "t1"."digest", "t1"."delivery", "t1"."receipt", '
    '"t1"."checksum"'
    ' FROM "admission" AS "t1"'
    ' WHERE (("t1"."aggregate" = (SELECT "t2"."id"'
    ' FROM "aggregate" AS "t2"'
    ' WHERE ("t2"."session_id" = ?))) AND ("t1"."key" = ?))'
)

ADD_ADMISSION = (
    'INSERT INTO "admission" ("aggregate", "key", "digest", "delivery", '
    '"receipt", "checksum")'
    ' VALUES (?, ?, ?, ?, ?, ?)'
)

MEND_ADMISSION = (
    'INSERT INTO "admission" ("aggregate", "key", "digest", "delivery", '
    '"receipt", "checksum")'
    ' VALUES (?, ?, ?, ?, ?, ?)'
    ' ON CONFLICT ("aggregate", "key") DO UPDATE'
    ' SET "digest" = EXCLUDED."digest", "delivery" = EXCLUDED."delivery", '
    '"receipt" = EXCLUDED."receipt", "checksum" = EXCLUDED."checksum"'
)

ADMISSIONS = (
    'SELECT "t1"."key", "t1"."digest", "t1"."delivery", "t1"."receipt", '
    '"t1"."checksum"'
    ' FROM "admission" AS "t1"'
    ' WHERE ("t1"."aggregate" = (SELECT "t2"."id"'
    ' FROM "aggregate" AS "t2"'
    ' WHERE ("t2"."session_id" = ?)))'
)

# Statements of jobs: ``job``.

JOB = (
    'SELECT "t1"."session_id", "t2"."id", "t2"."seq", "t2"."directory", '
    '"t2"."ended_seq", "t2"."checksum"'
    ' FROM "job" AS "t2" INNER JOIN "aggregate" AS "t1" ON ("t2"."aggregate" '
    '= "t1"."id")'
    ' WHERE (("t2"."aggregate" = (SELECT "t1"."id"'
    ' FROM "aggregate" AS "t1"'
    ' WHERE ("t1"."session_id" = ?))) AND ("t2"."id" = ?))'
)

JOBS = (
    'SELECT "t1"."session_id", "t2"."id", "t2"."seq", "t2"."directory", '
    '"t2"."ended_seq", "t2"."checksum"'
    ' FROM "job" AS "t2" INNER JOIN "aggregate" AS "t1" ON ("t2"."aggregate" '
    '= "t1"."id")'
    ' WHERE ("t2"."aggregate" = (SELECT "t1"."id"'
    ' FROM "aggregate" AS "t1"'
    ' WHERE ("t1"."session_id" = ?)))'
    ' ORDER BY "t2"."seq", "t2"."id"'
)

RUNNING_JOBS: Mapping[Any, str] = {
    (): (
        'SELECT "t1"."session_id", "t2"."id", "t2"."seq", "t2"."directory", '
        '"t2"."ended_seq", "t2"."checksum"'
        ' FROM "job" AS "t2" INNER JOIN "aggregate" AS "t1" ON ("t2"."aggregate" '
        '= "t1"."id")'
        ' WHERE ("t2"."ended_seq" IS NULL)'
        ' ORDER BY "t2"."aggregate", "t2"."seq", "t2"."id"'
    ),
    ('session_id',): (
        'SELECT "t1"."session_id", "t2"."id", "t2"."seq", "t2"."directory", '
        '"t2"."ended_seq", "t2"."checksum"'
        ' FROM "job" AS "t2" INNER JOIN "aggregate" AS "t1" ON ("t2"."aggregate" '
        '= "t1"."id")'
        ' WHERE (("t2"."ended_seq" IS NULL) AND ("t2"."aggregate" = (SELECT '
        '"t1"."id"'
        ' FROM "aggregate" AS "t1"'
        ' WHERE ("t1"."session_id" = ?))))'
        ' ORDER BY "t2"."seq", "t2"."id"'
    ),
    ('directory',): (
        'SELECT "t1"."session_id", "t2"."id", "t2"."seq", "t2"."directory", '
        '"t2"."ended_seq", "t2"."checksum"'
        ' FROM "job" AS "t2" INNER JOIN "aggregate" AS "t1" ON ("t2"."aggregate" '
        '= "t1"."id")'
        ' WHERE (("t2"."ended_seq" IS NULL) AND ("t2"."directory" = ?))'
        ' ORDER BY "t2"."aggregate", "t2"."seq", "t2"."id"'
    ),
}

PUT_JOB = (
    'INSERT INTO "job" ("aggregate", "id", "seq", "directory", "ended_seq", '
    '"checksum")'
    ' VALUES (?, ?, ?, ?, ?, ?)'
    ' ON CONFLICT ("aggregate", "id") DO UPDATE'
    ' SET "seq" = EXCLUDED."seq", "directory" = EXCLUDED."directory", '
    '"ended_seq" = EXCLUDED."ended_seq", "checksum" = EXCLUDED."checksum"'
)

# Statements of the log: ``event``, ``set_aside``.

EVENTS = (
    'SELECT "t1"."seq", "t1"."kind", "t1"."version", "t1"."created", '
    '"t1"."data", "t1"."hash", "t1"."digest", "t1"."position", '
    '"t1"."checksum"'
    ' FROM "event" AS "t1"'
    ' WHERE ((("t1"."aggregate" = (SELECT "t2"."id"'
    ' FROM "aggregate" AS "t2"'
    ' WHERE ("t2"."session_id" = ?))) AND ("t1"."seq" > ?)) AND ("t1"."seq" '
    '<= ?))'
    ' ORDER BY "t1"."seq" LIMIT ?'
)

FACTS = (
    'SELECT "t1"."seq", "t1"."kind", "t1"."version", "t1"."created", '
    '"t1"."data", "t1"."checksum"'
    ' FROM "event" AS "t1"'
    ' WHERE (((("t1"."aggregate" = (SELECT "t2"."id"'
    ' FROM "aggregate" AS "t2"'
    ' WHERE ("t2"."session_id" = ?))) AND ("t1"."seq" > ?)) AND ("t1"."seq" '
    '<= ?)) AND ("t1"."seq" <= (SELECT "t2"."seq"'
    ' FROM "aggregate" AS "t2"'
    ' WHERE ("t2"."session_id" = ?))))'
    ' ORDER BY "t1"."seq" LIMIT ?'
)

KINDS = (
    'SELECT "t1"."kind", COUNT(*)'
    ' FROM "event" AS "t1"'
    ' WHERE (("t1"."aggregate" = (SELECT "t2"."id"'
    ' FROM "aggregate" AS "t2"'
    ' WHERE ("t2"."session_id" = ?))) AND ("t1"."seq" <= (SELECT "t2"."seq"'
    ' FROM "aggregate" AS "t2"'
    ' WHERE ("t2"."session_id" = ?)))) GROUP BY "t1"."kind"'
)

ALL_EVENTS = (
    'SELECT "t1"."session_id", "t2"."seq", "t2"."kind", "t2"."version", '
    '"t2"."created", "t2"."data", "t2"."hash", "t2"."digest", '
    '"t2"."position", "t2"."checksum"'
    ' FROM "event" AS "t2" INNER JOIN "aggregate" AS "t1" ON '
    '("t2"."aggregate" = "t1"."id")'
    ' WHERE (("t2"."position" > ?) AND (("t1"."removed" IS NULL) OR '
    '("t2"."seq" = "t1"."seq")))'
    ' ORDER BY "t2"."position" LIMIT ?'
)

LOGS = (
    'SELECT "t1"."id", "t1"."session_id"'
    ' FROM "aggregate" AS "t1"'
    ' WHERE ("t1"."id" > ?)'
    ' ORDER BY "t1"."id" LIMIT ?'
)

SET_ASIDE = (
    'SELECT "t1"."seq", "t1"."kind", "t1"."version", "t1"."created", '
    '"t1"."data", "t1"."hash", "t1"."digest", "t1"."position"'
    ' FROM "set_aside" AS "t1"'
    ' WHERE ("t1"."aggregate" = (SELECT "t2"."id"'
    ' FROM "aggregate" AS "t2"'
    ' WHERE ("t2"."session_id" = ?)))'
    ' ORDER BY "t1"."number"'
)

KEEP_ASIDE = (
    'INSERT INTO "set_aside" ("aggregate", "seq", "kind", "version", '
    '"created", "data", "hash", "digest", "position") SELECT '
    '"t1"."aggregate", "t1"."seq", "t1"."kind", "t1"."version", '
    '"t1"."created", "t1"."data", "t1"."hash", "t1"."digest", "t1"."position"'
    ' FROM "event" AS "t1"'
    ' WHERE (("t1"."aggregate" = ?) AND (("t1"."seq" >= ?) OR ("t1"."seq" < '
    '0)))'
    ' ORDER BY "t1"."seq"'
)

TAKE_OUT = (
    'DELETE'
    ' FROM "event"'
    ' WHERE (("event"."aggregate" = ?) AND (("event"."seq" >= ?) OR '
    '("event"."seq" < 0)))'
)

LAST_BEFORE = (
    'SELECT MAX("t1"."seq")'
    ' FROM "event" AS "t1"'
    ' WHERE ((("t1"."aggregate" = ?) AND ("t1"."seq" >= 0)) AND ("t1"."seq" <'
    ' ?))'
)

REMOVE_DATA = (
    'UPDATE "event"'
    ' SET "data" = ?, "digest" = ?, "checksum" = ?'
    ' WHERE (("event"."aggregate" = ?) AND ("event"."seq" = ?))'
)

ADD_EVENT = (
    'INSERT INTO "event" ("position", "aggregate", "seq", "kind", "version", '
    '"created", "data", "hash", "digest", "checksum")'
    ' VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)'
)

APPEND_EVENT = (
    'INSERT INTO "event" ("aggregate", "seq", "kind", "version", "created", '
    '"data", "hash", "checksum")'
    ' VALUES (?, ?, ?, ?, ?, ?, ?, ?)'
)

LAST_POSITIONS = (
    'SELECT MAX("t1"."position")'
    ' FROM "event" AS "t1"'
    ' UNION ALL SELECT MAX("t2"."position")'
    ' FROM "set_aside" AS "t2"'
)

OCCUPANT = (
    'SELECT "t1"."seq", "t1"."kind", "t1"."version", "t1"."created", '
    '"t1"."data", "t1"."checksum"'
    ' FROM "event" AS "t1"'
    ' WHERE (("t1"."aggregate" = ?) AND ("t1"."seq" = ?))'
)

ONE_ASIDE = (
    'INSERT INTO "set_aside" ("aggregate", "seq", "kind", "version", '
    '"created", "data", "hash", "digest", "position") SELECT '
    '"t1"."aggregate", "t1"."seq", "t1"."kind", "t1"."version", '
    '"t1"."created", "t1"."data", "t1"."hash", "t1"."digest", "t1"."position"'
    ' FROM "event" AS "t1"'
    ' WHERE (("t1"."aggregate" = ?) AND ("t1"."seq" = ?))'
)

TAKE_ONE_OUT = (
    'DELETE'
    ' FROM "event"'
    ' WHERE (("event"."aggregate" = ?) AND ("event"."seq" = ?))'
)

# Statements of where messages are: ``message``.

MESSAGE = (
    'SELECT "t1"."seq", "t1"."id", "t1"."type", "t1"."body_seq", '
    '"t1"."end_seq", "t1"."checksum"'
    ' FROM "message" AS "t1"'
    ' WHERE (("t1"."aggregate" = (SELECT "t2"."id"'
    ' FROM "aggregate" AS "t2"'
    ' WHERE ("t2"."session_id" = ?))) AND ("t1"."id" = ?))'
)

OLDEST_FIRST = (
    'SELECT "t1"."seq", "t1"."id", "t1"."type", "t1"."body_seq", '
    '"t1"."end_seq", "t1"."checksum"'
    ' FROM "message" AS "t1"'
    ' WHERE ((("t1"."aggregate" = (SELECT "t2"."id"'
    ' FROM "aggregate" AS "t2"'
    ' WHERE ("t2"."session_id" = ?))) AND ("t1"."seq" > ?)) AND ("t1"."seq" <'
    ' ?))'
    ' ORDER BY "t1"."seq" LIMIT ?'
)

NEWEST_FIRST = (
    'SELECT "t1"."seq", "t1"."id", "t1"."type", "t1"."body_seq", '
    '"t1"."end_seq", "t1"."checksum"'
    ' FROM "message" AS "t1"'
    ' WHERE ((("t1"."aggregate" = (SELECT "t2"."id"'
    ' FROM "aggregate" AS "t2"'
    ' WHERE ("t2"."session_id" = ?))) AND ("t1"."seq" > ?)) AND ("t1"."seq" <'
    ' ?))'
    ' ORDER BY "t1"."seq" DESC LIMIT ?'
)

SETTLED = (
    'SELECT "t1"."aggregate", "t2"."seq", "t3"."session_id", '
    '"t1"."directory", "first"."seq", "first"."kind", "first"."version", '
    '"first"."created", "first"."data", "first"."checksum", "last"."seq", '
    '"last"."kind", "last"."version", "last"."created", "last"."data", '
    '"last"."checksum"'
    ' FROM "message" AS "t2" INNER JOIN "session" AS "t1" ON '
    '("t1"."aggregate" = "t2"."aggregate") INNER JOIN "aggregate" AS "t3" ON '
    '("t3"."id" = "t2"."aggregate") INNER JOIN "event" AS "first" ON '
    '(("first"."aggregate" = "t2"."aggregate") AND ("first"."seq" = '
    '"t2"."body_seq")) INNER JOIN "event" AS "last" ON (("last"."aggregate" ='
    ' "t2"."aggregate") AND ("last"."seq" = "t2"."end_seq"))'
    ' WHERE ((((("t2"."aggregate" >= ?) AND (("t2"."aggregate" > ?) OR '
    '("t2"."seq" > ?))) AND ("t2"."type" IN (\'assistant\', \'summary\'))) AND '
    '("t1"."updated" >= ?)) AND ("last"."created" >= ?))'
    ' ORDER BY "t2"."aggregate", "t2"."seq" LIMIT ?'
)

OPEN_MESSAGES = (
    'SELECT "t1"."seq", "t1"."id", "t1"."type", "t1"."body_seq", '
    '"t1"."end_seq", "t1"."checksum"'
    ' FROM "message" AS "t1"'
    ' WHERE (("t1"."aggregate" = (SELECT "t2"."id"'
    ' FROM "aggregate" AS "t2"'
    ' WHERE ("t2"."session_id" = ?))) AND ("t1"."end_seq" IS NULL))'
    ' ORDER BY "t1"."seq"'
)

ADD_MESSAGE = (
    'INSERT INTO "message" ("aggregate", "seq", "id", "type", "body_seq", '
    '"end_seq", "checksum")'
    ' VALUES (?, ?, ?, ?, ?, ?, ?)'
)

OPEN_MESSAGE = (
    'INSERT INTO "message" ("aggregate", "seq", "id", "type", "body_seq", '
    '"checksum")'
    ' VALUES (?, ?, ?, ?, ?, ?)'
)

TAKE_MESSAGE_AWAY = (
    'DELETE'
    ' FROM "message"'
    ' WHERE ((("message"."aggregate" = ?) AND ("message"."id" = ?)) AND '
    '("message"."seq" != ?))'
)

PUT_MESSAGE = (
    'INSERT INTO "message" ("aggregate", "seq", "id", "type", "body_seq", '
    '"end_seq", "checksum")'
    ' VALUES (?, ?, ?, ?, ?, ?, ?)'
    ' ON CONFLICT ("aggregate", "seq") DO UPDATE'
    ' SET "id" = EXCLUDED."id", "type" = EXCLUDED."type", "body_seq" = '
    'EXCLUDED."body_seq", "end_seq" = EXCLUDED."end_seq", "checksum" = '
    'EXCLUDED."checksum"'
)

END_MESSAGE = (
    'UPDATE "message"'
    ' SET "end_seq" = ?, "checksum" = ?'
    ' WHERE ((((("message"."aggregate" = ?) AND ("message"."seq" = ?)) AND '
    '("message"."id" = ?)) AND ("message"."type" = ?)) AND '
    '("message"."body_seq" = ?))'
)

# Statements of all projections at once.

CLEAR_PROJECTIONS: tuple[str, ...] = (
    (
        'DELETE'
        ' FROM "session"'
        ' WHERE (aggregate = ?)'
    ),
    (
        'DELETE'
        ' FROM "work"'
        ' WHERE (aggregate = ?)'
    ),
    (
        'DELETE'
        ' FROM "input"'
        ' WHERE (aggregate = ?)'
    ),
    (
        'DELETE'
        ' FROM "message"'
        ' WHERE (aggregate = ?)'
    ),
    (
        'DELETE'
        ' FROM "request"'
        ' WHERE (aggregate = ?)'
    ),
    (
        'DELETE'
        ' FROM "job"'
        ' WHERE (aggregate = ?)'
    ),
    (
        'DELETE'
        ' FROM "epoch"'
        ' WHERE (aggregate = ?)'
    ),
)

ROW_COUNTS: tuple[str, ...] = (
    (
        'SELECT COUNT(*), COUNT("t1"."checksum")'
        ' FROM "message" AS "t1"'
        ' WHERE ("t1"."aggregate" = (SELECT "t2"."id"'
        ' FROM "aggregate" AS "t2"'
        ' WHERE ("t2"."session_id" = ?)))'
    ),
    (
        'SELECT COUNT(*), COUNT("t1"."key")'
        ' FROM "work" AS "t1"'
        ' WHERE (("t1"."aggregate" = (SELECT "t2"."id"'
        ' FROM "aggregate" AS "t2"'
        ' WHERE ("t2"."session_id" = ?))) AND ("t1"."what" = \'input\'))'
    ),
    (
        'SELECT COUNT(*), COUNT("t1"."key")'
        ' FROM "input" AS "t1"'
        ' WHERE ("t1"."aggregate" = (SELECT "t2"."id"'
        ' FROM "aggregate" AS "t2"'
        ' WHERE ("t2"."session_id" = ?)))'
    ),
)

# Statements of what is deleted of a removed session.

HIDE_SESSION: tuple[str, ...] = (
    (
        'DELETE'
        ' FROM "session"'
        ' WHERE (aggregate = ?)'
    ),
    (
        'DELETE'
        ' FROM "work"'
        ' WHERE (aggregate = ?)'
    ),
    (
        'DELETE'
        ' FROM "request"'
        ' WHERE (aggregate = ?)'
    ),
    (
        'DELETE'
        ' FROM "job"'
        ' WHERE (aggregate = ?)'
    ),
    (
        'DELETE'
        ' FROM "epoch"'
        ' WHERE (aggregate = ?)'
    ),
)

SESSION_APPROVALS = (
    'SELECT "t1"."id"'
    ' FROM "approval" AS "t1"'
    ' WHERE (("t1"."session_id" = ?) AND ("t1"."scope" = \'session\'))'
)

TO_ERASE = (
    'SELECT "t1"."session_id"'
    ' FROM "aggregate" AS "t1"'
    ' WHERE ("t1"."removed" = 1)'
    ' ORDER BY "t1"."id"'
)

ERASE_SOME: tuple[str, ...] = (
    (
        'DELETE'
        ' FROM "message"'
        ' WHERE ((aggregate = ?) AND ("message"."seq" IN (SELECT "message"."seq"'
        ' FROM "message" AS "message"'
        ' WHERE (aggregate = ?) LIMIT ?)))'
    ),
    (
        'DELETE'
        ' FROM "input"'
        ' WHERE ((aggregate = ?) AND ("input"."id" IN (SELECT "input"."id"'
        ' FROM "input" AS "input"'
        ' WHERE (aggregate = ?) LIMIT ?)))'
    ),
    (
        'DELETE'
        ' FROM "admission"'
        ' WHERE ((aggregate = ?) AND ("admission"."key" IN (SELECT '
        '"admission"."key"'
        ' FROM "admission" AS "admission"'
        ' WHERE (aggregate = ?) LIMIT ?)))'
    ),
    (
        'DELETE'
        ' FROM "set_aside"'
        ' WHERE ((aggregate = ?) AND ("set_aside"."number" IN (SELECT '
        '"set_aside"."number"'
        ' FROM "set_aside" AS "set_aside"'
        ' WHERE (aggregate = ?) LIMIT ?)))'
    ),
)

SOME_HOLDS = (
    'SELECT DISTINCT "t1"."seq"'
    ' FROM "hold" AS "t1"'
    ' WHERE ("t1"."aggregate" = ?) LIMIT ?'
)

ERASE_EVENTS = (
    'DELETE'
    ' FROM "event"'
    ' WHERE ("event"."position" IN (SELECT "event"."position"'
    ' FROM "event" AS "event"'
    ' WHERE (("event"."aggregate" = ?) AND ("event"."seq" != ?)) LIMIT ?))'
)

# Statements of requests to a person: ``request``.

REQUEST = (
    'SELECT "t1"."session_id", "t2"."id", "t2"."what", "t2"."seq", '
    '"t2"."directory", "t2"."answered_seq", "t2"."checksum"'
    ' FROM "request" AS "t2" INNER JOIN "aggregate" AS "t1" ON '
    '("t2"."aggregate" = "t1"."id")'
    ' WHERE (("t2"."aggregate" = (SELECT "t1"."id"'
    ' FROM "aggregate" AS "t1"'
    ' WHERE ("t1"."session_id" = ?))) AND ("t2"."id" = ?))'
)

REQUESTS = (
    'SELECT "t1"."session_id", "t2"."id", "t2"."what", "t2"."seq", '
    '"t2"."directory", "t2"."answered_seq", "t2"."checksum"'
    ' FROM "request" AS "t2" INNER JOIN "aggregate" AS "t1" ON '
    '("t2"."aggregate" = "t1"."id")'
    ' WHERE ("t2"."id" = ?)'
)

PENDING_REQUESTS: Mapping[Any, str] = {
    (): (
        'SELECT "t1"."session_id", "t2"."id", "t2"."what", "t2"."seq", '
        '"t2"."directory", "t2"."answered_seq", "t2"."checksum"'
        ' FROM "request" AS "t2" INNER JOIN "aggregate" AS "t1" ON '
        '("t2"."aggregate" = "t1"."id") LEFT OUTER JOIN "event" AS "t3" ON '
        '(("t3"."aggregate" = "t2"."aggregate") AND ("t3"."seq" = "t2"."seq"))'
        ' WHERE ("t2"."answered_seq" IS NULL)'
        ' ORDER BY "t3"."position", "t2"."aggregate", "t2"."seq", "t2"."id"'
    ),
    ('directory',): (
        'SELECT "t1"."session_id", "t2"."id", "t2"."what", "t2"."seq", '
        '"t2"."directory", "t2"."answered_seq", "t2"."checksum"'
        ' FROM "request" AS "t2" INNER JOIN "aggregate" AS "t1" ON '
        '("t2"."aggregate" = "t1"."id") LEFT OUTER JOIN "event" AS "t3" ON '
        '(("t3"."aggregate" = "t2"."aggregate") AND ("t3"."seq" = "t2"."seq"))'
        ' WHERE (("t2"."answered_seq" IS NULL) AND ("t2"."directory" = ?))'
        ' ORDER BY "t3"."position", "t2"."aggregate", "t2"."seq", "t2"."id"'
    ),
    ('session_id',): (
        'SELECT "t1"."session_id", "t2"."id", "t2"."what", "t2"."seq", '
        '"t2"."directory", "t2"."answered_seq", "t2"."checksum"'
        ' FROM "request" AS "t2" INNER JOIN "aggregate" AS "t1" ON '
        '("t2"."aggregate" = "t1"."id") LEFT OUTER JOIN "event" AS "t3" ON '
        '(("t3"."aggregate" = "t2"."aggregate") AND ("t3"."seq" = "t2"."seq"))'
        ' WHERE (("t2"."answered_seq" IS NULL) AND ("t2"."aggregate" = (SELECT '
        '"t1"."id"'
        ' FROM "aggregate" AS "t1"'
        ' WHERE ("t1"."session_id" = ?))))'
        ' ORDER BY "t3"."position", "t2"."aggregate", "t2"."seq", "t2"."id"'
    ),
    ('id',): (
        'SELECT "t1"."session_id", "t2"."id", "t2"."what", "t2"."seq", '
        '"t2"."directory", "t2"."answered_seq", "t2"."checksum"'
        ' FROM "request" AS "t2" INNER JOIN "aggregate" AS "t1" ON '
        '("t2"."aggregate" = "t1"."id") LEFT OUTER JOIN "event" AS "t3" ON '
        '(("t3"."aggregate" = "t2"."aggregate") AND ("t3"."seq" = "t2"."seq"))'
        ' WHERE (("t2"."answered_seq" IS NULL) AND ("t2"."id" = ?))'
        ' ORDER BY "t3"."position", "t2"."aggregate", "t2"."seq", "t2"."id"'
    ),
    ('directory', 'session_id'): (
        'SELECT "t1"."session_id", "t2"."id", "t2"."what", "t2"."seq", '
        '"t2"."directory", "t2"."answered_seq", "t2"."checksum"'
        ' FROM "request" AS "t2" INNER JOIN "aggregate" AS "t1" ON '
        '("t2"."aggregate" = "t1"."id") LEFT OUTER JOIN "event" AS "t3" ON '
        '(("t3"."aggregate" = "t2"."aggregate") AND ("t3"."seq" = "t2"."seq"))'
        ' WHERE ((("t2"."answered_seq" IS NULL) AND ("t2"."directory" = ?)) AND '
        '("t2"."aggregate" = (SELECT "t1"."id"'
        ' FROM "aggregate" AS "t1"'
        ' WHERE ("t1"."session_id" = ?))))'
        ' ORDER BY "t3"."position", "t2"."aggregate", "t2"."seq", "t2"."id"'
    ),
    ('directory', 'id'): (
        'SELECT "t1"."session_id", "t2"."id", "t2"."what", "t2"."seq", '
        '"t2"."directory", "t2"."answered_seq", "t2"."checksum"'
        ' FROM "request" AS "t2" INNER JOIN "aggregate" AS "t1" ON '
        '("t2"."aggregate" = "t1"."id") LEFT OUTER JOIN "event" AS "t3" ON '
        '(("t3"."aggregate" = "t2"."aggregate") AND ("t3"."seq" = "t2"."seq"))'
        ' WHERE ((("t2"."answered_seq" IS NULL) AND ("t2"."directory" = ?)) AND '
        '("t2"."id" = ?))'
        ' ORDER BY "t3"."position", "t2"."aggregate", "t2"."seq", "t2"."id"'
    ),
    ('session_id', 'id'): (
        'SELECT "t1"."session_id", "t2"."id", "t2"."what", "t2"."seq", '
        '"t2"."directory", "t2"."answered_seq", "t2"."checksum"'
        ' FROM "request" AS "t2" INNER JOIN "aggregate" AS "t1" ON '
        '("t2"."aggregate" = "t1"."id") LEFT OUTER JOIN "event" AS "t3" ON '
        '(("t3"."aggregate" = "t2"."aggregate") AND ("t3"."seq" = "t2"."seq"))'
        ' WHERE ((("t2"."answered_seq" IS NULL) AND ("t2"."aggregate" = (SELECT '
        '"t1"."id"'
        ' FROM "aggregate" AS "t1"'
        ' WHERE ("t1"."session_id" = ?)))) AND ("t2"."id" = ?))'
        ' ORDER BY "t3"."position", "t2"."aggregate", "t2"."seq", "t2"."id"'
    ),
    ('directory', 'session_id', 'id'): (
        'SELECT "t1"."session_id", "t2"."id", "t2"."what", "t2"."seq", '
        '"t2"."directory", "t2"."answered_seq", "t2"."checksum"'
        ' FROM "request" AS "t2" INNER JOIN "aggregate" AS "t1" ON '
        '("t2"."aggregate" = "t1"."id") LEFT OUTER JOIN "event" AS "t3" ON '
        '(("t3"."aggregate" = "t2"."aggregate") AND ("t3"."seq" = "t2"."seq"))'
        ' WHERE (((("t2"."answered_seq" IS NULL) AND ("t2"."directory" = ?)) AND '
        '("t2"."aggregate" = (SELECT "t1"."id"'
        ' FROM "aggregate" AS "t1"'
        ' WHERE ("t1"."session_id" = ?)))) AND ("t2"."id" = ?))'
        ' ORDER BY "t3"."position", "t2"."aggregate", "t2"."seq", "t2"."id"'
    ),
}

PUT_REQUEST = (
    'INSERT INTO "request" ("aggregate", "id", "what", "seq", "directory", '
    '"answered_seq", "checksum")'
    ' VALUES (?, ?, ?, ?, ?, ?, ?)'
    ' ON CONFLICT ("aggregate", "id") DO UPDATE'
    ' SET "what" = EXCLUDED."what", "seq" = EXCLUDED."seq", "directory" = '
    'EXCLUDED."directory", "answered_seq" = EXCLUDED."answered_seq", '
    '"checksum" = EXCLUDED."checksum"'
)

# Statements of sessions, and of their executions: ``session``, ``work``.

SESSION = (
    'SELECT "t1"."session_id", "t2"."aggregate", "t1"."damaged", '
    '"t2"."directory", "t2"."workspace", "t2"."title", "t2"."agent", '
    '"t2"."model", "t2"."parent", "t2"."forked_from", "t2"."forked_seq", '
    '"t2"."created", "t2"."updated", "t2"."status", "t2"."outcome", '
    '"t2"."reason_code", "t2"."reason_message", "t2"."ended_seq", '
    '"t2"."steps", "t2"."input_tokens", "t2"."output_tokens", '
    '"t2"."reasoning_tokens", "t2"."cache_read_tokens", '
    '"t2"."cache_write_tokens", "t2"."picodollars", "t2"."unpriced", '
    '"t2"."todos_seq", "t2"."compaction_due", "t2"."folded", "t2"."checksum"'
    ' FROM "session" AS "t2" INNER JOIN "aggregate" AS "t1" ON '
    '("t2"."aggregate" = "t1"."id")'
    ' WHERE ("t1"."session_id" = ?)'
)

LISTINGS: Mapping[Any, str] = {
    (False, False, False, False, False): (
        'SELECT "t1"."session_id", "t2"."aggregate", "t1"."damaged", '
        '"t2"."directory", "t2"."workspace", "t2"."title", "t2"."agent", '
        '"t2"."model", "t2"."parent", "t2"."forked_from", "t2"."forked_seq", '
        '"t2"."created", "t2"."updated", "t2"."status", "t2"."outcome", '
        '"t2"."reason_code", "t2"."reason_message", "t2"."ended_seq", '
        '"t2"."steps", "t2"."input_tokens", "t2"."output_tokens", '
        '"t2"."reasoning_tokens", "t2"."cache_read_tokens", '
        '"t2"."cache_write_tokens", "t2"."picodollars", "t2"."unpriced", '
        '"t2"."todos_seq", "t2"."compaction_due", "t2"."folded", "t2"."checksum"'
        ' FROM "session" AS "t2" INNER JOIN "aggregate" AS "t1" ON '
        '("t2"."aggregate" = "t1"."id")'
        ' WHERE (("t2"."aggregate" > ?) AND ("t2"."aggregate" < ?))'
        ' ORDER BY "t2"."aggregate" DESC LIMIT ?'
    ),
    (False, False, False, False, True): (
        'SELECT "t1"."session_id", "t2"."aggregate", "t1"."damaged", '
        '"t2"."directory", "t2"."workspace", "t2"."title", "t2"."agent", '
        '"t2"."model", "t2"."parent", "t2"."forked_from", "t2"."forked_seq", '
        '"t2"."created", "t2"."updated", "t2"."status", "t2"."outcome", '
        '"t2"."reason_code", "t2"."reason_message", "t2"."ended_seq", '
        '"t2"."steps", "t2"."input_tokens", "t2"."output_tokens", '
        '"t2"."reasoning_tokens", "t2"."cache_read_tokens", '
        '"t2"."cache_write_tokens", "t2"."picodollars", "t2"."unpriced", '
        '"t2"."todos_seq", "t2"."compaction_due", "t2"."folded", "t2"."checksum"'
        ' FROM "session" AS "t2" INNER JOIN "aggregate" AS "t1" ON '
        '("t2"."aggregate" = "t1"."id")'
        ' WHERE (("t2"."aggregate" > ?) AND ("t2"."aggregate" < ?))'
        ' ORDER BY "t2"."aggregate" ASC LIMIT ?'
    ),
    (False, False, False, True, False): (
        'SELECT "t1"."session_id", "t2"."aggregate", "t1"."damaged", '
        '"t2"."directory", "t2"."workspace", "t2"."title", "t2"."agent", '
        '"t2"."model", "t2"."parent", "t2"."forked_from", "t2"."forked_seq", '
        '"t2"."created", "t2"."updated", "t2"."status", "t2"."outcome", '
        '"t2"."reason_code", "t2"."reason_message", "t2"."ended_seq", '
        '"t2"."steps", "t2"."input_tokens", "t2"."output_tokens", '
        '"t2"."reasoning_tokens", "t2"."cache_read_tokens", '
        '"t2"."cache_write_tokens", "t2"."picodollars", "t2"."unpriced", '
        '"t2"."todos_seq", "t2"."compaction_due", "t2"."folded", "t2"."checksum"'
        ' FROM "session" AS "t2" INNER JOIN "aggregate" AS "t1" ON '
        '("t2"."aggregate" = "t1"."id")'
        ' WHERE ((("t2"."aggregate" > ?) AND ("t2"."aggregate" < ?)) AND '
        '("t2"."parent" IS NULL))'
        ' ORDER BY "t2"."aggregate" DESC LIMIT ?'
    ),
    (False, False, False, True, True): (
        'SELECT "t1"."session_id", "t2"."aggregate", "t1"."damaged", '
        '"t2"."directory", "t2"."workspace", "t2"."title", "t2"."agent", '
        '"t2"."model", "t2"."parent", "t2"."forked_from", "t2"."forked_seq", '
        '"t2"."created", "t2"."updated", "t2"."status", "t2"."outcome", '
        '"t2"."reason_code", "t2"."reason_message", "t2"."ended_seq", '
        '"t2"."steps", "t2"."input_tokens", "t2"."output_tokens", '
        '"t2"."reasoning_tokens", "t2"."cache_read_tokens", '
        '"t2"."cache_write_tokens", "t2"."picodollars", "t2"."unpriced", '
        '"t2"."todos_seq", "t2"."compaction_due", "t2"."folded", "t2"."checksum"'
        ' FROM "session" AS "t2" INNER JOIN "aggregate" AS "t1" ON '
        '("t2"."aggregate" = "t1"."id")'
        ' WHERE ((("t2"."aggregate" > ?) AND ("t2"."aggregate" < ?)) AND '
        '("t2"."parent" IS NULL))'
        ' ORDER BY "t2"."aggregate" ASC LIMIT ?'
    ),
    (False, False, True, False, False): (
        'SELECT "t1"."session_id", "t2"."aggregate", "t1"."damaged", '
        '"t2"."directory", "t2"."workspace", "t2"."title", "t2"."agent", '
        '"t2"."model", "t2"."parent", "t2"."forked_from", "t2"."forked_seq", '
        '"t2"."created", "t2"."updated", "t2"."status", "t2"."outcome", '
        '"t2"."reason_code", "t2"."reason_message", "t2"."ended_seq", '
        '"t2"."steps", "t2"."input_tokens", "t2"."output_tokens", '
        '"t2"."reasoning_tokens", "t2"."cache_read_tokens", '
        '"t2"."cache_write_tokens", "t2"."picodollars", "t2"."unpriced", '
        '"t2"."todos_seq", "t2"."compaction_due", "t2"."folded", "t2"."checksum"'
        ' FROM "session" AS "t2" INNER JOIN "aggregate" AS "t1" ON '
        '("t2"."aggregate" = "t1"."id")'
        ' WHERE ((("t2"."aggregate" > ?) AND ("t2"."aggregate" < ?)) AND '
        '("t2"."parent" = ?))'
        ' ORDER BY "t2"."aggregate" DESC LIMIT ?'
    ),
    (False, False, True, False, True): (
        'SELECT "t1"."session_id", "t2"."aggregate", "t1"."damaged", '
        '"t2"."directory", "t2"."workspace", "t2"."title", "t2"."agent", '
        '"t2"."model", "t2"."parent", "t2"."forked_from", "t2"."forked_seq", '
        '"t2"."created", "t2"."updated", "t2"."status", "t2"."outcome", '
        '"t2"."reason_code", "t2"."reason_message", "t2"."ended_seq", '
        '"t2"."steps", "t2"."input_tokens", "t2"."output_tokens", '
        '"t2"."reasoning_tokens", "t2"."cache_read_tokens", '
        '"t2"."cache_write_tokens", "t2"."picodollars", "t2"."unpriced", '
        '"t2"."todos_seq", "t2"."compaction_due", "t2"."folded", "t2"."checksum"'
        ' FROM "session" AS "t2" INNER JOIN "aggregate" AS "t1" ON '
        '("t2"."aggregate" = "t1"."id")'
        ' WHERE ((("t2"."aggregate" > ?) AND ("t2"."aggregate" < ?)) AND '
        '("t2"."parent" = ?))'
        ' ORDER BY "t2"."aggregate" ASC LIMIT ?'
    ),
    (False, True, False, False, False): (
        'SELECT "t1"."session_id", "t2"."aggregate", "t1"."damaged", '
        '"t2"."directory", "t2"."workspace", "t2"."title", "t2"."agent", '
        '"t2"."model", "t2"."parent", "t2"."forked_from", "t2"."forked_seq", '
        '"t2"."created", "t2"."updated", "t2"."status", "t2"."outcome", '
        '"t2"."reason_code", "t2"."reason_message", "t2"."ended_seq", '
        '"t2"."steps", "t2"."input_tokens", "t2"."output_tokens", '
        '"t2"."reasoning_tokens", "t2"."cache_read_tokens", '
        '"t2"."cache_write_tokens", "t2"."picodollars", "t2"."unpriced", '
        '"t2"."todos_seq", "t2"."compaction_due", "t2"."folded", "t2"."checksum"'
        ' FROM "session" AS "t2" INNER JOIN "aggregate" AS "t1" ON '
        '("t2"."aggregate" = "t1"."id")'
        ' WHERE ((("t2"."aggregate" > ?) AND ("t2"."aggregate" < ?)) AND '
        '(INSTR("t2"."folded", ?) > 0))'
        ' ORDER BY "t2"."aggregate" DESC LIMIT ?'
    ),
    (False, True, False, False, True): (
        'SELECT "t1"."session_id", "t2"."aggregate", "t1"."damaged", '
        '"t2"."directory", "t2"."workspace", "t2"."title", "t2"."agent", '
        '"t2"."model", "t2"."parent", "t2"."forked_from", "t2"."forked_seq", '
        '"t2"."created", "t2"."updated", "t2"."status", "t2"."outcome", '
        '"t2"."reason_code", "t2"."reason_message", "t2"."ended_seq", '
        '"t2"."steps", "t2"."input_tokens", "t2"."output_tokens", '
        '"t2"."reasoning_tokens", "t2"."cache_read_tokens", '
        '"t2"."cache_write_tokens", "t2"."picodollars", "t2"."unpriced", '
        '"t2"."todos_seq", "t2"."compaction_due", "t2"."folded", "t2"."checksum"'
        ' FROM "session" AS "t2" INNER JOIN "aggregate" AS "t1" ON '
        '("t2"."aggregate" = "t1"."id")'
        ' WHERE ((("t2"."aggregate" > ?) AND ("t2"."aggregate" < ?)) AND '
        '(INSTR("t2"."folded", ?) > 0))'
        ' ORDER BY "t2"."aggregate" ASC LIMIT ?'
    ),
    (False, True, False, True, False): (
        'SELECT "t1"."session_id", "t2"."aggregate", "t1"."damaged", '
        '"t2"."directory", "t2"."workspace", "t2"."title", "t2"."agent", '
        '"t2"."model", "t2"."parent", "t2"."forked_from", "t2"."forked_seq", '
        '"t2"."created", "t2"."updated", "t2"."status", "t2"."outcome", '
        '"t2"."reason_code", "t2"."reason_message", "t2"."ended_seq", '
        '"t2"."steps", "t2"."input_tokens", "t2"."output_tokens", '
        '"t2"."reasoning_tokens", "t2"."cache_read_tokens", '
        '"t2"."cache_write_tokens", "t2"."picodollars", "t2"."unpriced", '
        '"t2"."todos_seq", "t2"."compaction_due", "t2"."folded", "t2"."checksum"'
        ' FROM "session" AS "t2" INNER JOIN "aggregate" AS "t1" ON '
        '("t2"."aggregate" = "t1"."id")'
        ' WHERE (((("t2"."aggregate" > ?) AND ("t2"."aggregate" < ?)) AND '
        '(INSTR("t2"."folded", ?) > 0)) AND ("t2"."parent" IS NULL))'
        ' ORDER BY "t2"."aggregate" DESC LIMIT ?'
    ),
    (False, True, False, True, True): (
        'SELECT "t1"."session_id", "t2"."aggregate", "t1"."damaged", '
        '"t2"."directory", "t2"."workspace", "t2"."title", "t2"."agent", '
        '"t2"."model", "t2"."parent", "t2"."forked_from", "t2"."forked_seq", '
        '"t2"."created", "t2"."updated", "t2"."status", "t2"."outcome", '
        '"t2"."reason_code", "t2"."reason_message", "t2"."ended_seq", '
        '"t2"."steps", "t2"."input_tokens", "t2"."output_tokens", '
        '"t2"."reasoning_tokens", "t2"."cache_read_tokens", '
        '"t2"."cache_write_tokens", "t2"."picodollars", "t2"."unpriced", '
        '"t2"."todos_seq", "t2"."compaction_due", "t2"."folded", "t2"."checksum"'
        ' FROM "session" AS "t2" INNER JOIN "aggregate" AS "t1" ON '
        '("t2"."aggregate" = "t1"."id")'
        ' WHERE (((("t2"."aggregate" > ?) AND ("t2"."aggregate" < ?)) AND '
        '(INSTR("t2"."folded", ?) > 0)) AND ("t2"."parent" IS NULL))'
        ' ORDER BY "t2"."aggregate" ASC LIMIT ?'
    ),
    (False, True, True, False, False): (
        'SELECT "t1"."session_id", "t2"."aggregate", "t1"."damaged", '
        '"t2"."directory", "t2"."workspace", "t2"."title", "t2"."agent", '
        '"t2"."model", "t2"."parent", "t2"."forked_from", "t2"."forked_seq", '
        '"t2"."created", "t2"."updated", "t2"."status", "t2"."outcome", '
        '"t2"."reason_code", "t2"."reason_message", "t2"."ended_seq", '
        '"t2"."steps", "t2"."input_tokens", "t2"."output_tokens", '
        '"t2"."reasoning_tokens", "t2"."cache_read_tokens", '
        '"t2"."cache_write_tokens", "t2"."picodollars", "t2"."unpriced", '
        '"t2"."todos_seq", "t2"."compaction_due", "t2"."folded", "t2"."checksum"'
        ' FROM "session" AS "t2" INNER JOIN "aggregate" AS "t1" ON '
        '("t2"."aggregate" = "t1"."id")'
        ' WHERE (((("t2"."aggregate" > ?) AND ("t2"."aggregate" < ?)) AND '
        '(INSTR("t2"."folded", ?) > 0)) AND ("t2"."parent" = ?))'
        ' ORDER BY "t2"."aggregate" DESC LIMIT ?'
    ),
    (False, True, True, False, True): (
        'SELECT "t1"."session_id", "t2"."aggregate", "t1"."damaged", '
        '"t2"."directory", "t2"."workspace", "t2"."title", "t2"."agent", '
        '"t2"."model", "t2"."parent", "t2"."forked_from", "t2"."forked_seq", '
        '"t2"."created", "t2"."updated", "t2"."status", "t2"."outcome", '
        '"t2"."reason_code", "t2"."reason_message", "t2"."ended_seq", '
        '"t2"."steps", "t2"."input_tokens", "t2"."output_tokens", '
        '"t2"."reasoning_tokens", "t2"."cache_read_tokens", '
        '"t2"."cache_write_tokens", "t2"."picodollars", "t2"."unpriced", '
        '"t2"."todos_seq", "t2"."compaction_due", "t2"."folded", "t2"."checksum"'
        ' FROM "session" AS "t2" INNER JOIN "aggregate" AS "t1" ON '
        '("t2"."aggregate" = "t1"."id")'
        ' WHERE (((("t2"."aggregate" > ?) AND ("t2"."aggregate" < ?)) AND '
        '(INSTR("t2"."folded", ?) > 0)) AND ("t2"."parent" = ?))'
        ' ORDER BY "t2"."aggregate" ASC LIMIT ?'
    ),
    (True, False, False, False, False): (
        'SELECT "t1"."session_id", "t2"."aggregate", "t1"."damaged", '
        '"t2"."directory", "t2"."workspace", "t2"."title", "t2"."agent", '
        '"t2"."model", "t2"."parent", "t2"."forked_from", "t2"."forked_seq", '
        '"t2"."created", "t2"."updated", "t2"."status", "t2"."outcome", '
        '"t2"."reason_code", "t2"."reason_message", "t2"."ended_seq", '
        '"t2"."steps", "t2"."input_tokens", "t2"."output_tokens", '
        '"t2"."reasoning_tokens", "t2"."cache_read_tokens", '
        '"t2"."cache_write_tokens", "t2"."picodollars", "t2"."unpriced", '
        '"t2"."todos_seq", "t2"."compaction_due", "t2"."folded", "t2"."checksum"'
        ' FROM "session" AS "t2" INNER JOIN "aggregate" AS "t1" ON '
        '("t2"."aggregate" = "t1"."id")'
        ' WHERE ((("t2"."aggregate" > ?) AND ("t2"."aggregate" < ?)) AND '
        '("t2"."directory" = ?))'
        ' ORDER BY "t2"."aggregate" DESC LIMIT ?'
    ),
    (True, False, False, False, True): (
        'SELECT "t1"."session_id", "t2"."aggregate", "t1"."damaged", '
        '"t2"."directory", "t2"."workspace", "t2"."title", "t2"."agent", '
        '"t2"."model", "t2"."parent", "t2"."forked_from", "t2"."forked_seq", '
        '"t2"."created", "t2"."updated", "t2"."status", "t2"."outcome", '
        '"t2"."reason_code", "t2"."reason_message", "t2"."ended_seq", '
        '"t2"."steps", "t2"."input_tokens", "t2"."output_tokens", '
        '"t2"."reasoning_tokens", "t2"."cache_read_tokens", '
        '"t2"."cache_write_tokens", "t2"."picodollars", "t2"."unpriced", '
        '"t2"."todos_seq", "t2"."compaction_due", "t2"."folded", "t2"."checksum"'
        ' FROM "session" AS "t2" INNER JOIN "aggregate" AS "t1" ON '
        '("t2"."aggregate" = "t1"."id")'
        ' WHERE ((("t2"."aggregate" > ?) AND ("t2"."aggregate" < ?)) AND '
        '("t2"."directory" = ?))'
        ' ORDER BY "t2"."aggregate" ASC LIMIT ?'
    ),
    (True, False, False, True, False): (
        'SELECT "t1"."session_id", "t2"."aggregate", "t1"."damaged", '
        '"t2"."directory", "t2"."workspace", "t2"."title", "t2"."agent", '
        '"t2"."model", "t2"."parent", "t2"."forked_from", "t2"."forked_seq", '
        '"t2"."created", "t2"."updated", "t2"."status", "t2"."outcome", '
        '"t2"."reason_code", "t2"."reason_message", "t2"."ended_seq", '
        '"t2"."steps", "t2"."input_tokens", "t2"."output_tokens", '
        '"t2"."reasoning_tokens", "t2"."cache_read_tokens", '
        '"t2"."cache_write_tokens", "t2"."picodollars", "t2"."unpriced", '
        '"t2"."todos_seq", "t2"."compaction_due", "t2"."folded", "t2"."checksum"'
        ' FROM "session" AS "t2" INNER JOIN "aggregate" AS "t1" ON '
        '("t2"."aggregate" = "t1"."id")'
        ' WHERE (((("t2"."aggregate" > ?) AND ("t2"."aggregate" < ?)) AND '
        '("t2"."directory" = ?)) AND ("t2"."parent" IS NULL))'
        ' ORDER BY "t2"."aggregate" DESC LIMIT ?'
    ),
    (True, False, False, True, True): (
        'SELECT "t1"."session_id", "t2"."aggregate", "t1"."damaged", '
        '"t2"."directory", "t2"."workspace", "t2"."title", "t2"."agent", '
        '"t2"."model", "t2"."parent", "t2"."forked_from", "t2"."forked_seq", '
        '"t2"."created", "t2"."updated", "t2"."status", "t2"."outcome", '
        '"t2"."reason_code", "t2"."reason_message", "t2"."ended_seq", '
        '"t2"."steps", "t2"."input_tokens", "t2"."output_tokens", '
        '"t2"."reasoning_tokens", "t2"."cache_read_tokens", '
        '"t2"."cache_write_tokens", "t2"."picodollars", "t2"."unpriced", '
        '"t2"."todos_seq", "t2"."compaction_due", "t2"."folded", "t2"."checksum"'
        ' FROM "session" AS "t2" INNER JOIN "aggregate" AS "t1" ON '
        '("t2"."aggregate" = "t1"."id")'
        ' WHERE (((("t2"."aggregate" > ?) AND ("t2"."aggregate" < ?)) AND '
        '("t2"."directory" = ?)) AND ("t2"."parent" IS NULL))'
        ' ORDER BY "t2"."aggregate" ASC LIMIT ?'
    ),
    (True, False, True, False, False): (
        'SELECT "t1"."session_id", "t2"."aggregate", "t1"."damaged", '
        '"t2"."directory", "t2"."workspace", "t2"."title", "t2"."agent", '
        '"t2"."model", "t2"."parent", "t2"."forked_from", "t2"."forked_seq", '
        '"t2"."created", "t2"."updated", "t2"."status", "t2"."outcome", '
        '"t2"."reason_code", "t2"."reason_message", "t2"."ended_seq", '
        '"t2"."steps", "t2"."input_tokens", "t2"."output_tokens", '
        '"t2"."reasoning_tokens", "t2"."cache_read_tokens", '
        '"t2"."cache_write_tokens", "t2"."picodollars", "t2"."unpriced", '
        '"t2"."todos_seq", "t2"."compaction_due", "t2"."folded", "t2"."checksum"'
        ' FROM "session" AS "t2" INNER JOIN "aggregate" AS "t1" ON '
        '("t2"."aggregate" = "t1"."id")'
        ' WHERE (((("t2"."aggregate" > ?) AND ("t2"."aggregate" < ?)) AND '
        '(+"t2"."directory" = ?)) AND ("t2"."parent" = ?))'
        ' ORDER BY "t2"."aggregate" DESC LIMIT ?'
    ),
    (True, False, True, False, True): (
        'SELECT "t1"."session_id", "t2"."aggregate", "t1"."damaged", '
        '"t2"."directory", "t2"."workspace", "t2"."title", "t2"."agent", '
        '"t2"."model", "t2"."parent", "t2"."forked_from", "t2"."forked_seq", '
        '"t2"."created", "t2"."updated", "t2"."status", "t2"."outcome", '
        '"t2"."reason_code", "t2"."reason_message", "t2"."ended_seq", '
        '"t2"."steps", "t2"."input_tokens", "t2"."output_tokens", '
        '"t2"."reasoning_tokens", "t2"."cache_read_tokens", '
        '"t2"."cache_write_tokens", "t2"."picodollars", "t2"."unpriced", '
        '"t2"."todos_seq", "t2"."compaction_due", "t2"."folded", "t2"."checksum"'
        ' FROM "session" AS "t2" INNER JOIN "aggregate" AS "t1" ON '
        '("t2"."aggregate" = "t1"."id")'
        ' WHERE (((("t2"."aggregate" > ?) AND ("t2"."aggregate" < ?)) AND '
        '(+"t2"."directory" = ?)) AND ("t2"."parent" = ?))'
        ' ORDER BY "t2"."aggregate" ASC LIMIT ?'
    ),
    (True, True, False, False, False): (
        'SELECT "t1"."session_id", "t2"."aggregate", "t1"."damaged", '
        '"t2"."directory", "t2"."workspace", "t2"."title", "t2"."agent", '
        '"t2"."model", "t2"."parent", "t2"."forked_from", "t2"."forked_seq", '
        '"t2"."created", "t2"."updated", "t2"."status", "t2"."outcome", '
        '"t2"."reason_code", "t2"."reason_message", "t2"."ended_seq", '
        '"t2"."steps", "t2"."input_tokens", "t2"."output_tokens", '
        '"t2"."reasoning_tokens", "t2"."cache_read_tokens", '
        '"t2"."cache_write_tokens", "t2"."picodollars", "t2"."unpriced", '
        '"t2"."todos_seq", "t2"."compaction_due", "t2"."folded", "t2"."checksum"'
        ' FROM "session" AS "t2" INNER JOIN "aggregate" AS "t1" ON '
        '("t2"."aggregate" = "t1"."id")'
        ' WHERE (((("t2"."aggregate" > ?) AND ("t2"."aggregate" < ?)) AND '
        '("t2"."directory" = ?)) AND (INSTR("t2"."folded", ?) > 0))'
        ' ORDER BY "t2"."aggregate" DESC LIMIT ?'
    ),
    (True, True, False, False, True): (
        'SELECT "t1"."session_id", "t2"."aggregate", "t1"."damaged", '
        '"t2"."directory", "t2"."workspace", "t2"."title", "t2"."agent", '
        '"t2"."model", "t2"."parent", "t2"."forked_from", "t2"."forked_seq", '
        '"t2"."created", "t2"."updated", "t2"."status", "t2"."outcome", '
        '"t2"."reason_code", "t2"."reason_message", "t2"."ended_seq", '
        '"t2"."steps", "t2"."input_tokens", "t2"."output_tokens", '
        '"t2"."reasoning_tokens", "t2"."cache_read_tokens", '
        '"t2"."cache_write_tokens", "t2"."picodollars", "t2"."unpriced", '
        '"t2"."todos_seq", "t2"."compaction_due", "t2"."folded", "t2"."checksum"'
        ' FROM "session" AS "t2" INNER JOIN "aggregate" AS "t1" ON '
        '("t2"."aggregate" = "t1"."id")'
        ' WHERE (((("t2"."aggregate" > ?) AND ("t2"."aggregate" < ?)) AND '
        '("t2"."directory" = ?)) AND (INSTR("t2"."folded", ?) > 0))'
        ' ORDER BY "t2"."aggregate" ASC LIMIT ?'
    ),
    (True, True, False, True, False): (
        'SELECT "t1"."session_id", "t2"."aggregate", "t1"."damaged", '
        '"t2"."directory", "t2"."workspace", "t2"."title", "t2"."agent", '
        '"t2"."model", "t2"."parent", "t2"."forked_from", "t2"."forked_seq", '
        '"t2"."created", "t2"."updated", "t2"."status", "t2"."outcome", '
        '"t2"."reason_code", "t2"."reason_message", "t2"."ended_seq", '
        '"t2"."steps", "t2"."input_tokens", "t2"."output_tokens", '
        '"t2"."reasoning_tokens", "t2"."cache_read_tokens", '
        '"t2"."cache_write_tokens", "t2"."picodollars", "t2"."unpriced", '
        '"t2"."todos_seq", "t2"."compaction_due", "t2"."folded", "t2"."checksum"'
        ' FROM "session" AS "t2" INNER JOIN "aggregate" AS "t1" ON '
        '("t2"."aggregate" = "t1"."id")'
        ' WHERE ((((("t2"."aggregate" > ?) AND ("t2"."aggregate" < ?)) AND '
        '("t2"."directory" = ?)) AND (INSTR("t2"."folded", ?) > 0)) AND '
        '("t2"."parent" IS NULL))'
        ' ORDER BY "t2"."aggregate" DESC LIMIT ?'
    ),
    (True, True, False, True, True): (
        'SELECT "t1"."session_id", "t2"."aggregate", "t1"."damaged", '
        '"t2"."directory", "t2"."workspace", "t2"."title", "t2"."agent", '
        '"t2"."model", "t2"."parent", "t2"."forked_from", "t2"."forked_seq", '
        '"t2"."created", "t2"."updated", "t2"."status", "t2"."outcome", '
        '"t2"."reason_code", "t2"."reason_message", "t2"."ended_seq", '
        '"t2"."steps", "t2"."input_tokens", "t2"."output_tokens", '
        '"t2"."reasoning_tokens", "t2"."cache_read_tokens", '
        '"t2"."cache_write_tokens", "t2"."picodollars", "t2"."unpriced", '
        '"t2"."todos_seq", "t2"."compaction_due", "t2"."folded", "t2"."checksum"'
        ' FROM "session" AS "t2" INNER JOIN "aggregate" AS "t1" ON '
        '("t2"."aggregate" = "t1"."id")'
        ' WHERE ((((("t2"."aggregate" > ?) AND ("t2"."aggregate" < ?)) AND '
        '("t2"."directory" = ?)) AND (INSTR("t2"."folded", ?) > 0)) AND '
        '("t2"."parent" IS NULL))'
        ' ORDER BY "t2"."aggregate" ASC LIMIT ?'
    ),
    (True, True, True, False, False): (
        'SELECT "t1"."session_id", "t2"."aggregate", "t1"."damaged", '
        '"t2"."directory", "t2"."workspace", "t2"."title", "t2"."agent", '
        '"t2"."model", "t2"."parent", "t2"."forked_from", "t2"."forked_seq", '
        '"t2"."created", "t2"."updated", "t2"."status", "t2"."outcome", '
        '"t2"."reason_code", "t2"."reason_message", "t2"."ended_seq", '
        '"t2"."steps", "t2"."input_tokens", "t2"."output_tokens", '
        '"t2"."reasoning_tokens", "t2"."cache_read_tokens", '
        '"t2"."cache_write_tokens", "t2"."picodollars", "t2"."unpriced", '
        '"t2"."todos_seq", "t2"."compaction_due", "t2"."folded", "t2"."checksum"'
        ' FROM "session" AS "t2" INNER JOIN "aggregate" AS "t1" ON '
        '("t2"."aggregate" = "t1"."id")'
        ' WHERE ((((("t2"."aggregate" > ?) AND ("t2"."aggregate" < ?)) AND '
        '(+"t2"."directory" = ?)) AND (INSTR("t2"."folded", ?) > 0)) AND '
        '("t2"."parent" = ?))'
        ' ORDER BY "t2"."aggregate" DESC LIMIT ?'
    ),
    (True, True, True, False, True): (
        'SELECT "t1"."session_id", "t2"."aggregate", "t1"."damaged", '
        '"t2"."directory", "t2"."workspace", "t2"."title", "t2"."agent", '
        '"t2"."model", "t2"."parent", "t2"."forked_from", "t2"."forked_seq", '
        '"t2"."created", "t2"."updated", "t2"."status", "t2"."outcome", '
        '"t2"."reason_code", "t2"."reason_message", "t2"."ended_seq", '
        '"t2"."steps", "t2"."input_tokens", "t2"."output_tokens", '
        '"t2"."reasoning_tokens", "t2"."cache_read_tokens", '
        '"t2"."cache_write_tokens", "t2"."picodollars", "t2"."unpriced", '
        '"t2"."todos_seq", "t2"."compaction_due", "t2"."folded", "t2"."checksum"'
        ' FROM "session" AS "t2" INNER JOIN "aggregate" AS "t1" ON '
        '("t2"."aggregate" = "t1"."id")'
        ' WHERE ((((("t2"."aggregate" > ?) AND ("t2"."aggregate" < ?)) AND '
        '(+"t2"."directory" = ?)) AND (INSTR("t2"."folded", ?) > 0)) AND '
        '("t2"."parent" = ?))'
        ' ORDER BY "t2"."aggregate" ASC LIMIT ?'
    ),
}

SESSION_IDS = (
    'SELECT "t1"."session_id"'
    ' FROM "session" AS "t2" INNER JOIN "aggregate" AS "t1" ON '
    '("t2"."aggregate" = "t1"."id")'
    ' WHERE (("t1"."session_id" >= ?) AND ("t1"."session_id" < ?))'
    ' ORDER BY "t1"."session_id" LIMIT ?'
)

FORKS = (
    'SELECT "t1"."session_id", "t2"."forked_seq"'
    ' FROM "session" AS "t2" INNER JOIN "aggregate" AS "t1" ON '
    '("t2"."aggregate" = "t1"."id")'
    ' WHERE ("t2"."forked_from" = ?)'
    ' ORDER BY "t2"."aggregate"'
)

SESSIONS_MISSING = (
    'SELECT "t1"."session_id"'
    ' FROM "aggregate" AS "t1" LEFT OUTER JOIN "session" AS "t2" ON '
    '("t2"."aggregate" = "t1"."id")'
    ' WHERE ((("t2"."aggregate" IS NULL) AND ("t1"."seq" >= 0)) AND '
    '("t1"."removed" IS NULL))'
)

ALL_WORK = (
    'SELECT "t1"."session_id", "t2"."what", "t2"."delivery", "t2"."id", '
    '"t2"."seq", "t2"."created", "t2"."key", "t2"."checksum"'
    ' FROM "work" AS "t2" LEFT OUTER JOIN "aggregate" AS "t1" ON '
    '("t2"."aggregate" = "t1"."id")'
    ' ORDER BY "t2"."aggregate"'
)

ALL_COMPACTIONS = (
    'SELECT "t1"."aggregate", "t2"."session_id"'
    ' FROM "session" AS "t1" INNER JOIN "aggregate" AS "t2" ON '
    '("t1"."aggregate" = "t2"."id")'
    ' WHERE ("t1"."compaction_due" >= 0)'
    ' ORDER BY "t1"."compaction_due"'
)

PUT_SESSION = (
    'INSERT INTO "session" ("aggregate", "directory", "workspace", "title", '
    '"agent", "model", "parent", "forked_from", "forked_seq", "created", '
    '"updated", "status", "outcome", "reason_code", "reason_message", '
    '"ended_seq", "steps", "input_tokens", "output_tokens", '
    '"reasoning_tokens", "cache_read_tokens", "cache_write_tokens", '
    '"picodollars", "unpriced", "todos_seq", "compaction_due", "folded", '
    '"checksum")'
    ' VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '
    '?, ?, ?, ?, ?, ?, ?)'
    ' ON CONFLICT ("aggregate") DO UPDATE'
    ' SET "directory" = EXCLUDED."directory", "workspace" = '
    'EXCLUDED."workspace", "title" = EXCLUDED."title", "agent" = '
    'EXCLUDED."agent", "model" = EXCLUDED."model", "parent" = '
    'EXCLUDED."parent", "forked_from" = EXCLUDED."forked_from", "forked_seq" '
    '= EXCLUDED."forked_seq", "created" = EXCLUDED."created", "updated" = '
    'EXCLUDED."updated", "status" = EXCLUDED."status", "outcome" = '
    'EXCLUDED."outcome", "reason_code" = EXCLUDED."reason_code", '
    '"reason_message" = EXCLUDED."reason_message", "ended_seq" = '
    'EXCLUDED."ended_seq", "steps" = EXCLUDED."steps", "input_tokens" = '
    'EXCLUDED."input_tokens", "output_tokens" = EXCLUDED."output_tokens", '
    '"reasoning_tokens" = EXCLUDED."reasoning_tokens", "cache_read_tokens" = '
    'EXCLUDED."cache_read_tokens", "cache_write_tokens" = '
    'EXCLUDED."cache_write_tokens", "picodollars" = EXCLUDED."picodollars", '
    '"unpriced" = EXCLUDED."unpriced", "todos_seq" = EXCLUDED."todos_seq", '
    '"compaction_due" = EXCLUDED."compaction_due", "folded" = '
    'EXCLUDED."folded", "checksum" = EXCLUDED."checksum"'
)

CHANGE_SESSION = (
    'UPDATE "session"'
    ' SET "workspace" = ?, "title" = ?, "agent" = ?, "model" = ?, '
    '"forked_from" = ?, "forked_seq" = ?, "created" = ?, "updated" = ?, '
    '"status" = ?, "outcome" = ?, "reason_code" = ?, "reason_message" = ?, '
    '"ended_seq" = ?, "steps" = ?, "input_tokens" = ?, "output_tokens" = ?, '
    '"reasoning_tokens" = ?, "cache_read_tokens" = ?, "cache_write_tokens" = '
    '?, "picodollars" = ?, "unpriced" = ?, "todos_seq" = ?, "compaction_due" '
    '= ?, "folded" = ?, "checksum" = ?'
    ' WHERE ((("session"."aggregate" = ?) AND ("session"."directory" = ?)) '
    'AND ("session"."parent" IS ?))'
)

BEGIN_WORK = (
    'INSERT OR IGNORE INTO "work" ("aggregate", "what", "delivery", "id", '
    '"seq", "created", "key", "checksum")'
    ' VALUES (?, ?, ?, ?, ?, ?, ?, ?)'
)

END_WORK = (
    'DELETE'
    ' FROM "work"'
    ' WHERE (("work"."aggregate" = ?) AND ("work"."what" = \'execution\'))'
)
