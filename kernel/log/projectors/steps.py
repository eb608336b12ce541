"""Steps: the assistant's messages, and the totals of a session."""

from ...ports import MessageRow
from ...values import events as e
from ...values.errors import EventLogError
from ...values.shortcut import changed, maker
from .target import Projectors, Target, with_usage

_message_row = maker(MessageRow)


def _step_started(to: Target, event: e.StepStarted) -> None:
    to.rows.put_message(
        _message_row(
            session_id=event.session_id,
            seq=event.seq,
            id=event.message_id,
            type="assistant",
            body_seq=event.seq,
            end_seq=None,
        )
    )


def _step_settled(to: Target, event: e.StepEnded | e.StepFailed) -> None:
    row = to.rows.message(event.session_id, event.message_id)
    if row is None or row.end_seq is not None:
        raise EventLogError(
            event.session_id,
            event.seq,
            f"message {event.message_id!r} has no running Step",
        )
    to.rows.put_message(changed(row, end_seq=event.seq))
    total = to.session(event.session_id)
    to.change(event, steps=total.steps + 1, **with_usage(total, event))


def _spent(to: Target, event: e.ChildSpent | e.RetryScheduled) -> None:
    to.change(event, **with_usage(to.session(event.session_id), event))


PROJECTORS: Projectors = {
    e.StepStarted: _step_started,
    e.StepEnded: _step_settled,
    e.StepFailed: _step_settled,
    e.ChildSpent: _spent,
    e.RetryScheduled: _spent,
}
