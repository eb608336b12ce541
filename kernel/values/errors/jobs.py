"""Errors of jobs, and of sessions that work for others."""

from .base import ConflictError, NotFoundError


class JobNotFoundError(NotFoundError):
    """The session has no job of this id."""

    code = "job.not_found"
    noun = "job"


class JobLimitError(ConflictError):
    """As many jobs of the session run as may; nothing was begun."""

    code = "job.limit"

    def __init__(self, session_id: str, running: int) -> None:
        super().__init__(
            f"{running} jobs of session {session_id!r} run, which is as many as may; "
            "stop one, or wait for its end"
        )
        self.session_id = session_id


class CallNotDetachableError(ConflictError):
    """A call cannot go on as a job; it goes on, or has ended, as if not asked."""

    code = "job.not_detachable"

    def __init__(self, call_id: str) -> None:
        super().__init__(
            f"call {call_id!r} cannot go on as a job: it does not run, has ended, or "
            "its tool cannot; wait for its end, or interrupt the session"
        )
        self.call_id = call_id


class JobUnmanagedError(ConflictError):
    """A job cannot be looked after: the tool that began it is not offered any more."""

    code = "job.unmanaged"

    def __init__(self, job_id: str, tool: str) -> None:
        super().__init__(
            f"job {job_id!r} was begun by tool {tool!r}, which is not offered here or "
            "looks after no jobs; load its plugin, and try again"
        )
        self.job_id = job_id


class ChildLimitError(ConflictError):
    """No more sessions may work for a session now; nothing was begun."""

    code = "child.limit"

    def __init__(self, session_id: str, rule: str) -> None:
        super().__init__(
            f"no other session may work for session {session_id!r}: {rule}; do the "
            "work yourself, or wait"
        )
        self.session_id = session_id
