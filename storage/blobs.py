"""Large values, each kept once under the SHA-256 of its bytes: the table ``blob``."""

import hashlib

from .database import View
from .tables import Blob, render, slot, slots

_BLOB = render(Blob.select(Blob.data).where(Blob.digest == slot("digest")), "digest")
_PUT_BLOB = render(
    Blob.insert(slots(Blob)).on_conflict("IGNORE"),
    "digest",
    "data",
)


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
    try:
        key = bytes.fromhex(digest)
    except ValueError:
        return None  # not a digest, so nothing is kept under it
    if key.hex() != digest:
        return None  # one value has one name: lower case, no spaces
    found = view.one(_BLOB, (key,))
    return None if found is None else bytes(found[0])


def keep(view: View, data: bytes) -> str:
    """Keep a value once, and return its SHA-256 in hexadecimal."""
    digest = hashlib.sha256(data)
    view.write(_PUT_BLOB, (digest.digest(), data))
    return digest.hexdigest()
