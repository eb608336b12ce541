"""What is asked of a model and what it streams back, in no provider's words."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol

from attrs import field

from .frozen import frozen
from .generation import Generation, ToolChoice
from .messages import Citation, Message, Usage
from .output import Output
from .sent import RequestBody
from .tool import Json, ToolDefinition

FinishReason = Literal[
    "stop", "length", "tool_calls", "continues", "content_filter", "error", "unknown"
]


@frozen
class ModelInfo:
    """What is known of one model. None means unknown, which is not zero."""

    name: str
    """``provider/model``."""
    context: int | None = None
    """Tokens that fit, input and output together."""
    output: int | None = None
    """Tokens that it can write at most."""
    price: "Price | None" = None
    """What its tokens cost; None when that is not known."""
    abilities: tuple[str, ...] | None = None
    """What it can do besides reading and writing text, in alphabetical order, of
    ``audio``, ``image``, ``pdf`` and ``video`` (it reads them), ``makes_audio``,
    ``makes_image``, ``reasoning``, ``schema`` (it keeps to a schema that it is given)
    and ``tools``; None when that is not known."""
    released: str | None = None
    """When it came, as a date: ``2025-08-07``, or only the year and the month."""
    knowledge: str | None = None
    """Up to when it knows of the world, in the same way."""
    deprecated: bool = False
    """Whether its provider advises against it."""

    def over(self, other: "ModelInfo") -> "ModelInfo":
        """Return what is said of the model here, and where nothing is, what the other
        one says."""
        return ModelInfo(
            self.name,
            other.context if self.context is None else self.context,
            other.output if self.output is None else self.output,
            other.price if self.price is None else self.price,
            other.abilities if self.abilities is None else self.abilities,
            other.released if self.released is None else self.released,
            other.knowledge if self.knowledge is None else self.knowledge,
            self.deprecated or other.deprecated,
        )


@frozen
class PriceAbove:
    """What all tokens of a request cost whose input is a long one."""

    over: int
    """It holds for a request with more tokens of input than this."""
    input: float
    """As in ``Price``."""
    output: float
    """As in ``Price``."""
    cache_read: float | None = None
    """As in ``Price``."""
    cache_write: float | None = None
    """As in ``Price``."""


@frozen
class Price:
    """US dollars for a million tokens."""

    input: float
    """US dollars for a million tokens that are sent."""
    output: float
    """US dollars for a million tokens that come back."""
    cache_read: float | None = None
    """None: as much as input."""
    cache_write: float | None = None
    """US dollars for a million tokens that the provider keeps; None: as ``input``."""
    above: tuple[PriceAbove, ...] = ()
    """Other prices for long requests, in any order; the highest bound that is passed
    counts, for all tokens of the request."""

    def of(self, usage: Usage) -> float | None:
        """Return what a request cost, in US dollars, counted in decimals; None where
        the provider did not tell all that was sent and all that came back."""
        if usage.input is None or usage.output is None:
            return None
        # Here, because most runs end before they know a price.
        from decimal import Decimal

        given = usage.input
        at: Price | PriceAbove = self
        for one in sorted(self.above, key=lambda one: one.over):
            at = one if given > one.over else at
        read, write = usage.cache_read or 0, usage.cache_write or 0
        plain = max(0, given - read - write)
        per_read = at.input if at.cache_read is None else at.cache_read
        per_write = at.input if at.cache_write is None else at.cache_write
        counted = (
            (plain, at.input),
            (read, per_read),
            (write, per_write),
            (usage.output, at.output),
        )
        total = sum(tokens * Decimal(str(price)) for tokens, price in counted)
        return float(total / 1_000_000)


@frozen
class AnswerLimits:
    """How much one answer may hold.

    Whoever reads an answer stops at these, so that a model that runs away, or a
    server that means harm, costs a known amount of memory and time. They are far above
    what any model can write on purpose. A limit that is reached is a ProviderError
    ``provider.answer_limit``; what was complete before it is kept.
    """

    text: int = 2 * 1024 * 1024
    """Characters of text, all parts together. What is kept of it is one event, and
    everybody waits while that is written."""
    reasoning: int = 2 * 1024 * 1024
    """Characters of reasoning, with what the provider wants back with it."""
    arguments: int = 4 * 1024 * 1024
    """Characters of one call's arguments."""
    calls: int = 256
    """Calls in one answer."""
    parts: int = 4096
    """Parts of text and reasoning in one answer."""
    events: int = 4_000_000
    """Model events, the empty ones too."""
    files: int = 64 * 1024 * 1024
    """Characters in base64 of all files that the model makes."""
    quiet: int = 1_000_000
    """Events on the wire in a row that bring nothing of the answer."""
    stream: int = 256 * 1024 * 1024
    """Bytes on the wire, with everything that means nothing."""


class RequestHistory(Protocol):
    """The Session History of one request.

    It grows from request to request by whole messages at its end. What a route makes
    of a message is made once and kept with it, so that the cost of a request does not
    grow with the session, and the bytes of one request begin with those of the one
    before (law context.1).
    """

    @property
    def messages(self) -> Sequence[Message]:
        """The messages in transcript order; every call in them has its result."""
        ...

    def encoded(
        self,
        dialect: str,
        encode: Callable[[Message], bytes],
        join: Callable[[bytes, bytes], bytes | None] | None = None,
    ) -> list[bytes]:
        """Return ``encode(message)`` of each message, each made only once.

        ``dialect`` names everything that the result depends on besides the message:
        the protocol, the model, options. ``encode`` must be a pure function of both.

        With ``join``, what is empty is left out, and neighbours may be made one:
        ``join(before, message)`` returns both as one, or None where they stay two.
        ``before`` may be several that were joined already. It must be a pure function
        of the two and the dialect. Each message is joined once, however many requests
        it is in.
        """
        ...


@frozen
class ModelRequest:
    """One request: everything a route needs to make a Physical Attempt."""

    model: str
    """The model's name at its provider, without the provider's prefix."""
    system: tuple[str, ...]
    """The Baseline and the agent's instructions, in order."""
    history: RequestHistory
    """What was said so far."""
    tools: tuple[ToolDefinition, ...] = ()
    """In name order, so that the same set always gives the same bytes."""
    tool_choice: ToolChoice = "auto"
    """``none``: the tools stay in the request, because earlier calls refer to them,
    and the model must answer without calling any. ``required``: it must call one, and
    a NamedTool: that one."""
    max_output: int | None = None
    """Tokens that the answer may have; None leaves it to the provider."""
    options: Mapping[str, Json] = field(factory=dict)
    """Settings in the words of the provider, added to the body as they are."""
    generation: Generation = field(factory=Generation)
    """How the answer is wanted. Its ``tool_choice`` and ``max_output`` are None: what
    became of them is above. What a protocol has no word for it leaves out, and names in
    ``RequestBody.ignored``."""
    reads: tuple[str, ...] | None = None
    """Which files the model is known to read, of ``audio``, ``image`` and ``pdf``; None
    where that is not known. A route sends no other ones, and says in their places what
    is left out."""
    output: Output | None = None
    """The value that the text of the answer is to be, by the provider's own means; only
    for a route whose ``output_mode`` says ``native``."""
    witness: Callable[[RequestBody], None] | None = field(
        default=None, eq=False, repr=False
    )
    """Who is told what is sent; see ``sends``."""

    def sends(self, body: RequestBody) -> None:
        """Tell which bytes are about to be sent, before they are.

        A route that writes a body of its own calls this once, so that what was sent is
        recorded, can be written again and is compared with the request before it (laws
        travel.1 and travel.2). Of one that does not, the request itself is recorded.

        Raises:
            InvalidValueError: it is no body.
        """
        if self.witness is not None:
            self.witness(body)


# --- what streams back ------------------------------------------------------------


@frozen
class TextDelta:
    """More of a text part. The first delta of a ``part`` begins it."""

    part: str
    """Which part it is of; unique within the answer."""
    text: str
    """What is new."""


@frozen
class TextEnd:
    """A text part is complete. Optional: parts also end with the stream.

    ``metadata`` is what the provider attached to it (citations, a thought signature);
    it is only ever sent to the model that wrote it.
    """

    part: str
    """Which part it is."""
    metadata: Mapping[str, Json] = field(factory=dict)
    """What the provider attached to it."""
    citations: tuple[Citation, ...] = ()
    """What the text rests on, in no provider's words."""


@frozen
class ReasoningDelta:
    """More of a reasoning part."""

    part: str
    """Which part it is of; unique within the answer."""
    text: str
    """What is new."""


@frozen
class ReasoningEnd:
    """A reasoning part is complete.

    ``metadata`` is what the provider wants back with it (a signature, encrypted
    content); it is only ever sent to the model that wrote it.
    """

    part: str
    """Which part it is."""
    metadata: Mapping[str, Json] = field(factory=dict)
    """What the provider attached to it."""


@frozen
class ToolInputDelta:
    """More of a call's arguments, as text. For watchers only."""

    call_id: str
    """Which call it is of."""
    tool: str
    """The tool that the model named, as soon as that is known."""
    text: str
    """What is new of the arguments."""


@frozen
class ToolCall:
    """A complete call.

    ``arguments`` is the text that the model wrote, parsed by nobody yet. ``metadata``
    is what the provider attached to it, as for a part. ``cut`` says that the model ran
    out of output inside it; ``refused``, when it is not None, why the provider itself
    would not have it. Such a call is recorded and never run: it fails, and the model
    is told why.
    """

    call_id: str
    """The provider's name for it; unique within the answer."""
    tool: str
    """The tool that the model named."""
    arguments: str
    """The text that the model wrote."""
    metadata: Mapping[str, Json] = field(factory=dict)
    """What the provider attached to it."""
    cut: bool = False
    """Whether the model ran out of output inside it."""
    refused: str | None = None
    """Why the provider itself would not have it; None when it does."""


@frozen
class ModelFile:
    """A file that the model made, such as an image, whole.

    It is kept beside the log, as the complete output of a call is, and the transcript
    has its key.
    """

    part: str
    """Which part it is; unique within the answer."""
    mime: str
    """Its media type, such as ``image/png``."""
    data: str
    """The bytes in base64."""
    metadata: Mapping[str, Json] = field(factory=dict)
    """What the provider attached to it; only the model that made it is sent it again.
    The bytes are no part of it."""


@frozen
class Finish:
    """The response is complete. Exactly one, and the last event of a stream."""

    reason: FinishReason
    """Why the model stopped. ``continues``: the provider paused the turn, and goes on
    with it once it is sent back as it is."""
    usage: Usage = field(factory=Usage)
    """The tokens of the request, as far as the provider told."""


ModelEvent = (
    TextDelta
    | TextEnd
    | ReasoningDelta
    | ReasoningEnd
    | ToolInputDelta
    | ToolCall
    | ModelFile
    | Finish
)
