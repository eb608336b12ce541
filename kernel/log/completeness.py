"""Completeness: whether a session has the rows that follow from its log.

Owns how many rows follow from how many events. A row that was changed is found by
whoever reads it. One that came to another session, or to nobody, is not read at all and
taken for one that never was: an input would be forgotten, a key admitted once more. So
they are counted, once in a runtime, before anything is decided from what is not there.
"""

from collections.abc import Mapping

from ..ports import Reader, RowCounts
from ..values.events import PromptAdmitted
from .reading import events_between
from .reduction import REMOVED

_VISIBLE = (
    *("prompt.promoted", "context.updated", "notice.added", "step.started"),
    "compaction.ended",
)


def is_complete(rows: Reader, session_id: str) -> bool:
    """Return whether there are as many rows as follow from the log."""
    head = rows.head(session_id)
    if head is not None and head.removed:
        return True
    if head is not None and head.seq >= 0 and rows.session(session_id) is None:
        return False
    found = rows.counts(session_id)
    if not fits(found, rows.kinds(session_id), keyed=0):
        return False
    # Not more keys are expected than inputs say that they had; which of these retention
    # removed is only asked where it counts.
    return found.admissions >= found.keyed or found.admissions >= _keyed(
        rows, session_id
    )


def fits(found: RowCounts, kinds: Mapping[str, int], keyed: int) -> bool:
    """Return whether these are the rows that follow from so many events of each kind,
    with so many keys that are known by their content."""
    settled = kinds.get("prompt.promoted", 0) + kinds.get("prompt.withdrawn", 0)
    return (
        found.messages == sum(kinds.get(kind, 0) for kind in _VISIBLE)
        and found.settled == settled
        and found.pending == kinds.get("prompt.admitted", 0) - settled
        and found.admissions >= keyed
    )


def _keyed(rows: Reader, session_id: str) -> int:
    return sum(
        isinstance(event, PromptAdmitted)
        and event.key is not None
        # What retention removed is not known by its content any more.
        and event.prompt.text != REMOVED
        for event in events_between(rows, session_id, -1)
    )
