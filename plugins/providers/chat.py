"""Chat: how a Chat Completions stream is read, with the habits of its servers.

Owns ``ChatDecoder`` and what usage means in this protocol. How a request is written is
``openai``'s; how the pieces of calls are put together is ``calls``'.
"""

from collections.abc import Collection, Mapping
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
    Usage,
)

from .calls import Calls, beyond
from .faults import (
    CallRefusedError,
    fault_in_stream,
    has_error,
    is_failure,
)
from .reading import (
    DONE,
    Joined,
    UnreadableError,
    file_at,
    merged,
    objects_of,
    payload,
    table,
    tokens,
    word,
    written,
)
from .sse import SseEvent
from .wording import made_call_id

REASONING_FIELDS = ("reasoning_content", "reasoning", "reasoning_text", "thinking")
REASONING = frozenset((*REASONING_FIELDS, "reasoning_details"))
DETAIL_TEXTS = ("text", "summary", "data")
# What some attach to a message, and want back with it.
ATTACHED = (
    "extra_content",
    "annotations",
    "citations",
    "provider_specific_fields",
    "thought_signature",
)
WHOLE = "chat.completion"
"""What an answer calls itself that did not come in pieces."""
_MORE = frozenset((*ATTACHED, "tool_calls", "function_call"))
SOURCES = ("search_results", "citations")
"""Where Perplexity and xAI say, beside the answer, what it rests on: all with each
piece, and the better word first."""
_SOURCES = frozenset(SOURCES)
_FINISHES: Mapping[str, FinishReason] = {
    "stop": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "complete": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_length": "length",
    "tool_call": "tool_calls",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "safety": "content_filter",
    "refusal": "content_filter",
    "error": "error",
}
# Until a better one comes: some say ``stop`` with the text, and then call.
_WEAK: tuple[FinishReason | None, ...] = (None, "stop", "unknown")


@define(eq=False)
class _Detail:
    """One detail of reasoning while its pieces come."""

    labels: dict[str, Json]
    texts: dict[str, list[str]] = field(factory=dict)

    def whole(self) -> Json:
        """Return it as it goes back."""
        return {
            **self.labels,
            **{name: "".join(pieces) for name, pieces in self.texts.items()},
        }


class ChatDecoder:
    """Reads one Chat Completions stream. Synchronous, and free of I/O.

    Calls are handed out when the answer has ended, in the order the model made them:
    pieces of them come also after a finish reason. A stream is complete with a finish
    reason, or with ``[DONE]``.
    """

    def __init__(
        self,
        provider: str,
        redact: Redactor | None = None,
        limits: AnswerLimits | None = None,
        tools: Collection[str] = (),
    ) -> None:
        self.done = False
        """Whether the Finish was handed out."""
        self._provider = provider
        self._redact = redact or Redactor()
        self._limits = limits or AnswerLimits()
        self._spoke = False
        self._refused = False
        self._reason: FinishReason | None = None
        self._usage = Usage()
        self._calls = Calls(provider, self._limits, tools)
        self._divided = False
        self._texts = False
        self._sources: list[Json] = []
        self._cited = 0
        self._parts = 0
        self._part = ""
        self._kind = ""
        self._joined = Joined()
        self._field = ""
        self._details: list[_Detail] = []
        self._attached: dict[str, Json] = {}
        self._kept = 0

    @property
    def ending(self) -> bool:
        """Whether the answer has said that it is at its end."""
        return self._reason is not None

    @property
    def usage(self) -> Usage:
        """The tokens that were told of so far."""
        return self._usage

    def feed(self, event: SseEvent) -> list[ModelEvent]:
        """Return what this event brings.

        Raises:
            ProviderError: it breaks the protocol, or tells of a failure.
        """
        data = payload(event.data)
        if data == DONE:
            return self._end()
        try:
            chunks = objects_of(data)
        except UnreadableError as error:
            raise self._broken(str(error)) from None
        events: list[ModelEvent] = []
        for chunk in chunks:
            self._chunk(chunk, event.event, events)
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
        if self._reason is None:
            problem = "the stream ended before the answer did"
            if not self._spoke and not self._calls.response_id:
                problem = "the answer is empty"
            raise ProviderError(
                "provider.stream_broken", self._provider, problem, retryable=True
            )
        return self._end()

    def kept(self) -> list[ModelEvent]:
        """Return what is complete of an answer that went beyond its limits."""
        events: list[ModelEvent] = []
        self._close_all(events)
        refused = "the answer that it was in went on beyond its limits"
        return [*events, *self._calls.handed_out(stopped=True, refused=refused)]

    def _end(self) -> list[ModelEvent]:
        if self._reason is None and not self._spoke and not self._calls:
            raise ProviderError(
                "provider.invalid_output",
                self._provider,
                "the answer is empty",
                retryable=True,
            )
        events: list[ModelEvent] = []
        self._close_all(events)
        reason = self._reason or "unknown"
        events += self._calls.handed_out(stopped=reason not in ("stop", "tool_calls"))
        if self._refused and reason == "stop":
            reason = "content_filter"
        self.done = True
        events.append(Finish(reason, self._usage))
        return events

    def _broken(self, problem: str) -> ProviderError:
        return ProviderError("provider.invalid_output", self._provider, problem)

    # --- one chunk ----------------------------------------------------------------

    def _chunk(
        self, chunk: Mapping[str, Any], named: str, events: list[ModelEvent]
    ) -> None:
        told = chunk.get("error")
        if (
            (told is not None and has_error(told))
            or named == "error"
            or chunk.get("object") == "error"
        ):
            self._fail(told if has_error(told) else chunk, events)
            return
        calls = self._calls
        calls.response_id = calls.response_id or str(chunk.get("id") or "")[:200]
        choices = chunk.get("choices")
        if not isinstance(choices, list):
            if is_failure(chunk):
                self._fail(chunk, events)
            choices = ()
        if "usage" in chunk or "x_groq" in chunk:
            self._count(chunk)
        if not _SOURCES.isdisjoint(chunk):
            self._cite(chunk)
        for choice in choices:
            if not isinstance(choice, dict):
                raise self._broken("a choice is not an object")
            if choice.get("index") in (None, 0, "0", ""):
                if "usage" in choice:
                    self._count(choice)
                self._choice(choice, events)
        whole = chunk.get("object") == WHOLE and (self._spoke or calls)
        # Some call their pieces whole, too.
        if (
            whole
            and self._reason is None
            and not any("delta" in one for one in choices)
        ):
            # Snowflake gives a whole answer no reason for its end.
            self._reason = "unknown"

    def _fail(self, told: Any, events: list[ModelEvent]) -> None:
        """Take in an error object.

        Raises:
            ProviderError: what it means, unless it refuses a call of the model's.
        """
        error = fault_in_stream(self._provider, told, self._redact)
        if not isinstance(error, CallRefusedError):
            raise error
        self._close_all(events)
        refused = error.call(made_call_id(self._calls.response_id, "refused"))
        events += [refused, Finish("tool_calls", self._usage)]
        self.done = True

    def _count(self, chunk: Mapping[str, Any]) -> None:
        usage = chunk.get("usage")
        if not isinstance(usage, dict):
            usage = table(chunk.get("x_groq")).get("usage")
        if isinstance(usage, dict) and usage:
            told = usage_of(usage)
            # Some end with a count of nothing.
            if told.input or told.output or self._usage == Usage():
                self._usage = told

    def _cite(self, chunk: Mapping[str, Any]) -> None:
        """Take in what the answer rests on, so far."""
        told = next((one for name in SOURCES if (one := chunk.get(name))), None)
        if isinstance(told, list) and told != self._sources:
            self._keep(told[self._cited :])
            self._sources = told

    def _choice(self, choice: Mapping[str, Any], events: list[ModelEvent]) -> None:
        error = choice.get("error")
        if error is not None and has_error(error):
            self._fail(error, events)
            return
        delta = choice.get("delta")
        if not isinstance(delta, dict) or not delta:
            delta = self._undivided(choice)
        if not REASONING.isdisjoint(delta):
            self._reasoning(delta, events)
        self._content(delta.get("content"), events)
        if delta.get("images"):
            self._images(delta["images"], events)
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal:
            self._refused = True
            self._say("text", refusal, events)
        if not _MORE.isdisjoint(delta):
            for name in ATTACHED:
                if delta.get(name):
                    self._attach(name, delta[name])
            self._tool_calls(delta, events)
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            self._stop(reason.lower())

    def _undivided(self, choice: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the answer as a whole, from servers that stream it in one piece, or a
        piece of it as the older Completions have it.

        Beside pieces it is only what came already.
        """
        message = choice.get("message")
        begun = self._spoke or self._calls
        if isinstance(message, dict):
            return {} if begun else message
        if begun and not self._texts:
            return {}
        self._texts = True
        return {"content": choice.get("text")}

    def _stop(self, reason: str) -> None:
        if reason == "insufficient_system_resource":
            raise ProviderError(
                "provider.unavailable",
                self._provider,
                "it ran out of resources in mid-answer",
                retryable=True,
            )
        if self._reason in _WEAK:
            known = _FINISHES.get(reason, "unknown")
            self._reason = known if known != "unknown" else (self._reason or "unknown")

    # --- text and reasoning -------------------------------------------------------

    def _reasoning(self, delta: Mapping[str, Any], events: list[ModelEvent]) -> None:
        said = details = ""
        for name in REASONING_FIELDS:
            value = delta.get(name)
            if isinstance(value, str) and value:
                self._field, said = name, value
                break
        listed = delta.get("reasoning_details")
        kept = [one for one in listed if _says(one)] if isinstance(listed, list) else []
        for one in kept:
            details += word(one.get("text")) or word(one.get("summary"))
        if said or kept:
            self._say("reasoning", said or details, events)
            for one in kept:
                self._add_detail(one)

    def _content(self, content: Any, events: list[ModelEvent]) -> None:
        if isinstance(content, str):
            if content:
                self._say("text", content, events)
        elif isinstance(content, list | dict):
            # Mistral's reasoning models send a list of typed pieces.
            for piece in content if isinstance(content, list) else [content]:
                if not isinstance(piece, dict):
                    self._piece("text", piece, events)
                elif piece.get("type") == "thinking":
                    thoughts = piece.get("thinking")
                    for one in thoughts if isinstance(thoughts, list) else [thoughts]:
                        self._piece("reasoning", one, events)
                elif "image_url" in piece:
                    self._images([piece], events)
                else:
                    self._piece("text", piece, events)

    def _images(self, images: Any, events: list[ModelEvent]) -> None:
        """Take in images that the model made, as OpenRouter gives them."""
        for image in images if isinstance(images, list) else ():
            url = table(table(image).get("image_url")).get("url")
            made = file_at(url) if isinstance(url, str) else None
            if made is not None:
                self._spoke = True
                self._close(events)
                self._parts += 1
                events.append(ModelFile(f"file-{self._parts - 1}", *made))

    def _piece(self, kind: str, piece: Any, events: list[ModelEvent]) -> None:
        text = piece.get("text") if isinstance(piece, dict) else piece
        if isinstance(text, str) and text:
            self._say(kind, text, events)

    def _say(self, kind: str, text: str, events: list[ModelEvent]) -> None:
        self._spoke = True
        if kind != self._kind:
            self._close(events)
            self._kind = kind
            self._part = f"{kind}-{self._parts}"
            self._parts += 1
        made = TextDelta if kind == "text" else ReasoningDelta
        said = self._joined.add(text)
        if said or not text:
            events.append(made(self._part, said))

    def _close(self, events: list[ModelEvent]) -> None:
        """End the open part."""
        made = TextDelta if self._kind == "text" else ReasoningDelta
        if self._kind and (rest := self._joined.rest()):
            events.append(made(self._part, rest))
        if self._kind == "text":
            events.append(TextEnd(self._part, self._taken()))
        elif self._kind == "reasoning":
            metadata: dict[str, Json] = {}
            if self._field:
                metadata["field"] = self._field
            if self._details:
                metadata["reasoning_details"] = [one.whole() for one in self._details]
                self._details = []
            events.append(ReasoningEnd(self._part, metadata))
        self._kind = ""

    def _close_all(self, events: list[ModelEvent]) -> None:
        """End the open part, and give what was attached without any text a part."""
        self._close(events)
        if self._attached or self._sources[self._cited :]:
            part = f"text-{self._parts}"
            events += [TextDelta(part, ""), TextEnd(part, self._taken())]

    def _taken(self) -> dict[str, Json]:
        """Return what is attached to the text so far, once. What it rests on does not
        go back: it is not part of a message."""
        taken: dict[str, Json] = {}
        if self._attached:
            taken["attached"], self._attached = self._attached, {}
        if cited := self._sources[self._cited :]:
            taken["citations"], self._cited = cited, len(self._sources)
        return taken

    def _attach(self, name: str, value: Any) -> None:
        self._keep(value)
        merged(self._attached, {name: value})

    def _add_detail(self, detail: Mapping[str, Any]) -> None:
        """Add a piece of reasoning detail, joined to the one that it continues."""
        self._keep(detail)
        last = self._details[-1] if self._details else None
        if last is None or any(
            last.labels.get(name) != detail.get(name) for name in ("type", "index")
        ):
            last = _Detail({})
            self._details.append(last)
        for name, value in detail.items():
            if name in DETAIL_TEXTS and isinstance(value, str):
                last.texts.setdefault(name, []).append(value)
            elif value is not None or name not in last.labels:
                last.labels[name] = value

    def _keep(self, value: Any) -> None:
        """Count what is kept for the way back."""
        self._kept += len(written(value))
        if self._kept > self._limits.reasoning:
            raise beyond(
                self._provider,
                f"{self._limits.reasoning} bytes that are to go back with it",
            )

    # --- calls --------------------------------------------------------------------

    def _tool_calls(self, delta: Mapping[str, Any], events: list[ModelEvent]) -> None:
        pieces = delta.get("tool_calls")
        for piece in pieces if isinstance(pieces, list) else ():
            if isinstance(piece, dict):
                self._call(piece, events)
                self._divided = True
        legacy = delta.get("function_call")
        if isinstance(legacy, dict) and not self._divided:
            # Who sends both says the same twice.
            self._call({"index": 0, "function": legacy}, events)

    def _call(self, piece: Mapping[str, Any], events: list[ModelEvent]) -> None:
        before = len(self._calls)
        shown = self._calls.add(piece)
        if len(self._calls) > before:
            self._close(events)
        if shown is not None:
            events.append(shown)


def _says(detail: Any) -> bool:
    """Whether a detail of reasoning holds more than its own labels."""
    return isinstance(detail, dict) and any(
        detail.get(name) for name in ("text", "summary", "data", "signature")
    )


def usage_of(usage: Mapping[str, Any]) -> Usage:
    """Return what a Chat endpoint counted.

    The provider's own total decides what belongs to the output: xAI reports the tokens
    of reasoning beside ``completion_tokens``, Google's compatible endpoint only in the
    total. Where there is no total, reasoning that is more than the output is no part
    of it.
    """
    prompt = table(usage.get("prompt_tokens_details"))
    completion = table(usage.get("completion_tokens_details"))
    cached = (
        prompt.get("cached_tokens"),
        usage.get("prompt_cache_hit_tokens"),
        usage.get("cached_tokens"),
    )
    read = next((n for one in cached if (n := tokens(one)) is not None), None)
    given, output = (
        _either(usage, "prompt_tokens", "input_tokens"),
        _either(usage, "completion_tokens", "output_tokens"),
    )
    reasoning = tokens(completion.get("reasoning_tokens"))
    if reasoning is None:
        reasoning = tokens(usage.get("reasoning_tokens"))
    total = tokens(usage.get("total_tokens"))
    if output is not None:
        beside = 0
        if total is not None and given is not None:
            beside = max(0, total - given - output)
        elif reasoning is not None and reasoning > output:
            beside = reasoning
        output += beside
        if beside and reasoning is None:
            reasoning = beside
    return Usage(
        input=given,
        output=output,
        reasoning=reasoning,
        cache_read=read,
        cache_write=tokens(prompt.get("cache_write_tokens")),
    )


def _either(usage: Mapping[str, Any], *names: str) -> int | None:
    return next((n for one in names if (n := tokens(usage.get(one))) is not None), None)
