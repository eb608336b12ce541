"""Requests to a person: asked, and answered."""

from ...ports import RequestRow
from ...values import events as e
from ...values.errors import EventLogError
from ...values.shortcut import changed
from .target import Projectors, Target


def _asked(to: Target, event: e.RequestAsked) -> None:
    to.rows.put_request(
        RequestRow(
            session_id=event.session_id,
            id=event.request_id,
            what=event.what,
            seq=event.seq,
            directory=to.session(event.session_id).directory,
            answered_seq=None,
        )
    )


def _answered(to: Target, event: e.RequestAnswered) -> None:
    row = to.rows.request(event.session_id, event.request_id)
    if row is None or row.answered_seq is not None:
        raise EventLogError(
            event.session_id,
            event.seq,
            f"request {event.request_id!r} is not pending",
        )
    to.rows.put_request(changed(row, answered_seq=event.seq))


PROJECTORS: Projectors = {
    e.RequestAsked: _asked,
    e.RequestAnswered: _answered,
}
