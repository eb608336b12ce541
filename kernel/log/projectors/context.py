"""What a model is told: the epoch, its updates, and notices."""

from ...ports import EpochRow, MessageRow
from ...values import events as e
from ...values.errors import EventLogError
from ...values.shortcut import changed
from .target import Projectors, Target


def _epoch_started(to: Target, event: e.EpochStarted) -> None:
    to.rows.put_epoch(EpochRow(event.session_id, event.seq, event.seq))


def _context_updated(to: Target, event: e.ContextUpdated) -> None:
    epoch = to.rows.epoch(event.session_id)
    if epoch is None:
        raise EventLogError(event.session_id, event.seq, "an update without an epoch")
    to.rows.put_epoch(changed(epoch, updated_seq=event.seq))
    _put_notice(to, event)


def _notice_added(to: Target, event: e.NoticeAdded) -> None:
    _put_notice(to, event)


def _put_notice(to: Target, event: e.ContextUpdated | e.NoticeAdded) -> None:
    to.rows.put_message(
        MessageRow(
            session_id=event.session_id,
            seq=event.seq,
            id=event.message_id,
            type="notice",
            body_seq=event.seq,
            end_seq=event.seq,
        )
    )


def _facts_recorded(to: Target, event: e.FactsRecorded) -> None:
    if event.policy is not None:
        to.rows.hold_blob(event.session_id, event.seq, event.policy)


PROJECTORS: Projectors = {
    e.FactsRecorded: _facts_recorded,
    e.EpochStarted: _epoch_started,
    e.ContextUpdated: _context_updated,
    e.NoticeAdded: _notice_added,
}
