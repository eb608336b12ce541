"""Promotion: what of the inbox becomes visible to the model at a Safe Step Boundary.

Owns which pending inputs are due, and the events that promote them. Runs inside a
transaction. Knows nothing of how they were admitted.
"""

from collections.abc import Sequence

from ..ports import InputRow, Reader
from ..values.errors import RowDamagedError
from ..values.events import Event, PromptPromoted
from ..values.ids import MessageId, SessionId


def due(
    rows: Reader, session_id: str, *, idle: bool, barrier: int | None = None
) -> Sequence[InputRow]:
    """Return the inputs to promote at this Safe Step Boundary, in order (law inbox.5).

    All steers, in admission order; and when the session would otherwise be idle and
    no steer is there, the oldest queued input. What was admitted after the event
    ``barrier`` waits.

    Raises:
        RowDamagedError: input waits, and none is found in either way.
    """
    steers = _before(barrier, rows.pending_inputs(session_id, "steer"))
    if steers or not idle:
        return steers
    queued = _before(barrier, rows.pending_inputs(session_id, "queue", 1))
    if not queued and barrier is None and rows.has_pending_input(session_id):
        # What leads to it, such as an index, is not what was written. Nothing would
        # ever be due, and the session would never be idle.
        raise RowDamagedError("work", session_id)
    return queued


def _before(barrier: int | None, found: Sequence[InputRow]) -> Sequence[InputRow]:
    return found if barrier is None else [one for one in found if one.seq < barrier]


def promotions(session_id: SessionId, rows: Sequence[InputRow]) -> list[Event]:
    """Return the events that make these inputs visible."""
    return [
        PromptPromoted(session_id=session_id, input_id=MessageId(row.id))
        for row in rows
    ]
