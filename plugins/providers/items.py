"""Items: how a Responses stream is read, with the habits of its servers.

Owns ``ResponsesDecoder``. How a request is written is ``responses``'.
"""

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

from .calls import Arguments, beyond, index_of
from .faults import ended_too_soon, fault_in_stream, has_error, is_failure, read_objects
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

# What is read of a call; the rest is attached to it and goes back with it. Its own id
# is the server's memory of it, and nothing is left with a server.
_OF_A_CALL = frozenset(("type", "id", "call_id", "name", "arguments", "status"))
_REASONS: Mapping[str, FinishReason] = {
    "max_output_tokens": "length",
    "max_tokens": "length",
    "length": "length",
    "content_filter": "content_filter",
}
_WORDS = {
    "response.output_text.delta": "text",
    "response.refusal.delta": "text",
    "response.reasoning_summary_text.delta": "summary",
    "response.reasoning_summary.delta": "summary",
    "response.reasoning_text.delta": "thought",
    "response.reasoning.delta": "thought",
}
"""Deltas of words, and of which kind. The names without ``_text`` are older ones."""
_ENDS = {
    "response.output_text.done": ("text", "text"),
    "response.refusal.done": ("text", "refusal"),
    "response.reasoning_summary_text.done": ("summary", "text"),
    "response.reasoning_text.done": ("thought", "text"),
}
"""What says the whole once more: by kind, and in which field."""


@define(eq=False)
class _Text:
    """One text of an item, while its deltas come."""

    part: str
    joined: Joined = field(factory=Joined)
    begun: bool = False


@define(eq=False)
class _Item:
    """An item of the answer, while it comes."""

    number: int
    kind: str
    item_id: str = ""
    said: dict[tuple[str, int | None], _Text] = field(factory=dict)
    """Its texts, by kind and index."""
    call_id: str = ""
    name: str = ""
    arguments: Arguments = field(factory=Arguments)
    attached: dict[str, Json] = field(factory=dict)
    done: bool = False
    cut: bool = False


class ResponsesDecoder:
    """Reads one Responses stream. Synchronous, and free of I/O.

    A call is handed out when its item is done and its arguments are complete. Reasoning
    and what the provider runs by itself are kept as they came, for the way back.
    """

    def __init__(
        self,
        provider: str,
        redact: Redactor | None = None,
        limits: AnswerLimits | None = None,
    ) -> None:
        self.done = False
        """Whether the Finish was handed out."""
        self.ending = False
        """Never before the Finish: what ends the answer is its last event."""
        self.usage = Usage()
        """The tokens that were told so far."""
        self._provider = provider
        self._redact = redact or Redactor()
        self._limits = limits or AnswerLimits()
        self._response_id: str | None = None
        self._items: list[_Item] = []
        self._by_index: dict[int, _Item] = {}
        self._parts = 0
        self._calls = 0
        self._kept = 0
        self._taken: set[str] = set()
        self._refused = False
        """Whether it said that it will not answer."""

    def feed(self, event: SseEvent) -> list[ModelEvent]:
        """Return what this event brings.

        Raises:
            ProviderError: it breaks the protocol, or tells of a failure.
        """
        bodies = read_objects(self._provider, event.data)
        events: list[ModelEvent] = []
        for body in bodies:
            self._event(word(body.get("type")) or event.event, body, events)
            if self.done:
                break
        return events

    def finish(self) -> list[ModelEvent]:
        """Return the rest at the end of the stream.

        Raises:
            ProviderError: ``provider.stream_broken``: it ended too soon.
        """
        if self.done:
            return []
        empty = self._response_id is None and not self._items
        raise ended_too_soon(self._provider, empty=empty)

    def kept(self) -> list[ModelEvent]:
        """Return what is complete of an answer that went beyond its limits."""
        events: list[ModelEvent] = []
        for item in self._items:
            if not item.done and item.kind != "function_call":
                self._close(item, {}, events)
        return events

    def _cut_off(self, problem: str) -> ProviderError:
        return ProviderError(
            "provider.stream_broken", self._provider, problem, retryable=True
        )

    def _event(
        self, kind: str, body: Mapping[str, Any], events: list[ModelEvent]
    ) -> None:
        if kind in _WORDS:
            self._refused = self._refused or kind == "response.refusal.delta"
            item = self._item_of(body)
            self._say(item, _WORDS[kind], _place(body), body.get("delta"), events)
        elif kind in _ENDS:
            # Some send no deltas.
            name, where = _ENDS[kind]
            self._refused = self._refused or where == "refusal"
            item = self._item_of(body)
            if (name, _place(body)) not in item.said:
                self._say(item, name, _place(body), body.get(where), events)
        elif kind == "response.function_call_arguments.delta":
            self._argue(self._item_of(body), body.get("delta"), events)
        elif kind == "response.function_call_arguments.done":
            self._argue(self._item_of(body), body.get("arguments"), events)
        elif kind == "response.output_item.added":
            self._begin(index_of(body.get("output_index")), table(body.get("item")))
        elif kind == "response.output_item.done":
            self._end_item(body, events)
        elif kind in ("response.completed", "response.incomplete", "response.done"):
            self._end(table(body.get("response")), events)
        elif kind == "response.failed":
            self._fail(table(body.get("response")))
        elif kind in ("response.created", "response.in_progress", "response.queued"):
            self._respond(table(body.get("response")))
        elif kind == "error" or has_error(body.get("error")):
            told = body.get("error")
            raise fault_in_stream(
                self._provider, told if has_error(told) else body, self._redact
            )
        elif isinstance(body.get("output"), list) and not word(body.get("type")):
            # Not streamed at all.
            self._end(body, events)
        elif kind == "message" and is_failure(body):
            # No event of the protocol: the name is the one that framing gives.
            raise fault_in_stream(self._provider, body, self._redact)

    # --- the answer ---------------------------------------------------------------

    def _tally(self, response: Mapping[str, Any]) -> None:
        """Take in the tokens that a response tells of: one that runs tells of none."""
        if usage := table(response.get("usage")):
            self.usage = _usage(usage)

    def _respond(self, response: Mapping[str, Any]) -> None:
        self._tally(response)
        response_id = word(response.get("id"))[:200]
        if self._response_id not in (None, response_id) and self._items:
            raise self._cut_off("another answer was spliced into the stream")
        self._response_id = response_id

    def _fail(self, response: Mapping[str, Any]) -> None:
        self._tally(response)
        told = response.get("error")
        error = told if has_error(told) else {"message": "it failed without a reason"}
        raise fault_in_stream(self._provider, error, self._redact)

    def _end(self, response: Mapping[str, Any], events: list[ModelEvent]) -> None:
        if word(response.get("status")) == "failed":
            self._fail(response)
        self._tally(response)
        self._response_id = self._response_id or word(response.get("id"))[:200]
        output = response.get("output")
        for index, item in enumerate(output if isinstance(output, list) else ()):
            # Some send an item here alone, and some never the end of one.
            if not self._is_done(index, table(item)):
                self._end_item({"output_index": index, "item": item}, events)
        reason = self._reason(response)
        for one in self._items:
            if not one.done:
                self._close(one, {}, events)
                one.cut = reason == "length" or not one.arguments.whole
            if one.kind == "function_call" and one.call_id not in self._taken:
                self._call(one, events)
        if reason == "stop" and self._calls:
            reason = "tool_calls"
        elif reason == "stop" and self._refused:
            reason = "content_filter"
        self.done = True
        events.append(Finish(reason, self.usage))

    def _reason(self, response: Mapping[str, Any]) -> FinishReason:
        status = word(response.get("status"))
        if status in ("completed", ""):
            return "stop"
        if status == "incomplete":
            told = word(table(response.get("incomplete_details")).get("reason"))
            return _REASONS.get(told, "unknown")
        return "unknown"

    # --- its items ----------------------------------------------------------------

    def _at(self, index: int | None, item: Mapping[str, Any]) -> _Item | None:
        """Return the item that is meant, if it is known.

        The place tells more than the id: some give an item another id whenever they
        name it. A place that is done is another item's, unless the id says it is not.
        """
        found = None if index is None else self._by_index.get(index)
        item_id = word(item.get("id"))
        if item_id and (found is None or found.done):
            same = (one for one in self._items if one.item_id == item_id)
            found = next(same, found)
        return found

    def _is_done(self, index: int, item: Mapping[str, Any]) -> bool:
        """Whether an item of the whole answer was handed out while it streamed."""
        call_id = word(item.get("call_id"))
        if call_id and call_id in self._taken:
            return True
        before = self._at(index, item)
        return (
            before is not None and before.done and before.kind == word(item.get("type"))
        )

    def _item_of(self, body: Mapping[str, Any]) -> _Item:
        """Return the item that a delta is of; where its start was not sent, a new
        one."""
        index = index_of(body.get("output_index"))
        named = {"id": body.get("item_id")}
        found = self._by_index.get(index) if index is not None else None
        found = found or self._at(None, named)
        if found is None and index is None and not word(body.get("item_id")):
            found = self._items[-1] if self._items else None
        if found is None:
            kind = word(body.get("type"))
            guessed = "message"
            if "reasoning" in kind:
                guessed = "reasoning"
            elif "arguments" in kind:
                guessed = "function_call"
            found = self._begin(index, {"type": guessed, **named})
        return found

    def _begin(self, index: int | None, item: Mapping[str, Any]) -> _Item:
        known = self._at(index, item)
        if known is not None and not known.done:
            return known
        if len(self._items) >= self._limits.parts + self._limits.calls:
            raise beyond(self._provider, f"{len(self._items)} items")
        kind = word(item.get("type")) or "message"
        begun = _Item(len(self._items), kind, word(item.get("id")))
        if kind == "function_call":
            self._calls += 1
            if self._calls > self._limits.calls:
                begun.kind = "beyond"
                raise beyond(self._provider, f"{self._limits.calls} calls")
            self._name(begun, item)
        self._items.append(begun)
        if index is not None:
            self._by_index[index] = begun
        return begun

    def _name(self, call: _Item, item: Mapping[str, Any]) -> None:
        call.name = call.name or word(item.get("name"))
        call.call_id = word(item.get("call_id")) or call.call_id

    def _end_item(self, body: Mapping[str, Any], events: list[ModelEvent]) -> None:
        item = table(body.get("item"))
        index, item_id = index_of(body.get("output_index")), word(item.get("id"))
        before = self._at(index, item)
        if before is not None and before.done and before.item_id == item_id:
            return
        found = self._begin(index, item)
        found.item_id = found.item_id or item_id
        if found.kind == "function_call":
            self._name(found, item)
            self._argue(found, item.get("arguments"), events)
            rest = {
                name: value
                for name, value in item.items()
                if name not in _OF_A_CALL and value is not None
            }
            if rest:
                self._keep(rest)
                found.attached = rest
        self._close(found, item, events)
        if found.kind == "function_call":
            # One that was not finished is looked at when the answer says why.
            found.cut = item.get("status") == "incomplete" or not (
                found.arguments.whole or not found.arguments.size
            )
            if not found.cut:
                self._call(found, events)

    def _say(
        self,
        item: _Item,
        kind: str,
        index: int | None,
        text: Any,
        events: list[ModelEvent],
    ) -> None:
        if not isinstance(text, str) or not text or item.done:
            return
        said = item.said.get((kind, index))
        if said is None:
            said = self._begun(item, kind, index, events)
        made = TextDelta if kind == "text" else ReasoningDelta
        if new := said.joined.add(text):
            said.begun = True
            events.append(made(said.part, new))

    def _begun(
        self, item: _Item, kind: str, index: int | None, events: list[ModelEvent]
    ) -> _Text:
        """Begin a text of an item. All thoughts of one item are one part."""
        before = [one for (of, _), one in item.said.items() if of != "text"]
        if kind != "text" and before:
            said = _Text(before[0].part)
            events.append(ReasoningDelta(said.part, before[-1].joined.rest() + "\n\n"))
        else:
            self._parts += 1
            if self._parts > self._limits.parts:
                raise beyond(self._provider, f"{self._limits.parts} parts")
            name = "text" if kind == "text" else "reasoning"
            said = _Text(f"{name}-{self._parts - 1}")
        item.said[kind, index] = said
        return said

    def _argue(self, call: _Item, text: Any, events: list[ModelEvent]) -> None:
        if call.kind != "function_call" or call.done or not isinstance(text, str):
            return
        new = call.arguments.add(text)
        if call.arguments.size > self._limits.arguments:
            call.kind = "beyond"
            raise beyond(
                self._provider,
                f"{self._limits.arguments} characters of arguments of one call",
            )
        if new:
            events.append(ToolInputDelta(self._id_of(call), call.name, new))

    def _id_of(self, call: _Item) -> str:
        if not call.call_id:
            call.call_id = made_call_id(self._response_id or "", str(call.number))
        return call.call_id

    def _call(self, call: _Item, events: list[ModelEvent]) -> None:
        if self._id_of(call) in self._taken:
            call.call_id = made_call_id(call.call_id, str(call.number))
        self._taken.add(call.call_id)
        call.arguments.end()
        arguments = call.arguments.text
        if not call.cut and not arguments.strip():
            arguments = "{}"
        metadata = {"attached": call.attached} if call.attached else {}
        events.append(
            ToolCall(call.call_id, call.name, arguments, metadata, cut=call.cut)
        )

    def _keep(self, value: Any) -> None:
        """Count what is kept for the way back."""
        self._kept += len(written(value))
        if self._kept > self._limits.reasoning:
            raise beyond(
                self._provider,
                f"{self._limits.reasoning} bytes that are to go back with it",
            )

    # --- their ends ---------------------------------------------------------------

    def _close(
        self, item: _Item, whole: Mapping[str, Any], events: list[ModelEvent]
    ) -> None:
        """End the parts of an item. ``whole`` is what it came to, if that was sent."""
        if item.done:
            return
        self._unsaid(item, whole, events)
        item.done = True
        if item.kind == "message":
            self._close_message(item, whole, events)
        elif item.kind not in ("function_call", "beyond"):
            self._close_other(item, whole, events)

    def _unsaid(
        self, item: _Item, whole: Mapping[str, Any], events: list[ModelEvent]
    ) -> None:
        """Say what came without deltas."""
        for place, kind in (("content", "text"), ("summary", "summary")):
            if kind == "text" and item.kind == "reasoning":
                kind = "thought"
            elif item.kind not in ("message", "reasoning"):
                return
            found = whole.get(place)
            listed = found if isinstance(found, list) else []
            for index, part in enumerate(listed):
                known = any(of == kind for of, _ in item.said)
                if (kind, index) in item.said or (known and len(listed) == 1):
                    continue
                part = table(part)
                self._refused = self._refused or bool(word(part.get("refusal")))
                text = word(part.get("text")) or word(part.get("refusal"))
                self._say(item, kind, index, text, events)

    def _close_message(
        self, item: _Item, whole: Mapping[str, Any], events: list[ModelEvent]
    ) -> None:
        phase = word(whole.get("phase"))
        content = whole.get("content")
        for (_, index), said in item.said.items():
            if rest := said.joined.rest():
                said.begun = True
                events.append(TextDelta(said.part, rest))
            if not said.begun:
                continue
            metadata: dict[str, Json] = {}
            if phase:
                metadata["attached"] = {"phase": phase}
            if isinstance(content, list) and index is not None and index < len(content):
                notes = table(content[index]).get("annotations")
                if notes:
                    metadata["annotations"] = notes
            if metadata:
                self._keep(metadata)
            events.append(TextEnd(said.part, metadata))

    def _close_other(
        self, item: _Item, whole: Mapping[str, Any], events: list[ModelEvent]
    ) -> None:
        """End reasoning, or what the provider ran by itself: kept as it came."""
        said = list(item.said.values())
        part = said[0].part if said else f"{item.kind[:40]}-{item.number}"
        for one in said:
            if rest := one.joined.rest():
                events.append(ReasoningDelta(part, rest))
        kept = {name: one for name, one in whole.items() if one is not None}
        if item.kind == "image_generation_call":
            mime = f"image/{word(kept.get('output_format')) or 'png'}"
            if made := file_of(mime, word(kept.get("result"))):
                del kept["result"]
                self._keep(kept)
                file = f"file-{item.number}"
                events.append(ModelFile(file, *made, {"item": kept}))
                return
        metadata: dict[str, Json] = {"item": kept} if kept else {}
        if not said and not metadata:
            return
        self._keep(metadata)
        if not any(one.begun for one in said):
            events.append(ReasoningDelta(part, ""))
        events.append(ReasoningEnd(part, metadata))


def _place(body: Mapping[str, Any]) -> int | None:
    """Return which text of its item a delta is of."""
    for name in ("content_index", "summary_index"):
        if (index := index_of(body.get(name))) is not None:
            return index
    return None


def _usage(usage: Mapping[str, Any]) -> Usage:
    given = table(usage.get("input_tokens_details"))
    output = table(usage.get("output_tokens_details"))
    return Usage(
        input=tokens(usage.get("input_tokens")),
        output=tokens(usage.get("output_tokens")),
        reasoning=tokens(output.get("reasoning_tokens")),
        cache_read=tokens(given.get("cached_tokens")),
        cache_write=tokens(given.get("cache_write_tokens")),
    )
