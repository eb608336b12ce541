"""Retention: content that may be removed, and what stands in its place afterwards.

Owns which events of a session are reduced (``log.reduction``). Removing keeps
promises (law storage.4):

- A sequence number, a kind, a time and a hash are never touched, nor is an admission.
- What remains of an event is a smaller event of the same kind, with ``[removed]`` for
  its content. Projections, transcripts, tails and replays read it like any other.
- The record keeps the digest of the removed data, which the hash chain covers, and the
  digest of what stands in its place. So the chain still verifies, and a change of the
  remainder is found as well.

Each kind says by its retention class what may happen to it (``values.events``).
``trace`` is for the operator and may go from any idle session, ``transcript``, the
title included, goes only when somebody asks for just that, ``forever`` never goes.
Never removed are input that the model has not seen, a request that waits, the Baseline
in force, and a Step that is not settled.
"""

from collections.abc import Sequence

from ..log.commit import LogTransaction
from ..log.lineage import shared_by
from ..log.reading import PAGE
from ..log.reduction import reduced
from ..ports import Reader
from ..values.errors import (
    InvalidValueError,
    SessionBusyError,
    SessionSharedError,
)
from ..values.events import (
    Retention,
    SessionCreated,
    SessionPruned,
    SessionTitled,
    kinds,
)
from ..values.frozen import frozen
from ..values.ids import SessionId

_TITLING = (SessionCreated.kind, SessionTitled.kind)


@frozen
class Pruned:
    """What one pruning removed."""

    session_id: SessionId
    """Which session it is."""
    events: int
    """How many events lost their content."""
    bytes: int
    """How much less is stored now, complete outputs of calls included."""
    disk_before: int = 0
    """Bytes that the store's files took before; 0 for a store without files."""
    disk_after: int = 0
    """And afterwards: what was given back to the system. Less goes than was removed
    while others read, or where little was removed from each of many places."""


def prune(
    tx: LogTransaction,
    session_id: SessionId,
    classes: Sequence[Retention] = ("trace",),
    before: int | None = None,
    *,
    with_forks: bool = False,
) -> Pruned:
    """Remove the content of a session's events of these classes.

    ``before`` is a sequence number; events from there on stay whole. That it happened
    is an event of the session, when anything was removed. What was said goes from its
    forks too where they share it, and so only ``with_forks``.

    Raises:
        InvalidValueError: a class is none of ``trace`` and ``transcript``.
        SessionBusyError: the session is running.
        SessionSharedError: forks share what was said.
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
    after, events, size, titled = -1, 0, 0, False
    last, whole = _untouchable(tx.rows, session_id)
    last = last if before is None else min(last, before - 1)
    shared, forks = shared_by(tx.rows, session_id)
    if forks and "transcript" in classes and not with_forks:
        raise SessionSharedError(session_id, forks, shared)
    declared = kinds()
    while True:
        page = tx.rows.events(session_id, after=after, limit=PAGE, upto=last)
        small = []
        for record in page:
            kind = declared.get(record.kind)
            if kind is None or kind.retention not in classes or record.seq in whole:
                continue
            rest = reduced(record)
            if record.kind in _TITLING:
                # The last of them says what the title is.
                titled = rest is not None
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
                title=titled and not _titled_after(tx.rows, session_id, last),
            )
        )
    return Pruned(session_id, events, size)


def _titled_after(rows: Reader, session_id: str, seq: int) -> bool:
    """Return whether a title was given that stays."""
    while page := rows.events(session_id, after=seq, limit=PAGE):
        if any(record.kind in _TITLING for record in page):
            return True
        seq = page[-1].seq
    return False


def _untouchable(rows: Reader, session_id: str) -> tuple[int, set[int]]:
    """Return the last event that may be reduced, and the ones before it that not."""
    head = rows.head(session_id)
    opened = rows.open_messages(session_id)
    assert head is not None
    last = opened[0].body_seq - 1 if opened else head.seq
    whole = {row.seq for row in rows.pending_inputs(session_id)}
    whole |= {row.seq for row in rows.pending_requests(session_id=session_id)}
    whole |= {row.seq for row in rows.running_jobs(session_id=session_id)}
    epoch = rows.epoch(session_id)
    if epoch is not None:
        whole.add(epoch.seq)
    return last, whole
