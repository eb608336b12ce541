"""Our events, written as a server of each protocol writes them, are read as the same
by the provider's own SDK and by our adapters.

The SDKs are in the extra ``sdks``; what is absent is skipped.
"""

import importlib.util
import json
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from anyio import to_thread
from dovetail.kernel import (
    Finish,
    ModelEvent,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    Usage,
)
from dovetail.plugins.providers.anthropic import plugin as anthropic
from dovetail.plugins.providers.google import plugin as google
from dovetail.plugins.providers.openai import plugin as openai
from support.bounds import HANG
from support.replay import Answer as Reply, serve
from support.requests import ask, opened, request
from support.speaking import SPEAKERS, Answer, answer_of

Read = tuple[str, str, list[tuple[str, str, Any]], str, tuple[int | None, ...]]
"""Thoughts, text, calls, the reason, and the tokens: input, output, cached, thought."""

PARALLEL = '{"city": "Zürich", "days": [1, 2], "note": "a \\"quoted\\" \\\\ word"}'
CONTENTS: dict[str, tuple[ModelEvent, ...]] = {
    "text": (
        TextDelta("0", "Grüezi "),
        TextDelta("0", "\U0001f4a1 \u2028 wörld\n\n"),
        TextDelta("0", "data: [DONE]"),
        Finish("stop", Usage(12, 7, cache_read=4)),
    ),
    "thoughts": (
        ReasoningDelta("0", "First, "),
        ReasoningDelta("0", "think."),
        TextDelta("1", "Done."),
        Finish("stop", Usage(12, 9, reasoning=6, cache_read=0)),
    ),
    "calls": (
        ReasoningDelta("0", "Both."),
        TextDelta("1", "I look."),
        ToolCall("call_1", "get_weather", PARALLEL),
        ToolCall("call_2", "get_time", "{}"),
        Finish("tool_calls", Usage(1000, 40, reasoning=2, cache_read=900)),
    ),
    "cut": (
        TextDelta("0", "It was the best of"),
        Finish("length", Usage(5, 5, cache_read=0)),
    ),
}


def canonical(answer: Answer) -> Read:
    usage = answer.usage
    return (
        "".join(answer.thoughts),
        "".join(answer.texts),
        [(name, tool, json.loads(given)) for name, tool, given in answer.calls],
        answer.finish,
        (usage.input, usage.output, usage.cache_read or 0, usage.reasoning or 0),
    )


# --- their readers ----------------------------------------------------------------


def _chat(url: str) -> Read:
    from openai import OpenAI

    thoughts, text, reason, usage = "", "", "", None
    calls: dict[int, list[str]] = {}
    with OpenAI(base_url=url, api_key="none-needed", max_retries=0) as client:
        said: list[Any] = [{"role": "user", "content": "Hello"}]
        for chunk in client.chat.completions.create(
            model="m", messages=said, stream=True
        ):
            usage = chunk.usage or usage
            for choice in chunk.choices:
                delta = choice.delta
                text += delta.content or ""
                thoughts += getattr(delta, "reasoning_content", None) or ""
                for call in delta.tool_calls or ():
                    held = calls.setdefault(call.index, ["", "", ""])
                    assert call.function is not None
                    held[0] += call.id or ""
                    held[1] += call.function.name or ""
                    held[2] += call.function.arguments or ""
                reason = choice.finish_reason or reason
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    assert usage.completion_tokens_details is not None
    tokens = (
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.prompt_tokens_details.cached_tokens or 0,
        usage.completion_tokens_details.reasoning_tokens or 0,
    )
    made = [(name, tool, json.loads(given)) for name, tool, given in calls.values()]
    return thoughts, text, made, reason, tokens


def _responses(url: str) -> Read:
    from openai import OpenAI

    pieces, whole = [], None
    with OpenAI(base_url=url, api_key="none-needed", max_retries=0) as client:
        # Its own accumulator takes an answer that was cut for none.
        for event in client.responses.create(model="m", input="Hello", stream=True):
            if event.type == "response.output_text.delta":
                pieces.append(event.delta)
            elif event.type in ("response.completed", "response.incomplete"):
                whole = event.response
    assert whole is not None
    thoughts, calls = "", []
    for item in whole.output:
        if item.type == "reasoning":
            thoughts += "".join(part.text for part in item.summary)
        elif item.type == "function_call":
            calls.append((item.call_id, item.name, json.loads(item.arguments)))
    assert whole.output_text == "".join(pieces)
    usage = whole.usage
    assert usage is not None
    reason = "length" if whole.status == "incomplete" else "stop"
    return (
        thoughts,
        whole.output_text,
        calls,
        "tool_calls" if calls else reason,
        (
            usage.input_tokens,
            usage.output_tokens,
            usage.input_tokens_details.cached_tokens,
            usage.output_tokens_details.reasoning_tokens,
        ),
    )


def _messages(url: str) -> Read:
    from anthropic import Anthropic

    said: list[Any] = [{"role": "user", "content": "Hello"}]
    with (
        Anthropic(base_url=url, api_key="none-needed", max_retries=0) as client,
        client.messages.stream(model="m", max_tokens=9, messages=said) as stream,
    ):
        whole = stream.get_final_message()
    thoughts, text, calls = "", "", []
    for block in whole.content:
        if block.type == "thinking":
            thoughts += block.thinking
            assert block.signature == "c2ln"
        elif block.type == "text":
            text += block.text
        elif block.type == "tool_use":
            calls.append((block.id, block.name, block.input))
    usage = whole.usage
    read = usage.cache_read_input_tokens or 0
    wrote = usage.cache_creation_input_tokens or 0
    reasons = {"end_turn": "stop", "tool_use": "tool_calls", "max_tokens": "length"}
    reason = reasons[str(whole.stop_reason)]
    # It does not say how much of the output was thought.
    tokens = (usage.input_tokens + read + wrote, usage.output_tokens, read, 0)
    return thoughts, text, calls, reason, tokens


def _gemini(url: str) -> Read:
    from google.genai import Client
    from google.genai.types import HttpOptions

    client = Client(api_key="none-needed", http_options=HttpOptions(base_url=url))
    thoughts, text, reason, usage = "", "", "", None
    calls: list[tuple[str, str, Any]] = []
    for chunk in client.models.generate_content_stream(model="m", contents="Hello"):
        usage = chunk.usage_metadata or usage
        for candidate in chunk.candidates or ():
            parts = candidate.content.parts if candidate.content else None
            for part in parts or ():
                if part.function_call:
                    call = part.function_call
                    calls.append((str(call.id), str(call.name), call.args))
                elif part.thought:
                    thoughts += part.text or ""
                else:
                    text += part.text or ""
            if candidate.finish_reason:
                reason = candidate.finish_reason.value
    assert usage is not None
    thought = usage.thoughts_token_count or 0
    tokens = (
        usage.prompt_token_count,
        (usage.candidates_token_count or 0) + thought,
        usage.cached_content_token_count or 0,
        thought,
    )
    ended = {"STOP": "stop", "MAX_TOKENS": "length"}[reason]
    return thoughts, text, calls, "tool_calls" if calls else ended, tokens


SDKS: dict[str, tuple[str, Callable[[str], Read]]] = {
    "chat": ("openai", _chat),
    "responses": ("openai", _responses),
    "messages": ("anthropic", _messages),
    "gemini": ("google.genai", _gemini),
}
OURS = {
    "chat": (openai, "openai-chat"),
    "responses": (openai, "openai-responses"),
    "messages": (anthropic, "anthropic-messages"),
    "gemini": (google, "google-generate"),
}


def expected(protocol: str, answer: Answer) -> Read:
    """Return what can be read of an answer: Messages does not count thoughts."""
    thoughts, text, calls, reason, tokens = canonical(answer)
    if protocol == "messages":
        tokens = (*tokens[:3], 0)
    return thoughts, text, calls, reason, tokens


def is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("protocol", SDKS)
async def test_an_sdk_reads_our_events(protocol: str, content: str) -> None:
    library, read = SDKS[protocol]
    if not is_there(library):
        pytest.skip(f"{library} is not installed: pip install 'dovetail[sdks]'")
    answer = answer_of(CONTENTS[content])
    with anyio.fail_after(HANG):
        async with serve(Reply(SPEAKERS[protocol](answer), piece=50)) as server:
            got = await to_thread.run_sync(read, server.url)
    assert got == expected(protocol, answer)


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("protocol", SDKS)
async def test_our_adapters_read_what_the_sdks_read(
    protocol: str, content: str
) -> None:
    plugin, name = OURS[protocol]
    answer = answer_of(CONTENTS[content])
    async with serve(Reply(SPEAKERS[protocol](answer), piece=50)) as server:
        table = {"protocol": name, "base_url": server.url, "api_key": "none-needed"}
        async with opened(plugin, providers={"test": table}) as providers:
            events = await ask(providers["test"].route("m"), request())
    assert canonical(answer_of(events)) == expected(protocol, answer)
