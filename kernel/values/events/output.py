"""What an answer holds besides text and calls: values and files."""

from collections.abc import Mapping

from attrs import field

from ..frozen import frozen
from ..ids import MessageId
from ..tool import Json
from .declaring import Event, event


@event("output.accepted", retention="transcript")
@frozen(kw_only=True)
class OutputAccepted(Event):
    """The value that a prompt wanted is here. Where the execution ends with it, that is
    the next event."""

    input_id: MessageId
    """The prompt that it answers."""
    message_id: MessageId
    """The message that held it."""
    value: Json
    """The value, as JSON data that fits the schema of the prompt."""


@event("output.refused", retention="transcript")
@frozen(kw_only=True)
class OutputRefused(Event):
    """An answer was not the value that a prompt wanted. Its text is that of the
    message."""

    input_id: MessageId
    """The prompt that wanted it."""
    message_id: MessageId
    """The message that held something else."""
    problem: str
    """Why, as the model is told."""
    final: bool = False
    """Whether the model is not asked again."""


@event("file.made", retention="transcript")
@frozen(kw_only=True)
class FileMade(Event):
    """The model made a file, such as an image. Its bytes are kept beside the log."""

    message_id: MessageId
    """The message that it is a part of."""
    mime: str
    """Its media type."""
    bytes: int
    """How many it has."""
    managed: str | None = None
    """The SHA-256 of the bytes, in hexadecimal, under which they are kept; None where
    pruning removed them."""
    metadata: Mapping[str, Json] = field(factory=dict)
    """What the provider attached to it."""
