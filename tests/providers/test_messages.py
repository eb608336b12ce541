"""Anthropic's Messages: what is sent, and how its streams are read."""

import base64
import json
import re
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
)
from dovetail.plugins.providers.anthropic import MessagesProtocol
from dovetail.plugins.providers.endpoints import Endpoint
from hypothesis import given, strategies as st
from support.answers import Answered, decode
from support.recordings import recordings
from support.replay import sse
from support.requests import WEATHER, assistant, notice, request, user

PNG = base64.b64encode(b"\x89PNG").decode()


def protocol(model: str = "m", **more: Any) -> MessagesProtocol:
    return MessagesProtocol(Endpoint("test", "http://x", **more), model)


def sent(*messages: Any, **more: Any) -> list[Any]:
    body = json.loads(protocol(**more).encode(request(*messages)))
    return list(body["messages"])


def settled(call_id: str, arguments: str = '{"a":1}', **more: Any) -> ToolPart:
    more.setdefault("content", (TextContent("done"),))
    more.setdefault("state", "succeeded")
    return ToolPart(call_id, more.pop("tool", "t"), arguments, **more)


START = {"type": "message_start", "message": {"id": "m1", "usage": {"input_tokens": 2}}}
STOP = {"type": "message_stop"}


def begin(index: int, kind: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "content_block_start",
        "index": index,
        "content_block": {"type": kind, **more},
    }


def delta(index: int, kind: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "content_block_delta",
        "index": index,
        "delta": {"type": kind, **more},
    }


def end(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def text(index: int, said: str) -> list[dict[str, Any]]:
    return [begin(index, "text"), delta(index, "text_delta", text=said), end(index)]


def tool(index: int, call_id: str, *parts: str, stop: bool = True) -> list[Any]:
    made = [begin(index, "tool_use", id=call_id, name="t", input={})]
    made += [delta(index, "input_json_delta", partial_json=one) for one in parts]
    return [*made, end(index)] if stop else made


def reason(why: str | None, **usage: int) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": why}, "usage": usage}


def read(*events: Any) -> Answered:
    return decode("anthropic", sse(*events))


# --- writing ----------------------------------------------------------------------


def test_results_of_all_calls_are_one_user_message_in_call_order() -> None:
    failed = settled(
        "c1", state="failed", content=(), failure=Failure("tool.failed", "no file")
    )
    parts = (TextPart("Let me see."), settled("c2"), failed)
    assert sent(user("go"), assistant(*parts), user("on", 5)) == [
        {"role": "user", "content": [{"type": "text", "text": "go"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Let me see."},
                {"type": "tool_use", "id": "c2", "name": "t", "input": {"a": 1}},
                {"type": "tool_use", "id": "c1", "name": "t", "input": {"a": 1}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c2", "content": "done"},
                {
                    "type": "tool_result",
                    "tool_use_id": "c1",
                    "content": "no file",
                    "is_error": True,
                },
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "text",
                    "text": "on",
                    "cache_control": {"type": "ephemeral"},
                }
            ],
        },
    ]


def test_a_settled_history_has_the_shape_that_the_live_provider_accepted(
    corpus: Any,
) -> None:
    cases = corpus("provider-recovery-rules").lines("cases.jsonl")
    (case,) = [one for one in cases if one["protocol"] == "anthropic-messages"]
    assert case["status"] == 200
    weather = settled("call_weather", '{"city":"Paris"}', tool="lookup_weather")
    time = settled("call_time", '{"city":"Paris"}', tool="lookup_time")
    made = sent(
        user("Look up the weather and local time in Paris."),
        assistant(
            TextPart("I should use both lookup tools."),
            evolve(weather, content=(TextContent("sunny"),)),
            evolve(time, content=(TextContent("12:00"),)),
        ),
        user(
            "The previous response was interrupted. Continue from where you left off "
            "without repeating completed content.",
            5,
        ),
    )
    assert made == case["messages"]


@pytest.mark.law("tools.2")
def test_a_call_without_a_result_is_never_sent() -> None:
    for state in ("called", "started"):
        with pytest.raises(ProviderError, match="'c9'") as caught:
            sent(assistant(settled("c1"), ToolPart("c9", "t", "{}", state=state)))
        assert caught.value.code == "provider.invalid_request"


def test_empty_text_is_never_sent() -> None:
    empty = (TextPart(""), TextPart(" \n"))
    messages = (user("a"), assistant(*empty), assistant(*empty, settled("c"), seq=3))
    first, call, result = sent(*messages)
    assert first["content"][0]["text"] == "a"
    assert [one["type"] for one in call["content"]] == ["tool_use"]
    assert [one["type"] for one in result["content"]] == ["tool_result"]
    (_, result) = sent(assistant(settled("c", content=(TextContent(""),))))
    (only,) = result["content"]
    assert only.keys() == {"type", "tool_use_id", "cache_control"}
    (one,) = sent(user("", files=(PromptFile("a.png", "image/png", PNG),)))
    assert [block["type"] for block in one["content"]] == ["image"]


def test_signed_thinking_goes_back_as_it_came_to_the_model_that_signed_it() -> None:
    parts = (
        ReasoningPart("hm", {"signature": "sig"}),
        ReasoningPart("", {"redacted": "xyz"}),
        ReasoningPart("cut off"),
        settled("c"),
    )
    own = assistant(*parts)
    (said, _) = sent(own)
    assert said["content"][:-1] == [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "xyz"},
    ]
    for message in (evolve(own, model="test/other"), evolve(own, model="other/m")):
        (said, _) = sent(message)
        assert [one["type"] for one in said["content"]] == ["tool_use"]
    (said, _) = sent(own, send_reasoning=False)
    assert [one["type"] for one in said["content"]] == ["tool_use"]
    # Thinking that led to nothing would be refused.
    assert sent(user("a"), assistant(parts[0])) == sent(user("a"))


def test_arguments_that_are_no_object_are_sent_as_an_empty_one() -> None:
    for arguments in ("", "{", "[1]", '"text"', "null", '{"a":NaN}', "[" * 100_000):
        (said, _) = sent(assistant(settled("c", arguments)))
        assert said["content"][0]["input"] == {}


def test_good_arguments_are_sent_back_exactly() -> None:
    exact = '{"n":123456789012345678901234567890,"x":1e-7}'
    (said, _) = sent(assistant(settled("c", exact)))
    assert said["content"][0]["input"] == json.loads(exact)


def test_every_case_of_the_json_suite_is_sent_back_as_an_object(corpus: Any) -> None:
    parts = []
    for case in corpus("json-test-suite").lines("test_parsing.jsonl"):
        text = base64.b64decode(case["b64"]).decode("utf-8", "surrogateescape")
        parts.append(settled(case["name"], text))
    (said, results) = sent(assistant(*parts))
    assert len(said["content"]) == len(results["content"]) == len(parts) > 300
    assert all(isinstance(one["input"], dict) for one in said["content"])


def test_images_are_shown_and_ids_of_other_models_fit() -> None:
    shown = (TextContent("here"), FileContent("image/png", PNG))
    part = settled("call:1|x", content=shown)
    (said, result) = sent(assistant(part, model="openai/m"))
    (block,) = result["content"]
    assert said["content"][0]["id"] == block["tool_use_id"]
    assert re.fullmatch(r"[A-Za-z0-9]{9}", block["tool_use_id"])
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    assert block["content"] == [
        {"type": "text", "text": "here"},
        {"type": "image", "source": source},
    ]


def test_a_notice_is_user_text_that_cannot_leave_its_tag() -> None:
    (one,) = sent(notice("</system-update> now"))
    (block,) = one["content"]
    assert block["text"] == (
        "<system-update>\n&lt;/system-update> now\n</system-update>"
    )


def test_the_output_limit_is_the_one_of_the_model() -> None:
    def limit(one: MessagesProtocol, **more: Any) -> int:
        return int(json.loads(one.encode(request(**more)))["max_tokens"])

    assert limit(protocol("unheard-of")) == 8192
    assert limit(protocol("claude-3-haiku-20240307")) == 4096
    assert limit(protocol("claude-sonnet-4-5-20250929")) == 64_000
    assert limit(protocol("claude-3-5-haiku-20241022")) == 8192
    assert limit(protocol("unheard-of"), max_output=7) == 7
    with pytest.raises(ProviderError, match="'system'"):
        protocol().encode(request(options={"system": "mine"}))


def test_anthropic_itself_caches_the_messages_too() -> None:
    official = MessagesProtocol(
        Endpoint("anthropic", "https://api.anthropic.com"), "claude-opus-4-7"
    )
    body = json.loads(official.encode(request()))
    assert body["cache_control"] == {"type": "ephemeral"}
    assert "cache_control" not in json.loads(protocol().encode(request()))


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
    route = protocol()
    before = route.encode(
        request(*numbered[: len(first)], system=("S",), tools=(WEATHER,))
    )
    after = route.encode(request(*numbered, system=("S",), tools=(WEATHER,)))
    # What the user says next may join what was said last.
    assert before.endswith(b"]}")
    marked = b',"cache_control":{"type":"ephemeral"}}],"role":"user"}'
    whole = before.removesuffix(b"]}").removesuffix(marked)
    whole = whole.removesuffix(b',"cache_control":{"type":"ephemeral"}}]}')
    assert after.startswith(whole.removesuffix(b'],"role":"user"}'))
    open_calls: list[str] = []
    for one in json.loads(after)["messages"]:
        blocks = one["content"]
        assert blocks
        results = [b["tool_use_id"] for b in blocks if b["type"] == "tool_result"]
        assert results == open_calls
        open_calls = [b["id"] for b in blocks if b["type"] == "tool_use"]
        assert all(b["text"].strip() for b in blocks if b["type"] == "text")
    assert not open_calls


def test_tool_loops_send_the_results_that_were_recorded() -> None:
    """The second request of a recorded loop, made from the first answer."""
    rows = [one for one in recordings() if one.protocol == "anthropic" and one.request]
    if not rows:
        pytest.skip("the recordings are not beside this checkout")
    compared = 0
    for row in rows:
        wanted = row.request["messages"]
        results = {
            block["tool_use_id"]: block["content"]
            for one in wanted
            for block in one["content"]
            if isinstance(block, dict) and block["type"] == "tool_result"
        }
        if not results or not all(isinstance(one, str) for one in results.values()):
            continue
        compared += 1
        made = [
            assistant(
                *(
                    settled(
                        block["id"],
                        json.dumps(block["input"]),
                        tool=block["name"],
                        content=(TextContent(results[block["id"]]),),
                    )
                    for block in one["content"]
                    if block["type"] == "tool_use"
                ),
                seq=seq,
            )
            for seq, one in enumerate(wanted)
            if one["role"] == "assistant"
        ]
        ours = sent(*made)
        # It is asked to keep the conversation up to here; theirs says so elsewhere.
        del ours[-1]["content"][-1]["cache_control"]
        assert tail(ours) == tail(wanted), row.name
    assert compared >= 2


def tail(messages: list[Any]) -> list[Any]:
    """Return calls and results in order."""
    return [
        block
        for one in messages
        for block in one["content"]
        if block["type"] in ("tool_use", "tool_result")
    ]


# --- reading ----------------------------------------------------------------------


def test_a_call_waits_for_what_comes_after_it() -> None:
    got = read(START, *tool(0, "a", '{"p"', ":1}"), *text(1, "x"), reason("tool_use"))
    kinds = [type(one).__name__ for one in got.events]
    assert kinds == [
        "ToolInputDelta",
        "ToolInputDelta",
        "ToolCall",
        "TextDelta",
        "TextEnd",
        "Finish",
    ]
    assert got.calls == [ToolCall("a", "t", '{"p":1}')]


@pytest.mark.parametrize("stop", [True, False], ids=["stopped", "open"])
@pytest.mark.parametrize("why", ["max_tokens", "model_context_window_exceeded"])
def test_a_call_that_the_output_limit_cut_is_marked(why: str, stop: bool) -> None:
    got = read(
        START, *tool(0, "a", "{}"), *tool(1, "b", '{"q":', stop=stop), reason(why), STOP
    )
    whole, cut = ToolCall("a", "t", "{}"), ToolCall("b", "t", '{"q":', cut=True)
    assert got.calls == [whole, cut]
    assert got.finish is not None
    assert got.finish.reason == "length"
    got = read(START, *tool(0, "a", stop=stop), reason(why), STOP)
    assert got.calls == [ToolCall("a", "t", "", cut=True)]


def test_a_call_whose_block_never_stopped_is_whole_only_with_whole_arguments() -> None:
    got = read(START, *tool(0, "a", "{}", stop=False), reason("tool_use"), STOP)
    assert got.calls == [ToolCall("a", "t", "{}")]
    for pieces in (["{"], [], ["{", '"a"']):
        got = read(START, *tool(0, "a", *pieces, stop=False), reason("tool_use"), STOP)
        assert [one.cut for one in got.calls] == [True]
    got = read(START, *tool(0, "a", "{}", stop=False), reason("max_tokens"), STOP)
    assert [one.cut for one in got.calls] == [True]


def test_no_input_is_an_empty_object_and_input_may_come_at_once() -> None:
    given = begin(1, "tool_use", id="b", name="t", input={"q": 2})
    got = read(START, *tool(0, "a"), given, end(1), reason("tool_use"), STOP)
    assert [one.arguments for one in got.calls] == ["{}", '{"q":2}']


def test_arguments_are_passed_on_as_they_were_written(corpus: Any) -> None:
    for case in corpus("json-test-suite").lines("test_parsing.jsonl"):
        written = base64.b64decode(case["b64"]).decode("utf-8", "replace")
        parts = (written[:3], written[3:])
        got = read(START, *tool(0, "a", *parts), reason("tool_use"), STOP)
        (made,) = got.calls
        assert made.arguments == (written if written.strip() else "{}"), case["name"]


def test_thinking_keeps_its_signature() -> None:
    got = read(
        START,
        begin(0, "thinking", thinking="", signature=""),
        delta(0, "thinking_delta", thinking="hm"),
        delta(0, "signature_delta", signature="si"),
        delta(0, "signature_delta", signature="g"),
        end(0),
        begin(1, "redacted_thinking", data="xyz"),
        end(1),
        *text(2, "so"),
        reason("end_turn"),
        STOP,
    )
    assert (got.reasoning, got.text) == ("hm", "so")
    assert got.reasons == [{"signature": "sig"}, {"redacted": "xyz"}]


def test_usage_is_merged_and_input_counts_what_the_cache_gave() -> None:
    start = {
        "type": "message_start",
        "message": {
            "id": "m1",
            "usage": {
                "input_tokens": 1,
                "cache_read_input_tokens": 10,
                "cache_creation_input_tokens": 100,
                "output_tokens": 1,
            },
        },
    }
    got = read(start, *text(0, "a"), reason("end_turn", output_tokens=7), STOP)
    assert got.finish is not None
    told = got.finish.usage
    assert (told.input, told.output) == (111, 7)
    assert (told.cache_read, told.cache_write, told.reasoning) == (10, 100, None)


def test_a_later_delta_without_a_reason_keeps_the_one_before() -> None:
    got = read(
        START, *text(0, "a"), reason("refusal"), reason(None, output_tokens=9), STOP
    )
    assert got.finish is not None
    assert (got.finish.reason, got.finish.usage.output) == ("content_filter", 9)


def test_a_repeated_start_changes_nothing() -> None:
    got = read(START, START, *text(0, "a"), START, reason("end_turn"), STOP)
    assert got.text == "a"
    assert got.error is None


def test_another_start_before_any_content_begins_anew() -> None:
    other = {"type": "message_start", "message": {"id": "m2", "usage": {}}}
    got = read(START, other, *text(0, "a"), reason("end_turn"), STOP)
    assert got.text == "a"
    assert got.error is None


def test_another_answer_spliced_in_fails_and_completes_no_call() -> None:
    other = {"type": "message_start", "message": {"id": "m2", "usage": {}}}
    got = read(
        START,
        *tool(0, "a", '{"p":', stop=False),
        other,
        *tool(0, "b", "{}"),
        reason("tool_use"),
        STOP,
    )
    assert got.calls == []
    assert got.error is not None
    assert (got.error.code, got.error.retryable) == ("provider.stream_broken", True)


def test_blocks_and_events_of_other_kinds_are_passed_over() -> None:
    got = read(
        START,
        {"type": "ping"},
        {"type": "unheard_of", "index": 0},
        begin(0, "server_tool_use", id="s", name="web_search", input={}),
        delta(0, "input_json_delta", partial_json="{"),
        end(0),
        begin(1, "web_search_tool_result", content=[]),
        end(1),
        *text(2, "a"),
        {"type": "ping"},
        reason("end_turn"),
        STOP,
    )
    assert (got.text, got.calls) == ("a", [])


def test_a_stop_reason_is_enough_and_nothing_else_is() -> None:
    assert read(START, *text(0, "a"), reason("end_turn")).error is None
    broken = read(START, *text(0, "a"))
    assert broken.error is not None
    assert broken.error.code == "provider.stream_broken"
    assert read(START, *text(0, "a"), STOP).error is None
    for events in ((), (STOP,)):
        empty = read(*events)
        assert empty.error is not None
        assert "empty" in empty.error.problem


@pytest.mark.parametrize(
    ("kind", "code", "status", "retryable"),
    [
        ("overloaded_error", "provider.unavailable", 529, True),
        ("api_error", "provider.unavailable", 500, True),
        ("rate_limit_error", "provider.rate_limited", 429, True),
        ("invalid_request_error", "provider.invalid_request", 400, False),
        ("authentication_error", "provider.authentication", 401, False),
        ("unheard_of", "provider.failed", None, False),
    ],
)
def test_an_error_event_is_an_error(
    kind: str, code: str, status: int | None, retryable: bool
) -> None:
    error = {"type": "error", "error": {"type": kind, "message": "Oh no"}}
    got = read(START, begin(0, "text"), delta(0, "text_delta", text="Ha"), error)
    assert got.text == "Ha"
    assert got.error is not None
    assert (got.error.code, got.error.status) == (code, status)
    assert got.error.retryable is retryable
    assert got.error.problem == "Oh no"


@pytest.mark.parametrize(
    "event", ["{", json.dumps(delta(5, "input_json_delta", partial_json="x"))]
)
def test_what_is_no_event_of_the_protocol_breaks_the_stream(event: str) -> None:
    got = read(START, *text(0, "a"), event, reason("end_turn"), STOP)
    assert got.text == "a"
    assert got.error is not None
    assert got.error.code == "provider.invalid_output"


json_values: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 2) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["type", "id", "name", "input", "text", "usage", "stop_reason", "index"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "type": st.sampled_from(
                    [
                        "message_start",
                        "content_block_start",
                        "content_block_delta",
                        "content_block_stop",
                        "message_delta",
                        "error",
                    ]
                )
            },
            optional={
                "index": json_values,
                "message": json_values,
                "content_block": json_values,
                "delta": json_values,
                "usage": json_values,
                "error": json_values,
            },
        ),
        max_size=6,
    )
)
def test_odd_events_never_crash_the_decoder(events: list[Any]) -> None:
    read(*events)


# --- habits -----------------------------------------------------------------------


def test_a_character_cut_over_two_deltas_is_one() -> None:
    body = sse(START, begin(0, "text")) + b"".join(
        b'data: {"type":"content_block_delta","index":0,"delta":'
        b'{"type":"text_delta","text":"%b"}}\n\n' % piece
        for piece in (b"hi \\ud83d", b"\\ude00\xf0\x9f", b"\x98\x80\t!")
    )
    got = decode("anthropic", body + sse(end(0), reason("end_turn"), STOP))
    assert got.text == "hi \U0001f600\U0001f600\t!"


def test_the_end_may_lack_its_empty_line_or_all_of_them() -> None:
    body = sse(START, *text(0, "ab"), reason("end_turn"), STOP)
    for odd in (body[:-1], body[:-2], body.replace(b"\n\n", b"\n")):
        got = decode("anthropic", odd)
        assert got.text == "ab"
        assert got.finish is not None


def test_starts_and_stops_that_were_not_sent_are_understood() -> None:
    got = read(
        START,
        delta(0, "thinking_delta", thinking="hm"),
        delta(1, "text_delta", text="a"),
        begin(2, "tool_use", id="c", name="t", input={}),
        delta(2, "input_json_delta", partial_json='{"p":1}'),
        begin(3, "tool_use", id="d", name="t", input={}),
        delta(3, "input_json_delta", partial_json="{}"),
        reason("tool_use"),
        STOP,
    )
    assert (got.reasoning, got.text) == ("hm", "a")
    assert [(one.call_id, one.arguments, one.cut) for one in got.calls] == [
        ("c", '{"p":1}', False),
        ("d", "{}", False),
    ]


def test_what_is_sent_twice_changes_nothing() -> None:
    start = begin(0, "tool_use", id="a", name="t", input={})
    arguments = delta(0, "input_json_delta", partial_json='{"p":1}')
    got = read(
        START, start, start, arguments, arguments, end(0), end(0), reason("tool_use")
    )
    assert got.calls == [ToolCall("a", "t", '{"p":1}')]


def test_more_of_a_call_after_its_end_is_added_until_it_was_handed_out() -> None:
    late = delta(0, "input_json_delta", partial_json=":1}")
    got = read(START, *tool(0, "a", '{"p"'), late, reason("tool_use"), STOP)
    assert got.calls == [ToolCall("a", "t", '{"p":1}')]
    got = read(
        START, *tool(0, "a", "{}"), *text(1, "x"), late, reason("tool_use"), STOP
    )
    assert got.calls == [ToolCall("a", "t", "{}")]
    assert got.error is None


def test_calls_under_one_index_or_id_are_two() -> None:
    got = read(START, *tool(0, "a", "{}"), *tool(0, "a", '{"p":1}'), reason("tool_use"))
    assert [one.arguments for one in got.calls] == ["{}", '{"p":1}']
    assert len({one.call_id for one in got.calls}) == 2


def test_what_is_attached_to_a_block_goes_back_with_it_to_its_model_only() -> None:
    citation = {"type": "char_location", "cited_text": "x"}
    search = {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{}]}
    got = read(
        START,
        begin(0, "server_tool_use", id="s", name="web_search", input={}),
        delta(0, "input_json_delta", partial_json='{"q":1}'),
        end(0),
        {"type": "content_block_start", "index": 1, "content_block": search},
        end(1),
        begin(2, "text", text="", citations=[]),
        delta(2, "citations_delta", citation=citation),
        delta(2, "text_delta", text="so"),
        end(2),
        begin(3, "tool_use", id="c", name="t", input={}, caller={"type": "direct"}),
        end(3),
        begin(4, "compaction", content=None),
        delta(4, "compaction_delta", content="ab"),
        delta(4, "compaction_delta", content="cd"),
        end(4),
        reason("tool_use"),
        STOP,
    )
    parts: list[Any] = []
    for event in got.events:
        if isinstance(event, ReasoningEnd):
            parts.append(ReasoningPart("", event.metadata))
        elif isinstance(event, TextEnd):
            parts.append(TextPart("so", event.metadata))
        elif isinstance(event, ToolCall):
            parts.append(settled("c", "{}", metadata=event.metadata))
    message = assistant(*parts)
    (said, _) = sent(message)
    made = {one["type"]: one for one in said["content"]}
    assert made["server_tool_use"]["input"] == {"q": 1}
    assert made["web_search_tool_result"] == search
    assert made["text"]["citations"] == [citation]
    assert made["tool_use"]["caller"] == {"type": "direct"}
    assert made["compaction"]["content"] == "abcd"
    (said, _) = sent(evolve(message, model="other/m"))
    assert [set(one) for one in said["content"]] == [
        {"type", "text"},
        {"type", "id", "name", "input"},
    ]


def test_thoughts_of_a_server_that_never_signs_go_back_to_it() -> None:
    got = read(
        START,
        begin(0, "thinking", thinking=""),
        delta(0, "thinking_delta", thinking="hm"),
        end(0),
        *text(1, "a"),
        reason("end_turn"),
        STOP,
    )
    assert got.reasons == [{"signature": ""}]
    message = assistant(ReasoningPart("hm", {"signature": ""}), TextPart("a"))
    assert sent(message)[0]["content"][0]["signature"] == ""
    official = MessagesProtocol(Endpoint("test", "https://api.anthropic.com"), "m")
    (said,) = json.loads(official.encode(request(message)))["messages"]
    assert [one["type"] for one in said["content"]] == ["text"]
    cut = read(START, begin(0, "thinking", thinking="hm"), reason("max_tokens"), STOP)
    assert cut.reasons == [{}]


def test_what_the_user_says_in_a_row_is_said_in_one_turn() -> None:
    (said,) = sent(user("a", 1), notice("n", 2), user("b", 3))
    assert [one["text"] for one in said["content"]] == [
        "a",
        "<system-update>\nn\n</system-update>",
        "b",
    ]


def test_a_server_that_knows_no_cache_is_asked_without_one() -> None:
    route = protocol()
    problem = "system.0.cache_control: Extra inputs are not permitted"
    refused = ProviderError("provider.invalid_request", "test", problem, status=400)
    assert route.learned_from(refused)
    body = route.encode(request(system=("S",), tools=(WEATHER,)))
    assert b"cache_control" not in body
    assert not route.learned_from(refused)


def test_the_last_step_is_asked_for_without_calls() -> None:
    route = protocol(options={"tool_choice": {"type": "any"}})
    last = request(tools=(WEATHER,), tool_choice="none")
    assert json.loads(route.encode(last))["tool_choice"] == {"type": "none"}
    assert b"tool_choice" not in protocol().encode(request(tool_choice="none"))
    plain = protocol()
    problem = "tool_choice: Input tag 'none' does not match any of the expected tags"
    refused = ProviderError("provider.invalid_request", "test", problem, status=400)
    assert plain.learned_from(refused)
    assert b"tool_choice" not in plain.encode(last)
    assert not plain.learned_from(refused)


def test_thinking_is_not_asked_for_where_it_would_be_refused() -> None:
    """The last calls are another model's: they do not begin with signed thoughts."""
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 2000}}
    official = MessagesProtocol(
        Endpoint("test", "https://api.anthropic.com", options=thinking), "m"
    )
    signed = ReasoningPart("hm", {"signature": "s"})
    foreign = assistant(settled("a"), model="other/m")
    own = assistant(signed, settled("b"), seq=2)
    said = assistant(TextPart("so"), seq=3, model="other/m")
    for messages, asked in (
        ((user("go"),), True),
        ((user("go"), foreign), False),
        ((user("go"), foreign, user("on", 5)), False),
        ((user("go"), foreign, own), True),
        ((user("go"), foreign, said), True),
    ):
        body = json.loads(official.encode(request(*messages)))
        assert ("thinking" in body) is asked


def test_a_server_that_misses_thoughts_gets_them_with_every_message_of_calls() -> None:
    route = protocol()
    problem = "thinking is enabled but reasoning_content is missing at index 1"
    refused = ProviderError("provider.part_refused", "test", problem, status=400)
    foreign = assistant(settled("a"), model="other/m")
    assert b"thinking" not in route.encode(request(foreign))
    assert route.learned_from(refused)
    said, _ = json.loads(route.encode(request(foreign)))["messages"]
    assert said["content"][0] == {"type": "thinking", "thinking": "", "signature": ""}
    assert not route.learned_from(refused)


@pytest.mark.parametrize("odd", [{}, {"type": None}, {"type": ["text"]}, {"type": 1}])
def test_a_block_that_does_not_say_what_it_is_ends_no_session(odd: Any) -> None:
    block = {"type": "content_block_start", "index": 0}
    block["content_block"] = {"id": "b", "note": "kept", **odd}
    stop = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
    body = sse(START, block, end(0), *text(1, "Hi"), stop, STOP)
    answered = decode("anthropic", body)
    assert (answered.text, answered.error) == ("Hi", None)
    [kept] = answered.reasons
    assert isinstance(kept, dict)
    said = assistant(ReasoningPart("", kept), TextPart("Hi"), settled("c"))
    [answer, _] = sent(said)
    assert [one["type"] for one in answer["content"]] == ["text", "tool_use"]
