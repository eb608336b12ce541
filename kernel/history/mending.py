"""Mending: a history that a provider refused is sent again without what it refused.

Owns which messages a model is shown in other words than the log has, since its
provider would not take what they hold: an image that cannot be read, a signature that
is no longer good, a block that it does not know. The log and the transcript keep all
of it; only the history for the model is mended. A fold, as the history is: what is
replaced follows from the events.

A provider says that it refuses something, and seldom what. So the least is left out
first, and what turned out not to be the reason is put back:

1. the files that no answer came after yet;
2. all files;
3. what was attached to the model's own parts and calls, and its reasoning;
4. both.

An answer confirms what is left out then. When even the last does not help, everything
is put back: it was refused for another reason.

What a provider refused to answer, before it said a word, it would refuse in every later
request too. Nothing is tried again then: the run has failed and a person knows why. But
what was new in that request is left out of those that follow.
"""

from collections.abc import Callable, Mapping, Sequence

from attrs import evolve

from ..values.messages import (
    AssistantMessage,
    FilePart,
    Message,
    Part,
    TextPart,
    ToolPart,
    UserMessage,
)
from ..values.tool import Content, FileContent, TextContent

CONTENT_REFUSED = "provider.content_refused"
WITHHELD = "[left out: the provider refused to answer this]"
PART_REFUSED = "provider.part_refused"
"""The failure of a Step whose request was refused for something in its messages."""

_LAST = 4


class Mending:
    """What is left out of the messages of one history."""

    def __init__(self) -> None:
        self._stage = 0
        self._originals: dict[int, Message] = {}
        self._answered = 0

    def answered(self, index: int) -> None:
        """The message at this index answers all before it: what was left out, is."""
        self._answered = index
        self._originals.clear()
        self._stage = 0

    def asked(self) -> None:
        """There is new input: what could not be mended may be tried again."""
        if self._stage > _LAST:
            self._stage = 0

    def helps(self, messages: Sequence[Message]) -> bool:
        """Whether a refusal now would change what is sent."""
        return self._next(messages) is not None

    def refused(self, messages: list[Message]) -> int | None:
        """Mend the messages in place; return the first index that changed, or None."""
        found = self._next(messages)
        touched = set(self._originals)
        if found is None and not touched:
            return None
        for index, message in self._originals.items():
            messages[index] = message
        self._originals.clear()
        self._stage = _LAST + 1
        if found is not None:
            self._stage, made = found
            touched |= made.keys()
            for index, message in made.items():
                self._originals[index] = messages[index]
                messages[index] = message
        return min(touched)

    def withhold(self, messages: list[Message]) -> int | None:
        """Leave out what no answer came after; return the first index that changed."""
        changed = None
        for index in range(self._answered, len(messages)):
            made = _withheld(messages[index])
            if made is not messages[index]:
                messages[index] = made
                self._originals.pop(index, None)
                changed = index if changed is None else changed
        return changed

    def moved(
        self, places: Mapping[int, int], change: Callable[[Message], Message]
    ) -> None:
        """The messages are at other places now, and what is not among them is gone;
        each was changed like this."""
        self._originals = {
            places[index]: change(message)
            for index, message in self._originals.items()
            if index in places
        }
        before = [new for old, new in places.items() if old <= self._answered]
        self._answered = max(before, default=0)

    def put_back(self, messages: list[Message]) -> int | None:
        """Undo what no answer confirmed: the refusal had another reason."""
        if not self._originals:
            return None
        self._stage = _LAST
        first = min(self._originals)
        for index, message in self._originals.items():
            messages[index] = message
        self._originals.clear()
        return first

    def _next(
        self, messages: Sequence[Message]
    ) -> tuple[int, dict[int, Message]] | None:
        """Return the next stage that changes anything, and what it makes."""
        now = {index: messages[index] for index in self._originals}
        for stage in range(self._stage + 1, _LAST + 1):
            begin = self._answered if stage == 1 else 0
            made: dict[int, Message] = {}
            for index in range(begin, len(messages)):
                message = self._originals.get(index, messages[index])
                mended = message
                if stage != 3:
                    mended = _without_files(mended)
                if stage >= 3:
                    mended = _without_attachments(mended)
                if mended is not message:
                    made[index] = mended
            if made and made != now:
                return stage, made
        return None


def _withheld(message: Message) -> Message:
    if isinstance(message, UserMessage):
        return evolve(message, text=WITHHELD, files=())
    if not isinstance(message, AssistantMessage) or not message.calls:
        return message
    parts = tuple(
        evolve(part, content=(TextContent(WITHHELD),))
        if isinstance(part, ToolPart) and part.content
        else part
        for part in message.parts
    )
    return message if parts == message.parts else evolve(message, parts=parts)


def _without_files(message: Message) -> Message:
    if isinstance(message, UserMessage):
        kept = tuple(one for one in message.files if _is_text(one.mime))
        if len(kept) == len(message.files):
            return message
        notes = [_note(one.name, one.mime) for one in message.files if one not in kept]
        text = "\n\n".join([message.text, *notes] if message.text else notes)
        return evolve(message, text=text, files=kept)
    if not isinstance(message, AssistantMessage):
        return message
    parts = tuple(map(_part_without_files, message.parts))
    return message if parts == message.parts else evolve(message, parts=parts)


def _part_without_files(part: Part) -> Part:
    if not isinstance(part, ToolPart):
        return part
    content: tuple[Content, ...] = tuple(
        TextContent(_note(one.name or "file", one.mime))
        if isinstance(one, FileContent) and not _is_text(one.mime)
        else one
        for one in part.content
    )
    return part if content == part.content else evolve(part, content=content)


def _is_text(mime: str) -> bool:
    return mime.startswith("text/")


def _note(name: str, mime: str) -> str:
    return f"[{name} ({mime}) is left out: the provider refused it]"


def _without_attachments(message: Message) -> Message:
    if not isinstance(message, AssistantMessage):
        return message
    parts: list[Part] = []
    for part in message.parts:
        if isinstance(part, TextPart | ToolPart | FilePart):
            parts.append(evolve(part, metadata={}) if part.metadata else part)
    made = tuple(parts)
    return message if made == message.parts else evolve(message, parts=made)
