"""Recorded answers of real providers come to the message that they came to then."""

import json
import re
from typing import Any

import orjson
import pytest
from attrs import evolve
from dovetail.kernel import ReasoningEnd, Redactor, Usage
from dovetail.plugins.providers.faults import fault_of_answer
from support.answers import Answered, decode
from support.recordings import PROTOCOLS, Recording, recordings

ALL = recordings()
STREAMS = [one for one in ALL if one.status == 200]
REFUSALS = [one for one in ALL if one.status != 200]
absent = pytest.mark.skipif(not ALL, reason="the recordings are not beside this clone")

FINISHES = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    None: "unknown",
    "end_turn": "stop",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "completed": "stop",
    "STOP": "stop",
    "guardrail_intervened": "content_filter",
}
# Two answers in one file, which the reference reader mixed: the first one ends it.
TWO_ANSWERS = re.compile(r"anthropic-tool-search-")
# The reference reader knows no reasoning in lists and details.
STREAMED_ARGUMENTS = re.compile(r"google-stream-tool-call-arguments")
UNREAD_REASONING = re.compile(r"mistral_model_thinking|snowflake_thinking")


def named(rows: list[Recording]) -> Any:
    return pytest.mark.parametrize("row", rows, ids=[one.name for one in rows])


def arguments(answered: Answered) -> list[tuple[str, str, Any]]:
    return [
        (call.call_id, call.tool, json.loads(call.arguments)) for call in answered.calls
    ]


def check(row: Recording, answered: Answered) -> None:
    expected = row.expected
    if expected.get("error"):
        assert answered.error is not None
        assert expected["message"] in answered.error.problem
        return
    assert answered.error is None, answered.error
    assert answered.finish is not None
    if TWO_ANSWERS.search(row.name):
        first = expected["tool_calls"][0]
        assert arguments(answered) == [(first["id"], first["name"], first["input"])]
        assert answered.finish.reason == "tool_calls"
        return
    assert answered.text == expected["text"]
    reason = FINISHES[
        expected.get("finish_reason")
        or expected.get("stop_reason")
        or expected.get("status")
    ]
    if row.protocol in ("responses", "gemini") and answered.calls:
        reason = "tool_calls"
    assert answered.finish.reason == reason
    if STREAMED_ARGUMENTS.search(row.name):
        # The reference reader does not put the pieces together.
        cities = [json.loads(one.arguments) for one in answered.calls]
        assert cities == [{"location": "Boston"}, {"location": "San Francisco"}]
    else:
        # What Amazon ran by itself is nobody's to run here.
        called = [
            one
            for one in expected["tool_calls"]
            if one["name"] != "nova_code_interpreter"
        ]
        assert arguments(answered) == [
            (one["id"] or answered.calls[at].call_id, one["name"], one["input"])
            for at, one in enumerate(called)
        ]
    assert not any(call.cut for call in answered.calls)
    reasoning = expected.get("reasoning", expected.get("thinking"))
    if row.protocol == "responses":
        items = [
            one.metadata for one in answered.events if isinstance(one, ReasoningEnd)
        ]
        kinds = [one["item"]["type"] for one in items]
        ours = ("message", "function_call")
        assert kinds == [one for one in expected["item_types"] if one not in ours]
    elif not UNREAD_REASONING.search(row.name):
        assert answered.reasoning == (reasoning or "")
    check_usage(row, answered.finish.usage)


def check_usage(row: Recording, usage: Usage) -> None:
    told = row.expected.get("usage")
    if not told:
        return
    if row.protocol == "chat":
        assert usage.input == told["prompt_tokens"]
        # xAI counts the tokens of reasoning beside its output.
        beside = (usage.reasoning or 0) if "xai" in row.name else 0
        assert usage.output == told["completion_tokens"] + beside
        return
    if row.protocol == "bedrock-converse":
        cached = told.get("cacheReadInputTokens", 0)
        assert usage.input == told["inputTokens"] + cached
        assert usage.output == told["outputTokens"]
        return
    if row.protocol == "gemini":
        # What its own tools read is input too, and thoughts are output.
        assert (usage.input or 0) >= told["prompt"]
        assert usage.output == told["candidates"] + (told["thoughts"] or 0)
        assert usage.reasoning == told["thoughts"]
        return
    if row.protocol == "responses":
        assert (usage.input, usage.output) == (told["input"], told["output"])
        assert (usage.reasoning, usage.cache_read) == (
            told["reasoning"],
            told["cached"],
        )
        return
    cached = (told["cache_read"] or 0) + (told["cache_write"] or 0)
    assert usage.input == told["input"] + cached
    assert usage.output == told["output"]
    assert (usage.cache_read, usage.cache_write) == (
        told["cache_read"],
        told["cache_write"],
    )


@absent
def test_there_is_something_to_compare_with() -> None:
    assert len(STREAMS) > 60
    assert {one.protocol for one in STREAMS} == set(PROTOCOLS)


@named(STREAMS)
def test_a_recorded_stream_gives_the_recorded_message(row: Recording) -> None:
    check(row, decode(row.protocol, row.body))


@named(STREAMS)
def test_pieces_of_any_size_change_nothing(row: Recording) -> None:
    whole = decode(row.protocol, row.body)
    for size in (1, 2, 7, 1000):
        cut = decode(row.protocol, row.body, size)
        assert cut.events == whole.events
        assert str(cut.error) == str(whole.error)


def cut_points(body: bytes) -> list[int]:
    if body.startswith(b"\0"):
        # Each event begins with its length.
        points, at = [], 0
        while at < len(body):
            at += int.from_bytes(body[at : at + 4])
            points.append(at)
        return points
    return [m.end() for m in re.finditer(rb"(?:\r?\n){2,}", body)]


@named(STREAMS)
def test_a_stream_cut_after_any_event_fails_or_is_complete(row: Recording) -> None:
    whole = decode(row.protocol, row.body)
    complete = {call.call_id: call for call in whole.calls}
    points = cut_points(row.body)
    if len(points) > 250:
        points = points[:40] + points[40:-40:17] + points[-40:]
    for point in points:
        cut = decode(row.protocol, row.body[:point])
        for call in cut.calls:
            # Whatever is handed out to be run is the call that the model made.
            assert evolve(complete[call.call_id], cut=False) == call
        if cut.error is not None:
            assert whole.error is not None or cut.error.code == "provider.stream_broken"
            continue
        # It ended early, but the model had said that it was done.
        assert cut.finish is not None
        assert whole.finish is not None
        assert cut.finish.reason == whole.finish.reason
        assert cut.text == whole.text
        assert cut.calls == whole.calls


@named(REFUSALS)
def test_a_recorded_refusal_gives_a_typed_error(row: Recording) -> None:
    error = fault_of_answer("test", row.status, {}, row.body.decode(), Redactor())
    assert error.status == row.status == row.expected["status"]
    told = orjson.loads(row.body)["error"]["message"]
    assert told in error.problem
    assert told in row.expected["message"].replace("\\'", "'")
    codes = {400: "invalid_request", 404: "unknown_model", 429: "rate_limited"}
    # A reasoning item that is not accepted back can be left out.
    expected = "part_refused" if "'reasoning'" in told else codes[row.status]
    if b'"model_not_found"' in row.body:
        expected = "unknown_model"
    assert error.code == f"provider.{expected}"
    assert error.retryable is (row.status == 429)
