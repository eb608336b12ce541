"""What a provider told of its tokens before it broke off is not lost."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from dovetail.kernel import RetryPolicy, RetryScheduled, StepFailed, Usage
from dovetail.kernel.testing import ScriptedProvider
from dovetail.plugins.providers import (
    anthropic,
    bedrock,
    google,
    openai,
)
from support.bounds import HANG
from support.hosts import host
from support.replay import Answer, serve, sse
from support.speaking import KINDS, frame

CHAT = {"prompt_tokens": 100, "completion_tokens": 1, "total_tokens": 101}
MESSAGES = {"input_tokens": 100, "output_tokens": 1}
GEMINI = {"promptTokenCount": 100, "candidatesTokenCount": 1, "totalTokenCount": 101}
CONVERSE = {"inputTokens": 100, "outputTokens": 1, "totalTokens": 101}
BUSY = {"type": "overloaded_error", "message": "too much to do"}

Told = tuple[str, Any, bytes]


def chat(*, words: bool) -> Told:
    said = {"delta": {"content": "A" if words else ""}}
    events = [{"choices": [{"index": 0, **said}], "usage": CHAT}]
    if not words:
        events.append({"error": {"code": "server_error", "message": "down"}})
    return "openai-chat", openai.plugin, sse(*events)


def messages(*, words: bool) -> Told:
    block = {"type": "text", "text": "A"}
    events: list[Any] = [
        {"type": "message_start", "message": {"id": "m", "usage": MESSAGES}}
    ]
    if words:
        events.append(
            {"type": "content_block_start", "index": 0, "content_block": block}
        )
    else:
        events.append({"type": "error", "error": BUSY})
    return "anthropic-messages", anthropic.plugin, sse(*events)


def generated(*, words: bool) -> Told:
    parts = [{"text": "A"}] if words else []
    events: list[Any] = [
        {"candidates": [{"content": {"parts": parts}}], "usageMetadata": GEMINI}
    ]
    if not words:
        events.append({"error": {"code": 503, "status": "UNAVAILABLE"}})
    return "google-generate", google.plugin, sse(*events)


def converse(*, words: bool) -> Told:
    events = [frame("messageStart", {"role": "assistant"})]
    events.append(frame("metadata", {"usage": CONVERSE}))
    if words:
        text = {"contentBlockIndex": 0, "delta": {"text": "A"}}
        events.append(frame("contentBlockDelta", text))
    else:
        events.append(frame("serviceUnavailableException", {"message": "down"}))
    return "bedrock-converse", bedrock.plugin, b"".join(events)


def items(*, words: bool) -> Told:
    failed = {
        "id": "r",
        "status": "failed",
        "error": {"code": "server_error", "message": "down"},
        "usage": {**MESSAGES, "total_tokens": 101},
    }
    events: list[Any] = [{"type": "response.created", "response": {"id": "r"}}]
    if words:
        delta = {"item_id": "i", "output_index": 0, "content_index": 0, "delta": "A"}
        events.append({"type": "response.output_text.delta", **delta})
    events.append({"type": "response.failed", "response": failed})
    return "openai-responses", openai.plugin, sse(*events)


PROTOCOLS = [chat, messages, generated, converse, items]
SURE = {"AWS_BEARER_TOKEN_BEDROCK": "k", "AWS_REGION": "eu-west-3"}


@pytest.mark.law("models.9")
@pytest.mark.parametrize("words", [True, False], ids=["begun", "before a word"])
@pytest.mark.parametrize("told", PROTOCOLS, ids=lambda told: told.__name__)
async def test_what_was_told_before_an_answer_broke_off_counts(
    tmp_path: Path, told: Any, words: bool
) -> None:
    protocol, plugin, body = told(words=words)
    kinds: Mapping[str, str] = {"bedrock-converse": KINDS["converse"]}
    headers = {"content-type": kinds.get(protocol, "text/event-stream")}
    mine = tmp_path / "mine.toml"
    async with serve(*[Answer(body, headers=headers)] * 2) as server:
        mine.write_text(
            f"""[providers.p]
protocol = "{protocol}"
base_url = "{server.url}"
api_key = "k"
models = [{{ name = "m", price = {{ input = 1, output = 10 }} }}]
"""
        )
        async with host(
            tmp_path,
            ScriptedProvider(),
            plugins=[plugin],
            environment={"DOVETAIL_CONFIG": str(mine), **SURE},
            retry=RetryPolicy(retries=1, first=0.001),
        ) as runtime:
            session = await runtime.sessions.create(location=tmp_path, model="p/m")
            await session.prompt("go")
            with anyio.fail_after(HANG):
                assert (await session.wait()).status == "failed"
            events = [one async for one in session.events()]
            info = await session.info()
    # Where nothing came of it the same Step asks again; where something did, another.
    first = next(one for one in events if isinstance(one, RetryScheduled | StepFailed))
    assert isinstance(first, StepFailed if words else RetryScheduled), first
    used = Usage(input=100, output=1)
    assert (first.usage.input, first.usage.output) == (used.input, used.output)
    assert (first.cost, first.unpriced) == (0.00011, 1)
    asked = len(server.requests)
    assert asked == 2
    assert (info.usage.input, info.cost, info.unpriced) == (200, 0.00022, 2)
