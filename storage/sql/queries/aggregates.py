"""Statements of the rows that sessions have in ``aggregate``."""

from peewee import fn

from ..aggregates import HEAD, LEASE
from ..rendering import Statement, insertion, slot, slots
from ..tables import Aggregate, Event

AGGREGATE_OF = Aggregate.select(Aggregate.id).where(
    Aggregate.session_id == slot("session_id")
)
"""For other modules: the key of a session, as a part of a larger query."""

AGGREGATE = Statement(
    Aggregate.select(*slots(Aggregate, "session_id")).where(
        Aggregate.session_id == slot("session_id")
    ),
    "session_id",
)
LAST_AGGREGATE = Statement(Aggregate.select(fn.MAX(Aggregate.id)))
ADD_AGGREGATE = insertion(Aggregate)
_COLUMNS = slots(Aggregate, "id", "session_id")


def _change(*names: str) -> Statement:
    """Return the statement that changes these columns and the sum over all."""
    values = {
        one: value
        for one, value in _COLUMNS.items()
        if not names or one.name in (*names, "checksum")
    }
    return Statement(
        Aggregate.update(values).where(Aggregate.id == slot("id")),
        *[one.name for one in values],
        "id",
    )


PUT_AGGREGATE = _change()
# What changes with every commit: of a whole row most is NULL, which takes a driver
# longer to bind than a number.
PUT_HEAD = _change(*HEAD)
PUT_LEASE = _change(*LEASE)
NUMBER_AGGREGATE = Statement(
    Aggregate.update({Aggregate.id: slot("new")}).where(Aggregate.id == slot("id")),
    "new",
    "id",
)
# Numbers that events have and no session.
ORPHANS = Statement(
    Event.select(Event.aggregate)
    .distinct()
    .where(Event.aggregate.not_in(Aggregate.select(Aggregate.id)))
)
