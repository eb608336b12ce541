"""What goes on when the call that began it has its result."""

from ..frozen import frozen
from ..ids import JobId, MessageId
from ..job import JobEnding
from ..tool import ProcessMark
from .declaring import Event, event


@event("job.started", retention="transcript")
@frozen(kw_only=True)
class JobStarted(Event):
    """A call began a job. Recorded before anything of it runs."""

    job_id: JobId
    """Which job it is, within its session."""
    message_id: MessageId
    """The message of the call."""
    call_id: str
    """The call, as its provider named it."""
    tool: str
    """The tool that was called, which is also the one that looks after it."""
    title: str
    """What it does: of a command, the command."""
    output: str = ""
    """The name under which its output is read; empty for none."""
    process: ProcessMark | None = None
    """The process that it is, so that it is found again; None where it is none."""
    worker: str | None = None
    """The process of the runtime that began it, where that has a name."""
    session: str | None = None
    """The session that it is, for one that works for this one; None where it is
    none."""


@event("job.ended", retention="transcript")
@frozen(kw_only=True)
class JobEnded(Event):
    """A job came to its one end. Where that is told to the model, the input that tells
    it was admitted in the same transaction (law jobs.2)."""

    job_id: JobId
    """Which job it is, within its session."""
    state: JobEnding
    """In which way it ended."""
    exit_code: int | None = None
    """Of a process: ``-n`` when signal ``n`` ended it. None where nobody knows."""
    said: str = ""
    """What its tool says of it."""
    by: str | None = None
    """Who ended it, if somebody did: ``model``, ``person``, ``closing``."""
    input_id: MessageId | None = None
    """The input that tells it; None where the model ended it itself."""


@event("job.wanted")
@frozen(kw_only=True)
class JobWanted(Event):
    """Somebody wants a running call to go on as a job. Whichever process runs the call
    sees to it, if the call can; it changes nothing where that is over."""

    message_id: MessageId
    """The message of the call."""
    call_id: str
    """The call, as its provider named it."""
