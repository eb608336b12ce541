"""The tables, as peewee models: the only place that says what the schema is.

Owns columns, keys and indexes, and the rendering of statements from them. Knows
nothing of connections or transactions. The frozen steps in ``migrations`` lead to this
schema; a test compares the two.

Statements are rendered once, before anybody runs them: see ``queries``. Building one
costs about 110 us, running it 5 to 20.

A session is one row of ``aggregate``, whose small integer id is its key in every other
table and, because rows are never deleted, also its place in the creation order.

Every row that nothing else vouches for ends with a checksum, see ``checks``.
"""

from typing import Any, cast

from peewee import (
    SQL,
    AutoField,
    BlobField,
    CompositeKey,
    Field,
    ForeignKeyField,
    IntegerField,
    Model,
    Query,
    SqliteDatabase,
    TextField,
    Value,
)

dialect = SqliteDatabase(None)
"""How SQL is written. Never connected: the stores open their own connections."""


class Table(Model):
    """What all tables share."""

    class Meta:
        database = dialect
        legacy_table_names = False


# --- facts ------------------------------------------------------------------------


class Aggregate(Table):
    """One session's log: where it ends, who may replay into it, and who executes it.

    Every commit of a session writes this row, so what changes with the log is here and
    not on pages of its own.
    """

    id = AutoField()
    session_id = TextField(unique=True)
    seq = IntegerField()
    """The last event's, or -1."""
    hash = BlobField()
    owner = TextField(null=True)
    worker = TextField(null=True)
    """Whose the lease is; None once it was given back."""
    fence = IntegerField(null=True)
    """The last fencing number; None when there was no lease yet."""
    renewals = IntegerField(null=True)
    lasts = IntegerField(null=True)
    renewed = IntegerField(null=True)
    process = TextField(null=True)
    imported = TextField(null=True)
    """Which events came from another store, as JSON: the first and last of each run."""
    damaged = IntegerField(null=True)
    """The first event that was found not to be what was written."""
    checksum = IntegerField()


class Event(Table):
    """One event. ``position`` is the commit order and is never given out twice.

    Not AUTOINCREMENT, whose counter is one more page in every commit: SQLite gives out
    the largest position and one, and ``set_aside``, which alone removes events, gives
    their places away for good.
    """

    position = IntegerField(primary_key=True)
    aggregate = ForeignKeyField(Aggregate, column_name="aggregate", index=False)
    seq = IntegerField()
    kind = TextField()
    version = IntegerField()
    created = IntegerField()
    data = BlobField()
    hash = BlobField()
    digest = BlobField(null=True)
    checksum = IntegerField()

    class Meta:
        indexes = ((("aggregate", "seq"), True),)


class SetAside(Table):
    """One event that was taken out of a damaged log, as it was found there."""

    number = AutoField()
    aggregate = ForeignKeyField(Aggregate, column_name="aggregate")
    seq = IntegerField()
    kind = TextField()
    version = IntegerField()
    created = IntegerField()
    data = BlobField()
    hash = BlobField()
    digest = BlobField(null=True)
    position = IntegerField()


class Blob(Table):
    """A large value, kept once under the SHA-256 of its bytes."""

    digest = BlobField(primary_key=True)
    data = BlobField()


class Hold(Table):
    """An event that needs a large value. One that no event needs any more goes."""

    aggregate = ForeignKeyField(Aggregate, column_name="aggregate", index=False)
    seq = IntegerField()
    digest = BlobField()
    checksum = IntegerField()

    class Meta:
        primary_key = CompositeKey("aggregate", "seq", "digest")
        without_rowid = True
        indexes = ((("digest",), False),)


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
    forked_seq = IntegerField(null=True)
    created = IntegerField()
    updated = IntegerField()
    status = TextField()
    outcome = TextField(null=True)
    reason_code = TextField(null=True)
    reason_message = TextField(null=True)
    ended_seq = IntegerField()
    steps = IntegerField()
    input_tokens = IntegerField()
    output_tokens = IntegerField()
    reasoning_tokens = IntegerField()
    cache_read_tokens = IntegerField()
    cache_write_tokens = IntegerField()
    folded = TextField(null=True)
    """The title with case folded, because SQLite itself folds ASCII only."""
    checksum = IntegerField()


class Work(Table):
    """One thing that is left to do: an input that waits, or an execution.

    What is done leaves: this stays small, and who looks for work reads all of it.
    """

    aggregate = ForeignKeyField(Aggregate, column_name="aggregate", index=False)
    what = TextField()
    """``input`` or ``execution``; only an input has the rest."""
    delivery = TextField()
    id = TextField()
    seq = IntegerField()
    created = IntegerField()
    key = TextField(null=True)
    checksum = IntegerField()

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
    seq = IntegerField()
    delivery = TextField()
    state = TextField()
    settled_seq = IntegerField(null=True)
    created = IntegerField()
    key = TextField(null=True)
    checksum = IntegerField()

    class Meta:
        primary_key = CompositeKey("aggregate", "id")
        without_rowid = True


class Message(Table):
    """Where one message is in the log; laid out in transcript order."""

    aggregate = ForeignKeyField(Aggregate, column_name="aggregate", index=False)
    seq = IntegerField()
    id = TextField()
    type = TextField()
    body_seq = IntegerField()
    end_seq = IntegerField(null=True)
    checksum = IntegerField()

    class Meta:
        primary_key = CompositeKey("aggregate", "seq")
        without_rowid = True
        indexes = ((("aggregate", "id"), True),)


class Request(Table):
    """One request to a person."""

    aggregate = ForeignKeyField(Aggregate, column_name="aggregate", index=False)
    id = TextField()
    what = TextField()
    seq = IntegerField()
    directory = TextField()
    answered_seq = IntegerField(null=True)
    checksum = IntegerField()

    class Meta:
        primary_key = CompositeKey("aggregate", "id")
        without_rowid = True


# What waits is looked for by its session, by its directory, and by its id alone.
for _column in (Request.aggregate, Request.directory, Request.id):
    Request.add_index(
        Request.index(
            _column,
            where=Request.answered_seq.is_null(),
            name=f"request_pending_{_column.column_name}",
        )
    )


class Epoch(Table):
    """The current Context Epoch of a session."""

    aggregate = ForeignKeyField(
        Aggregate, column_name="aggregate", primary_key=True, index=False
    )
    seq = IntegerField()
    updated_seq = IntegerField()
    checksum = IntegerField()


# --- operational rows: neither derived nor replayed -------------------------------


class Admission(Table):
    """One keyed admission, for ever."""

    aggregate = ForeignKeyField(Aggregate, column_name="aggregate", index=False)
    key = TextField()
    digest = TextField()
    delivery = TextField()
    receipt = BlobField()
    checksum = IntegerField()

    class Meta:
        primary_key = CompositeKey("aggregate", "key")
        without_rowid = True


class Approval(Table):
    """One saved approval; ``number`` is the order they were saved in."""

    number = AutoField()
    id = TextField(unique=True)
    directory = TextField(index=True)
    workspace = TextField(null=True)
    agent = TextField()
    action = TextField()
    kind = TextField()
    pattern = TextField()
    author = TextField()
    created = IntegerField()
    expires = IntegerField(null=True)
    folder = TextField(null=True)
    checksum = IntegerField()


class ApprovalChanges(Table):
    """How often the saved approvals of a directory changed, so that who knows them all
    need not read them again."""

    directory = TextField(primary_key=True)
    changes = IntegerField()
    checksum = IntegerField()

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
    Epoch,
)


def schema() -> list[str]:
    """Return the statements that make the whole schema in an empty database."""
    made: list[str] = []
    for table in TABLES:
        manager = cast("Any", table)._schema  # the stubs leave it out
        made.append(_text(manager._create_table(safe=False)))
        made += [_text(index) for index in manager._create_indexes(safe=False)]
    return made


def _text(context: Any) -> str:
    sql, parameters = context.query()
    assert not parameters, sql
    return str(sql)


# --- rendering --------------------------------------------------------------------


def slot(name: str) -> Any:
    """Return a place in a statement that a value is bound to when it runs."""
    return Value(name, converter=False)


def slots(table: type[Table], *omitted: str) -> dict[Field, Any]:
    """Return a slot for every column, in the order of their declaration."""
    fields: list[Field] = table._meta.sorted_fields
    return {one: slot(one.name) for one in fields if one.name not in omitted}


def render(query: Query, *names: str) -> str:
    """Return a query's SQL, having checked that its slots are these, in this order."""
    sql, parameters = query.sql()
    assert list(parameters) == list(names), (sql, parameters, names)
    return str(sql)


def insertion(table: type[Table], *omitted: str) -> str:
    """Return the statement that inserts a row."""
    values = slots(table, *omitted)
    return render(table.insert(values), *[one.name for one in values])


def addition(table: type[Table]) -> str:
    """Return the statement that inserts a row where its key does not exist."""
    values = slots(table)
    query = table.insert(values).on_conflict_ignore()
    return render(query, *[one.name for one in values])


def replacement(table: type[Table]) -> str:
    """Return the statement that inserts a row in place of all it conflicts with."""
    values = slots(table)
    return render(
        table.insert(values).on_conflict("REPLACE"), *[one.name for one in values]
    )


def upsert(table: type[Table], *key: str, omit: str = "") -> str:
    """Return the statement that inserts a row or, where its key exists, replaces it."""
    # By name: `==` on a peewee field makes an expression, so `in` would find anything.
    values = slots(table, omit)
    query = table.insert(values).on_conflict(
        conflict_target=[one for one in values if one.name in key],
        preserve=[one for one in values if one.name not in key],
    )
    return render(query, *[one.name for one in values])
