"""Session events: the durable facts, their kinds and versions, and the live deltas.

Owns every kind that the kernel records, how each is encoded, and the hash that chains
them. Knows nothing of stores. A kind, once released, keeps its meaning; a change is a
new version with an upcaster from the one before (law events.6).

Content events name the message they belong to. A Step's beginning is durable and
small, deltas are live only, and each part is durable once, whole, when it is complete.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, TypeVar

import orjson
from attrs import field, frozen

from .codec import converter, dumps, from_json, loads, unstructure_without_defaults
from .errors import EventDamagedError, EventKindError, EventVersionError
from .ids import MessageId, RequestId, SessionId
from .messages import Usage
from .prompt import Budget, Delivery, Prompt
from .shortcut import changed, shortcut
from .tool import Content, EffectClass, Failure, Json

Retention = Literal["forever", "transcript", "trace"]
"""What may ever be removed. ``forever``: nothing. ``transcript``: the content, when the
person deletes it. ``trace``: the content, once its session is idle."""

NO_HASH = bytes(32)
"""The predecessor hash of an aggregate's first event."""


@frozen(kw_only=True)
class Event:
    """One durable fact of one session.

    ``seq`` is -1 until the event is committed; then it is its place in the session's
    log, gap-free from 0 (law events.1).
    """

    kind: ClassVar[str] = ""
    version: ClassVar[int] = 1
    retention: ClassVar[Retention] = "forever"

    session_id: SessionId
    seq: int = -1
    created: int = 0
    """Milliseconds since 1970, for people; order is ``seq``."""


E_ = TypeVar("E_", bound=type[Event])

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]

_KINDS: dict[str, type[Event]] = {}
_UPCASTERS: dict[tuple[str, int], Upcaster] = {}
_UNSTRUCTURE: dict[type[Event], Callable[[Event], dict[str, Any]]] = {}
_SHORTCUTS: dict[str, tuple[int, Callable[..., Event]]] = {}

ENVELOPE = ("session_id", "seq", "created")


def event(
    kind: str, *, version: int = 1, retention: Retention = "forever"
) -> Callable[[E_], E_]:
    """Declare a class as the current version of a kind."""

    def declare(declared: E_) -> E_:
        if kind in _KINDS:
            raise ValueError(f"event kind {kind!r} is declared twice")
        declared.kind = kind
        declared.version, declared.retention = version, retention
        _KINDS[kind] = declared
        return declared

    return declare


def upcaster(kind: str, version: int) -> Callable[[Upcaster], Upcaster]:
    """Declare a pure function from the data of this version to the next one's."""

    def declare(function: Upcaster) -> Upcaster:
        _UPCASTERS[kind, version] = function
        return function

    return declare


def kinds() -> Mapping[str, type[Event]]:
    """Return every kind with its current class."""
    return dict(_KINDS)


# --- the session ------------------------------------------------------------------


@event("session.created")
@frozen(kw_only=True)
class SessionCreated(Event):
    """A session exists. Always the first event."""

    directory: str
    workspace: str | None = None
    title: str | None = None
    agent: str | None = None
    model: str | None = None
    parent: str | None = None
    """The session this one was forked from."""
    budget: Budget | None = None
    """For all the work of the session."""


@event("session.model_switched")
@frozen(kw_only=True)
class ModelSwitched(Event):
    """The session's model changed; Steps use it from the next boundary on."""

    model: str | None


@event("session.agent_switched")
@frozen(kw_only=True)
class AgentSwitched(Event):
    """The session's agent changed; Steps use it from the next boundary on."""

    agent: str | None


@event("session.titled")
@frozen(kw_only=True)
class SessionTitled(Event):
    """The session has a new title."""

    title: str


@event("session.budgeted")
@frozen(kw_only=True)
class SessionBudgeted(Event):
    """The session has another budget; what was used before counts."""

    budget: Budget | None


@event("session.pruned")
@frozen(kw_only=True)
class SessionPruned(Event):
    """Content of earlier events was removed; what is left of them says so."""

    classes: tuple[Retention, ...]
    events: int
    bytes: int


@event("session.repaired")
@frozen(kw_only=True)
class SessionRepaired(Event):
    """The log was damaged from ``first`` on. What was stored there was set aside, and
    the session went on from the last sound event."""

    first: int
    last: int
    failure: Failure


@event("event.set_aside")
@frozen(kw_only=True)
class EventSetAside(Event):
    """Stands for one event that was set aside, so that no sequence number is ever
    given out twice (law storage.3)."""


# --- the inbox --------------------------------------------------------------------


@event("prompt.admitted", retention="transcript")
@frozen(kw_only=True)
class PromptAdmitted(Event):
    """A prompt was accepted. It is not visible to the model yet."""

    input_id: MessageId
    prompt: Prompt
    delivery: Delivery
    key: str | None = None
    budget: Budget | None = None
    """For the work that it begins, until other input with a budget comes."""


@event("prompt.promoted")
@frozen(kw_only=True)
class PromptPromoted(Event):
    """The admitted prompt is a user message now, under the id of its input."""

    input_id: MessageId


@event("prompt.withdrawn")
@frozen(kw_only=True)
class PromptWithdrawn(Event):
    """The caller took a pending prompt back."""

    input_id: MessageId


@event("prompt.redelivered")
@frozen(kw_only=True)
class PromptRedelivered(Event):
    """The caller changed how a pending prompt is delivered."""

    input_id: MessageId
    delivery: Delivery


# --- execution --------------------------------------------------------------------

OutcomeStatus = Literal["succeeded", "failed", "interrupted", "paused"]


@event("execution.started")
@frozen(kw_only=True)
class ExecutionStarted(Event):
    """A worker began to work on the session."""

    owner: str
    """Which worker: opaque, different for every opened runtime."""


@event("execution.ended")
@frozen(kw_only=True)
class ExecutionEnded(Event):
    """The worker stopped, and why (law execution.7)."""

    status: OutcomeStatus
    reason: Failure | None = None


@event("facts.recorded")
@frozen(kw_only=True)
class FactsRecorded(Event):
    """What the Steps from here on rest on. Recorded when any of it changed.

    Compared one by one when another process takes over (law recovery.5).
    """

    agent: str
    model: str
    tools: Mapping[str, str]
    """The digest of each advertised definition, by name."""
    rules: str
    """The digest of the agent's permission rules."""
    approvals: tuple[str, ...] = ()
    """The ids of the saved approvals."""
    plugins: Mapping[str, str] = field(factory=dict)
    """The version of each plugin of the Location, by name."""


@event("continuation.reported")
@frozen(kw_only=True)
class ContinuationReported(Event):
    """What was trusted and what had moved when a worker took the session over."""

    digest: str
    report: Json
    """A ContinuationReport as JSON."""


@event("continuation.accepted")
@frozen(kw_only=True)
class ContinuationAccepted(Event):
    """Execution may continue from this report (law recovery.4)."""

    digest: str
    by: str
    """``person``: the report was accepted by its digest. ``prompt``: by a new prompt.
    ``clean``: nothing was unknown and nothing had moved. ``policy``: by
    ``resume="always"``."""
    attempt: int = 0
    """How many times in a row it went on by itself, this one included."""


@event("context.epoch_started", retention="transcript")
@frozen(kw_only=True)
class EpochStarted(Event):
    """A rendered Baseline is the prefix of every request from here on."""

    baseline: str
    sources: Mapping[str, str]
    """The digest of each source's value, by key."""
    cause: str = "first"


@event("context.updated", retention="transcript")
@frozen(kw_only=True)
class ContextUpdated(Event):
    """The model is told, between other messages, what is newly true."""

    message_id: MessageId
    text: str
    sources: Mapping[str, str | None]
    """The new digests by key; None for a source that was removed."""


@event("notice.added", retention="transcript")
@frozen(kw_only=True)
class NoticeAdded(Event):
    """The runtime tells the model something, such as that a run was interrupted."""

    message_id: MessageId
    text: str


@event("step.started")
@frozen(kw_only=True)
class StepStarted(Event):
    """A request is about to be sent; its answer is this message."""

    message_id: MessageId
    agent: str
    model: str


@event("retry.scheduled", retention="trace")
@frozen(kw_only=True)
class RetryScheduled(Event):
    """The request failed before it brought anything and will be sent again."""

    message_id: MessageId
    attempt: int
    """The number of the attempt that comes, from 2."""
    delay_ms: int
    failure: Failure


@event("step.ended")
@frozen(kw_only=True)
class StepEnded(Event):
    """The Step is settled: its answer is whole and all its calls have results."""

    message_id: MessageId
    finish: str
    usage: Usage = field(factory=Usage)
    cost: float | None = None
    """US dollars; None when no price is known."""


@event("step.failed")
@frozen(kw_only=True)
class StepFailed(Event):
    """The Step is settled without a whole answer; what had come is kept."""

    message_id: MessageId
    failure: Failure
    usage: Usage = field(factory=Usage)


@event("text.ended", retention="transcript")
@frozen(kw_only=True)
class TextEnded(Event):
    """A text part, whole."""

    message_id: MessageId
    text: str


@event("reasoning.ended", retention="transcript")
@frozen(kw_only=True)
class ReasoningEnded(Event):
    """A reasoning part, whole."""

    message_id: MessageId
    text: str
    metadata: Mapping[str, Json] = field(factory=dict)


@event("tool.called", retention="transcript")
@frozen(kw_only=True)
class ToolCalled(Event):
    """A complete call, durable before anything of it starts (law tools.1)."""

    message_id: MessageId
    call_id: str
    tool: str
    arguments: str
    """The JSON text that the model wrote, unchanged."""
    effect: EffectClass | None = None
    """The effect class of the advertised tool; None when no such tool was offered."""
    metadata: Mapping[str, Json] = field(factory=dict)


@event("tool.started")
@frozen(kw_only=True)
class ToolStarted(Event):
    """The executor may have run from here on (law recovery.3).

    Once more, when it goes on from a question to a person, and when another worker
    runs the call again.
    """

    message_id: MessageId
    call_id: str


@event("tool.succeeded", retention="transcript")
@frozen(kw_only=True)
class ToolSucceeded(Event):
    """The call's one settlement: what the model is shown."""

    message_id: MessageId
    call_id: str
    content: tuple[Content, ...]
    data: Json = None
    """The structured output, where it says more than the content."""
    managed: str | None = None
    """The key of the complete output, when the content was cut."""
    files: Mapping[str, str | None] = field(factory=dict)
    """The files that the call read or wrote, by path, with the digest of what they
    held afterwards; None for a file that is gone."""


@event("tool.failed", retention="transcript")
@frozen(kw_only=True)
class ToolFailed(Event):
    """The call's one settlement: why there is no result."""

    message_id: MessageId
    call_id: str
    failure: Failure
    managed: str | None = None


# --- requests to a person ---------------------------------------------------------

PermissionReply = Literal["once", "always", "reject"]
"""What a person says to a permission request."""

RequestOutcome = Literal["answered", "withdrawn", "expired"]
"""``answered``: somebody said something. ``withdrawn``: whoever asked does not want to
know any more. ``expired``: nobody said anything in time."""


@event("request.asked", retention="transcript")
@frozen(kw_only=True)
class RequestAsked(Event):
    """A call waits for a person.

    Once more, under the same id, when another worker goes on with the call and waits.
    """

    request_id: RequestId
    """Unique in its session."""
    what: str
    """The kind of request: ``permission``, for example."""
    agent: str
    """Whose call it is."""
    body: Mapping[str, Json]
    """What is asked, in the shape of its kind."""
    message_id: MessageId | None = None
    call_id: str | None = None
    begun: bool = False
    """Whether the call may have had an effect before it asked (law recovery.3)."""
    expires: int | None = None
    """Milliseconds since 1970 from which on no answer counts any more."""


@event("request.answered", retention="transcript")
@frozen(kw_only=True)
class RequestAnswered(Event):
    """A request came to its end, exactly once (law access.5)."""

    request_id: RequestId
    outcome: RequestOutcome
    by: str
    """Who: ``person``, ``policy``, ``interrupt``, a name given by whoever answered, or
    the id of the request whose answer decided this one too."""
    answer: Mapping[str, Json] = field(factory=dict)
    """What was said, in the shape of its kind. Empty unless it was answered."""


@event("plugin.disabled")
@frozen(kw_only=True)
class PluginDisabled(Event):
    """A plugin failed too often in this Location and is not called any more."""

    plugin: str
    failure: Failure


# --- live only --------------------------------------------------------------------


@frozen
class LiveDelta:
    """Something that is shown while it happens and never stored (law events.8).

    ``what`` says what ``text`` is more of: ``text``, ``reasoning``, ``tool_input`` or
    ``progress``; ``part`` tells the parts of one message apart.
    """

    session_id: SessionId
    message_id: MessageId
    what: Literal["text", "reasoning", "tool_input", "progress"]
    part: str
    text: str
    kind: ClassVar[str] = "live.delta"


LiveEvent = Event | LiveDelta


# --- encoding ---------------------------------------------------------------------


def encode_event(item: Event) -> bytes:
    """Return the event's own fields as JSON; the envelope is stored beside them."""
    declared = type(item)
    unstructure = _UNSTRUCTURE.get(declared)
    if unstructure is None:
        unstructure = unstructure_without_defaults(declared, *ENVELOPE)
        _UNSTRUCTURE[declared] = unstructure
    return dumps(unstructure(item))


def decode_event(
    kind: str, version: int, data: bytes, session_id: str, seq: int, created: int
) -> Event:
    """Return a stored event, brought to its kind's current version.

    Raises:
        EventKindError: the kind is unknown.
        EventVersionError: the version is unknown, or newer than this release.
        EventDamagedError: the data does not decode.
    """
    quick = _SHORTCUTS.get(kind) or _shortcut(kind)
    # A damaged file gives anything for a number; what is given is not checked.
    if version == quick[0] and type(seq) is int and type(created) is int:
        try:
            return quick[1](orjson.loads(data), session_id, seq, created)
        except Exception:
            # Wrong, or right in a rare way: the codec says which.
            pass
    declared = _KINDS.get(kind)
    if declared is None:
        raise EventKindError(session_id, seq, f"unknown kind {kind!r}")
    try:
        fields = loads(data)
        while version != declared.version:
            lift = _UPCASTERS.get((kind, version))
            if lift is None:
                raise EventVersionError(
                    session_id, seq, f"unknown version {version} of kind {kind!r}"
                )
            fields, version = lift(fields), version + 1
        fields["session_id"], fields["seq"] = session_id, seq
        fields["created"] = created
        return from_json(fields, declared, kind)
    except (EventVersionError, EventKindError):
        raise
    except Exception as error:
        raise EventDamagedError(session_id, seq, str(error)) from error


def _shortcut(kind: str) -> tuple[int, Callable[..., Event]]:
    """Return the current version of a kind and what reads it; 0 for an unknown one."""
    declared = _KINDS.get(kind)
    if declared is None:
        return 0, Event
    made = declared.version, shortcut(declared, *ENVELOPE)
    return _SHORTCUTS.setdefault(kind, made)


def stamped(item: Event, seq: int, created: int) -> Event:
    """Return the event as it was committed."""
    return changed(item, seq=seq, created=created)


def event_to_json(item: LiveEvent) -> dict[str, Json]:
    """Return an event as every door shows it: the envelope, then its own fields."""
    own = converter.unstructure(item)
    shown = {"kind": item.kind, **own}
    if isinstance(item, Event):
        shown = {
            "seq": item.seq,
            "kind": item.kind,
            "version": item.version,
            **own,
        }
    return shown


def chain_hash(
    previous: bytes,
    session_id: str,
    seq: int,
    kind: str,
    version: int,
    created: int,
    payload: bytes,
) -> bytes:
    """Return the hash of an event, which carries its predecessor's (law events.9).

    ``payload`` is the SHA-256 of the data, not the data: the chain still verifies
    after retention replaced the data by its digest.
    """
    header = f"{session_id}\0{seq}\0{kind}\0{version}\0{created}\0".encode()
    return hashlib.sha256(previous + header + payload).digest()


def payload_digest(data: bytes) -> bytes:
    """Return the digest of an event's data that the chain covers."""
    return hashlib.sha256(data).digest()
