"""Ollama's own chat: what is sent, and how its lines are read."""

import base64
import json
from typing import Any

import pytest
import yaml
from dovetail.kernel import (
    FileContent,
    PromptFile,
    ProviderError,
    ReasoningPart,
    TextContent,
    TextPart,
    ToolPart,
    Usage,
)
from dovetail.plugins.providers.endpoints import Endpoint
from dovetail.plugins.providers.ndjson import LineDecoder
from dovetail.plugins.providers.ollama import address, plugin
from dovetail.plugins.providers.ollama_chat import OllamaProtocol
from dovetail.plugins.providers.sse import EventTooLargeError
from hypothesis import given, strategies as st
from support.answers import Answered, decode
from support.recordings import CORPORA
from support.replay import Answer, serve
from support.requests import WEATHER, ask, assistant, notice, opened, request, user

PNG = base64.b64encode(b"\x89PNG").decode()
NDJSON = {"content-type": "application/x-ndjson"}


def body(*messages: Any, **more: Any) -> Any:
    protocol = OllamaProtocol(Endpoint("test", "http://x"), "m")
    return json.loads(protocol.write(request(*messages, **more)).data)


def settled(call_id: str, **more: Any) -> ToolPart:
    more.setdefault("content", (TextContent("done"),))
    return ToolPart(call_id, "t", '{"a":1}', state="succeeded", **more)


def lines(*objects: Any) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in objects)


def said(**message: Any) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": "", **message}, "done": False}


DONE = {"done": True, "done_reason": "stop", "prompt_eval_count": 3, "eval_count": 2}


def read(*objects: Any, size: int | None = None) -> Answered:
    return decode("ollama", lines(*objects), size)


def test_calls_results_and_thoughts_have_the_names_that_ollama_gives_them() -> None:
    picture = FileContent("image/png", PNG, "p.png")
    shown = settled("c2", content=(TextContent("Here."), picture))
    made = body(
        user("Look", files=(PromptFile("p.png", "image/png", PNG),)),
        assistant(ReasoningPart("Hm."), TextPart("So."), settled("c1"), shown),
        notice("Now."),
        system=("Be kind.",),
        tools=(WEATHER,),
        max_output=9,
        options={"options": {"num_ctx": 4096}, "think": True},
    )
    assert made["options"] == {"num_predict": 9, "num_ctx": 4096}
    assert made["think"] is True
    assert made["tools"][0]["function"]["parameters"] == WEATHER.schema
    call = {"function": {"name": "t", "arguments": {"a": 1}}}
    assert made["messages"][:-1] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Look", "images": [PNG]},
        {
            "role": "assistant",
            "content": "So.",
            "thinking": "Hm.",
            "tool_calls": [call, call],
        },
        {"role": "tool", "content": "done", "tool_name": "t"},
        {"role": "tool", "content": "Here.", "tool_name": "t"},
        {
            "role": "user",
            "content": "[images from the tool results]",
            "images": [PNG],
        },
    ]


def test_the_last_step_is_offered_no_tools() -> None:
    assert "tools" not in body(tools=(WEATHER,), tool_choice="none")


@pytest.mark.law("tools.2")
def test_a_call_without_a_result_is_never_sent() -> None:
    with pytest.raises(ProviderError, match="no result"):
        body(user("go"), assistant(ToolPart("c1", "t", "{}", state="called")))


@pytest.mark.parametrize("size", [1, 7, None])
def test_an_answer_is_its_words_its_calls_and_its_usage(size: int | None) -> None:
    call = {"function": {"name": "t", "arguments": {"city": "Ä"}}}
    got = read(
        said(thinking="H"),
        said(thinking="m."),
        said(content="So"),
        said(content=".", tool_calls=[call, call]),
        DONE,
        size=size,
    )
    assert (got.reasoning, got.text) == ("Hm.", "So.")
    assert [json.loads(one.arguments) for one in got.calls] == [{"city": "Ä"}] * 2
    assert got.finish is not None
    assert got.finish.reason == "tool_calls"
    assert got.finish.usage == Usage(input=3, output=2)


def test_the_output_limit_is_told() -> None:
    got = read(said(content="x"), {**DONE, "done_reason": "length"})
    assert got.finish is not None
    assert got.finish.reason == "length"


def test_an_end_without_its_last_line_is_no_end() -> None:
    got = read(said(content="x"))
    assert got.text == "x"
    assert got.error is not None
    assert got.error.code == "provider.stream_broken"


def test_an_error_on_a_line_is_an_error() -> None:
    got = read(said(content="x"), {"error": "model runner has unexpectedly stopped"})
    assert got.error is not None
    assert "unexpectedly stopped" in got.error.problem


def test_the_recorded_chat_gives_the_recorded_words() -> None:
    file = (
        CORPORA / "openllmetry-cassettes/ollama/test_ollama_streaming_chat_legacy.yaml"
    )
    if not file.is_file():
        pytest.skip("the recordings are not beside this clone")
    recorded = yaml.safe_load(file.read_text(encoding="utf-8"))
    answer = recorded["interactions"][0]["response"]["body"]["string"]
    objects = [json.loads(one) for one in answer.splitlines()]
    got = decode("ollama", answer.encode(), 11)
    words = "".join(one["message"]["content"] for one in objects if "message" in one)
    assert words
    assert got.text == words
    assert got.finish is not None
    assert got.finish.usage.output == objects[-1]["eval_count"]


def test_a_line_that_never_ends_is_refused() -> None:
    frames = LineDecoder(max_event_bytes=10)
    assert [one.data for one in frames.feed(b'{"a":1}\n\n')] == [b'{"a":1}']
    with pytest.raises(EventTooLargeError):
        list(frames.feed(b"x" * 11))


@pytest.mark.parametrize(
    ("named", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("box:8080", "http://box:8080"),
        ("[::1]", "http://[::1]:11434"),
        ("https://ollama.example", "https://ollama.example"),
        ("http://box/base/", "http://box:11434/base"),
    ],
)
def test_the_variable_of_ollama_means_an_address(named: str, url: str) -> None:
    assert address(named) == url


@pytest.mark.parametrize("base", ["", "/v1"])
async def test_no_key_is_needed_and_both_addresses_are_understood(base: str) -> None:
    answer = Answer(lines(said(content="Hi"), DONE), 200, NDJSON)
    async with serve(answer) as server:
        tables = {"ollama": {"base_url": f"{server.url}{base}"}}
        async with opened(plugin, providers=tables) as providers:
            got = Answered(await ask(providers["ollama"].route("llama3"), request()))
    assert got.text == "Hi"
    (asked,) = server.requests
    assert asked.target == "/api/chat"
    assert "authorization" not in asked.headers


@pytest.mark.law("context.1")
@given(st.lists(st.text(max_size=9), min_size=1, max_size=5), st.integers(1, 5))
def test_the_bytes_of_a_request_begin_the_next_one(texts: list[str], cut: int) -> None:
    protocol = OllamaProtocol(Endpoint("test", "http://x"), "m")
    messages = [user(f"{one}!", at) for at, one in enumerate(texts)]
    before = protocol.write(request(*messages[:cut], system=("S",))).data
    after = protocol.write(request(*messages, system=("S",))).data
    assert after.startswith(before.removesuffix(b"]}"))


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ["content", "thinking", "tool_calls", "function", "name", "arguments"]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=8,
)


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "message": json_values,
                "done": json_values,
                "done_reason": json_values,
                "error": json_values,
                "eval_count": json_values,
            },
        ),
        max_size=6,
    )
)
def test_odd_lines_never_crash_the_decoder(objects: list[Any]) -> None:
    read(*objects)


@pytest.mark.parametrize("size", [None, 1, 2])
def test_a_mark_before_the_first_line_does_not_cost_that_line(size: int | None) -> None:
    end = {"done": True, "done_reason": "stop"}
    body = b"\xef\xbb\xbf" + lines(said(content="Why "), said(content="not?"), end)
    assert decode("ollama", body, size).text == "Why not?"
