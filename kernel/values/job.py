"""Jobs: work that a call began and that goes on when the call has its result.

Owns the shape of a job and of its end. Knows nothing of processes: a tool says how its
jobs are looked at and ended (``contracts.JobWork``).
"""

from typing import Literal, get_args

from attrs import evolve

from .codec import clean_text
from .errors import InvalidValueError
from .frozen import frozen
from .ids import JobId, MessageId, SessionId
from .tool import ProcessMark, effect_token

JobEnding = Literal["succeeded", "failed", "stopped", "timed_out", "overflowed", "lost"]
"""``succeeded`` and ``failed`` by itself; ``stopped`` by somebody; ``timed_out`` and
``overflowed`` because a bound was reached; ``lost``: it runs no more, or not where
anybody here can look, and nothing says how it ended."""
JobState = Literal[
    "running", "succeeded", "failed", "stopped", "timed_out", "overflowed", "lost"
]
ENDINGS: tuple[str, ...] = get_args(JobEnding)

MAX_TITLE = 1_000
"""Characters that are kept of what a job does."""
MAX_OUTPUT_NAME = 200
MAX_SAID = 1_000
"""Characters of what a tool says of an end."""


@frozen
class JobEnd:
    """How a job ended, as its tool found it."""

    state: JobEnding
    """In which of the ways."""
    exit_code: int | None = None
    """Of a process: ``-n`` when signal ``n`` ended it. None where nobody knows."""
    said: str = ""
    """A sentence about it for the model, where there is more to say."""


@frozen
class Job:
    """One job of a session, as it is now."""

    id: JobId
    """What it is named by, within its session."""
    session_id: SessionId
    """Whose it is."""
    message_id: MessageId
    """The message of the call that began it."""
    call_id: str
    """The call, as its provider named it."""
    tool: str
    """The tool that was called, which is also the one that looks after it."""
    title: str
    """What it does: of a command, the command."""
    output: str
    """The name under which its output is read, also while it runs; empty for none."""
    process: ProcessMark | None
    """The process that it is, so that it is found again; None where it is none."""
    worker: str | None
    """The process of the runtime that began it, where that has a name."""
    started: int
    """Milliseconds since 1970."""
    state: JobState = "running"
    """``running`` as long as nobody recorded an end."""
    ended: int | None = None
    """Milliseconds since 1970, when its end was recorded; None while it runs."""
    exit_code: int | None = None
    """Of a process: ``-n`` when signal ``n`` ended it."""
    said: str = ""
    """What its tool says of its end."""
    by: str | None = None
    """Who ended it, if somebody did: ``model``, ``person``, ``closing``."""
    session: str | None = None
    """The session that it is, for one that works for this one."""

    @property
    def running(self) -> bool:
        """Whether it has no end."""
        return self.state == "running"

    @property
    def effect_token(self) -> str:
        """The token of the call that began it."""
        return effect_token(self.session_id, self.message_id, self.call_id)


def checked_end(end: object) -> JobEnd:
    """Return how a job ended as it is kept, with text that can be stored.

    Raises:
        InvalidValueError: it is no end of a job.
    """
    if not isinstance(end, JobEnd) or end.state not in ENDINGS:
        raise InvalidValueError("end of a job", end, "give a JobEnd")
    if end.exit_code is not None and type(end.exit_code) is not int:
        raise InvalidValueError("exit code", end.exit_code, "a number, or None")
    if not isinstance(end.said, str):
        raise InvalidValueError("end of a job", end.said, "what is said is a text")
    return evolve(end, said=clean_text(end.said[:MAX_SAID]))
