"""Cutting: what a model is shown of a history that became too long.

Owns the message that stands for what was replaced, and how tool results are shortened.
Pure functions of messages and events: what a model was shown follows from the log.
Knows nothing of when that is done (``compaction``).
"""

from collections.abc import Collection

from attrs import evolve

from ..values.events import CompactionEnded
from ..values.messages import (
    AssistantMessage,
    Message,
    Part,
    SummaryMessage,
    ToolPart,
)
from ..values.tool import Content, Failure, TextContent


def summary_message(event: CompactionEnded) -> SummaryMessage:
    """Return the message that stands for what was replaced."""
    return SummaryMessage(
        id=event.message_id,
        session_id=event.session_id,
        seq=event.seq,
        created=event.created,
        text=event.text,
        replaced=event.replaced,
    )


def note(message: Message) -> str:
    """Return what is said in the place of what a result lost."""
    return (
        f"[the rest of this result is not shown any more; it is at position "
        f"{message.seq} of the conversation]"
    )


def shortened(message: Message, longest: int, spared: Collection[str] = ()) -> Message:
    """Return a message whose tool results are no longer than so many characters.

    A file in a result that is over the bound goes as a whole; what is said in its
    place, and in that of a text's end, comes on top. One that was shortened before is
    as it was.
    """
    if not isinstance(message, AssistantMessage):
        return message
    parts: list[Part] = []
    for part in message.parts:
        if isinstance(part, ToolPart) and part.tool not in spared:
            part = _shortened(part, longest, note(message))
        parts.append(part)
    made = tuple(parts)
    return message if made == message.parts else evolve(message, parts=made)


def _shortened(part: ToolPart, longest: int, told: str) -> ToolPart:
    if part.failure is not None:
        text = part.failure.message
        if not _is_long(text, longest, told):
            return part
        failure = Failure(part.failure.code, f"{text[:longest]}\n{told}")
        return evolve(part, failure=failure)
    size = sum(
        len(one.text if isinstance(one, TextContent) else one.data)
        for one in part.content
    )
    if size <= longest + len(told) + 1:
        return part
    texts = "\n".join(one.text for one in part.content if isinstance(one, TextContent))
    content: tuple[Content, ...] = (TextContent(f"{texts[:longest]}\n{told}"),)
    return part if content == part.content else evolve(part, content=content)


def _is_long(text: str, longest: int, told: str) -> bool:
    # What was shortened to this already is no longer than this.
    return len(text) > longest + len(told) + 1
