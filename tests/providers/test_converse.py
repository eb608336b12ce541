"""Amazon's Converse: what is sent, how it is signed, and how its streams are read."""

import base64
import binascii
import json
import struct
import sys
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from dovetail.kernel import (
    FileContent,
    PromptFile,
    ProviderError,
    ReasoningPart,
    TextContent,
    TextPart,
    ToolCall,
    ToolPart,
    Usage,
)
from dovetail.plugins.providers.amazon import ACCEPT, EventStreamDecoder
from dovetail.plugins.providers.bedrock import plugin
from dovetail.plugins.providers.converse import ConverseProtocol
from dovetail.plugins.providers.endpoints import Endpoint
from hypothesis import given, strategies as st
from support.answers import Answered, decode
from support.replay import JSON, Answer, serve
from support.requests import WEATHER, ask, assistant, notice, opened, request, user

PNG = base64.b64encode(b"\x89PNG").decode()
CLAUDE = "us.anthropic.claude-sonnet-4-6"


def body(*messages: Any, model: str = "m", **more: Any) -> Any:
    protocol = ConverseProtocol(Endpoint("test", "http://x"), model)
    return json.loads(protocol.encode(request(*messages, **more)))


def sent(*messages: Any, **more: Any) -> list[Any]:
    return list(body(*messages, **more)["messages"])


def settled(call_id: str, arguments: str = '{"a":1}', **more: Any) -> ToolPart:
    more.setdefault("content", (TextContent("done"),))
    more.setdefault("state", "succeeded")
    return ToolPart(call_id, more.pop("tool", "t"), arguments, **more)


def frame(payload: Any, **headers: str) -> bytes:
    """Return one event as Amazon's event streams hold it."""
    return raw_frame(json.dumps(payload).encode(), **headers)


def raw_frame(data: bytes, **headers: str) -> bytes:
    head = b"".join(
        bytes([len(name) + 1]) + b":" + name.replace("_", "-").encode()
        + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for name, value in headers.items()
    )  # fmt: skip
    prelude = struct.pack(">II", 16 + len(head) + len(data), len(head))
    begun = prelude + struct.pack(">I", binascii.crc32(prelude)) + head + data
    return begun + struct.pack(">I", binascii.crc32(begun))


def events(*named: tuple[str, Any]) -> bytes:
    return b"".join(
        frame(payload, message_type="event", event_type=name) for name, payload in named
    )


STOP = ("messageStop", {"stopReason": "end_turn"})
USAGE = (
    "metadata",
    {
        "usage": {
            "inputTokens": 3,
            "outputTokens": 2,
            "totalTokens": 12,
            "cacheReadInputTokens": 7,
        }
    },
)


def text(said: str, index: int = 0) -> tuple[str, Any]:
    return ("contentBlockDelta", {"contentBlockIndex": index, "delta": {"text": said}})


def read(*named: tuple[str, Any], size: int | None = None) -> Answered:
    return decode("bedrock-converse", events(*named), size)


# --- writing ----------------------------------------------------------------------


def test_a_settled_history_has_the_shape_that_the_live_provider_accepted(
    corpus: Any,
) -> None:
    cases = corpus("provider-recovery-rules").lines("cases.jsonl")
    accepted = [one for one in cases if one["status"] == 200]
    (case,) = [one for one in accepted if one["protocol"] == "bedrock-converse"]
    expected = case["messages"]
    assert expected[-1]["content"].pop() == {"cachePoint": {"type": "default"}}
    weather = settled("call_weather", '{"city":"Paris"}', tool="lookup_weather")
    time = settled("call_time", '{"city":"Paris"}', tool="lookup_time")
    made = sent(
        user(expected[0]["content"][0]["text"]),
        assistant(
            TextPart("I should use both lookup tools."),
            evolve(weather, content=(TextContent("sunny"),)),
            evolve(time, content=(TextContent("12:00"),)),
        ),
        user(expected[-1]["content"][-1]["text"], 5),
    )
    assert made == expected


def test_what_stays_the_same_is_marked_for_models_that_keep_it() -> None:
    made = body(system=("S",), tools=(WEATHER,), model=CLAUDE, max_output=9)
    mark = {"cachePoint": {"type": "default"}}
    assert made["system"] == [{"text": "S"}, mark]
    spec, last = made["toolConfig"]["tools"]
    assert spec["toolSpec"]["inputSchema"] == {"json": WEATHER.schema}
    assert last == mark
    assert made["inferenceConfig"] == {"maxTokens": 9}
    plain = body(system=("S",), tools=(WEATHER,))
    assert mark not in plain["system"] + plain["toolConfig"]["tools"]


def test_a_model_that_refuses_the_mark_is_asked_without_it() -> None:
    route = ConverseProtocol(Endpoint("test", "http://x"), CLAUDE)
    wanted = request(system=("S",), tools=(WEATHER,))
    assert b"cachePoint" in route.encode(wanted)
    told = "You invoked an unsupported model or your request did not allow prompt cach"
    error = ProviderError("provider.invalid_request", "test", told, status=400)
    assert route.learned_from(error)
    assert b"cachePoint" not in route.encode(wanted)
    assert not route.learned_from(error)


@pytest.mark.law("execution.11")
def test_signed_thinking_goes_back_to_the_model_that_signed_it_only() -> None:
    thought = ReasoningPart("Hm.", {"signature": "s"})
    hidden = ReasoningPart("", {"redacted": "x"})
    message = assistant(thought, hidden, TextPart("So."))
    (own,) = sent(message)
    assert own["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "s"}}},
        {"reasoningContent": {"redactedContent": "x"}},
        {"text": "So."},
    ]
    (foreign,) = sent(evolve(message, model="test/other"))
    assert foreign["content"] == [{"text": "So."}]


@pytest.mark.law("tools.2")
def test_a_call_without_a_result_is_never_sent() -> None:
    with pytest.raises(ProviderError, match="no result"):
        sent(user("go"), assistant(ToolPart("c1", "t", "{}", state="called")))


def test_images_and_empty_results_are_blocks_that_are_taken() -> None:
    picture = PromptFile("p.png", "image/png", PNG)
    shown = settled("c1", content=(FileContent("image/png", PNG, "p.png"),))
    asked, _, results = sent(
        user("Look", files=(picture,)), assistant(shown, settled("c2", content=()))
    )
    image = {"image": {"format": "png", "source": {"bytes": PNG}}}
    assert asked["content"] == [{"text": "Look"}, image]
    first, second = results["content"]
    assert first["toolResult"]["content"] == [image]
    assert second["toolResult"]["content"] == [{"text": "(nothing)"}]


texts = st.text(max_size=20)
any_message = st.one_of(
    texts.map(lambda one: user(one if one.strip() else "x")),
    texts.map(notice),
    st.lists(st.one_of(texts.map(TextPart), st.just(settled("c"))), max_size=3).map(
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
    route = ConverseProtocol(Endpoint("test", "http://x"), CLAUDE)
    early = request(*numbered[: len(first)], system=("S",), tools=(WEATHER,))
    before = route.encode(early)
    after = route.encode(request(*numbered, system=("S",), tools=(WEATHER,)))
    # What the user says next may join what was said last.
    assert before.endswith(b"]}")
    marked = b',{"cachePoint":{"type":"default"}}'
    whole = before.removesuffix(b"]}").removesuffix(b'],"role":"user"}')
    assert after.startswith(whole.removesuffix(marked))


# --- reading ----------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, None])
def test_an_answer_is_its_words_its_calls_and_its_usage(size: int | None) -> None:
    start = {"toolUse": {"toolUseId": "c1", "name": "t"}}
    more = {"toolUse": {"input": '{"city":"Ä"}'}}
    thinking = {"reasoningContent": {"text": "Hm."}}
    signed = {"reasoningContent": {"signature": "s"}}
    got = read(
        ("messageStart", {"role": "assistant"}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": thinking}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": signed}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        text("So.", 1),
        ("contentBlockStop", {"contentBlockIndex": 1}),
        ("contentBlockStart", {"contentBlockIndex": 2, "start": start}),
        ("contentBlockDelta", {"contentBlockIndex": 2, "delta": more}),
        ("contentBlockStop", {"contentBlockIndex": 2}),
        ("messageStop", {"stopReason": "tool_use"}),
        USAGE,
        size=size,
    )
    assert (got.reasoning, got.text) == ("Hm.", "So.")
    assert got.reasons == [{"signature": "s"}]
    assert got.calls == [ToolCall("c1", "t", '{"city":"Ä"}')]
    assert got.finish is not None
    assert got.finish.reason == "tool_calls"
    assert got.finish.usage == Usage(input=10, output=2, cache_read=7)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("throttlingException", "provider.rate_limited"),
        ("modelStreamErrorException", "provider.unavailable"),
        ("validationException", "provider.invalid_request"),
    ],
)
def test_an_exception_in_the_stream_is_that_error(kind: str, code: str) -> None:
    told = frame({"message": "slow"}, message_type="exception", exception_type=kind)
    got = decode("bedrock-converse", events(text("x")) + told)
    assert got.text == "x"
    assert got.error is not None
    assert got.error.code == code


def test_a_changed_byte_breaks_the_stream() -> None:
    whole = events(text("Hello"), STOP)
    spoiled = whole.replace(b"Hello", b"Jello")
    got = decode("bedrock-converse", spoiled)
    assert got.error is not None
    assert got.error.code == "provider.invalid_output"


def test_an_end_without_its_reason_is_no_end() -> None:
    got = read(text("x"))
    assert got.error is not None
    assert got.error.code == "provider.stream_broken"


def test_a_stream_without_an_end_is_held_only_so_far() -> None:
    frames = EventStreamDecoder("test", max_event_bytes=64)
    with pytest.raises(Exception, match="64 bytes"):
        list(frames.feed(events(text("x" * 200))[:190]))


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [
                    "contentBlockIndex",
                    "delta",
                    "input",
                    "name",
                    "output",
                    "reasoningContent",
                    "start",
                    "stopReason",
                    "text",
                    "toolUse",
                    "toolUseId",
                    "usage",
                ]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=8,
)
NAMES = (
    "messageStart",
    "contentBlockStart",
    "contentBlockDelta",
    "contentBlockStop",
    "messageStop",
    "metadata",
    "throttlingException",
    "somethingNew",
)


@given(st.lists(st.tuples(st.sampled_from(NAMES), json_values), max_size=6))
def test_odd_events_never_crash_the_decoder(named: list[tuple[str, Any]]) -> None:
    read(*named)


# --- over a connection ------------------------------------------------------------


ANSWER = Answer(events(text("Hi"), STOP, USAGE), 200, {"content-type": ACCEPT})
KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "AWS_REGION": "eu-west-3",
}


async def test_a_request_is_signed_for_its_region_and_shows_no_secret() -> None:
    async with serve(ANSWER) as server:
        environment = {"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": server.url, **KEYS}
        async with opened(plugin, environment=environment) as providers:
            route = providers["bedrock"].route("anthropic.claude:1")
            got = Answered(await ask(route, request()))
    assert got.text == "Hi"
    (asked,) = server.requests
    assert asked.target == "/model/anthropic.claude%3A1/converse-stream"
    assert asked.headers["accept"] == ACCEPT
    signed = asked.headers["authorization"]
    assert signed.startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert "/eu-west-3/bedrock/aws4_request" in signed
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in str(asked)


async def test_an_api_key_takes_the_place_of_a_signature() -> None:
    async with serve(ANSWER) as server:
        environment = {
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": server.url,
            "AWS_BEARER_TOKEN_BEDROCK": "token-1",
            **KEYS,
        }
        async with opened(plugin, environment=environment) as providers:
            await ask(providers["bedrock"].route("m"), request())
    (asked,) = server.requests
    assert asked.headers["authorization"] == "Bearer token-1"


async def test_an_answer_that_was_not_streamed_is_an_answer() -> None:
    whole = {
        "output": {
            "message": {
                "role": "assistant",
                "content": [
                    {"reasoningContent": {"reasoningText": {"text": "Hm."}}},
                    {"text": "Hi"},
                    {"toolUse": {"toolUseId": "c1", "name": "t", "input": {"a": 1}}},
                ],
            }
        },
        "stopReason": "tool_use",
        "usage": {"inputTokens": 3, "outputTokens": 1},
    }
    async with serve(Answer(json.dumps(whole).encode(), 200, JSON)) as server:
        table = {"base_url": server.url, "protocol": "bedrock-converse", "api_key": "k"}
        async with opened(plugin, providers={"test": table}) as providers:
            got = Answered(await ask(providers["test"].route("m"), request()))
    assert (got.reasoning, got.text) == ("Hm.", "Hi")
    assert got.calls == [ToolCall("c1", "t", '{"a":1}')]


async def test_without_any_sign_of_credentials_the_variables_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    async with opened(plugin) as providers:
        with pytest.raises(ProviderError, match="AWS_BEARER_TOKEN_BEDROCK") as caught:
            providers["bedrock"].route("m")
    assert caught.value.code == "provider.key_missing"


async def test_without_credentials_it_is_the_key_that_is_missing_not_botocore(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "botocore", None)
    async with opened(plugin) as providers:
        with pytest.raises(ProviderError) as caught:
            providers["bedrock"].route("m")
    assert caught.value.code == "provider.key_missing"


async def test_a_region_that_is_none_is_refused_by_its_variable() -> None:
    with pytest.raises(Exception, match="AWS_REGION"):
        async with opened(plugin, environment={"AWS_REGION": "../x"}):
            pass


# --- credentials of a profile -----------------------------------------------------


def profile(folder: Path, config: str, credentials: str = "") -> dict[str, str]:
    """Write the files of Amazon's tools, and return the environment that names them."""
    (folder / "config").write_text(config)
    (folder / "credentials").write_text(credentials)
    return {
        "AWS_CONFIG_FILE": str(folder / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"),
        "AWS_PROFILE": "work",
    }


STATIC = """[work]
aws_access_key_id = AKIDWORK
aws_secret_access_key = secret-of-work-0123456789
aws_session_token = token-of-work-0123456789
"""
PLACED = "[profile work]\nregion = ap-southeast-2\n"


async def test_a_profile_says_who_signs_and_for_which_region(tmp_path: Path) -> None:
    told = profile(tmp_path, PLACED, STATIC)
    async with serve(ANSWER, ANSWER) as server:
        told["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"] = server.url
        async with opened(plugin, environment=told) as providers:
            route = providers["bedrock"].route("m")
            await ask(route, request())
            # Whoever has new keys writes them into the file.
            renewed = STATIC.replace("AKIDWORK", "AKIDNEXT")
            (tmp_path / "credentials").write_text(renewed)
            await ask(route, request())
    before, after = (one.headers["authorization"] for one in server.requests)
    assert "Credential=AKIDWORK/" in before
    assert "/ap-southeast-2/bedrock/" in before
    assert "Credential=AKIDNEXT/" in after
    assert server.requests[0].headers["x-amz-security-token"] == (
        "token-of-work-0123456789"
    )


async def test_a_refusal_that_repeats_what_was_signed_shows_no_token(
    tmp_path: Path,
) -> None:
    told = profile(tmp_path, PLACED, STATIC)

    def refuse(asked: Any) -> Answer:
        text = f"the canonical string is {asked.headers['x-amz-security-token']}"
        kind = {"x-amzn-errortype": "InvalidSignatureException"}
        return Answer(json.dumps({"message": text}).encode(), 403, kind)

    async with serve(refuse) as server:
        told["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"] = server.url
        async with opened(plugin, environment=told) as providers:
            with pytest.raises(ProviderError) as caught:
                await ask(providers["bedrock"].route("m"), request())
    assert caught.value.code == "provider.authentication"
    assert "token-of-work" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "credentials", "code"),
    [
        ("[profile other]\nregion = eu-west-1\n", "", "authentication"),
        ("[profile work]\nregion = eu-west-1\n", "", "key_missing"),
        ("[profile work\nregion", "", "authentication"),
        (PLACED + "credential_process = false\n", "", "authentication"),
        (PLACED + "role_arn = arn:aws:iam::1:role/r\n", "", "authentication"),
    ],
    ids=["no such profile", "no keys", "no file of keys", "a command fails", "half"],
)
async def test_credentials_that_cannot_be_had_are_a_typed_error(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    config: str,
    credentials: str,
    code: str,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    told = profile(tmp_path, config, credentials)
    async with opened(plugin, environment=told) as providers:
        with pytest.raises(ProviderError) as caught:
            await ask(providers["bedrock"].route("m"), request())
    assert caught.value.code == f"provider.{code}"


class Renewing:
    """Says who signs, with credentials that end, as a role's do."""

    def __init__(self, *, broken: bool = False) -> None:
        self.asked = 0
        self.broken = broken

    def load_credentials(self) -> Any:
        from botocore.credentials import RefreshableCredentials

        return RefreshableCredentials.create_from_metadata(
            self.renewed(), self.renewed, "test"
        )

    def renewed(self) -> dict[str, str]:
        self.asked += 1
        year = 2001 if self.broken else 2999
        return {
            "access_key": f"AKID{self.asked}",
            "secret_key": "secret-0123456789",
            "token": "token-0123456789",
            "expiry_time": f"{year}-01-01T00:00:00Z",
        }


@pytest.mark.parametrize("broken", [False, True])
async def test_credentials_that_renew_themselves_are_fetched_once(
    monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    renewing = Renewing(broken=broken)
    monkeypatch.setattr(
        "botocore.credentials.CredentialResolver.load_credentials",
        lambda _: renewing.load_credentials(),
    )
    answers = [] if broken else [ANSWER] * 2
    async with serve(*answers) as server:
        environment = {
            "AWS_REGION": "eu-west-3",
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": server.url,
        }
        async with opened(plugin, environment=environment) as providers:
            if broken:
                with pytest.raises(ProviderError) as caught:
                    await ask(providers["bedrock"].route("m"), request())
                assert caught.value.code == "provider.authentication"
                return
            for name in ("m", "n"):
                await ask(providers["bedrock"].route(name), request())
    assert renewing.asked == 1
    assert "Credential=AKID1/" in server.requests[1].headers["authorization"]


@pytest.mark.parametrize("payload", [b"", b"{}", b"not json"])
def test_an_error_frame_of_any_shape_is_an_error(payload: bytes) -> None:
    told = raw_frame(payload, message_type="error", error_message="out of order")
    got = decode("bedrock-converse", events(text("x")) + told)
    assert (got.text, got.finish) == ("x", None)
    assert got.error is not None
    assert got.error.code == "provider.unavailable"
    assert ("out of order" in str(got.error)) == (payload != b"{}")
