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
    Output,
    OutputMode,
    PromptFile,
    ProviderError,
    ReasoningPart,
    Redactor,
    RequestBody,
    TextPart,
    ToolDefinition,
    ToolPart,
    Usage,
    UserMessage,
    ability_for,
    clean_text,
    from_json,
    to_json,
)

from .endpoints import Endpoint
from .faults import fault_in_stream, read_objects
from .generation import (
    BUDGETS,
    Wanted,
    added,
    called,
    more_options,
    refused_option,
    refuses_schema,
)
from .messages import MessagesDecoder
from .reading import table, word, written
from .schemas import anthropic
from .sse import SseEvent
from .wording import (
    ToolList,
    UserTurns,
    arguments_of,
    call_id_of,
    carried_of,
    encoded_body,
    merged_options,
    parts_in_words,
    prompt_parts,
    result_of,
    tool_name,
    words_of,
)

_CACHES = re.compile(r"anthropic\.claude|amazon\.nova", re.IGNORECASE)
"""Models that keep what is marked; others refuse the mark."""
_CACHE_POINT: Json = {"cachePoint": {"type": "default"}}
_MARK = orjson.dumps(_CACHE_POINT)


_CLAUDE = re.compile(r"anthropic\.claude", re.IGNORECASE)
_SCHEMAS = re.compile(
    r"claude-(?:opus-4-[5-9]|sonnet-4-[5-9]|haiku-4-[5-9]|[a-z]+-[5-9])(?!\d{6})"
)
_ADAPTIVE = re.compile(r"claude-(?:(?:opus|sonnet)-4-[6-9]|[a-z]+-[5-9])(?!\d{6})")
_THINKING = re.compile(r"claude-(?:3-7|opus-4|sonnet-4|haiku-4)")
_CHOOSES = re.compile(r"anthropic\.claude|amazon\.nova|mistral-large", re.IGNORECASE)
"""Models that can be made to call; others refuse it."""
_WORDS = {
    "temperature": "temperature",
    "topP": "top_p",
    "top_p": "top_p",
    "top_k": "top_k",
    "stopSequences": "stop",
    "serviceTier": "service_tier",
}
TIERS = ("priority", "default", "flex", "reserved")
"""Those that Amazon's model of the service names."""
PROTOCOL = "bedrock-converse"
MEDIA: Mapping[str, int] = {"image": 3_932_160, "pdf": 4_718_592}
"""Bytes of one file, as Amazon says: 3.75 and 4.5 MB."""


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
    schema: bool = False
    """Whether an answer may be held to a schema."""
    unknown: tuple[str, ...] = ()
    """Generation options that the endpoint is known not to take."""


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
        head = merged_options(self._set.provider, head, (self._set.options,))
        if request.max_output is not None:
            added(head, "inferenceConfig", {"maxTokens": request.max_output})
        wanted = Wanted(request.generation, self._set.unknown)
        thinking = _thinking(self._set.model, request, head)
        if thinking is not None:
            wanted.take("reasoning")
            added(head, "additionalModelRequestFields", thinking)
        added(head, "inferenceConfig", wanted.fields(stopSequences="stop"))
        if not table(thinking).get("thinking"):
            sampling = wanted.fields(temperature="temperature")
            if not sampling or not _CLAUDE.search(self._set.model):
                sampling |= wanted.fields(topP="top_p")
            added(head, "inferenceConfig", sampling)
            if _CLAUDE.search(self._set.model):
                more = wanted.fields(top_k="top_k")
                added(head, "additionalModelRequestFields", more)
        tier = wanted.take("service_tier")
        if tier in TIERS:
            head["serviceTier"] = {"type": tier}
        elif tier is not None:
            wanted.leave("service_tier")  # another one is refused
        head = more_options(self._set.provider, head, request)
        if tools is not None and request.tool_choice not in ("auto", "none"):
            name = called(request.tool_choice)
            choice: Json = {"any": {}} if name is None else {"tool": {"name": name}}
            if _CHOOSES.search(self._set.model) and not _forced_off(head):
                added(head, "toolConfig", {"tools": tools, "toolChoice": choice})
            else:
                wanted.leave("tool_choice")
        if request.output is not None:
            added(head, "outputConfig", {"textFormat": self._format(request.output)})
        back = "" if self._set.thoughts else ":silent"
        carried = carried_of(request, MEDIA)
        messages = request.history.encoded(
            f"{PROTOCOL}:{self._name}{back}:{'+'.join(carried)}",
            lambda message: self.encode_message(message, carried),
            _TURNS.join,
        )
        return encoded_body(
            self._set.provider,
            PROTOCOL,
            head,
            messages,
            self._recorded,
            ignored=wanted.ignored,
            mark=_TURNS.mark(messages, block=_MARK) if self._set.caches else (b"", 0),
        )

    def _format(self, output: Output) -> Json:
        schema = anthropic(output.asked)
        if schema is None:
            problem = f"the schema of {output.name!r} cannot be said to this model"
            raise ProviderError("provider.invalid_request", self._set.provider, problem)
        said: dict[str, Json] = {"schema": written(schema), "name": output.name}
        if output.description.strip():
            said["description"] = output.description.strip()
        return {"type": "json_schema", "structure": {"jsonSchema": said}}

    def output_mode(self, request: ModelRequest) -> OutputMode:
        """Return how a value would be asked for."""
        output = request.output
        if not self._set.schema or output is None or anthropic(output.asked) is None:
            return "tool"
        return "native"

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
            texts, images = prompt_parts(message.text, message.files, carried)
            if any(ability_for(one.mime) == "pdf" for one in images) and not texts:
                # A document alone is refused.
                texts = ["(see the document)"]
            blocks: list[Json] = [{"text": one} for one in texts]
            blocks += [_file(one, at) for at, one in enumerate(images, 1)]
        else:
            blocks = [{"text": words_of(message)}]
        return _TURNS.said(blocks) if blocks else b""

    def _assistant(self, message: AssistantMessage, carried: Sequence[str]) -> bytes:
        own = message.model == self._name
        blocks: list[Mapping[str, Json]] = []
        results: list[Json] = []
        for part in parts_in_words(message):
            if isinstance(part, ToolPart):
                call_id = call_id_of(message, part, own=own)
                blocks.append(_call(part, call_id))
                results.append(self._result(part, call_id, carried))
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

    def _result(
        self, part: ToolPart, call_id: str, carried: Sequence[str]
    ) -> dict[str, Json]:
        shown, images = result_of(part, self._set.provider, carried)
        content: list[Json] = []
        if shown.strip() or not images:
            content.append({"text": shown if shown.strip() else "(nothing)"})
        content += [_file(one, at) for at, one in enumerate(images, 1)]
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

    media = MEDIA

    def __init__(self, endpoint: Endpoint, model: str) -> None:
        super().__init__(
            ConverseSettings(
                provider=endpoint.provider,
                model=model,
                options=endpoint.options,
                thoughts=endpoint.send_reasoning,
                caches=bool(_CACHES.search(model)),
                schema=bool(_SCHEMAS.search(model)),
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
        if error.status != 400:
            return False
        if self._set.schema and refuses_schema(error.problem):
            self._use(evolve(self._set, schema=False))
            return True
        option = refused_option(error.problem, _WORDS, self._set.unknown)
        if option is not None:
            unknown = tuple(sorted((*self._set.unknown, option)))
            self._use(evolve(self._set, unknown=unknown))
            return True
        return False


def written_again(request: ModelRequest, settings: Mapping[str, Json]) -> RequestBody:
    """Return the body of a request by its recorded settings.

    Raises:
        UndecodableError: they are not of this protocol.
    """
    return ConverseWriter(from_json(dict(settings), ConverseSettings)).write(request)


def _thinking(
    model: str, request: ModelRequest, head: Mapping[str, Json]
) -> dict[str, Json] | None:
    """Return how much a model is to think, as it is told that; None where it takes no
    word on it."""
    effort = request.generation.reasoning
    if effort is None:
        return None
    if _ADAPTIVE.search(model):
        if effort == "none":
            return {}
        word = {"minimal": "low", "xhigh": "max"}.get(effort, effort)
        return {"thinking": {"type": "adaptive"}, "output_config": {"effort": word}}
    if _THINKING.search(model):
        limit = table(head.get("inferenceConfig")).get("maxTokens")
        budget = BUDGETS.get(effort, 0)
        if budget and isinstance(limit, int):
            budget = min(budget, limit - 1)
        if effort == "none":
            return {}
        if budget < _LEAST_THOUGHT:
            return None
        return {"thinking": {"type": "enabled", "budget_tokens": budget}}
    if "gpt-oss" in model:
        return {
            "reasoning_effort": {"none": "low", "minimal": "low"}.get(effort, effort)
        }
    return None


_LEAST_THOUGHT = 1024


def _forced_off(head: Mapping[str, Json]) -> bool:
    """Whether the model thinks: it may not be made to call then."""
    return bool(table(head.get("additionalModelRequestFields")).get("thinking"))


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


def _file(file: PromptFile | FileContent, number: int) -> dict[str, Json]:
    if ability_for(file.mime) == "pdf":
        # A name may hold little, and none may be there twice in a message.
        plain = re.sub(r"[^A-Za-z0-9()\[\]-]+", " ", file.name or "document").strip()
        document = {
            "format": "pdf",
            "name": f"{plain[:80] or 'document'} {number}",
            "source": {"bytes": file.data},
        }
        return {"document": document}
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
    # What the model wrote could not be read there: asked again, it may write better.
    "malformed_model_output": "error",
    "malformed_tool_use": "error",
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

    @property
    def usage(self) -> Usage:
        """The tokens that were told of so far."""
        return self._messages.usage

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
                    made += self._messages.take(other)
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
