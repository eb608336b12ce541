"""The Anthropic plugin: Messages, for Anthropic and those who offer the same.

Owns the protocol: how a request is written (``MessagesProtocol``) and how a stream is
read (``MessagesDecoder``).
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import orjson
from attrs import define, field
from dovetail.kernel import (
    AssistantMessage,
    FileContent,
    Finish,
    FinishReason,
    Json,
    Message,
    ModelEvent,
    ModelRequest,
    Place,
    PromptFile,
    Provider,
    ProviderError,
    ProviderRoute,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningPart,
    Register,
    TextDelta,
    TextEnd,
    TextPart,
    ToolCall,
    ToolDefinition,
    ToolInputDelta,
    ToolPart,
    Usage,
    UserMessage,
    clean_text,
    hookimpl,
)

from .endpoints import Defaults, Endpoint, register_endpoints
from .faults import Redactor, fault_in_stream
from .routes import Route, target_of, transport_of
from .sse import SseEvent
from .transport import Transport, open_transport
from .wording import (
    ToolList,
    arguments_of,
    call_id_of,
    encoded_body,
    made_call_id,
    merged_options,
    notice,
    prompt_parts,
    result_of,
    tool_name,
)

VERSION = "2023-06-01"
MAX_OUTPUT = 8192
"""Asked for where nothing is known of the model: the protocol demands a number."""
DEFAULTS = Defaults(
    provider="anthropic",
    protocol="anthropic-messages",
    base_url="https://api.anthropic.com",
    key_variable="ANTHROPIC_API_KEY",
    url_variable="ANTHROPIC_BASE_URL",
    models={
        "claude-3-5-haiku-latest": (200_000, 8_192),
        "claude-3-haiku-20240307": (200_000, 4_096),
        "claude-haiku-4-5": (200_000, 64_000),
        "claude-opus-4-1": (200_000, 32_000),
        "claude-opus-4-5": (200_000, 64_000),
        "claude-opus-4-6": (1_000_000, 128_000),
        "claude-opus-4-7": (1_000_000, 128_000),
        "claude-sonnet-4-0": (200_000, 64_000),
        "claude-sonnet-4-5": (200_000, 64_000),
        "claude-sonnet-4-6": (1_000_000, 64_000),
    },
)
_CACHED: Json = {"type": "ephemeral"}


class AnthropicPlugin:
    """Offers ``anthropic`` and every configured provider that speaks Messages."""

    @hookimpl
    def dovetail_open_location(
        self, place: Place
    ) -> AbstractAsyncContextManager[Transport]:
        return open_transport()

    @hookimpl
    def dovetail_register_providers(
        self, register: Register[Provider], place: Place
    ) -> None:
        transport = transport_of(place)

        def route(endpoint: Endpoint, model: str) -> ProviderRoute:
            key = endpoint.usable_key()
            headers = {"anthropic-version": VERSION}
            if key:
                headers["x-api-key"] = key
            # Anthropic's own base URLs leave the version out, others' have it.
            based = endpoint.base_url.partition("?")[0].endswith("/v1")
            path = "/messages" if based else "/v1/messages"
            target = target_of(endpoint, path, headers)
            return Route(MessagesProtocol(endpoint, model), target, transport)

        register_endpoints(register, place, DEFAULTS, route)


plugin = AnthropicPlugin()


# --- writing ----------------------------------------------------------------------


class MessagesProtocol:
    """Messages, for one model.

    What is long and stays the same is marked for the provider's cache: the tools, the
    system text, and the messages as a whole by the marker of the request. Nothing is
    marked inside a message, because its bytes must be the same in the next request.
    """

    def __init__(self, endpoint: Endpoint, model: str) -> None:
        self._endpoint = endpoint
        self._provider = endpoint.provider
        self._model = model
        self._name = f"{endpoint.provider}/{model}"
        self._redact = endpoint.redactor()
        back = "" if endpoint.send_reasoning else ":silent"
        self._dialect = f"{DEFAULTS.protocol}:{self._name}{back}"
        known = endpoint.known(model)
        self._max_output = (known and known.output) or _max_output(model)
        # A marker of the whole request is Anthropic's own; others refuse it.
        self._official = endpoint.host == "api.anthropic.com"
        self._tools = ToolList(_tool_shapes)

    def decoder(self) -> "MessagesDecoder":
        """Return a new decoder, for one response."""
        return MessagesDecoder(self._provider, self._redact)

    def encode(self, request: ModelRequest) -> bytes:
        """Return the body of a request.

        Raises:
            ProviderError: ``provider.invalid_request``: it cannot be said.
        """
        limit = request.max_output
        head: dict[str, Json] = {
            "model": self._model,
            "max_tokens": self._max_output if limit is None else limit,
            "stream": True,
        }
        if self._official:
            head["cache_control"] = _CACHED
        tools = self._tools.encoded(request.tools)
        if tools is not None:
            head["tools"] = tools
        texts = [clean_text(one) for one in request.system if one.strip()]
        if texts:
            system: list[dict[str, Json]] = [_text(one) for one in texts]
            system[-1]["cache_control"] = _CACHED
            head["system"] = system
        options = (self._endpoint.options, request.options)
        head = merged_options(self._provider, head, options)
        messages = request.history.encoded(self._dialect, self.encode_message)
        return encoded_body(self._provider, head, messages)

    def encode_message(self, message: Message) -> bytes:
        """Return a message as objects joined by commas; empty when it says nothing.

        Raises:
            ProviderError: ``provider.invalid_request``: a call has no result.
        """
        if isinstance(message, AssistantMessage):
            return self._assistant(message)
        if isinstance(message, UserMessage):
            texts, images = prompt_parts(message.text, message.files)
            blocks = [_text(one) for one in texts] + [_image(one) for one in images]
            return _dumped("user", blocks)
        return _dumped("user", [_text(notice(message.text))])

    def _assistant(self, message: AssistantMessage) -> bytes:
        native = message.model == self._name
        said: list[dict[str, Json]] = []
        results: list[dict[str, Json]] = []
        for part in message.parts:
            if isinstance(part, ToolPart):
                call_id = call_id_of(message, part, native)
                said.append(_call(part, call_id))
                results.append(self._result(part, call_id))
            else:
                said += self._words(part, native)
        # Thinking must lead to something; alone it is refused.
        while said and said[-1]["type"] in ("thinking", "redacted_thinking"):
            said.pop()
        if not said:
            return b""
        objects = [_dumped("assistant", said)]
        if results:
            objects.append(_dumped("user", results))
        return b",".join(objects)

    def _words(
        self, part: TextPart | ReasoningPart, native: bool
    ) -> list[dict[str, Json]]:
        if isinstance(part, TextPart):
            return [_text(clean_text(part.text))] if part.text.strip() else []
        if not native or not self._endpoint.send_reasoning:
            return []
        signature, data = part.metadata.get("signature"), part.metadata.get("redacted")
        if isinstance(data, str):
            return [{"type": "redacted_thinking", "data": data}]
        if isinstance(signature, str):
            thought = clean_text(part.text)
            return [{"type": "thinking", "thinking": thought, "signature": signature}]
        # Unsigned thinking was cut off; it is not accepted back.
        return []

    def _result(self, part: ToolPart, call_id: str) -> dict[str, Json]:
        shown, images = result_of(part, self._provider)
        result: dict[str, Json] = {"type": "tool_result", "tool_use_id": call_id}
        text = shown if shown.strip() else ""
        if images:
            blocks = [_text(text)] if text else []
            result["content"] = blocks + [_image(one) for one in images]
        elif text:
            result["content"] = text
        if part.state == "failed":
            result["is_error"] = True
        return result


def _max_output(model: str) -> int:
    """Return the limit of a model's family where that is known, such as for a dated
    name of a model that is listed without its date."""
    for family, (_, output) in DEFAULTS.models.items():
        if model.startswith(family.removesuffix("-latest")):
            return output
    return MAX_OUTPUT


def _tool_shapes(tools: Sequence[ToolDefinition]) -> list[dict[str, Json]]:
    shapes: list[dict[str, Json]] = [
        {
            "name": tool.name,
            "description": tool.description,
            "input_schema": tool.schema,
        }
        for tool in tools
    ]
    shapes[-1]["cache_control"] = _CACHED
    return shapes


def _text(text: str) -> dict[str, Json]:
    return {"type": "text", "text": text}


def _image(file: PromptFile | FileContent) -> dict[str, Json]:
    source = {"type": "base64", "media_type": file.mime, "data": file.data}
    return {"type": "image", "source": source}


def _call(part: ToolPart, call_id: str) -> dict[str, Json]:
    return {
        "type": "tool_use",
        "id": call_id,
        "name": tool_name(part.tool),
        "input": orjson.Fragment(arguments_of(part)),
    }


def _dumped(role: str, content: Sequence[Json]) -> bytes:
    return orjson.dumps({"role": role, "content": content})


# --- reading ----------------------------------------------------------------------

_FINISHES: Mapping[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
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
    pieces: list[str] = field(factory=list)
    begun: bool = False
    stopped: bool = False
    metadata: dict[str, Json] = field(factory=dict)

    @property
    def arguments(self) -> str:
        """The input as the model wrote it."""
        if not self.pieces and self.given:
            return orjson.dumps(self.given).decode()
        return "".join(self.pieces)

    @property
    def whole(self) -> bool:
        """Whether the input is complete JSON by now."""
        try:
            orjson.loads(self.arguments)
        except orjson.JSONDecodeError:
            return False
        return True


class MessagesDecoder:
    """Reads one Messages stream. Synchronous, and free of I/O.

    A call is handed out once its block has stopped and more has come: the next block,
    or the reason why the model stopped, which alone tells whether the last call was
    cut. Blocks of other kinds, such as the provider's own tools, are passed over.
    """

    def __init__(self, provider: str, redact: Redactor | None = None) -> None:
        self.done = False
        """Whether the Finish was handed out."""
        self._provider = provider
        self._redact = redact or Redactor()
        self._message_id: str | None = None
        self._blocks: dict[int | None, _Block] = {}
        self._held: _Block | None = None
        self._count = 0
        self._taken: set[str] = set()
        self._reason: FinishReason | None = None
        self._usage: dict[str, int] = {}

    def feed(self, event: SseEvent) -> list[ModelEvent]:
        """Return what this event brings.

        Raises:
            ProviderError: it breaks the protocol, or tells of a failure.
        """
        data = event.data.strip()
        if not data or data == b"[DONE]":
            return []
        try:
            body = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            # The cause holds the event, and with it whatever the server echoes.
            raise self._broken(f"an event is not JSON ({error})") from None
        if not isinstance(body, dict):
            raise self._broken("an event is not an object")
        kind = body.get("type") or event.event
        if kind == "content_block_delta":
            return self._delta(body)
        if kind == "content_block_start":
            return self._start(body)
        if kind == "content_block_stop":
            return self._stop(body)
        if kind == "message_start":
            self._message(_table(body.get("message")))
        elif kind == "message_delta":
            return self._message_delta(body)
        elif kind == "message_stop":
            return self._end()
        elif kind == "error" or body.get("error"):
            raise fault_in_stream(
                self._provider, body.get("error") or body, self._redact
            )
        return []

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

    def _broken(self, problem: str) -> ProviderError:
        return ProviderError("provider.invalid_output", self._provider, problem)

    def _cut_off(self, problem: str) -> ProviderError:
        return ProviderError(
            "provider.stream_broken", self._provider, problem, retryable=True
        )

    # --- the message --------------------------------------------------------------

    def _message(self, message: Mapping[str, Any]) -> None:
        message_id = str(message.get("id") or "")
        repeated = self._message_id in (None, message_id)
        # A gateway may repeat the start. Another message after content has come is a
        # retry spliced in by someone between; its thinking and calls belong to another
        # answer, and a mixture could never be sent back.
        if not repeated and self._count:
            raise self._cut_off("another answer was spliced into the stream")
        self._message_id = message_id
        self._tally(message)

    def _message_delta(self, body: Mapping[str, Any]) -> list[ModelEvent]:
        self._tally(body)
        reason = _table(body.get("delta")).get("stop_reason")
        if isinstance(reason, str):
            self._reason = _FINISHES.get(reason, "unknown")
        return []

    def _tally(self, body: Mapping[str, Any]) -> None:
        usage = _table(body.get("usage"))
        for name in _COUNTERS:
            value = usage.get(name)
            if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
                self._usage[name] = value
        thoughts = _table(usage.get("output_tokens_details")).get("thinking_tokens")
        if isinstance(thoughts, int) and not isinstance(thoughts, bool):
            self._usage["thinking_tokens"] = thoughts

    def _end(self) -> list[ModelEvent]:
        if self._message_id is None and self._reason is None:
            raise self._cut_off("the answer is empty")
        events: list[ModelEvent] = []
        reason = self._reason or "unknown"
        self._release(events, stopped=reason not in ("stop", "tool_calls"))
        for block in self._blocks.values():
            if not block.stopped:
                self._close(block, events)
                if block.kind == "tool_use":
                    self._call(block, events, cut=True)
        self.done = True
        events.append(Finish(reason, self._total()))
        return events

    def _total(self) -> Usage:
        plain = self._usage.get("input_tokens")
        read = self._usage.get("cache_read_input_tokens")
        written = self._usage.get("cache_creation_input_tokens")
        known = [one for one in (plain, read, written) if one is not None]
        return Usage(
            input=sum(known) if known else None,
            output=self._usage.get("output_tokens"),
            reasoning=self._usage.get("thinking_tokens"),
            cache_read=read,
            cache_write=written,
        )

    # --- its blocks ---------------------------------------------------------------

    def _start(self, body: Mapping[str, Any]) -> list[ModelEvent]:
        events: list[ModelEvent] = []
        self._release(events, stopped=False)
        content = _table(body.get("content_block"))
        index = _index(body)
        before = self._blocks.get(index)
        if before is not None and not before.stopped:
            raise self._cut_off("a block began before the one in its place had ended")
        kind = str(content.get("type"))
        block = _Block(kind, f"{kind}-{self._count}")
        self._count += 1
        self._blocks[index] = block
        if kind == "text":
            self._say(block, content.get("text"), events)
        elif kind == "thinking":
            self._say(block, content.get("thinking"), events)
            self._sign(block, content.get("signature"))
        elif kind == "redacted_thinking":
            data = content.get("data")
            if isinstance(data, str) and data:
                block.metadata["redacted"] = data
        elif kind == "tool_use":
            call_id, name = content.get("id"), content.get("name")
            block.name = name if isinstance(name, str) else ""
            block.call_id = call_id if isinstance(call_id, str) else ""
            if not block.call_id or block.call_id in self._taken:
                made = made_call_id(self._message_id or "", str(self._count))
                block.call_id = made
            self._taken.add(block.call_id)
            block.given = content.get("input")
        return events

    def _delta(self, body: Mapping[str, Any]) -> list[ModelEvent]:
        block = self._blocks.get(_index(body))
        delta = _table(body.get("delta"))
        kind = delta.get("type")
        if block is None or block.stopped:
            raise self._broken("a delta belongs to no open block")
        events: list[ModelEvent] = []
        if kind == "text_delta" and block.kind == "text":
            self._say(block, delta.get("text"), events)
        elif kind == "thinking_delta" and block.kind == "thinking":
            self._say(block, delta.get("thinking"), events)
        elif kind == "signature_delta" and block.kind == "thinking":
            self._sign(block, delta.get("signature"))
        elif kind == "input_json_delta" and block.kind == "tool_use":
            text = delta.get("partial_json")
            if isinstance(text, str) and text:
                block.pieces.append(text)
                events.append(ToolInputDelta(block.call_id, block.name, text))
        return events

    def _stop(self, body: Mapping[str, Any]) -> list[ModelEvent]:
        block = self._blocks.get(_index(body))
        if block is None or block.stopped:
            return []
        events: list[ModelEvent] = []
        block.stopped = True
        self._close(block, events)
        if block.kind == "tool_use":
            self._release(events, stopped=False)
            self._held = block
        return events

    def _say(self, block: _Block, text: Any, events: list[ModelEvent]) -> None:
        if isinstance(text, str) and text:
            block.begun = True
            made = TextDelta if block.kind == "text" else ReasoningDelta
            events.append(made(block.part, text))

    def _sign(self, block: _Block, signature: Any) -> None:
        if isinstance(signature, str) and signature:
            block.metadata["signature"] = (
                block.metadata.get("signature", "") + signature
            )

    def _close(self, block: _Block, events: list[ModelEvent]) -> None:
        """End a part, unless it never began."""
        if block.kind == "text":
            if block.begun:
                events.append(TextEnd(block.part))
        elif block.kind in ("thinking", "redacted_thinking"):
            if not block.begun and block.metadata:
                events.append(ReasoningDelta(block.part, ""))
            if block.begun or block.metadata:
                events.append(ReasoningEnd(block.part, block.metadata))

    def _release(self, events: list[ModelEvent], *, stopped: bool) -> None:
        """Hand out the call that was held back, if there is one."""
        block, self._held = self._held, None
        if block is not None:
            self._call(block, events, cut=stopped and not block.whole)

    def _call(self, block: _Block, events: list[ModelEvent], *, cut: bool) -> None:
        arguments = block.arguments
        if not cut and not arguments.strip():
            arguments = "{}"
        events.append(ToolCall(block.call_id, block.name, arguments, cut=cut))


_COUNTERS = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
)


def _index(body: Mapping[str, Any]) -> int | None:
    index = body.get("index")
    return index if isinstance(index, int) else None


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
