"""Decoding at a desk: bytes through framing and protocol, without a connection."""

from collections.abc import Iterable
from typing import Any

from attrs import define, field
from dovetail.kernel import (
    Finish,
    ModelEvent,
    ProviderError,
    ReasoningDelta,
    ReasoningEnd,
    TextDelta,
    TextEnd,
    ToolCall,
)
from dovetail.plugins.providers.amazon import EventStreamDecoder
from dovetail.plugins.providers.candidates import GeminiDecoder
from dovetail.plugins.providers.chat import ChatDecoder
from dovetail.plugins.providers.cohere_chat import CohereDecoder
from dovetail.plugins.providers.converse import ConverseDecoder
from dovetail.plugins.providers.items import ResponsesDecoder
from dovetail.plugins.providers.messages import MessagesDecoder
from dovetail.plugins.providers.ndjson import LineDecoder
from dovetail.plugins.providers.ollama_chat import OllamaDecoder
from dovetail.plugins.providers.reading import is_whole
from dovetail.plugins.providers.routes import Frames
from dovetail.plugins.providers.sse import SseDecoder

DECODERS: dict[str, Any] = {
    "chat": ChatDecoder,
    "anthropic": MessagesDecoder,
    "responses": ResponsesDecoder,
    "gemini": GeminiDecoder,
    "ollama": OllamaDecoder,
    "bedrock-converse": ConverseDecoder,
    "cohere": CohereDecoder,
}


@define
class Answered:
    """What a stream came to."""

    events: list[ModelEvent] = field(factory=list)
    error: ProviderError | None = None

    @property
    def text(self) -> str:
        return "".join(e.text for e in self.events if isinstance(e, TextDelta))

    @property
    def reasoning(self) -> str:
        return "".join(e.text for e in self.events if isinstance(e, ReasoningDelta))

    @property
    def calls(self) -> list[ToolCall]:
        return [e for e in self.events if isinstance(e, ToolCall)]

    @property
    def reasons(self) -> list[Any]:
        return [e.metadata for e in self.events if isinstance(e, ReasoningEnd)]

    @property
    def finish(self) -> Finish | None:
        last = self.events[-1] if self.events else None
        return last if isinstance(last, Finish) else None

    def check(self) -> None:
        """Check what every stream must keep, however it ended."""
        finishes = [e for e in self.events if isinstance(e, Finish)]
        assert len(finishes) == (0 if self.error else 1)
        assert self.error or self.finish is not None
        begun: set[str] = set()
        ended: set[str] = set()
        for event in self.events:
            if isinstance(event, TextDelta | ReasoningDelta):
                assert event.part not in ended
                begun.add(event.part)
            elif isinstance(event, TextEnd | ReasoningEnd):
                assert event.part in begun - ended
                ended.add(event.part)
        ids = [call.call_id for call in self.calls]
        assert all(ids)
        assert len(ids) == len(set(ids))


def pieces(body: bytes, size: int | None) -> Iterable[bytes]:
    """Return the bytes in pieces of a size; None means all at once."""
    if size is None:
        return [body]
    return (body[at : at + size] for at in range(0, len(body), size))


def decode(protocol: str, body: bytes, size: int | None = None) -> Answered:
    """Decode a whole body as a route does, without a connection."""
    answered = Answered()
    decoder = DECODERS[protocol]("test")
    frames: Frames = SseDecoder(whole=is_whole)
    if protocol == "ollama":
        frames = LineDecoder()
    elif body.startswith(b"\0"):
        frames = EventStreamDecoder("test")
    try:
        for piece in pieces(body, size):
            for event in frames.feed(piece):
                answered.events += decoder.feed(event)
                if decoder.done:
                    answered.check()
                    return answered
        for event in frames.finish():
            answered.events += decoder.feed(event)
            if decoder.done:
                break
        answered.events += decoder.finish()
    except ProviderError as error:
        answered.error = error
    answered.check()
    return answered
