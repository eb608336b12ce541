"""The hash that chains the events of one session."""

import hashlib

NO_HASH = bytes(32)
"""The predecessor hash of an aggregate's first event."""


def chain_hash(
    previous: bytes,
    session_id: str,
    seq: int,
    kind: str,
    version: int,
    created: int,
    payload: bytes,
) -> bytes:
    """Return the hash of an event, which carries its predecessor's (law events.9).

    ``payload`` is the SHA-256 of the data, not the data: the chain still verifies
    after retention replaced the data by its digest.
    """
    header = f"{session_id}\0{seq}\0{kind}\0{version}\0{created}\0".encode()
    return hashlib.sha256(previous + header + payload).digest()


def payload_digest(data: bytes) -> bytes:
    """Return the digest of an event's data that the chain covers."""
    return hashlib.sha256(data).digest()
