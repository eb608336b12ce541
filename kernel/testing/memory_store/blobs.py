"""Large values in memory, and which events hold them; see ``ports.blobs``."""

import hashlib
from collections.abc import Sequence

from attrs import evolve

from ...ports import BlobReader, BlobWriter, OutputRow
from .state import MemoryChanges, MemoryView


class BlobReads(MemoryView, BlobReader):
    """Reading large values."""

    def blob(self, digest: str) -> bytes | None:
        return self.now().blobs.get(digest)

    def output(self, session_id: str, digest: str) -> OutputRow | None:
        """See ``Reader.output``."""
        found = [
            self._sized(row)
            for (held_by, _, key), row in self.now().holds.items()
            if row is not None and (held_by, key) == (session_id, digest)
        ]
        found.sort(key=lambda row: (row.cleaned is not None, row.seq))
        return found[0] if found else None

    def outputs(self, limit: int) -> Sequence[OutputRow]:
        """See ``Reader.outputs``."""
        places = self.now().positions
        found = [self._sized(row) for row in self._there()]
        found.sort(key=lambda row: (row.kept, places[row.session_id], row.seq))
        return found[: max(0, limit)]

    def outputs_size(self) -> int:
        """See ``Reader.outputs_size``."""
        blobs = self.now().blobs
        return sum(len(blobs[one]) for one in {row.digest for row in self._there()})

    def _there(self) -> list[OutputRow]:
        state = self.now()
        return [
            row
            for row in state.holds.values()
            if row is not None and row.cleaned is None and row.digest in state.blobs
        ]

    def _sized(self, row: OutputRow) -> OutputRow:
        return evolve(row, size=len(self.now().blobs.get(row.digest, b"")))


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
        key = (session_id, seq, digest)
        self.put(state.holds, key, state.holds.get(key))

    def keep_output(
        self,
        session_id: str,
        seq: int,
        digest: str,
        kept: int,
        *,
        imported: bool = False,
    ) -> None:
        """See ``Transaction.keep_output``."""
        state = self.now()
        self.check(session_id, digest, kept)
        self.enter(session_id)
        key = (session_id, seq, digest)
        if imported or key not in state.holds:
            row = OutputRow(session_id, seq, digest, kept, imported, None, 0)
            self.put(state.holds, key, row)

    def clean_output(self, session_id: str, seq: int, digest: str, now: int) -> int:
        """See ``Transaction.clean_output``."""
        state = self.now()
        key = (session_id, seq, digest)
        row = state.holds.get(key)
        if row is None or row.cleaned is not None:
            return 0
        self.put(state.holds, key, evolve(row, cleaned=now))
        return _drop_unheld(self, digest)


def let_go(changes: MemoryChanges, session_id: str, seq: int) -> int:
    """Drop what only this event held, and return how many bytes that were."""
    state = changes.now()
    freed = 0
    for key in [key for key in state.holds if key[:2] == (session_id, seq)]:
        changes.drop(state.holds, key)
        freed += _drop_unheld(changes, key[2])
    return freed


def _drop_unheld(changes: MemoryChanges, digest: str) -> int:
    """Drop a value that nobody holds, and return how many bytes that were."""
    state = changes.now()
    for (_, _, key), row in state.holds.items():
        if key == digest and (row is None or row.cleaned is None):
            return 0
    freed = len(state.blobs.get(digest, b""))
    changes.drop(state.blobs, digest)
    return freed
