"""Statements of large values and who holds them: ``blob``, ``hold``."""

from peewee import JOIN, fn

from ..rendering import Statement, addition, slot, upsert
from ..tables import Aggregate, Blob, Hold
from .aggregates import AGGREGATE_OF

BLOB = Statement(Blob.select(Blob.data).where(Blob.digest == slot("digest")), "digest")
PUT_BLOB = upsert(Blob, "digest")
PUT_HOLD = addition(Hold)
HELD_BLOBS = Statement(
    Hold.select(Hold.digest).where(
        Hold.aggregate == slot("aggregate"), Hold.seq == slot("seq")
    ),
    "aggregate",
    "seq",
)
END_HOLD = Statement(
    Hold.delete().where(Hold.aggregate == slot("aggregate"), Hold.seq == slot("seq")),
    "aggregate",
    "seq",
)
BLOB_HOLDER = Statement(
    Hold.select(Hold.aggregate).where(
        Hold.digest == slot("digest"), Hold.cleaned.is_null()
    ),
    "digest",
)
BLOB_SIZE = Statement(
    Blob.select(fn.LENGTH(Blob.data)).where(Blob.digest == slot("digest")), "digest"
)
DROP_BLOB = Statement(Blob.delete().where(Blob.digest == slot("digest")), "digest")

_OUTPUTS = Hold.select(
    Aggregate.session_id,
    Hold.seq,
    Hold.digest,
    Hold.kept,
    Hold.imported,
    Hold.cleaned,
    Hold.checksum,
    fn.LENGTH(Blob.data),
).join(Aggregate, on=(Hold.aggregate == Aggregate.id))
OUTPUT = Statement(
    _OUTPUTS.join(Blob, JOIN.LEFT_OUTER, on=(Blob.digest == Hold.digest)).where(
        Hold.aggregate == AGGREGATE_OF,
        Hold.digest == slot("digest"),
        Hold.kept.is_null(False),
    ),
    "session_id",
    "digest",
)
_THERE = (Hold.kept.is_null(False), Hold.cleaned.is_null())
HELD_OUTPUT = Statement(
    Hold.select(Hold.kept, Hold.imported).where(
        Hold.aggregate == slot("aggregate"),
        Hold.seq == slot("seq"),
        Hold.digest == slot("digest"),
        *_THERE,
    ),
    "aggregate",
    "seq",
    "digest",
)
OUTPUTS = Statement(
    _OUTPUTS.join(Blob, on=(Blob.digest == Hold.digest))
    .where(*_THERE)
    .order_by(Hold.kept, Hold.aggregate, Hold.seq)
    .limit(slot("limit")),
    "limit",
)
OUTPUTS_SIZE = Statement(
    Blob.select(fn.SUM(fn.LENGTH(Blob.data))).where(
        Blob.digest.in_(Hold.select(Hold.digest).where(*_THERE))
    )
)
CHANGE_HOLD = upsert(Hold, "aggregate", "seq", "digest")
