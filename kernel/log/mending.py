"""Mending: the rows of a session made anew from its log, where they were damaged.

Owns which rows follow from a log, besides how, which is the projectors' business: all
projections, and the admissions of its keyed prompts. What is mended is what a sound log
says, up to the first event that is none; leases, owners and approvals follow from
nothing and are not mended here.
"""

from ..ports import AdmissionRow, Transaction
from ..values.codec import dumps, to_json
from ..values.errors import EventLogError, RowDamagedError
from ..values.events import PromptAdmitted
from ..values.prompt import AdmittedPrompt, prompt_digest
from .projectors import Projection
from .reading import UnreadableEvent, events_between


def mend(rows: Transaction, session_id: str) -> None:
    """Make the projections and admissions of a session anew, as far as its log goes.

    Raises:
        RowDamagedError: where the log ends is not known; see ``repair``.
    """
    head = rows.head(session_id)
    if head is not None and head.removed:
        return
    rows.clear_projections(session_id)
    projection = Projection(rows)
    for event in events_between(rows, session_id, -1):
        if isinstance(event, UnreadableEvent):
            if event.is_damaged:
                break
            continue
        try:
            projection.apply(event)
        except EventLogError:
            break
        if isinstance(event, PromptAdmitted):
            remember(rows, event)
    projection.flush()


def remember(rows: Transaction, event: PromptAdmitted) -> None:
    """Keep the admission of a keyed prompt, unless it is kept (law inbox.3).

    One whose content retention removed is not known by its content any more.
    """
    if event.key is None:
        return
    try:
        if rows.admission(event.session_id, event.key) is not None:
            return
    except RowDamagedError:
        pass
    [record] = rows.events(
        event.session_id, after=event.seq - 1, limit=1, upto=event.seq
    )
    if record.digest is None:
        rows.put_admission(admission_of(event))


def admission_of(event: PromptAdmitted) -> AdmissionRow:
    """Return the admission of a keyed prompt, with the receipt that its caller got."""
    assert event.key is not None
    receipt = AdmittedPrompt(
        id=event.input_id,
        session_id=event.session_id,
        key=event.key,
        delivery=event.delivery,
        cursor=event.seq,
        created=event.created,
    )
    return AdmissionRow(
        event.session_id,
        event.key,
        prompt_digest(dumps(to_json(event.prompt))),
        event.delivery,
        dumps(to_json(receipt)),
    )
