"""Whole sessions over loopback: from each protocol to each, in the midst of tool use.

One model thinks and calls two tools at once, one of which shows an image and one of
which fails; while they run, the session is switched to the other model, which goes on
from their results, calls again, and is switched back.
"""

import base64
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from dovetail.kernel import (
    FileContent,
    Runtime,
    Session,
    TextContent,
    Tool,
    ToolContext,
    ToolFailure,
    open_runtime,
)
from dovetail.plugins.providers import anthropic, bedrock, google, ollama, openai
from dovetail.storage.plugin import plugin as sqlite
from support.hosts import Tools
from support.replay import JSON, Answer, Request, serve

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\nimage").decode()
Call = tuple[str, str]
"""The id and the name of a call."""


@frozen
class Spoken:
    """How a protocol says what is said here, and what is looked for in a request."""

    path: str
    """Below the address of the server."""
    answer: Callable[[str, list[Call]], Any]
    """Makes an answer of thoughts, of which something is to go back, and calls."""
    word: Any
    """An answer of text."""
    asked: Callable[[Any], tuple[list[str], list[str]]]
    """Returns the calls of a request, and the results."""


def chat(mark: str, calls: list[Call]) -> Any:
    made = [
        {"id": one, "type": "function", "function": {"name": name, "arguments": "{}"}}
        for one, name in calls
    ]
    message = {"role": "assistant", "content": None, "tool_calls": made}
    message["reasoning_content"] = mark
    return {"choices": [{"message": message, "finish_reason": "tool_calls"}]}


def chat_asked(body: Any) -> tuple[list[str], list[str]]:
    said = body["messages"]
    return (
        [call["id"] for one in said for call in one.get("tool_calls") or ()],
        [one["tool_call_id"] for one in said if one["role"] == "tool"],
    )


def messages(mark: str, calls: list[Call]) -> Any:
    thought = {"type": "thinking", "thinking": "Hm.", "signature": mark}
    made = [
        {"type": "tool_use", "id": one, "name": name, "input": {}}
        for one, name in calls
    ]
    return {"content": [thought, *made], "stop_reason": "tool_use", "usage": {}}


def messages_asked(body: Any) -> tuple[list[str], list[str]]:
    blocks = [block for one in body["messages"] for block in one["content"]]
    return (
        [one["id"] for one in blocks if one["type"] == "tool_use"],
        [one["tool_use_id"] for one in blocks if one["type"] == "tool_result"],
    )


def responses(mark: str, calls: list[Call]) -> Any:
    thought = {"type": "reasoning", "id": "rs", "summary": []}
    made = [
        {"type": "function_call", "call_id": one, "name": name, "arguments": "{}"}
        for one, name in calls
    ]
    output = [{**thought, "encrypted_content": mark}, *made]
    return {"status": "completed", "output": output}


def responses_asked(body: Any) -> tuple[list[str], list[str]]:
    kinds = ("function_call", "function_call_output")
    calls, results = (
        [one["call_id"] for one in body["input"] if one["type"] == kind]
        for kind in kinds
    )
    return calls, results


def gemini(mark: str, calls: list[Call]) -> Any:
    made = [
        {"functionCall": {"name": name, "args": {}}, "thoughtSignature": mark}
        for _, name in calls
    ]
    content = {"role": "model", "parts": [{"text": "Hm.", "thought": True}, *made]}
    return {"candidates": [{"content": content, "finishReason": "STOP"}]}


def gemini_asked(body: Any) -> tuple[list[str], list[str]]:
    parts = [part for one in body["contents"] for part in one["parts"]]
    calls, results = (
        [part[kind]["name"] for part in parts if kind in part]
        for kind in ("functionCall", "functionResponse")
    )
    return calls, results


def converse(mark: str, calls: list[Call]) -> Any:
    thought = {"reasoningText": {"text": "Hm.", "signature": mark}}
    made = [
        {"toolUse": {"toolUseId": one, "name": name, "input": {}}}
        for one, name in calls
    ]
    content = [{"reasoningContent": thought}, *made]
    output = {"message": {"role": "assistant", "content": content}}
    return {"output": output, "stopReason": "tool_use", "usage": {}}


def converse_asked(body: Any) -> tuple[list[str], list[str]]:
    blocks = [block for one in body["messages"] for block in one["content"]]
    calls, results = (
        [block[kind]["toolUseId"] for block in blocks if kind in block]
        for kind in ("toolUse", "toolResult")
    )
    return calls, results


def ollama_chat(mark: str, calls: list[Call]) -> Any:
    made = [{"function": {"name": name, "arguments": {}}} for _, name in calls]
    message = {"role": "assistant", "thinking": mark, "tool_calls": made}
    return {"message": message, "done": True, "done_reason": "stop"}


def ollama_asked(body: Any) -> tuple[list[str], list[str]]:
    said = body["messages"]
    calls = [call for one in said for call in one.get("tool_calls", ())]
    return (
        [one["function"]["name"] for one in calls],
        [one["tool_name"] for one in said if one["role"] == "tool"],
    )


SPOKEN: Mapping[str, Spoken] = {
    "openai-chat": Spoken(
        "/v1",
        chat,
        {"choices": [{"message": {"content": "Done."}, "finish_reason": "stop"}]},
        chat_asked,
    ),
    "openai-responses": Spoken(
        "/v1",
        responses,
        {
            "status": "completed",
            "output": [
                {
                    "type": "message",
                    "content": [{"type": "output_text", "text": "Done."}],
                }
            ],
        },
        responses_asked,
    ),
    "anthropic-messages": Spoken(
        "/v1",
        messages,
        {"content": [{"type": "text", "text": "Done."}], "stop_reason": "end_turn"},
        messages_asked,
    ),
    "google-generate": Spoken(
        "/v1beta",
        gemini,
        {
            "candidates": [
                {"content": {"parts": [{"text": "Done."}]}, "finishReason": "STOP"}
            ]
        },
        gemini_asked,
    ),
    "bedrock-converse": Spoken(
        "",
        converse,
        {
            "output": {"message": {"content": [{"text": "Done."}]}},
            "stopReason": "end_turn",
        },
        converse_asked,
    ),
    "ollama-chat": Spoken(
        "",
        ollama_chat,
        {"message": {"content": "Done."}, "done": True, "done_reason": "stop"},
        ollama_asked,
    ),
}
PAIRS = [(one, other) for one in SPOKEN for other in SPOKEN]


@frozen
class Nothing:
    pass


class Switching:
    """Tools that switch the model of their session, one after the other."""

    def __init__(self, *models: str) -> None:
        self.models = list(models)
        self.runtime: Runtime | None = None

    async def look(self, input: Nothing, context: ToolContext) -> Any:
        assert self.runtime is not None
        session = await self.runtime.sessions.get("s")
        await session.switch_model(self.models.pop(0))
        return "here"

    async def fail(self, input: Nothing, context: ToolContext) -> str:
        raise ToolFailure("it broke")

    @property
    def tools(self) -> tuple[Tool[Any, Any], ...]:
        def shown(output: Any) -> Any:
            return [TextContent("here"), FileContent("image/png", PNG, "a.png")]

        return (
            Tool("look", "Look.", Nothing, self.look, render=shown),
            Tool("fail", "Fail.", Nothing, self.fail),
        )


def table(name: str, protocol: str, url: str) -> str:
    return (
        f'[providers.{name}]\nprotocol = "{protocol}"\napi_key = "k"\n'
        f'base_url = "{url}{SPOKEN[protocol].path}"\n'
    )


@pytest.mark.law("output.9")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(("one", "other"), PAIRS)
async def test_a_session_goes_on_with_another_model_in_the_midst_of_tool_use(
    one: str, other: str, tmp_path: Path
) -> None:
    first, second = SPOKEN[one], SPOKEN[other]
    answers = (
        first.answer("MARK-OF-ONE", [("c1", "look"), ("c2", "fail")]),
        second.answer("MARK-OF-OTHER", [("c3", "look")]),
        first.word,
    )
    bodies = [Answer(json.dumps(answer).encode(), 200, JSON) for answer in answers]
    switching = Switching("other/m", "one/m")
    async with serve(*bodies) as server:
        config = tmp_path / "own.toml"
        config.write_text(
            table("one", one, server.url) + table("other", other, server.url)
        )
        plugins = [sqlite, Tools(*switching.tools)]
        plugins += [
            each.plugin for each in (anthropic, bedrock, google, ollama, openai)
        ]
        async with open_runtime(
            "sqlite://",
            plugins=plugins,
            load_entry_points=False,
            environment={"DOVETAIL_CONFIG": str(config)},
        ) as runtime:
            switching.runtime = runtime
            session: Session = await runtime.sessions.create(
                "s", tmp_path, model="one/m"
            )
            await session.prompt("Look")
            outcome = await session.wait()
            assert outcome.succeeded, outcome
            last = (await session.messages(limit=1)).items[0]
            assert last.text == "Done."
    to_one, to_other, back = server.requests
    check(to_other, second, 2, marks=())
    check(back, first, 3, marks=("MARK-OF-ONE",))
    assert b"MARK" not in to_one.body


def check(request: Request, spoken: Spoken, count: int, marks: tuple[str, ...]) -> None:
    """Look whether every call has its result, and nothing goes back to the wrong."""
    calls, results = spoken.asked(request.json())
    assert len(calls) == count
    assert sorted(calls) == sorted(results)
    assert PNG.encode() in request.body
    assert b"it broke" in request.body
    for mark in ("MARK-OF-ONE", "MARK-OF-OTHER"):
        assert (mark.encode() in request.body) == (mark in marks)
