"""The publisher: from what a model streams to what is recorded and what is shown.

Owns the parts of one message while they stream. A state machine without I/O: it takes
model events and returns the durable events that are complete now, in the order they
must be stored; when to commit them is the Step's decision. Deltas go to the live feed
and nowhere else (law events.8).

Every event is checked (``handover``) before anything depends on it, and counted, so
that no answer costs more than its limits (law execution.9).
"""

import base64
import hashlib
from collections.abc import Mapping
from typing import Literal

from attrs import define, field

from ..log.live import LiveFeed
from ..values.codec import clean_text, dumps, from_json, sanitised, to_json
from ..values.errors import ProviderError, ProviderFault
from ..values.events import Event, FileMade, LiveDelta, ReasoningEnded, TextEnded
from ..values.ids import MessageId, SessionId
from ..values.messages import Citation
from ..values.request import (
    AnswerLimits,
    Finish,
    ModelEvent,
    ModelFile,
    ReasoningDelta,
    ReasoningEnd,
    TextDelta,
    TextEnd,
    ToolCall,
    ToolInputDelta,
)
from ..values.tool import Json
from .handover import problem_with


@define
class _Part:
    """A text or reasoning part that is not complete yet."""

    what: Literal["text", "reasoning"]
    blocks: list[str] = field(factory=list)
    pieces: list[str] = field(factory=list)
    metadata: Mapping[str, Json] = field(factory=dict)
    citations: tuple[Citation, ...] = ()
    ended: bool = False

    def add(self, text: str) -> None:
        """Add a piece. Many small ones cost many times their text, so they are put
        together now and then."""
        self.pieces.append(text)
        if len(self.pieces) >= _PIECES:
            self.blocks.append("".join(self.pieces))
            self.pieces.clear()

    @property
    def text(self) -> str:
        """All of it so far."""
        return "".join([*self.blocks, *self.pieces])


_PIECES = 4096
_CITED = tuple[Citation, ...]


class Publisher:
    """The parts of one message, as one stream brings them."""

    def __init__(
        self,
        session_id: SessionId,
        message_id: MessageId,
        provider: str,
        live: LiveFeed,
        limits: AnswerLimits | None = None,
        files: dict[str, bytes] | None = None,
    ) -> None:
        """``files`` is where the bytes of files are put that the model made, by their
        keys."""
        self._session_id = session_id
        self._message_id = message_id
        self._provider = provider
        self._live = live
        # In the order they began, which is the order they are stored in.
        self._parts: dict[tuple[str, str], _Part] = {}
        self._call_ids: set[str] = set()
        self._limits = limits or AnswerLimits()
        self._files = {} if files is None else files
        self._file_size = 0
        self._events = 0
        self._part_count = 0
        self._sizes = {"text": 0, "reasoning": 0}
        self._inputs: dict[str, int] = {}
        self.finish: Finish | None = None
        self.has_output = False
        """Whether anything came that a watcher may have seen or a log may hold."""
        self.has_answer = False
        """Whether there was text that says something, or a call."""
        self.thought = False
        """Whether there was reasoning."""

    def take(self, event: ModelEvent) -> list[Event]:
        """Take in one event and return what became durable-to-be by it.

        For a ToolCall: everything that began before it, so that the order of the
        parts is kept; the call itself is the Step's to record.

        Raises:
            ProviderError: ``provider.invalid_output``, naming the event and the rule:
                it is no model event or one with a wrong value, comes after Finish or
                after the end of its part, or uses the call id of another call;
                ``provider.answer_limit``: it goes beyond what an answer may hold.
        """
        self._events += 1
        wrong = problem_with(event)
        if wrong is not None:
            raise self._invalid(wrong)
        if self.finish is not None:
            raise self._invalid(
                f"{type(event).__name__}: nothing may come after Finish"
            )
        if self._events > self._limits.events:
            raise self._beyond(f"{self._limits.events} events")
        self.has_output = True
        if isinstance(event, TextDelta):
            self._delta("text", event.part, event.text)
        elif isinstance(event, ReasoningDelta):
            self._delta("reasoning", event.part, event.text)
        elif isinstance(event, ToolInputDelta):
            self._input(event)
            self._show("tool_input", event.call_id, event.text)
        elif isinstance(event, TextEnd):
            self._end("text", event.part, event.metadata)
            self._cite(event)
        elif isinstance(event, ReasoningEnd):
            self._end("reasoning", event.part, event.metadata)
        elif isinstance(event, ModelFile):
            return self._file(event)
        elif isinstance(event, ToolCall):
            if event.call_id in self._call_ids:
                raise self._invalid(
                    f"ToolCall: the call id {event.call_id[:80]!r} was used before"
                )
            if len(self._call_ids) >= self._limits.calls:
                raise self._beyond(f"{self._limits.calls} calls")
            size = len(event.arguments) + len(event.tool) + len(event.call_id)
            if size > self._limits.arguments:
                raise self._beyond(
                    f"{self._limits.arguments} characters of arguments of one call"
                )
            self._call_ids.add(event.call_id)
            self.has_answer = True
            return self.flush()
        else:
            self.finish = event
            return self.flush()
        return []

    def flush(self) -> list[Event]:
        """Return every part that is held, complete or not, and hold none."""
        events: list[Event] = []
        for part in self._parts.values():
            text = clean_text(part.text)
            if part.what == "text":
                if text or part.metadata:
                    events.append(
                        TextEnded(
                            session_id=self._session_id,
                            message_id=self._message_id,
                            text=text,
                            metadata=part.metadata,
                            citations=part.citations,
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

    def _file(self, event: ModelFile) -> list[Event]:
        """Return a file, after everything that began before it."""
        self._file_size += len(event.data)
        if self._file_size > self._limits.files:
            raise self._beyond(f"{self._limits.files} characters of files")
        self._part_count += 1
        if self._part_count > self._limits.parts:
            raise self._beyond(f"{self._limits.parts} parts")
        metadata = sanitised(dict(event.metadata))
        if metadata:
            self._count("reasoning", len(dumps(metadata)))
        data = base64.b64decode(event.data)
        key = hashlib.sha256(data).hexdigest()
        self._files[key] = data
        self.has_answer = True
        made = FileMade(
            session_id=self._session_id,
            message_id=self._message_id,
            mime=event.mime,
            bytes=len(data),
            managed=key,
            metadata=metadata,
        )
        return [*self.flush(), made]

    def _delta(self, what: Literal["text", "reasoning"], name: str, text: str) -> None:
        part = self._parts.get((what, name))
        if part is None:
            part = self._begin(what, name)
        elif part.ended:
            raise self._invalid(
                f"{what.capitalize()}Delta: part {name[:80]!r} went on after its end"
            )
        self._count(what, len(text))
        self.thought = self.thought or what == "reasoning"
        part.add(text)
        if what == "text" and not self.has_answer:
            self.has_answer = bool(text.strip())
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
            part = self._begin(what, name)
        part.ended = True
        part.metadata = sanitised(dict(metadata or {}))
        if part.metadata:
            self._count("reasoning", len(dumps(part.metadata)))

    def _cite(self, event: TextEnd) -> None:
        """Take in what a text rests on."""
        if event.citations:
            cited = from_json(sanitised(to_json(list(event.citations))), _CITED)
            self._count("reasoning", len(dumps(to_json(cited))))
            self._parts["text", event.part].citations = cited

    def _begin(self, what: Literal["text", "reasoning"], name: str) -> _Part:
        self._part_count += 1
        if self._part_count > self._limits.parts:
            raise self._beyond(f"{self._limits.parts} parts")
        part = self._parts[what, name] = _Part(what)
        return part

    def _count(self, what: Literal["text", "reasoning"], size: int) -> None:
        self._sizes[what] += size
        limit = self._limits.text if what == "text" else self._limits.reasoning
        if self._sizes[what] > limit:
            raise self._beyond(f"{limit} characters of {what}")

    def _input(self, event: ToolInputDelta) -> None:
        size = self._inputs.get(event.call_id, 0) + len(event.text)
        self._inputs[event.call_id] = size
        if size > self._limits.arguments:
            raise self._beyond(
                f"{self._limits.arguments} characters of arguments of one call"
            )
        if len(self._inputs) > self._limits.calls:
            raise self._beyond(f"{self._limits.calls} calls")

    def _show(
        self, what: Literal["text", "reasoning", "tool_input"], part: str, text: str
    ) -> None:
        if self._live.watched:
            self._live.publish(
                LiveDelta(self._session_id, self._message_id, what, part, text)
            )

    def _invalid(self, problem: str) -> ProviderError:
        return self._error(
            "provider.invalid_output",
            f"invalid stream: event {self._events}: {problem}",
        )

    def _beyond(self, what: str) -> ProviderError:
        return self._error(
            "provider.answer_limit",
            f"the answer went on after {what}, which is the most that one may hold",
        )

    def _error(self, fault: ProviderFault, problem: str) -> ProviderError:
        return ProviderError(fault, self._provider, problem)
