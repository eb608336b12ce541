"""Statements of jobs: ``job``."""

from ..rendering import Statement, slot, upsert
from ..tables import Aggregate, Job
from .aggregates import AGGREGATE_OF

_JOBS = Job.select(
    Aggregate.session_id,
    Job.id,
    Job.seq,
    Job.directory,
    Job.ended_seq,
    Job.checksum,
).join(Aggregate, on=(Job.aggregate == Aggregate.id))
JOB = Statement(
    _JOBS.where(Job.aggregate == AGGREGATE_OF, Job.id == slot("id")),
    "session_id",
    "id",
)
JOBS = Statement(
    _JOBS.where(Job.aggregate == AGGREGATE_OF).order_by(Job.seq, Job.id), "session_id"
)
_RUNNING = _JOBS.where(Job.ended_seq.is_null())
RUNNING_JOBS = {
    (): Statement(_RUNNING.order_by(Job.aggregate, Job.seq, Job.id)),
    ("session_id",): Statement(
        _RUNNING.where(Job.aggregate == AGGREGATE_OF).order_by(Job.seq, Job.id),
        "session_id",
    ),
    ("directory",): Statement(
        _RUNNING.where(Job.directory == slot("directory")).order_by(
            Job.aggregate, Job.seq, Job.id
        ),
        "directory",
    ),
}
PUT_JOB = upsert(Job, "aggregate", "id")
