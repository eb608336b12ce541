"""Wording: what the parts of a transcript are on the wire, the same for all protocols.

Owns text and JSON that any provider accepts: no lone surrogates, no names or ids that
an endpoint would refuse for ever after, no call without its result. Pure functions.
"""

import base64
import hashlib
import json
import re
import string
from collections.abc import Callable, Iterable, Mapping, Sequence

import orjson
from dovetail.kernel import (
    AssistantMessage,
    Content,
    FileContent,
    FilePart,
    Json,
    ModelRequest,
    NoticeMessage,
    PromptFile,
    ProviderError,
    ReasoningPart,
    RequestBody,
    SummaryMessage,
    TextContent,
    TextPart,
    ToolDefinition,
    ToolPart,
    UndecodableError,
    ability_for,
    clean_text,
    loads_exact,
    sanitised,
)

MEBIBYTE = 1_048_576
IMAGES = ("image",)
"""What any protocol can carry, also in the results of calls."""
_TEXT_KINDS = re.compile(
    r"text/|application/(json|xml|yaml|toml|javascript|x-sh)\b|.*\+(json|xml)\b"
)
_CALL_ID = re.compile(r"[A-Za-z0-9_-]{1,40}\Z")
_NINE = re.compile(r"[A-Za-z0-9]{9}\Z")
_DIGITS = string.digits + string.ascii_letters
UNSIGNED = "skip_thought_signature_validator"
"""What Google takes in the place of the signature of a call that another model made."""
_UPDATE_TAG = re.compile(r"<(?=\s*/?\s*system-update)", re.IGNORECASE)
_SUMMARY_TAG = re.compile(r"<(?=\s*/?\s*(?:summary|system-update))", re.IGNORECASE)


def notice(text: str) -> str:
    """Return a notice of the runtime as user text that cannot close its own tag."""
    escaped = _UPDATE_TAG.sub("&lt;", clean_text(text))
    return f"<system-update>\n{escaped}\n</system-update>"


def summary(text: str) -> str:
    """Return what stands for older history as user text that can neither close its own
    tag nor pass for a notice of the runtime."""
    escaped = _SUMMARY_TAG.sub("&lt;", clean_text(text))
    return f"<summary>\n{escaped}\n</summary>"


def words_of(message: NoticeMessage | SummaryMessage) -> str:
    """Return what nobody said as user text."""
    if isinstance(message, SummaryMessage):
        return summary(message.text)
    return notice(message.text)


def arguments_of(part: ToolPart) -> str:
    """Return a call's arguments as JSON text of an object.

    What is no object was never run, and its failed result says why; providers refuse
    a history that repeats it.
    """
    try:
        written = part.arguments
        value = loads_exact(written)
        if isinstance(value, str):
            # JSON within JSON is read as what it holds, so that is what was called.
            written = value
            value = loads_exact(written)
        if isinstance(value, dict):
            clean = clean_text(written)
            # An escaped lone surrogate is text that no provider reads back.
            return clean if "\\u" not in clean else _dumped(value)
    except (UndecodableError, ValueError, RecursionError):
        pass
    return "{}"


def _dumped(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def call_id_of(
    message: AssistantMessage, part: ToolPart, *, own: bool, nine: bool = False
) -> str:
    """Return a call's id as the endpoint takes it.

    An id of the model's ``own`` goes back as it came; one that another model gave must
    fit anyone's rules. Where only ``nine`` letters and digits are taken, both must.
    """
    rule = _NINE if nine else _CALL_ID
    if (own and not nine) or rule.match(part.call_id):
        return clean_text(part.call_id)
    return made_call_id(message.id, part.call_id)


def made_call_id(*facts: str) -> str:
    """Return an id that follows from the facts, for calls that came without one.

    Nine letters and digits, which is all that Mistral takes and what nobody refuses.
    """
    joined = "\0".join(facts).encode("utf-8", "surrogatepass")
    number = int.from_bytes(hashlib.sha256(joined).digest()[:8])
    made = ""
    for _ in range(9):
        number, digit = divmod(number, len(_DIGITS))
        made += _DIGITS[digit]
    return made


def attached_to(part: TextPart | ToolPart) -> dict[str, Json]:
    """Return what the provider attached to a part, to go back with it."""
    attached = part.metadata.get("attached")
    return dict(attached) if isinstance(attached, dict) else {}


def tool_name(name: str) -> str:
    """Return a name that providers accept, also for a tool that never existed."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64] or "unnamed"


def parts_in_words(
    message: AssistantMessage,
) -> list[TextPart | ReasoningPart | ToolPart]:
    """Return what a model said, with a word for each file that it made: their bytes are
    kept beside the log, and go back to nobody."""
    return [
        TextPart(part.text) if isinstance(part, FilePart) else part
        for part in message.parts
    ]


def text_in_words(message: AssistantMessage) -> str:
    """Return the text of a message, with a word for each file that the model made."""
    return "".join(
        part.text for part in message.parts if isinstance(part, TextPart | FilePart)
    )


def carried_of(request: ModelRequest, carries: Iterable[str]) -> tuple[str, ...]:
    """Return the kinds of files that are sent to a model: those that its protocol can
    carry, and that it is not known not to read."""
    return tuple(
        one for one in carries if request.reads is None or one in request.reads
    )


def result_of(
    part: ToolPart, provider: str, carried: Sequence[str] = IMAGES
) -> tuple[str, list[FileContent]]:
    """Return the text and the files of a settled call's result.

    Raises:
        ProviderError: ``provider.invalid_request``: the call has no result.
    """
    if not part.settled:
        raise ProviderError(
            "provider.invalid_request",
            provider,
            f"call {part.call_id!r} of tool {part.tool!r} has no result; a request "
            "must not hold an open call",
        )
    text, files = split_content(part.content, carried)
    if part.failure is not None and not text:
        text = clean_text(part.failure.message)
    if part.reading:
        told = clean_text("; ".join(part.reading))
        text = f"{text}\n\n[{told}]" if text else f"[{told}]"
    return text, files


def split_content(
    content: Sequence[Content], carried: Sequence[str] = IMAGES
) -> tuple[str, list[FileContent]]:
    """Return text, with a note for each file that cannot be shown, and the others."""
    texts: list[str] = []
    images: list[FileContent] = []
    for one in content:
        if isinstance(one, TextContent):
            texts.append(clean_text(one.text))
        elif ability_for(one.mime) in carried:
            images.append(one)
        else:
            texts.append(file_text(one.name or "file", one.mime, one.data))
    return "\n".join(texts), images


def file_text(name: str, mime: str, data: str) -> str:
    """Return a file that is no image as text: its content where it is text, or a
    note that it is there."""
    name, mime = (clean_text(re.sub(r'[\r\n"<>]', "_", one)) for one in (name, mime))
    if _TEXT_KINDS.match(mime):
        try:
            text = base64.b64decode(data, validate=True).decode()
        except ValueError:
            pass
        else:
            return f'<file name="{name}" type="{mime}">\n{text}\n</file>'
    return f"[file {name} ({mime}) is left out: it cannot be shown to this model]"


def prompt_parts(
    text: str, files: Iterable[PromptFile], carried: Sequence[str] = IMAGES
) -> tuple[list[str], list[PromptFile]]:
    """Return the texts of a prompt, with a note for each file that cannot be shown, and
    the others."""
    texts = [clean_text(text)] if text.strip() else []
    images: list[PromptFile] = []
    for file in files:
        if ability_for(file.mime) in carried:
            images.append(file)
        else:
            texts.append(file_text(file.name, file.mime, file.data))
    return texts, images


def merged_options(
    provider: str, body: dict[str, Json], options: Iterable[Mapping[str, Json]]
) -> dict[str, Json]:
    """Return the body with options added, later ones winning; None removes a field.

    Raises:
        ProviderError: ``provider.invalid_request``: an option would replace what the
            runtime alone decides.
    """
    for more in options:
        taken = sorted(OWN_FIELDS.intersection(more))
        if taken:
            raise ProviderError(
                "provider.invalid_request",
                provider,
                f"option {taken[0]!r} is not for options: the runtime decides it",
            )
        body.update(more)
    return {name: value for name, value in body.items() if value is not None}


OWN_FIELDS = frozenset(
    (
        "contents",
        "input",
        "instructions",
        "messages",
        "model",
        "previous_response_id",
        "stream",
        "system",
        "systemInstruction",
        "tools",
    )
)


def encoded_body(
    provider: str,
    protocol: str,
    head: dict[str, Json],
    messages: Sequence[bytes],
    settings: Mapping[str, Json],
    name: str = "messages",
    ignored: tuple[str, ...] = (),
    mark: tuple[bytes, int] = (b"", 0),
) -> RequestBody:
    """Return a request's body with the messages at its end, in the field of that name.

    So the body of one request, up to the end of its messages, begins the next one; with
    a ``mark``, which is what stands so many bytes before their end, up to that.

    Raises:
        ProviderError: ``provider.invalid_request``: an option is not JSON data.
    """
    try:
        start = orjson.dumps(head)
    except TypeError as error:
        raise ProviderError(
            "provider.invalid_request", provider, f"an option is not JSON: {error}"
        ) from error
    comma = "," if head else ""
    return RequestBody(
        protocol=protocol,
        head=start[:-1] + f'{comma}"{name}":['.encode(),
        messages=messages,
        tail=b"]}",
        settings=settings,
        ignored=ignored,
        mark=mark[0],
        closes=mark[1],
    )


class UserTurns:
    """What the user's side says in one message: a list of blocks under some name.

    The role comes last, so that such a message is seen at both ends of its bytes and
    told from one whose role comes first, which nothing is joined to.
    """

    def __init__(self, name: str) -> None:
        self._begins = f'{{"{name}":['.encode()
        self._name = name

    def said(self, blocks: Sequence[Json]) -> bytes:
        """Return a message of these blocks."""
        return orjson.dumps({self._name: blocks, "role": "user"})

    def mark(
        self, messages: Sequence[bytes], block: bytes = b"", field: bytes = b""
    ) -> tuple[bytes, int]:
        """Return what marks the end of the last message, if it is the user's: a block
        after its last one, or a field in that; and how far from the end it stands."""
        last = messages[-1] if messages else b""
        if last.endswith(b"}" + _USER_ENDS):
            closes = len(_USER_ENDS)
        elif last.endswith(b"}]}") and _is_users(last):
            closes = len(b"]}")
        else:
            return b"", 0
        return (b"," + block, closes) if block else (b"," + field, closes + 1)

    def join(self, before: bytes, message: bytes) -> bytes | None:
        """Join neighbouring messages of the user, or leave them two."""
        if message.startswith(self._begins) and before.endswith(_USER_ENDS):
            more = message.removeprefix(self._begins)
            return before.removesuffix(_USER_ENDS) + b"," + more
        return None


_USER_ENDS = b'],"role":"user"}'


def _is_users(message: bytes) -> bool:
    """Whether the last of several objects is a message of the user's side."""
    if b'{"role":"user"' not in message:
        return False
    # An argument of a call may look like one, too.
    return bool(orjson.loads(b"[%b]" % message)[-1]["role"] == "user")


def no_turns(_before: bytes, _message: bytes) -> bytes | None:
    """Leave messages as they are, and only the empty ones out."""
    return None


def function_shapes(tools: Sequence[ToolDefinition]) -> list[dict[str, Json]]:
    """Return tools as OpenAI and those who follow it describe them."""
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


class ToolList:
    """The tools of a request, encoded again only when they are others."""

    def __init__(
        self, shapes: Callable[[Sequence[ToolDefinition]], list[dict[str, Json]]]
    ) -> None:
        self._shapes = shapes
        self._tools: Sequence[ToolDefinition] = ()
        self._encoded = orjson.Fragment(b"[]")

    def encoded(self, tools: Sequence[ToolDefinition]) -> orjson.Fragment | None:
        """Return the array of tools, or None when there are none."""
        if not tools:
            return None
        # Comparing tuples of the same objects is cheap: identity is looked at first.
        if tools != self._tools:
            shaped = sanitised(self._shapes(tools))
            self._encoded = orjson.Fragment(orjson.dumps(shaped))
            self._tools = tools
        return self._encoded
