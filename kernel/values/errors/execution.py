"""Errors of whoever executes a session."""

from .base import ConflictError, DovetailError

CONTINUATION_UNACCEPTED = "continuation.unaccepted"
"""The code of the reason why an execution is ``paused`` that stopped to show its
Continuation Report: it goes on when somebody accepts that."""
EXECUTION_INTERRUPTED = "execution.interrupted"
"""The code of what was cut off with its execution: that can be gone on with."""


class ContinuationChangedError(ConflictError):
    """The accepted Continuation Report is not the present one. Look again."""

    code = "continuation.changed"

    def __init__(self, session_id: str, accepted: str, current: str) -> None:
        super().__init__(
            f"the report {accepted!r} of session {session_id!r} is not the present "
            f"one, {current!r}; look at it again before accepting"
        )
        self.session_id = session_id
        self.accepted = accepted
        self.current = current


class OwnerFencedError(DovetailError):
    """Another worker owns the session's execution now. Stop; nothing was written."""

    code = "owner.fenced"

    def __init__(self, session_id: str, fence: int, current: int) -> None:
        super().__init__(
            f"execution of session {session_id!r} moved on: this owner holds fence "
            f"{fence}, the current one is {current}"
        )
        self.session_id = session_id
        self.fence = fence
        self.current = current
