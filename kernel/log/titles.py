"""What a session without a title is called: read from its log, never written there."""

from ..ports import Reader, SessionRow
from ..values.errors import RowDamagedError
from ..values.events import PromptAdmitted
from ..values.titles import title_of
from .reading import event_at
from .reduction import REMOVED

LOOKED_AT = 8
"""Messages among which the first prompt is: only notices come before it."""


def first_prompt(rows: Reader, session_id: str) -> str | None:
    """Return the text of the first prompt that a session promoted itself; None where
    there is none, or it was removed or is damaged."""
    try:
        found = rows.messages(session_id, limit=LOOKED_AT)
    except RowDamagedError:
        return None
    for row in found:
        if row.type != "user":
            continue
        event = event_at(rows, session_id, row.body_seq)
        if not isinstance(event, PromptAdmitted):
            return None
        if event.job_id is None:
            return None if event.prompt.text == REMOVED else event.prompt.text
    return None


def title_by_rule(rows: Reader, row: SessionRow) -> str | None:
    """Return what a root without a title is called; None for one that works for
    another, whose title is its caller's to give."""
    if row.parent is not None or row.damaged is not None:
        return None
    text = first_prompt(rows, row.id)
    return None if text is None else title_of(text)
