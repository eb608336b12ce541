"""Statements of requests to a person: ``request``."""

from itertools import combinations

from peewee import JOIN

from ..rendering import Statement, slot, upsert
from ..tables import Aggregate, Event, Request
from .aggregates import AGGREGATE_OF

_REQUESTS = Request.select(
    Aggregate.session_id,
    Request.id,
    Request.what,
    Request.seq,
    Request.directory,
    Request.answered_seq,
    Request.checksum,
).join(Aggregate, on=(Request.aggregate == Aggregate.id))
REQUEST = Statement(
    _REQUESTS.where(Request.aggregate == AGGREGATE_OF, Request.id == slot("id")),
    "session_id",
    "id",
)
REQUESTS = Statement(_REQUESTS.where(Request.id == slot("id")), "id")
# By the place of the request in the commit order, which a rebuild does not change.
_WAITING = (
    _REQUESTS.join(
        Event,
        JOIN.LEFT_OUTER,
        on=(Event.aggregate == Request.aggregate) & (Event.seq == Request.seq),
    )
    .where(Request.answered_seq.is_null())
    .order_by(Event.position, Request.aggregate, Request.seq, Request.id)
)
_NARROWED = {
    "directory": Request.directory == slot("directory"),
    "session_id": Request.aggregate == AGGREGATE_OF,
    "id": Request.id == slot("id"),
}
PENDING_REQUESTS = {
    names: Statement(_WAITING.where(*(_NARROWED[name] for name in names)), *names)
    if names
    else Statement(_WAITING)
    for count in range(len(_NARROWED) + 1)
    for names in combinations(_NARROWED, count)
}
PUT_REQUEST = upsert(Request, "aggregate", "id")
