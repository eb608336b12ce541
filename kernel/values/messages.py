"""The transcript: messages in sequence order, as readers and routes see them."""

from collections.abc import Mapping
from typing import Literal

from attrs import field

from .frozen import frozen
from .ids import JobId, MessageId, SessionId
from .prompt import PromptFile
from .tool import CallState, Content, EffectClass, Failure, Json, TextContent


@frozen
class Usage:
    """Tokens of one request. None means that the provider did not say.

    ``input`` and ``output`` are totals; the others are parts of them.
    """

    input: int | None = None
    """All that was sent."""
    output: int | None = None
    """All that came back."""
    reasoning: int | None = None
    """Of ``output``: what the model thought."""
    cache_read: int | None = None
    """Of ``input``: what the provider had kept from before."""
    cache_write: int | None = None
    """Of ``input``: what it keeps for later."""

    def __add__(self, other: "Usage") -> "Usage":
        """Return the tokens of both, as far as either provider said."""

        def both(one: int | None, more: int | None) -> int | None:
            return one if more is None else more if one is None else one + more

        return Usage(
            input=both(self.input, other.input),
            output=both(self.output, other.output),
            reasoning=both(self.reasoning, other.reasoning),
            cache_read=both(self.cache_read, other.cache_read),
            cache_write=both(self.cache_write, other.cache_write),
        )


@frozen
class Citation:
    """What a text that a model wrote rests on. None: the provider did not say."""

    url: str | None = None
    """Where it is. A stranger's word: nobody has looked there."""
    title: str | None = None
    """What it is called."""
    quote: str | None = None
    """What it says there."""
    start: int | None = None
    """The first character of the text that rests on it, as its provider counts."""
    end: int | None = None
    """The one behind the last, in the same way."""


@frozen
class TextPart:
    """Text that the model wrote."""

    text: str
    """All of it."""
    metadata: Mapping[str, Json] = field(factory=dict)
    """What the provider attached; sent only to the model that wrote it."""
    citations: tuple[Citation, ...] = ()
    """What it rests on, in no provider's words."""
    type: Literal["text"] = "text"
    """Tells the kinds of parts apart."""


@frozen
class ReasoningPart:
    """What the model thought before it answered."""

    text: str
    """All of it."""
    metadata: Mapping[str, Json] = field(factory=dict)
    """What the provider wants back with it; sent only to the model that wrote it."""
    type: Literal["reasoning"] = "reasoning"
    """Tells the kinds of parts apart."""


@frozen
class FilePart:
    """A file that the model made, such as an image. It is kept beside the log:
    ``session.file(part.key)`` gives its bytes."""

    mime: str
    """Its media type."""
    key: str | None
    """Names its bytes; None where pruning removed them."""
    bytes: int
    """How many there are."""
    metadata: Mapping[str, Json] = field(factory=dict)
    """What the provider attached to it."""
    type: Literal["file"] = "file"
    """Tells the kinds of parts apart."""

    @property
    def text(self) -> str:
        """What stands for it where only words can."""
        kept = f" managed:{self.key}" if self.key else ", removed"
        return f"[{self.mime}, {self.bytes} bytes{kept}]"


@frozen
class ToolPart:
    """One tool call and, once it is settled, its one result."""

    call_id: str
    """As the provider named it; unique within its message."""
    tool: str
    """The tool that the model named."""
    arguments: str
    """The JSON text that the model wrote."""
    state: CallState = "called"
    """How far the call has come."""
    content: tuple[Content, ...] = ()
    """What the model is shown: the bounded Model Output."""
    failure: Failure | None = None
    """Why there is no result; None when there is one or the call is open."""
    effect: EffectClass | None = None
    """What a repeat would do, as the advertised tool declared it."""
    metadata: Mapping[str, Json] = field(factory=dict)
    """What the provider attached to it; only the model that wrote it is sent it
    again."""
    reading: tuple[str, ...] = ()
    """What of the call was read differently from what the model wrote, a line each: it
    is told so beside the result."""
    type: Literal["tool"] = "tool"
    """Tells the kinds of parts apart."""

    @property
    def settled(self) -> bool:
        """Whether the call has its terminal outcome."""
        return self.state in ("succeeded", "failed")

    @property
    def text(self) -> str:
        """What the model was told: the result's text, or why there is none."""
        if self.failure is not None:
            return self.failure.message
        return "\n".join(
            one.text for one in self.content if isinstance(one, TextContent)
        )


Part = TextPart | ReasoningPart | ToolPart | FilePart


@frozen
class UserMessage:
    """A promoted prompt."""

    id: MessageId
    """That of the input that it was."""
    session_id: SessionId
    """The session that it belongs to."""
    seq: int
    """The sequence number of the event that made it visible: the transcript's order."""
    created: int
    """Milliseconds since 1970."""
    text: str
    """What was said."""
    files: tuple[PromptFile, ...] = ()
    """What was attached."""
    job_id: JobId | None = None
    """The job whose end it tells: then nobody said it, and the runtime wrote it."""
    type: Literal["user"] = "user"
    """Tells the kinds of messages apart."""


@frozen
class AssistantMessage:
    """What one Step brought: text, reasoning and calls, in the order they came."""

    id: MessageId
    """What ``session.message`` finds it by."""
    session_id: SessionId
    """The session that it belongs to."""
    seq: int
    """The number of the event that it began with."""
    created: int
    """Milliseconds since 1970."""
    agent: str
    """The name of the agent profile."""
    model: str
    """``provider/model``."""
    parts: tuple[Part, ...] = ()
    """Text, reasoning and calls, in the order they came."""
    finish: str | None = None
    """A FinishReason, or None while the Step runs or when it failed."""
    usage: Usage | None = None
    """The tokens of its request, and of the attempts that failed before it; None while
    it runs."""
    failure: Failure | None = None
    """Why the Step failed; None when it did not."""
    ended: int | None = None
    """When the Step was settled, in milliseconds; None while it runs."""
    type: Literal["assistant"] = "assistant"
    """Tells the kinds of messages apart."""

    @property
    def text(self) -> str:
        """All text parts, joined."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))

    @property
    def calls(self) -> tuple[ToolPart, ...]:
        """The tool calls, in the order that the model made them."""
        return tuple(part for part in self.parts if isinstance(part, ToolPart))


@frozen
class NoticeMessage:
    """Something the runtime tells the model between other messages.

    A Context update, or a note such as "the previous run was interrupted".
    """

    id: MessageId
    """What ``session.message`` finds it by."""
    session_id: SessionId
    """The session that it belongs to."""
    seq: int
    """The number of its event."""
    created: int
    """Milliseconds since 1970."""
    text: str
    """What the model is told, word for word."""
    type: Literal["notice"] = "notice"
    """Tells the kinds of messages apart."""


@frozen
class SummaryMessage:
    """What stands for older history: written by a model, and nobody's instruction.

    In a history it comes first, in the place of what it stands for; in the transcript,
    which stays whole, it comes where it was made.
    """

    id: MessageId
    """What ``session.message`` finds it by."""
    session_id: SessionId
    """The session that it belongs to."""
    seq: int
    """The number of its event."""
    created: int
    """Milliseconds since 1970."""
    text: str
    """What the model reads, word for word."""
    replaced: int = 0
    """How many messages it stands for."""
    type: Literal["summary"] = "summary"
    """Tells the kinds of messages apart."""


Message = UserMessage | AssistantMessage | NoticeMessage | SummaryMessage
