"""Messages: from the events of one message to the message.

Owns what an assistant message is while its events come, how far each of its calls has
come, and how a message is read again from where its row says that it is. The fold makes
the messages of a whole session with the same functions. Knows nothing of what is sent
to a model.
"""

from typing import Any, Literal

from ..log.reading import event_at, events_between, readable
from ..ports import MessageRow, Reader
from ..values import events as e
from ..values.errors import EventDamagedError
from ..values.frozen import frozen
from ..values.messages import (
    AssistantMessage,
    FilePart,
    Message,
    NoticeMessage,
    Part,
    ReasoningPart,
    TextPart,
    ToolPart,
    Usage,
    UserMessage,
)
from ..values.shortcut import changed
from ..values.tool import Deed, ProcessMark
from .cutting import summary_message

Progress = Literal["called", "started", "asking", "begun"]
"""How far a call without a result may have come: its executor did not run; it ran and
may have had its effect; it waits for the answer to a question that it asked before any
effect, so that it had none; it went on from a question, or was left by a worker while
it ran."""


@frozen
class Receipt:
    """What a call without a result recorded of what it does (law recovery.9)."""

    done: tuple[str, ...] = ()
    """What is done, in its order."""
    doing: tuple[str, ...] = ()
    """What may or may not be done: the last thing of each execution."""


class OpenMessage:
    """An assistant message while its events come."""

    def __init__(self, event: e.StepStarted) -> None:
        self.message = AssistantMessage(
            id=event.message_id,
            session_id=event.session_id,
            seq=event.seq,
            created=event.created,
            agent=event.agent,
            model=event.model,
        )
        self.parts: list[Part] = []
        self._lost = Usage()
        """What attempts took that failed before the one whose answer it is."""
        self._calls: dict[str, int] = {}
        self._progress: dict[str, Progress] = {}
        # Calls that another worker left after they may have had an effect: whatever
        # they ask now, they may have had it then.
        self._left: set[str] = set()
        self.spawned: dict[str, list[ProcessMark]] = {}
        self.deeds: dict[str, list[Deed]] = {}
        self.waiting: set[str] = set()
        """The calls that wait for something, as their tools say."""
        # Of each call how many deeds there were whenever a worker was gone: nobody
        # began another one after the last of them to say that it was done.
        self._cut: dict[str, set[int]] = {}

    def progress(self, call_id: str) -> Progress:
        """Return how far a call that has no result may have come."""
        return self._progress.get(call_id, "called")

    def taken_over(self) -> None:
        """Another worker goes on: who was asking has not gone on, nor will it."""
        for call_id, deeds in self.deeds.items():
            self._cut.setdefault(call_id, set()).add(len(deeds))
        for call_id, progress in self._progress.items():
            if progress == "asking":
                self._progress[call_id] = "called"
            elif progress in ("started", "begun"):
                self._progress[call_id] = "begun"
                self._left.add(call_id)

    def receipt(self, call_id: str) -> Receipt:
        """Return what a call that has no result did, as far as is known."""
        deeds = self.deeds.get(call_id, [])
        doing = {*self._cut.get(call_id, ()), len(deeds)}
        return Receipt(
            tuple(one.text for at, one in enumerate(deeds, 1) if at not in doing),
            tuple(one.text for at, one in enumerate(deeds, 1) if at in doing),
        )

    def apply(self, event: e.Event) -> None:
        """Take in one event of this message."""
        if isinstance(event, e.TextEnded):
            self.parts.append(TextPart(event.text, event.metadata, event.citations))
        elif isinstance(event, e.ReasoningEnded):
            self.parts.append(ReasoningPart(event.text, event.metadata))
        elif isinstance(event, e.FileMade):
            self.parts.append(
                FilePart(event.mime, event.managed, event.bytes, event.metadata)
            )
        elif isinstance(event, e.ToolCalled):
            self._calls[event.call_id] = len(self.parts)
            if event.waits:
                self.waiting.add(event.call_id)
            self.parts.append(
                ToolPart(
                    event.call_id,
                    event.tool,
                    event.arguments,
                    effect=event.effect,
                    metadata=event.metadata,
                    reading=event.reading,
                )
            )
        elif isinstance(event, e.ToolStarted):
            self._change(event, state="started")
            fresh = self.progress(event.call_id) == "called"
            self._progress[event.call_id] = "started" if fresh else "begun"
        elif isinstance(event, e.RequestAsked):
            self._asked(event)
        elif isinstance(event, e.ToolSpawned):
            self.spawned.setdefault(event.call_id, []).append(event.process)
        elif isinstance(event, e.ToolProceeded):
            self.deeds.setdefault(event.call_id, []).append(event.deed)
        elif isinstance(event, e.ToolSucceeded):
            self._change(event, state="succeeded", content=event.content)
        elif isinstance(event, e.ToolFailed):
            self._change(event, state="failed", failure=event.failure)
        elif isinstance(event, e.RetryScheduled):
            self._lost += event.usage
        elif isinstance(event, e.StepEnded):
            self.message = changed(
                self.message,
                finish=event.finish,
                usage=self._lost + event.usage,
                ended=event.created,
            )
        elif isinstance(event, e.StepFailed):
            self.message = changed(
                self.message,
                failure=event.failure,
                usage=self._lost + event.usage,
                ended=event.created,
            )

    def _asked(self, event: e.RequestAsked) -> None:
        call_id = event.call_id
        if (
            call_id is not None
            and not event.begun
            and call_id not in self._left
            and call_id not in self.deeds
            and self.progress(call_id) in ("started", "begun")
        ):
            self._progress[call_id] = "asking"

    def _change(
        self, event: e.ToolStarted | e.ToolSucceeded | e.ToolFailed, **changes: Any
    ) -> None:
        index = self._calls.get(event.call_id)
        if index is None:
            problem = f"it is of call {event.call_id!r}, which nobody made"
            raise EventDamagedError(event.session_id, event.seq, problem)
        part = self.parts[index]
        assert isinstance(part, ToolPart)
        self.parts[index] = changed(part, **changes)

    def build(self) -> AssistantMessage:
        """Return the message as far as it has come."""
        return changed(self.message, parts=tuple(self.parts))


def message_of(rows: Reader, row: MessageRow) -> Message:
    """Return one message of the transcript, read from its own events.

    Raises:
        EventDamagedError: an event that the message is made of cannot be read.
    """
    first = readable(event_at(rows, row.session_id, row.body_seq))
    if isinstance(first, e.PromptAdmitted):
        return user_message(first, row.seq)
    if isinstance(first, e.NoticeAdded | e.ContextUpdated):
        return notice_message(first)
    if isinstance(first, e.CompactionEnded):
        return summary_message(first)
    if not isinstance(first, e.StepStarted):
        raise EventDamagedError(
            row.session_id, row.body_seq, f"message {row.id!r} does not begin here"
        )
    opened = OpenMessage(first)
    for event in events_between(rows, row.session_id, row.body_seq, row.end_seq):
        if getattr(readable(event), "message_id", None) == row.id:
            opened.apply(event)
    return opened.build()


def user_message(event: e.PromptAdmitted, seq: int) -> UserMessage:
    return UserMessage(
        id=event.input_id,
        session_id=event.session_id,
        seq=seq,
        created=event.created,
        text=event.prompt.text,
        files=event.prompt.files,
        job_id=event.job_id,
    )


def notice_message(event: e.NoticeAdded | e.ContextUpdated) -> NoticeMessage:
    return NoticeMessage(
        id=event.message_id,
        session_id=event.session_id,
        seq=event.seq,
        created=event.created,
        text=event.text,
    )
