"""A whole session in each protocol, over a real connection: thoughts, parallel calls, a
tool that fails, an image, a retry, a history that does not fit, and a cache."""

import base64
import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import frozen
from dovetail.kernel import (
    AssistantMessage,
    FileContent,
    Finish,
    ReasoningDelta,
    ReasoningPart,
    TextContent,
    TextDelta,
    Tool,
    ToolCall,
    ToolContext,
    ToolFailure,
    Usage,
)
from dovetail.kernel.execution.step import MAX_PAUSES
from dovetail.kernel.testing import open_small_runtime
from dovetail.plugins.providers.anthropic import plugin as anthropic
from dovetail.plugins.providers.bedrock import plugin as bedrock
from dovetail.plugins.providers.cohere import plugin as cohere
from dovetail.plugins.providers.google import plugin as google
from dovetail.plugins.providers.ollama import plugin as ollama
from dovetail.plugins.providers.openai import plugin as openai
from support.bounds import HANG
from support.hosts import Tools
from support.replay import EVENT_STREAM, JSON, Answer, serve
from support.speaking import KINDS, SPEAKERS, answer_of

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(24)).decode()
SPOKEN: dict[str, tuple[Any, str]] = {
    "chat": (openai, "openai-chat"),
    "responses": (openai, "openai-responses"),
    "messages": (anthropic, "anthropic-messages"),
    "gemini": (google, "google-generate"),
    "converse": (bedrock, "bedrock-converse"),
    "ollama": (ollama, "ollama-chat"),
    "cohere": (cohere, "cohere-chat"),
}
UNCOUNTED = {"ollama": "a cache"}
"""Who does not tell what was read from a cache."""

WORKS = answer_of(
    [
        ReasoningDelta("0", "I need both."),
        TextDelta("1", "Let me look."),
        ToolCall("call_a", "look", '{"name": "a"}'),
        ToolCall("call_b", "fail", '{"name": "b"}'),
        Finish("tool_calls", Usage(1000, 40)),
    ]
)
ENDS = answer_of(
    [TextDelta("0", "It is a picture."), Finish("stop", Usage(1100, 9, cache_read=900))]
)
BUSY = Answer(b'{"error": {"message": "slow down"}}', 429, JSON)
TOO_LONG = Answer(
    json.dumps(
        {
            "error": {
                "message": "prompt is too long: 9000 tokens > 8000 maximum",
                "code": "context_length_exceeded",
            }
        }
    ).encode(),
    400,
    JSON,
)


@frozen
class Named:
    name: str


def tools() -> Tools:
    async def look(input: Named, context: ToolContext) -> str:
        return "seen"

    async def fail(input: Named, context: ToolContext) -> str:
        raise ToolFailure(f"there is no {input.name}")

    def rendered(_: Any) -> list[Any]:
        return [TextContent("a picture"), FileContent("image/png", PNG, "a.png")]

    return Tools(
        Tool("look", "Look.", Named, look, render=rendered, effect="pure"),
        Tool("fail", "Fail.", Named, fail, effect="pure"),
    )


@pytest.mark.parametrize("protocol", SPOKEN)
async def test_a_session_works_in_every_protocol(protocol: str, tmp_path: Path) -> None:
    plugin, name = SPOKEN[protocol]
    headers = {"content-type": KINDS.get(protocol, EVENT_STREAM["content-type"])}

    def said(answer: Any) -> Answer:
        return Answer(SPEAKERS[protocol](answer), headers=headers, piece=100)

    async with serve(BUSY, said(WORKS), said(ENDS), TOO_LONG) as server:
        file = tmp_path / "dovetail.toml"
        table = f'protocol = "{name}"\nbase_url = "{server.url}"\napi_key = "none"\n'
        file.write_text(f"[providers.there]\n{table}")
        runtime = open_small_runtime(
            plugin, tools(), environment={"DOVETAIL_CONFIG": str(file)}
        )
        with anyio.fail_after(HANG):
            async with runtime:
                session = await runtime.sessions.create(
                    location=tmp_path, model="there/m"
                )
                await session.prompt("What is a?")
                outcome = await session.wait()
                assert outcome.succeeded, outcome
                shown = await session.messages(order="asc")
                await session.prompt("And now?")
                refused = await session.wait()
        bodies = [one.body for one in server.requests]

    works, ends = [one for one in shown if isinstance(one, AssistantMessage)]
    assert works.text == "Let me look."
    thoughts = [one.text for one in works.parts if isinstance(one, ReasoningPart)]
    assert "".join(thoughts) == "I need both."
    looked, failed = works.calls
    assert (looked.tool, json.loads(looked.arguments)) == ("look", {"name": "a"})
    assert (looked.state, failed.state) == ("succeeded", "failed")
    assert ends.text == "It is a picture."
    assert ends.usage is not None
    assert (ends.usage.input, ends.usage.output) == (1100, 9)
    assert ends.usage.cache_read == (None if protocol in UNCOUNTED else 900)
    # Asked again, word for word; and the model is shown what its calls came to.
    assert bodies[0] == bodies[1]
    assert PNG.encode() in bodies[2]
    assert b"there is no b" in bodies[2]
    assert refused.reason is not None
    assert refused.reason.code == "provider.context_overflow"


SEARCH = {"type": "server_tool_use", "id": "s1", "name": "web_search"}


def searched(reason: str, *blocks: dict[str, Any]) -> Answer:
    whole = {
        "type": "message",
        "id": "m",
        "role": "assistant",
        "content": list(blocks),
        "stop_reason": reason,
        "usage": {"input_tokens": 10, "output_tokens": 5},
    }
    return Answer(json.dumps(whole).encode(), headers=JSON)


@pytest.mark.law("execution.18")
@pytest.mark.parametrize("said", [True, False])
async def test_a_turn_that_was_paused_is_sent_back_as_it_is(
    tmp_path: Path, said: bool
) -> None:
    words = [{"type": "text", "text": "Let me search."}] if said else []
    search = SEARCH | {"input": {"query": "x"}}
    found = {"type": "text", "text": "Found."}
    async with serve(
        searched("pause_turn", *words, search), searched("end_turn", found)
    ) as server:
        outcome = await asked_of(server.url, tmp_path)
        bodies = [one.json() for one in server.requests]
    assert (outcome.status, outcome.reason) == ("succeeded", None)
    assert len(bodies[1]["messages"]) == len(bodies[0]["messages"]) + 1
    last = bodies[1]["messages"][-1]
    assert last == {"role": "assistant", "content": [*words, search]}


@pytest.mark.law("execution.18")
async def test_a_provider_that_pauses_for_ever_is_not_asked_for_ever(
    tmp_path: Path,
) -> None:
    pausing = searched("pause_turn", SEARCH | {"input": {"query": "x"}})
    async with serve(*[pausing] * MAX_PAUSES) as server:
        outcome = await asked_of(server.url, tmp_path)
    assert outcome.status == "paused"
    assert outcome.reason.code == "execution.circling"


async def asked_of(url: str, tmp_path: Path) -> Any:
    file = tmp_path / "dovetail.toml"
    table = f'protocol = "anthropic-messages"\nbase_url = "{url}"\napi_key = "none"\n'
    file.write_text(f"[providers.there]\n{table}")
    runtime = open_small_runtime(anthropic, environment={"DOVETAIL_CONFIG": str(file)})
    with anyio.fail_after(HANG):
        async with runtime:
            session = await runtime.sessions.create(location=tmp_path, model="there/m")
            await session.prompt("Search.")
            return await session.wait()
