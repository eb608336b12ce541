"""Large values, each kept once under the SHA-256 of its bytes: the table ``blob``.

Owns also which events hold which value, in the table ``hold``, and the end of a value
that was held and is not any more. A value that is not what its name says is none.
"""

import hashlib

from .checks import checksum
from .places import PlaceWrites
from .view import View


class BlobReads(View):
    """Reading large values."""

    def blob(self, digest: str) -> bytes | None:
        return kept(self, digest)


class BlobWrites(PlaceWrites, BlobReads):
    """Writing large values."""

    def put_blob(self, data: bytes) -> str:
        return keep(self, data)

    def hold_blob(self, session_id: str, seq: int, digest: str) -> None:
        """See ``Transaction.hold_blob``."""
        hold(self, session_id, self.aggregate(session_id), seq, digest)


def kept(view: View, digest: str) -> bytes | None:
    """Return a value by its SHA-256 in hexadecimal, or None."""
    key = _key(digest)
    found = None if key is None else view.one(view.sql.BLOB, (key,))
    if found is None or not isinstance(found[0], bytes):
        return None
    data: bytes = found[0]
    return data if hashlib.sha256(data).digest() == key else None


def keep(view: View, data: bytes) -> str:
    """Keep a value once, and return its SHA-256 in hexadecimal."""
    digest = hashlib.sha256(data)
    found = view.one(view.sql.BLOB, (digest.digest(),))
    # What is there may have been changed since it was kept.
    if found is None or found[0] != data:
        view.write(view.sql.PUT_BLOB, (digest.digest(), data))
    return digest.hexdigest()


def hold(
    view: View, session_id: str, aggregate: int | None, seq: int, digest: str
) -> None:
    """Remember that an event needs a value. What is no digest names none."""
    key = _key(digest)
    if key is not None:
        values = (aggregate, seq, key, checksum((session_id, seq, key)))
        view.write(view.sql.PUT_HOLD, values)


def let_go(view: View, aggregate: int | None, seq: int) -> int:
    """Drop what only this event held, and return how many bytes that were."""
    held = view.all(view.sql.HELD_BLOBS, (aggregate, seq))
    if not held:
        return 0
    view.write(view.sql.END_HOLD, (aggregate, seq))
    freed = 0
    for (digest,) in held:
        size = view.one(view.sql.BLOB_SIZE, (digest,))
        if size is not None and view.one(view.sql.BLOB_HOLDER, (digest,)) is None:
            freed += size[0]
            view.write(view.sql.DROP_BLOB, (digest,))
    return freed


def _key(digest: str) -> bytes | None:
    try:
        key = bytes.fromhex(digest)
    except ValueError:
        return None  # not a digest, so nothing is kept under it
    # One value has one name: lower case, no spaces.
    return key if key.hex() == digest else None
