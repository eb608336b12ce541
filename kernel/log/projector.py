"""Projectors: which rows follow from which event.

Owns the mapping from event kinds to projection rows. Each projector is a synchronous
function inside the event's own transaction (law events.2), sees only rows and the
event, and would give the same rows when the log is replayed (law events.4). Nothing
here rewrites a row that grows: a message's row says where its events are.
"""

from collections.abc import Callable
from typing import Any

from ..ports import (
    EpochRow,
    InputRow,
    MessageRow,
    RequestRow,
    SessionRow,
    Transaction,
)
from ..values import events as e
from ..values.errors import EventLogError
from ..values.messages import Usage
from ..values.shortcut import changed
from .reading import no_session


class Projection:
    """Applies events to the rows of one transaction.

    The session's own row is kept here until ``flush``: several events of one
    transaction change it, and it is written once.
    """

    def __init__(self, rows: Transaction) -> None:
        self._rows = rows
        self._sessions: dict[str, SessionRow] = {}
        self._changed: set[str] = set()

    def apply(self, event: e.Event) -> None:
        """Project one committed-to-be event."""
        project = _PROJECTORS.get(type(event))
        if project is not None:
            project(self, self._rows, event)

    def flush(self) -> None:
        """Write the session rows that changed."""
        for session_id in sorted(self._changed):
            self._rows.put_session(self._sessions[session_id])
        self._changed.clear()

    def session(self, session_id: str) -> SessionRow:
        """Return the session's row as this transaction has changed it so far.

        Raises:
            SessionNotFoundError: there is no such session.
        """
        found = self._sessions.get(session_id)
        if found is None:
            found = self._rows.session(session_id)
            if found is None:
                raise no_session(self._rows, session_id)
            self._sessions[session_id] = found
        return found

    def change(self, event: e.Event, **changes: Any) -> None:
        """Change the session's row; it counts as updated at the event's time."""
        row = self.session(event.session_id)
        self.put(changed(row, updated=event.created, **changes))

    def put(self, row: SessionRow) -> None:
        """Take this as the session's row."""
        self._sessions[row.id] = row
        self._changed.add(row.id)


def _session_created(to: Projection, _: Transaction, event: e.SessionCreated) -> None:
    to.put(
        SessionRow(
            id=event.session_id,
            directory=event.directory,
            workspace=event.workspace,
            title=event.title,
            agent=event.agent,
            model=event.model,
            parent=event.parent,
            forked_from=event.forked_from,
            forked_seq=event.forked_seq,
            created=event.created,
            updated=event.created,
        )
    )


def _model_switched(to: Projection, _: Transaction, event: e.ModelSwitched) -> None:
    to.change(event, model=event.model)


def _agent_switched(to: Projection, _: Transaction, event: e.AgentSwitched) -> None:
    to.change(event, agent=event.agent)


def _titled(to: Projection, _: Transaction, event: e.SessionTitled) -> None:
    to.change(event, title=event.title)


def _admitted(_: Projection, rows: Transaction, event: e.PromptAdmitted) -> None:
    rows.put_input(
        InputRow(
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


def _pending_input(
    rows: Transaction,
    event: e.PromptPromoted | e.PromptWithdrawn | e.PromptRedelivered,
) -> InputRow:
    row = rows.input(event.session_id, event.input_id)
    if row is None or row.state != "pending":
        state = row.state if row else "unknown"
        raise EventLogError(
            event.session_id, event.seq, f"input {event.input_id!r} is {state}"
        )
    return row


def _promoted(_: Projection, rows: Transaction, event: e.PromptPromoted) -> None:
    row = _pending_input(rows, event)
    rows.put_input(changed(row, state="promoted", settled_seq=event.seq))
    rows.put_message(
        MessageRow(
            session_id=event.session_id,
            seq=event.seq,
            id=event.input_id,
            type="user",
            body_seq=row.seq,
            end_seq=row.seq,
        )
    )


def _withdrawn(_: Projection, rows: Transaction, event: e.PromptWithdrawn) -> None:
    row = _pending_input(rows, event)
    rows.put_input(changed(row, state="withdrawn", settled_seq=event.seq))


def _redelivered(_: Projection, rows: Transaction, event: e.PromptRedelivered) -> None:
    row = _pending_input(rows, event)
    rows.put_input(changed(row, delivery=event.delivery))


def _execution_started(
    to: Projection, _: Transaction, event: e.ExecutionStarted
) -> None:
    to.change(event, status="running")


def _execution_ended(to: Projection, _: Transaction, event: e.ExecutionEnded) -> None:
    to.change(
        event,
        status="idle",
        outcome=event.status,
        reason_code=event.reason.code if event.reason else None,
        reason_message=event.reason.message if event.reason else None,
        ended_seq=event.seq,
    )


def _epoch_started(_: Projection, rows: Transaction, event: e.EpochStarted) -> None:
    rows.put_epoch(EpochRow(event.session_id, event.seq, event.seq))


def _context_updated(_: Projection, rows: Transaction, event: e.ContextUpdated) -> None:
    epoch = rows.epoch(event.session_id)
    if epoch is None:
        raise EventLogError(event.session_id, event.seq, "an update without an epoch")
    rows.put_epoch(changed(epoch, updated_seq=event.seq))
    _put_notice(rows, event)


def _notice_added(_: Projection, rows: Transaction, event: e.NoticeAdded) -> None:
    _put_notice(rows, event)


def _put_notice(rows: Transaction, event: e.ContextUpdated | e.NoticeAdded) -> None:
    rows.put_message(
        MessageRow(
            session_id=event.session_id,
            seq=event.seq,
            id=event.message_id,
            type="notice",
            body_seq=event.seq,
            end_seq=event.seq,
        )
    )


def _step_started(_: Projection, rows: Transaction, event: e.StepStarted) -> None:
    rows.put_message(
        MessageRow(
            session_id=event.session_id,
            seq=event.seq,
            id=event.message_id,
            type="assistant",
            body_seq=event.seq,
            end_seq=None,
        )
    )


def _step_settled(
    to: Projection, rows: Transaction, event: e.StepEnded | e.StepFailed
) -> None:
    row = rows.message(event.session_id, event.message_id)
    if row is None or row.end_seq is not None:
        raise EventLogError(
            event.session_id,
            event.seq,
            f"message {event.message_id!r} has no running Step",
        )
    rows.put_message(changed(row, end_seq=event.seq))
    total, used = to.session(event.session_id), event.usage
    to.change(
        event,
        steps=total.steps + 1,
        input_tokens=total.input_tokens + _count(used, "input"),
        output_tokens=total.output_tokens + _count(used, "output"),
        reasoning_tokens=total.reasoning_tokens + _count(used, "reasoning"),
        cache_read_tokens=total.cache_read_tokens + _count(used, "cache_read"),
        cache_write_tokens=total.cache_write_tokens + _count(used, "cache_write"),
    )


def _call_settled(
    _: Projection, rows: Transaction, event: e.ToolSucceeded | e.ToolFailed
) -> None:
    if event.managed is not None:
        rows.hold_blob(event.session_id, event.seq, event.managed)


def _count(usage: Usage, name: str) -> int:
    return getattr(usage, name) or 0


def _asked(to: Projection, rows: Transaction, event: e.RequestAsked) -> None:
    rows.put_request(
        RequestRow(
            session_id=event.session_id,
            id=event.request_id,
            what=event.what,
            seq=event.seq,
            directory=to.session(event.session_id).directory,
            answered_seq=None,
        )
    )


def _answered(_: Projection, rows: Transaction, event: e.RequestAnswered) -> None:
    row = rows.request(event.session_id, event.request_id)
    if row is None or row.answered_seq is not None:
        raise EventLogError(
            event.session_id,
            event.seq,
            f"request {event.request_id!r} is not pending",
        )
    rows.put_request(changed(row, answered_seq=event.seq))


_PROJECTORS: dict[type[e.Event], Callable[[Projection, Transaction, Any], None]] = {
    e.SessionCreated: _session_created,
    e.ModelSwitched: _model_switched,
    e.AgentSwitched: _agent_switched,
    e.SessionTitled: _titled,
    e.PromptAdmitted: _admitted,
    e.PromptPromoted: _promoted,
    e.PromptWithdrawn: _withdrawn,
    e.PromptRedelivered: _redelivered,
    e.ExecutionStarted: _execution_started,
    e.ToolSucceeded: _call_settled,
    e.ToolFailed: _call_settled,
    e.ExecutionEnded: _execution_ended,
    e.EpochStarted: _epoch_started,
    e.ContextUpdated: _context_updated,
    e.NoticeAdded: _notice_added,
    e.StepStarted: _step_started,
    e.StepEnded: _step_settled,
    e.StepFailed: _step_settled,
    e.RequestAsked: _asked,
    e.RequestAnswered: _answered,
}
