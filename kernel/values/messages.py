"""The transcript: messages in sequence order, as readers and routes see them."""

from collections.abc import Mapping
from typing import Literal

from attrs import field, frozen

from .ids import MessageId, SessionId
from .prompt import PromptFile
from .tool import CallState, Content, EffectClass, Failure, Json, TextContent


@frozen
class Usage:
    """Tokens of one request. None means that the provider did not say.

    ``input`` and ``output`` are totals; the others are parts of them.
    """

    input: int | None = None
    output: int | None = None
    reasoning: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None


@frozen
class TextPart:
    """Text that the model wrote."""

    text: str
    metadata: Mapping[str, Json] = field(factory=dict)
    """What the provider attached; sent only to the model that wrote it."""
    type: Literal["text"] = "text"


@frozen
class ReasoningPart:
    """What the model thought before it answered."""

    text: str
    metadata: Mapping[str, Json] = field(factory=dict)
    """What the provider wants back with it; sent only to the model that wrote it."""
    type: Literal["reasoning"] = "reasoning"


@frozen
class ToolPart:
    """One tool call and, once it is settled, its one result."""

    call_id: str
    """As the provider named it; unique within its message."""
    tool: str
    arguments: str
    """The JSON text that the model wrote."""
    state: CallState = "called"
    content: tuple[Content, ...] = ()
    """What the model is shown: the bounded Model Output."""
    failure: Failure | None = None
    effect: EffectClass | None = None
    """What a repeat would do, as the advertised tool declared it."""
    metadata: Mapping[str, Json] = field(factory=dict)
    reading: tuple[str, ...] = ()
    """What of the call was read differently from what the model wrote, a line each: it
    is told so beside the result."""
    type: Literal["tool"] = "tool"

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


Part = TextPart | ReasoningPart | ToolPart


@frozen
class UserMessage:
    """A promoted prompt."""

    id: MessageId
    session_id: SessionId
    seq: int
    """The sequence number of the event that made it visible: the transcript's order."""
    created: int
    text: str
    files: tuple[PromptFile, ...] = ()
    type: Literal["user"] = "user"


@frozen
class AssistantMessage:
    """What one Step brought: text, reasoning and calls, in the order they came."""

    id: MessageId
    session_id: SessionId
    seq: int
    created: int
    agent: str
    model: str
    """``provider/model``."""
    parts: tuple[Part, ...] = ()
    finish: str | None = None
    """A FinishReason, or None while the Step runs or when it failed."""
    usage: Usage | None = None
    failure: Failure | None = None
    ended: int | None = None
    """When the Step was settled, in milliseconds; None while it runs."""
    type: Literal["assistant"] = "assistant"

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
    session_id: SessionId
    seq: int
    created: int
    text: str
    type: Literal["notice"] = "notice"


Message = UserMessage | AssistantMessage | NoticeMessage
