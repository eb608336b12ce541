"""The record of jobs, as synchronous decisions.

Owns that a job is durable before anything of it runs, that it has one end, and that
this is told to the model in the same transaction, once (law jobs.2). Every function
runs inside a transaction or a view of the store. Knows nothing of who looks after jobs.
"""

from collections.abc import Sequence

from attrs import evolve

from ..log.commit import LogTransaction
from ..log.reading import event_at, events_between, existing_session
from ..ports import JobRow, Reader
from ..values.errors import JobLimitError, JobNotFoundError
from ..values.events import (
    JobEnded,
    JobStarted,
    PromptAdmitted,
    ToolCalled,
    ToolFailed,
    ToolSucceeded,
)
from ..values.ids import MessageId, SessionId
from ..values.job import Job, JobEnd
from ..values.prompt import Prompt

MAX_RUNNING = 16
"""Jobs of one session that run at the same time."""
MAX_SHOWN = 200
"""Characters of what a job does that the model is told again."""

_WORDS = {
    "succeeded": "has ended well",
    "failed": "has failed",
    "stopped": "was stopped",
    "timed_out": "was stopped because its time was over",
    "overflowed": "was stopped because it printed more than is kept",
    "lost": "is lost: how it ended is not known",
}
_BY = {
    "person": "by a person",
    "closing": "because the program that ran this session was closed",
}


def begin(tx: LogTransaction, started: JobStarted) -> Job:
    """Record a job that is about to begin, and return it.

    Raises:
        JobLimitError: as many run as may.
    """
    running = tx.rows.running_jobs(session_id=started.session_id)
    if len(running) >= MAX_RUNNING:
        raise JobLimitError(started.session_id, len(running))
    [event] = tx.append(started)
    assert isinstance(event, JobStarted)
    return _job(event, None)


def end(
    tx: LogTransaction,
    job: Job,
    found: JobEnd,
    by: str | None,
    input_id: MessageId | None,
) -> bool:
    """Record the end of a job, unless it has one, and say so.

    The input that tells it is admitted under ``input_id``; None tells nobody.
    """
    row = tx.rows.job(job.session_id, job.id)
    if row is None or row.ended_seq is not None:
        return False
    tx.append(
        JobEnded(
            session_id=job.session_id,
            job_id=job.id,
            state=found.state,
            exit_code=found.exit_code,
            said=found.said,
            by=by,
            input_id=input_id,
        )
    )
    if input_id is not None:
        tx.append(
            PromptAdmitted(
                session_id=job.session_id,
                input_id=input_id,
                prompt=Prompt(end_notice(job, found, by)),
                delivery="steer",
                job_id=job.id,
            )
        )
    return True


def end_notice(job: Job, found: JobEnd, by: str | None) -> str:
    """Return what the model is told of an end.

    Nothing of what the job printed: this stands where a person's words stand, and what
    a program prints is not theirs.
    """
    words = _WORDS[found.state]
    if found.state == "stopped" and by in _BY:
        words = f"{words} {_BY[by]}"
    if found.exit_code is not None:
        words = f"{words} (exit code {found.exit_code})"
    lines = [f"[Nobody wrote this.] Job {job.id} {words}: {_titled(job)}"]
    if found.said:
        lines.append(found.said)
    if job.output:
        lines.append(f"What it printed can be read under {job.output}")
    return "\n".join(lines)


def still_runs(jobs: Sequence[Job]) -> str:
    """Return what the model is told of jobs that were found alive after the process
    that began them had ended."""
    lines = [
        "[Nobody wrote this.] The program that ran this session had ended, and goes on "
        "as another process. Of the jobs that were begun before, these still run:"
    ]
    for job in jobs:
        where = f", which prints to {job.output}" if job.output else ""
        lines.append(f"- {job.id}{where}: {_titled(job)}")
    return "\n".join(lines)


def _titled(job: Job) -> str:
    title = " ".join(job.title.split())
    return title if len(title) <= MAX_SHOWN else f"{title[: MAX_SHOWN - 1]}…"


def call_runs(rows: Reader, session_id: str, message_id: str, call_id: str) -> bool:
    """Return whether a call of the session's open message has no settlement.

    Raises:
        SessionNotFoundError: there is no such session.
    """
    existing_session(rows, session_id)
    called = False
    for row in rows.open_messages(session_id):
        if row.id != message_id:
            continue
        for event in events_between(rows, session_id, row.body_seq):
            if getattr(event, "call_id", None) != call_id:
                continue
            if isinstance(event, ToolCalled):
                called = True
            elif isinstance(event, ToolSucceeded | ToolFailed):
                return False
    return called


# --- looking ----------------------------------------------------------------------


def jobs_of(rows: Reader, session_id: str) -> Sequence[Job]:
    """Return the jobs of a session in the order in which they began. One whose
    beginning cannot be read, which the log has warned of, is left out.

    Raises:
        SessionNotFoundError: there is no such session.
    """
    existing_session(rows, session_id)
    found = (job_at(rows, row) for row in rows.jobs(session_id))
    return [job for job in found if job is not None]


def job_of(rows: Reader, session_id: str, job_id: str) -> Job:
    """Return one job of a session.

    Raises:
        SessionNotFoundError: there is no such session.
        JobNotFoundError: it has no such job.
    """
    existing_session(rows, session_id)
    row = rows.job(session_id, job_id)
    job = None if row is None else job_at(rows, row)
    if job is None:
        raise JobNotFoundError(job_id)
    return job


def job_at(rows: Reader, row: JobRow) -> Job | None:
    """Return a job by its row; None where its beginning cannot be read."""
    started = event_at(rows, row.session_id, row.seq)
    if not isinstance(started, JobStarted):
        return None
    ended = None
    if row.ended_seq is not None:
        ended = event_at(rows, row.session_id, row.ended_seq)
    job = _job(started, ended if isinstance(ended, JobEnded) else None)
    if row.ended_seq is not None and not isinstance(ended, JobEnded):
        # That it has an end is known, and nothing else of it can be read.
        return evolve(job, state="lost", ended=job.started)
    return job


def is_of_here(rows: Reader, job: Job) -> bool:
    """Return whether a job was begun in this store, not elsewhere (law access.12)."""
    head, row = rows.head(job.session_id), rows.job(job.session_id, job.id)
    return head is not None and row is not None and head.made_here(row.seq)


def _job(started: JobStarted, ended: JobEnded | None) -> Job:
    job = Job(
        id=started.job_id,
        session_id=SessionId(started.session_id),
        message_id=started.message_id,
        call_id=started.call_id,
        tool=started.tool,
        title=started.title,
        output=started.output,
        process=started.process,
        worker=started.worker,
        session=started.session,
        started=started.created,
    )
    if ended is None:
        return job
    return evolve(
        job,
        state=ended.state,
        ended=ended.created,
        exit_code=ended.exit_code,
        said=ended.said,
        by=ended.by,
    )
