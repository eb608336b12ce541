"""Speaking: an answer in our own events, as the bytes of a server of each protocol.

The other direction of what the adapters do, written from the protocols' own references
and not from our readers: what is written here must be read by the providers' own SDKs,
and by us.
"""

import json
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from zlib import crc32

from attrs import frozen
from dovetail.kernel import (
    Finish,
    ModelEvent,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    Usage,
)


@frozen
class Answer:
    """What an answer holds, whatever it is written in."""

    thoughts: Sequence[str]
    texts: Sequence[str]
    calls: Sequence[tuple[str, str, str]]
    """Id, tool and arguments."""
    finish: str
    usage: Usage


def answer_of(events: Sequence[ModelEvent]) -> Answer:
    """Return what canonical events say."""
    (end,) = [one for one in events if isinstance(one, Finish)]
    calls = [one for one in events if isinstance(one, ToolCall)]
    return Answer(
        [one.text for one in events if isinstance(one, ReasoningDelta) and one.text],
        [one.text for one in events if isinstance(one, TextDelta) and one.text],
        [(one.call_id, one.tool, one.arguments) for one in calls],
        end.reason,
        end.usage,
    )


def _sse(event: dict[str, Any], *, named: bool = False) -> bytes:
    name = f"event: {event['type']}\n" if named else ""
    return f"{name}data: {json.dumps(event)}\n\n".encode()


def _halves(text: str) -> Iterator[str]:
    middle = len(text) // 2
    yield text[:middle]
    yield text[middle:]


def chat(answer: Answer) -> bytes:
    """As Chat Completions: the reference at platform.openai.com, and the field of
    thoughts that DeepSeek and others have beside it."""

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return _sse({**base, "choices": [choice]})

    base = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    out = [chunk({"role": "assistant", "content": ""})]
    out += [chunk({"reasoning_content": one}) for one in answer.thoughts]
    out += [chunk({"content": one}) for one in answer.texts]
    for at, (name, tool, arguments) in enumerate(answer.calls):
        function = {"name": tool, "arguments": ""}
        begun = {"index": at, "id": name, "type": "function", "function": function}
        out.append(chunk({"tool_calls": [begun]}))
        for piece in _halves(arguments):
            more = {"index": at, "function": {"arguments": piece}}
            out.append(chunk({"tool_calls": [more]}))
    out.append(chunk({}, answer.finish))
    usage = answer.usage
    told = {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": (usage.input or 0) + (usage.output or 0),
        "prompt_tokens_details": {"cached_tokens": usage.cache_read},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }
    out.append(_sse({**base, "choices": [], "usage": told}))
    return b"".join([*out, b"data: [DONE]\n\n"])


def messages(answer: Answer) -> bytes:
    """As Anthropic's Messages: docs.anthropic.com, streaming. Input is told without
    what was read from the cache and written to it."""
    usage, out = answer.usage, []
    read, wrote = usage.cache_read or 0, usage.cache_write or 0
    told = {
        "input_tokens": (usage.input or 0) - read - wrote,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": wrote,
        "output_tokens": 1,
    }
    message = {
        "id": "m1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": told,
    }
    out.append({"type": "message_start", "message": message})
    index = 0

    def block(start: dict[str, Any], deltas: Sequence[dict[str, Any]]) -> None:
        nonlocal index
        begun = {"type": "content_block_start", "index": index, "content_block": start}
        out.append(begun)
        for delta in deltas:
            out.append({"type": "content_block_delta", "index": index, "delta": delta})
        out.append({"type": "content_block_stop", "index": index})
        index += 1

    if answer.thoughts:
        thinking = [{"type": "thinking_delta", "thinking": x} for x in answer.thoughts]
        signed = {"type": "signature_delta", "signature": "c2ln"}
        start = {"type": "thinking", "thinking": "", "signature": ""}
        block(start, [*thinking, signed])
    if answer.texts:
        said = [{"type": "text_delta", "text": one} for one in answer.texts]
        block({"type": "text", "text": ""}, said)
    for name, tool, arguments in answer.calls:
        start = {"type": "tool_use", "id": name, "name": tool, "input": {}}
        pieces = _halves(arguments)
        block(start, [{"type": "input_json_delta", "partial_json": x} for x in pieces])
    reasons = {"stop": "end_turn", "tool_calls": "tool_use", "length": "max_tokens"}
    delta = {"stop_reason": reasons[answer.finish], "stop_sequence": None}
    end = {"output_tokens": usage.output}
    out.append({"type": "message_delta", "delta": delta, "usage": end})
    out.append({"type": "message_stop"})
    return b"".join(_sse(one, named=True) for one in out)


def responses(answer: Answer) -> bytes:
    """As OpenAI's Responses: platform.openai.com, streaming events."""
    items: list[dict[str, Any]] = []
    out: list[dict[str, Any]] = []
    usage = answer.usage

    def response(status: str, **more: Any) -> dict[str, Any]:
        fixed = {
            "id": "r1",
            "object": "response",
            "created_at": 1,
            "model": "m",
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
        }
        return {**fixed, "status": status, "output": list(items), **more}

    def item(begun: dict[str, Any], whole: dict[str, Any]) -> Iterator[dict[str, Any]]:
        place = {"output_index": len(items)}
        out.append({"type": "response.output_item.added", **place, "item": begun})
        yield place | {"item_id": whole["id"]}
        items.append(whole)
        out.append({"type": "response.output_item.done", **place, "item": whole})

    out.append({"type": "response.created", "response": response("in_progress")})
    if answer.thoughts:
        fixed = {"id": "rs1", "type": "reasoning"}
        whole = "".join(answer.thoughts)
        part = {"type": "summary_text", "text": whole}
        for at in item({**fixed, "summary": []}, {**fixed, "summary": [part]}):
            place = {**at, "summary_index": 0}
            empty = {"type": "summary_text", "text": ""}
            kind = "response.reasoning_summary"
            out.append({"type": f"{kind}_part.added", **place, "part": empty})
            for one in answer.thoughts:
                out.append({"type": f"{kind}_text.delta", **place, "delta": one})
            out.append({"type": f"{kind}_text.done", **place, "text": whole})
            out.append({"type": f"{kind}_part.done", **place, "part": part})
    if answer.texts:
        fixed = {"id": "ms1", "type": "message", "role": "assistant"}
        text = {"type": "output_text", "text": "".join(answer.texts), "annotations": []}
        begun = {**fixed, "status": "in_progress", "content": []}
        for at in item(begun, {**fixed, "status": "completed", "content": [text]}):
            place = {**at, "content_index": 0}
            part = {"type": "output_text", "text": "", "annotations": []}
            added = {"type": "response.content_part.added", **place, "part": part}
            out.append(added)
            for one in answer.texts:
                delta = {"type": "response.output_text.delta", "logprobs": []}
                out.append({**delta, **place, "delta": one})
            done = {"type": "response.output_text.done", "logprobs": []}
            out.append({**done, **place, "text": text["text"]})
            out.append({"type": "response.content_part.done", **place, "part": text})
    for at, (name, tool, arguments) in enumerate(answer.calls):
        fixed = {"id": f"fc{at}", "type": "function_call", "call_id": name}
        begun = {**fixed, "name": tool, "arguments": "", "status": "in_progress"}
        whole_item = {**begun, "arguments": arguments, "status": "completed"}
        for place in item(begun, whole_item):
            kind = "response.function_call_arguments"
            for piece in _halves(arguments):
                out.append({"type": f"{kind}.delta", **place, "delta": piece})
            done = {"type": f"{kind}.done", **place, "name": tool}
            out.append({**done, "arguments": arguments})
    told = {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cache_read or 0},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning or 0},
        "total_tokens": (usage.input or 0) + (usage.output or 0),
    }
    cut = answer.finish == "length"
    status = "incomplete" if cut else "completed"
    why = {"incomplete_details": {"reason": "max_output_tokens"}} if cut else {}
    end = response(status, usage=told, **why)
    out.append({"type": f"response.{status}", "response": end})
    return b"".join(
        _sse({**one, "sequence_number": at}, named=True) for at, one in enumerate(out)
    )


def gemini(answer: Answer) -> bytes:
    """As Gemini's streamGenerateContent: ai.google.dev. Thoughts are counted beside the
    candidates' tokens."""
    usage = answer.usage
    thought = usage.reasoning or 0
    told = {
        "promptTokenCount": usage.input,
        "cachedContentTokenCount": usage.cache_read,
        "candidatesTokenCount": (usage.output or 0) - thought,
        "thoughtsTokenCount": thought,
        "totalTokenCount": (usage.input or 0) + (usage.output or 0),
    }
    parts: list[dict[str, Any]] = [
        {"text": x, "thought": True} for x in answer.thoughts
    ]
    parts += [{"text": one} for one in answer.texts]
    for name, tool, arguments in answer.calls:
        call = {"id": name, "name": tool, "args": json.loads(arguments)}
        parts.append({"functionCall": call, "thoughtSignature": "c2ln"})
    out = []
    for at, part in enumerate(parts):
        content = {"role": "model", "parts": [part]}
        candidate: dict[str, Any] = {"content": content, "index": 0}
        chunk = {"candidates": [candidate], "responseId": "r1", "modelVersion": "m"}
        if at == len(parts) - 1:
            cut = answer.finish == "length"
            candidate["finishReason"] = "MAX_TOKENS" if cut else "STOP"
            chunk["usageMetadata"] = told
        out.append(_sse(chunk))
    return b"".join(out)


SPEAKERS: dict[str, Callable[[Answer], bytes]] = {
    "chat": chat,
    "messages": messages,
    "responses": responses,
    "gemini": gemini,
}


def ollama(answer: Answer) -> bytes:
    """As Ollama's chat: lines of JSON, calls whole and without ids."""

    def line(message: dict[str, Any], **more: Any) -> bytes:
        told = {"role": "assistant", "content": "", **message}
        made = {"model": "m", "created_at": "t", "message": told, "done": False}
        return json.dumps({**made, **more}).encode() + b"\n"

    out = [line({"thinking": one}) for one in answer.thoughts]
    out += [line({"content": one}) for one in answer.texts]
    for _, tool, arguments in answer.calls:
        function = {"name": tool, "arguments": json.loads(arguments)}
        out.append(line({"tool_calls": [{"function": function}]}))
    cut = answer.finish == "length"
    usage = answer.usage
    counted = {"prompt_eval_count": usage.input, "eval_count": usage.output}
    reason = "length" if cut else "stop"
    return b"".join([*out, line({}, done=True, done_reason=reason, **counted)])


def cohere(answer: Answer) -> bytes:
    """As Cohere's chat, version 2: docs.cohere.com, streaming."""

    def event(kind: str, message: dict[str, Any], **more: Any) -> bytes:
        return _sse({"type": kind, "delta": {"message": message}, **more}, named=True)

    out = [_sse({"id": "r1", "type": "message-start", "delta": {}}, named=True)]
    for kind, texts in (("thinking", answer.thoughts), ("text", answer.texts)):
        for one in texts:
            out.append(event("content-delta", {"content": {kind: one}}, index=0))
    for at, (name, tool, arguments) in enumerate(answer.calls):
        function = {"name": tool, "arguments": ""}
        begun = {"id": name, "type": "function", "function": function}
        out.append(event("tool-call-start", {"tool_calls": begun}, index=at))
        for piece in _halves(arguments):
            more = {"tool_calls": {"function": {"arguments": piece}}}
            out.append(event("tool-call-delta", more, index=at))
        out.append(_sse({"type": "tool-call-end", "index": at}, named=True))
    reasons = {"stop": "COMPLETE", "tool_calls": "TOOL_CALL", "length": "MAX_TOKENS"}
    usage = answer.usage
    counted = {"input_tokens": usage.input, "output_tokens": usage.output}
    told = {"tokens": counted, "cached_tokens": usage.cache_read}
    end = {"finish_reason": reasons[answer.finish], "usage": told}
    out.append(_sse({"type": "message-end", "delta": end}, named=True))
    return b"".join(out)


def converse(answer: Answer) -> bytes:
    """As Amazon's Converse: docs.aws.amazon.com, ConverseStream. Input is told without
    what was read from the cache."""
    out = [frame("messageStart", {"role": "assistant"})]
    index = 0

    def block(deltas: Sequence[dict[str, Any]], start: Any = None) -> None:
        nonlocal index
        at = {"contentBlockIndex": index}
        if start is not None:
            out.append(frame("contentBlockStart", {**at, "start": start}))
        for one in deltas:
            out.append(frame("contentBlockDelta", {**at, "delta": one}))
        out.append(frame("contentBlockStop", at))
        index += 1

    if answer.thoughts:
        thoughts = [{"reasoningContent": {"text": one}} for one in answer.thoughts]
        block([*thoughts, {"reasoningContent": {"signature": "c2ln"}}])
    if answer.texts:
        block([{"text": one} for one in answer.texts])
    for name, tool, arguments in answer.calls:
        start = {"toolUse": {"toolUseId": name, "name": tool}}
        block([{"toolUse": {"input": one}} for one in _halves(arguments)], start)
    reasons = {"stop": "end_turn", "tool_calls": "tool_use", "length": "max_tokens"}
    out.append(frame("messageStop", {"stopReason": reasons[answer.finish]}))
    usage, read = answer.usage, answer.usage.cache_read or 0
    told = {
        "inputTokens": (usage.input or 0) - read,
        "outputTokens": usage.output,
        "totalTokens": (usage.input or 0) + (usage.output or 0),
        "cacheReadInputTokens": read,
    }
    out.append(frame("metadata", {"usage": told, "metrics": {"latencyMs": 1}}))
    return b"".join(out)


def frame(kind: str, payload: dict[str, Any]) -> bytes:
    """Return an event as Amazon frames it: lengths, headers, and two checksums."""
    told = {":event-type": kind, ":message-type": "event"}
    headers = b"".join(
        bytes([len(name)])
        + name.encode()
        + struct.pack("!BH", 7, len(value))
        + value.encode()
        for name, value in told.items()
    )
    body = json.dumps(payload).encode()
    lengths = struct.pack("!II", len(headers) + len(body) + 16, len(headers))
    begun = lengths + struct.pack("!I", crc32(lengths)) + headers + body
    return begun + struct.pack("!I", crc32(begun))


SPEAKERS |= {"ollama": ollama, "cohere": cohere, "converse": converse}
KINDS = {
    "ollama": "application/x-ndjson",
    "converse": "application/vnd.amazon.eventstream",
}
"""Of those that are no event streams."""
