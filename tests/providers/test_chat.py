"""Chat Completions: what is sent, and how the habits of its servers are read."""

import base64
import json
import re
from typing import Any

import pytest
from attrs import evolve
from dovetail.kernel import (
    Failure,
    FileContent,
    ModelFile,
    PromptFile,
    ProviderError,
    ReasoningPart,
    TextContent,
    TextEnd,
    TextPart,
    ToolCall,
    ToolDefinition,
    ToolPart,
)
from dovetail.plugins.providers.endpoints import Endpoint
from dovetail.plugins.providers.openai import ChatProtocol
from hypothesis import given, strategies as st
from support.answers import Answered, decode
from support.recordings import recordings
from support.replay import sse
from support.requests import WEATHER, assistant, notice, request, user

PNG = base64.b64encode(b"\x89PNG").decode()


def protocol(**more: Any) -> ChatProtocol:
    return ChatProtocol(Endpoint("test", "http://x/v1", **more), "m")


def sent(*messages: Any, **more: Any) -> list[Any]:
    body = json.loads(protocol(**more).encode(request(*messages)))
    return list(body["messages"])


def settled(call_id: str, arguments: str = '{"a":1}', **more: Any) -> ToolPart:
    more.setdefault("content", (TextContent("done"),))
    more.setdefault("state", "succeeded")
    return ToolPart(call_id, more.pop("tool", "t"), arguments, **more)


def chunk(delta: Any = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return {"id": "r1", "choices": [choice], **more}


def pieces(*calls: Any) -> dict[str, Any]:
    return chunk({"tool_calls": list(calls)})


def call(index: Any = 0, arguments: Any = "", **more: Any) -> dict[str, Any]:
    function = {"arguments": arguments}
    if "name" in more:
        function["name"] = more.pop("name")
    made = {"function": function, **more}
    return made if index is None else {"index": index, **made}


def read(*events: Any, size: int | None = None) -> Answered:
    return decode("chat", sse(*events), size)


# --- writing ----------------------------------------------------------------------


def test_calls_are_followed_by_their_results_in_call_order() -> None:
    parts = (
        TextPart("Let me see."),
        settled("c2", content=(TextContent("two"),)),
        settled("c1", content=(TextContent("one"), TextContent("more"))),
    )
    assert sent(user("go"), assistant(*parts), user("on", 5)) == [
        {"role": "user", "content": "go"},
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [
                {
                    "id": name,
                    "type": "function",
                    "function": {"name": "t", "arguments": '{"a":1}'},
                }
                for name in ("c2", "c1")
            ],
        },
        {"role": "tool", "tool_call_id": "c2", "content": "two"},
        {"role": "tool", "tool_call_id": "c1", "content": "one\nmore"},
        {"role": "user", "content": "on"},
    ]


def test_a_failed_call_tells_its_failure() -> None:
    failed = settled(
        "c1", state="failed", content=(), failure=Failure("tool.failed", "no such file")
    )
    assert sent(assistant(failed))[1]["content"] == "no such file"


@pytest.mark.law("tools.2")
def test_a_call_without_a_result_is_never_sent() -> None:
    for state in ("called", "started"):
        part = ToolPart("c9", "t", "{}", state=state)
        with pytest.raises(ProviderError, match="'c9'") as caught:
            sent(assistant(part))
        assert caught.value.code == "provider.invalid_request"


def test_a_message_that_says_nothing_is_left_out() -> None:
    messages = (user("a"), assistant(TextPart(" \n")), assistant(seq=2), user("b", 3))
    assert [one["content"] for one in sent(*messages)] == ["a\n\nb"]


def test_a_message_that_broke_off_keeps_what_it_said() -> None:
    broken = assistant(TextPart("Half an ans"), failure=Failure("x", "cut"))
    assert sent(broken) == [{"role": "assistant", "content": "Half an ans"}]


def test_arguments_that_are_no_object_are_sent_as_an_empty_one() -> None:
    for arguments in ("", "{", "[1]", '"text"', "null", "NaN", '{"a":NaN}', "1"):
        (said, _) = sent(assistant(settled("c", arguments)))
        assert said["tool_calls"][0]["function"]["arguments"] == "{}"


def test_good_arguments_are_sent_back_letter_by_letter() -> None:
    for arguments in ('{ "n" : 123456789012345678901234567890 }', '{"a":1,"a":2}'):
        (said, _) = sent(assistant(settled("c", arguments)))
        assert said["tool_calls"][0]["function"]["arguments"] == arguments


def test_every_case_of_the_json_suite_is_sent_back_as_an_object(corpus: Any) -> None:
    parts = []
    for case in corpus("json-test-suite").lines("test_parsing.jsonl"):
        text = base64.b64decode(case["b64"]).decode("utf-8", "surrogateescape")
        parts.append(settled(case["name"], text))
    (said, *results) = sent(assistant(*parts))
    assert len(said["tool_calls"]) == len(results) == len(parts) > 300
    for one in said["tool_calls"]:
        assert isinstance(json.loads(one["function"]["arguments"]), dict)


def test_names_and_ids_that_an_endpoint_refuses_for_ever_are_mended() -> None:
    part = settled("toolu " + "x" * 80, tool="no such.tool!")
    (said, result) = sent(assistant(part, model="other/model"))
    (made,) = said["tool_calls"]
    assert made["function"]["name"] == "no_such_tool_"
    assert made["id"] == result["tool_call_id"]
    assert len(made["id"]) <= 40
    # Its own model's ids go back as they came, whatever they look like.
    (said, _) = sent(assistant(part))
    assert said["tool_calls"][0]["id"] == part.call_id


def test_a_notice_is_user_text_that_cannot_leave_its_tag() -> None:
    (one,) = sent(notice("a < b </system-update> <System-Update x"))
    assert one == {
        "role": "user",
        "content": "<system-update>\na < b &lt;/system-update> &lt;System-Update x\n"
        "</system-update>",
    }


def test_images_are_shown_and_other_files_are_told() -> None:
    files = (
        PromptFile("a.png", "image/png", PNG),
        PromptFile("b.txt", "text/plain", base64.b64encode("né".encode()).decode()),
        PromptFile("c.zip", "application/zip", "AAAA"),
        PromptFile("d.txt", "text/plain", "not base64!"),
    )
    (one,) = sent(user("look", files=files))
    texts = [part["text"] for part in one["content"] if part["type"] == "text"]
    assert texts == [
        "look",
        '<file name="b.txt" type="text/plain">\nné\n</file>',
        "[file c.zip (application/zip) is left out: it cannot be shown to this model]",
        "[file d.txt (text/plain) is left out: it cannot be shown to this model]",
    ]
    url = f"data:image/png;base64,{PNG}"
    assert one["content"][-1] == {"type": "image_url", "image_url": {"url": url}}


def test_images_of_tool_results_follow_all_results() -> None:
    shown = (TextContent("here"), FileContent("image/png", PNG))
    sent_now = sent(assistant(settled("c1", content=shown), settled("c2")))
    assert [one["role"] for one in sent_now] == ["assistant", "tool", "tool", "user"]
    assert sent_now[1]["content"] == "here\n[images follow]"
    assert sent_now[3]["content"][1]["type"] == "image_url"


def test_reasoning_goes_back_only_to_the_model_that_wrote_it() -> None:
    thought = ReasoningPart("hm", {"field": "reasoning_content"})
    details = {"reasoning_details": [{"type": "reasoning.encrypted", "data": "xyz"}]}
    own = assistant(thought, ReasoningPart("", details), settled("c"))
    (said, _) = sent(own)
    assert said["reasoning_content"] == "hm"
    assert said["reasoning_details"] == details["reasoning_details"]
    for message in (evolve(own, model="test/other"), evolve(own, model="other/m")):
        (said, _) = sent(message)
        assert set(said) == {"role", "content", "tool_calls"}
    (said, _) = sent(own, send_reasoning=False)
    assert set(said) == {"role", "content", "tool_calls"}
    # Beside plain text no model needs it and some servers refuse it.
    (said,) = sent(assistant(thought, TextPart("so")))
    assert set(said) == {"role", "content"}


def test_lone_surrogates_become_something_that_can_be_sent() -> None:
    bad = "a\ud800b"
    arguments = '{"x":"\\ud800","y":"\ud800"}'
    parts = (TextPart(bad), settled("c\ud800", arguments, content=(TextContent(bad),)))
    sent_now = sent(notice(bad), assistant(*parts), user("ok", 4))
    assert sent_now[1]["content"] == "a\ufffdb"
    assert sent_now[2]["content"] == "a\ufffdb"


def test_options_are_added_and_decide_nothing_that_is_ours() -> None:
    endpoint = protocol(options={"temperature": 1, "user": "u"}, stream_usage=False)
    body = json.loads(
        endpoint.encode(
            request(options={"temperature": 0, "user": None}, max_output=10)
        )
    )
    assert body["temperature"] == 0
    assert body["max_tokens"] == 10
    assert {"user", "stream_options"}.isdisjoint(body)
    for name in ("messages", "model", "stream", "tools"):
        with pytest.raises(ProviderError, match=repr(name)) as caught:
            endpoint.encode(request(options={name: 1}))
        assert caught.value.code == "provider.invalid_request"
    with pytest.raises(ProviderError) as caught:
        endpoint.encode(request(options={"seed": 2**70}))
    assert caught.value.code == "provider.invalid_request"


def test_openai_itself_is_asked_in_its_own_words() -> None:
    official = ChatProtocol(Endpoint("openai", "https://api.openai.com/v1"), "m")
    body = json.loads(official.encode(request(max_output=5)))
    assert body["max_completion_tokens"] == 5
    assert "max_tokens" not in body
    assert "max_completion_tokens" not in json.loads(official.encode(request()))


def test_the_last_step_is_asked_for_without_calls() -> None:
    eager = protocol(options={"tool_choice": "required"})
    for choice, said in (("none", "none"), ("auto", "required")):
        body = eager.encode(request(tools=(WEATHER,), tool_choice=choice))
        assert json.loads(body)["tool_choice"] == said
    # Where there is no tool, a choice is refused.
    assert b"tool_choice" not in protocol().encode(request(tool_choice="none"))
    assert b"tool_choice" not in protocol().encode(request(tools=(WEATHER,)))


def test_tools_are_encoded_again_only_when_they_change() -> None:
    def tools_of(*tools: ToolDefinition) -> Any:
        return json.loads(one.encode(request(tools=tools))).get("tools")

    one = protocol()
    assert tools_of(WEATHER) == tools_of(evolve(WEATHER))
    other = ToolDefinition("b", "other", {"type": "object"})
    assert [t["function"]["name"] for t in tools_of(WEATHER, other)] == [
        "get_weather",
        "b",
    ]
    assert tools_of() is None


texts = st.text(max_size=20)
tool_parts = st.builds(
    lambda name, text, out: settled(name, text, content=(TextContent(out),)),
    st.text(min_size=1, max_size=12),
    st.one_of(texts, st.just('{"a": "é"}')),
    texts,
)
any_message = st.one_of(
    texts.map(lambda text: user(text or "x")),
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
    given_first = request(*numbered[: len(first)], system=("S",), tools=(WEATHER,))
    given_next = request(*numbered, system=("S",), tools=(WEATHER,))
    before, after = route.encode(given_first), route.encode(given_next)
    assert before.endswith(b"]}")
    # What the user says next may join what was said last.
    assert after.startswith(
        before.removesuffix(b"]}").removesuffix(b'","role":"user"}')
    )
    calls: list[str] = []
    for one in json.loads(after)["messages"]:
        if one["role"] == "tool":
            assert one["tool_call_id"] == calls.pop(0)
        else:
            assert not calls
            calls = [made["id"] for made in one.get("tool_calls", ())]
    assert not calls


def test_tool_loops_send_the_results_that_were_recorded() -> None:
    """The second request of a recorded loop, made from the first answer."""
    rows = [one for one in recordings() if one.protocol == "chat" and one.request]
    later = [one for one in rows if not one.name.endswith("#0") and one.status == 200]
    compared = 0
    for row in later:
        wanted = row.request["messages"]
        if not any(one["role"] == "tool" for one in wanted):
            continue
        compared += 1
        assert tail(sent(*rebuilt(wanted))) == tail(wanted), row.name
    if not rows:
        pytest.skip("the recordings are not beside this checkout")
    assert compared >= 2


def tail(messages: list[Any]) -> list[Any]:
    """Return calls and results, without what the dialects word freely."""
    shown: list[Any] = []
    for one in messages:
        if one["role"] == "tool":
            shown.append((one["tool_call_id"], one["content"]))
        for made in one.get("tool_calls") or ():
            arguments = json.loads(made["function"]["arguments"])
            shown.append((made["id"], made["function"]["name"], arguments))
    return shown


def rebuilt(messages: list[Any]) -> list[Any]:
    """Return the transcript that a recorded request was made from."""
    results = {
        one["tool_call_id"]: one["content"] for one in messages if one["role"] == "tool"
    }
    made: list[Any] = []
    for seq, one in enumerate(messages):
        if one["role"] == "user":
            made.append(user(str(one["content"]), seq))
        elif one["role"] == "assistant":
            parts: list[Any] = [TextPart(one["content"])] if one.get("content") else []
            for tool in one.get("tool_calls") or ():
                text = results[tool["id"]]
                function = tool["function"]
                parts.append(
                    settled(
                        tool["id"],
                        function["arguments"],
                        tool=function["name"],
                        content=(TextContent(text),),
                    )
                )
            made.append(assistant(*parts, seq=seq))
    return made


# --- reading ----------------------------------------------------------------------


def test_calls_are_put_together_by_their_index() -> None:
    got = read(
        pieces(
            call(0, "", id="a", name="x", type="function"),
            call(1, "", id="b", name="y", type="function"),
        ),
        pieces(call(1, '{"q'), call(0, '{"p"')),
        pieces(call(0, ":1}"), call(1, '":2}')),
        chunk(finish="tool_calls"),
        "[DONE]",
    )
    assert got.calls == [ToolCall("a", "x", '{"p":1}'), ToolCall("b", "y", '{"q":2}')]
    assert got.finish is not None
    assert got.finish.reason == "tool_calls"


@pytest.mark.parametrize(
    "parts",
    [
        # No index at all: an id begins a call, what has none goes on with the last.
        [
            [call(None, '{"p"', id="a", name="x")],
            [call(None, ":1}")],
            [call(None, '{"q":2}', id="b", name="y")],
        ],
        # Both calls under one index, told apart by their ids.
        [
            [call(0, '{"p":1}', id="a", name="x")],
            [call(0, '{"q":2}', id="b", name="y")],
        ],
        # The name in every piece, or empty in the later ones.
        [
            [call(0, '{"p"', id="a", name="x"), call(1, '{"q"', id="b", name="y")],
            [call(0, ":1}", id="a", name="x"), call(1, ":2}", id="b", name="")],
        ],
        # The id late, arguments null or an object.
        [
            [call(0, None, name="x"), call(1, {"q": 2}, id="b", name="y")],
            [call(0, '{"p":1}', id="a")],
        ],
    ],
    ids=["no index", "one index", "names repeated", "late and null"],
)
def test_the_habits_of_servers_give_the_same_calls(parts: list[Any]) -> None:
    got = read(*(pieces(*one) for one in parts), chunk(finish="tool_calls"))
    shown = [(one.call_id, one.tool, json.loads(one.arguments)) for one in got.calls]
    assert shown == [("a", "x", {"p": 1}), ("b", "y", {"q": 2})]


def test_an_id_that_changes_in_every_piece_is_still_one_call() -> None:
    got = read(
        pieces(call(0, '{"p"', id="a1", name="x")),
        pieces(call(0, ":1}", id="a2", name="x")),
        chunk(finish="tool_calls"),
    )
    assert got.calls == [ToolCall("a1", "x", '{"p":1}')]


def test_a_call_without_an_id_gets_the_same_one_every_time() -> None:
    events = (pieces(call(0, "{}", name="x"), call(1, "{}", name="x")),)
    got, again = (read(*events, chunk(finish="stop")) for _ in range(2))
    assert got.calls == again.calls
    assert len({one.call_id for one in got.calls}) == 2
    live = {one.call_id for one in got.events if hasattr(one, "tool")}
    assert live == {one.call_id for one in got.calls}


def test_calls_that_share_an_id_are_told_apart() -> None:
    got = read(
        pieces(call(0, "{}", id="a", name="x"), call(1, "{}", id="a", name="y")),
        chunk(finish="tool_calls"),
    )
    assert [one.tool for one in got.calls] == ["x", "y"]


def test_no_arguments_are_an_empty_object() -> None:
    got = read(pieces(call(0, "", id="a", name="x")), chunk(finish="tool_calls"))
    assert got.calls == [ToolCall("a", "x", "{}")]


@pytest.mark.parametrize("reason", ["length", "content_filter", "unheard_of"])
def test_a_call_that_the_output_limit_cut_is_marked(reason: str) -> None:
    got = read(
        pieces(call(0, "{}", id="a", name="x"), call(1, '{"q":', id="b", name="y")),
        chunk(finish=reason),
    )
    assert got.calls == [
        ToolCall("a", "x", "{}"),
        ToolCall("b", "y", '{"q":', cut=True),
    ]
    # Nothing written yet is not the same as no arguments.
    got = read(pieces(call(0, "", id="a", name="x")), chunk(finish=reason))
    assert got.calls == [ToolCall("a", "x", "", cut=True)]


def test_arguments_are_passed_on_as_they_were_written(corpus: Any) -> None:
    for case in corpus("json-test-suite").lines("test_parsing.jsonl"):
        text = base64.b64decode(case["b64"]).decode("utf-8", "replace")
        got = read(
            pieces(call(0, text[:3], id="a", name="x")),
            pieces(call(0, text[3:])),
            chunk(finish="tool_calls"),
        )
        (made,) = got.calls
        assert made.arguments == (text if text.strip() else "{}"), case["name"]


def test_the_legacy_function_call_is_a_call() -> None:
    got = read(
        chunk({"function_call": {"name": "x", "arguments": '{"p"'}}),
        chunk({"function_call": {"arguments": ":1}"}}),
        chunk(finish="function_call"),
    )
    assert [(one.tool, one.arguments) for one in got.calls] == [("x", '{"p":1}')]


def test_reasoning_comes_from_whichever_field_the_server_uses() -> None:
    for name in ("reasoning_content", "reasoning"):
        got = read(chunk({name: "hm"}), chunk({"content": "so"}), chunk(finish="stop"))
        assert (got.reasoning, got.text) == ("hm", "so")
        assert got.reasons == [{"field": name}]
    twice = read(
        chunk({"reasoning_content": "hm", "reasoning": "hm"}), chunk(finish="stop")
    )
    assert twice.reasoning == "hm"


def test_details_of_reasoning_are_kept_whole_for_the_way_back() -> None:
    def detail(**more: Any) -> Any:
        made = {"type": "reasoning.text", "index": 0, **more}
        return chunk({"reasoning": more.get("text"), "reasoning_details": [made]})

    got = read(
        detail(text="h"),
        detail(text="m"),
        detail(signature="sig"),
        chunk({"content": "so"}),
        chunk(finish="stop"),
    )
    whole = {"type": "reasoning.text", "index": 0, "text": "hm", "signature": "sig"}
    assert got.reasoning == "hm"
    assert got.reasons == [{"field": "reasoning", "reasoning_details": [whole]}]


def test_a_refusal_is_text_and_says_so_at_the_end() -> None:
    got = read(chunk({"refusal": "I will not."}), chunk(finish="stop"))
    assert got.text == "I will not."
    assert got.finish is not None
    assert got.finish.reason == "content_filter"


def test_usage_comes_in_a_chunk_of_its_own_after_the_finish_reason() -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    last = {"id": "r1", "choices": [], "usage": usage}
    got = read(chunk({"content": "a"}), chunk(finish="stop"), last, "[DONE]")
    assert got.finish is not None
    told = got.finish.usage
    assert (told.input, told.output, told.reasoning, told.cache_read) == (10, 5, 3, 4)
    assert told.cache_write is None


def test_a_finish_reason_is_enough_and_nothing_else_is() -> None:
    assert read(chunk({"content": "a"}), chunk(finish="stop")).error is None
    broken = read(chunk({"content": "a"}))
    assert broken.error is not None
    assert broken.error.code == "provider.stream_broken"
    # A server that says it is done without saying why has said it.
    done = read(chunk({"content": "a"}), "[DONE]")
    assert done.finish is not None
    assert done.finish.reason == "unknown"


def test_an_answer_that_holds_nothing_at_all_is_an_error() -> None:
    got = read("[DONE]")
    assert got.error is not None
    assert got.error.code == "provider.invalid_output"


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        ({"code": 502, "message": "x"}, "provider.unavailable", 502),
        ({"code": "429", "message": "x"}, "provider.rate_limited", 429),
        ({"type": "server_error", "message": "x"}, "provider.unavailable", 500),
        ({"message": "x"}, "provider.failed", None),
        ("x", "provider.failed", None),
        (
            {"code": "context_length_exceeded", "message": "x"},
            "provider.context_overflow",
            None,
        ),
    ],
)
def test_an_error_object_in_the_stream_is_an_error(
    error: Any, code: str, status: int | None
) -> None:
    for event in ({"error": error}, chunk({}, error=error)):
        got = read(chunk({"content": "a"}), event)
        assert got.text == "a"
        assert got.error is not None
        assert (got.error.code, got.error.status) == (code, status)
        assert got.error.problem == "x"


@pytest.mark.parametrize("event", ["{", '{"choices":[3]}', '{"a":}', "{'a': 1}"])
def test_what_is_no_chunk_breaks_the_stream(event: str) -> None:
    got = read(chunk({"content": "a"}), event, chunk(finish="stop"))
    assert got.text == "a"
    assert got.error is not None
    assert got.error.code == "provider.invalid_output"


json_values: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                [
                    "index",
                    "id",
                    "function",
                    "name",
                    "arguments",
                    "content",
                    "text",
                    "type",
                ]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(
                ["content", "reasoning", "reasoning_details", "tool_calls", "refusal"]
            ),
            st.lists(json_values, max_size=2) | json_values,
            max_size=3,
        ),
        max_size=4,
    )
)
def test_odd_deltas_never_crash_the_decoder(deltas: list[Any]) -> None:
    read(*(chunk(delta) for delta in deltas), chunk(finish="stop"), "[DONE]")


# --- habits -----------------------------------------------------------------------


def raw(*contents: bytes) -> Answered:
    body = b"".join(
        b'data: {"id":"r","choices":[{"delta":{"content":"%b"}}]}\n\n' % one
        for one in contents
    )
    return decode("chat", body + sse(chunk(finish="stop")))


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        ([b"hi \\ud83d", b"\\ude00!"], "hi \U0001f600!"),
        ([b"hi \xf0\x9f", b"\x98\x80!"], "hi \U0001f600!"),
        ([b"hi \\ud83d x"], "hi \ufffd x"),
        ([b"hi \xf0\x9f x"], "hi \ufffd x"),
        ([b"hi \\ud83d"], "hi \ufffd"),
        ([b"a\tb\x01"], "a\tb\x01"),
    ],
)
def test_one_odd_byte_loses_no_answer(contents: list[bytes], said: str) -> None:
    got = raw(*contents)
    assert got.text == said
    assert all(getattr(one, "text", "").encode() is not None for one in got.events)


def test_words_and_values_that_hold_no_part_of_an_answer_are_passed_over() -> None:
    got = read(
        "ping", chunk({"content": "a"}), "null", "[]", '{"x":NaN}', chunk(finish="stop")
    )
    assert got.text == "a"
    assert got.finish is not None


def test_the_end_may_lack_its_empty_line_or_all_of_them() -> None:
    events = (chunk({"content": "a"}), chunk({"content": "b"}), chunk(finish="stop"))
    body = sse(*events)
    for odd in (body[:-1], body[:-2], body.replace(b"\n\n", b"\n")):
        got = decode("chat", odd)
        assert got.text == "ab"
        assert got.finish is not None
    # Half an event is none.
    cut = decode("chat", body[:-10])
    assert cut.error is not None
    assert cut.error.code == "provider.stream_broken"


def test_what_comes_after_a_finish_reason_is_still_part_of_the_answer() -> None:
    got = read(
        pieces(call(0, '{"p"', id="a", name="x")),
        chunk(finish="tool_calls"),
        pieces(call(0, ":1}")),
        pieces(call(1, "{}", id="b", name="y")),
        chunk({"content": "late"}),
        "[DONE]",
    )
    assert [(one.tool, one.arguments) for one in got.calls] == [
        ("x", '{"p":1}'),
        ("y", "{}"),
    ]
    assert got.text == "late"
    early = read(
        chunk({"content": "a"}, finish="stop"),
        pieces(call(0, "{}", id="a", name="x")),
        chunk(finish="tool_calls"),
        "[DONE]",
    )
    assert early.finish is not None
    assert early.finish.reason == "tool_calls"


def test_an_empty_legacy_call_beside_text_is_none() -> None:
    for empty in ({}, {"name": "", "arguments": ""}, {"name": None}, None):
        got = read(
            chunk({"content": "a", "function_call": empty}), chunk(finish="stop")
        )
        assert (got.text, got.calls) == ("a", [])
    both = {"tool_calls": [call(0, "{}", id="a", name="x")]}
    both["function_call"] = {"name": "x", "arguments": "{}"}  # type: ignore[assignment]
    got = read(chunk(both), chunk(finish="tool_calls"))
    assert [one.tool for one in got.calls] == ["x"]


def test_an_answer_in_one_piece_is_read_and_not_twice() -> None:
    whole = {"index": 0, "message": {"content": "a"}, "finish_reason": "stop"}
    assert read({"id": "r", "choices": [whole]}).text == "a"
    again = read(chunk({"content": "a"}), {"id": "r", "choices": [whole]})
    assert again.text == "a"


def test_an_image_among_the_pieces_of_a_text_is_a_file() -> None:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    told = [{"type": "text", "text": "a"}, image, {"type": "text", "text": "b"}]
    answered = read(chunk({"content": told}, "stop"))
    [made] = [one for one in answered.events if isinstance(one, ModelFile)]
    assert (made.mime, made.data, answered.text) == ("image/png", PNG, "ab")


def test_an_answer_in_the_pieces_of_older_completions_is_read_to_its_end() -> None:
    def piece(text: str, finish: str | None = None) -> dict[str, Any]:
        return {"id": "r", "choices": [{"text": text, "finish_reason": finish}]}

    assert read(piece("ha"), piece("ha"), piece("", "length")).text == "haha"
    assert read(chunk({"content": "a"}), piece("a", "stop")).text == "a"


def whole(message: Any, kind: str = "chat.completion") -> dict[str, Any]:
    choice = {"index": 0, "message": message, "finish_reason": ""}
    return {"object": kind, "choices": [choice], "usage": {"prompt_tokens": 3}}


def test_an_answer_that_says_it_is_whole_needs_no_reason_for_its_end() -> None:
    function = {"name": "f", "arguments": '{"a": 1}'}
    answered = read(whole({"content": "", "tool_calls": [{"function": function}]}))
    [called] = answered.calls
    assert (called.tool, called.arguments, called.cut) == ("f", '{"a": 1}', False)
    assert answered.finish is not None
    assert (answered.finish.reason, answered.finish.usage.input) == ("unknown", 3)
    assert read(whole({"content": "All."})).text == "All."


def test_pieces_that_are_called_whole_are_no_whole_answer() -> None:
    piece = whole({"content": "Hal"})
    piece["choices"][0]["delta"] = {"content": "Hal"}
    for cut in (piece, whole({"content": "Hal"}, "chat.completion.chunk")):
        answered = read(cut)
        assert answered.error is not None
        assert answered.error.code == "provider.stream_broken"
    assert read(whole({"content": ""})).error is not None


def test_what_is_attached_to_a_message_goes_back_with_it_to_its_model_only() -> None:
    extra = {"google": {"thought_signature": "s"}}
    got = read(
        chunk({"content": "so", "extra_content": extra}),
        pieces(call(0, '{"a":1}', id="c", name="t", extra_content=extra)),
        chunk(finish="tool_calls"),
    )
    (end,) = [one for one in got.events if isinstance(one, TextEnd)]
    (made,) = got.calls
    message = assistant(
        TextPart("so", end.metadata), settled("c", metadata=made.metadata)
    )
    (said, _) = sent(message)
    assert said["extra_content"] == extra
    assert said["tool_calls"][0]["extra_content"] == extra
    for other in (evolve(message, model="test/other"), evolve(message, model="o/m")):
        (said, _) = sent(other)
        assert "extra_content" not in json.dumps(said)
    # With no text to be attached to, it is kept as well.
    alone = read(chunk({"extra_content": extra}), chunk(finish="stop"))
    assert [one.metadata for one in alone.events if isinstance(one, TextEnd)] == [
        {"attached": {"extra_content": extra}}
    ]


def test_where_thoughts_go_back_every_message_with_calls_has_their_field() -> None:
    thought = ReasoningPart("hm", {"field": "reasoning_content"})
    messages = (
        user("go"),
        assistant(settled("a"), seq=1, model="other/m"),
        assistant(thought, settled("b"), seq=2),
        assistant(settled("c"), seq=3),
        assistant(TextPart("so"), seq=4),
    )
    fields = [one.get("reasoning_content") for one in sent(*messages)]
    assert fields == [None, "", None, "hm", None, "", None, None]
    assert all("reasoning_content" not in one for one in sent(*messages[:2]))
    assert "reasoning_content" not in json.dumps(sent(*messages, send_reasoning=False))


def test_what_the_user_says_in_a_row_is_said_in_one_turn() -> None:
    image = (PromptFile("a.png", "image/png", PNG),)
    one, two = user("a", 1), user('say "b"\\', 2)
    assert sent(one, two, notice("n", 3)) == [
        {
            "role": "user",
            "content": 'a\n\nsay "b"\\\n\n<system-update>\nn\n</system-update>',
        }
    ]
    seen = user("look", 3, files=image)
    for messages, texts in (
        ((one, seen), ["a", "look"]),
        ((seen, one), ["look", "a"]),
        ((one, two, seen, seen), ['a\n\nsay "b"\\', "look", "look"]),
    ):
        (said,) = sent(*(evolve(m, id=f"{at}") for at, m in enumerate(messages)))
        told = [part["text"] for part in said["content"] if part["type"] == "text"]
        assert told == texts
    shown = (TextContent("here"), FileContent("image/png", PNG))
    after = sent(assistant(settled("c1", content=shown)), user("and", 2))
    assert [one["role"] for one in after] == ["assistant", "tool", "user"]
    assert after[-1]["content"][-1] == {"type": "text", "text": "and"}


def test_ids_are_those_that_the_endpoint_takes() -> None:
    foreign = assistant(settled("call_abcdefghijklmnop"), model="other/m")
    own = assistant(settled("chatcmpl-tool-1"), seq=2)
    mistral = ChatProtocol(Endpoint("x", "https://api.mistral.ai/v1"), "m")
    devstral = ChatProtocol(Endpoint("x", "http://localhost/v1"), "devstral-small")
    for one in (mistral, devstral):
        body = json.loads(one.encode(request(foreign, own)))
        ids = [
            made["id"]
            for message in body["messages"]
            for made in message.get("tool_calls", ())
        ]
        assert all(re.fullmatch(r"[A-Za-z0-9]{9}", made) for made in ids)
        assert len(set(ids)) == 2
    assert "stream_options" not in json.loads(mistral.encode(request()))
    for message in sent(foreign, own):
        assert message.get("tool_call_id") in (
            None,
            "call_abcdefghijklmnop",
            "chatcmpl-tool-1",
        )


@pytest.mark.parametrize(
    ("problem", "before", "after"),
    [
        (
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead.",
            {"max_tokens": 7},
            {"max_completion_tokens": 7},
        ),
        (
            "Unrecognized request argument supplied: stream_options",
            {"stream_options": {"include_usage": True}},
            {},
        ),
        (
            "unknown field: tool_choice",
            {"tool_choice": "none"},
            {"model": "m"},
        ),
    ],
)
def test_an_endpoint_is_asked_in_the_words_that_its_refusal_taught(
    problem: str, before: dict[str, Any], after: dict[str, Any]
) -> None:
    route = protocol()
    refused = ProviderError("provider.invalid_request", "test", problem, status=400)
    asked = request(max_output=7, tools=(WEATHER,), tool_choice="none")
    assert before.items() <= json.loads(route.encode(asked)).items()
    assert route.learned_from(refused)
    body = json.loads(route.encode(asked))
    assert after.items() <= body.items()
    assert set(before).isdisjoint(body)
    # Once each: an endpoint that wants neither is not asked for ever.
    assert not route.learned_from(refused)


def test_refused_thoughts_are_left_out_and_missing_ones_are_put_in() -> None:
    own = assistant(ReasoningPart("hm", {"field": "reasoning"}), settled("c"))
    foreign = assistant(settled("d"), seq=2, model="other/m")
    route = protocol()
    unknown = "'messages.1': property 'reasoning' is unsupported"
    assert route.learned_from(
        ProviderError("provider.part_refused", "test", unknown, status=400)
    )
    body = json.loads(route.encode(request(own, foreign)))
    assert "reasoning" not in body["messages"][0]
    route = protocol()
    missing = "reasoning_content is missing in assistant tool call message at index 1"
    assert route.learned_from(
        ProviderError("provider.part_refused", "test", missing, status=400)
    )
    body = json.loads(route.encode(request(foreign)))
    assert body["messages"][0]["reasoning_content"] == ""


@pytest.mark.parametrize(
    ("usage", "output", "reasoning"),
    [
        # xAI: beside the output, and in the total.
        (
            {
                "prompt_tokens": 12,
                "completion_tokens": 2,
                "total_tokens": 354,
                "completion_tokens_details": {"reasoning_tokens": 340},
            },
            342,
            340,
        ),
        # Google's compatible endpoint: in the total alone.
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 115}, 105, 100),
        # OpenAI: a part of the output.
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 50,
                "total_tokens": 60,
                "completion_tokens_details": {"reasoning_tokens": 40},
            },
            50,
            40,
        ),
        # No total: more than the output is no part of it.
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "completion_tokens_details": {"reasoning_tokens": 40},
            },
            45,
            40,
        ),
        ({"prompt_tokens": "10", "completion_tokens": 5.0}, 5, None),
        ({"prompt_tokens": 10, "completion_tokens": "many"}, None, None),
    ],
)
def test_usage_agrees_with_the_providers_own_total(
    usage: Any, output: int | None, reasoning: int | None
) -> None:
    last = {"id": "r1", "choices": [], "usage": usage}
    got = read(chunk({"content": "a"}), chunk(finish="stop"), last, "[DONE]")
    assert got.finish is not None
    told = got.finish.usage
    assert (told.output, told.reasoning) == (output, reasoning)
    total = usage.get("total_tokens")
    if total is not None:
        assert (told.input or 0) + (told.output or 0) == total


def test_a_call_that_the_server_refused_in_mid_stream_is_a_refused_call() -> None:
    error = {
        "message": "Failed to call a function.",
        "code": "tool_use_failed",
        "failed_generation": '<function=read>{"path": 1}</function>',
    }
    got = read(chunk({"content": "a"}), {"error": error})
    (made,) = got.calls
    assert (made.tool, made.arguments) == ("read", '{"path": 1}')
    assert made.refused == "Failed to call a function."
    assert got.finish is not None
    # One that is about no call stays an error.
    got = read(chunk({"content": "a"}), {"error": {**error, "failed_generation": ""}})
    assert got.error is not None


def test_calls_of_others_are_signed_as_google_wants_it() -> None:
    signed = {"extra_content": {"google": {"thought_signature": "own"}}}
    foreign = assistant(settled("a"), settled("b"), model="other/m")
    own = assistant(settled("c", metadata={"attached": signed}), settled("d"), seq=2)
    google = "https://generativelanguage.googleapis.com/v1beta/openai"
    taught = protocol()
    missing = "Function call is missing a thought_signature in functionCall parts"
    assert taught.learned_from(
        ProviderError("provider.part_refused", "test", missing, status=400)
    )
    for route in (ChatProtocol(Endpoint("test", google), "m"), taught):
        body = json.loads(route.encode(request(foreign, own)))
        first, second = (m["tool_calls"] for m in body["messages"] if "tool_calls" in m)
        for call in first:
            signature = call["extra_content"]["google"]["thought_signature"]
            assert signature == "skip_thought_signature_validator"
        assert second[0]["extra_content"] == signed["extra_content"]
        assert "extra_content" not in second[1]
