"""OpenAI's Responses: what is sent, and how its streams are read."""

import base64
import json
from itertools import pairwise
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
from dovetail.plugins.providers.endpoints import Endpoint
from dovetail.plugins.providers.responses import ResponsesProtocol
from hypothesis import given, strategies as st
from support.answers import Answered, decode
from support.replay import sse
from support.requests import WEATHER, assistant, notice, request, user

PNG = base64.b64encode(b"\x89PNG").decode()
OPENAI = "https://api.openai.com/v1"


def protocol(url: str = "http://x", **more: Any) -> ResponsesProtocol:
    return ResponsesProtocol(Endpoint("test", url, **more), "m")


def body(*messages: Any, url: str = "http://x", **more: Any) -> Any:
    return json.loads(protocol(url).encode(request(*messages, **more)))


def sent(*messages: Any, **more: Any) -> list[Any]:
    return list(body(*messages, **more)["input"])


def settled(call_id: str, arguments: str = '{"a":1}', **more: Any) -> ToolPart:
    more.setdefault("content", (TextContent("done"),))
    more.setdefault("state", "succeeded")
    return ToolPart(call_id, more.pop("tool", "t"), arguments, **more)


def thought(**item: Any) -> ReasoningPart:
    return ReasoningPart("why", {"item": {"type": "reasoning", **item}})


def said(text: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text}]
    return {"type": "message", "role": "assistant", "content": content}


# --- writing ----------------------------------------------------------------------


def test_nothing_is_left_with_the_server_and_reasoning_is_asked_for_encrypted() -> None:
    made = body(user("Hello"), system=("Be kind.", "Be brief."), max_output=99)
    assert made == {
        "model": "m",
        "stream": True,
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "max_output_tokens": 99,
        "instructions": "Be kind.\n\nBe brief.",
        "input": [
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "Hello"}],
            }
        ],
    }


def test_calls_come_before_all_results_in_call_order() -> None:
    failed = settled(
        "c1", state="failed", content=(), failure=Failure("tool.failed", "no file")
    )
    parts = (TextPart("Let me see."), settled("c2"), failed)
    assert sent(user("go"), assistant(*parts), user("on", 5))[1:-1] == [
        said("Let me see."),
        {"type": "function_call", "call_id": "c2", "name": "t", "arguments": '{"a":1}'},
        {"type": "function_call", "call_id": "c1", "name": "t", "arguments": '{"a":1}'},
        {"type": "function_call_output", "call_id": "c2", "output": "done"},
        {"type": "function_call_output", "call_id": "c1", "output": "no file"},
    ]


def test_a_settled_history_has_the_shape_that_the_live_provider_accepted(
    corpus: Any,
) -> None:
    cases = corpus("provider-recovery-rules").lines("cases.jsonl")
    accepted = [one for one in cases if one["status"] == 200]
    (case,) = [one for one in accepted if one["protocol"] == "openai-responses"]
    first, last = (case["messages"][at]["content"][0]["text"] for at in (0, -1))
    weather = settled("call_weather", '{"city":"Paris"}', tool="lookup_weather")
    time = settled("call_time", '{"city":"Paris"}', tool="lookup_time")
    made = sent(
        user(first),
        assistant(
            TextPart("I should use both lookup tools."),
            evolve(weather, content=(TextContent("sunny"),)),
            evolve(time, content=(TextContent("12:00"),)),
        ),
        user(last, 5),
    )
    # A message may say that it is one.
    assert made == [{"type": "message", **one} for one in case["messages"]]


@pytest.mark.law("tools.2")
def test_a_call_without_a_result_is_never_sent() -> None:
    open_call = ToolPart("c1", "t", "{}", state="called")
    with pytest.raises(ProviderError, match="no result"):
        sent(user("go"), assistant(open_call))


def test_images_are_shown_in_prompts_and_in_results() -> None:
    picture = PromptFile("p.png", "image/png", PNG)
    shown = settled(
        "c1", content=(TextContent("Here."), FileContent("image/png", PNG, "p.png"))
    )
    asked, *_, result = sent(user("Look", files=(picture,)), assistant(shown))
    url = f"data:image/png;base64,{PNG}"
    image = {"type": "input_image", "detail": "auto", "image_url": url}
    assert asked["content"][1] == image
    assert result["output"] == [{"type": "input_text", "text": "Here."}, image]


def test_a_notice_is_user_text() -> None:
    (one,) = sent(notice("Now."))
    assert one["role"] == "user"
    assert "<system-update>" in one["content"][0]["text"]


@pytest.mark.law("execution.11")
def test_reasoning_goes_back_encrypted_and_without_the_ids_of_a_server() -> None:
    kept = thought(id="rs_1", status="completed", encrypted_content="xyz", summary=[])
    message = assistant(kept, settled("c1"))
    first, *_ = sent(message, url=OPENAI)
    assert first == {"type": "reasoning", "encrypted_content": "xyz", "summary": []}
    other = evolve(message, model="test/other")
    assert [one["type"] for one in sent(other, url=OPENAI)] == [
        "function_call",
        "function_call_output",
    ]


def test_reasoning_that_openai_would_not_find_again_is_left_out_there_only() -> None:
    plain = thought(id="rs_1", content=[{"type": "reasoning_text", "text": "why"}])
    message = assistant(plain, TextPart("So."))
    assert sent(message, url=OPENAI) == [said("So.")]
    first, _ = sent(message)
    assert first["content"] == [{"type": "reasoning_text", "text": "why"}]
    assert first["summary"] == []


def test_reasoning_that_led_to_nothing_is_left_out() -> None:
    kept = thought(encrypted_content="xyz", summary=[])
    assert sent(user("go"), assistant(kept))[1:] == []


def test_a_message_keeps_the_phase_that_the_model_said_it_in() -> None:
    part = TextPart("Soon.", {"attached": {"phase": "commentary"}})
    (own,) = sent(assistant(part))
    assert own["phase"] == "commentary"
    (foreign,) = sent(assistant(part, model="test/other"))
    assert "phase" not in foreign


def test_what_the_provider_ran_goes_back_and_what_nobody_answered_does_not() -> None:
    searched = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    asked = {"type": "local_shell_call", "id": "ls_1", "call_id": "l1"}
    ran = {"type": "shell_call", "id": "sh_1", "call_id": "s1"}
    came = {"type": "shell_call_output", "id": "so_1", "call_id": "s1", "output": []}
    kept = [ReasoningPart("", {"item": one}) for one in (searched, asked, ran, came)]
    made = sent(assistant(*kept, TextPart("Found.")))
    assert made == [searched, ran, came, said("Found.")]


def test_the_last_step_is_asked_for_without_calls() -> None:
    made = body(tools=(WEATHER,), tool_choice="none")
    assert made["tool_choice"] == "none"
    assert made["tools"] == [
        {
            "type": "function",
            "name": "get_weather",
            "description": WEATHER.description,
            "parameters": WEATHER.schema,
            "strict": False,
        }
    ]


@pytest.mark.parametrize(
    ("told", "field"),
    [
        ("Encrypted content is not supported with this model.", "include"),
        ("Unsupported parameter: 'store'", "store"),
        ("unknown field: tool_choice", "tool_choice"),
    ],
)
def test_what_a_refusal_teaches_is_left_out_from_then_on(told: str, field: str) -> None:
    route = protocol()
    wanted = request(tools=(WEATHER,), tool_choice="none")
    assert field in json.loads(route.encode(wanted))
    error = ProviderError("provider.invalid_request", "test", told, status=400)
    assert route.learned_from(error)
    assert field not in json.loads(route.encode(wanted))
    assert not route.learned_from(error)


def test_options_may_not_say_what_the_runtime_decides() -> None:
    with pytest.raises(ProviderError, match="previous_response_id"):
        body(options={"previous_response_id": "resp_1"})


texts = st.text(max_size=20)
tool_parts = st.builds(
    lambda name, text, out: settled(name, text, content=(TextContent(out),)),
    st.text(min_size=1, max_size=12),
    st.one_of(texts, st.just('{"a": "é"}')),
    texts,
)
reasoning = st.sampled_from([thought(encrypted_content="x"), thought(id="rs_1")])
any_message = st.one_of(
    texts.map(lambda one: user(one if one.strip() else "x")),
    texts.map(notice),
    st.lists(st.one_of(texts.map(TextPart), tool_parts, reasoning), max_size=4).map(
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
    route = protocol()
    early = request(*numbered[: len(first)], system=("S",), tools=(WEATHER,))
    before = route.encode(early)
    after = route.encode(request(*numbered, system=("S",), tools=(WEATHER,)))
    assert before.endswith(b"]}")
    assert after.startswith(before.removesuffix(b"]}"))
    items = json.loads(after)["input"]
    calls = [one["call_id"] for one in items if one["type"] == "function_call"]
    results = [one["call_id"] for one in items if one["type"] == "function_call_output"]
    assert results == calls
    for one, then in pairwise([*items, {"role": "user"}]):
        assert one.get("type") != "reasoning" or then.get("role") != "user"


# --- reading ----------------------------------------------------------------------


def event(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", **more}


CREATED = event("created", response={"id": "r1", "status": "in_progress"})


def added(index: int, kind: str, **more: Any) -> dict[str, Any]:
    item = {"type": kind, "id": f"i{index}", **more}
    return event("output_item.added", output_index=index, item=item)


def done(index: int, kind: str, **more: Any) -> dict[str, Any]:
    item = {"type": kind, "id": f"i{index}", "status": "completed", **more}
    return event("output_item.done", output_index=index, item=item)


def delta(index: int, kind: str, text: str, at: int = 0) -> dict[str, Any]:
    return event(
        f"{kind}.delta",
        output_index=index,
        item_id=f"i{index}",
        content_index=at,
        delta=text,
    )


def ended(status: str = "completed", **more: Any) -> dict[str, Any]:
    kind = status if status in ("completed", "incomplete", "failed") else "completed"
    return event(kind, response={"id": "r1", "status": status, **more})


def call(index: int, call_id: str, *parts: str, stop: bool = True) -> list[Any]:
    named = {"call_id": call_id, "name": "t"}
    made = [added(index, "function_call", arguments="", **named)]
    made += [delta(index, "function_call_arguments", one) for one in parts]
    whole = done(index, "function_call", arguments="".join(parts), **named)
    return [*made, whole] if stop else made


def read(*events: Any) -> Answered:
    return decode("responses", sse(*events))


def test_a_call_is_handed_out_before_the_answer_ends() -> None:
    got = decode("responses", sse(CREATED, *call(0, "c1", '{"a"', ":1}")))
    assert got.calls == [ToolCall("c1", "t", '{"a":1}')]
    assert got.error is not None
    assert got.error.code == "provider.stream_broken"


def test_the_output_limit_cuts_only_the_call_that_was_being_written() -> None:
    limit = {"incomplete_details": {"reason": "max_output_tokens"}}
    got = read(
        CREATED,
        *call(0, "c1", "{}"),
        *call(1, "c2", '{"a"', stop=False),
        done(1, "function_call", status="incomplete", call_id="c2", name="t"),
        ended("incomplete", **limit),
    )
    assert [(one.call_id, one.cut) for one in got.calls] == [
        ("c1", False),
        ("c2", True),
    ]
    assert got.finish is not None
    assert got.finish.reason == "length"


def test_no_arguments_are_an_empty_object() -> None:
    got = read(CREATED, *call(0, "c1"), ended())
    assert got.calls == [ToolCall("c1", "t", "{}")]


def test_an_answer_that_only_its_end_tells_is_whole() -> None:
    output = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {
            "type": "message",
            "content": [{"type": "output_text", "text": "Hi"}],
        },
        {"type": "function_call", "call_id": "c1", "name": "t", "arguments": "{}"},
    ]
    for got in (
        read(CREATED, ended(output=output)),
        read({"object": "response", "status": "completed", "output": output}),
    ):
        assert (got.text, got.reasoning) == ("Hi", "Hm.")
        assert got.calls == [ToolCall("c1", "t", "{}")]
        assert got.finish is not None
        assert got.finish.reason == "tool_calls"


@pytest.mark.parametrize("named", ["i0", "another", None])
def test_nothing_is_handed_out_twice_whatever_the_ids_at_the_end(
    named: str | None,
) -> None:
    output = [
        {"type": "message", "content": [{"type": "output_text", "text": "Hi"}]},
        {"type": "function_call", "call_id": "c1", "name": "t", "arguments": "{}"},
    ]
    if named:
        output = [{**one, "id": named} for one in output]
    got = read(
        CREATED,
        added(0, "message"),
        delta(0, "output_text", "Hi"),
        done(0, "message", content=output[0]["content"]),
        *call(1, "c1", "{}"),
        done(1, "function_call", call_id="c1", name="t", arguments="{}"),
        ended(output=output),
    )
    assert got.text == "Hi"
    assert len(got.calls) == 1


def test_another_id_in_the_middle_of_an_item_is_no_other_item() -> None:
    end = done(0, "function_call", call_id="c1", name="t", arguments='{"a":1}')
    end["item"]["id"] = "changed"
    got = read(CREATED, *call(0, "c1", '{"a":1}', stop=False), end, ended())
    assert got.calls == [ToolCall("c1", "t", '{"a":1}')]


def test_items_under_one_place_are_told_apart() -> None:
    second = call(0, "c2", "{}")
    for one in second:
        if "item" in one:
            one["item"]["id"] = "other"
    got = read(CREATED, *call(0, "c1", "{}"), *second, ended())
    assert [one.call_id for one in got.calls] == ["c1", "c2"]


def test_an_id_that_comes_twice_is_made_two() -> None:
    got = read(CREATED, *call(0, "c1", "{}"), *call(1, "c1", "{}"), ended())
    first, second = got.calls
    assert first.call_id == "c1"
    assert second.call_id != "c1"


def test_summaries_are_one_thought_and_go_back_as_their_item() -> None:
    item = {"summary": [{"text": "One."}, {"text": "Two."}], "encrypted_content": "x"}
    got = read(
        CREATED,
        added(0, "reasoning"),
        event(
            "reasoning_summary_text.delta", output_index=0, summary_index=0, delta="O"
        ),
        event(
            "reasoning_summary_text.delta", output_index=0, summary_index=0, delta="ne."
        ),
        event(
            "reasoning_summary_text.delta",
            output_index=0,
            summary_index=1,
            delta="Two.",
        ),
        done(0, "reasoning", **item),
        added(1, "message"),
        delta(1, "output_text", "So."),
        done(1, "message"),
        ended(),
    )
    assert got.reasoning == "One.\n\nTwo."
    (end,) = [one for one in got.events if isinstance(one, ReasoningEnd)]
    assert end.metadata["item"]["encrypted_content"] == "x"


def test_a_text_keeps_its_phase_and_its_citations() -> None:
    note = {"type": "url_citation", "url": "https://example.invalid/"}
    content = [{"type": "output_text", "text": "So.", "annotations": [note]}]
    got = read(
        CREATED,
        added(0, "message"),
        delta(0, "output_text", "So."),
        done(0, "message", content=content, phase="final_answer"),
        ended(),
    )
    (end,) = [one for one in got.events if isinstance(one, TextEnd)]
    assert end.metadata == {
        "attached": {"phase": "final_answer"},
        "annotations": [note],
    }


def test_a_refusal_in_words_is_text() -> None:
    got = read(CREATED, added(0, "message"), delta(0, "refusal", "No."), ended())
    assert got.text == "No."


def test_usage_is_what_the_provider_counted() -> None:
    usage = {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4},
        "output_tokens": 6,
        "output_tokens_details": {"reasoning_tokens": 5},
    }
    got = read(
        CREATED, added(0, "message"), delta(0, "output_text", "x"), ended(usage=usage)
    )
    assert got.finish is not None
    assert got.finish.usage == Usage(input=10, output=6, reasoning=5, cache_read=4)


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        ({"code": "server_error", "message": "broke"}, "provider.unavailable"),
        ({"code": "rate_limit_exceeded", "message": "slow"}, "provider.rate_limited"),
        ({"code": "insufficient_quota", "message": "paid?"}, "provider.quota"),
    ],
)
def test_a_failure_is_an_error_wherever_it_is_told(failure: Any, code: str) -> None:
    started = (CREATED, added(0, "message"), delta(0, "output_text", "Hi"))
    for told in (
        ended("failed", error=failure),
        {"type": "error", **failure},
        {"type": "error", "error": failure},
    ):
        got = read(*started, told)
        assert got.text == "Hi"
        assert got.error is not None
        assert got.error.code == code


def test_an_answer_that_was_filtered_says_so() -> None:
    got = read(
        CREATED, ended("incomplete", incomplete_details={"reason": "content_filter"})
    )
    assert got.finish is not None
    assert got.finish.reason == "content_filter"


def test_another_answer_spliced_in_fails() -> None:
    other = event("created", response={"id": "r2"})
    got = read(CREATED, added(0, "message"), delta(0, "output_text", "x"), other)
    assert got.error is not None
    assert got.error.code == "provider.stream_broken"


def test_deltas_without_the_start_of_their_item_are_understood() -> None:
    got = read(
        CREATED,
        delta(0, "output_text", "Hi"),
        delta(1, "function_call_arguments", "{}"),
        done(1, "function_call", call_id="c1", name="t", arguments="{}"),
        ended(),
    )
    assert got.text == "Hi"
    assert got.calls == [ToolCall("c1", "t", "{}")]


def test_a_character_cut_over_two_deltas_is_one() -> None:
    pieces = [
        f'{{"type":"response.output_text.delta","output_index":0,"delta":"{one}"}}'
        for one in ("\\ud83c", "\\udf0d")
    ]
    stream = sse(CREATED, added(0, "message"))
    stream += b"".join(b"data: " + one.encode() + b"\n\n" for one in pieces)
    assert decode("responses", stream + sse(ended())).text == "🌍"


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [
                    "id",
                    "type",
                    "content",
                    "text",
                    "summary",
                    "output",
                    "status",
                    "arguments",
                    "call_id",
                    "name",
                    "error",
                    "usage",
                    "delta",
                ]
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
            {
                "type": st.sampled_from(
                    [
                        "response.created",
                        "response.output_item.added",
                        "response.output_item.done",
                        "response.output_text.delta",
                        "response.output_text.done",
                        "response.reasoning_summary_text.delta",
                        "response.function_call_arguments.delta",
                        "response.function_call_arguments.done",
                        "response.completed",
                        "response.failed",
                        "error",
                    ]
                )
            },
            optional={
                "output_index": json_values,
                "content_index": json_values,
                "item_id": json_values,
                "item": json_values,
                "delta": json_values,
                "response": json_values,
                "error": json_values,
            },
        ),
        max_size=8,
    )
)
def test_odd_events_never_crash_the_decoder(events: list[Any]) -> None:
    read(*events)


@pytest.mark.parametrize("odd", [["c"], {"id": "c"}, None, 5])
def test_a_call_of_the_provider_with_an_odd_id_ends_no_session(odd: Any) -> None:
    ran = thought(type="local_shell_call", call_id=odd)
    gave = thought(type="local_shell_call_output", call_id=odd)
    items = sent(user("go"), assistant(ran, gave, TextPart("Done.")))
    assert items[-1]["content"][0]["text"] == "Done."
    assert not [one for one in items if one.get("type") == "local_shell_call"]
