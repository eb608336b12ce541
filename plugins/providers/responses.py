"""Responses: how a request of OpenAI's newer protocol is written.

Owns ``ResponsesProtocol``. How its answer is read is ``items``'. Nothing is left with
the server: every request holds all that was said, reasoning as the encrypted text that
only the provider reads.
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
    ability_for,
    clean_text,
    from_json,
    to_json,
)

from .endpoints import Endpoint
from .generation import (
    Wanted,
    added,
    called,
    more_options,
    refused_option,
    refuses_schema,
)
from .reading import word
from .schemas import strict
from .wording import (
    MEBIBYTE,
    ToolList,
    arguments_of,
    attached_to,
    call_id_of,
    carried_of,
    encoded_body,
    merged_options,
    no_turns,
    parts_in_words,
    prompt_parts,
    result_of,
    tool_name,
    words_of,
)

if TYPE_CHECKING:
    from .items import ResponsesDecoder

PROTOCOL = "openai-responses"
MEDIA: Mapping[str, int] = {"image": 20 * MEBIBYTE, "pdf": 32 * MEBIBYTE}
"""Bytes of one file, as OpenAI says."""
_INCLUDE: Json = ["reasoning.encrypted_content"]
# Its id is the server's memory of an item, which holds nothing here. What the provider
# ran by itself is known by its id alone.
_FORGOTTEN = {"reasoning": ("id", "status")}


@frozen
class ResponsesSettings:
    """What a request is written by: recorded with it, to write it again."""

    provider: str
    model: str
    """Its name at the provider."""
    options: Mapping[str, Json]
    """The configured ones."""
    thoughts: bool
    """Whether reasoning goes back to the model that wrote it."""
    official: bool
    """Whether it is OpenAI itself."""
    left_out: tuple[str, ...] = ()
    """Fields that the endpoint is known not to take."""
    schema: bool = True
    """Whether an answer may be held to a schema."""
    thinks: bool = False
    """Whether it is a model of OpenAI's that always reasons, and takes no sampling."""
    unknown: tuple[str, ...] = ()
    """Generation options that the endpoint is known not to take."""


class ResponsesWriter:
    """Writes requests in Responses, as its settings say."""

    def __init__(self, settings: ResponsesSettings) -> None:
        self._tools = ToolList(_tool_shapes)
        self._use(settings)

    def _use(self, settings: ResponsesSettings) -> None:
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
        head: dict[str, Json] = {
            "model": self._set.model,
            "stream": True,
            "store": False,
        }
        if self._set.thoughts:
            # Reasoning goes back encrypted, or not at all.
            head["include"] = _INCLUDE
        wanted = Wanted(request.generation, self._set.unknown)
        system = "\n\n".join(clean_text(one) for one in request.system if one.strip())
        if system:
            head["instructions"] = system
        tools = self._tools.encoded(request.tools)
        if tools is not None:
            head["tools"] = tools
        for name in self._set.left_out:
            head.pop(name, None)
        head = merged_options(self._set.provider, head, (self._set.options,))
        limit = request.max_output
        if limit is not None and "max_output_tokens" not in self._set.left_out:
            head["max_output_tokens"] = limit
        effort = wanted.take("reasoning")
        if effort is not None:
            added(head, "reasoning", {"effort": effort})
        if not self._set.thinks or effort == "none":
            head |= wanted.fields(temperature="temperature", top_p="top_p")
        head |= wanted.fields(service_tier="service_tier")
        if tools is not None:
            head |= wanted.fields(parallel_tool_calls="parallel_calls")
        head = more_options(self._set.provider, head, request)
        if tools is not None and request.tool_choice != "auto":
            # After the options, which may ask for a call in every answer.
            head["tool_choice"] = _choice(request.tool_choice)
        if "tool_choice" in self._set.left_out:
            head.pop("tool_choice", None)
            if request.tool_choice not in ("auto", "none"):
                wanted.leave("tool_choice")
        if request.output is not None:
            added(head, "text", {"format": _format(request.output)})
        dialect = f"{PROTOCOL}:{self._name}" + ("" if self._set.thoughts else ":silent")
        carried = carried_of(request, MEDIA)
        history = request.history.encoded(
            f"{dialect}:{'+'.join(carried)}",
            lambda message: self.encode_message(message, carried),
            no_turns,
        )
        return encoded_body(
            self._set.provider,
            PROTOCOL,
            head,
            history,
            self._recorded,
            "input",
            wanted.ignored,
        )

    def output_mode(self, request: ModelRequest) -> OutputMode:
        """Return how a value would be asked for."""
        return "native" if self._set.schema else "tool"

    def encode_message(
        self, message: Message, carried: Sequence[str] = tuple(MEDIA)
    ) -> bytes:
        """Return a message as items joined by commas; empty when it says nothing.

        Raises:
            ProviderError: ``provider.invalid_request``: a call has no result.
        """
        if isinstance(message, AssistantMessage):
            return b",".join(orjson.dumps(one) for one in self._items(message, carried))
        if isinstance(message, UserMessage):
            texts, files = prompt_parts(message.text, message.files, carried)
            content = [_text(one) for one in texts] + [_file(one) for one in files]
        else:
            content = [_text(words_of(message))]
        if not content:
            return b""
        return orjson.dumps({"type": "message", "role": "user", "content": content})

    def _items(
        self, message: AssistantMessage, carried: Sequence[str]
    ) -> list[dict[str, Json]]:
        own = message.model == self._name
        native = own and self._set.thoughts
        items: list[dict[str, Json]] = []
        results: list[dict[str, Json]] = []
        for part in parts_in_words(message):
            if isinstance(part, ToolPart):
                call_id = call_id_of(message, part, own=own)
                attached = attached_to(part) if native else {}
                items.append(attached | _call(part, call_id))
                results.append(self._result(part, call_id, carried))
            elif isinstance(part, TextPart):
                if part.text.strip():
                    attached = attached_to(part) if native else {}
                    items.append(attached | _text_item(part))
            elif native:
                items += self._thought(part)
        items = _answered(items)
        # Reasoning must lead to something; alone it is refused.
        while items and items[-1]["type"] == "reasoning":
            items.pop()
        return items + results

    def _thought(self, part: ReasoningPart) -> list[dict[str, Json]]:
        """Return reasoning, or what the provider ran by itself, as it came."""
        item = part.metadata.get("item")
        if not isinstance(item, dict) or not isinstance(item.get("type"), str):
            return []
        kind = str(item["type"])
        if (
            kind == "reasoning"
            and self._set.official
            and "encrypted_content" not in item
        ):
            # It is known there only, and there it was not kept.
            return []
        dropped = _FORGOTTEN.get(kind, ())
        kept = {name: value for name, value in item.items() if name not in dropped}
        if kind == "reasoning":
            kept.setdefault("summary", [])
        return [kept]

    def _result(
        self, part: ToolPart, call_id: str, carried: Sequence[str]
    ) -> dict[str, Json]:
        shown, images = result_of(part, self._set.provider, carried)
        output: Json = shown
        if images:
            texts = [_text(shown)] if shown.strip() else []
            output = texts + [_file(one) for one in images]
        return {"type": "function_call_output", "call_id": call_id, "output": output}


class ResponsesProtocol(ResponsesWriter):
    """Responses, for one model."""

    media = MEDIA

    def __init__(self, endpoint: Endpoint, model: str) -> None:
        super().__init__(
            ResponsesSettings(
                provider=endpoint.provider,
                model=model,
                options=endpoint.options,
                thoughts=endpoint.send_reasoning,
                official=endpoint.host == "api.openai.com",
                thinks=bool(_THINKS.match(model)),
            )
        )
        self._limits = endpoint.limits
        self._redact = endpoint.redactor()

    def decoder(self, request: ModelRequest) -> "ResponsesDecoder":
        """Return a new decoder, for the one response to this request."""
        # Here, so that whoever asks no such model does not import it.
        from .items import ResponsesDecoder

        return ResponsesDecoder(self._set.provider, self._redact, self._limits)

    def learned_from(self, error: ProviderError) -> bool:
        """Whether a refusal told how the endpoint wants to be asked.

        Each thing is learned once, so that nothing is asked for ever.
        """
        if error.status not in (400, 422):
            return False
        for name, words in _LESSONS.items():
            if name not in self._set.left_out and words.search(error.problem):
                left_out = tuple(sorted((*self._set.left_out, name)))
                self._use(evolve(self._set, left_out=left_out))
                return True
        option = refused_option(error.problem, _WORDS, self._set.unknown)
        if option is not None:
            unknown = tuple(sorted((*self._set.unknown, option)))
            self._use(evolve(self._set, unknown=unknown))
            return True
        if self._set.schema and refuses_schema(error.problem):
            self._use(evolve(self._set, schema=False))
            return True
        return False


def written_again(request: ModelRequest, settings: Mapping[str, Json]) -> RequestBody:
    """Return the body of a request by its recorded settings.

    Raises:
        UndecodableError: they are not of this protocol.
    """
    return ResponsesWriter(from_json(dict(settings), ResponsesSettings)).write(request)


_LESSONS: Mapping[str, re.Pattern[str]] = {
    # A model that never reasons refuses to be asked for it.
    "include": re.compile(r"encrypted.?content|\binclude\b", re.IGNORECASE),
    "store": re.compile(r"\bstore\b"),
    "tool_choice": re.compile(r"\btool_choice\b"),
    "max_output_tokens": re.compile(r"(?:unknown|unsupported).{0,40}max_output_tokens"),
}


_THINKS = re.compile(r"o\d|gpt-5")
_WORDS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "service_tier": "service_tier",
    "reasoning.effort": "reasoning",
    "reasoning": "reasoning",
    "parallel_tool_calls": "parallel_calls",
}


def _choice(choice: ToolChoice) -> Json:
    name = called(choice)
    return choice if name is None else {"type": "function", "name": name}


def _format(output: Output) -> Json:
    schema = strict(output.asked)
    said: dict[str, Json] = {"type": "json_schema", "name": output.name}
    if output.description.strip():
        said["description"] = output.description.strip()
    if schema is None:
        return said | {"strict": False, "schema": output.asked}
    return said | {"strict": True, "schema": schema}


def _answered(items: list[dict[str, Json]]) -> list[dict[str, Json]]:
    """Leave out the calls of the provider's own tools whose output is not there: it
    would have been this side's to give, and a call without one is refused."""
    outputs = {
        word(one.get("call_id"))
        for one in items
        if str(one["type"]).endswith("_output")
    } - {""}
    return [
        one
        for one in items
        if one["type"] in ("function_call", "message", "reasoning")
        or one["type"] not in _OURS_TO_ANSWER
        or word(one.get("call_id")) in outputs
        or one.get("execution") == "server"
    ]


_OURS_TO_ANSWER = frozenset(
    (
        "apply_patch_call",
        "computer_call",
        "custom_tool_call",
        "local_shell_call",
        "shell_call",
        "tool_search_call",
    )
)


def _text(text: str) -> dict[str, Json]:
    return {"type": "input_text", "text": text}


def _file(file: PromptFile | FileContent) -> dict[str, Json]:
    url = f"data:{file.mime};base64,{file.data}"
    if ability_for(file.mime) == "pdf":
        name = clean_text(file.name or "file.pdf")
        return {"type": "input_file", "filename": name, "file_data": url}
    return {"type": "input_image", "detail": "auto", "image_url": url}


def _text_item(part: TextPart) -> dict[str, Json]:
    content: Json = [{"type": "output_text", "text": clean_text(part.text)}]
    return {"type": "message", "role": "assistant", "content": content}


def _call(part: ToolPart, call_id: str) -> dict[str, Json]:
    return {
        "type": "function_call",
        "call_id": call_id,
        "name": tool_name(part.tool),
        "arguments": arguments_of(part),
    }


def _tool_shapes(tools: Sequence[ToolDefinition]) -> list[dict[str, Json]]:
    return [
        {
            "type": "function",
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.schema,
            "strict": False,
        }
        for tool in tools
    ]
