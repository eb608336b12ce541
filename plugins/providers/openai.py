"""The OpenAI plugin: Chat Completions, for OpenAI and everyone who offers the same.

Owns the protocol: how a request is written (``ChatProtocol``) and how a stream is read
(``ChatDecoder``), with the habits of the many servers that speak it.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import orjson
from attrs import define, field
from dovetail.kernel import (
    AssistantMessage,
    Finish,
    FinishReason,
    Json,
    Message,
    ModelEvent,
    ModelRequest,
    Place,
    Provider,
    ProviderError,
    ProviderRoute,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningPart,
    Register,
    TextDelta,
    TextEnd,
    ToolCall,
    ToolDefinition,
    ToolInputDelta,
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

DEFAULTS = Defaults(
    provider="openai",
    protocol="openai-chat",
    base_url="https://api.openai.com/v1",
    key_variable="OPENAI_API_KEY",
    url_variable="OPENAI_BASE_URL",
    models={
        "gpt-4.1": (1_047_576, 32_768),
        "gpt-4o": (128_000, 16_384),
        "gpt-4o-mini": (128_000, 16_384),
        "gpt-5": (400_000, 128_000),
        "gpt-5-mini": (400_000, 128_000),
        "gpt-5-nano": (400_000, 128_000),
        "gpt-5.1": (400_000, 128_000),
        "gpt-5.2": (400_000, 128_000),
        "gpt-5.4": (1_050_000, 128_000),
        "gpt-5.5": (1_050_000, 128_000),
        "o3": (200_000, 100_000),
        "o4-mini": (200_000, 100_000),
    },
)


class OpenAIPlugin:
    """Offers ``openai`` and every configured provider that speaks its Chat."""

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
            authentication = {"authorization": f"Bearer {key}"} if key else {}
            target = target_of(endpoint, "/chat/completions", authentication)
            return Route(ChatProtocol(endpoint, model), target, transport)

        register_endpoints(register, place, DEFAULTS, route)


plugin = OpenAIPlugin()


# --- writing ----------------------------------------------------------------------


class ChatProtocol:
    """Chat Completions, for one model."""

    def __init__(self, endpoint: Endpoint, model: str) -> None:
        self._endpoint = endpoint
        self._provider = endpoint.provider
        self._model = model
        self._name = f"{endpoint.provider}/{model}"
        self._redact = endpoint.redactor()
        back = "" if endpoint.send_reasoning else ":silent"
        self._dialect = f"{DEFAULTS.protocol}:{self._name}{back}"
        # Only OpenAI itself refuses the old name, and only it knows the new one.
        official = endpoint.host == "api.openai.com"
        self._limit = "max_completion_tokens" if official else "max_tokens"
        self._tools = ToolList(_tool_shapes)

    def decoder(self) -> "ChatDecoder":
        """Return a new decoder, for one response."""
        return ChatDecoder(self._provider, self._redact)

    def encode(self, request: ModelRequest) -> bytes:
        """Return the body of a request.

        Raises:
            ProviderError: ``provider.invalid_request``: it cannot be said.
        """
        head: dict[str, Json] = {"model": self._model, "stream": True}
        if self._endpoint.stream_usage:
            head["stream_options"] = {"include_usage": True}
        if request.max_output is not None:
            head[self._limit] = request.max_output
        tools = self._tools.encoded(request.tools)
        if tools is not None:
            head["tools"] = tools
        options = (self._endpoint.options, request.options)
        head = merged_options(self._provider, head, options)
        # One system message: many chat templates take no second one.
        system = "\n\n".join(clean_text(one) for one in request.system if one.strip())
        messages = [_dumped({"role": "system", "content": system})] if system else []
        messages += request.history.encoded(self._dialect, self.encode_message)
        return encoded_body(self._provider, head, messages)

    def encode_message(self, message: Message) -> bytes:
        """Return a message as objects joined by commas; empty when it says nothing.

        Raises:
            ProviderError: ``provider.invalid_request``: a call has no result.
        """
        if isinstance(message, AssistantMessage):
            return self._assistant(message)
        if isinstance(message, UserMessage):
            texts, files = prompt_parts(message.text, message.files)
            images = [(file.mime, file.data) for file in files]
            return _dumped(_user(texts, images))
        return _dumped({"role": "user", "content": notice(message.text)})

    def _assistant(self, message: AssistantMessage) -> bytes:
        native = message.model == self._name
        text = clean_text(message.text)
        said: dict[str, Json] = {"role": "assistant", "content": text or None}
        results: list[bytes] = []
        images: list[tuple[str, str]] = []
        calls: list[Json] = []
        for part in message.calls:
            call_id = call_id_of(message, part, native)
            calls.append(
                {
                    "id": call_id,
                    "type": "function",
                    "function": {
                        "name": tool_name(part.tool),
                        "arguments": arguments_of(part),
                    },
                }
            )
            shown, files = result_of(part, self._provider)
            if files:
                # A tool message holds text only; the images follow all of them.
                shown = f"{shown}\n[images follow]" if shown else "[images follow]"
                images += [(file.mime, file.data) for file in files]
            results.append(
                _dumped({"role": "tool", "tool_call_id": call_id, "content": shown})
            )
        if calls:
            said["tool_calls"] = calls
        elif not text.strip():
            return b""
        if native and self._endpoint.send_reasoning:
            said |= _reasoning_back(message, bool(calls))
        objects = [_dumped(said), *results]
        if images:
            objects.append(_dumped(_user(["[images from the tool results]"], images)))
        return b",".join(objects)


def _user(texts: Sequence[str], images: Sequence[tuple[str, str]]) -> Json:
    if not images:
        return {"role": "user", "content": "\n\n".join(texts)}
    parts: list[Json] = [{"type": "text", "text": text} for text in texts]
    for mime, data in images:
        url = f"data:{mime};base64,{data}"
        parts.append({"type": "image_url", "image_url": {"url": url}})
    return {"role": "user", "content": parts}


def _reasoning_back(message: AssistantMessage, calls: bool) -> dict[str, Json]:
    """Return reasoning in the field that it came in, for the model that wrote it.

    Plain text goes back only beside calls: there some models need it, elsewhere some
    servers refuse it. Signed details go back as they came, always.
    """
    back: dict[str, Json] = {}
    for part in message.parts:
        if not isinstance(part, ReasoningPart):
            continue
        listed = part.metadata.get("reasoning_details")
        for one in listed if isinstance(listed, list) else ():
            _add_detail(back.setdefault("reasoning_details", []), one)
        name = part.metadata.get("field")
        if calls and isinstance(name, str) and name in _REASONING_FIELDS:
            back[name] = back.get(name, "") + clean_text(part.text)
    return back


def _tool_shapes(tools: Sequence[ToolDefinition]) -> list[dict[str, Json]]:
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.schema,
            },
        }
        for tool in tools
    ]


def _dumped(value: Json) -> bytes:
    return orjson.dumps(value)


# --- reading ----------------------------------------------------------------------

_REASONING_FIELDS = ("reasoning_content", "reasoning")
_REASONING = frozenset((*_REASONING_FIELDS, "reasoning_details"))
_FINISHES: Mapping[str, FinishReason] = {
    "stop": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "safety": "content_filter",
    "refusal": "content_filter",
    "error": "error",
}


@define(eq=False)
class _Call:
    """A call while its pieces come."""

    key: object
    """The index it was streamed under, or None where the server gives none."""
    made_id: str
    """What it is called while, or because, the server gives it no id."""
    call_id: str = ""
    name: str = ""
    pieces: list[str] = field(factory=list)

    @property
    def arguments(self) -> str:
        """What came so far."""
        return "".join(self.pieces)

    @property
    def whole(self) -> bool:
        """Whether the arguments are complete JSON by now."""
        try:
            orjson.loads(self.arguments)
        except orjson.JSONDecodeError:
            return False
        return True


class ChatDecoder:
    """Reads one Chat Completions stream. Synchronous, and free of I/O.

    Calls are handed out when the finish reason has come, in the order the model made
    them. A stream is complete with a finish reason, or with ``[DONE]``.
    """

    def __init__(self, provider: str, redact: Redactor | None = None) -> None:
        self.done = False
        """Whether the Finish was handed out."""
        self._provider = provider
        self._redact = redact or Redactor()
        self._response_id = ""
        self._spoke = False
        self._refused = False
        self._reason: FinishReason | None = None
        self._usage = Usage()
        self._calls: list[_Call] = []
        self._handed_out = False
        self._parts = 0
        self._part = ""
        self._kind = ""
        self._field = ""
        self._details: list[Json] = []

    def feed(self, event: SseEvent) -> list[ModelEvent]:
        """Return what this event brings.

        Raises:
            ProviderError: it breaks the protocol, or tells of a failure.
        """
        data = event.data.strip()
        if data == b"[DONE]":
            return self._end()
        if not data:
            return []
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            # The cause holds the event, and with it whatever the server echoes.
            raise self._broken(f"an event is not JSON ({error})") from None
        if not isinstance(chunk, dict):
            raise self._broken("an event is not an object")
        told = chunk.get("error")
        if told or event.event == "error" or chunk.get("object") == "error":
            raise fault_in_stream(self._provider, told or chunk, self._redact)
        self._response_id = self._response_id or str(chunk.get("id") or "")
        if chunk.get("usage") is not None or "x_groq" in chunk:
            self._count(chunk)
        events: list[ModelEvent] = []
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict):
                raise self._broken("a choice is not an object")
            if not choice.get("index"):
                self._choice(choice, events)
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
            if not self._spoke and not self._response_id:
                problem = "the answer is empty"
            raise ProviderError(
                "provider.stream_broken", self._provider, problem, retryable=True
            )
        return self._end()

    def _end(self) -> list[ModelEvent]:
        if self._reason is None and not self._spoke and not self._calls:
            raise ProviderError(
                "provider.invalid_output",
                self._provider,
                "the answer is empty",
                retryable=True,
            )
        events: list[ModelEvent] = []
        reason = self._reason or "unknown"
        self._hand_out(events, reason)
        if self._refused and reason == "stop":
            reason = "content_filter"
        self.done = True
        events.append(Finish(reason, self._usage))
        return events

    def _broken(self, problem: str) -> ProviderError:
        return ProviderError("provider.invalid_output", self._provider, problem)

    def _count(self, chunk: Mapping[str, Any]) -> None:
        usage = chunk.get("usage")
        if not isinstance(usage, dict):
            groq = chunk.get("x_groq")
            usage = groq.get("usage") if isinstance(groq, dict) else None
        if isinstance(usage, dict):
            self._usage = _usage(usage)

    def _choice(self, choice: Mapping[str, Any], events: list[ModelEvent]) -> None:
        error = choice.get("error")
        if error:
            raise fault_in_stream(self._provider, error, self._redact)
        delta = choice.get("delta")
        if isinstance(delta, dict):
            if not _REASONING.isdisjoint(delta):
                self._reasoning(delta, events)
            self._content(delta.get("content"), events)
            refusal = delta.get("refusal")
            if isinstance(refusal, str) and refusal:
                self._refused = True
                self._say("text", refusal, events)
            self._tool_calls(delta, events)
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason and self._reason is None:
            if reason == "insufficient_system_resource":
                raise ProviderError(
                    "provider.unavailable",
                    self._provider,
                    "it ran out of resources in mid-answer",
                    retryable=True,
                )
            self._reason = _FINISHES.get(reason.lower(), "unknown")
            self._hand_out(events, self._reason)

    # --- text and reasoning -------------------------------------------------------

    def _reasoning(self, delta: Mapping[str, Any], events: list[ModelEvent]) -> None:
        told = details = ""
        for name in _REASONING_FIELDS:
            value = delta.get(name)
            if isinstance(value, str) and value:
                self._field, told = name, value
                break
        listed = delta.get("reasoning_details")
        kept = [one for one in listed if _says(one)] if isinstance(listed, list) else []
        for one in kept:
            details += str(one.get("text") or one.get("summary") or "")
        if told or kept:
            self._say("reasoning", told or details, events)
            for one in kept:
                _add_detail(self._details, one)

    def _content(self, content: Any, events: list[ModelEvent]) -> None:
        if isinstance(content, str):
            if content:
                self._say("text", content, events)
        elif isinstance(content, list):
            # Mistral's reasoning models send a list of typed pieces.
            for piece in content:
                if not isinstance(piece, dict):
                    continue
                if piece.get("type") == "thinking":
                    thoughts = piece.get("thinking")
                    for one in thoughts if isinstance(thoughts, list) else [piece]:
                        self._piece("reasoning", one, events)
                else:
                    self._piece("text", piece, events)

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
        events.append(made(self._part, text))

    def _close(self, events: list[ModelEvent]) -> None:
        """End the open part."""
        if self._kind == "text":
            events.append(TextEnd(self._part))
        elif self._kind == "reasoning":
            metadata: dict[str, Json] = {}
            if self._field:
                metadata["field"] = self._field
            if self._details:
                metadata["reasoning_details"] = self._details
                self._details = []
            events.append(ReasoningEnd(self._part, metadata))
        self._kind = ""

    # --- calls --------------------------------------------------------------------

    def _tool_calls(self, delta: Mapping[str, Any], events: list[ModelEvent]) -> None:
        pieces = delta.get("tool_calls")
        if isinstance(pieces, list):
            for piece in pieces:
                if isinstance(piece, dict):
                    self._piece_of_call(piece, events)
        legacy = delta.get("function_call")
        if isinstance(legacy, dict):
            self._piece_of_call({"index": 0, "function": legacy}, events)

    def _piece_of_call(
        self, piece: Mapping[str, Any], events: list[ModelEvent]
    ) -> None:
        function = piece.get("function")
        function = function if isinstance(function, dict) else {}
        call_id = piece.get("id")
        call_id = call_id if isinstance(call_id, str) else ""
        name = function.get("name")
        name = name if isinstance(name, str) else ""
        text = _text_of(function.get("arguments"))
        if self._handed_out:
            if text or name:
                raise self._broken("a call goes on after the finish reason")
            return
        call = self._call_of(piece.get("index"), call_id, name)
        if call is None:
            self._close(events)
            made_id = made_call_id(self._response_id, str(len(self._calls)))
            call = _Call(piece.get("index"), made_id)
            self._calls.append(call)
        call.call_id = call.call_id or call_id
        # Some servers repeat the name or send it empty; none sends it in pieces.
        call.name = call.name or name
        if text:
            call.pieces.append(text)
            live_id = call.call_id or call.made_id
            events.append(ToolInputDelta(live_id, call.name, text))

    def _call_of(self, index: Any, call_id: str, name: str) -> _Call | None:
        """Return the call that a piece belongs to, or None when it begins one."""
        if index is None:
            if call_id:
                same = [one for one in self._calls if one.call_id == call_id]
                return same[-1] if same else None
            if name and self._calls and self._calls[-1].whole:
                return None
            return self._calls[-1] if self._calls else None
        found = next((one for one in reversed(self._calls) if one.key == index), None)
        if found is None or not call_id or call_id == found.call_id or not name:
            return found
        # Another id under the same index: another call of a server that numbers
        # them all alike, unless the call so far is unfinished.
        return None if found.whole or name != found.name else found

    def _hand_out(self, events: list[ModelEvent], reason: FinishReason) -> None:
        self._close(events)
        if self._handed_out:
            return
        self._handed_out = True
        stopped = reason not in ("stop", "tool_calls")
        taken: set[str] = set()
        for call in self._calls:
            call_id = call.call_id or call.made_id
            if call_id in taken:
                call_id = made_call_id(call.made_id, call_id)
            taken.add(call_id)
            cut = stopped and call is self._calls[-1] and not call.whole
            arguments = call.arguments
            if not cut and not arguments.strip():
                arguments = "{}"
            events.append(ToolCall(call_id, call.name, arguments, cut=cut))


def _says(detail: Any) -> bool:
    """Whether a detail of reasoning holds more than its own labels."""
    return isinstance(detail, dict) and any(
        detail.get(name) for name in ("text", "summary", "data", "signature")
    )


def _add_detail(details: list[Json], detail: Mapping[str, Any]) -> None:
    """Add a piece of reasoning detail, joined to the one that it continues."""
    last = details[-1] if details else None
    if last is None or any(
        last.get(name) != detail.get(name) for name in ("type", "index")
    ):
        details.append(dict(detail))
        return
    for name, value in detail.items():
        if name in ("text", "summary", "data") and isinstance(value, str):
            last[name] = (last.get(name) or "") + value
        elif value is not None:
            last[name] = value


def _text_of(arguments: Any) -> str:
    """Some servers send the arguments as an object, and nothing as null."""
    if isinstance(arguments, str):
        return arguments
    return "" if arguments is None else orjson.dumps(arguments).decode()


def _usage(usage: Mapping[str, Any]) -> Usage:
    prompt = _table(usage.get("prompt_tokens_details"))
    completion = _table(usage.get("completion_tokens_details"))
    cached = (
        prompt.get("cached_tokens"),
        usage.get("prompt_cache_hit_tokens"),
        usage.get("cached_tokens"),
    )
    return Usage(
        input=_tokens(usage.get("prompt_tokens")),
        output=_tokens(usage.get("completion_tokens")),
        reasoning=_tokens(completion.get("reasoning_tokens")),
        cache_read=next((n for one in cached if (n := _tokens(one)) is not None), None),
        cache_write=_tokens(prompt.get("cache_write_tokens")),
    )


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _tokens(value: Any) -> int | None:
    counted = isinstance(value, int) and not isinstance(value, bool)
    return value if counted and value >= 0 else None
