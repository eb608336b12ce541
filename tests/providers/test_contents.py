"""Gemini's generateContent: what is sent, and how its streams are read."""

import base64
import json
from typing import Any

import pytest
from attrs import evolve
from dovetail.kernel import (
    Failure,
    FileContent,
    PromptFile,
    ProviderError,
    ReasoningEnd,
    ReasoningPart,
    TextContent,
    TextEnd,
    TextPart,
    ToolCall,
    ToolPart,
    Usage,
)
from dovetail.plugins.providers.contents import GeminiProtocol
from dovetail.plugins.providers.endpoints import Endpoint
from dovetail.plugins.providers.google import plugin
from hypothesis import given, strategies as st
from support.answers import Answered, decode
from support.replay import Answer, serve, sse
from support.requests import WEATHER, ask, assistant, notice, opened, request, user

PNG = base64.b64encode(b"\x89PNG").decode()
SKIP = "skip_thought_signature_validator"


def body(*messages: Any, table: Any = None, **more: Any) -> Any:
    protocol = GeminiProtocol(Endpoint("test", "http://x", **(table or {})), "m")
    return json.loads(protocol.encode(request(*messages, **more)))


def sent(*messages: Any, **more: Any) -> list[Any]:
    return list(body(*messages, **more)["contents"])


def settled(call_id: str, arguments: str = '{"a":1}', **more: Any) -> ToolPart:
    more.setdefault("content", (TextContent("done"),))
    more.setdefault("state", "succeeded")
    return ToolPart(call_id, more.pop("tool", "t"), arguments, **more)


# --- writing ----------------------------------------------------------------------


def test_a_request_has_its_contents_at_the_end() -> None:
    made = body(
        user("Hello"),
        system=("Be kind.", "Be brief."),
        tools=(WEATHER,),
        max_output=99,
        options={"generationConfig": {"temperature": 0}},
    )
    assert list(made) == ["systemInstruction", "tools", "generationConfig", "contents"]
    assert made["generationConfig"] == {"maxOutputTokens": 99, "temperature": 0}
    assert made["systemInstruction"] == {
        "parts": [{"text": "Be kind."}, {"text": "Be brief."}]
    }
    declared = {
        "name": "get_weather",
        "description": WEATHER.description,
        "parametersJsonSchema": WEATHER.schema,
    }
    assert made["tools"] == [{"functionDeclarations": [declared]}]
    assert made["contents"] == [{"parts": [{"text": "Hello"}], "role": "user"}]


def test_a_settled_history_has_the_shape_that_the_live_provider_accepted(
    corpus: Any,
) -> None:
    cases = corpus("provider-recovery-rules").lines("cases.jsonl")
    (case,) = [one for one in cases if one["protocol"] == "gemini"]
    assert case["status"] == 200
    expected = case["messages"]
    for part in expected[2]["parts"]:
        # Any object is a response.
        told = part["functionResponse"]["response"]
        part["functionResponse"]["response"] = {"output": told["content"]}
    weather = settled("c1", '{"city":"Paris"}', tool="lookup_weather")
    time = settled("c2", '{"city":"Paris"}', tool="lookup_time")
    made = sent(
        user(expected[0]["parts"][0]["text"]),
        assistant(
            TextPart("I should use both lookup tools."),
            evolve(weather, content=(TextContent("sunny"),)),
            evolve(time, content=(TextContent("12:00"),)),
            model="other/model",
        ),
        user(expected[3]["parts"][0]["text"], 5),
    )
    assert made == expected


@pytest.mark.law("tools.2")
def test_a_call_without_a_result_is_never_sent() -> None:
    open_call = ToolPart("c1", "t", "{}", state="called")
    with pytest.raises(ProviderError, match="no result"):
        sent(user("go"), assistant(open_call))


@pytest.mark.law("execution.11")
def test_signatures_and_ids_go_back_with_their_parts_to_their_model_only() -> None:
    part = evolve(
        settled("c1"),
        metadata={"attached": {"id": "c1", "thoughtSignature": "s1"}},
    )
    text = TextPart("So.", {"attached": {"thoughtSignature": "s2"}})
    thought = ReasoningPart("Hm.", {"attached": {"thoughtSignature": "s3"}})
    unsigned = ReasoningPart("Well.")
    message = assistant(thought, unsigned, text, part)
    own, results = sent(message)
    assert own["parts"] == [
        {"thoughtSignature": "s3", "text": "Hm.", "thought": True},
        {"thoughtSignature": "s2", "text": "So."},
        {
            "functionCall": {"name": "t", "args": {"a": 1}, "id": "c1"},
            "thoughtSignature": "s1",
        },
    ]
    assert results["parts"][0]["functionResponse"]["id"] == "c1"
    foreign, results = sent(evolve(message, model="test/other"))
    assert foreign["parts"] == [
        {"text": "So."},
        {"functionCall": {"name": "t", "args": {"a": 1}}, "thoughtSignature": SKIP},
    ]
    assert "id" not in results["parts"][0]["functionResponse"]


def test_a_failed_call_says_so_and_images_follow_the_results() -> None:
    failed = settled(
        "c1", state="failed", content=(), failure=Failure("tool.failed", "no file")
    )
    picture = FileContent("image/png", PNG, "p.png")
    shown = settled("c2", content=(TextContent("Here."), picture))
    _, results = sent(assistant(failed, shown))
    assert results == {
        "role": "user",
        "parts": [
            {"functionResponse": {"name": "t", "response": {"error": "no file"}}},
            {"functionResponse": {"name": "t", "response": {"output": "Here."}}},
            {"inlineData": {"mimeType": "image/png", "data": PNG}},
        ],
    }


def test_what_the_user_says_in_a_row_is_one_turn_and_results_are_their_own() -> None:
    picture = PromptFile("p.png", "image/png", PNG)
    made = sent(
        assistant(settled("c1"), seq=0),
        notice("Now.", 1),
        user("Look", 2, files=(picture,)),
    )
    assert [one["role"] for one in made] == ["model", "user", "user"]
    assert [list(one) for one in made[2]["parts"]] == [
        ["text"],
        ["text"],
        ["inlineData"],
    ]


def test_thoughts_that_led_to_nothing_are_left_out() -> None:
    thought = ReasoningPart("Hm.", {"attached": {"thoughtSignature": "s3"}})
    assert sent(user("go"), assistant(thought))[1:] == []


def test_the_last_step_is_asked_for_without_calls() -> None:
    made = body(tools=(WEATHER,), tool_choice="none")
    assert made["toolConfig"] == {"functionCallingConfig": {"mode": "NONE"}}


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-x", "/v1beta/models/gemini-x:streamGenerateContent"),
        ("tunedModels/mine", "/v1beta/tunedModels/mine:streamGenerateContent"),
        ("odd name?", "/v1beta/models/odd%20name%3F:streamGenerateContent"),
    ],
)
async def test_a_route_asks_for_a_stream_of_its_model(model: str, path: str) -> None:
    said = {"candidates": [{"content": {"parts": [{"text": "Hi"}]}}]}
    stop = {"candidates": [{"finishReason": "STOP"}]}
    async with serve(Answer(sse(said, stop))) as server:
        environment = {
            "GOOGLE_GEMINI_BASE_URL": f"{server.url}/v1beta",
            "GEMINI_API_KEY": "key-123",
        }
        async with opened(plugin, environment=environment) as providers:
            events = await ask(providers["google"].route(model), request())
    assert Answered(events).text == "Hi"
    (asked,) = server.requests
    assert asked.target == f"{path}?alt=sse"
    assert asked.headers["x-goog-api-key"] == "key-123"


texts = st.text(max_size=20)
tool_parts = st.builds(
    lambda name, text, out: settled(name, text, content=(TextContent(out),)),
    st.text(min_size=1, max_size=12),
    st.one_of(texts, st.just('{"a": "é"}')),
    texts,
)
any_message = st.one_of(
    texts.map(lambda one: user(one if one.strip() else "x")),
    texts.map(notice),
    st.lists(st.one_of(texts.map(TextPart), tool_parts), max_size=3).map(
        lambda parts: assistant(*parts)
    ),
)


@pytest.mark.law("context.1")
@given(st.lists(any_message, min_size=1, max_size=6), st.lists(any_message, max_size=4))
def test_the_bytes_of_a_request_begin_the_next_one(
    first: list[Any], more: list[Any]
) -> None:
    numbered = [
        evolve(one, id=f"msg_{at}", seq=at) for at, one in enumerate([*first, *more])
    ]
    route = GeminiProtocol(Endpoint("test", "http://x"), "m")
    early = request(*numbered[: len(first)], system=("S",), tools=(WEATHER,))
    before = route.encode(early)
    after = route.encode(request(*numbered, system=("S",), tools=(WEATHER,)))
    # What the user says next may join what was said last.
    assert before.endswith(b"]}")
    assert after.startswith(
        before.removesuffix(b"]}").removesuffix(b'],"role":"user"}')
    )
    waiting = 0
    for one in json.loads(after)["contents"]:
        assert one["parts"]
        answers = sum("functionResponse" in part for part in one["parts"])
        assert answers == waiting
        waiting = sum("functionCall" in part for part in one["parts"])
    assert not waiting


# --- reading ----------------------------------------------------------------------


def chunk(*parts: Any, **more: Any) -> dict[str, Any]:
    candidate = {"content": {"parts": list(parts), "role": "model"}, **more}
    return {"responseId": "r1", "candidates": [candidate]}


def words(text: str, **more: Any) -> dict[str, Any]:
    return {"text": text, **more}


def calls(name: str = "t", **more: Any) -> dict[str, Any]:
    return {"functionCall": {"name": name, **more}}


STOP = chunk(finishReason="STOP")


def read(*chunks: Any) -> Answered:
    return decode("gemini", sse(*chunks))


def test_parallel_calls_without_ids_are_told_apart() -> None:
    got = read(chunk(calls(args={"a": 1}), calls(args={"a": 1})), STOP)
    first, second = got.calls
    assert first.call_id != second.call_id
    assert (first.arguments, second.arguments) == ('{"a":1}', '{"a":1}')
    assert "id" not in first.metadata.get("attached", {})
    assert got.finish is not None
    assert got.finish.reason == "tool_calls"


def test_a_signature_stays_with_the_part_that_it_came_with() -> None:
    got = read(
        chunk(words("Hm", thought=True)),
        chunk(words(".", thought=True, thoughtSignature="s1")),
        chunk(words("So")),
        chunk(words("."), words("", thoughtSignature="s2")),
        chunk({**calls(id="c1"), "thoughtSignature": "s3"}),
        STOP,
    )
    assert (got.reasoning, got.text) == ("Hm.", "So.")
    ends = [one for one in got.events if isinstance(one, ReasoningEnd | TextEnd)]
    assert [one.metadata for one in ends] == [
        {"attached": {"thoughtSignature": "s1"}},
        {"attached": {"thoughtSignature": "s2"}},
    ]
    assert got.calls == [
        ToolCall("c1", "t", "{}", {"attached": {"id": "c1", "thoughtSignature": "s3"}})
    ]


def test_arguments_that_come_in_pieces_are_put_together() -> None:
    def piece(path: str, **value: Any) -> Any:
        return {"jsonPath": path, **value}

    got = read(
        chunk(calls(willContinue=True)),
        chunk(
            {
                "functionCall": {
                    "partialArgs": [
                        piece("$.name", stringValue="a", willContinue=True),
                    ],
                    "willContinue": True,
                }
            }
        ),
        chunk(
            {
                "functionCall": {
                    "partialArgs": [
                        piece("$.name", stringValue="b"),
                        piece("$.list[0].on", boolValue=True),
                        piece("$.list[1]['no']", nullValue=None),
                        piece("$.n", numberValue=2),
                    ],
                    "willContinue": True,
                }
            }
        ),
        chunk({"functionCall": {}}),
        STOP,
    )
    (call,) = got.calls
    assert json.loads(call.arguments) == {
        "name": "ab",
        "list": [{"on": True}, {"no": None}],
        "n": 2,
    }


@pytest.mark.parametrize("path", ["name", "$", "$.a[5]", "$.a.b", "$..", "$[0]"])
def test_a_piece_with_a_place_that_cannot_be_breaks_the_answer(path: str) -> None:
    first = {"jsonPath": "$.a", "stringValue": "x"}
    other = {"jsonPath": path, "stringValue": "y"}
    got = read(chunk(calls(partialArgs=[first, other])), STOP)
    assert got.error is not None
    assert got.error.code == "provider.invalid_output"


def test_a_call_that_gemini_could_not_read_is_for_the_model_to_mend() -> None:
    told = "Malformed function call: print(default_api.write(path='x"
    got = read(chunk(finishReason="MALFORMED_FUNCTION_CALL", finishMessage=told))
    (call,) = got.calls
    assert call.refused == told
    assert got.finish is not None
    assert got.finish.reason == "tool_calls"


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        (chunk(finishReason="MAX_TOKENS"), "length"),
        (chunk(finishReason="SAFETY"), "content_filter"),
        (chunk(finishReason="SOMETHING_NEW"), "unknown"),
        ({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}, "content_filter"),
        ({"promptFeedback": {"blockReason": "OTHER"}}, "content_filter"),
    ],
)
def test_why_it_ended_is_told(last: Any, reason: str) -> None:
    got = read(last)
    assert got.finish is not None
    assert got.finish.reason == reason


def test_what_gemini_ran_itself_is_kept_as_it_came() -> None:
    ran = {"executableCode": {"code": "print(1)", "language": "PYTHON"}}
    got = read(chunk(ran, words("1")), STOP)
    assert got.reasons == [{"part": ran}]
    assert got.text == "1"
    kept = ReasoningPart("", got.reasons[0])
    assert sent(assistant(kept, TextPart("1")))[0]["parts"] == [ran, {"text": "1"}]


def test_where_words_are_from_is_kept_with_them() -> None:
    note = {"groundingChunks": [{"web": {"uri": "https://example.invalid/"}}]}
    got = read(chunk(words("So."), groundingMetadata=note, finishReason="STOP"))
    (end,) = [one for one in got.events if isinstance(one, TextEnd)]
    assert end.metadata == {"notes": {"groundingMetadata": note}}


def test_usage_counts_thoughts_as_output_and_its_tools_as_input() -> None:
    usage = {
        "promptTokenCount": 10,
        "cachedContentTokenCount": 4,
        "candidatesTokenCount": 6,
        "thoughtsTokenCount": 5,
        "toolUsePromptTokenCount": 7,
        "totalTokenCount": 28,
    }
    got = read(chunk(words("x")), STOP, {"usageMetadata": usage})
    assert got.finish is not None
    assert got.finish.usage == Usage(input=17, output=11, reasoning=5, cache_read=4)


def test_an_end_without_a_reason_is_no_end() -> None:
    got = read(chunk(words("x")))
    assert got.error is not None
    assert got.error.code == "provider.stream_broken"
    assert got.text == "x"


def test_an_error_in_a_stream_is_that_error() -> None:
    told = {"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}}
    got = read(chunk(words("x")), told)
    assert got.error is not None
    assert got.error.code == "provider.unavailable"


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [
                    "content",
                    "parts",
                    "text",
                    "thought",
                    "thoughtSignature",
                    "functionCall",
                    "partialArgs",
                    "jsonPath",
                    "stringValue",
                    "name",
                    "args",
                    "finishReason",
                    "index",
                ]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=10,
)


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "candidates": st.lists(json_values, max_size=2) | json_values,
                "usageMetadata": json_values,
                "promptFeedback": json_values,
                "error": json_values,
                "responseId": json_values,
            },
        ),
        max_size=6,
    )
)
def test_odd_chunks_never_crash_the_decoder(chunks: list[Any]) -> None:
    read(*chunks)
