"""Shapes: what is answered at the door, as opencode's V2 surface has it.

The names and meanings are those of ``@opencode-ai/sdk`` 1.19.3 (``dist/v2``), so that
its published client reads what it expects. What we know besides is under ``dovetail``,
as the kernel's own value. Owns what sessions consist of; ``offers`` is what a Location
has, ``bodies`` what is brought, and ``showing`` makes the shapes of our values.
"""

from typing import Any, Generic, Literal, TypeVar

from attrs import field, frozen
from dovetail.kernel import (
    AdmittedPrompt,
    ContinuationReport,
    Message,
    PermissionRequest,
    QuestionRequest,
    RecordedRequest,
    SavedApproval,
    SessionInfo,
)

T = TypeVar("T")


@frozen
class Data(Generic[T]):
    """What was asked for."""

    data: T


@frozen
class Cursors:
    """Where a listing goes on."""

    next: str | None = None
    """What comes after the page; left out on the last one."""
    previous: str | None = None
    """What stands before the page by then; left out where the page is empty."""


@frozen
class Listed(Generic[T]):
    """A page of a listing."""

    data: tuple[T, ...]
    cursor: Cursors


@frozen
class Project:
    """What a Location belongs to: here each directory is one of its own."""

    id: str
    directory: str


@frozen
class LocationInfo:
    """A Location."""

    directory: str
    project: Project
    """What it belongs to."""
    workspaceID: str | None = None


@frozen
class LocationRef:
    """Names a Location."""

    directory: str
    workspaceID: str | None = None


@frozen
class At(Generic[T]):
    """What there is in a Location."""

    location: LocationInfo
    data: T


@frozen
class ModelRef:
    """Names a model."""

    id: str
    providerID: str
    variant: str | None = field(
        default=None,
        metadata={
            "description": "How much it is to think, such as ``high``; left out, or "
            "``default``: as it is configured."
        },
    )


@frozen
class CacheTokens:
    """Parts of the input."""

    read: int
    """What was there already."""
    write: int
    """What is kept for later."""


@frozen
class Tokens:
    """Tokens that were used; 0 where nobody said."""

    input: int
    output: int
    reasoning: int
    cache: CacheTokens


@frozen
class Times:
    """Milliseconds since 1970."""

    created: int
    updated: int


@frozen
class SessionShape:
    """A session."""

    id: str
    projectID: str
    cost: float
    tokens: Tokens
    time: Times
    title: str
    location: LocationRef
    dovetail: SessionInfo
    parentID: str | None = None
    agent: str | None = None
    model: ModelRef | None = None


@frozen
class Running:
    """A session that somebody executes."""

    type: Literal["running"] = "running"


@frozen
class Source:
    """Where in the text an attachment is spoken of."""

    start: int
    """Its first character."""
    end: int
    """The one after its last."""
    text: str


@frozen
class Attachment:
    """A file that is attached, by content."""

    uri: str = field(
        metadata={
            "description": "``data:MIME;base64,...``; other addresses are not read."
        }
    )
    name: str | None = None
    mime: str | None = None
    description: str | None = None
    source: Source | None = None


@frozen
class AgentMention:
    """An agent that the text speaks of."""

    name: str
    source: Source | None = None


@frozen
class PromptShape:
    """What a caller says."""

    text: str
    files: tuple[Attachment, ...] = ()
    agents: tuple[AgentMention, ...] = ()
    """Agents that the text speaks of; they are not attached."""


@frozen
class AdmittedShape:
    """The receipt of an admission: the prompt is durable."""

    admittedSeq: int
    """The number of its event: read on after it."""
    id: str
    sessionID: str
    prompt: PromptShape
    delivery: Literal["steer", "queue"]
    timeCreated: int
    dovetail: AdmittedPrompt


@frozen
class Moment:
    """Milliseconds since 1970."""

    created: int
    completed: int | None = None


@frozen
class UnknownFailure:
    """Why something failed."""

    message: str
    type: Literal["unknown"] = "unknown"


@frozen
class ToolText:
    """Text of a result."""

    text: str
    type: Literal["text"] = "text"


@frozen
class ToolFile:
    """A file of a result."""

    uri: str
    mime: str
    name: str | None = None
    type: Literal["file"] = "file"


ToolContent = ToolText | ToolFile


@frozen
class CallPending:
    """The call is still being written."""

    input: str
    status: Literal["pending"] = "pending"


@frozen
class CallRunning:
    """The call runs, or waits to."""

    input: dict[str, Any]
    structured: dict[str, Any] = field(factory=dict)
    content: tuple[ToolContent, ...] = ()
    status: Literal["running"] = "running"


@frozen
class CallCompleted:
    """The call has its result."""

    input: dict[str, Any]
    content: tuple[ToolContent, ...]
    structured: dict[str, Any] = field(factory=dict)
    status: Literal["completed"] = "completed"


@frozen
class CallError:
    """The call failed."""

    input: dict[str, Any]
    content: tuple[ToolContent, ...]
    error: UnknownFailure
    structured: dict[str, Any] = field(factory=dict)
    status: Literal["error"] = "error"


@frozen
class TextShape:
    """Text that the model wrote."""

    id: str
    text: str
    type: Literal["text"] = "text"


@frozen
class ReasoningShape:
    """What the model thought."""

    id: str
    text: str
    type: Literal["reasoning"] = "reasoning"


@frozen
class ToolShape:
    """A call."""

    id: str
    name: str
    state: CallPending | CallRunning | CallCompleted | CallError
    time: Moment
    type: Literal["tool"] = "tool"


@frozen
class UserShape:
    """What somebody said."""

    id: str
    time: Moment
    text: str
    dovetail: Message
    files: tuple[Attachment, ...] = ()
    type: Literal["user"] = "user"


@frozen
class SystemShape:
    """What the runtime told the model."""

    id: str
    time: Moment
    text: str
    dovetail: Message
    type: Literal["system"] = "system"


@frozen
class CompactionShape:
    """What stands for older history."""

    id: str
    time: Moment
    summary: str
    """What is told in its place."""
    dovetail: Message
    recent: str = ""
    """Always empty: what is recent stays as it is."""
    reason: Literal["auto", "manual"] = "auto"
    """Whether somebody asked for it."""
    type: Literal["compaction"] = "compaction"


@frozen
class AssistantShape:
    """What one Step brought."""

    id: str
    time: Moment
    agent: str
    model: ModelRef
    content: tuple[TextShape | ReasoningShape | ToolShape, ...]
    dovetail: Message
    finish: str | None = None
    tokens: Tokens | None = None
    error: UnknownFailure | None = None
    type: Literal["assistant"] = "assistant"


MessageShape = UserShape | SystemShape | CompactionShape | AssistantShape


@frozen
class CallSource:
    """The call that asks."""

    messageID: str
    callID: str
    type: Literal["tool"] = "tool"


@frozen
class PermissionShape:
    """Something that waits for permission."""

    id: str
    sessionID: str
    action: str
    resources: tuple[str, ...]
    dovetail: PermissionRequest
    save: tuple[str, ...] = ()
    metadata: dict[str, Any] = field(factory=dict)
    source: CallSource | None = None


@frozen
class SavedShape:
    """A remembered ``always``."""

    id: str
    projectID: str
    action: str
    resource: str
    dovetail: SavedApproval


@frozen
class OptionShape:
    """An answer to choose."""

    label: str
    description: str


@frozen
class QuestionShape:
    """One question."""

    question: str
    """What is asked."""
    header: str
    options: tuple[OptionShape, ...]
    multiple: bool
    """Whether more than one can be chosen."""
    custom: bool
    """Whether one can answer in words of one's own."""


@frozen
class AskedCall:
    """The call that asks."""

    messageID: str
    callID: str


@frozen
class QuestionsShape:
    """Questions that wait for a person."""

    id: str
    sessionID: str
    questions: tuple[QuestionShape, ...]
    dovetail: QuestionRequest
    tool: AskedCall | None = None


@frozen
class DurableMark:
    """Where an event is in the log of its session."""

    aggregateID: str
    seq: int
    version: int


@frozen
class EventShape:
    """A durable event. ``type`` is its kind, and ``data`` the event as it is shown at
    every door; both are dovetail's own."""

    id: str
    type: str
    durable: DurableMark
    data: dict[str, Any]


@frozen
class HistoryShape:
    """A page of a session's log."""

    data: tuple[EventShape, ...]
    hasMore: bool


@frozen
class Health:
    """The server answers."""

    healthy: Literal[True] = True
    """Always."""
    version: str = ""


@frozen
class RevertShape:
    """What is hidden, from this message on."""

    messageID: str
    files: tuple[dict[str, Any], ...] = ()


@frozen
class ReportShape:
    """A Continuation Report."""

    digest: str
    """What it is accepted by."""
    clean: bool
    """Whether nothing is unknown and nothing moved."""
    report: ContinuationReport
    """All of it."""


@frozen
class CallRef:
    """Names a call."""

    messageID: str
    callID: str


@frozen
class RebuiltShape:
    """A request that was written again."""

    recorded: RecordedRequest
    """What was recorded of it when it was sent."""
    body: str
    """All of its bytes, in base64."""
    digest: str
    """SHA-256 of the bytes, in hexadecimal."""
    problem: str | None = None
    """Why these are not the bytes that were sent; left out: they are."""


@frozen
class OutputPage:
    """A part of the complete output of a call."""

    text: str
    offset: int
    """The first character of this part."""
    total: int
    """How many characters there are."""
    next: int | None = None
    """Where the next part begins; left out on the last one."""


__all__ = [name for name in dir() if name[0].isupper()]
