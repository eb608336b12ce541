"""Retention: content that may be removed, and what stands in its place afterwards.

Owns what is left of each kind of event. Removing keeps promises (law storage.4):

- A sequence number, a kind, a time and a hash are never touched, nor is an admission.
- What remains of an event is a smaller event of the same kind, with ``[removed]`` for
  its content. Projections, transcripts, tails and replays read it like any other.
- The record keeps the digest of the removed data, which the hash chain covers, and the
  digest of what stands in its place. So the chain still verifies, and a change of the
  remainder is found as well.

Each kind says by its retention class what may happen to it (``values.events``).
``trace`` is for the operator and may go from any idle session, ``transcript`` goes
only when somebody asks for just that, ``forever`` never goes. Never removed are input
that the model has not seen, the Baseline in force, and a Step that is not settled.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from attrs import evolve, frozen

from ..ports import EventRecord, Reader
from ..values.codec import dumps, loads
from ..values.errors import (
    EventLogError,
    InvalidValueError,
    SessionBusyError,
    UndecodableError,
)
from ..values.events import (
    Retention,
    SessionPruned,
    decode_event,
    kinds,
    payload_digest,
)
from ..values.ids import SessionId
from .log import PAGE, LogTransaction

REMOVED = "[removed]"
"""Stands for removed content; not empty, because no provider takes an empty text."""

Fields = dict[str, Any]


def _kept(*names: str, **instead: Any) -> Callable[[Fields], Fields]:
    def reduce(fields: Fields) -> Fields:
        return {name: fields[name] for name in names if name in fields} | instead

    return reduce


def _kept_with_code(*names: str) -> Callable[[Fields], Fields]:
    keep = _kept(*names)

    def reduce(fields: Fields) -> Fields:
        code = fields["failure"]["code"]
        return keep(fields) | {"failure": {"code": code, "message": REMOVED}}

    return reduce


_REDUCE: dict[tuple[str, int], Callable[[Fields], Fields]] = {
    ("prompt.admitted", 1): _kept(
        "input_id", "delivery", "key", "budget", prompt={"text": REMOVED, "files": []}
    ),
    ("context.epoch_started", 1): _kept("sources", "cause", baseline=REMOVED),
    ("context.updated", 1): _kept("message_id", "sources", text=REMOVED),
    ("notice.added", 1): _kept("message_id", text=REMOVED),
    ("retry.scheduled", 1): _kept_with_code("message_id", "attempt", "delay_ms"),
    ("text.ended", 1): _kept("message_id", text=REMOVED),
    # Without metadata: what a provider signed is the text that is gone.
    ("reasoning.ended", 1): _kept("message_id", text=REMOVED),
    ("tool.called", 1): _kept(
        "message_id", "call_id", "tool", "effect", arguments="{}"
    ),
    ("tool.succeeded", 1): _kept(
        "message_id", "call_id", content=[{"type": "text", "text": REMOVED}]
    ),
    ("tool.failed", 1): _kept_with_code("message_id", "call_id"),
}
"""By kind and stored version: from an event's fields to those that stay. Applying it
twice is applying it once, which is how a remainder is recognised."""


def reduced(record: EventRecord) -> EventRecord | None:
    """Return a record without its content, or None when nothing of it may go."""
    reduce = _REDUCE.get((record.kind, record.version))
    if reduce is None or record.digest is not None:
        return None
    try:
        decode_event(
            record.kind,
            record.version,
            record.data,
            record.session_id,
            record.seq,
            record.created,
        )
    except EventLogError:
        return None  # damaged: whoever repairs it needs all of it
    rest = dumps(reduce(loads(record.data)))
    if rest == record.data:
        return None
    return evolve(record, data=rest, digest=seal(payload_digest(record.data), rest))


def seal(removed: bytes, rest: bytes) -> bytes:
    """Return a record's ``digest``: that of the removed data, then of what is left."""
    return removed + hashlib.sha256(rest).digest()


def is_reduced(record: EventRecord) -> bool:
    """Whether a record with a digest holds just what retention left of it."""
    assert record.digest is not None
    try:
        if record.digest != seal(record.digest[:32], record.data):
            return False
        reduce = _REDUCE.get((record.kind, record.version))
        # Of a kind that only a newer release reduces, the seal must do.
        return reduce is None or dumps(reduce(loads(record.data))) == record.data
    except (UndecodableError, KeyError, TypeError):
        return False


# --- pruning ----------------------------------------------------------------------


@frozen
class Pruned:
    """What one pruning removed."""

    session_id: SessionId
    events: int
    """How many events lost their content."""
    bytes: int
    """How much less is stored now, complete outputs of calls included."""


def prune(
    tx: LogTransaction,
    session_id: SessionId,
    classes: Sequence[Retention] = ("trace",),
    before: int | None = None,
) -> Pruned:
    """Remove the content of a session's events of these classes.

    ``before`` is a sequence number; events from there on stay whole. That it happened
    is an event of the session, when anything was removed.

    Raises:
        InvalidValueError: a class is none of ``trace`` and ``transcript``.
        SessionBusyError: the session is running.
        EventOwnerError: the log is a replica.
        SessionNotFoundError: there is no such session.
    """
    for wanted in classes:
        if wanted not in ("trace", "transcript"):
            raise InvalidValueError(
                "retention class", wanted, "only trace and transcript can be removed"
            )
    if tx.session(session_id).status == "running":
        raise SessionBusyError(session_id)
    tx.check_idle(session_id)
    after, events, size = -1, 0, 0
    last, whole = _untouchable(tx.rows, session_id)
    last = last if before is None else min(last, before - 1)
    declared = kinds()
    while True:
        page = tx.rows.events(session_id, after=after, limit=PAGE, upto=last)
        small = []
        for record in page:
            kind = declared.get(record.kind)
            if kind is None or kind.retention not in classes or record.seq in whole:
                continue
            rest = reduced(record)
            if rest is not None:
                small.append(rest)
        size += tx.rows.remove_data(small)
        events += len(small)
        if len(page) < PAGE:
            break
        after = page[-1].seq
    if events:
        tx.append(
            SessionPruned(
                session_id=session_id,
                classes=tuple(classes),
                events=events,
                bytes=size,
            )
        )
    return Pruned(session_id, events, size)


def _untouchable(rows: Reader, session_id: str) -> tuple[int, set[int]]:
    """Return the last event that may be reduced, and the ones before it that not."""
    head = rows.head(session_id)
    opened = rows.open_messages(session_id)
    assert head is not None
    last = opened[0].body_seq - 1 if opened else head.seq
    whole = {row.seq for row in rows.pending_inputs(session_id)}
    epoch = rows.epoch(session_id)
    if epoch is not None:
        whole.add(epoch.seq)
    return last, whole
