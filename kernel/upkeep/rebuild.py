"""Rebuild: the projections of a session made anew from its log (law events.4).

Owns the replay of stored events through their projectors, in one transaction: readers
see the old rows or the new ones. Operational rows (admissions, leases, approvals) are
not derived and not touched.
"""

from ..log.projectors import Projection
from ..log.reading import UnreadableEvent, events_between, existing_head
from ..ports import Transaction
from ..values.errors import (
    EventDamagedError,
    EventKindError,
    EventVersionError,
)
from ..values.events import kinds


def rebuild(rows: Transaction, session_id: str) -> int:
    """Make the projections of a session anew and return how many events it has.

    Events of kinds that this release does not know are passed over, as they were when
    they came: it has no rows for them.

    Raises:
        SessionNotFoundError: there is no such session, or it was removed.
        EventDamagedError: an event cannot be read; see ``repair``.
        EventVersionError: a newer release wrote an event of a known kind.
        EventLogError: an event does not follow from those before it.
    """
    existing_head(rows, session_id)
    rows.clear_projections(session_id)
    projection, count, known = Projection(rows), 0, kinds()
    for event in events_between(rows, session_id, -1):
        count += 1
        if not isinstance(event, UnreadableEvent):
            projection.apply(event)
        elif event.stored_kind in known:
            raise _ERRORS.get(event.failure.code, EventDamagedError)(
                session_id, event.seq, event.failure.message
            )
    projection.flush()
    return count


_ERRORS = {error.code: error for error in (EventKindError, EventVersionError)}
