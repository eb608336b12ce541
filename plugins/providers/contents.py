"""Contents: how a request of Gemini's generateContent is written.

Owns ``GeminiProtocol``. How its answer is read is ``candidates``'.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import orjson
from attrs import frozen
from dovetail.kernel import (
    AssistantMessage,
    FileContent,
    Json,
    Message,
    ModelRequest,
    PromptFile,
    ProviderError,
    ReasoningPart,
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
from .wording import (
    UNSIGNED,
    ToolList,
    UserTurns,
    arguments_of,
    attached_to,
    encoded_body,
    merged_options,
    prompt_parts,
    result_of,
    told,
    tool_name,
)

if TYPE_CHECKING:
    from .candidates import GeminiDecoder

PROTOCOL = "google-generate"


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


class GeminiWriter:
    """Writes requests in generateContent, as its settings say."""

    def __init__(self, settings: GeminiSettings) -> None:
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
        head: dict[str, Json] = {}
        texts = [clean_text(one) for one in request.system if one.strip()]
        if texts:
            head["systemInstruction"] = {"parts": [_text(one) for one in texts]}
        tools = self._tools.encoded(request.tools)
        if tools is not None:
            head["tools"] = [{"functionDeclarations": tools}]
        options = (self._set.options, request.options)
        head = merged_options(self._set.provider, head, options)
        if request.max_output is not None:
            generation = head.get("generationConfig")
            chosen = generation if isinstance(generation, dict) else {}
            limit: dict[str, Json] = {"maxOutputTokens": request.max_output}
            head["generationConfig"] = limit | chosen
        if tools is not None and request.tool_choice == "none":
            # After the options, which may ask for a call in every answer.
            head["toolConfig"] = {"functionCallingConfig": {"mode": "NONE"}}
        back = "" if self._set.thoughts else ":silent"
        dialect = f"{PROTOCOL}:{self._name}{back}"
        contents = request.history.encoded(dialect, self.encode_message, _TURNS.join)
        return encoded_body(
            self._set.provider, PROTOCOL, head, contents, self._recorded, "contents"
        )

    def encode_message(self, message: Message) -> bytes:
        """Return a message as contents joined by commas; empty when it says nothing.

        Raises:
            ProviderError: ``provider.invalid_request``: a call has no result.
        """
        if isinstance(message, AssistantMessage):
            return self._model(message)
        if isinstance(message, UserMessage):
            texts, images = prompt_parts(message.text, message.files)
            parts = [_text(one) for one in texts] + [_inline(one) for one in images]
        else:
            parts = [_text(told(message))]
        return _TURNS.said(parts) if parts else b""

    def _model(self, message: AssistantMessage) -> bytes:
        own = message.model == self._name
        native = own and self._set.thoughts
        parts: list[dict[str, Json]] = []
        results: list[dict[str, Json]] = []
        images: list[dict[str, Json]] = []
        for part in message.parts:
            if isinstance(part, ToolPart):
                attached = attached_to(part) if own else {}
                signature = attached.get("thoughtSignature") if native else None
                if signature is None and not native:
                    signature = UNSIGNED
                parts.append(_call(part, attached.get("id"), signature))
                shown, files = result_of(part, self._set.provider)
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
        """Whether a refusal told how the endpoint wants to be asked: never."""
        return False


def written_again(request: ModelRequest, settings: Mapping[str, Json]) -> RequestBody:
    """Return the body of a request by its recorded settings.

    Raises:
        UndecodableError: they are not of this protocol.
    """
    return GeminiWriter(from_json(dict(settings), GeminiSettings)).write(request)


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
