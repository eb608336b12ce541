"""Contents: how a request of Gemini's generateContent is written.

Owns ``GeminiProtocol``. How its answer is read is ``candidates``'.
"""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import orjson
from attrs import evolve, frozen
from dovetail.kernel import (
    AssistantMessage,
    FileContent,
    Json,
    Message,
    ModelRequest,
    Output,
    OutputMode,
    PromptFile,
    ProviderError,
    ReasoningPart,
    RequestBody,
    TextPart,
    ToolChoice,
    ToolDefinition,
    ToolPart,
    UserMessage,
    clean_text,
    from_json,
    to_json,
)

from .endpoints import Endpoint
from .generation import BUDGETS, Wanted, added, called, more_options, refuses_schema
from .schemas import google, openapi
from .wording import (
    MEBIBYTE,
    UNSIGNED,
    ToolList,
    UserTurns,
    arguments_of,
    attached_to,
    carried_of,
    encoded_body,
    merged_options,
    parts_in_words,
    prompt_parts,
    result_of,
    tool_name,
    words_of,
)

if TYPE_CHECKING:
    from .candidates import GeminiDecoder

PROTOCOL = "google-generate"
_INLINE = 14 * MEBIBYTE
MEDIA: Mapping[str, int] = {"image": _INLINE, "pdf": _INLINE, "audio": _INLINE}
"""Bytes of one file: a request of all has at most 20 MB, files in base64."""


@frozen
class GeminiSettings:
    """What a request is written by: recorded with it, to write it again."""

    provider: str
    model: str
    """Its name at the provider."""
    options: Mapping[str, Json]
    """The configured ones."""
    thoughts: bool
    """Whether reasoning goes back to the model that wrote it."""
    schema: bool = True
    """Whether an answer may be held to a schema."""


_OPTIONS = {
    "temperature": "temperature",
    "topP": "top_p",
    "topK": "top_k",
    "stopSequences": "stop",
    "seed": "seed",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
}
_OLD = re.compile(r"gemini-(?:1|2\.0)")
_THIRD = re.compile(r"gemini-(?:[3-9]|\d\d)")
_LEVELS = {
    "none": "low",
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
}


class GeminiWriter:
    """Writes requests in generateContent, as its settings say."""

    def __init__(self, settings: GeminiSettings) -> None:
        self._tools = ToolList(_tool_shapes)
        self._use(settings)

    def _use(self, settings: GeminiSettings) -> None:
        self._set = settings
        self._name = f"{settings.provider}/{settings.model}"
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
        texts = [clean_text(one) for one in request.system if one.strip()]
        if texts:
            head["systemInstruction"] = {"parts": [_text(one) for one in texts]}
        tools = self._tools.encoded(request.tools)
        if tools is not None:
            head["tools"] = [{"functionDeclarations": tools}]
        head = merged_options(self._set.provider, head, (self._set.options,))
        if request.max_output is not None:
            added(head, "generationConfig", {"maxOutputTokens": request.max_output})
        wanted = Wanted(request.generation)
        added(head, "generationConfig", wanted.fields(**_OPTIONS))
        effort = request.generation.reasoning
        if effort is not None and (thinking := self._thinking(effort)) is not None:
            wanted.take("reasoning")
            added(head, "generationConfig", {"thinkingConfig": thinking})
        head = more_options(self._set.provider, head, request)
        if tools is not None and request.tool_choice != "auto":
            # After the options, which may ask for a call in every answer.
            calling = _calling(request.tool_choice)
            head["toolConfig"] = {"functionCallingConfig": calling}
        if request.output is not None:
            added(head, "generationConfig", self._answer_config(request.output))
        back = "" if self._set.thoughts else ":silent"
        dialect = f"{PROTOCOL}:{self._name}{back}"
        carried = carried_of(request, MEDIA)
        contents = request.history.encoded(
            f"{dialect}:{'+'.join(carried)}",
            lambda message: self.encode_message(message, carried),
            _TURNS.join,
        )
        return encoded_body(
            self._set.provider,
            PROTOCOL,
            head,
            contents,
            self._recorded,
            "contents",
            wanted.ignored,
        )

    def output_mode(self, request: ModelRequest) -> OutputMode:
        """Return how a value would be asked for."""
        if not self._set.schema or request.output is None:
            return "tool"
        if request.tools and not _THIRD.search(self._set.model):
            # Older models take a schema or functions, and not both.
            return "tool"
        return "native" if self._schema(request.output) is not None else "tool"

    def _schema(self, output: Output) -> Json:
        if _OLD.search(self._set.model):
            return openapi(output.asked)
        return google(output.asked)

    def _answer_config(self, output: Output) -> dict[str, Json]:
        old = _OLD.search(self._set.model)
        name = "responseSchema" if old else "responseJsonSchema"
        schema = self._schema(output)
        if schema is None:
            problem = f"the schema of {output.name!r} cannot be said to this model"
            raise ProviderError("provider.invalid_request", self._set.provider, problem)
        return {"responseMimeType": "application/json", name: schema}

    def _thinking(self, effort: str) -> Json:
        """Return how much a model is to think, or None where it takes no word on it."""
        if _THIRD.search(self._set.model):
            # It cannot be kept from thinking, only from thinking much.
            return {"thinkingLevel": _LEVELS[effort]}
        if re.search(r"gemini-2\.5", self._set.model):
            return {"thinkingBudget": BUDGETS.get(effort, 0)}
        return None

    def encode_message(
        self, message: Message, carried: Sequence[str] = tuple(MEDIA)
    ) -> bytes:
        """Return a message as contents joined by commas; empty when it says nothing.

        Raises:
            ProviderError: ``provider.invalid_request``: a call has no result.
        """
        if isinstance(message, AssistantMessage):
            return self._model(message, carried)
        if isinstance(message, UserMessage):
            texts, images = prompt_parts(message.text, message.files, carried)
            parts = [_text(one) for one in texts] + [_inline(one) for one in images]
        else:
            parts = [_text(words_of(message))]
        return _TURNS.said(parts) if parts else b""

    def _model(self, message: AssistantMessage, carried: Sequence[str]) -> bytes:
        own = message.model == self._name
        native = own and self._set.thoughts
        parts: list[dict[str, Json]] = []
        results: list[dict[str, Json]] = []
        images: list[dict[str, Json]] = []
        for part in parts_in_words(message):
            if isinstance(part, ToolPart):
                attached = attached_to(part) if own else {}
                signature = attached.get("thoughtSignature") if native else None
                if signature is None and not native:
                    signature = UNSIGNED
                parts.append(_call(part, attached.get("id"), signature))
                shown, files = result_of(part, self._set.provider, carried)
                results.append(_result(part, attached.get("id"), shown))
                images += [_inline(one) for one in files]
            elif isinstance(part, TextPart):
                attached = attached_to(part) if native else {}
                if part.text.strip() or attached:
                    parts.append(attached | _text(clean_text(part.text)))
            elif native:
                parts += _thought(part)
        if all(one.get("thought") for one in parts):
            # Thoughts that led to nothing are nothing to go on from.
            return b""
        said = orjson.dumps({"role": "model", "parts": parts})
        if not results:
            return said
        answers = orjson.dumps({"role": "user", "parts": [*results, *images]})
        return said + b"," + answers


class GeminiProtocol(GeminiWriter):
    """generateContent, for one model."""

    media = MEDIA

    def __init__(self, endpoint: Endpoint, model: str) -> None:
        super().__init__(
            GeminiSettings(
                provider=endpoint.provider,
                model=model,
                options=endpoint.options,
                thoughts=endpoint.send_reasoning,
            )
        )
        self._limits = endpoint.limits
        self._redact = endpoint.redactor()

    def decoder(self, request: ModelRequest) -> "GeminiDecoder":
        """Return a new decoder, for the one response to this request."""
        # Here, so that whoever asks no such model does not import it.
        from .candidates import GeminiDecoder

        return GeminiDecoder(self._set.provider, self._redact, self._limits)

    def learned_from(self, error: ProviderError) -> bool:
        """Whether a refusal told how the endpoint wants to be asked."""
        if error.status == 400 and self._set.schema and refuses_schema(error.problem):
            self._use(evolve(self._set, schema=False))
            return True
        return False


def written_again(request: ModelRequest, settings: Mapping[str, Json]) -> RequestBody:
    """Return the body of a request by its recorded settings.

    Raises:
        UndecodableError: they are not of this protocol.
    """
    return GeminiWriter(from_json(dict(settings), GeminiSettings)).write(request)


def _calling(choice: ToolChoice) -> dict[str, Json]:
    if choice == "none":
        return {"mode": "NONE"}
    name = called(choice)
    return {"mode": "ANY"} | ({} if name is None else {"allowedFunctionNames": [name]})


def _thought(part: ReasoningPart) -> list[dict[str, Json]]:
    """Return a thought that is signed, or what the provider ran by itself, as it
    came."""
    kept = part.metadata.get("part")
    if isinstance(kept, dict):
        return [kept]
    attached = part.metadata.get("attached")
    if not isinstance(attached, dict) or "thoughtSignature" not in attached:
        return []
    return [{**attached, "text": clean_text(part.text), "thought": True}]


# What a person or the runtime says is joined; the results of calls, whose role comes
# first, are not.
_TURNS = UserTurns("parts")


def _text(text: str) -> dict[str, Json]:
    return {"text": text}


def _inline(file: PromptFile | FileContent) -> dict[str, Json]:
    return {"inlineData": {"mimeType": file.mime, "data": file.data}}


def _call(part: ToolPart, call_id: Json, signature: Json) -> dict[str, Json]:
    call: dict[str, Json] = {
        "name": tool_name(part.tool),
        "args": orjson.Fragment(arguments_of(part)),
    }
    if call_id:
        call["id"] = call_id
    signed: Mapping[str, Json] = {"thoughtSignature": signature} if signature else {}
    return {"functionCall": call, **signed}


def _result(part: ToolPart, call_id: Json, shown: str) -> dict[str, Json]:
    field = "error" if part.state == "failed" else "output"
    result: dict[str, Json] = {
        "name": tool_name(part.tool),
        "response": {field: shown},
    }
    if call_id:
        result["id"] = call_id
    return {"functionResponse": result}


def _tool_shapes(tools: Sequence[ToolDefinition]) -> list[dict[str, Json]]:
    return [
        {
            "name": tool.name,
            "description": tool.description,
            "parametersJsonSchema": tool.schema,
        }
        for tool in tools
    ]
