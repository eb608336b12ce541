"""The chain: each event's hash covers its predecessor's (law events.9).

Owns walking the records of one log and saying what is wrong with the next one. Knows
nothing of what an event means, so that events of newer releases are checked too.
"""

from collections.abc import Callable

from ..ports import EventRecord, Reader
from ..values.events import NO_HASH, chain_hash, payload_digest
from .reading import PAGE
from .reduction import is_reduced


class Chain:
    """One log, walked from its beginning or from a record that is trusted."""

    def __init__(self, session_id: str, seq: int = -1, hash: bytes = NO_HASH) -> None:
        self.session_id = session_id
        self.seq = seq
        """The last sound event."""
        self.hash = hash
        self._position = -1

    def problem(self, record: EventRecord) -> str | None:
        """Return what is wrong with the next record; a sound one moves the chain on."""
        if record.seq != self.seq + 1:
            return f"it is missing; the next one is {record.seq}"
        payload = payload_of(record)
        if payload is None:
            return "its data, or what stands for removed data, was changed"
        found = chain_hash(
            self.hash,
            self.session_id,
            record.seq,
            record.kind,
            record.version,
            record.created,
            payload,
        )
        if found != record.hash:
            return "its hash is not that of what is stored"
        if record.problem is not None:
            return record.problem
        if record.position <= self._position:
            return "it stands before its predecessor in the commit order"
        self.seq, self.hash, self._position = record.seq, found, record.position
        return None

    def walk(
        self,
        rows: Reader,
        upto: int | None = None,
        seen: Callable[[EventRecord], object] | None = None,
    ) -> str | None:
        """Walk on; return what is wrong with the first unsound event, or None.

        ``upto`` is the last event that is looked at, ``seen`` is told of each sound
        one.
        """
        while True:
            page = rows.events(self.session_id, after=self.seq, limit=PAGE, upto=upto)
            for record in page:
                problem = self.problem(record)
                if problem is not None:
                    return problem
                if seen is not None:
                    seen(record)
            if len(page) < PAGE:
                return None


def payload_of(record: EventRecord) -> bytes | None:
    """Return the digest of the record's data that its hash covers, or None.

    None: the data is no bytes, which the type promises and a damaged file does not
    keep; or retention removed it, and what stands in its place was changed.
    """
    if not isinstance(record.data, bytes):
        return None  # type: ignore[unreachable] # in a damaged file it happens
    if record.digest is None:
        return payload_digest(record.data)
    return record.digest[:32] if is_reduced(record) else None
