"""Statements of large values and who holds them: ``blob``, ``hold``."""

from peewee import fn

from ..tables import Blob, Hold, render, slot, slots

BLOB = render(Blob.select(Blob.data).where(Blob.digest == slot("digest")), "digest")
PUT_BLOB = render(Blob.insert(slots(Blob)).on_conflict("REPLACE"), "digest", "data")
PUT_HOLD = render(
    Hold.insert(slots(Hold)).on_conflict("IGNORE"),
    "aggregate",
    "seq",
    "digest",
    "checksum",
)
HELD_BLOBS = render(
    Hold.select(Hold.digest).where(
        Hold.aggregate == slot("aggregate"), Hold.seq == slot("seq")
    ),
    "aggregate",
    "seq",
)
END_HOLD = render(
    Hold.delete().where(Hold.aggregate == slot("aggregate"), Hold.seq == slot("seq")),
    "aggregate",
    "seq",
)
BLOB_HOLDER = render(
    Hold.select(Hold.aggregate).where(Hold.digest == slot("digest")), "digest"
)
BLOB_SIZE = render(
    Blob.select(fn.LENGTH(Blob.data)).where(Blob.digest == slot("digest")), "digest"
)
DROP_BLOB = render(Blob.delete().where(Blob.digest == slot("digest")), "digest")
