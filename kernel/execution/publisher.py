"""The publisher: from what a model streams to what is recorded and what is shown.

Owns the parts of one message while they stream. A state machine without I/O: it takes
model events and returns the durable events that are complete now, in the order they
must be stored; when to commit them is the Step's decision. Deltas go to the live feed
and nowhere else (law events.8).
"""

from collections.abc import Mapping
from typing import Literal

from attrs import define, field

from ..log.live import LiveFeed
from ..values.codec import clean_text, sanitised
from ..values.errors import ProviderError
from ..values.events import Event, LiveDelta, ReasoningEnded, TextEnded
from ..values.ids import MessageId, SessionId
from ..values.request import (
    Finish,
    ModelEvent,
    ReasoningDelta,
    ReasoningEnd,
    TextDelta,
    TextEnd,
    ToolCall,
    ToolInputDelta,
)
from ..values.tool import Json


@define
class _Part:
    """A text or reasoning part that is not complete yet."""

    what: Literal["text", "reasoning"]
    pieces: list[str] = field(factory=list)
    metadata: Mapping[str, Json] = field(factory=dict)
    ended: bool = False


class Publisher:
    """The parts of one message, as one stream brings them."""

    def __init__(
        self,
        session_id: SessionId,
        message_id: MessageId,
        provider: str,
        live: LiveFeed,
    ) -> None:
        self._session_id = session_id
        self._message_id = message_id
        self._provider = provider
        self._live = live
        # In the order they began, which is the order they are stored in.
        self._parts: dict[tuple[str, str], _Part] = {}
        self._call_ids: set[str] = set()
        self.finish: Finish | None = None
        self.brought = False
        """Whether anything came that a watcher may have seen or a log may hold."""

    def take(self, event: ModelEvent) -> list[Event]:
        """Take in one event and return what became durable-to-be by it.

        For a ToolCall: everything that began before it, so that the order of the
        parts is kept; the call itself is the Step's to record.

        Raises:
            ProviderError: the stream breaks its contract: something after Finish, a
                second end of a part, or a call id used twice in one message.
        """
        if self.finish is not None:
            raise self._invalid("it went on after its end")
        self.brought = True
        if isinstance(event, TextDelta):
            self._delta("text", event.part, event.text)
        elif isinstance(event, ReasoningDelta):
            self._delta("reasoning", event.part, event.text)
        elif isinstance(event, ToolInputDelta):
            self._show("tool_input", event.call_id, event.text)
        elif isinstance(event, TextEnd):
            self._end("text", event.part)
        elif isinstance(event, ReasoningEnd):
            self._end("reasoning", event.part, event.metadata)
        elif isinstance(event, ToolCall):
            if event.call_id in self._call_ids:
                raise self._invalid(f"it used the call id {event.call_id!r} twice")
            self._call_ids.add(event.call_id)
            return self.flush()
        else:
            self.finish = event
            return self.flush()
        return []

    def flush(self) -> list[Event]:
        """Return every part that is held, complete or not, and hold none."""
        events: list[Event] = []
        for part in self._parts.values():
            text = clean_text("".join(part.pieces))
            if part.what == "text":
                if text:
                    events.append(
                        TextEnded(
                            session_id=self._session_id,
                            message_id=self._message_id,
                            text=text,
                        )
                    )
            elif text or part.metadata:
                events.append(
                    ReasoningEnded(
                        session_id=self._session_id,
                        message_id=self._message_id,
                        text=text,
                        metadata=part.metadata,
                    )
                )
        self._parts.clear()
        return events

    def _delta(self, what: Literal["text", "reasoning"], name: str, text: str) -> None:
        part = self._parts.get((what, name))
        if part is None:
            part = self._parts[what, name] = _Part(what)
        elif part.ended:
            raise self._invalid(f"part {name!r} went on after its end")
        part.pieces.append(text)
        self._show(what, name, text)

    def _end(
        self,
        what: Literal["text", "reasoning"],
        name: str,
        metadata: Mapping[str, Json] | None = None,
    ) -> None:
        part = self._parts.get((what, name))
        if part is None:
            # Reasoning may be all metadata: redacted, or encrypted.
            part = self._parts[what, name] = _Part(what)
        part.ended = True
        part.metadata = sanitised(metadata or {})

    def _show(
        self, what: Literal["text", "reasoning", "tool_input"], part: str, text: str
    ) -> None:
        if self._live.watched:
            self._live.publish(
                LiveDelta(self._session_id, self._message_id, what, part, text)
            )

    def _invalid(self, problem: str) -> ProviderError:
        return ProviderError(
            "provider.invalid_output", self._provider, f"invalid stream: {problem}"
        )
