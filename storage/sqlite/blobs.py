"""Large values, each kept once under the SHA-256 of its bytes: the table ``blob``.

Owns also which events hold which value, in the table ``hold``, and the end of a value
that was held and is not any more. A value that is not what its name says is none.
"""

import hashlib

from peewee import fn

from .checks import checksum
from .database import View
from .tables import Blob, Hold, render, slot, slots

_BLOB = render(Blob.select(Blob.data).where(Blob.digest == slot("digest")), "digest")
_PUT_BLOB = render(Blob.insert(slots(Blob)).on_conflict("REPLACE"), "digest", "data")
_HOLD = render(
    Hold.insert(slots(Hold)).on_conflict("IGNORE"),
    "aggregate",
    "seq",
    "digest",
    "checksum",
)
_HELD = render(
    Hold.select(Hold.digest).where(
        Hold.aggregate == slot("aggregate"), Hold.seq == slot("seq")
    ),
    "aggregate",
    "seq",
)
_LET_GO = render(
    Hold.delete().where(Hold.aggregate == slot("aggregate"), Hold.seq == slot("seq")),
    "aggregate",
    "seq",
)
_HOLDER = render(
    Hold.select(Hold.aggregate).where(Hold.digest == slot("digest")), "digest"
)
_SIZE = render(
    Blob.select(fn.LENGTH(Blob.data)).where(Blob.digest == slot("digest")), "digest"
)
_DROP = render(Blob.delete().where(Blob.digest == slot("digest")), "digest")


class BlobReads(View):
    """Reading large values."""

    def blob(self, digest: str) -> bytes | None:
        return kept(self, digest)


class BlobWrites(BlobReads):
    """Writing large values."""

    def put_blob(self, data: bytes) -> str:
        return keep(self, data)


def kept(view: View, digest: str) -> bytes | None:
    """Return a value by its SHA-256 in hexadecimal, or None."""
    key = _key(digest)
    found = None if key is None else view.one(_BLOB, (key,))
    if found is None or not isinstance(found[0], bytes):
        return None
    data: bytes = found[0]
    return data if hashlib.sha256(data).digest() == key else None


def keep(view: View, data: bytes) -> str:
    """Keep a value once, and return its SHA-256 in hexadecimal."""
    digest = hashlib.sha256(data)
    found = view.one(_BLOB, (digest.digest(),))
    # What is there may have been changed since it was kept.
    if found is None or found[0] != data:
        view.write(_PUT_BLOB, (digest.digest(), data))
    return digest.hexdigest()


def hold(
    view: View, session_id: str, aggregate: int | None, seq: int, digest: str
) -> None:
    """Remember that an event needs a value. What is no digest names none."""
    key = _key(digest)
    if key is not None:
        values = (aggregate, seq, key, checksum((session_id, seq, key)))
        view.write(_HOLD, values)


def let_go(view: View, aggregate: int | None, seq: int) -> int:
    """Drop what only this event held, and return how many bytes that were."""
    held = view.all(_HELD, (aggregate, seq))
    if not held:
        return 0
    view.write(_LET_GO, (aggregate, seq))
    freed = 0
    for (digest,) in held:
        size = view.one(_SIZE, (digest,))
        if size is not None and view.one(_HOLDER, (digest,)) is None:
            freed += size[0]
            view.write(_DROP, (digest,))
    return freed


def _key(digest: str) -> bytes | None:
    try:
        key = bytes.fromhex(digest)
    except ValueError:
        return None  # not a digest, so nothing is kept under it
    # One value has one name: lower case, no spaces.
    return key if key.hex() == digest else None
