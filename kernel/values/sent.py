"""What was sent: the body of a request as a route made it, and what is recorded of it.

Owns both values. The body is told in parts, so that whoever looks at it need not look
at what it has seen before. Knows no protocol.
"""

from collections.abc import Mapping, Sequence

from attrs import field

from .frozen import frozen
from .generation import Generation, ToolChoice
from .output import Output
from .tool import Json


@frozen
class RequestBody:
    """The body of one request, as it goes over the wire.

    Its bytes are the head, the messages with commas between them, and the tail; and the
    mark, where there is one. What
    does not change from request to request belongs into the head, and what is new at
    the end of the messages.
    """

    protocol: str
    """Which protocol wrote it: by this name it is asked to write it again."""
    head: bytes
    """All before the first message."""
    messages: Sequence[bytes]
    """The messages, in order; none of them is empty."""
    tail: bytes = b""
    """All after the last message."""
    settings: Mapping[str, Json] = field(factory=dict)
    """What its bytes depend on besides the request, in the protocol's own words: the
    configured options, say. No key is among them."""
    ignored: tuple[str, ...] = ()
    """Names of generation options that were wanted and are not in it, because the
    protocol or the model knows no word for them: a preference, without which the answer
    is one all the same."""
    mark: bytes = b""
    """What this request alone has within its last message, such as up to where a
    provider is to keep it: the messages are as the next request has them."""
    closes: int = 0
    """How many bytes of the last message come after the mark."""

    @property
    def data(self) -> bytes:
        """The bytes. Made anew each time."""
        if not self.messages:
            return self.head + self.tail
        # A long history is copied once, and not once more to put the head before it.
        first, *more = self.messages
        pieces = [self.head + first, *more]
        if self.mark:
            end = len(pieces[-1]) - self.closes
            pieces[-1] = b"".join((pieces[-1][:end], self.mark, pieces[-1][end:]))
        pieces[-1] += self.tail
        return b",".join(pieces)


@frozen
class RequestDescription:
    """What a request was made of, besides the transcript."""

    protocol: str
    """Which protocol wrote the body; ``canonical`` where the route told of none."""
    plugin: str | None
    """Whose provider it was."""
    model: str
    """The model's name at its provider."""
    settings: Mapping[str, Json]
    """What the protocol wrote it by, in its own words."""
    system: tuple[str | None, ...]
    """What the model was told before all messages; None stands for the Baseline."""
    tools: str
    """JSON of the tool definitions, in order."""
    tool_choice: ToolChoice = "auto"
    """Whether a tool might be called."""
    max_output: int | None = None
    """Tokens that the answer might have."""
    options: Mapping[str, Json] = field(factory=dict)
    """What plugins added, in the words of the provider."""
    generation: Generation | None = None
    """How the answer was wanted, where anything was said of it."""
    ignored: tuple[str, ...] = ()
    """Which of that the protocol or the model knows no word for."""
    reads: tuple[str, ...] | None = None
    """Which files the model was known to read."""
    output: Output | None = None
    """The value that was asked for in the provider's own way, if any."""
    altered: bool = False
    """Whether a plugin put other messages in the place of the transcript's."""


@frozen
class SentRequest:
    """What is recorded of one Physical Attempt: which bytes it was."""

    digest: str
    """SHA-256 of the body, in hexadecimal."""
    bytes: int
    """How many bytes the body had."""
    made_of: str
    """Names the description of what it was made of besides the transcript."""
    prefix: int
    """How many of its bytes are its head and its messages: the next request of the
    epoch begins with them, or says why not."""
    prefix_digest: str
    """SHA-256 of these bytes, in hexadecimal."""
    parted: str | None = None
    """What was changed since the request before it in the epoch, where this one does
    not begin with it: such as ``tools`` or ``message 3``. None where it does."""
    description: RequestDescription | None = None
    """What ``made_of`` names, where no event before tells it."""


@frozen
class AskedText:
    """One request to a model for a text, besides the Steps, such as for a summary.

    With its description, which holds the instructions, it is all that the request was
    made of.
    """

    model: str
    """Which model was asked, as ``provider/model``."""
    text: str
    """What it was handed, as the only message."""
    request: SentRequest
    """What was sent. Its description is with it."""
