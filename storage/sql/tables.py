"""The tables, as peewee models: the only place that says what the schema is.

Owns columns, keys and indexes. Knows nothing of connections, of transactions, or of
which database it is: that is a ``Dialect``. The migrations of each store lead to this
schema, and a test compares the two.

A session is one row of ``aggregate``, whose small integer id is its key in every other
table and, because rows are never deleted, also its place in the creation order. Of a
session that was removed it stays, with the last event.

Every row that nothing else vouches for ends with a checksum, see ``checks``.
"""

from peewee import (
    SQL,
    AutoField,
    BigIntegerField,
    BlobField,
    CompositeKey,
    ForeignKeyField,
    Model,
    TextField,
)


class Table(Model):
    """What all tables share.

    Those ``without_rowid`` are laid out in the order of their key, where a database has
    a word for that.
    """

    class Meta:
        database = None
        legacy_table_names = False


# --- facts ------------------------------------------------------------------------


class Aggregate(Table):
    """One session's log: where it ends, who may replay into it, and who executes it.

    Every commit of a session writes this row, so what changes with the log is here and
    not on pages of its own.
    """

    id = AutoField()
    session_id = TextField(unique=True)
    seq = BigIntegerField()
    """The last event's, or -1."""
    hash = BlobField()
    owner = TextField(null=True)
    worker = TextField(null=True)
    """Whose the lease is; None once it was given back."""
    fence = BigIntegerField(null=True)
    """The last fencing number; None when there was no lease yet."""
    renewals = BigIntegerField(null=True)
    lasts = BigIntegerField(null=True)
    renewed = BigIntegerField(null=True)
    process = TextField(null=True)
    imported = TextField(null=True)
    """Which events came from another store, as JSON: the first and last of each run."""
    damaged = BigIntegerField(null=True)
    """The first event that was found not to be what was written."""
    removed = BigIntegerField(null=True)
    """1 where the session was removed, 2 once nothing is left of it; else NULL."""
    checksum = BigIntegerField()


# Nearly never one: who looks for what is left of them pays nothing for it.
Aggregate.add_index(
    Aggregate.index(
        Aggregate.removed,
        where=Aggregate.removed == SQL("1"),
        name="aggregate_removed",
    )
)


class Event(Table):
    """One event. ``position`` is the commit order and is never given out twice: who
    sets events aside keeps their places, and of a removed session the last one stays.
    """

    position = BigIntegerField(primary_key=True)
    aggregate = ForeignKeyField(Aggregate, column_name="aggregate", index=False)
    seq = BigIntegerField()
    kind = TextField()
    version = BigIntegerField()
    created = BigIntegerField()
    data = BlobField()
    hash = BlobField()
    digest = BlobField(null=True)
    checksum = BigIntegerField()

    class Meta:
        indexes = ((("aggregate", "seq"), True),)


class SetAside(Table):
    """One event that was taken out of a damaged log, as it was found there."""

    number = AutoField()
    aggregate = ForeignKeyField(Aggregate, column_name="aggregate")
    seq = BigIntegerField()
    kind = TextField()
    version = BigIntegerField()
    created = BigIntegerField()
    data = BlobField()
    hash = BlobField()
    digest = BlobField(null=True)
    position = BigIntegerField()


class Blob(Table):
    """A large value, kept once under the SHA-256 of its bytes."""

    digest = BlobField(primary_key=True)
    data = BlobField()


class Hold(Table):
    """An event that needs a large value. One that no event needs any more goes."""

    aggregate = ForeignKeyField(Aggregate, column_name="aggregate", index=False)
    seq = BigIntegerField()
    digest = BlobField()
    kept = BigIntegerField(null=True)
    """Since when it is kept as the complete output of a call; NULL where it is a part
    of the event."""
    imported = BigIntegerField()
    """1 where such an output came with the log from another store."""
    cleaned = BigIntegerField(null=True)
    """When such an output was cleaned up, and is held no more."""
    checksum = BigIntegerField()

    class Meta:
        primary_key = CompositeKey("aggregate", "seq", "digest")
        without_rowid = True
        indexes = ((("digest",), False),)


Hold.add_index(
    Hold.index(
        Hold.kept,
        Hold.aggregate,
        Hold.seq,
        where=Hold.kept.is_null(False) & Hold.cleaned.is_null(),
        name="hold_kept",
    )
)


# --- projections: derived from events, disposable ---------------------------------


class Session(Table):
    """One session as it is now."""

    aggregate = ForeignKeyField(
        Aggregate, column_name="aggregate", primary_key=True, index=False
    )
    directory = TextField(index=True)
    workspace = TextField(null=True)
    title = TextField(null=True)
    agent = TextField(null=True)
    model = TextField(null=True)
    parent = TextField(null=True, index=True)
    forked_from = TextField(null=True)
    forked_seq = BigIntegerField(null=True)
    created = BigIntegerField()
    updated = BigIntegerField()
    status = TextField()
    outcome = TextField(null=True)
    reason_code = TextField(null=True)
    reason_message = TextField(null=True)
    ended_seq = BigIntegerField()
    steps = BigIntegerField()
    input_tokens = BigIntegerField()
    output_tokens = BigIntegerField()
    reasoning_tokens = BigIntegerField()
    cache_read_tokens = BigIntegerField()
    cache_write_tokens = BigIntegerField()
    picodollars = BigIntegerField(null=True)
    unpriced = BigIntegerField()
    todos_seq = BigIntegerField()
    compaction_due = BigIntegerField()
    folded = TextField(null=True)
    """The title with case folded: databases disagree about how."""
    checksum = BigIntegerField()


# In a directory with many children, which are listed by their parent, roots are few.
Session.add_index(
    Session.index(
        Session.directory, where=Session.parent.is_null(), name="session_roots"
    )
)
# Only of forks, so that who is none pays nothing for it.
Session.add_index(
    Session.index(
        Session.forked_from,
        where=Session.forked_from.is_null(False),
        name="session_forks",
    )
)
# Few wait at a time: who asks for none pays nothing for it.
Session.add_index(
    Session.index(
        Session.compaction_due,
        where=Session.compaction_due >= SQL("0"),
        name="session_compactions",
    )
)


class Work(Table):
    """One thing that is left to do: an input that waits, or an execution.

    What is done leaves: this stays small, and who looks for work reads all of it.
    """

    aggregate = ForeignKeyField(Aggregate, column_name="aggregate", index=False)
    what = TextField()
    """``input`` or ``execution``; only an input has the rest."""
    delivery = TextField()
    id = TextField()
    seq = BigIntegerField()
    created = BigIntegerField()
    key = TextField(null=True)
    checksum = BigIntegerField()

    class Meta:
        # What is delivered otherwise is not read: many may be queued, and each steer
        # is looked for at every boundary.
        primary_key = CompositeKey("aggregate", "what", "delivery", "id")
        without_rowid = True


# Only of what is queued, so that who is not in a queue pays nothing for it.
Work.add_index(
    Work.index(
        Work.aggregate,
        Work.seq,
        Work.id,
        where=Work.delivery == SQL("'queue'"),
        name="work_queued",
    )
)


class Input(Table):
    """One input that waits no more, and what became of it."""

    aggregate = ForeignKeyField(Aggregate, column_name="aggregate", index=False)
    id = TextField()
    seq = BigIntegerField()
    delivery = TextField()
    state = TextField()
    settled_seq = BigIntegerField(null=True)
    created = BigIntegerField()
    key = TextField(null=True)
    checksum = BigIntegerField()

    class Meta:
        primary_key = CompositeKey("aggregate", "id")
        without_rowid = True


class Message(Table):
    """Where one message is in the log; laid out in transcript order."""

    aggregate = ForeignKeyField(Aggregate, column_name="aggregate", index=False)
    seq = BigIntegerField()
    id = TextField()
    type = TextField()
    body_seq = BigIntegerField()
    end_seq = BigIntegerField(null=True)
    checksum = BigIntegerField()

    class Meta:
        primary_key = CompositeKey("aggregate", "seq")
        without_rowid = True
        indexes = ((("aggregate", "id"), True),)


class Request(Table):
    """One request to a person."""

    aggregate = ForeignKeyField(Aggregate, column_name="aggregate", index=False)
    id = TextField()
    what = TextField()
    seq = BigIntegerField()
    directory = TextField()
    answered_seq = BigIntegerField(null=True)
    checksum = BigIntegerField()

    class Meta:
        primary_key = CompositeKey("aggregate", "id")
        without_rowid = True


# By its id alone: who answers may not know the session.
Request.add_index(Request.index(Request.id, name="request_id"))
# What waits is looked for by its session and by its directory.
for _column in (Request.aggregate, Request.directory):
    Request.add_index(
        Request.index(
            _column,
            where=Request.answered_seq.is_null(),
            name=f"request_pending_{_column.column_name}",
        )
    )


class Job(Table):
    """One job of a session, running or ended."""

    aggregate = ForeignKeyField(Aggregate, column_name="aggregate", index=False)
    id = TextField()
    seq = BigIntegerField()
    directory = TextField()
    ended_seq = BigIntegerField(null=True)
    checksum = BigIntegerField()

    class Meta:
        primary_key = CompositeKey("aggregate", "id")
        without_rowid = True
        indexes = ((("aggregate", "seq", "id"), False),)


# What runs is looked for by its session and by its directory.
for _column in (Job.aggregate, Job.directory):
    Job.add_index(
        Job.index(
            *dict.fromkeys((_column, Job.aggregate, Job.seq, Job.id)),
            where=Job.ended_seq.is_null(),
            name=f"job_running_{_column.column_name}",
        )
    )


class Epoch(Table):
    """The current Context Epoch of a session."""

    aggregate = ForeignKeyField(
        Aggregate, column_name="aggregate", primary_key=True, index=False
    )
    seq = BigIntegerField()
    updated_seq = BigIntegerField()
    checksum = BigIntegerField()


# --- operational rows: neither derived nor replayed -------------------------------


class Admission(Table):
    """One keyed admission, for ever."""

    aggregate = ForeignKeyField(Aggregate, column_name="aggregate", index=False)
    key = TextField()
    digest = TextField()
    delivery = TextField()
    receipt = BlobField()
    checksum = BigIntegerField()

    class Meta:
        primary_key = CompositeKey("aggregate", "key")
        without_rowid = True


class Approval(Table):
    """One saved approval; ``number`` is the order they were saved in."""

    number = AutoField()
    id = TextField(unique=True)
    directory = TextField(index=True)
    workspace = TextField(null=True)
    agent = TextField(null=True)
    action = TextField()
    kind = TextField()
    pattern = TextField()
    author = TextField()
    created = BigIntegerField()
    expires = BigIntegerField(null=True)
    folder = TextField(null=True)
    session_id = TextField(null=True)
    request_id = TextField(null=True)
    scope = TextField()
    tool = TextField(null=True)
    definition = TextField(null=True)
    rules = TextField(null=True)
    checksum = BigIntegerField()


# Of those that hold for a session only: they go with it.
Approval.add_index(
    Approval.index(
        Approval.session_id,
        where=Approval.scope == SQL("'session'"),
        name="approval_session",
    )
)


class ApprovalChanges(Table):
    """How often the saved approvals of a directory changed, so that who knows them all
    need not read them again."""

    directory = TextField(primary_key=True)
    changes = BigIntegerField()
    checksum = BigIntegerField()

    class Meta:
        without_rowid = True


TABLES: tuple[type[Table], ...] = (
    Aggregate,
    Event,
    SetAside,
    Blob,
    Hold,
    Session,
    Work,
    Input,
    Message,
    Request,
    Job,
    Epoch,
    Admission,
    Approval,
    ApprovalChanges,
)
PROJECTIONS: tuple[type[Table], ...] = (
    Session,
    Work,
    Input,
    Message,
    Request,
    Job,
    Epoch,
)
