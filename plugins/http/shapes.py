"""Shapes: what goes over the wire, as opencode's V2 surface has it.

The names and meanings are those of ``@opencode-ai/sdk`` 1.19.3 (``dist/v2``), so that
its published client reads what it expects. What we know besides is under ``dovetail``,
as the kernel's own value. Owns the shapes; ``showing`` makes them of our values.
"""

from typing import Any, Generic, Literal, TypeVar

from attrs import field, frozen
from dovetail.kernel import (
    AdmittedPrompt,
    AgentProfile,
    Budget,
    ContinuationReport,
    Generation,
    Message,
    ModelInfo,
    Output,
    PermissionRequest,
    ProviderState,
    QuestionRequest,
    RecordedRequest,
    Rule,
    SavedApproval,
    Saving,
    SessionInfo,
    Skill,
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
class RequestSettings:
    """What is added to requests of a model. Never a secret."""

    headers: dict[str, str] = field(factory=dict)
    body: dict[str, Any] = field(factory=dict)


@frozen
class RuleShape:
    """A permission rule."""

    action: str
    resource: str
    effect: Literal["allow", "deny", "ask"]


@frozen
class AgentShape:
    """An agent."""

    id: str
    request: RequestSettings
    mode: Literal["subagent", "primary", "all"]
    hidden: bool
    permissions: tuple[RuleShape, ...]
    dovetail: AgentProfile
    model: ModelRef | None = None
    system: str | None = None
    description: str | None = None
    steps: int | None = None
    """How many Steps it may make for one input."""


@frozen
class Native:
    """A protocol that is spoken here."""

    settings: dict[str, Any] = field(factory=dict)
    url: str | None = None
    type: Literal["native"] = "native"


@frozen
class ModelApi:
    """How a model is asked."""

    id: str
    settings: dict[str, Any] = field(factory=dict)
    type: Literal["native"] = "native"


@frozen
class Capabilities:
    """What goes in and comes out of a model."""

    tools: bool = True
    """Whether it calls tools."""
    input: tuple[str, ...] = ("text",)
    output: tuple[str, ...] = ("text",)


@frozen
class ModelRequestShape:
    """What is added to its requests."""

    headers: dict[str, str] = field(factory=dict)
    body: dict[str, Any] = field(factory=dict)
    variant: str | None = None


@frozen
class VariantShape:
    """How much a model is to think."""

    id: str
    headers: dict[str, str] = field(factory=dict)
    """Always empty: how its provider is told is the protocol's."""
    body: dict[str, Any] = field(factory=dict)
    """Always empty: how its provider is told is the protocol's."""


@frozen
class Released:
    """When it came out."""

    released: int = 0
    """Milliseconds since 1970; 0 where that is unknown."""


@frozen
class CacheCost:
    """US dollars for a million tokens."""

    read: float
    """What was there already."""
    write: float
    """What is kept for later."""


@frozen
class Tier:
    """From how many tokens of input on."""

    size: int
    """Tokens of input."""
    type: Literal["context"] = "context"


@frozen
class CostShape:
    """US dollars for a million tokens."""

    input: float
    output: float
    cache: CacheCost
    tier: Tier | None = None
    """From how much input on; left out: from the beginning."""


@frozen
class Limit:
    """Tokens; 0 where that is unknown."""

    context: int
    """All that a request and its answer may have."""
    output: int


@frozen
class ModelShape:
    """A model that is known by name."""

    id: str
    providerID: str
    name: str
    api: ModelApi
    capabilities: Capabilities
    request: ModelRequestShape
    time: Released
    cost: tuple[CostShape, ...]
    limit: Limit
    dovetail: ModelInfo
    variants: tuple[VariantShape, ...] = ()
    status: Literal["alpha", "beta", "deprecated", "active"] = "active"
    enabled: bool = True
    """Whether it can be chosen."""


@frozen
class ProviderShape:
    """Who serves models."""

    id: str
    name: str
    disabled: bool
    api: Native
    request: RequestSettings
    dovetail: ProviderState


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
class SkillShape:
    """A skill."""

    name: str
    location: str
    content: str
    dovetail: Skill
    description: str | None = None
    slash: bool | None = None
    """Whether only a person begins with it."""


@frozen
class ArgumentShape:
    """One argument of a command."""

    name: str
    description: str
    required: bool
    """Whether nothing is said without it."""


@frozen
class CommandShape:
    """A command that stands for a prompt."""

    name: str
    template: str
    """What is typed to say it, with ``name=...`` for each argument that it needs."""
    arguments: tuple[ArgumentShape, ...]
    """What it takes, in the order in which it may be typed."""
    description: str | None = None


@frozen
class Entry:
    """A file or a directory."""

    path: str
    type: Literal["file", "directory"]


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


# --- what is brought --------------------------------------------------------------


@frozen
class CreateBody:
    """A new session. ``id`` makes the call repeatable; one that is there is returned as
    it is, and all else counts for nothing."""

    id: str | None = None
    agent: str | None = None
    model: ModelRef | None = None
    location: LocationRef | None = None
    title: str | None = None
    budget: Budget | None = None
    parent: str | None = None
    instructions: str | None = None
    generation: Generation | None = None
    fallback: tuple[str, ...] | None = None


@frozen
class PromptBody:
    """A prompt. ``id`` names the message that it becomes, and makes the call
    repeatable; so does ``key``, or the header ``Idempotency-Key``."""

    prompt: PromptShape
    id: str | None = None
    delivery: Literal["steer", "queue"] | None = None
    resume: bool | None = None
    key: str | None = None
    budget: Budget | None = None
    instructions: str | None = None
    output: Output | None = None
    generation: Generation | None = None


@frozen
class TypedBody:
    """What a person typed."""

    prompt: PromptShape
    files: bool = False
    """Whether files that ``@path`` names are attached, too."""


@frozen
class AgentBody:
    """Another agent; null for the configured one."""

    agent: str | None


@frozen
class ModelBody:
    """Another model; null for the configured one."""

    model: ModelRef | None


@frozen
class ReplyBody:
    """What a person says to a permission request."""

    reply: Literal["once", "always", "reject"]
    """``always`` is remembered, ``reject`` denies."""
    message: str | None = None
    shown: str | None = None
    by: Literal["person", "policy"] = field(
        default="person",
        metadata={
            "description": "``policy``: it was decided before anybody asked, such as "
            "by an option of a command."
        },
    )
    saving: Saving | None = field(
        default=None,
        metadata={
            "description": "What ``always`` is to remember; without it what was "
            "offered, in the Location where it was asked."
        },
    )


@frozen
class RulesBody:
    """Rules of permissions, as somebody wrote them."""

    rules: tuple[Rule, ...]


@frozen
class Meaning:
    """What rules mean in a Location."""

    rules: tuple[Rule, ...]
    """With what else they mean there."""
    odd: tuple[str, ...]
    """A line for each that is about something that no tool there asks."""


@frozen
class AnswersBody:
    """The labels that were chosen, or one's own words, for each question in order."""

    answers: tuple[tuple[str, ...], ...]
    shown: str | None = None


@frozen
class RejectBody:
    """Why the questions are not answered; without a message the run stops."""

    message: str | None = None
    shown: str | None = None


@frozen
class StageBody:
    """The first message that is to be hidden."""

    messageID: str
    files: bool | None = None


@frozen
class ResumeBody:
    """The digest of the Continuation Report that is accepted."""

    accept: str | None = None
    """Left out: only what is clean goes on."""


@frozen
class InterruptBody:
    """Why it is stopped."""

    reason: str | None = None
    """Told to the model and to whoever looks later."""


@frozen
class DeliveryBody:
    """How a pending input is to be delivered."""

    delivery: Literal["steer", "queue"]


@frozen
class BudgetBody:
    """What all the work of the session may use; null for no limit."""

    budget: Budget | None


@frozen
class GenerationBody:
    """How the session's answers are generated; null for nothing any more."""

    generation: Generation | None


@frozen
class FallbackBody:
    """Models that go on where the session's does not answer, in this order; null for
    the configured ones."""

    models: tuple[str, ...] | None
    """Each as ``provider/model``; empty for none."""


@frozen
class InstructionsBody:
    """What the session is to keep to; null for nothing any more."""

    instructions: str | None


@frozen
class TitleBody:
    """What a person would call it."""

    title: str


@frozen
class ForkBody:
    """The last event, or message, that is shared; without it, all there is."""

    at: int | str | None = None
    """The number of an event, or the id of a message."""
    id: str | None = None
    title: str | None = None


@frozen
class MoveBody:
    """Where the session is to work."""

    location: LocationRef


@frozen
class MessageBody:
    """The last message that the model is to see."""

    messageID: str


@frozen
class ExtendBody:
    """For how long a job may run from now on."""

    seconds: float


@frozen
class AnyReplyBody:
    """An answer of the request's own kind."""

    answer: Any
    """A word for a permission; for any other an object in the shape of its kind."""
    message: str | None = None
    session_id: str | None = None
    shown: str | None = None
    by: Literal["person", "policy"] = "person"
    """``policy``: it was decided before anybody asked."""
    saving: Saving | None = None
    """What ``always`` of a permission is to remember, in place of what was offered."""


__all__ = [name for name in dir() if name[0].isupper()]
