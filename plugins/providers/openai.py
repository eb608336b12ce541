"""The OpenAI plugin: Chat Completions and Responses, for OpenAI and everyone who
offers the same.

Owns how a request of Chat Completions is written (``ChatProtocol``), in the words that
each of the many endpoints takes. How its answer is read is ``chat``'s; Responses are
``responses``'.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

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
    ToolChoice,
    UserMessage,
    ability_for,
    clean_text,
    from_json,
    hookimpl,
    to_json,
)

from .chat import ATTACHED, DETAIL_TEXTS, REASONING, REASONING_FIELDS, ChatDecoder
from .deployments import CHAT
from .endpoints import Defaults, Deployment, Endpoint, register_endpoints
from .generation import (
    Wanted,
    called,
    more_options,
    refused_option,
    refuses_schema,
)
from .reading import table
from .routes import Route, target_of, transport_of
from .schemas import strict
from .transport import Transport, open_transport
from .wording import (
    IMAGES,
    MEBIBYTE,
    UNSIGNED,
    ToolList,
    arguments_of,
    attached_to,
    call_id_of,
    carried_of,
    encoded_body,
    function_shapes,
    merged_options,
    prompt_parts,
    result_of,
    text_in_words,
    tool_name,
    words_of,
)

MEDIA: Mapping[str, int] = {
    "image": 20 * MEBIBYTE,
    "pdf": 32 * MEBIBYTE,
    "audio": 20 * MEBIBYTE,
}
"""Bytes of one file, as OpenAI says."""
DEFAULTS = Defaults(
    provider="openai",
    protocol="openai-chat",
    home=Deployment(
        "https://api.openai.com/v1",
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
    ),
    common=True,
    others=CHAT,
    catalog="openai",
    usual="gpt-5.4",
    usual_small="gpt-5.4-mini",
    order=2,
)
RESPONSES = Defaults(
    provider="openai-responses",
    protocol="openai-responses",
    home=DEFAULTS.home,
    catalog="openai",
)


class OpenAIPlugin:
    """Offers ``openai``, ``openai-responses``, and every configured provider that
    speaks either protocol."""

    @hookimpl
    def dovetail_open_location(
        self, place: Place
    ) -> AbstractAsyncContextManager[Transport]:
        return open_transport(place.tape)

    @hookimpl
    def dovetail_register_protocols(self, register: Register[ProviderProtocol]) -> None:
        register(evolve(DEFAULTS.offered, write=written_again))
        register(evolve(RESPONSES.offered, write=_responses_again))

    @hookimpl
    def dovetail_register_providers(
        self, register: Register[Provider], place: Place
    ) -> None:
        transport = transport_of(place)

        def route(endpoint: Endpoint, model: str) -> ProviderRoute:
            target = target_of(endpoint, "/chat/completions", endpoint.authentication())
            protocol = ChatProtocol(endpoint, model)
            return Route(protocol, target, transport, endpoint=endpoint)

        def responses(endpoint: Endpoint, model: str) -> ProviderRoute:
            # Here, so that whoever asks no such model does not import it.
            from .responses import ResponsesProtocol

            target = target_of(endpoint, "/responses", endpoint.authentication())
            protocol = ResponsesProtocol(endpoint, model)
            return Route(protocol, target, transport, endpoint=endpoint)

        async def lister(endpoint: Endpoint) -> Sequence[ModelInfo]:
            # Here, because it is asked for by people alone.
            from .served import ask

            return await ask(transport, endpoint, "/models", endpoint.authentication())

        register_endpoints(
            register,
            place,
            (DEFAULTS, route, lister),
            (RESPONSES, responses, lister),
        )


def _responses_again(
    request: ModelRequest, settings: Mapping[str, Json]
) -> RequestBody:
    # Here, so that whoever asks no such model does not import it.
    from .responses import written_again

    return written_again(request, settings)


plugin = OpenAIPlugin()


# --- writing ----------------------------------------------------------------------


@frozen
class ChatSettings:
    """What a request is written by: recorded with it, to write it again."""

    provider: str
    model: str
    """Its name at the provider."""
    options: Mapping[str, Json]
    """The configured ones."""
    thoughts: bool
    """Whether reasoning goes back to the model that wrote it."""
    usage: bool
    """Whether the usage is asked for."""
    limit: str
    """What the limit of the output is called."""
    signed: bool
    """Whether every message with calls has a signature."""
    nine: bool
    """Whether only ids of nine letters and digits are taken."""
    field: str = ""
    """The field that thoughts are wanted in."""
    forbids: bool = True
    """Whether calls may be forbidden, or demanded."""
    schema: str = "alone"
    """Whether an answer may be held to a schema: ``always``, ``alone``, where no tools
    are offered, or ``never``."""
    thinks: bool = False
    """Whether it is a model of OpenAI's that always reasons, and takes no sampling."""
    top_k: bool = True
    """Whether the number of likely tokens is a field."""
    unknown: tuple[str, ...] = ()
    """Generation options that the endpoint is known not to take."""


def settings_of(endpoint: Endpoint, model: str) -> ChatSettings:
    """Return how an endpoint is asked; its refusals teach more."""
    # Only OpenAI itself refuses the old name, and only it knows the new one.
    official = _is_of(endpoint, "openai.com", "openai.azure.com")
    # Mistral's models take no other ids, wherever they run.
    strict = _is_of(endpoint, "mistral.ai") or _MISTRAL.search(model)
    return ChatSettings(
        provider=endpoint.provider,
        model=model,
        options=endpoint.options,
        thoughts=endpoint.send_reasoning,
        usage=endpoint.stream_usage and not _is_of(endpoint, "mistral.ai"),
        limit="max_completion_tokens" if official else "max_tokens",
        # Gemini wants a signature with the calls of every message.
        signed=_is_of(endpoint, "googleapis.com"),
        nine=bool(strict),
        schema=_schemas(endpoint),
        thinks=official and bool(_THINKS.match(model)),
        top_k=not official and not _is_of(endpoint, "googleapis.com", "x.ai"),
    )


def _schemas(endpoint: Endpoint) -> str:
    if _is_of(endpoint, "deepseek.com", "moonshot.ai", "moonshot.cn", "z.ai"):
        # JSON is all that they can be asked for.
        return "never"
    together = _is_of(endpoint, "openai.com", "openai.azure.com", "openrouter.ai")
    together = together or _is_of(endpoint, "x.ai", "fireworks.ai", "mistral.ai")
    # Elsewhere a schema binds every answer, so that no tool is ever called.
    return "always" if together else "alone"


_THINKS = re.compile(r"o\d|gpt-5")
_SAMPLING = {
    "temperature": "temperature",
    "top_p": "top_p",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "stop": "stop",
}
_OPTIONS = {
    "seed": "seed",
    "service_tier": "service_tier",
    "reasoning_effort": "reasoning",
}
_WORDS = {
    **_SAMPLING,
    **_OPTIONS,
    "top_k": "top_k",
    "parallel_tool_calls": "parallel_calls",
}


class ChatWriter:
    """Writes requests in Chat Completions, as its settings say."""

    def __init__(self, settings: ChatSettings) -> None:
        self._tools = ToolList(function_shapes)
        self._use(settings)

    def _use(self, settings: ChatSettings) -> None:
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
        head: dict[str, Json] = {"model": self._set.model, "stream": True}
        if self._set.usage:
            head["stream_options"] = {"include_usage": True}
        tools = self._tools.encoded(request.tools)
        if tools is not None:
            head["tools"] = tools
        head = merged_options(self._set.provider, head, (self._set.options,))
        if request.max_output is not None:
            head[self._set.limit] = request.max_output
        wanted = Wanted(request.generation, self._set.unknown)
        effort = request.generation.reasoning
        if not self._set.thinks or effort == "none":
            head |= wanted.fields(**_SAMPLING)
        head |= wanted.fields(**_OPTIONS)
        if self._set.top_k:
            head |= wanted.fields(top_k="top_k")
        if tools is not None:
            head |= wanted.fields(parallel_tool_calls="parallel_calls")
        head = more_options(self._set.provider, head, request)
        if tools is not None and request.tool_choice != "auto":
            # After the options, which may ask for a call in every answer.
            if self._set.forbids:
                head["tool_choice"] = _choice(request.tool_choice)
            elif request.tool_choice != "none":
                wanted.leave("tool_choice")
        if request.output is not None:
            head["response_format"] = _response_format(request.output)
        # One system message: many chat templates take no second one.
        system = "\n\n".join(clean_text(one) for one in request.system if one.strip())
        messages = [_dumped({"role": "system", "content": system})] if system else []
        messages += self._history(request)
        return encoded_body(
            self._set.provider,
            DEFAULTS.protocol,
            head,
            messages,
            self._recorded,
            ignored=wanted.ignored,
        )

    def output_mode(self, request: ModelRequest) -> OutputMode:
        """Return how a value would be asked for."""
        schema = self._set.schema
        return (
            "native"
            if schema == "always" or (schema == "alone" and not request.tools)
            else "tool"
        )

    def _history(self, request: ModelRequest) -> list[bytes]:
        """Return the messages, each as objects joined by commas, in turns.

        Once thoughts of this model are among them, every message with calls has the
        field that they go back in: servers that want it want it everywhere.
        """
        carried = carried_of(request, MEDIA)
        history = request.history
        dialect = f"{DEFAULTS.protocol}:{self._name}:{'+'.join(carried)}"
        if self._set.signed:
            dialect += ":signed"
        if not self._set.thoughts:
            dialect += ":silent"
            return history.encoded(
                dialect,
                lambda message: self.encode_message(message, "", carried),
                _in_turns,
            )
        thought_of = self._set.field
        if not thought_of:
            field = history.encoded(f"{dialect}:field", self._field_of, _first)
            thought_of = b"".join(field).decode()
        return history.encoded(
            f"{dialect}:{thought_of}",
            lambda message: self.encode_message(message, thought_of, carried),
            _in_turns,
        )

    def _field_of(self, message: Message) -> bytes:
        """Return the field that thoughts beside calls came in, if there are any."""
        if not isinstance(message, AssistantMessage) or message.model != self._name:
            return b""
        return next(filter(None, _fields_of(message)), "").encode()

    def encode_message(
        self,
        message: Message,
        thought_of: str = "",
        carried: Sequence[str] = tuple(MEDIA),
    ) -> bytes:
        """Return a message as objects joined by commas; empty when it says nothing.

        ``thought_of`` is the field for thoughts that every message with calls has.

        Raises:
            ProviderError: ``provider.invalid_request``: a call has no result.
        """
        if isinstance(message, AssistantMessage):
            return self._assistant(message, thought_of, carried)
        if isinstance(message, UserMessage):
            texts, files = prompt_parts(message.text, message.files, carried)
            return _user(texts, files)
        return _user([words_of(message)], [])

    def _assistant(
        self, message: AssistantMessage, thought_of: str, carried: Sequence[str]
    ) -> bytes:
        native = message.model == self._name and self._set.thoughts
        own_ids = message.model == self._name
        text = clean_text(text_in_words(message))
        said: dict[str, Json] = {"role": "assistant", "content": text or None}
        results: list[bytes] = []
        images: list[FileContent] = []
        calls: list[Json] = []
        for part in message.calls:
            call_id = call_id_of(message, part, own=own_ids, nine=self._set.nine)
            function = {"name": tool_name(part.tool), "arguments": arguments_of(part)}
            call = {"id": call_id, "type": "function", "function": function}
            attached = dict(attached_to(part)) if native else {}
            function |= table(attached.pop("function", None))
            calls.append(attached | call)
            reads = [one for one in carried if one in IMAGES]
            shown, files = result_of(part, self._set.provider, reads)
            if files:
                # A tool message holds text only; the images follow all of them.
                shown = f"{shown}\n[images follow]" if shown else "[images follow]"
                images += files
            results.append(
                _dumped({"role": "tool", "tool_call_id": call_id, "content": shown})
            )
        if calls:
            if self._set.signed and not any("extra_content" in call for call in calls):
                for call in calls:
                    call["extra_content"] = _UNSIGNED
            said["tool_calls"] = calls
        elif not text.strip():
            return b""
        if native:
            said |= _reasoning_back(message, bool(calls))
            for one in message.parts:
                if isinstance(one, TextPart):
                    said = attached_to(one) | said
        if calls and thought_of:
            said.setdefault(thought_of, "")
        objects = [_dumped(said), *results]
        if images:
            objects.append(_user(["[images from the tool results]"], images))
        return b",".join(objects)


class ChatProtocol(ChatWriter):
    """Chat Completions, for one model."""

    media = MEDIA

    def __init__(self, endpoint: Endpoint, model: str) -> None:
        super().__init__(settings_of(endpoint, model))
        self._limits = endpoint.limits
        self._redact = endpoint.redactor()
        self._learned: set[str] = set()

    def decoder(self, request: ModelRequest) -> "ChatDecoder":
        """Return a new decoder, for the one response to this request."""
        tools = frozenset(tool.name for tool in request.tools)
        return ChatDecoder(
            self._set.provider, self._redact, tools=tools, limits=self._limits
        )

    def learned_from(self, error: ProviderError) -> bool:
        """Whether a refusal told how the endpoint wants to be asked.

        Each thing is learned once, so that an endpoint that wants two things that
        exclude each other is not asked for ever.
        """
        if error.status not in (400, 422):
            return False
        told = error.problem.lower()
        lesson = self._lesson(told)
        if lesson is None or lesson in self._learned:
            return False
        self._learned.add(lesson)
        self._use(_taught(self._set, lesson))
        return True

    def _lesson(self, told: str) -> str | None:
        if "stream_options" in told and self._set.usage:
            return "stream_options"
        if "tool_choice" in told and self._set.forbids:
            return "tool_choice"
        if self._set.limit in told and not _LIMIT_NAMES & self._learned:
            (other,) = _LIMIT_NAMES - {self._set.limit}
            return other
        if (
            "thought_signature" in told
            and re.search(_MISSING, told)
            and not self._set.signed
        ):
            return "signed"
        for name in REASONING_FIELDS[:2]:
            if name in told and re.search(_MISSING, told):
                return name
        option = refused_option(told, _WORDS, self._set.unknown)
        if option is not None:
            return f"option:{option}"
        if self._set.schema != "never" and refuses_schema(told):
            return "schema"
        ours = any(name in told for name in (*REASONING, *ATTACHED))
        return (
            "silent"
            if ours and self._set.thoughts and re.search(_FOREIGN, told)
            else None
        )


def _taught(settings: ChatSettings, lesson: str) -> ChatSettings:
    if lesson == "stream_options":
        return evolve(settings, usage=False)
    if lesson in _LIMIT_NAMES:
        return evolve(settings, limit=lesson)
    if lesson == "signed":
        return evolve(settings, signed=True)
    if lesson == "tool_choice":
        return evolve(settings, forbids=False)
    if lesson == "schema":
        return evolve(settings, schema="never")
    if lesson.startswith("option:"):
        option = lesson.removeprefix("option:")
        return evolve(settings, unknown=tuple(sorted((*settings.unknown, option))))
    if lesson == "silent":
        return evolve(settings, thoughts=False)
    return evolve(settings, field=lesson)


def written_again(request: ModelRequest, settings: Mapping[str, Json]) -> RequestBody:
    """Return the body of a request by its recorded settings.

    Raises:
        UndecodableError: they are not of this protocol.
    """
    return ChatWriter(from_json(dict(settings), ChatSettings)).write(request)


def _is_of(endpoint: Endpoint, *domains: str) -> bool:
    return any(
        endpoint.host == one or endpoint.host.endswith(f".{one}") for one in domains
    )


_UNSIGNED: Json = {"google": {"thought_signature": UNSIGNED}}
_LIMIT_NAMES = frozenset(("max_tokens", "max_completion_tokens"))
_MISTRAL = re.compile(r"mistral|ministral|codestral|devstral|magistral|pixtral", re.I)
# Compiled by the first refusal.
_MISSING = r"missing|must be|required|pass(?:ed)? back"
_FOREIGN = (
    r"unsupported|not supported|unknown|unexpected|unrecogni[sz]ed|additional propert"
    r"|not permitted|forbidden|not allowed|extra"
)

# User messages are written with their role last, so that the last of several objects
# is seen to be one: nothing else that is written here can end like it.
_USER_BEGINS, _USER_ENDS = b'{"content":', b',"role":"user"}'


def _user(texts: Sequence[str], files: Sequence[PromptFile | FileContent]) -> bytes:
    if not files:
        return _dumped({"content": "\n\n".join(texts), "role": "user"})
    parts: list[Json] = [_text_part(text) for text in texts]
    parts += [_file(one) for one in files]
    return _dumped({"content": parts, "role": "user"})


def _file(file: PromptFile | FileContent) -> Json:
    ability = ability_for(file.mime)
    url = f"data:{file.mime};base64,{file.data}"
    if ability == "pdf":
        told = {"filename": clean_text(file.name or "file.pdf"), "file_data": url}
        return {"type": "file", "file": told}
    if ability == "audio":
        kind = "wav" if "wav" in file.mime else file.mime.removeprefix("audio/")
        kind = {"mpeg": "mp3"}.get(kind, kind)
        sound = {"data": file.data, "format": kind}
        return {"type": "input_audio", "input_audio": sound}
    return {"type": "image_url", "image_url": {"url": url}}


def _text_part(text: str) -> Json:
    return {"type": "text", "text": text}


def _in_turns(before: bytes, message: bytes) -> bytes | None:
    """Join neighbouring messages of the user: many chat templates refuse two in a
    row."""
    if message.startswith(_USER_BEGINS) and before.endswith(_USER_ENDS):
        return _joined_users(before, message)
    return None


def _first(before: bytes, _: bytes) -> bytes:
    """Keep the first of all, and nothing else."""
    return before


def _joined_users(first: bytes, second: bytes) -> bytes:
    """Join the last object of the first, which is the user's, with the second."""
    start = first.removesuffix(_USER_ENDS)
    more = second.removeprefix(_USER_BEGINS).removesuffix(_USER_ENDS)
    if start.endswith(b'"') and more.startswith(b'"'):
        return start[:-1] + b"\\n\\n" + more[1:] + _USER_ENDS
    if more.startswith(b'"'):
        more = b'[{"type":"text","text":%b}]' % more
    if start.endswith(b'"'):
        # A text alone is the only object here: calls are followed by lists of images.
        text = start.removeprefix(_USER_BEGINS)
        start = _USER_BEGINS + b'[{"type":"text","text":%b}]' % text
    return start[:-1] + b"," + more[1:] + _USER_ENDS


def _fields_of(message: AssistantMessage) -> Iterator[str]:
    """Yield the fields of thoughts that go back beside calls."""
    for part in message.parts:
        if message.calls and isinstance(part, ReasoningPart):
            name = part.metadata.get("field")
            if isinstance(name, str) and name in REASONING_FIELDS:
                yield name


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
            _go_on(back.setdefault("reasoning_details", []), one)
        name = part.metadata.get("field")
        if calls and isinstance(name, str) and name in REASONING_FIELDS:
            back[name] = back.get(name, "") + clean_text(part.text)
    return back


def _go_on(details: list[Json], detail: Mapping[str, Any]) -> None:
    """Add a detail, joined to the last one if it is of the same: text came between."""
    last = details[-1] if details else None
    if last is None or any(
        last.get(name) != detail.get(name) for name in ("type", "index")
    ):
        details.append(dict(detail))
        return
    for name, value in detail.items():
        if name in DETAIL_TEXTS and isinstance(value, str):
            last[name] = (last.get(name) or "") + value
        elif value is not None:
            last[name] = value


def _choice(choice: ToolChoice) -> Json:
    name = called(choice)
    return choice if name is None else {"type": "function", "function": {"name": name}}


def _response_format(output: Output) -> Json:
    schema = strict(output.asked)
    said: dict[str, Json] = {"name": output.name}
    if output.description.strip():
        said["description"] = output.description.strip()
    if schema is None:
        said |= {"strict": False, "schema": output.asked}
    else:
        said |= {"strict": True, "schema": schema}
    return {"type": "json_schema", "json_schema": said}


def _dumped(value: Json) -> bytes:
    return orjson.dumps(value)
