"""Converse: how a request of Amazon Bedrock is written, and how its stream is read.

Owns ``ConverseProtocol`` and ``ConverseDecoder``. The events say the same as those of
Messages in other words, so they are put into those and read there.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson
from attrs import evolve, frozen
from dovetail.kernel import (
    AnswerLimits,
    AssistantMessage,
    FileContent,
    Json,
    Message,
    ModelEvent,
    ModelRequest,
    PromptFile,
    ProviderError,
    ReasoningPart,
    Redactor,
    RequestBody,
    TextPart,
    ToolDefinition,
    ToolPart,
    UserMessage,
    clean_text,
    from_json,
    to_json,
)

from .endpoints import Endpoint
from .faults import fault_in_stream, read_objects
from .messages import MessagesDecoder
from .reading import table, word, written
from .sse import SseEvent
from .wording import (
    ToolList,
    UserTurns,
    arguments_of,
    call_id_of,
    encoded_body,
    merged_options,
    prompt_parts,
    result_of,
    told,
    tool_name,
)

_CACHES = re.compile(r"anthropic\.claude|amazon\.nova", re.IGNORECASE)
"""Models that keep what is marked; others refuse the mark."""
_CACHE_POINT: Json = {"cachePoint": {"type": "default"}}


PROTOCOL = "bedrock-converse"


@frozen
class ConverseSettings:
    """What a request is written by: recorded with it, to write it again."""

    provider: str
    model: str
    """Its name at the provider."""
    options: Mapping[str, Json]
    """The configured ones."""
    thoughts: bool
    """Whether reasoning goes back to the model that wrote it."""
    caches: bool
    """Whether what stays the same is marked."""


class ConverseWriter:
    """Writes requests in Converse, as its settings say."""

    def __init__(self, settings: ConverseSettings) -> None:
        self._use(settings)

    def _use(self, settings: ConverseSettings) -> None:
        self._set = settings
        self._name = f"{settings.provider}/{settings.model}"
        self._tools = ToolList(self._tool_shapes)
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
        head: dict[str, Json] = {}
        system: list[Json] = [
            {"text": clean_text(one)} for one in request.system if one.strip()
        ]
        if system:
            head["system"] = system + ([_CACHE_POINT] if self._set.caches else [])
        # It knows no way to offer tools and have none called, and wants them wherever
        # one was called before.
        tools = self._tools.encoded(request.tools)
        if tools is not None:
            head["toolConfig"] = {"tools": tools}
        options = (self._set.options, request.options)
        head = merged_options(self._set.provider, head, options)
        if request.max_output is not None:
            chosen = head.get("inferenceConfig")
            limit: dict[str, Json] = {"maxTokens": request.max_output}
            head["inferenceConfig"] = limit | (
                chosen if isinstance(chosen, dict) else {}
            )
        back = "" if self._set.thoughts else ":silent"
        messages = request.history.encoded(
            f"{PROTOCOL}:{self._name}{back}", self.encode_message, _TURNS.join
        )
        return encoded_body(
            self._set.provider, PROTOCOL, head, messages, self._recorded
        )

    def encode_message(self, message: Message) -> bytes:
        """Return a message as objects joined by commas; empty when it says nothing.

        Raises:
            ProviderError: ``provider.invalid_request``: a call has no result.
        """
        if isinstance(message, AssistantMessage):
            return self._assistant(message)
        if isinstance(message, UserMessage):
            texts, images = prompt_parts(message.text, message.files)
            blocks: list[Json] = [{"text": one} for one in texts]
            blocks += [_image(one) for one in images]
        else:
            blocks = [{"text": told(message)}]
        return _TURNS.said(blocks) if blocks else b""

    def _assistant(self, message: AssistantMessage) -> bytes:
        own = message.model == self._name
        blocks: list[Mapping[str, Json]] = []
        results: list[Json] = []
        for part in message.parts:
            if isinstance(part, ToolPart):
                call_id = call_id_of(message, part, own=own)
                blocks.append(_call(part, call_id))
                results.append(self._result(part, call_id))
            elif isinstance(part, TextPart):
                if part.text.strip():
                    blocks.append({"text": clean_text(part.text)})
            elif own and self._set.thoughts:
                blocks += _thought(part)
        # Thinking must lead to something; alone it is refused.
        while blocks and "reasoningContent" in blocks[-1]:
            blocks.pop()
        if not blocks:
            return b""
        said = orjson.dumps({"role": "assistant", "content": blocks})
        return said + b"," + _TURNS.said(results) if results else said

    def _result(self, part: ToolPart, call_id: str) -> dict[str, Json]:
        shown, images = result_of(part, self._set.provider)
        content: list[Json] = []
        if shown.strip() or not images:
            content.append({"text": shown if shown.strip() else "(nothing)"})
        content += [_image(one) for one in images]
        result: dict[str, Json] = {"toolUseId": call_id, "content": content}
        result["status"] = "error" if part.state == "failed" else "success"
        return {"toolResult": result}

    def _tool_shapes(self, tools: Sequence[ToolDefinition]) -> list[dict[str, Json]]:
        shapes: list[dict[str, Json]] = []
        for tool in tools:
            spec: dict[str, Json] = {
                "name": tool.name,
                "description": tool.description or tool.name,
                "inputSchema": {"json": tool.schema},
            }
            shapes.append({"toolSpec": spec})
        if self._set.caches:
            shapes.append({"cachePoint": {"type": "default"}})
        return shapes


class ConverseProtocol(ConverseWriter):
    """Converse, for one model."""

    def __init__(self, endpoint: Endpoint, model: str) -> None:
        super().__init__(
            ConverseSettings(
                provider=endpoint.provider,
                model=model,
                options=endpoint.options,
                thoughts=endpoint.send_reasoning,
                caches=bool(_CACHES.search(model)),
            )
        )
        self._limits = endpoint.limits
        self._redact = endpoint.redactor()

    def decoder(self, request: ModelRequest) -> "ConverseDecoder":
        """Return a new decoder, for the one response to this request."""
        return ConverseDecoder(self._set.provider, self._redact, self._limits)

    def learned_from(self, error: ProviderError) -> bool:
        """Whether a refusal told how the endpoint wants to be asked."""
        if error.status == 400 and self._set.caches and "cach" in error.problem.lower():
            self._use(evolve(self._set, caches=False))
            return True
        return False


def written_again(request: ModelRequest, settings: Mapping[str, Json]) -> RequestBody:
    """Return the body of a request by its recorded settings.

    Raises:
        UndecodableError: they are not of this protocol.
    """
    return ConverseWriter(from_json(dict(settings), ConverseSettings)).write(request)


def _thought(part: ReasoningPart) -> list[dict[str, Json]]:
    redacted = part.metadata.get("redacted")
    if isinstance(redacted, str):
        return [{"reasoningContent": {"redactedContent": redacted}}]
    signature = part.metadata.get("signature")
    if not isinstance(signature, str) or not part.text.strip():
        return []
    thought: dict[str, Json] = {"text": clean_text(part.text)}
    if signature:
        thought["signature"] = signature
    return [{"reasoningContent": {"reasoningText": thought}}]


def _image(file: PromptFile | FileContent) -> dict[str, Json]:
    kind = file.mime.removeprefix("image/")
    return {"image": {"format": kind, "source": {"bytes": file.data}}}


def _call(part: ToolPart, call_id: str) -> dict[str, Json]:
    call: dict[str, Json] = {
        "toolUseId": call_id,
        "name": tool_name(part.tool),
        "input": orjson.Fragment(arguments_of(part)),
    }
    return {"toolUse": call}


# Results and what is said after them are wanted in one.
_TURNS = UserTurns("content")


# --- reading ----------------------------------------------------------------------

_EVENTS = (
    "messageStart",
    "contentBlockStart",
    "contentBlockDelta",
    "contentBlockStop",
    "messageStop",
    "metadata",
)
_REASONS = {
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
}
_USAGE = {
    "inputTokens": "input_tokens",
    "outputTokens": "output_tokens",
    "cacheReadInputTokens": "cache_read_input_tokens",
    "cacheWriteInputTokens": "cache_creation_input_tokens",
}
_STATUS = {
    "accessDeniedException": 403,
    "internalServerException": 500,
    "modelErrorException": 500,
    "modelNotReadyException": 429,
    "modelStreamErrorException": 500,
    "modelTimeoutException": 408,
    "serviceUnavailableException": 503,
    "throttlingException": 429,
    "validationException": 400,
}


class ConverseDecoder:
    """Reads one Converse stream. Synchronous, and free of I/O."""

    def __init__(
        self,
        provider: str,
        redact: Redactor | None = None,
        limits: AnswerLimits | None = None,
    ) -> None:
        self._provider = provider
        self._redact = redact or Redactor()
        self._messages = MessagesDecoder(provider, redact, limits)
        self._begun = False

    @property
    def done(self) -> bool:
        """Whether the Finish was handed out."""
        return self._messages.done

    @property
    def ending(self) -> bool:
        """Whether the answer has said that it is at its end."""
        return self._messages.ending

    def feed(self, event: SseEvent) -> list[ModelEvent]:
        """Return what this event brings.

        Raises:
            ProviderError: it breaks the protocol, or tells of a failure.
        """
        bodies = read_objects(self._provider, event.data)
        made: list[ModelEvent] = []
        for body in bodies:
            named: dict[str, Mapping[str, Any]] = {event.event: body}
            if event.event not in _EVENTS and not event.event.endswith("Exception"):
                named = {name: table(one) for name, one in body.items()}
                if "output" in named:
                    named = {"output": body}
            for kind, one in named.items():
                for other in self._in_messages(kind, one):
                    data = written(other).encode("utf-8", "surrogatepass")
                    made += self._messages.feed(SseEvent(data))
        return made

    def finish(self) -> list[ModelEvent]:
        """Return the rest at the end of the stream.

        Raises:
            ProviderError: ``provider.stream_broken``: it ended too soon.
        """
        return self._messages.finish()

    def kept(self) -> list[ModelEvent]:
        """Return what is complete of an answer that went beyond its limits."""
        return self._messages.kept()

    def _in_messages(
        self, kind: str, body: Mapping[str, Any]
    ) -> Iterator[dict[str, Any]]:
        """Yield the events of Messages that say the same."""
        index = body.get("contentBlockIndex")
        if kind.endswith("Exception"):
            told = {**body, "code": kind, "status_code": _STATUS.get(kind, 500)}
            raise fault_in_stream(self._provider, told, self._redact)
        if not self._begun and (kind in _EVENTS or kind == "output"):
            self._begun = True
            yield {"type": "message_start", "message": {}}
        if kind == "contentBlockStart":
            for name, one in table(body.get("start")).items():
                yield _started(index, name, table(one))
        elif kind == "contentBlockDelta":
            yield from _deltas(index, table(body.get("delta")))
        elif kind == "contentBlockStop":
            yield {"type": "content_block_stop", "index": index}
        elif kind == "messageStop":
            reason = word(body.get("stopReason"))
            delta = {"stop_reason": _REASONS.get(reason, reason)}
            yield {"type": "message_delta", "delta": delta}
        elif kind == "metadata":
            yield {"type": "message_delta", "usage": _usage(body)}
        elif kind == "output":
            yield from self._undivided(body)

    def _undivided(self, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield an answer that was not streamed."""
        content = table(table(body.get("output")).get("message")).get("content")
        for index, block in enumerate(content if isinstance(content, list) else ()):
            at = {"contentBlockIndex": index}
            for name, one in table(block).items():
                inner = table(one)
                if name == "toolUse":
                    yield _started(index, name, {**inner, "input": inner.get("input")})
                elif name == "reasoningContent":
                    told = table(inner.get("reasoningText")) or inner
                    yield from _deltas(index, {name: told})
                else:
                    yield from _deltas(index, {name: one})
            yield from self._in_messages("contentBlockStop", at)
        yield {"type": "message_delta", "usage": _usage(body)}
        yield from self._in_messages("messageStop", body)


def _started(index: Any, name: str, one: Mapping[str, Any]) -> dict[str, Any]:
    block: dict[str, Any] = {"type": name}
    if name == "toolUse":
        # What runs there has a kind of its own, and is nobody's to run here.
        kind = word(one.get("type"))
        block = {
            "type": kind if kind == "server_tool_use" else "tool_use",
            "id": one.get("toolUseId"),
            "name": one.get("name"),
            "input": one.get("input") or {},
        }
    return {"type": "content_block_start", "index": index, "content_block": block}


def _deltas(index: Any, delta: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, one in delta.items():
        if name == "text":
            yield _delta(index, "text_delta", text=one)
        elif name == "toolUse":
            yield _delta(
                index, "input_json_delta", partial_json=table(one).get("input")
            )
        elif name == "citation":
            yield _delta(index, "citations_delta", citation=one)
        elif name == "reasoningContent":
            thought = table(one)
            if isinstance(thought.get("text"), str):
                yield _delta(index, "thinking_delta", thinking=thought["text"])
            if isinstance(thought.get("signature"), str):
                yield _delta(index, "signature_delta", signature=thought["signature"])
            if isinstance(thought.get("redactedContent"), str):
                yield {
                    "type": "content_block_start",
                    "index": index,
                    "content_block": {
                        "type": "redacted_thinking",
                        "data": thought["redactedContent"],
                    },
                }


def _delta(index: Any, kind: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "content_block_delta",
        "index": index,
        "delta": {"type": kind, **more},
    }


def _usage(body: Mapping[str, Any]) -> dict[str, Any]:
    usage = table(body.get("usage"))
    return {ours: usage.get(theirs) for theirs, ours in _USAGE.items()}
