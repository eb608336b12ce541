"""Ollama's own chat: how a request is written, and how its lines are read.

Owns ``OllamaProtocol`` and ``OllamaDecoder``. Unlike its Chat Completions, it tells how
much of the window is used, takes the window's size with ``options``, and thinks when it
is asked to.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from attrs import frozen
from dovetail.kernel import (
    AnswerLimits,
    AssistantMessage,
    Finish,
    FinishReason,
    Json,
    Message,
    ModelEvent,
    ModelRequest,
    OutputMode,
    ProviderError,
    ReasoningDelta,
    ReasoningPart,
    Redactor,
    RequestBody,
    TextDelta,
    ToolCall,
    ToolDefinition,
    ToolInputDelta,
    Usage,
    UserMessage,
    clean_text,
    from_json,
    to_json,
)

from .calls import beyond
from .endpoints import Endpoint
from .faults import ended_too_soon, fault_in_stream, has_error, read_objects
from .generation import Wanted, added, more_options
from .ndjson import LineDecoder
from .reading import Joined, table, tokens, word, written
from .sse import SseEvent
from .wording import (
    MEBIBYTE,
    ToolList,
    arguments_of,
    carried_of,
    encoded_body,
    made_call_id,
    merged_options,
    no_turns,
    prompt_parts,
    result_of,
    text_in_words,
    told,
    tool_name,
)

_FINISHES: Mapping[str, FinishReason] = {"stop": "stop", "length": "length"}


PROTOCOL = "ollama-chat"
MEDIA: Mapping[str, int] = {"image": 32 * MEBIBYTE}
"""Bytes of one file; Ollama itself names no bound."""


@frozen
class OllamaSettings:
    """What a request is written by: recorded with it, to write it again."""

    provider: str
    model: str
    """Its name at the provider."""
    options: Mapping[str, Json]
    """The configured ones."""
    thoughts: bool
    """Whether reasoning goes back to the model that wrote it."""


_OPTIONS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "seed": "seed",
    "stop": "stop",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}
_THINK: Mapping[str, Json] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
}


class OllamaWriter:
    """Writes requests in Ollama's chat, as its settings say."""

    def __init__(self, settings: OllamaSettings) -> None:
        self._use(settings)

    def _use(self, settings: OllamaSettings) -> None:
        self._set = settings
        self._name = f"{settings.provider}/{settings.model}"
        self._tools = ToolList(_tool_shapes)
        # Made once: whoever records it compares it with the last one.
        self._recorded = to_json(settings)

    def encode(self, request: ModelRequest) -> bytes:
        """Return the bytes of ``write``."""
        return self.write(request).data

    def write(self, request: ModelRequest) -> RequestBody:
        """Return the body of a request.

        Raises:
            ProviderError: ``provider.invalid_request``: it cannot be said.
        """
        head: dict[str, Json] = {"model": self._set.model, "stream": True}
        # It knows no way to offer tools and have none called.
        tools = self._tools.encoded(request.tools)
        if tools is not None and request.tool_choice != "none":
            head["tools"] = tools
        head = merged_options(self._set.provider, head, (self._set.options,))
        if request.max_output is not None:
            added(head, "options", {"num_predict": request.max_output})
        wanted = Wanted(request.generation)
        added(head, "options", wanted.fields(**_OPTIONS))
        effort = wanted.take("reasoning")
        if effort is not None:
            words = "gpt-oss" in self._set.model
            head["think"] = _THINK[effort] if words else effort != "none"
        head = more_options(self._set.provider, head, request)
        if request.tool_choice not in ("auto", "none"):
            wanted.leave("tool_choice")
        if request.output is not None:
            head["format"] = request.output.asked
        system = "\n\n".join(clean_text(one) for one in request.system if one.strip())
        messages = [_dumped("system", content=system)] if system else []
        back = "" if self._set.thoughts else ":silent"
        carried = carried_of(request, MEDIA)
        messages += request.history.encoded(
            f"{PROTOCOL}:{self._name}{back}:{'+'.join(carried)}",
            lambda message: self.encode_message(message, carried),
            no_turns,
        )
        return encoded_body(
            self._set.provider,
            PROTOCOL,
            head,
            messages,
            self._recorded,
            ignored=wanted.ignored,
        )

    def output_mode(self, request: ModelRequest) -> OutputMode:
        """Return how a value would be asked for."""
        # A schema binds every answer, so that no tool would ever be called.
        return "tool" if request.tools else "native"

    def encode_message(
        self, message: Message, carried: Sequence[str] = tuple(MEDIA)
    ) -> bytes:
        """Return a message as objects joined by commas; empty when it says nothing.

        Raises:
            ProviderError: ``provider.invalid_request``: a call has no result.
        """
        if isinstance(message, AssistantMessage):
            return self._assistant(message, carried)
        if isinstance(message, UserMessage):
            texts, files = prompt_parts(message.text, message.files, carried)
            images: list[Json] = [one.data for one in files]
            return _user("\n\n".join(texts), images)
        return _user(told(message), [])

    def _assistant(self, message: AssistantMessage, carried: Sequence[str]) -> bytes:
        text = clean_text(text_in_words(message))
        said: dict[str, Json] = {"content": text}
        native = message.model == self._name and self._set.thoughts
        thoughts = [one.text for one in message.parts if isinstance(one, ReasoningPart)]
        if native and any(thoughts):
            said["thinking"] = clean_text("\n\n".join(thoughts))
        calls: list[Json] = []
        results: list[bytes] = []
        images: list[Json] = []
        for part in message.calls:
            name = tool_name(part.tool)
            arguments = orjson.Fragment(arguments_of(part))
            calls.append({"function": {"name": name, "arguments": arguments}})
            shown, files = result_of(part, self._set.provider, carried)
            results.append(_dumped("tool", content=shown, tool_name=name))
            images += [one.data for one in files]
        if calls:
            said["tool_calls"] = calls
        elif not text.strip():
            return b""
        objects = [_dumped("assistant", **said), *results]
        if images:
            objects.append(_user("[images from the tool results]", images))
        return b",".join(objects)


class OllamaProtocol(OllamaWriter):
    """Ollama's chat, for one model."""

    media = MEDIA

    accepts = "application/x-ndjson"

    def __init__(self, endpoint: Endpoint, model: str) -> None:
        super().__init__(
            OllamaSettings(
                provider=endpoint.provider,
                model=model,
                options=endpoint.options,
                thoughts=endpoint.send_reasoning,
            )
        )
        self._limits = endpoint.limits
        self._redact = endpoint.redactor()

    def frames(self) -> LineDecoder:
        """Return a new reader of the lines of one response."""
        return LineDecoder()

    def decoder(self, request: ModelRequest) -> "OllamaDecoder":
        """Return a new decoder, for the one response to this request."""
        return OllamaDecoder(self._set.provider, self._redact, self._limits)

    def learned_from(self, error: ProviderError) -> bool:
        """Whether a refusal told how the endpoint wants to be asked: never."""
        return False


def written_again(request: ModelRequest, settings: Mapping[str, Json]) -> RequestBody:
    """Return the body of a request by its recorded settings.

    Raises:
        UndecodableError: they are not of this protocol.
    """
    return OllamaWriter(from_json(dict(settings), OllamaSettings)).write(request)


class OllamaDecoder:
    """Reads the lines of one answer. Synchronous, and free of I/O. Calls come whole."""

    def __init__(
        self,
        provider: str,
        redact: Redactor | None = None,
        limits: AnswerLimits | None = None,
    ) -> None:
        self.done = False
        """Whether the Finish was handed out."""
        self.ending = False
        """Never before the Finish: the last line is the end."""
        self._provider = provider
        self._redact = redact or Redactor()
        self._limits = limits or AnswerLimits()
        self._begun = False
        self._calls = 0
        self._taken: set[str] = set()
        self._texts = {"content": Joined(), "thinking": Joined()}

    def feed(self, event: SseEvent) -> list[ModelEvent]:
        """Return what this line brings.

        Raises:
            ProviderError: it breaks the protocol, or tells of a failure.
        """
        bodies = read_objects(self._provider, event.data)
        events: list[ModelEvent] = []
        for body in bodies:
            self._line(body, events)
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

    def _line(self, body: Mapping[str, Any], events: list[ModelEvent]) -> None:
        if has_error(body.get("error")):
            raise fault_in_stream(self._provider, body["error"], self._redact)
        self._begun = True
        message = table(body.get("message"))
        for name, made in (("thinking", ReasoningDelta), ("content", TextDelta)):
            text = word(message.get(name))
            if text and (new := self._texts[name].add(text)):
                events.append(made(name, new))
        calls = message.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            self._call(table(call), events)
        if body.get("done") is True:
            for name, made in (("thinking", ReasoningDelta), ("content", TextDelta)):
                if rest := self._texts[name].rest():
                    events.append(made(name, rest))
            reason = _FINISHES.get(word(body.get("done_reason")) or "stop", "unknown")
            if reason == "stop" and self._calls:
                reason = "tool_calls"
            self.done = True
            usage = Usage(
                input=tokens(body.get("prompt_eval_count")),
                output=tokens(body.get("eval_count")),
            )
            events.append(Finish(reason, usage))

    def _call(self, call: Mapping[str, Any], events: list[ModelEvent]) -> None:
        self._calls += 1
        if self._calls > self._limits.calls:
            raise beyond(self._provider, f"{self._limits.calls} calls")
        function = table(call.get("function"))
        given, name = function.get("arguments"), word(function.get("name"))
        arguments = given if isinstance(given, str) else written(given or {})
        if len(arguments) > self._limits.arguments:
            raise beyond(
                self._provider,
                f"{self._limits.arguments} characters of arguments of one call",
            )
        call_id = word(call.get("id"))
        if not call_id or call_id in self._taken:
            call_id = made_call_id(call_id, name, str(self._calls))
        self._taken.add(call_id)
        events.append(ToolInputDelta(call_id, name, arguments))
        events.append(ToolCall(call_id, name, arguments))


def _user(text: str, images: Sequence[Json]) -> bytes:
    if images:
        return _dumped("user", content=text, images=list(images))
    return _dumped("user", content=text)


def _dumped(role: str, **more: Json) -> bytes:
    return orjson.dumps({"role": role, **more})


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
