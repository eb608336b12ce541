"""Compactions: asked for, done, or given up."""

from ...ports import MessageRow
from ...values import events as e
from .target import Projectors, Target, with_usage


def _requested(to: Target, event: e.CompactionRequested) -> None:
    to.change(event, compaction_due=event.seq)


def _started(to: Target, event: e.CompactionStarted) -> None:
    to.change(event, **with_usage(to.session(event.session_id), event))


def _ended(to: Target, event: e.CompactionEnded) -> None:
    to.rows.put_message(
        MessageRow(
            session_id=event.session_id,
            seq=event.seq,
            id=event.message_id,
            type="summary",
            body_seq=event.seq,
            end_seq=event.seq,
        )
    )
    _settled(to, event)


def _settled(to: Target, event: e.CompactionEnded | e.CompactionFailed) -> None:
    total = to.session(event.session_id)
    changes = with_usage(total, event)
    if event.requested is not None and event.requested == total.compaction_due:
        changes["compaction_due"] = -1
    to.change(event, **changes)


PROJECTORS: Projectors = {
    e.CompactionRequested: _requested,
    e.CompactionStarted: _started,
    e.CompactionEnded: _ended,
    e.CompactionFailed: _settled,
}
