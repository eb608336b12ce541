"""Statements of all projections at once."""

from peewee import SQL, fn

from ..rendering import Statement, slot
from ..tables import PROJECTIONS, Input, Message, Work
from ..work import INPUT
from .aggregates import AGGREGATE_OF

CLEAR_PROJECTIONS = tuple(
    Statement(table.delete().where(SQL("aggregate") == slot("aggregate")), "aggregate")
    for table in PROJECTIONS
)
# How many there are, and how many have something in this column: of messages one that
# is in no index, so that those are counted that a transcript is read from.
ROW_COUNTS = tuple(
    Statement(
        table.select(fn.COUNT(SQL("*")), fn.COUNT(column)).where(
            table.aggregate == AGGREGATE_OF, *narrowed
        ),
        "session_id",
    )
    for table, column, narrowed in (
        (Message, Message.checksum, ()),
        (Work, Work.key, (Work.what == SQL(f"'{INPUT}'"),)),
        (Input, Input.key, ()),
    )
)
