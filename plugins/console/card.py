"""The card of a request: all that a person agrees to, or is asked.

Owns what is shown of a request: the command or path whole, the folder, the change of
an edit, the content of a write, and what ``always`` would cover. Everything on it is
other people's text: nothing of it is left out, and nothing in it is hidden. What is
long goes by; a terminal can be scrolled back.
"""

from collections.abc import Iterator, Mapping

from dovetail.kernel import (
    AssistantMessage,
    DovetailError,
    Json,
    PermissionRequest,
    Question,
    QuestionRequest,
    Session,
    ToolPart,
)

from .terminal import visible


async def asking_call(
    session: Session | None, request: PermissionRequest
) -> ToolPart | None:
    """Return the call that asks, whose arguments a person should see; None where that
    is not known: the request is shown without them."""
    if session is None or request.message_id is None:
        return None
    try:
        message = await session.message(request.message_id)
    except DovetailError:
        return None
    calls = message.calls if isinstance(message, AssistantMessage) else ()
    return next((one for one in calls if one.call_id == request.call_id), None)


def request_lines(request: PermissionRequest) -> list[str]:
    """Return what is asked for, on as many lines as it needs."""
    lines = [
        visible(line) for resource in request.resources for line in _lines(resource)
    ]
    action = visible(request.action)
    if len(lines) == 1:
        return [f"{action}: {lines[0]}"]
    return [f"{action}:", *(f"  | {line}" for line in lines)]


def card_lines(
    request: PermissionRequest, tool: str | None, arguments: Mapping[str, Json] | None
) -> list[str]:
    """Return the whole card.

    ``tool`` and ``arguments`` are those of the call that asks, None where it cannot be
    found: then what the request itself says of it is shown.
    """
    return [
        *request_lines(request),
        *(f"  asks again: {visible(reason)}" for reason in request.again),
        *_place(request),
        *_purpose(request),
        *_way(request),
        *_content(request, tool, arguments),
        *always_lines(request),
    ]


def question_lines(request: QuestionRequest) -> list[str]:
    """Return all questions of a request, each with its options."""
    return [
        line for question in request.questions for line in one_question_lines(question)
    ]


def one_question_lines(question: Question) -> list[str]:
    """Return one question with its numbered options."""
    header = f"[{visible(question.header)}] " if question.header else ""
    first, *more = _lines(question.text)
    lines = [f"{header}{visible(first)}", *(f"  | {visible(line)}" for line in more)]
    for number, option in enumerate(question.options, 1):
        lines.append(f"  {number}. {visible(option.label)}")
        lines += [f"     | {visible(x)}" for x in _lines(option.description) if x]
    return lines


def always_lines(request: PermissionRequest) -> list[str]:
    """Return what an answer of ``always`` would allow from then on."""
    if not request.save:
        return []
    where = ""
    if request.folder is not None:
        where = f", in {_folder(request.folder)}"
    agent, action = visible(request.agent), visible(request.action)
    if tuple(request.save) == tuple(request.resources):
        what = "exactly this" if len(request.save) == 1 else "exactly these"
        return [f"  always: {action} of {what}{where}, for agent {agent}, here"]
    saved = (visible(line) for text in request.save for line in _lines(text))
    return [
        f"  always: {action} of what follows{where}, for agent {agent}, here",
        *(f"  | {line}" for line in saved),
    ]


def _place(request: PermissionRequest) -> Iterator[str]:
    if request.folder not in (None, "."):
        yield f"  in: {visible(request.folder or '')}"


def _folder(folder: str) -> str:
    return "this folder" if folder == "." else visible(folder)


def _purpose(request: PermissionRequest) -> Iterator[str]:
    if request.action == "bash" and request.metadata.get("background") is True:
        yield "  in the background: it runs on as a job"
    said = request.metadata.get("description")
    if isinstance(said, str) and said.strip():
        # The model's words, which need not be true.
        first, *more = _lines(said.strip())
        yield f"  the model says: {visible(first)}"
        for line in more:
            yield f"  | {visible(line)}"


def _way(request: PermissionRequest) -> Iterator[str]:
    """Yield who led to a URL, and who a query is sent to."""
    for name, said in (("redirected_from", "redirected from"), ("engine", "sent to")):
        value = request.metadata.get(name)
        if request.action in ("webfetch", "websearch") and isinstance(value, str):
            yield f"  {said}: {visible(value)}"


def _content(
    request: PermissionRequest, tool: str | None, arguments: Mapping[str, Json] | None
) -> Iterator[str]:
    """Yield what would be written."""
    given = request.metadata.get("arguments")
    if isinstance(given, Mapping):
        # What a tool of somebody else is to be called with.
        yield from _listed(given)
        return
    if request.action != "edit":
        return
    patch = request.metadata.get("patch")
    if isinstance(patch, str) and (arguments is None or patch in arguments.values()):
        # Several files by one text, and it is the one that the call has.
        replaces = request.metadata.get("replaces")
        for name in replaces if isinstance(replaces, list | tuple) else ():
            yield f"  a file is there already and is replaced: {visible(str(name))}"
        yield from (f"  | {visible(line)}" for line in _lines(patch))
        return
    fields = dict(request.metadata if arguments is None else arguments)
    old, new = fields.pop("old_string", None), fields.pop("new_string", None)
    content = fields.pop("content", None)
    if isinstance(old, str) and isinstance(new, str):
        if fields.get("replace_all"):
            yield "  wherever it stands:"
        yield from (f"  - {visible(line)}" for line in _lines(old))
        yield from (f"  + {visible(line)}" for line in _lines(new) if new)
    elif isinstance(content, str):
        yield from (f"  + {visible(line)}" for line in _lines(content))
    elif arguments is not None:
        # Another tool's: all of what it was called with.
        yield f"  {visible(tool or 'a tool')} with:"
        yield from _listed(arguments)
    shown_of = request.metadata.get("bytes")
    if arguments is None and isinstance(shown_of, int):
        yield f"  ({shown_of} bytes in all)"


def _listed(arguments: Mapping[str, Json]) -> Iterator[str]:
    for name, value in sorted(arguments.items()):
        shown = value if isinstance(value, str) else repr(value)
        yield from (f"  | {visible(name)}: {visible(x)}" for x in _lines(shown))


def _lines(text: str) -> list[str]:
    # Only by line ends: other separators stay visible in their line.
    return text.split("\n")
