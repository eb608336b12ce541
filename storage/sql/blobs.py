"""Large values, each kept once under the SHA-256 of its bytes: the table ``blob``.

Owns also which events hold which value, in the table ``hold``, and the end of a value
that was held and is not any more. A value that is not what its name says is none.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

from dovetail.kernel.ports import OutputRow

from .aggregates import AggregateWrites
from .checks import checksum
from .view import View, bounded


class BlobReads(View):
    """Reading large values."""

    def blob(self, digest: str) -> bytes | None:
        return kept(self, digest)

    def output(self, session_id: str, digest: str) -> OutputRow | None:
        """See ``Reader.output``."""
        key = _key(digest)
        rows = () if key is None else self.all(self.sql.OUTPUT, (session_id, key))
        found = _sound_outputs(rows)
        found.sort(key=lambda row: (row.cleaned is not None, row.seq))
        return found[0] if found else None

    def outputs(self, limit: int) -> Sequence[OutputRow]:
        """See ``Reader.outputs``."""
        return _sound_outputs(self.all(self.sql.OUTPUTS, (max(0, bounded(limit)),)))

    def outputs_size(self) -> int:
        """See ``Reader.outputs_size``."""
        found = self.one(self.sql.OUTPUTS_SIZE, ())
        return int(found[0] or 0) if found else 0


class BlobWrites(AggregateWrites, BlobReads):
    """Writing large values."""

    def put_blob(self, data: bytes) -> str:
        return keep(self, data)

    def hold_blob(self, session_id: str, seq: int, digest: str) -> None:
        """See ``Transaction.hold_blob``."""
        hold(self, session_id, self.aggregate(session_id), seq, digest)

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
        key = _key(digest)
        if key is None:
            return
        statement = self.sql.CHANGE_HOLD if imported else self.sql.PUT_HOLD
        values = _hold_row(session_id, seq, key, kept, int(imported))
        self.write(statement, (self.aggregate(session_id), *values))

    def clean_output(self, session_id: str, seq: int, digest: str, now: int) -> int:
        """See ``Transaction.clean_output``."""
        key, aggregate = _key(digest), self.known(session_id)
        found = self.one(self.sql.HELD_OUTPUT, (aggregate, seq, key))
        if key is None or found is None:
            return 0
        kept, imported = found
        values = _hold_row(session_id, seq, key, kept, imported, now)
        self.write(self.sql.CHANGE_HOLD, (aggregate, *values))
        return _drop_unheld(self, key)


def _hold_row(
    session_id: str,
    seq: int,
    key: bytes,
    kept: int | None = None,
    imported: int = 0,
    cleaned: int | None = None,
) -> tuple[Any, ...]:
    values = (seq, key, kept, imported, cleaned)
    return (*values, checksum((session_id, *values)))


def _sound_outputs(rows: Sequence[Any]) -> list[OutputRow]:
    """Return outputs, without those of rows that were changed: they are none."""
    return [
        OutputRow(session_id, seq, key.hex(), kept, bool(imported), cleaned, size or 0)
        for session_id, seq, key, kept, imported, cleaned, sum, size in rows
        if checksum((session_id, seq, key, kept, imported, cleaned)) == sum
    ]


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
        view.write(view.sql.PUT_HOLD, (aggregate, *_hold_row(session_id, seq, key)))


def let_go(view: View, aggregate: int | None, seq: int) -> int:
    """Drop what only this event held, and return how many bytes that were."""
    held = view.all(view.sql.HELD_BLOBS, (aggregate, seq))
    if not held:
        return 0
    view.write(view.sql.END_HOLD, (aggregate, seq))
    return sum(_drop_unheld(view, digest) for (digest,) in held)


def _drop_unheld(view: View, key: bytes) -> int:
    """Drop a value that nobody holds, and return how many bytes that were."""
    size = view.one(view.sql.BLOB_SIZE, (key,))
    if size is None or view.one(view.sql.BLOB_HOLDER, (key,)) is not None:
        return 0
    view.write(view.sql.DROP_BLOB, (key,))
    return int(size[0])


def _key(digest: str) -> bytes | None:
    try:
        key = bytes.fromhex(digest)
    except ValueError:
        return None  # not a digest, so nothing is kept under it
    # One value has one name: lower case, no spaces.
    return key if key.hex() == digest else None
