"""Plain chats: what protocols have in common whose messages are a role and a content.

Owns what their requests are written by, how messages are joined to a body, and how an
answer of JSON objects is taken in until its end. What the objects are is the business
of each protocol: Cohere's, Ollama's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from attrs import frozen
from dovetail.kernel import (
    AnswerLimits,
    Json,
    Message,
    ModelEvent,
    ModelRequest,
    OutputMode,
    ProviderError,
    Redactor,
    RequestBody,
    Usage,
    clean_text,
    to_json,
)

from .endpoints import Endpoint
from .faults import ended_too_soon, read_objects
from .generation import Wanted
from .sse import SseEvent
from .wording import ToolList, carried_of, encoded_body, function_shapes, no_turns


@frozen
class PlainSettings:
    """What a request is written by: recorded with it, to write it again."""

    provider: str
    model: str
    """Its name at the provider."""
    options: Mapping[str, Json]
    """The configured ones."""
    thoughts: bool
    """Whether reasoning goes back to the model that wrote it."""

    @classmethod
    def of(cls, endpoint: Endpoint, model: str) -> "PlainSettings":
        """Return those of a model at an endpoint."""
        return cls(endpoint.provider, model, endpoint.options, endpoint.send_reasoning)


class PlainWriter:
    """Writes requests, as its settings say."""

    protocol: str
    """The protocol's name."""
    media: Mapping[str, int]
    """Bytes that one file may have, by the ability that it asks for."""

    def __init__(self, settings: PlainSettings) -> None:
        self._set = settings
        self._name = f"{settings.provider}/{settings.model}"
        self._tools = ToolList(function_shapes)
        # Made once: whoever records it compares it with the last one.
        self._recorded = to_json(settings)

    def encode_message(
        self, message: Message, carried: Sequence[str] | None = None
    ) -> bytes:
        """Return a message as objects joined by commas; empty when it says nothing.

        ``carried`` are the kinds of files that it may hold; all that can be, unless
        said.

        Raises:
            ProviderError: ``provider.invalid_request``: a call has no result.
        """
        raise NotImplementedError

    def output_mode(self, request: ModelRequest) -> OutputMode:
        """Return how a value would be asked for: neither of these protocols has a
        format for its answer that leaves room for calls."""
        return "tool" if request.tools else "native"

    def learned_from(self, error: ProviderError) -> bool:
        """Whether a refusal told how the endpoint wants to be asked: never."""
        return False

    def body(
        self, head: Mapping[str, Json], request: ModelRequest, wanted: Wanted
    ) -> RequestBody:
        """Return the body of a request: its head, the system text and the messages."""
        system = "\n\n".join(clean_text(one) for one in request.system if one.strip())
        messages = [said_by("system", content=system)] if system else []
        back = "" if self._set.thoughts else ":silent"
        carried = carried_of(request, self.media)
        messages += request.history.encoded(
            f"{self.protocol}:{self._name}{back}:{'+'.join(carried)}",
            lambda message: self.encode_message(message, carried),
            no_turns,
        )
        return encoded_body(
            self._set.provider,
            self.protocol,
            dict(head),
            messages,
            self._recorded,
            ignored=wanted.ignored,
        )


class PlainDecoder:
    """Reads one answer. Synchronous, and free of I/O."""

    def __init__(
        self,
        provider: str,
        redact: Redactor | None = None,
        limits: AnswerLimits | None = None,
    ) -> None:
        self.done = False
        """Whether the Finish was handed out."""
        self.ending = False
        """Never before the Finish: what tells the reason is the last object."""
        self.usage = Usage()
        """The tokens that were told so far."""
        self._provider = provider
        self._redact = redact or Redactor()
        self._limits = limits or AnswerLimits()
        self._begun = False

    def take(
        self, event: SseEvent, body: Mapping[str, Any], events: list[ModelEvent]
    ) -> None:
        """Take in one object of an event, and add what it brings.

        Raises:
            ProviderError: it breaks the protocol, or tells of a failure.
        """
        raise NotImplementedError

    def feed(self, event: SseEvent) -> list[ModelEvent]:
        """Return what this event brings.

        Raises:
            ProviderError: it breaks the protocol, or tells of a failure.
        """
        events: list[ModelEvent] = []
        for body in read_objects(self._provider, event.data):
            self.take(event, body, events)
            if self.done:
                break
        return events

    def finish(self) -> list[ModelEvent]:
        """Return what is left at the end of the stream.

        Raises:
            ProviderError: ``provider.stream_broken``: it ended too soon.
        """
        if self.done:
            return []
        raise ended_too_soon(self._provider, empty=not self._begun)

    def kept(self) -> list[ModelEvent]:
        """Return what is complete beyond what was handed out: nothing."""
        return []


def said_by(role: str, **more: Json) -> bytes:
    """Return one message."""
    return orjson.dumps({"role": role, **more})
