"""The Anthropic plugin: Messages, for Anthropic and those who offer the same.

Owns how a request is written (``MessagesProtocol``). How its answer is read is
``messages``'.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING
from urllib.parse import quote

import orjson
from attrs import evolve, frozen
from dovetail.kernel import (
    AssistantMessage,
    FileContent,
    Json,
    Message,
    ModelInfo,
    ModelRequest,
    Output,
    OutputMode,
    Place,
    PromptFile,
    Provider,
    ProviderError,
    ProviderProtocol,
    ProviderRoute,
    ReasoningPart,
    Register,
    RequestBody,
    TextPart,
    ToolDefinition,
    ToolPart,
    UserMessage,
    ability_for,
    clean_text,
    from_json,
    hookimpl,
    to_json,
)

from .deployments import CLAUDE
from .endpoints import Defaults, Deployment, Endpoint, register_endpoints
from .generation import (
    BUDGETS,
    Wanted,
    added,
    called,
    more_options,
    refused_option,
    refuses_schema,
)
from .known import MOST
from .routes import Route, target_of, transport_of
from .schemas import anthropic
from .transport import Transport, open_transport
from .wording import (
    MEBIBYTE,
    ToolList,
    UserTurns,
    arguments_of,
    attached_to,
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

if TYPE_CHECKING:
    from .messages import MessagesDecoder

MEDIA: Mapping[str, int] = {"image": 5 * MEBIBYTE, "pdf": 24 * MEBIBYTE}
"""Bytes of one file: of an image as Anthropic says, and of a document what is left of
the 32 MiB of a request in base64."""
VERSION = "2023-06-01"
VERTEX_VERSION = "vertex-2023-10-16"
MAX_OUTPUT = 8192
"""Asked for where nothing is known of the model: the protocol demands a number."""
DEFAULTS = Defaults(
    provider="anthropic",
    protocol="anthropic-messages",
    home=Deployment(
        "https://api.anthropic.com",
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_BASE_URL",
    ),
    header="x-api-key",
    others=CLAUDE,
    catalog="anthropic",
    usual="claude-sonnet-4-6",
    usual_small="claude-haiku-4-5",
    order=1,
)
_THOUGHTS = ("thinking", "redacted_thinking")
_CACHED: Json = {"type": "ephemeral"}
_MARK = orjson.dumps({"cache_control": _CACHED})[1:-1]


class AnthropicPlugin:
    """Offers ``anthropic`` and every configured provider that speaks Messages."""

    @hookimpl
    def dovetail_open_location(
        self, place: Place
    ) -> AbstractAsyncContextManager[Transport]:
        return open_transport(place.tape)

    @hookimpl
    def dovetail_register_protocols(self, register: Register[ProviderProtocol]) -> None:
        register(evolve(DEFAULTS.offered, write=written_again))

    @hookimpl
    def dovetail_register_providers(
        self, register: Register[Provider], place: Place
    ) -> None:
        transport = transport_of(place)

        def route(endpoint: Endpoint, model: str) -> ProviderRoute:
            headers, path = _headers(endpoint), _path(endpoint, "/messages")
            if _on_vertex(endpoint):
                path = f"/models/{quote(model, safe='-._@')}:streamRawPredict"
            target = target_of(endpoint, path, headers)
            protocol = MessagesProtocol(endpoint, model)
            return Route(protocol, target, transport, endpoint=endpoint)

        async def lister(endpoint: Endpoint) -> Sequence[ModelInfo]:
            # Here, because it is asked for by people alone.
            from .served import ask

            return await ask(
                transport,
                endpoint,
                _path(endpoint, "/models"),
                _headers(endpoint),
                "limit=1000",
            )

        register_endpoints(register, place, (DEFAULTS, route, lister))


def _on_vertex(endpoint: Endpoint) -> bool:
    """Whether it is Google that serves the models: it takes their names in the
    address, and the version in the body."""
    return endpoint.url("").partition("?")[0].endswith("/publishers/anthropic")


def _headers(endpoint: Endpoint) -> dict[str, str]:
    return {"anthropic-version": VERSION, **endpoint.authentication()}


def _path(endpoint: Endpoint, below: str) -> str:
    # Anthropic's own base URLs leave the version out, others' have it.
    based = endpoint.base_url.partition("?")[0].endswith("/v1")
    return below if based else f"/v1{below}"


plugin = AnthropicPlugin()


# --- writing ----------------------------------------------------------------------


@frozen
class MessagesSettings:
    """What a request is written by: recorded with it, to write it again."""

    provider: str
    model: str
    """Its name at the provider."""
    options: Mapping[str, Json]
    """The configured ones."""
    output: int
    """Tokens that are asked for where the request says nothing."""
    thoughts: bool
    """Whether reasoning goes back to the model that wrote it."""
    official: bool
    """Whether it is Anthropic itself: a marker of the whole request is its own, and
    others refuse it."""
    caches: bool = True
    """Whether what stays the same is marked."""
    forbids: bool = True
    """Whether calls may be forbidden."""
    thinks: bool = False
    """Whether every message with calls must begin with thoughts."""
    vertex: bool = False
    """Whether the model is named in the address, and the version in the body."""
    schema: bool = False
    """Whether an answer may be held to a schema."""
    efforts: str = ""
    """How much a model thinks is said by a ``word``, by a ``budget`` of tokens, or by
    nothing."""
    unknown: tuple[str, ...] = ()
    """Generation options that the endpoint is known not to take."""


def settings_of(endpoint: Endpoint, model: str) -> MessagesSettings:
    """Return how an endpoint is asked; its refusals teach more."""
    known = endpoint.known(model)
    return MessagesSettings(
        provider=endpoint.provider,
        model=model,
        options=endpoint.options,
        output=(known and known.output) or _max_output(model),
        thoughts=endpoint.send_reasoning,
        official=endpoint.host == "api.anthropic.com",
        vertex=_on_vertex(endpoint),
        schema=bool(_SCHEMAS.search(model)),
        efforts=_efforts(model),
    )


_SCHEMAS = re.compile(
    r"claude-(?:opus-4-[1-9]|sonnet-4-[5-9]|haiku-4-[5-9]|[a-z]+-[5-9])(?!\d{6})"
)
_ADAPTIVE = re.compile(r"claude-(?:(?:opus|sonnet)-4-[6-9]|[a-z]+-[5-9])(?!\d{6})")
_THINKING = re.compile(r"claude-(?:3-7|opus-4|sonnet-4|haiku-4)")
_WORDS_OF = {"minimal": "low", "xhigh": "max"}
_SAMPLING = {"temperature": "temperature", "top_k": "top_k"}
_TIERS = ("auto", "standard_only")
_OPTIONS = {"stop_sequences": "stop", "service_tier": "service_tier"}
_WORDS = {
    **_SAMPLING,
    **_OPTIONS,
    "top_p": "top_p",
    "effort": "reasoning",
    "disable_parallel_tool_use": "parallel_calls",
}


def _efforts(model: str) -> str:
    if _ADAPTIVE.search(model):
        return "word"
    return "budget" if _THINKING.search(model) else ""


class MessagesWriter:
    """Writes requests in Messages, as its settings say.

    What is long and stays the same is marked for the provider's cache: the tools, the
    system text, and the messages as a whole by the marker of the request. Nothing is
    marked inside a message, because its bytes must be the same in the next request.
    """

    def __init__(self, settings: MessagesSettings) -> None:
        self._use(settings)

    def _use(self, settings: MessagesSettings) -> None:
        self._set = settings
        self._name = f"{settings.provider}/{settings.model}"
        back = "" if settings.thoughts else ":silent"
        back += ":thinks" if settings.thinks else ""
        self._dialect = f"{DEFAULTS.protocol}:{self._name}{back}"
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
        limit = request.max_output
        head: dict[str, Json] = {
            "model": self._set.model,
            "max_tokens": self._set.output if limit is None else limit,
            "stream": True,
        }
        if self._set.vertex:
            del head["model"]
            head["anthropic_version"] = VERTEX_VERSION
        if self._set.official:
            head["cache_control"] = _CACHED
        tools = self._tools.encoded(request.tools)
        if tools is not None:
            head["tools"] = tools
        texts = [clean_text(one) for one in request.system if one.strip()]
        if texts:
            system: list[dict[str, Json]] = [_text(one) for one in texts]
            if self._set.caches:
                system[-1]["cache_control"] = _CACHED
            head["system"] = system
        head = merged_options(self._set.provider, head, (self._set.options,))
        if limit is not None:
            head["max_tokens"] = limit
        wanted = Wanted(request.generation, self._set.unknown)
        self._think(head, wanted)
        options = wanted.fields(**_OPTIONS)
        if options.get("service_tier", _TIERS[0]) not in _TIERS:
            # It would refuse the request for a name that others have for theirs.
            del options["service_tier"]
            wanted.leave("service_tier")
        head |= options
        if not _thinks(head):
            # Who thinks is not sampled otherwise, and the two of these exclude each
            # other.
            head |= wanted.fields(**_SAMPLING)
            if "temperature" not in head:
                head |= wanted.fields(top_p="top_p")
        head = more_options(self._set.provider, head, request)
        choice = self._choice(head, request, wanted)
        if tools is not None and choice is not None and self._set.forbids:
            # After the options, which may ask for a call in every answer.
            head["tool_choice"] = choice
        if request.output is not None:
            added(head, "output_config", {"format": self._format(request.output)})
        if self._set.official and self._unthought(head, request):
            # It would be refused, now and for ever after.
            del head["thinking"]
        carried = carried_of(request, MEDIA)
        messages = request.history.encoded(
            f"{self._dialect}:{'+'.join(carried)}",
            lambda message: self.encode_message(message, carried),
            _TURNS.join,
        )
        return encoded_body(
            self._set.provider,
            DEFAULTS.protocol,
            head,
            messages,
            self._recorded,
            ignored=wanted.ignored,
            mark=self._mark(messages),
        )

    def _mark(self, messages: Sequence[bytes]) -> tuple[bytes, int]:
        """Return what has a request kept up to its end. Anthropic itself is told so in
        one word for all, and finds the place."""
        if self._set.official or not self._set.caches:
            return b"", 0
        return _TURNS.mark(messages, field=_MARK)

    def _think(self, head: dict[str, Json], wanted: Wanted) -> None:
        """Say how much the model is to think, where it takes a word on that."""
        if not self._set.efforts or (effort := wanted.take("reasoning")) is None:
            return
        if effort == "none":
            head["thinking"] = {"type": "disabled"}
        elif self._set.efforts == "word":
            head["thinking"] = {"type": "adaptive"}
            word = _WORDS_OF.get(effort, effort)
            added(head, "output_config", {"effort": word})
        elif head["max_tokens"] <= _LEAST_THOUGHT:
            # What it thinks is part of what it may write.
            wanted.leave("reasoning")
        else:
            budget = min(BUDGETS[effort], head["max_tokens"] - 1)
            head["thinking"] = {"type": "enabled", "budget_tokens": budget}

    def _choice(
        self, head: Mapping[str, Json], request: ModelRequest, wanted: Wanted
    ) -> dict[str, Json] | None:
        """Return how tools may be called; None: as the model likes."""
        asked = request.tool_choice
        if asked == "none":
            return {"type": "none"}
        choice: dict[str, Json] = {"type": "auto"}
        if asked != "auto":
            name = called(asked)
            if _thinks(head) or not self._set.forbids:
                # Who thinks may not be made to call.
                wanted.leave("tool_choice")
            else:
                choice = {"type": "any"} if name is None else {"type": "tool"}
                if name is not None:
                    choice["name"] = name
        if request.tools and (parallel := wanted.take("parallel_calls")) is not None:
            return choice | {"disable_parallel_tool_use": not parallel}
        return None if choice == {"type": "auto"} else choice

    def _format(self, output: Output) -> Json:
        schema = anthropic(output.asked)
        if schema is None:
            problem = f"the schema of {output.name!r} cannot be said to this model"
            raise ProviderError("provider.invalid_request", self._set.provider, problem)
        return {"type": "json_schema", "schema": schema}

    def output_mode(self, request: ModelRequest) -> OutputMode:
        """Return how a value would be asked for."""
        output = request.output
        if not self._set.schema or output is None or anthropic(output.asked) is None:
            return "tool"
        return "native"

    def _unthought(self, head: Mapping[str, Json], request: ModelRequest) -> bool:
        """Whether thinking is asked for that cannot be: calls of another model are the
        last, and Anthropic wants those to begin with thoughts that it signed."""
        thinking = head.get("thinking")
        if not isinstance(thinking, dict) or thinking.get("type") != "enabled":
            return False
        for message in reversed(request.history.messages):
            if isinstance(message, AssistantMessage) and message.parts:
                blocks = self._blocks(message)
                return bool(message.calls) and blocks[0]["type"] not in _THOUGHTS
        return False

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
            blocks = [_text(one) for one in texts] + [_file(one) for one in files]
            return _TURNS.said(blocks)
        return _TURNS.said([_text(words_of(message))])

    def _assistant(self, message: AssistantMessage, carried: Sequence[str]) -> bytes:
        blocks = self._blocks(message)
        if not blocks:
            return b""
        if self._set.thinks and message.calls and blocks[0]["type"] not in _THOUGHTS:
            blocks.insert(0, {"type": "thinking", "thinking": "", "signature": ""})
        objects = [_dumped("assistant", blocks)]
        if message.calls:
            own = message.model == self._name
            results = [
                self._result(part, call_id_of(message, part, own=own), carried)
                for part in message.calls
            ]
            objects.append(_dumped("user", results))
        return b",".join(objects)

    def _blocks(self, message: AssistantMessage) -> list[dict[str, Json]]:
        """Return what the model said, its calls among it."""
        own = message.model == self._name
        native = own and self._set.thoughts
        blocks: list[dict[str, Json]] = []
        for part in parts_in_words(message):
            if isinstance(part, ToolPart):
                attached = attached_to(part) if native else {}
                call_id = call_id_of(message, part, own=own)
                blocks.append(attached | _call(part, call_id))
            else:
                blocks += self._words(part, native)
        # Thinking must lead to something; alone it is refused.
        while blocks and blocks[-1]["type"] in _THOUGHTS:
            blocks.pop()
        return blocks

    def _words(
        self, part: TextPart | ReasoningPart, native: bool
    ) -> list[dict[str, Json]]:
        if isinstance(part, TextPart):
            attached = attached_to(part) if native else {}
            words = attached | _text(clean_text(part.text))
            return [words] if part.text.strip() else []
        if not native:
            return []
        signature, data = part.metadata.get("signature"), part.metadata.get("redacted")
        if isinstance(data, str):
            return [{"type": "redacted_thinking", "data": data}]
        block = part.metadata.get("block")
        if isinstance(block, dict):
            # One that does not say what it is was kept as it came, and nobody takes it.
            return [block] if isinstance(block.get("type"), str) else []
        # What has no signature was cut off, and is not accepted back; or its server
        # never signs, and then it is told by an empty one.
        if isinstance(signature, str) and (signature or not self._set.official):
            thought = clean_text(part.text)
            return [{"type": "thinking", "thinking": thought, "signature": signature}]
        return []

    def _result(
        self, part: ToolPart, call_id: str, carried: Sequence[str]
    ) -> dict[str, Json]:
        shown, images = result_of(part, self._set.provider, carried)
        result: dict[str, Json] = {"type": "tool_result", "tool_use_id": call_id}
        text = shown if shown.strip() else ""
        if images:
            blocks = [_text(text)] if text else []
            result["content"] = blocks + [_file(one) for one in images]
        elif text:
            result["content"] = text
        if part.state == "failed":
            result["is_error"] = True
        return result

    def _tool_shapes(self, tools: Sequence[ToolDefinition]) -> list[dict[str, Json]]:
        shapes: list[dict[str, Json]] = [
            {
                "name": tool.name,
                "description": tool.description,
                "input_schema": tool.schema,
            }
            for tool in tools
        ]
        if self._set.caches:
            shapes[-1]["cache_control"] = _CACHED
        return shapes


class MessagesProtocol(MessagesWriter):
    """Messages, for one model."""

    media = MEDIA

    def __init__(self, endpoint: Endpoint, model: str) -> None:
        super().__init__(settings_of(endpoint, model))
        self._limits = endpoint.limits
        self._redact = endpoint.redactor()

    def decoder(self, request: ModelRequest) -> "MessagesDecoder":
        """Return a new decoder, for the one response to this request."""
        # Here, so that whoever asks no Anthropic model does not import it.
        from .messages import MessagesDecoder

        return MessagesDecoder(self._set.provider, self._redact, self._limits)

    def learned_from(self, error: ProviderError) -> bool:
        """Whether a refusal told how the endpoint wants to be asked."""
        if error.status not in (400, 422):
            return False
        if self._set.schema and refuses_schema(error.problem):
            self._use(evolve(self._set, schema=False))
            return True
        option = refused_option(error.problem, _WORDS, self._set.unknown)
        if option is not None:
            unknown = tuple(sorted((*self._set.unknown, option)))
            self._use(evolve(self._set, unknown=unknown))
            return True
        if self._set.official:
            return False
        if "cache_control" in error.problem and self._set.caches:
            self._use(evolve(self._set, caches=False))
            return True
        if "tool_choice" in error.problem and self._set.forbids:
            self._use(evolve(self._set, forbids=False))
            return True
        thoughts = re.search("thinking|reasoning_content", error.problem)
        missing = thoughts and re.search("missing|required|must", error.problem)
        if missing and self._set.thoughts and not self._set.thinks:
            # Every message with calls must have thoughts, also those of other models.
            self._use(evolve(self._set, thinks=True))
            return True
        return False


def written_again(request: ModelRequest, settings: Mapping[str, Json]) -> RequestBody:
    """Return the body of a request by its recorded settings.

    Raises:
        UndecodableError: they are not of this protocol.
    """
    return MessagesWriter(from_json(dict(settings), MessagesSettings)).write(request)


_LEAST_THOUGHT = 1024
"""Tokens that the provider lets a model think for at least."""


def _thinks(head: Mapping[str, Json]) -> bool:
    thinking = head.get("thinking")
    return isinstance(thinking, dict) and thinking.get("type") != "disabled"


def _max_output(model: str) -> int:
    """Return the limit of a model's family where that is known, such as for a dated
    name of a model that is listed without its date."""
    for family, output in MOST.items():
        if model.startswith(family.removesuffix("-latest")):
            return output
    return MAX_OUTPUT


# What a person or the runtime says is joined; the results of calls, whose role comes
# first, are not.
_TURNS = UserTurns("content")


def _text(text: str) -> dict[str, Json]:
    return {"type": "text", "text": text}


def _file(file: PromptFile | FileContent) -> dict[str, Json]:
    source = {"type": "base64", "media_type": file.mime, "data": file.data}
    if ability_for(file.mime) == "image":
        return {"type": "image", "source": source}
    title = {"title": clean_text(file.name)} if file.name else {}
    return {"type": "document", "source": source, **title}


def _call(part: ToolPart, call_id: str) -> dict[str, Json]:
    return {
        "type": "tool_use",
        "id": call_id,
        "name": tool_name(part.tool),
        "input": orjson.Fragment(arguments_of(part)),
    }


def _dumped(role: str, content: Sequence[Json]) -> bytes:
    return orjson.dumps({"role": role, "content": content})
