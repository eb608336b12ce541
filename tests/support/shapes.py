"""The shape of a history as providers see it, and which shapes they refuse.

A shape is the order of turns, calls and results, in no provider's words: ``user``,
``assistant``, ``call:ID``, ``result:ID``. What real providers answered to such
histories is recorded in the set ``provider-recovery-rules``.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Shape = tuple[str, ...]


def refusal(shape: Shape) -> str | None:
    """Return why a provider refuses a history, or None: it accepts it."""
    waiting: list[str] = []
    for turn in shape:
        kind, _, call = turn.partition(":")
        if kind == "call":
            waiting.append(call)
        elif kind == "result":
            if call not in waiting:
                return f"result {call} has no call before it"
            waiting.remove(call)
        elif waiting:
            return f"calls {', '.join(waiting)} have no result before the next turn"
    return f"calls {', '.join(waiting)} have no result at the end" if waiting else None


def plain(shape: Shape) -> Shape:
    """Return the same with calls named by their order, so that shapes compare."""
    names: dict[str, str] = {}
    made = []
    for turn in shape:
        kind, colon, call = turn.partition(":")
        if colon:
            call = names.setdefault(call, str(len(names)))
        made.append(f"{kind}{colon}{call}")
    return tuple(made)


def shape_of(protocol: str, messages: Sequence[Mapping[str, Any]]) -> Shape:
    """Return the shape of a body's messages."""
    return tuple(_SHAPES[protocol](messages))


def _chat(messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for message in messages:
        if message["role"] == "tool":
            yield f"result:{message['tool_call_id']}"
        elif message["role"] != "system":
            yield message["role"]
            for call in message.get("tool_calls", ()):
                yield f"call:{call['id']}"


def _responses(items: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    calling = False
    for item in items:
        if item.get("type") == "function_call":
            yield f"call:{item['call_id']}"
        elif item.get("type") == "function_call_output":
            yield f"result:{item['call_id']}"
        elif not (calling and item["role"] == "assistant"):
            # What a model says behind a call is of the same answer.
            yield item["role"]
        calling = item.get("type") == "function_call"


def _blocks(messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Messages and Converse: both want results before text in a turn."""
    for message in messages:
        turns = []
        content = message["content"]
        for block in [] if isinstance(content, str) else content:
            if block.get("type") == "tool_use":
                turns.append(f"call:{block['id']}")
            elif "toolUse" in block:
                turns.append(f"call:{block['toolUse']['toolUseId']}")
            elif block.get("type") == "tool_result":
                turns.append(f"result:{block['tool_use_id']}")
            elif "toolResult" in block:
                turns.append(f"result:{block['toolResult']['toolUseId']}")
            elif "cachePoint" not in block and message["role"] not in turns:
                turns.append(message["role"])
        yield from turns if turns or not isinstance(content, str) else [message["role"]]


def _gemini(contents: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for content in contents:
        role = "assistant" if content["role"] == "model" else "user"
        turns = []
        for part in content["parts"]:
            if "functionCall" in part:
                turns.append(f"call:{part['functionCall']['name']}")
            elif "functionResponse" in part:
                turns.append(f"result:{part['functionResponse']['name']}")
            elif role not in turns:
                turns.append(role)
        yield from turns


_SHAPES = {
    "openai-chat": _chat,
    "openai-responses": _responses,
    "anthropic-messages": _blocks,
    "bedrock-converse": _blocks,
    "gemini": _gemini,
}
