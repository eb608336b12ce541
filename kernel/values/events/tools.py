"""Tool calls and their settlements."""

from collections.abc import Mapping

from attrs import field

from ..frozen import frozen
from ..grant import Grant
from ..ids import MessageId
from ..sent import SentRequest
from ..tool import (
    Content,
    Deed,
    EffectClass,
    Failure,
    FileChange,
    Json,
    ProcessMark,
)
from .declaring import Event, event


@event("tool.called", retention="transcript")
@frozen(kw_only=True)
class ToolCalled(Event):
    """A complete call, durable before anything of it starts (law tools.1)."""

    message_id: MessageId
    """The assistant message that it belongs to."""
    call_id: str
    """Which call it is, as the provider named it; unique within its message."""
    tool: str
    """The tool that the model named."""
    arguments: str
    """The JSON text that the model wrote, unchanged."""
    effect: EffectClass | None = None
    """The effect class of the advertised tool; None when no such tool was offered."""
    metadata: Mapping[str, Json] = field(factory=dict)
    """What the provider attached to it; only the model that wrote it is sent it
    again."""
    named: str | None = None
    """What the model wrote for the tool's name, where that was not its name."""
    reading: tuple[str, ...] = ()
    """What was read differently from what the model wrote, a line each."""
    waits: bool = False
    """Whether it waits for something, so that it may be made again and again."""
    request: SentRequest | None = None
    """What was sent, with the first call of an attempt."""


@event("tool.started")
@frozen(kw_only=True)
class ToolStarted(Event):
    """The executor may have run from here on (law recovery.3).

    Once more, when it goes on from a question to a person, and when another worker
    runs the call again.
    """

    message_id: MessageId
    """The assistant message that it belongs to."""
    call_id: str
    """Which call it is, as the provider named it; unique within its message."""
    granted: tuple[Grant, ...] = ()
    """What the call was allowed, as far as no earlier event of it says so."""


@event("tool.spawned")
@frozen(kw_only=True)
class ToolSpawned(Event):
    """The call is about to start a process that may outlive whoever runs the call
    (law recovery.8)."""

    message_id: MessageId
    """The assistant message that it belongs to."""
    call_id: str
    """Which call it is, as the provider named it; unique within its message."""
    process: ProcessMark
    """How the process is found again."""
    granted: tuple[Grant, ...] = ()
    """What the call was allowed, as far as no earlier event of it says so."""


@event("tool.proceeded")
@frozen(kw_only=True)
class ToolProceeded(Event):
    """The call is about to do the next of several things; what it was about to do
    before is done (law recovery.9)."""

    message_id: MessageId
    """The assistant message that it belongs to."""
    call_id: str
    """Which call it is, as the provider named it; unique within its message."""
    deed: Deed
    """What is done next."""
    granted: tuple[Grant, ...] = ()
    """What the call was allowed, as far as no earlier event of it says so."""


@event("tool.succeeded", retention="transcript")
@frozen(kw_only=True)
class ToolSucceeded(Event):
    """The call's one settlement: what the model is shown."""

    message_id: MessageId
    """The assistant message that it belongs to."""
    call_id: str
    """Which call it is, as the provider named it; unique within its message."""
    content: tuple[Content, ...]
    """What the model is shown: the bounded Model Output."""
    data: Json = None
    """The structured output, where it says more than the content."""
    managed: str | None = None
    """The key of the complete output, when the content was cut."""
    files: Mapping[str, str | None] = field(factory=dict)
    """The files that the call read or wrote, by path, with the digest of what they
    held afterwards; None for a file that is gone."""
    changes: tuple[FileChange, ...] = ()
    """What it changed of files, in order, for whoever goes back."""
    granted: tuple[Grant, ...] = ()
    """What the call was allowed, as far as no earlier event of it says so."""


@event("tool.failed", retention="transcript")
@frozen(kw_only=True)
class ToolFailed(Event):
    """The call's one settlement: why there is no result."""

    message_id: MessageId
    """The assistant message that it belongs to."""
    call_id: str
    """Which call it is, as the provider named it; unique within its message."""
    failure: Failure
    """Why there is no result, as the model is told."""
    managed: str | None = None
    """Where the complete text is kept, if some of it was cut."""
    changes: tuple[FileChange, ...] = ()
    """What it changed of files all the same, in order."""
    granted: tuple[Grant, ...] = ()
    """What the call was allowed, as far as no earlier event of it says so."""
