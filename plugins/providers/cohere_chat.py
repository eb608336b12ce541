"""Cohere's chat, version 2: how a request is written, and how its stream is read.

Owns ``CohereProtocol`` and ``CohereDecoder``. A plan, which says what the calls after
it are for, is reasoning; it goes back, like thoughts, to the model that wrote it.
Citations are kept with the text that they are of. Source: docs.cohere.com, v2/chat.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from dovetail.kernel import (
    AnswerLimits,
    AssistantMessage,
    Finish,
    FinishReason,
    Json,
    Message,
    ModelEvent,
    ModelRequest,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningPart,
    Redactor,
    RequestBody,
    TextDelta,
    TextEnd,
    Usage,
    UserMessage,
    clean_text,
    from_json,
)

from .calls import Calls, beyond
from .endpoints import Endpoint
from .faults import fault_in_stream, has_error
from .generation import Wanted, more_options
from .plain import PlainDecoder, PlainSettings, PlainWriter, said_by
from .reading import Joined, table, tokens, word
from .sse import SseEvent
from .wording import (
    MEBIBYTE,
    arguments_of,
    call_id_of,
    merged_options,
    prompt_parts,
    result_of,
    tool_name,
    words_of,
)

PROTOCOL = "cohere-chat"
MEDIA: Mapping[str, int] = {"image": 20 * MEBIBYTE}
"""Bytes of one file."""
_FINISHES: Mapping[str, FinishReason] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR_TOXIC": "content_filter",
    "ERROR": "error",
    "TIMEOUT": "error",
}
_OPTIONS = {
    "temperature": "temperature",
    "p": "top_p",
    "k": "top_k",
    "seed": "seed",
    "stop_sequences": "stop",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}
_PLAN, _THINKING, _TEXT = "tool_plan", "thinking", "text"


class CohereWriter(PlainWriter):
    """Writes requests in Cohere's chat, as its settings say."""

    protocol = PROTOCOL
    media = MEDIA

    def write(self, request: ModelRequest) -> RequestBody:
        """Return the body of a request.

        Raises:
            ProviderError: ``provider.invalid_request``: it cannot be said.
        """
        head: dict[str, Json] = {"model": self._set.model, "stream": True}
        if request.max_output is not None:
            head["max_tokens"] = request.max_output
        tools = self._tools.encoded(request.tools)
        if tools is not None:
            head["tools"] = tools
        head = merged_options(self._set.provider, head, (self._set.options,))
        wanted = Wanted(request.generation)
        head |= wanted.fields(**_OPTIONS)
        effort = wanted.take("reasoning")
        if effort is not None:
            head["thinking"] = {"type": "disabled" if effort == "none" else "enabled"}
        head = more_options(self._set.provider, head, request)
        if tools is not None and request.tool_choice != "auto":
            choice = "NONE" if request.tool_choice == "none" else "REQUIRED"
            head["tool_choice"] = choice
            if request.tool_choice not in ("none", "required"):
                wanted.leave("tool_choice")  # it cannot be told which one
        if request.output is not None:
            schema: Json = {"type": "json_object", "schema": request.output.asked}
            head["response_format"] = schema
        return self.body(head, request, wanted)

    def encode_message(
        self, message: Message, carried: Sequence[str] | None = None
    ) -> bytes:
        """Return a message as objects joined by commas. See ``PlainWriter``."""
        carried = tuple(MEDIA) if carried is None else carried
        if isinstance(message, AssistantMessage):
            return self._assistant(message, carried)
        if isinstance(message, UserMessage):
            texts, files = prompt_parts(message.text, message.files, carried)
            return _user(texts, [(one.mime, one.data) for one in files])
        return _user([words_of(message)], [])

    def _assistant(self, message: AssistantMessage, carried: Sequence[str]) -> bytes:
        text = clean_text(message.text)
        native = message.model == self._name
        said: dict[str, Json] = {}
        if native and self._set.thoughts:
            said = _reasoning_back(message)
        calls: list[Json] = []
        results: list[bytes] = []
        images: list[tuple[str, str]] = []
        for part in message.calls:
            call_id = call_id_of(message, part, own=native)
            function = {"name": tool_name(part.tool), "arguments": arguments_of(part)}
            calls.append({"id": call_id, "type": "function", "function": function})
            shown, files = result_of(part, self._set.provider, carried)
            results.append(said_by("tool", tool_call_id=call_id, content=shown))
            images += [(one.mime, one.data) for one in files]
        if calls:
            said["tool_calls"] = calls
            if "content" in said and text.strip():
                said["content"] = [*said["content"], {"type": "text", "text": text}]
            elif text.strip() and _PLAN not in said:
                # What was said before calls is a plan here, whatever it was elsewhere.
                said[_PLAN] = text
            elif text.strip():
                said["content"] = text
        elif not text.strip():
            return b""
        else:
            said.pop(_PLAN, None)
            thought = said.get("content", [])
            part_of_text: Json = {"type": "text", "text": text}
            said["content"] = [*thought, part_of_text] if thought else text
        objects = [said_by("assistant", **said), *results]
        if images:
            objects.append(_user(["[images from the tool results]"], images))
        return b",".join(objects)


class CohereProtocol(CohereWriter):
    """Cohere's chat, for one model."""

    def __init__(self, endpoint: Endpoint, model: str) -> None:
        super().__init__(PlainSettings.of(endpoint, model))
        self._limits = endpoint.limits
        self._redact = endpoint.redactor()

    def decoder(self, request: ModelRequest) -> "CohereDecoder":
        """Return a new decoder, for the one response to this request."""
        tools = frozenset(tool.name for tool in request.tools)
        return CohereDecoder(self._set.provider, self._redact, self._limits, tools)


def written_again(request: ModelRequest, settings: Mapping[str, Json]) -> RequestBody:
    """Return the body of a request by its recorded settings.

    Raises:
        UndecodableError: they are not of this protocol.
    """
    return CohereWriter(from_json(dict(settings), PlainSettings)).write(request)


class CohereDecoder(PlainDecoder):
    """Reads one answer. Calls are handed out at its end, in the order the model made
    them."""

    def __init__(
        self,
        provider: str,
        redact: Redactor | None = None,
        limits: AnswerLimits | None = None,
        tools: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(provider, redact, limits)
        self._calls = Calls(provider, self._limits, tools)
        self._parts = 0
        self._open: tuple[str, str] | None = None
        """The kind of the part that is open, and its name."""
        self._joined = Joined()
        self._citations: list[Json] = []
        self._kept = 0

    def kept(self) -> list[ModelEvent]:
        """Return what is complete of an answer that went beyond its limits."""
        events: list[ModelEvent] = []
        self._close(events)
        refused = "the answer that it was in went on beyond its limits"
        return [*events, *self._calls.handed_out(stopped=True, refused=refused)]

    def take(
        self, event: SseEvent, body: Mapping[str, Any], events: list[ModelEvent]
    ) -> None:
        """Take in one object of an event. See ``PlainDecoder``."""
        kind = word(body.get("type")) or event.event
        delta = table(body.get("delta"))
        told = body.get("error") or delta.get("error")
        if has_error(told) and kind != "message-end":
            raise fault_in_stream(self._provider, told, self._redact)
        message = table(delta.get("message"))
        if kind == "message-start":
            self._begun = True
            self._calls.response_id = word(body.get("id"))[:200]
        elif kind in ("content-start", "content-delta"):
            self._content(table(message.get("content")), events)
        elif kind == "content-end":
            # Citations of a text may still come; what comes next closes it.
            return
        elif kind == "tool-plan-delta":
            self._say(_PLAN, word(message.get(_PLAN)), events)
        elif kind in ("tool-call-start", "tool-call-delta"):
            self._close(events)
            self._call(table(message.get("tool_calls")), body.get("index"), events)
        elif kind == "citation-start":
            self._cite(message.get("citations"))
        elif kind == "message-end":
            self._end(delta, events)
        elif "finish_reason" in body and isinstance(body.get("message"), dict):
            self._undivided(body, events)

    def _undivided(self, body: Mapping[str, Any], events: list[ModelEvent]) -> None:
        """Take in an answer that was not streamed."""
        self._calls.response_id = word(body.get("id"))[:200]
        message = table(body.get("message"))
        self._say(_PLAN, word(message.get(_PLAN)), events)
        content = message.get("content")
        for one in content if isinstance(content, list) else ():
            self._content(table(one), events)
        self._cite(message.get("citations"))
        calls = message.get("tool_calls")
        for at, one in enumerate(calls if isinstance(calls, list) else ()):
            self._close(events)
            self._call(table(one), at, events)
        self._end(body, events)

    def _content(self, content: Mapping[str, Any], events: list[ModelEvent]) -> None:
        self._say(_THINKING, word(content.get(_THINKING)), events)
        self._say(_TEXT, word(content.get(_TEXT)), events)

    def _say(self, kind: str, text: str, events: list[ModelEvent]) -> None:
        if not text:
            return
        if self._open is None or self._open[0] != kind:
            self._close(events)
            self._parts += 1
            if self._parts > self._limits.parts:
                raise beyond(self._provider, f"{self._limits.parts} parts")
            self._open = (kind, f"{kind}-{self._parts}")
        new = self._joined.add(text)
        if new:
            made = TextDelta if kind == _TEXT else ReasoningDelta
            events.append(made(self._open[1], new))

    def _close(self, events: list[ModelEvent]) -> None:
        if self._open is None:
            return
        kind, name = self._open
        if rest := self._joined.rest():
            made = TextDelta if kind == _TEXT else ReasoningDelta
            events.append(made(name, rest))
        self._open = None
        if kind != _TEXT:
            events.append(ReasoningEnd(name, {"field": kind}))
            return
        cited, self._citations = self._citations, []
        events.append(TextEnd(name, {"citations": cited} if cited else {}))

    def _cite(self, citations: Any) -> None:
        # Streamed they come one by one, and otherwise in a list.
        listed = citations if isinstance(citations, list) else [citations]
        for one in listed:
            if isinstance(one, dict) and one:
                self._kept += len(orjson.dumps(one, default=str))
                if self._kept > self._limits.reasoning:
                    raise beyond(
                        self._provider, f"{self._limits.reasoning} bytes of citations"
                    )
                self._citations.append(one)

    def _call(
        self, call: Mapping[str, Any], index: Any, events: list[ModelEvent]
    ) -> None:
        shown = self._calls.add({**call, "index": index})
        if shown is not None:
            events.append(shown)

    def _end(self, told: Mapping[str, Any], events: list[ModelEvent]) -> None:
        self._close(events)
        named = word(told.get("finish_reason"))
        reason = _FINISHES.get(named, "unknown")
        usage = table(told.get("usage"))
        counted = table(usage.get("tokens"))
        self.usage = Usage(
            input=tokens(counted.get("input_tokens")),
            output=tokens(counted.get("output_tokens")),
            cache_read=tokens(usage.get("cached_tokens")),
        )
        if reason == "error":
            why = told.get("error") or f"it ended with {named}"
            raise fault_in_stream(self._provider, why, self._redact)
        events += self._calls.handed_out(stopped=reason not in ("stop", "tool_calls"))
        self.done = True
        events.append(Finish(reason, self.usage))


def _reasoning_back(message: AssistantMessage) -> dict[str, Json]:
    """Return reasoning in the field that it came in."""
    back: dict[str, Json] = {}
    for part in message.parts:
        if not isinstance(part, ReasoningPart) or not part.text:
            continue
        text = clean_text(part.text)
        if part.metadata.get("field") == _PLAN:
            back[_PLAN] = back.get(_PLAN, "") + text
        elif part.metadata.get("field") == _THINKING:
            back.setdefault("content", []).append({"type": _THINKING, _THINKING: text})
    return back


def _user(texts: Sequence[str], images: Sequence[tuple[str, str]]) -> bytes:
    if not images:
        return said_by("user", content="\n\n".join(texts))
    parts: list[Json] = [{"type": "text", "text": text} for text in texts]
    for mime, data in images:
        url = f"data:{mime};base64,{data}"
        parts.append({"type": "image_url", "image_url": {"url": url}})
    return said_by("user", content=parts)
