"""Candidates: how a stream of Gemini's generateContent is read.

Owns ``GeminiDecoder``. How a request is written is ``contents``'.
"""

import re
from collections.abc import Mapping
from typing import Any

from attrs import define, field
from dovetail.kernel import (
    AnswerLimits,
    Finish,
    FinishReason,
    Json,
    ModelEvent,
    ModelFile,
    ProviderError,
    ReasoningDelta,
    ReasoningEnd,
    Redactor,
    TextDelta,
    TextEnd,
    ToolCall,
    ToolInputDelta,
    Usage,
)

from .calls import beyond
from .faults import ended_too_soon, fault_in_stream, has_error, read_objects
from .reading import (
    Joined,
    file_of,
    table,
    tokens,
    word,
    written,
)
from .sse import SseEvent
from .wording import made_call_id

_FINISHES: Mapping[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "BLOCKLIST": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "LANGUAGE": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "RECITATION": "content_filter",
    "SAFETY": "content_filter",
    "SPII": "content_filter",
}
_CALL_REFUSED = frozenset(("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL"))
_NOTES = ("groundingMetadata", "citationMetadata", "urlContextMetadata")
"""What a candidate says of where its words are from."""
_NAMED = re.compile(r"(?:default_api\.)?([A-Za-z_][\w-]{0,63})\s*\(")


@define(eq=False)
class _Open:
    """A text or a thought that goes on."""

    part: str
    thought: bool
    joined: Joined = field(factory=Joined)
    begun: bool = False
    attached: dict[str, Json] = field(factory=dict)


@define(eq=False)
class _Streamed:
    """A call whose arguments come in pieces."""

    name: str
    call_id: str
    attached: dict[str, Json]
    arguments: dict[str, Json] = field(factory=dict)
    size: int = 0
    open: str | None = None
    """The path of the text that goes on."""
    pieces: list[str] = field(factory=list)


class GeminiDecoder:
    """Reads one stream of generateContent. Synchronous, and free of I/O.

    A call comes whole, as a rule, and is handed out at once. A thought signature stays
    with the part that it came with. What the provider runs by itself, and what is
    neither text nor a call, is kept as it came for the way back.
    """

    def __init__(
        self,
        provider: str,
        redact: Redactor | None = None,
        limits: AnswerLimits | None = None,
    ) -> None:
        self.done = False
        """Whether the Finish was handed out."""
        self._provider = provider
        self._redact = redact or Redactor()
        self._limits = limits or AnswerLimits()
        self._response_id = ""
        self._open: _Open | None = None
        self._streamed: _Streamed | None = None
        self._parts = 0
        self._calls = 0
        self._kept = 0
        self._taken: set[str] = set()
        self._notes: dict[str, Json] = {}
        self._reason = ""
        self._message = ""
        self._usage = Usage()

    @property
    def ending(self) -> bool:
        """Whether the answer has said that it is at its end. It has no last event: what
        its tokens were may still come."""
        return bool(self._reason)

    @property
    def usage(self) -> Usage:
        """The tokens that were told of so far."""
        return self._usage

    def feed(self, event: SseEvent) -> list[ModelEvent]:
        """Return what this event brings.

        Raises:
            ProviderError: it breaks the protocol, or tells of a failure.
        """
        bodies = read_objects(self._provider, event.data)
        events: list[ModelEvent] = []
        for body in bodies:
            self._chunk(body, events)
        return events

    def finish(self) -> list[ModelEvent]:
        """Return the rest at the end of the stream.

        Raises:
            ProviderError: ``provider.stream_broken``: it ended too soon.
        """
        if self.done:
            return []
        if not self._reason:
            empty = not (self._response_id or self._parts or self._calls)
            raise ended_too_soon(self._provider, empty=empty)
        events: list[ModelEvent] = []
        self._close(events)
        self._end_streamed(events, cut=self._reason != "STOP")
        reason = _FINISHES.get(self._reason, "unknown")
        if self._reason in _CALL_REFUSED:
            self._refused(events)
            reason = "tool_calls"
        elif reason == "stop" and self._calls:
            reason = "tool_calls"
        self.done = True
        events.append(Finish(reason, self._usage))
        return events

    def kept(self) -> list[ModelEvent]:
        """Return what is complete of an answer that went beyond its limits."""
        events: list[ModelEvent] = []
        self._close(events)
        return events

    def _chunk(self, chunk: Mapping[str, Any], events: list[ModelEvent]) -> None:
        if has_error(chunk.get("error")):
            raise fault_in_stream(self._provider, chunk["error"], self._redact)
        self._response_id = self._response_id or word(chunk.get("responseId"))[:200]
        self._tally(table(chunk.get("usageMetadata")))
        listed = chunk.get("candidates")
        candidates = [table(one) for one in listed] if isinstance(listed, list) else []
        # One answer was asked for.
        first = (one for one in candidates if not one.get("index"))
        candidate = next(first, None)
        if candidate is None:
            if blocked := word(table(chunk.get("promptFeedback")).get("blockReason")):
                self._reason = "SAFETY" if blocked != "OTHER" else "PROHIBITED_CONTENT"
            return
        parts = table(candidate.get("content")).get("parts")
        for part in parts if isinstance(parts, list) else ():
            self._part(table(part), events)
        for name in _NOTES:
            if note := candidate.get(name):
                self._keep(note)
                self._notes[name] = note
        self._reason = word(candidate.get("finishReason")) or self._reason
        self._message = word(candidate.get("finishMessage")) or self._message

    def _tally(self, usage: Mapping[str, Any]) -> None:
        """Take in the tokens so far: every chunk tells all of them, or nothing."""
        given = tokens(usage.get("promptTokenCount"))
        if given is None:
            return
        used = tokens(usage.get("toolUsePromptTokenCount"))
        said = tokens(usage.get("candidatesTokenCount"))
        thought = tokens(usage.get("thoughtsTokenCount"))
        output = None
        if said is not None or thought is not None:
            output = (said or 0) + (thought or 0)
        self._usage = Usage(
            input=given + (used or 0),
            output=output,
            reasoning=thought,
            cache_read=tokens(usage.get("cachedContentTokenCount")),
        )

    # --- its parts ----------------------------------------------------------------

    def _part(self, part: Mapping[str, Any], events: list[ModelEvent]) -> None:
        signature = word(part.get("thoughtSignature"))
        if isinstance(part.get("functionCall"), dict):
            self._close(events)
            self._call(part["functionCall"], signature, events)
        elif isinstance(part.get("text"), str):
            self._say(part["text"], part.get("thought") is True, signature, events)
        elif made := _file_in(part):
            self._close(events)
            attached = {"thoughtSignature": signature} if signature else {}
            metadata: dict[str, Json] = {"attached": attached} if attached else {}
            if signature:
                self._keep(signature)
            # Drafts among the thoughts are files as well.
            events.append(ModelFile(self._named("file"), *made, metadata))
        elif part.keys() - {"thought", "thoughtSignature"}:
            self._close(events)
            self._keep(part)
            name = self._named("part")
            events.append(ReasoningDelta(name, ""))
            events.append(ReasoningEnd(name, {"part": dict(part)}))

    def _named(self, kind: str) -> str:
        self._parts += 1
        if self._parts > self._limits.parts:
            raise beyond(self._provider, f"{self._limits.parts} parts")
        return f"{kind}-{self._parts - 1}"

    def _say(
        self, text: str, thought: bool, signature: str, events: list[ModelEvent]
    ) -> None:
        said = self._open
        if not text and not signature:
            return
        if text and said is not None and said.thought != thought:
            self._close(events)
            said = None
        if said is None:
            said = _Open(self._named("thought" if thought else "text"), thought)
            self._open = said
        made = ReasoningDelta if said.thought else TextDelta
        if text and (new := said.joined.add(text)):
            said.begun = True
            events.append(made(said.part, new))
        if signature:
            self._keep(signature)
            said.attached["thoughtSignature"] = signature
            # What comes now is another part: two signatures are never made one.
            self._close(events)

    def _close(self, events: list[ModelEvent]) -> None:
        said, self._open = self._open, None
        if said is None:
            return
        made = ReasoningDelta if said.thought else TextDelta
        rest = said.joined.rest()
        if rest or not said.begun:
            events.append(made(said.part, rest))
        metadata: dict[str, Json] = {}
        if said.attached:
            metadata["attached"] = said.attached
        if said.thought:
            events.append(ReasoningEnd(said.part, metadata))
            return
        if self._notes:
            metadata["notes"], self._notes = self._notes, {}
        events.append(TextEnd(said.part, metadata))

    def _keep(self, value: Any) -> None:
        """Count what is kept for the way back."""
        self._kept += len(written(value))
        if self._kept > self._limits.reasoning:
            raise beyond(
                self._provider,
                f"{self._limits.reasoning} bytes that are to go back with it",
            )

    # --- its calls ----------------------------------------------------------------

    def _call(
        self, call: Mapping[str, Any], signature: str, events: list[ModelEvent]
    ) -> None:
        pieces = call.get("partialArgs")
        goes_on = call.get("willContinue") is True
        name = word(call.get("name"))
        if self._streamed is not None and not name:
            self._add(self._streamed, pieces)
            if not goes_on:
                self._end_streamed(events, cut=False)
            return
        self._end_streamed(events, cut=False)
        self._calls += 1
        if self._calls > self._limits.calls:
            raise beyond(self._provider, f"{self._limits.calls} calls")
        attached: dict[str, Json] = {}
        call_id = word(call.get("id"))
        if call_id:
            # Whether it has one is the server's: an older one takes none back.
            attached["id"] = call_id
        if not call_id or call_id in self._taken:
            call_id = made_call_id(self._response_id, str(self._calls))
        self._taken.add(call_id)
        if signature:
            self._keep(signature)
            attached["thoughtSignature"] = signature
        if goes_on or pieces:
            self._streamed = _Streamed(name, call_id, attached)
            self._add(self._streamed, pieces)
            if not goes_on:
                self._end_streamed(events, cut=False)
            return
        given = call.get("args")
        arguments = given if isinstance(given, str) else written(given or {})
        self._hand_out(name, call_id, arguments, attached, events)

    def _hand_out(
        self,
        name: str,
        call_id: str,
        arguments: str,
        attached: Mapping[str, Json],
        events: list[ModelEvent],
        *,
        cut: bool = False,
    ) -> None:
        if len(arguments) > self._limits.arguments:
            raise beyond(
                self._provider,
                f"{self._limits.arguments} characters of arguments of one call",
            )
        events.append(ToolInputDelta(call_id, name, arguments))
        metadata = {"attached": attached} if attached else {}
        events.append(ToolCall(call_id, name, arguments, metadata, cut=cut))

    def _add(self, call: _Streamed, pieces: Any) -> None:
        """Add pieces of arguments, each of which names its place."""
        for one in pieces if isinstance(pieces, list) else ():
            piece = table(one)
            path, found = word(piece.get("jsonPath")), _value(piece)
            if call.open is not None and call.open != path:
                self._settle(call)
            if isinstance(found, str):
                call.size += len(found)
                call.pieces.append(found)
                call.open = path
                if piece.get("willContinue") is not True:
                    self._settle(call)
            else:
                call.size += 8
                self._place(call, path, found)
            if call.size + len(path) > self._limits.arguments:
                raise beyond(
                    self._provider,
                    f"{self._limits.arguments} characters of arguments of one call",
                )

    def _settle(self, call: _Streamed) -> None:
        if call.open is not None:
            path, text = call.open, "".join(call.pieces)
            call.open, call.pieces = None, []
            self._place(call, path, text)

    def _place(self, call: _Streamed, path: str, value: Json) -> None:
        steps = _steps(path)
        if steps is None or not _put(call.arguments, steps, value):
            raise ProviderError(
                "provider.invalid_output",
                self._provider,
                "a piece of a call's arguments has a place that cannot be",
            )

    def _end_streamed(self, events: list[ModelEvent], *, cut: bool) -> None:
        call, self._streamed = self._streamed, None
        if call is not None:
            cut = cut or call.open is not None
            self._settle(call)
            self._hand_out(
                call.name,
                call.call_id,
                written(call.arguments),
                call.attached,
                events,
                cut=cut,
            )

    def _refused(self, events: list[ModelEvent]) -> None:
        """Hand out the call that Gemini read as none, for the model to mend."""
        told = self._redact.masked(self._message)[:2000]
        named = _NAMED.search(told)
        self._calls += 1
        call_id = made_call_id(self._response_id, str(self._calls))
        events.append(
            ToolCall(
                call_id,
                named[1] if named else "unnamed",
                "{}",
                refused=told or "the provider could not read the call",
            )
        )


def _value(piece: Mapping[str, Any]) -> Json:
    for name in ("stringValue", "numberValue", "boolValue"):
        if name in piece:
            found: Json = piece[name]
            return found
    return None


_STEP = re.compile(r"""\.([^.\[\]]+)|\[(\d{1,4})\]|\[(?:'([^']*)'|"([^"]*)")\]""")
_DEEPEST = 64


def _steps(path: str) -> list[str | int] | None:
    """Return the steps of a path such as ``$.files[0].name``."""
    if not path.startswith("$") or len(path) > 2000:
        return None
    steps: list[str | int] = []
    at = 1
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None or len(steps) >= _DEEPEST:
            return None
        at = found.end()
        name, index, quoted, doubly = found.groups()
        steps.append(int(index) if index is not None else name or quoted or doubly)
    return steps or None


def _put(root: dict[str, Json], steps: list[str | int], value: Json) -> bool:
    """Put a value at a place, making what leads to it; False where that cannot be."""
    here: Any = root
    for step, after in zip(steps, [*steps[1:], None], strict=True):
        if isinstance(step, int):
            if not isinstance(here, list) or step > len(here):
                return False
            if step == len(here):
                here.append(None)
            before = here[step]
        elif isinstance(here, dict):
            before = here.get(step)
        else:
            return False
        if after is None:
            made = before + value if _both_text(before, value) else value
        elif isinstance(before, list if isinstance(after, int) else dict):
            made = before
        elif before is None:
            made = [] if isinstance(after, int) else {}
        else:
            return False
        here[step] = made
        here = made
    return True


def _both_text(before: Any, value: Json) -> bool:
    # A text may be ended by an empty piece, or go on without having said so.
    return isinstance(before, str) and isinstance(value, str)


def _file_in(part: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the type and the data of a file that a part is, if it is one."""
    inline = table(part.get("inlineData"))
    mime, data = word(inline.get("mimeType")), word(inline.get("data"))
    return file_of(mime, data)
