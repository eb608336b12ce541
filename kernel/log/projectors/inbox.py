"""Inputs: admitted, and what became of them."""

from ...ports import InputRow, MessageRow
from ...values import events as e
from ...values.errors import EventLogError
from ...values.shortcut import changed, maker
from .target import Projectors, Target

_input_row = maker(InputRow)
_message_row = maker(MessageRow)


def _admitted(to: Target, event: e.PromptAdmitted) -> None:
    to.rows.put_input(
        _input_row(
            session_id=event.session_id,
            id=event.input_id,
            seq=event.seq,
            delivery=event.delivery,
            state="pending",
            settled_seq=None,
            created=event.created,
            key=event.key,
        )
    )


def _promoted(to: Target, event: e.PromptPromoted) -> None:
    row = _pending_input(to, event)
    to.rows.put_input(changed(row, state="promoted", settled_seq=event.seq))
    to.rows.put_message(
        _message_row(
            session_id=event.session_id,
            seq=event.seq,
            id=event.input_id,
            type="user",
            body_seq=row.seq,
            end_seq=row.seq,
        )
    )


def _withdrawn(to: Target, event: e.PromptWithdrawn) -> None:
    row = _pending_input(to, event)
    to.rows.put_input(changed(row, state="withdrawn", settled_seq=event.seq))


def _redelivered(to: Target, event: e.PromptRedelivered) -> None:
    row = _pending_input(to, event)
    to.rows.put_input(changed(row, delivery=event.delivery))


def _pending_input(
    to: Target, event: e.PromptPromoted | e.PromptWithdrawn | e.PromptRedelivered
) -> InputRow:
    row = to.rows.input(event.session_id, event.input_id)
    if row is None or row.state != "pending":
        state = row.state if row else "unknown"
        raise EventLogError(
            event.session_id, event.seq, f"input {event.input_id!r} is {state}"
        )
    return row


PROJECTORS: Projectors = {
    e.PromptAdmitted: _admitted,
    e.PromptPromoted: _promoted,
    e.PromptWithdrawn: _withdrawn,
    e.PromptRedelivered: _redelivered,
}
