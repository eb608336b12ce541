"""Ollama's own chat: how a request is written, and how its lines are read.

Owns ``OllamaProtocol`` and ``OllamaDecoder``. Unlike its Chat Completions, it tells how
much of the window is used, takes the window's size with ``options``, and thinks when it
is asked to.
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
    ReasoningPart,
    Redactor,
    RequestBody,
    TextDelta,
    ToolCall,
    ToolInputDelta,
    Usage,
    UserMessage,
    clean_text,
    from_json,
)

from .calls import beyond
from .endpoints import Endpoint
from .faults import fault_in_stream, has_error
from .generation import Wanted, added, more_options
from .ndjson import LineDecoder
from .plain import PlainDecoder, PlainSettings, PlainWriter, said_by
from .reading import Joined, table, tokens, word, written
from .sse import SseEvent
from .wording import (
    MEBIBYTE,
    arguments_of,
    made_call_id,
    merged_options,
    prompt_parts,
    result_of,
    text_in_words,
    tool_name,
    words_of,
)

_FINISHES: Mapping[str, FinishReason] = {"stop": "stop", "length": "length"}


PROTOCOL = "ollama-chat"
MEDIA: Mapping[str, int] = {"image": 32 * MEBIBYTE}
"""Bytes of one file; Ollama itself names no bound."""


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


class OllamaWriter(PlainWriter):
    """Writes requests in Ollama's chat, as its settings say."""

    protocol = PROTOCOL
    media = MEDIA

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
            images: list[Json] = [one.data for one in files]
            return _user("\n\n".join(texts), images)
        return _user(words_of(message), [])

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
            results.append(said_by("tool", content=shown, tool_name=name))
            images += [one.data for one in files]
        if calls:
            said["tool_calls"] = calls
        elif not text.strip():
            return b""
        objects = [said_by("assistant", **said), *results]
        if images:
            objects.append(_user("[images from the tool results]", images))
        return b",".join(objects)


class OllamaProtocol(OllamaWriter):
    """Ollama's chat, for one model."""

    accepts = "application/x-ndjson"

    def __init__(self, endpoint: Endpoint, model: str) -> None:
        super().__init__(PlainSettings.of(endpoint, model))
        self._limits = endpoint.limits
        self._redact = endpoint.redactor()

    def frames(self) -> LineDecoder:
        """Return a new reader of the lines of one response."""
        return LineDecoder()

    def decoder(self, request: ModelRequest) -> "OllamaDecoder":
        """Return a new decoder, for the one response to this request."""
        return OllamaDecoder(self._set.provider, self._redact, self._limits)


def written_again(request: ModelRequest, settings: Mapping[str, Json]) -> RequestBody:
    """Return the body of a request by its recorded settings.

    Raises:
        UndecodableError: they are not of this protocol.
    """
    return OllamaWriter(from_json(dict(settings), PlainSettings)).write(request)


class OllamaDecoder(PlainDecoder):
    """Reads the lines of one answer. Calls come whole."""

    def __init__(
        self,
        provider: str,
        redact: Redactor | None = None,
        limits: AnswerLimits | None = None,
    ) -> None:
        super().__init__(provider, redact, limits)
        self._calls = 0
        self._taken: set[str] = set()
        self._texts = {"content": Joined(), "thinking": Joined()}

    def take(
        self, event: SseEvent, body: Mapping[str, Any], events: list[ModelEvent]
    ) -> None:
        """Take in one line. See ``PlainDecoder``."""
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
            self.usage = Usage(
                input=tokens(body.get("prompt_eval_count")),
                output=tokens(body.get("eval_count")),
            )
            events.append(Finish(reason, self.usage))

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
        return said_by("user", content=text, images=list(images))
    return said_by("user", content=text)
