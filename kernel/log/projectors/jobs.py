"""Jobs: begun, and ended."""

from ...ports import JobRow
from ...values import events as e
from ...values.errors import EventLogError
from ...values.shortcut import changed
from .target import Projectors, Target


def _started(to: Target, event: e.JobStarted) -> None:
    to.rows.put_job(
        JobRow(
            session_id=event.session_id,
            id=event.job_id,
            seq=event.seq,
            directory=to.session(event.session_id).directory,
            ended_seq=None,
        )
    )


def _ended(to: Target, event: e.JobEnded) -> None:
    row = to.rows.job(event.session_id, event.job_id)
    if row is None or row.ended_seq is not None:
        raise EventLogError(
            event.session_id, event.seq, f"job {event.job_id!r} does not run"
        )
    to.rows.put_job(changed(row, ended_seq=event.seq))


PROJECTORS: Projectors = {
    e.JobStarted: _started,
    e.JobEnded: _ended,
}
