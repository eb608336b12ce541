"""Statements of large values and who holds them: ``blob``, ``hold``."""

from peewee import fn

from ..rendering import Statement, addition, slot, upsert
from ..tables import Blob, Hold

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
    Hold.select(Hold.aggregate).where(Hold.digest == slot("digest")), "digest"
)
BLOB_SIZE = Statement(
    Blob.select(fn.LENGTH(Blob.data)).where(Blob.digest == slot("digest")), "digest"
)
DROP_BLOB = Statement(Blob.delete().where(Blob.digest == slot("digest")), "digest")
