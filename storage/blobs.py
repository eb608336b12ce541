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
        try:
            key = bytes.fromhex(digest)
        except ValueError:
            return None  # not a digest, so nothing is kept under it
        if key.hex() != digest:
            return None  # one value has one name: lower case, no spaces
        found = self.one(_BLOB, (key,))
        return None if found is None else bytes(found[0])


class BlobWrites(BlobReads):
    """Writing large values."""

    def put_blob(self, data: bytes) -> str:
        digest = hashlib.sha256(data)
        self.write(_PUT_BLOB, (digest.digest(), data))
        return digest.hexdigest()
