"""Messages: how a Messages stream is read, with the habits of its servers.

Owns ``MessagesDecoder``. How a request is written is ``anthropic``'s.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from attrs import define, field
from dovetail.kernel import (
    AnswerLimits,
    Finish,
    FinishReason,
    Json,
    ModelEvent,
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
from .faults import fault_in_stream, has_error, is_failure
from .reading import (
    DONE,
    Joined,
    UnreadableError,
    objects_in,
    payload,
    table,
    tokens,
    word,
    written,
)
from .sse import SseEvent
from .wording import made_call_id

_FINISHES: Mapping[str, FinishReason] = {
    "end_turn": "stop",
    "stop": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "tool_calls": "tool_calls",
    "max_tokens": "length",
    "length": "length",
    "model_context_window_exceeded": "length",
    # Sent back as it is, the turn goes on where the provider's own tools paused it.
    "pause_turn": "continues",
    "refusal": "content_filter",
    "content_filter": "content_filter",
    "error": "error",
}
_THOUGHTS = ("thinking", "redacted_thinking")
# What is read of a block; the rest is attached to it and goes back with it.
_READ: Mapping[str, frozenset[str]] = {
    "text": frozenset(("type", "text")),
    "tool_use": frozenset(("type", "id", "name", "input")),
}
# Whose block a delta is, where its start was not sent.
_KIND_OF_DELTA = {
    "text_delta": "text",
    "citations_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "thinking",
}


@define(eq=False)
class _Block:
    """A content block while its deltas come."""

    kind: str
    part: str
    call_id: str = ""
    name: str = ""
    given: Json = None
    """The input, where the block began with it whole."""
    arguments: Arguments = field(factory=Arguments)
    joined: Joined = field(factory=Joined)
    begun: bool = False
    stopped: bool = False
    signature: list[str] = field(factory=list)
    redacted: str = ""
    attached: dict[str, Json] = field(factory=dict)
    """What was sent with it besides: for a block of another kind, all of it."""
    texts: dict[str, list[str]] = field(factory=dict)
    """Those of its texts that come in pieces."""

    @property
    def written(self) -> str:
        """The input as the model wrote it."""
        if not self.arguments.size and self.given:
            return written(self.given)
        return self.arguments.text

    @property
    def whole(self) -> bool:
        """Whether the input is complete JSON by now."""
        return bool(self.given) or self.arguments.whole

    @property
    def fresh(self) -> bool:
        """Whether nothing came since it began."""
        return not (self.begun or self.arguments.size or self.signature or self.texts)


class MessagesDecoder:
    """Reads one Messages stream. Synchronous, and free of I/O.

    A call is handed out once its block has stopped and more has come: the next block,
    or the reason why the model stopped, which alone tells whether the last call was
    cut. Blocks of other kinds, such as the provider's own tools, are kept as they are
    for the way back.
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
        self._message_id: str | None = None
        self._undivided: Any = None
        self._blocks: dict[int | None, _Block] = {}
        self._last: _Block | None = None
        self._held: _Block | None = None
        self._count = 0
        self._calls = 0
        self._kept = 0
        self._taken: set[str] = set()
        self._reason: FinishReason | None = None
        self._usage: dict[str, int] = {}

    @property
    def ending(self) -> bool:
        """Whether the answer has said that it is at its end."""
        return self._reason is not None

    @property
    def usage(self) -> Usage:
        """The tokens that were told of so far."""
        return self._total()

    def feed(self, event: SseEvent) -> list[ModelEvent]:
        """Return what this event brings.

        Raises:
            ProviderError: it breaks the protocol, or tells of a failure.
        """
        data = payload(event.data)
        if data == DONE:
            return self._end() if self._reason else []
        try:
            bodies = objects_in(data)
        except UnreadableError as error:
            raise self._broken(str(error)) from None
        events: list[ModelEvent] = []
        for body in bodies:
            self._event(word(body.get("type")) or event.event, body, events)
            if self.done:
                break
        return events

    def take(self, body: Mapping[str, Any]) -> list[ModelEvent]:
        """Return what an event brings that was read already.

        Raises:
            ProviderError: as ``feed``.
        """
        events: list[ModelEvent] = []
        self._event(word(body.get("type")), body, events)
        return events

    def finish(self) -> list[ModelEvent]:
        """Return the rest at the end of the stream.

        Raises:
            ProviderError: ``provider.stream_broken``: it ended too soon.
        """
        if self.done:
            return []
        if self._reason is None:
            empty = self._message_id is None
            raise self._cut_off(
                "the answer is empty"
                if empty
                else "the stream ended before the answer did"
            )
        return self._end()

    def kept(self) -> list[ModelEvent]:
        """Return what is complete of an answer that went beyond its limits."""
        events: list[ModelEvent] = []
        block, self._held = self._held, None
        if block is not None:
            refused = "the answer that it was in went on beyond its limits"
            self._call(block, events, cut=not block.whole, refused=refused)
        for block in self._blocks.values():
            if not block.stopped and block.kind != "tool_use":
                self._close(block, events)
        return events

    def _event(
        self, kind: str, body: Mapping[str, Any], events: list[ModelEvent]
    ) -> None:
        if kind == "content_block_delta":
            self._delta(body, events)
        elif kind == "content_block_start":
            self._start(body, events)
        elif kind == "content_block_stop":
            self._stop(self._block_of(body), events)
        elif kind == "message_start":
            self._message(table(body.get("message")))
        elif kind == "message_delta":
            self._message_delta(body)
        elif kind == "message_stop":
            events += self._end()
        elif kind == "error" or has_error(body.get("error")):
            told = body.get("error")
            raise fault_in_stream(
                self._provider, told if has_error(told) else body, self._redact
            )
        elif kind == "message" and isinstance(body.get("content"), list):
            # Not streamed at all.
            self._message(body)
            self._message_delta({"delta": body})
            events += self._end()
        elif kind == "message" and is_failure(body):
            # No event of the protocol: the name is the one that framing gives.
            raise fault_in_stream(self._provider, body, self._redact)

    def _broken(self, problem: str) -> ProviderError:
        return ProviderError("provider.invalid_output", self._provider, problem)

    def _cut_off(self, problem: str) -> ProviderError:
        return ProviderError(
            "provider.stream_broken", self._provider, problem, retryable=True
        )

    # --- the message --------------------------------------------------------------

    def _message(self, message: Mapping[str, Any]) -> None:
        message_id = str(message.get("id") or "")[:200]
        repeated = self._message_id in (None, message_id)
        # A gateway may repeat the start. Another message after content has come is a
        # retry spliced in by someone between; its thinking and calls belong to another
        # answer, and a mixture could never be sent back.
        if not repeated and self._count:
            raise self._cut_off("another answer was spliced into the stream")
        self._message_id = message_id
        self._undivided = message.get("content")
        self._tally(message)

    def _message_delta(self, body: Mapping[str, Any]) -> None:
        self._tally(body)
        reason = table(body.get("delta")).get("stop_reason")
        if isinstance(reason, str) and reason:
            self._reason = _FINISHES.get(reason.lower(), "unknown")

    def _tally(self, body: Mapping[str, Any]) -> None:
        usage = table(body.get("usage"))
        details = table(usage.get("output_tokens_details"))
        for name, value in (
            *((name, usage.get(name)) for name in _COUNTERS),
            ("thinking_tokens", details.get("thinking_tokens")),
        ):
            counted = tokens(value)
            # Some end with zeros for the input that they told of before.
            late = name in self._usage and name != "output_tokens"
            if counted or (counted == 0 and not late):
                self._usage[name] = counted

    def _end(self) -> list[ModelEvent]:
        if self._message_id is None and self._reason is None:
            raise self._cut_off("the answer is empty")
        events: list[ModelEvent] = []
        if not self._count and isinstance(self._undivided, list):
            # All of it came with the start.
            for index, block in enumerate(self._undivided):
                self._start({"index": index, "content_block": block}, events)
                self._stop(self._last, events)
        reason = self._reason or "unknown"
        stopped = reason not in ("stop", "tool_calls", "continues")
        self._release(events, stopped=stopped)
        for block in self._blocks.values():
            if not block.stopped:
                self._close(block, events)
                if block.kind == "tool_use":
                    # Its end was not sent; complete arguments have their own.
                    self._call(block, events, cut=stopped or not block.whole)
        self.done = True
        events.append(Finish(reason, self._total()))
        return events

    def _total(self) -> Usage:
        plain = self._usage.get("input_tokens")
        read = self._usage.get("cache_read_input_tokens")
        made = self._usage.get("cache_creation_input_tokens")
        known = [one for one in (plain, read, made) if one is not None]
        given = sum(known) if known else None
        output = self._usage.get("output_tokens")
        total = self._usage.get("total_tokens")
        if total is not None and given is not None and output is not None:
            output = max(output, total - given)
        return Usage(
            input=given,
            output=output,
            reasoning=self._usage.get("thinking_tokens"),
            cache_read=read,
            cache_write=made,
        )

    # --- its blocks ---------------------------------------------------------------

    def _block_of(self, body: Mapping[str, Any]) -> _Block | None:
        """Return the block that an event is of: the last one where it says nothing."""
        index = index_of(body.get("index"))
        return self._last if index is None else self._blocks.get(index)

    def _start(self, body: Mapping[str, Any], events: list[ModelEvent]) -> None:
        content = table(body.get("content_block"))
        index, kind = index_of(body.get("index")), str(content.get("type"))
        before = self._blocks.get(index)
        if before is not None and not before.stopped:
            same = before.kind == kind and before.fresh
            if same and word(content.get("id")) in ("", before.call_id):
                return
            if before.kind == "tool_use" and not before.whole:
                raise self._cut_off(
                    "a block began before the one in its place had ended"
                )
            # Its end was not sent.
            self._stop(before, events)
        self._release(events, stopped=False)
        block = self._begun(index, kind)
        if kind == "text":
            self._say(block, content.get("text"), events)
        elif kind == "thinking":
            self._say(block, content.get("thinking"), events)
            self._sign(block, content.get("signature"))
        elif kind == "redacted_thinking":
            block.redacted = word(content.get("data"))
            self._keep(block.redacted)
        elif kind == "tool_use":
            self._name(block, content)
        if kind not in _THOUGHTS:
            read = _READ.get(kind, frozenset())
            rest = {
                name: value
                for name, value in content.items()
                if name not in read and value not in (None, [])
            }
            if rest:
                self._keep(rest)
                block.attached.update(rest)

    def _begun(self, index: int | None, kind: str) -> _Block:
        if self._count >= self._limits.parts + self._limits.calls:
            raise beyond(self._provider, f"{self._count} blocks")
        block = _Block(kind, f"{kind[:40]}-{self._count}")
        self._count += 1
        self._blocks[index] = self._last = block
        return block

    def _name(self, block: _Block, content: Mapping[str, Any]) -> None:
        self._calls += 1
        if self._calls > self._limits.calls:
            block.kind = "beyond"
            raise beyond(self._provider, f"{self._limits.calls} calls")
        block.name = word(content.get("name"))
        block.call_id = word(content.get("id"))
        if not block.call_id or block.call_id in self._taken:
            made = made_call_id(self._message_id or "", str(self._count))
            block.call_id = made
        self._taken.add(block.call_id)
        given = content.get("input")
        # Arguments that are a text are what would have come in pieces.
        if isinstance(given, str):
            block.arguments.add(given)
        else:
            block.given = given

    def _delta(self, body: Mapping[str, Any], events: list[ModelEvent]) -> None:
        delta = table(body.get("delta"))
        kind = word(delta.get("type"))
        block = self._block_of(body)
        if block is None or block.stopped:
            block = self._found(block, kind, body, events)
        if block is None:
            return
        if kind == "text_delta" and block.kind == "text":
            self._say(block, delta.get("text"), events)
        elif kind == "thinking_delta" and block.kind == "thinking":
            self._say(block, delta.get("thinking"), events)
        elif kind == "signature_delta" and block.kind == "thinking":
            self._sign(block, delta.get("signature"))
        elif kind == "citations_delta" and block.kind == "text":
            citation = delta.get("citation")
            if citation is not None:
                self._keep(citation)
                block.attached.setdefault("citations", []).append(citation)
        elif kind == "input_json_delta" and block.kind == "tool_use":
            self._argue(block, delta.get("partial_json"), events)
        else:
            self._add(block, delta)

    def _found(
        self,
        block: _Block | None,
        kind: str,
        body: Mapping[str, Any],
        events: list[ModelEvent],
    ) -> _Block | None:
        """Return the block of a delta that belongs to no open one; None to pass over.

        1. More text or thinking goes on in a block of its own: its start was not sent.
        2. More of a call is added as long as it was not handed out. Later there is
           nothing that it could change: it ran, with arguments that were complete, or
           it failed.
        3. Anything else that comes after its block has ended is passed over.

        Raises:
            ProviderError: ``provider.invalid_output``: it is of a call that never
                began.
        """
        if kind == "input_json_delta":
            if block is not None:
                return block if block is self._held else None
            open_calls = [
                one
                for one in self._blocks.values()
                if one.kind == "tool_use" and not one.stopped
            ]
            if len(open_calls) != 1:
                raise self._broken("a delta belongs to no open block")
            return open_calls[0]
        if kind not in _KIND_OF_DELTA or (block and kind == "signature_delta"):
            return None
        self._release(events, stopped=False)
        return self._begun(index_of(body.get("index")), _KIND_OF_DELTA[kind])

    def _argue(self, block: _Block, given: Any, events: list[ModelEvent]) -> None:
        text = given if isinstance(given, str) else written(given) if given else ""
        new = block.arguments.add(text) if text else ""
        if block.arguments.size > self._limits.arguments:
            block.kind = "beyond"
            raise beyond(
                self._provider,
                f"{self._limits.arguments} characters of arguments of one call",
            )
        if new:
            events.append(ToolInputDelta(block.call_id, block.name, new))

    def _add(self, block: _Block, delta: Mapping[str, Any]) -> None:
        """Add a delta to what goes back with a block as it came."""
        for name, value in delta.items():
            if name == "type" or value is None:
                continue
            self._keep(value)
            if name == "partial_json":
                block.arguments.add(word(value))
            elif isinstance(value, str):
                before = block.attached.get(name)
                begun = [before] if isinstance(before, str) else []
                block.texts.setdefault(name, begun).append(value)
            else:
                block.attached[name] = value

    def _stop(self, block: _Block | None, events: list[ModelEvent]) -> None:
        if block is None or block.stopped:
            return
        block.stopped = True
        self._close(block, events)
        if block.kind == "tool_use":
            self._release(events, stopped=False)
            self._held = block

    def _say(self, block: _Block, text: Any, events: list[ModelEvent]) -> None:
        if isinstance(text, str) and text:
            block.begun = True
            made = TextDelta if block.kind == "text" else ReasoningDelta
            said = block.joined.add(text)
            if said:
                events.append(made(block.part, said))

    def _sign(self, block: _Block, signature: Any) -> None:
        if isinstance(signature, str) and signature:
            self._keep(signature)
            block.signature.append(signature)

    def _keep(self, value: Any) -> None:
        """Count what is kept for the way back."""
        self._kept += len(value) if isinstance(value, str) else len(written(value))
        if self._kept > self._limits.reasoning:
            raise beyond(
                self._provider,
                f"{self._limits.reasoning} bytes that are to go back with it",
            )

    def _close(self, block: _Block, events: list[ModelEvent]) -> None:
        """End a part, unless it never began."""
        made = TextDelta if block.kind == "text" else ReasoningDelta
        if rest := block.joined.rest():
            events.append(made(block.part, rest))
        if block.kind == "text":
            if block.begun:
                attached = _whole(block)
                metadata = {"attached": attached} if attached else {}
                events.append(TextEnd(block.part, metadata))
        elif block.kind not in ("tool_use", "beyond"):
            metadata = self._thought(block)
            if not block.begun and metadata.keys() - {"signature"}:
                events.append(ReasoningDelta(block.part, ""))
                block.begun = True
            if block.begun or metadata.get("signature"):
                if not block.begun:
                    events.append(ReasoningDelta(block.part, ""))
                events.append(ReasoningEnd(block.part, metadata))

    def _thought(self, block: _Block) -> dict[str, Json]:
        """Return what goes back for a block that is neither text nor a call."""
        if block.kind == "redacted_thinking":
            return {"redacted": block.redacted} if block.redacted else {}
        if block.kind == "thinking":
            # A block that ended without a signature is of a server that never signs;
            # one that did not end is cut.
            signature = "".join(block.signature)
            return {"signature": signature} if signature or block.stopped else {}
        if not block.stopped:
            return {}
        return {"block": _whole(block)}

    def _release(self, events: list[ModelEvent], *, stopped: bool) -> None:
        """Hand out the call that was held back, if there is one."""
        block, self._held = self._held, None
        if block is not None:
            self._call(block, events, cut=stopped and not block.whole)

    def _call(
        self,
        block: _Block,
        events: list[ModelEvent],
        *,
        cut: bool,
        refused: str | None = None,
    ) -> None:
        block.arguments.end()
        arguments = block.written
        if not cut and not arguments.strip():
            arguments = "{}"
        attached = _whole(block)
        metadata = {"attached": attached} if attached else {}
        events.append(
            ToolCall(
                block.call_id,
                block.name,
                arguments,
                metadata,
                cut=cut,
                refused=refused,
            )
        )


_COUNTERS = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "total_tokens",
)


def _whole(block: _Block) -> dict[str, Json]:
    """Return what was attached to a block, its texts put together."""
    attached = dict(block.attached)
    for name, pieces in block.texts.items():
        attached[name] = "".join(pieces)
    if block.kind not in _READ and block.arguments.size and block.arguments.whole:
        attached["input"] = orjson.loads(block.arguments.text)
    return attached
