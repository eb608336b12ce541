"""Cohere's chat, version 2: what is sent, and how its events are read."""

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from dovetail.kernel import (
    FileContent,
    Generation,
    ProviderError,
    ReasoningEnd,
    ReasoningPart,
    TextContent,
    TextEnd,
    TextPart,
    ToolPart,
    Usage,
)
from dovetail.plugins.providers.cohere import plugin
from dovetail.plugins.providers.cohere_chat import (
    CohereDecoder,
    CohereProtocol,
    written_again,
)
from dovetail.plugins.providers.endpoints import Endpoint
from dovetail.plugins.providers.sse import SseEvent
from support.answers import Answered, decode
from support.recordings import CORPORA
from support.replay import JSON, Answer, serve, sse
from support.requests import WEATHER, ask, assistant, notice, opened, request, user

PNG = base64.b64encode(b"\x89PNG").decode()
START = {"id": "r1", "type": "message-start", "delta": {"message": {}}}


def writer(**endpoint: Any) -> CohereProtocol:
    return CohereProtocol(Endpoint("test", "http://x", **endpoint), "m")


def body(*messages: Any, **more: Any) -> Any:
    return json.loads(writer().write(request(*messages, **more)).data)


def settled(call_id: str, **more: Any) -> ToolPart:
    more.setdefault("content", (TextContent("done"),))
    return ToolPart(call_id, "t", '{"a":1}', state="succeeded", **more)


def delta(kind: str, message: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": kind, "delta": {"message": message}, **more}


def text(said: str) -> dict[str, Any]:
    return delta("content-delta", {"content": {"text": said}}, index=0)


def end(reason: str = "COMPLETE", **usage: Any) -> dict[str, Any]:
    told = {"finish_reason": reason, "usage": usage}
    return {"type": "message-end", "delta": told}


def call(index: int, name: str, *pieces: str) -> Iterator[dict[str, Any]]:
    function = {"name": name, "arguments": ""}
    begun = {"id": f"{name}_{index}", "type": "function", "function": function}
    yield delta("tool-call-start", {"tool_calls": begun}, index=index)
    for piece in pieces:
        more = {"tool_calls": {"function": {"arguments": piece}}}
        yield delta("tool-call-delta", more, index=index)
    yield {"type": "tool-call-end", "index": index}


def read(*events: Any, size: int | None = None) -> Answered:
    return decode("cohere", sse(*events), size)


def test_a_conversation_is_written_as_cohere_has_it() -> None:
    plan = ReasoningPart("I will look.", {"field": "tool_plan"})
    calls = assistant(plan, settled("c1"), settled("c2"), seq=1)
    picture = FileContent("image/png", PNG, "p.png")
    seen = assistant(settled("c3", content=(picture,)), seq=3)
    made = body(user("Look"), calls, notice("It is late."), seen, system=("Be brief.",))
    function = {"name": "t", "arguments": '{"a":1}'}

    def asked(name: str) -> dict[str, Any]:
        return {"id": name, "type": "function", "function": function}

    def answer(name: str, content: str = "done") -> dict[str, Any]:
        return {"role": "tool", "tool_call_id": name, "content": content}

    assert made["stream"] is True
    assert made["messages"][:6] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Look"},
        {
            "role": "assistant",
            "tool_plan": "I will look.",
            "tool_calls": [asked("c1"), asked("c2")],
        },
        answer("c1"),
        answer("c2"),
        made["messages"][5],
    ]
    assert "It is late." in made["messages"][5]["content"]
    images = made["messages"][-1]["content"]
    assert images[1]["image_url"]["url"] == f"data:image/png;base64,{PNG}"


def test_thoughts_go_back_to_the_model_that_had_them_and_a_plan_only_before_calls() -> (
    None
):
    parts = (
        ReasoningPart("Hm.", {"field": "thinking"}),
        ReasoningPart("Not now.", {"field": "tool_plan"}),
        TextPart("Yes."),
    )
    thought = {"type": "thinking", "thinking": "Hm."}
    said = {"type": "text", "text": "Yes."}
    assert body(user("Hi"), assistant(*parts))["messages"][1] == {
        "role": "assistant",
        "content": [thought, said],
    }
    foreign = assistant(*parts, model="other/m")
    assert body(user("Hi"), foreign)["messages"][1]["content"] == "Yes."


def test_what_another_model_said_before_its_calls_is_a_plan() -> None:
    other = assistant(TextPart("I look."), settled("c1"), model="other/m")
    assert body(user("Hi"), other)["messages"][1]["tool_plan"] == "I look."


def test_options_have_the_names_that_cohere_gives_them() -> None:
    generation = Generation(temperature=0.5, top_p=0.9, top_k=3, stop=("END",), seed=7)
    made = body(
        max_output=50, tools=(WEATHER,), tool_choice="none", generation=generation
    )
    assert made["max_tokens"] == 50
    assert made["tool_choice"] == "NONE"
    assert (made["p"], made["k"], made["seed"]) == (0.9, 3, 7)
    assert made["stop_sequences"] == ["END"]
    assert made["tools"][0]["function"]["name"] == WEATHER.name


def test_a_request_is_written_again_by_its_settings() -> None:
    wanted = request(user("Hi"), assistant(TextPart("Yes.")), tools=(WEATHER,))
    made = writer(options={"safety_mode": "OFF"}).write(wanted)
    assert written_again(wanted, made.settings).data == made.data


def test_text_plans_calls_and_usage_are_read() -> None:
    answered = read(
        START,
        delta("tool-plan-delta", {"tool_plan": "I will "}),
        delta("tool-plan-delta", {"tool_plan": "look."}),
        *call(0, "get_time", '{"city"', ':"Bern"}'),
        *call(1, "get_weather"),
        end(
            "TOOL_CALL",
            billed_units={"input_tokens": 5, "output_tokens": 4},
            tokens={"input_tokens": 900, "output_tokens": 43},
            cached_tokens=704,
        ),
        "[DONE]",
    )
    assert answered.reasoning == "I will look."
    assert [e.metadata for e in answered.events if isinstance(e, ReasoningEnd)] == [
        {"field": "tool_plan"}
    ]
    assert [(one.call_id, one.arguments) for one in answered.calls] == [
        ("get_time_0", '{"city":"Bern"}'),
        ("get_weather_1", "{}"),
    ]
    assert answered.finish is not None
    assert answered.finish.reason == "tool_calls"
    assert answered.finish.usage == Usage(900, 43, cache_read=704)


def test_citations_are_kept_with_the_text() -> None:
    cited = {"start": 0, "end": 2, "text": "Hi", "sources": []}
    answered = read(
        START,
        text("Hi"),
        delta("citation-start", {"citations": cited}, index=0),
        {"type": "content-end", "index": 0},
        end(),
    )
    (closed,) = [one for one in answered.events if isinstance(one, TextEnd)]
    assert closed.metadata == {"citations": [cited]}


def test_thoughts_and_text_are_parts_of_their_own() -> None:
    thought = delta("content-delta", {"content": {"thinking": "Hm."}}, index=0)
    answered = read(START, thought, text("Hi"), end())
    assert (answered.reasoning, answered.text) == ("Hm.", "Hi")


def test_a_call_that_the_model_ran_out_in_is_cut() -> None:
    answered = read(START, *list(call(0, "write", '{"pa'))[:-1], end("MAX_TOKENS"))
    assert [one.cut for one in answered.calls] == [True]
    assert answered.finish is not None
    assert answered.finish.reason == "length"


@pytest.mark.parametrize(
    ("events", "code"),
    [
        ([START, text("Hi")], "stream_broken"),
        ([START, text("Hi"), end("ERROR")], "failed"),
        ([START, text("Hi"), '{"type":'], "invalid_output"),
        ([], "stream_broken"),
    ],
)
def test_an_answer_that_broke_off_is_no_success(events: list[Any], code: str) -> None:
    answered = read(*events)
    assert answered.finish is None
    assert isinstance(answered.error, ProviderError)
    assert answered.error.code == f"provider.{code}"


def test_what_was_told_with_a_failure_is_not_lost() -> None:
    ended = end("ERROR", tokens={"input_tokens": 3, "output_tokens": 1})
    decoder = CohereDecoder("cohere")
    with pytest.raises(ProviderError):
        decoder.feed(SseEvent(json.dumps(ended).encode()))
    assert decoder.usage == Usage(input=3, output=1)


async def test_it_is_asked_where_and_as_the_configuration_says() -> None:
    whole = {
        "id": "r1",
        "message": {"role": "assistant", "content": [{"type": "text", "text": "Hi"}]},
        "finish_reason": "COMPLETE",
        "usage": {"tokens": {"input_tokens": 3, "output_tokens": 1}},
    }
    async with serve(
        Answer(sse(START, text("Hi"), end())),
        Answer(json.dumps(whole).encode(), headers=JSON),
    ) as server:
        environment = {"CO_API_KEY": "key-0123456789", "CO_API_URL": server.url}
        async with opened(plugin, environment=environment) as providers:
            route = providers["cohere"].route("m")
            streamed = await ask(route, request())
            undivided = await ask(route, request())
        assert [one.target for one in server.requests] == ["/v2/chat"] * 2
        shown = server.requests[0].headers["authorization"]
        assert shown == "Bearer key-0123456789"
    assert [type(one) for one in streamed] == [type(one) for one in undivided]


# --- recordings -------------------------------------------------------------------


def recorded() -> Iterator[tuple[str, bytes]]:
    """Yield the streams that are beside this clone."""
    for file in sorted((CORPORA / "openllmetry-cassettes/cohere").glob("*v2*.yaml")):
        told = yaml.load(file.read_bytes(), Loader=yaml.CSafeLoader)
        for at, one in enumerate(told["interactions"]):
            raw = one["response"]["body"]["string"]
            raw = raw.encode() if isinstance(raw, str) else bytes(raw)
            if raw.startswith(b"{"):
                raw = b"data: %b\n\n" % raw
            yield f"{file.stem}#{at}", raw
    for file in sorted((CORPORA / "vercel-ai-fixtures/cohere").glob("*")):
        if file.suffix == ".json":
            whole = json.loads(file.read_bytes())
            yield file.stem, b"data: %b\n\n" % json.dumps(whole).encode()
        else:
            lines = file.read_bytes().splitlines()
            yield file.stem, b"".join(b"data: %b\n\n" % one for one in lines)


RECORDED = dict(recorded())
each = pytest.mark.parametrize("name", RECORDED or ["absent"])


def stream(name: str) -> bytes:
    if name not in RECORDED:
        pytest.skip("the recordings are not beside this clone")
    return RECORDED[name]


def objects(body: bytes) -> list[Any]:
    found = re.findall(rb"^data: (\{.*\})$", body, re.MULTILINE)
    return [json.loads(one) for one in found]


def all_of(value: Any, name: str) -> Iterator[str]:
    """Yield every text that is called so, wherever it is."""
    if isinstance(value, dict):
        for key, one in value.items():
            if key == name and isinstance(one, str):
                yield one
            # A citation repeats what was said.
            elif key != "citations":
                yield from all_of(one, name)
    elif isinstance(value, list):
        for one in value:
            yield from all_of(one, name)


@each
def test_a_recorded_answer_is_read_whole(name: str) -> None:
    body = stream(name)
    answered, told = decode("cohere", body), objects(body)
    assert answered.error is None
    assert answered.finish is not None
    assert answered.text == "".join(all_of(told, "text"))
    assert answered.reasoning == "".join(all_of(told, "tool_plan"))
    names = [one for one in all_of(told, "name") if one]
    assert [one.tool for one in answered.calls] == names
    given = "".join(all_of(told, "arguments"))
    assert "".join(one.arguments for one in answered.calls) == given or "{}"
    last = told[-1].get("delta", told[-1])
    assert answered.finish.usage.input == last["usage"]["tokens"]["input_tokens"]
    assert answered.finish.usage.output == last["usage"]["tokens"]["output_tokens"]
    wanted = {"COMPLETE": "stop", "TOOL_CALL": "tool_calls"}[last["finish_reason"]]
    assert answered.finish.reason == wanted


@each
def test_pieces_of_any_size_change_nothing(name: str) -> None:
    body = stream(name)
    whole = decode("cohere", body)
    for size in (1, 2, 7, 1000):
        assert decode("cohere", body, size).events == whole.events


@each
def test_a_recording_that_is_cut_after_any_event_is_no_success(name: str) -> None:
    body = stream(name)
    for point in [m.end() for m in re.finditer(rb"(?:\r?\n){2,}", body)]:
        cut = decode("cohere", body[:point])
        ended = b"finish_reason" in body[:point]
        assert (cut.finish is not None) == ended
        assert ended or not cut.calls


async def test_it_is_asked_for_the_models_that_chat() -> None:
    listed = [
        {"name": "command-b", "endpoints": ["chat"], "context_length": 128000},
        {"name": "command-a", "endpoints": ["chat"]},
    ]
    body = json.dumps({"models": listed, "next_page_token": ""}).encode()
    async with serve(Answer(body, headers=JSON)) as server:
        table = {"base_url": server.url, "api_key": "a-key-of-cohere"}
        async with opened(plugin, providers={"cohere": table}) as providers:
            served = providers["cohere"].served
            assert served is not None
            found = [(one.name, one.context) for one in await served()]
    assert found == [("cohere/command-a", None), ("cohere/command-b", 128000)]
    [asked] = server.requests
    assert asked.target == "/v1/models?endpoint=chat&page_size=1000"
