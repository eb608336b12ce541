"""Chat Completions: what is sent, and how the habits of its servers are read."""

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
    ReasoningPart,
    TextContent,
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
    assert [one["content"] for one in sent(*messages)] == ["a", "b"]


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
        PromptFile("c.pdf", "application/pdf", "AAAA"),
        PromptFile("d.txt", "text/plain", "not base64!"),
    )
    (one,) = sent(user("look", files=files))
    texts = [part["text"] for part in one["content"] if part["type"] == "text"]
    assert texts == [
        "look",
        '<file name="b.txt" type="text/plain">\nné\n</file>',
        "[file c.pdf (application/pdf) is attached but cannot be shown to this model]",
        "[file d.txt (text/plain) is attached but cannot be shown to this model]",
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
    assert after.startswith(before[:-2])
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


@pytest.mark.parametrize(
    "event", ["{", "[]", "null", "7", '{"choices":[3]}', '{"a":NaN}']
)
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
