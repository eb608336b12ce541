"""Removal: a session that goes for good, and what goes with it.

Owns which sessions are removed together, what has to be so before, and how their
content is deleted. A removal is three things:

1. ``session.removed``, the last event of each log, in one transaction for all of them.
   From then on none of them is found any more, whatever becomes of this process.
2. Their content is deleted, a bounded part in each transaction, so that others write in
   between. Whoever opens the store goes on with what is left of that.
3. What stays is that last event, and where the log ends: who reads in commit order
   learns of it, and the id is never given to another session (law storage.12).

Sessions that work for one that is removed go with it, and so do forks that share its
past, if that is wanted: what they share is removed only together with them.
"""

from attrs import field

from ..log.commit import EventLog, LogTransaction
from ..log.family import below
from ..log.lineage import shared_by
from ..log.reading import existing_head
from ..ports import Reader
from ..values.errors import SessionBusyError, SessionSharedError
from ..values.events import SessionRemoved
from ..values.frozen import frozen
from ..values.ids import SessionId

ROWS = 256
"""Rows of a kind that are deleted in one transaction."""


@frozen
class Removed:
    """What one removal did."""

    session_id: SessionId
    """The session that was asked for."""
    sessions: tuple[SessionId, ...] = ()
    """All that were removed, it first; none where that had been done before."""
    disk_before: int = field(default=0, kw_only=True)
    """Bytes that the store's files took before; 0 for a store without files."""
    disk_after: int = field(default=0, kw_only=True)
    """And afterwards: what was given back to the system."""


def going(
    rows: Reader, session_id: SessionId, *, with_forks: bool
) -> dict[SessionId, SessionId | None]:
    """Return the sessions that a removal is of, each with the one that it goes with.

    Empty where it was removed before.

    Raises:
        SessionNotFoundError: there is no such session.
        SessionSharedError: forks share its past, and are not to go.
    """
    head = rows.head(session_id)
    if head is not None and head.removed:
        return {}
    existing_head(rows, session_id)
    found: dict[SessionId, SessionId | None] = {session_id: None}
    waiting = [session_id]
    while waiting:
        one = waiting.pop(0)
        others = list(below(rows, one))
        others += _forks(rows, one, with_forks=with_forks)
        for other in map(SessionId, others):
            if other not in found:
                found[other] = one
                waiting.append(other)
    if not with_forks:
        for one in found:
            shared, forks = shared_by(rows, one)
            left = [fork for fork in forks if fork not in found]
            if left:
                raise SessionSharedError(one, left, shared)
    return found


def _forks(rows: Reader, session_id: str, *, with_forks: bool) -> list[str]:
    return shared_by(rows, session_id)[1] if with_forks else []


def remove(
    tx: LogTransaction,
    session_id: SessionId,
    *,
    with_forks: bool,
    with_jobs: bool = False,
) -> tuple[SessionId, ...]:
    """Remove a session and what goes with it, and return which these are.

    ``with_jobs``: also where jobs of them are not known to have ended, which goes on.

    Raises:
        SessionNotFoundError: there is no such session.
        SessionSharedError: forks share its past, and are not to go.
        SessionBusyError: one of them is executed by some process, or a job of it runs.
        EventOwnerError: one of them is a replica.
        RowDamagedError: where the log of one ends is not known.
    """
    found = going(tx.rows, session_id, with_forks=with_forks)
    for one in found:
        tx.check_idle(one)
        jobs = tx.rows.running_jobs(session_id=one)
        if jobs and not with_jobs:
            raise SessionBusyError(one, job=jobs[0].id)
    for one, cause in found.items():
        tx.remove(SessionRemoved(session_id=one, cause=cause))
    return tuple(found)


async def erase(log: EventLog) -> bool:
    """Delete what is left of removed sessions, and say if there was anything.

    Raises:
        StoreError: the store failed; the rest is deleted another time.
    """
    left = await log.read(lambda rows: rows.sessions_to_erase())
    for one in left:

        def some(tx: LogTransaction, one: str = one) -> bool:
            return tx.rows.erase(one, ROWS)

        while await log.commit(some):
            pass
    return bool(left)
