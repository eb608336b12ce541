"""The Chat Completions protocol, as far as a rehearsal needs it.

Owns reading a request body and writing a response, whole or as a stream of chunks.
Does not know what is said (``policy``) nor how bytes travel (``server``). Requests are
checked as strictly as the real service checks them: a call without a result is refused.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from attrs import field, frozen

MODEL = "rehearsal"

_TEXT_PIECE = 24
_ARGUMENT_PIECE = 12


class BadRequest(Exception):
    """The request breaks the protocol; answered as HTTP 400. ``param`` says where."""

    def __init__(self, problem: str, param: str | None = None) -> None:
        super().__init__(problem)
        self.param = param


@frozen
class Call:
    """One tool call, made by the model's part."""

    id: str
    tool: str
    arguments: Mapping[str, Any] = field(factory=dict)


@frozen
class UserTurn:
    """What a person said."""

    text: str


@frozen
class Answered:
    """An earlier answer of the model's part, with the result of each of its calls."""

    text: str
    calls: tuple[Call, ...] = ()
    results: tuple[str, ...] = ()
    """In the order of ``calls``."""


@frozen
class ChatRequest:
    """One request, checked."""

    model: str
    turns: tuple[UserTurn | Answered, ...]
    tools: Mapping[str, Mapping[str, Any]]
    """The JSON Schema of each offered tool's arguments, by tool name."""
    stream: bool = False
    usage_chunk: bool = False
    size: int = 0
    """Characters of everything said so far, which stands for the tokens read."""


@frozen
class Reply:
    """What the model's part says next. Without calls it has finished."""

    text: str
    calls: tuple[Call, ...] = ()

    @property
    def finish(self) -> Literal["stop", "tool_calls"]:
        return "tool_calls" if self.calls else "stop"


# --- reading ----------------------------------------------------------------------


def read_request(body: bytes) -> ChatRequest:
    """Return the request in a body.

    Raises:
        BadRequest: it is not JSON or breaks the protocol.
    """
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise BadRequest("the body must be an object")
    model = data.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequest("you must provide a model", "model")
    messages = data.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequest("must be a list that is not empty", "messages")
    options = data.get("stream_options") or {}
    if not isinstance(options, dict):
        raise BadRequest("must be an object", "stream_options")
    return ChatRequest(
        model,
        _turns(messages),
        _tools(data.get("tools") or []),
        stream=data.get("stream") is True,
        usage_chunk=options.get("include_usage") is True,
        size=len(body),
    )


def _turns(messages: Sequence[Any]) -> tuple[UserTurn | Answered, ...]:
    turns: list[UserTurn | Answered] = []
    waiting: dict[str, str | None] = {}
    answer: Answered | None = None

    def settle() -> None:
        nonlocal answer
        if answer is None:
            return
        missing = [name for name, result in waiting.items() if result is None]
        if missing:
            raise BadRequest(
                "an assistant message with 'tool_calls' must be followed by tool "
                f"messages for each: {', '.join(missing)} have none",
                "messages",
            )
        results = tuple(waiting[call.id] or "" for call in answer.calls)
        turns.append(Answered(answer.text, answer.calls, results))
        answer = None

    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        if not isinstance(message, dict):
            raise BadRequest("must be an object", where)
        role = message.get("role")
        if role == "tool":
            name = message.get("tool_call_id")
            if answer is None or name not in waiting or waiting[name] is not None:
                raise BadRequest(
                    "messages with role 'tool' must answer a preceding tool call",
                    where,
                )
            waiting[name] = _text(message.get("content"), where)
            continue
        settle()
        if role == "user":
            turns.append(UserTurn(_text(message.get("content"), where)))
        elif role == "assistant":
            calls = _calls(message.get("tool_calls") or [], where)
            waiting = dict.fromkeys((call.id for call in calls), None)
            if len(waiting) < len(calls):
                raise BadRequest("two calls have one id", f"{where}.tool_calls")
            answer = Answered(_text(message.get("content"), where), calls)
        elif role in ("system", "developer"):
            _text(message.get("content"), where)
        else:
            raise BadRequest(f"{role!r} is not a role", f"{where}.role")
    settle()
    return tuple(turns)


def _text(content: Any, where: str) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(isinstance(part, dict) for part in content):
        return "".join(
            part["text"] for part in content if isinstance(part.get("text"), str)
        )
    raise BadRequest("must be text or a list of parts", f"{where}.content")


def _calls(calls: Any, where: str) -> tuple[Call, ...]:
    if not isinstance(calls, list):
        raise BadRequest("must be a list", f"{where}.tool_calls")
    found = []
    for index, call in enumerate(calls):
        place = f"{where}.tool_calls[{index}]"
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(call.get("id"), str):
            raise BadRequest("must have an id and a function", place)
        name, arguments = function.get("name"), function.get("arguments")
        if not isinstance(name, str) or not isinstance(arguments, str):
            raise BadRequest("must have a name and arguments as text", place)
        found.append(Call(call["id"], name, _arguments(arguments)))
    return tuple(found)


def _arguments(text: str) -> Mapping[str, Any]:
    """Return the arguments of an earlier call; broken ones count as none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _tools(tools: Any) -> Mapping[str, Mapping[str, Any]]:
    if not isinstance(tools, list):
        raise BadRequest("must be a list", "tools")
    offered: dict[str, Mapping[str, Any]] = {}
    for index, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise BadRequest("must be a function with a name", f"tools[{index}]")
        schema = function.get("parameters") or {}
        if not isinstance(schema, dict):
            raise BadRequest("must be a schema", f"tools[{index}].function.parameters")
        offered[function["name"]] = schema
    return offered


# --- writing ----------------------------------------------------------------------


def usage(request: ChatRequest, reply: Reply) -> dict[str, Any]:
    """Return an estimate of the tokens: four characters are one."""
    written = len(reply.text) + sum(len(_dumped(call)) for call in reply.calls)
    read = request.size // 4
    return {
        "prompt_tokens": read,
        "completion_tokens": written // 4,
        "total_tokens": read + written // 4,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def whole(request: ChatRequest, reply: Reply, name: str, created: int) -> bytes:
    """Return the response body of a request without ``stream``."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None}
    if reply.calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.tool, "arguments": _dumped(call)},
            }
            for call in reply.calls
        ]
    choice = {"index": 0, "message": message, "finish_reason": reply.finish}
    return json.dumps(
        {
            "id": name,
            "object": "chat.completion",
            "created": created,
            "model": request.model,
            "choices": [choice],
            "usage": usage(request, reply),
        }
    ).encode()


def chunks(
    request: ChatRequest, reply: Reply, name: str, created: int
) -> Iterator[bytes]:
    """Yield the response as server-sent events, in small pieces."""
    head = {
        "id": name,
        "object": "chat.completion.chunk",
        "created": created,
        "model": request.model,
    }

    def event(choices: list[dict[str, Any]], **more: Any) -> bytes:
        if request.usage_chunk:
            more.setdefault("usage", None)
        return b"data: " + json.dumps({**head, "choices": choices, **more}).encode()

    def delta(piece: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": piece, "finish_reason": finish}
        return event([choice]) + b"\n\n"

    yield delta({"role": "assistant", "content": ""})
    for piece in _pieces(reply.text, _TEXT_PIECE):
        yield delta({"content": piece})
    for index, call in enumerate(reply.calls):
        opening = {"name": call.tool, "arguments": ""}
        first = {"id": call.id, "type": "function", "function": opening}
        yield delta({"tool_calls": [{"index": index, **first}]})
        for piece in _pieces(_dumped(call), _ARGUMENT_PIECE):
            more = {"index": index, "function": {"arguments": piece}}
            yield delta({"tool_calls": [more]})
    yield delta({}, reply.finish)
    if request.usage_chunk:
        yield event([], usage=usage(request, reply)) + b"\n\n"
    yield b"data: [DONE]\n\n"


def _dumped(call: Call) -> str:
    return json.dumps(call.arguments, ensure_ascii=False)


def _pieces(text: str, size: int) -> Iterator[str]:
    for start in range(0, len(text), size):
        yield text[start : start + size]
