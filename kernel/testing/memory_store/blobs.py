"""Large values in memory, and which events hold them; see ``ports.blobs``."""

import hashlib

from ...ports import BlobReader, BlobWriter
from .state import MemoryChanges, MemoryView


class BlobReads(MemoryView, BlobReader):
    """Reading large values."""

    def blob(self, digest: str) -> bytes | None:
        return self.now().blobs.get(digest)


class BlobWrites(MemoryChanges, BlobReads, BlobWriter):
    """Keeping large values."""

    def put_blob(self, data: bytes) -> str:
        state = self.now()
        digest = hashlib.sha256(data).hexdigest()
        self.put(state.blobs, digest, data)
        return digest

    def hold_blob(self, session_id: str, seq: int, digest: str) -> None:
        state = self.now()
        self.check(session_id, digest)
        self.enter(session_id)
        self.put(state.holds, (session_id, seq, digest), True)


def let_go(changes: MemoryChanges, session_id: str, seq: int) -> int:
    """Drop what only this event held, and return how many bytes that were."""
    state = changes.now()
    freed = 0
    for key in [key for key in state.holds if key[:2] == (session_id, seq)]:
        changes.drop(state.holds, key)
        if not any(digest == key[2] for _, _, digest in state.holds):
            freed += len(state.blobs.get(key[2], b""))
            changes.drop(state.blobs, key[2])
    return freed
