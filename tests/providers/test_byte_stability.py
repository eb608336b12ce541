"""Within an epoch each request begins with the bytes of the one before it."""

import base64
import json
from typing import Any

import pytest
from dovetail.kernel import (
    Failure,
    FileContent,
    Message,
    ModelRequest,
    NoticeMessage,
    Part,
    PromptFile,
    ReasoningPart,
    RequestBody,
    TextContent,
    TextPart,
    ToolPart,
    UserMessage,
)
from dovetail.kernel.values.ids import MessageId
from dovetail.plugins.providers.cohere_chat import CohereProtocol
from dovetail.plugins.providers.endpoints import Endpoint
from hypothesis import HealthCheck, given, settings, strategies as st
from support.requests import SESSION, WEATHER, Given, assistant
from support.wire import WRITERS

PROTOCOLS: dict[str, Any] = {name: made for name, (made, _) in WRITERS.items()}
PROTOCOLS["cohere-chat"] = CohereProtocol
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(24)).decode()

TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=12
).filter(str.strip)
PICTURES = st.just(FileContent("image/png", PNG, "p.png"))


@st.composite
def calls(draw: st.DrawFn) -> list[tuple[str, Any, Any]]:
    """Draw what is said of some calls: arguments and what they came to."""
    arguments = st.dictionaries(TEXTS, TEXTS | st.integers(), max_size=2)
    contents = st.lists(TEXTS.map(TextContent) | PICTURES, max_size=2)
    return draw(
        st.lists(
            st.tuples(
                arguments.map(lambda one: json.dumps(one, ensure_ascii=False)),
                contents,
                st.none() | TEXTS,
            ),
            max_size=3,
        )
    )


@st.composite
def transcripts(draw: st.DrawFn) -> list[Message]:
    """Draw a session: what is said to a model, its answer, and again."""
    made: list[Message] = []
    for turn in range(draw(st.integers(2, 5))):
        for _ in range(draw(st.integers(0, 2))):
            name = MessageId(f"msg_{len(made)}")
            if draw(st.booleans()):
                said = PromptFile("image/png", PNG, "p.png")
                files = (said,) if draw(st.booleans()) else ()
                text = draw(TEXTS)
                made.append(UserMessage(name, SESSION, len(made), 0, text, files=files))
            else:
                made.append(NoticeMessage(name, SESSION, len(made), 0, draw(TEXTS)))
        if not made:
            name = MessageId("msg_first")
            made.append(UserMessage(name, SESSION, 0, 0, draw(TEXTS)))
        parts: list[Part] = []
        if draw(st.booleans()):
            parts.append(ReasoningPart(draw(TEXTS)))
        parts.append(TextPart(draw(TEXTS)))
        for at, (arguments, content, failed) in enumerate(draw(calls())):
            failure = Failure("tool.failed", failed) if failed else None
            state = "failed" if failed else "succeeded"
            shown = tuple(content) or (TextContent("done"),)
            parts.append(
                ToolPart(
                    f"call_{turn}_{at}",
                    "get_weather",
                    arguments,
                    state,
                    () if failed else shown,
                    failure,
                )
            )
        made.append(assistant(*parts, seq=len(made), model="scripted/model"))
    return made


def requests(messages: list[Message]) -> list[ModelRequest]:
    """Return the requests of a session: one before each answer, and one at its end."""
    ends = [
        at
        for at, one in enumerate(messages)
        if type(one).__name__ == "AssistantMessage"
    ]
    kept: dict[str, dict[str, bytes]] = {}
    return [
        ModelRequest(
            model="model",
            system=("Be brief.", "It is Monday."),
            history=Given(messages[:end], kept),
            tools=(WEATHER,),
        )
        for end in [*ends, len(messages)]
    ]


def until_its_end(body: RequestBody) -> bytes:
    """Return what the next one begins with: all up to its mark, or its messages."""
    whole = body.head + b",".join(body.messages)
    return whole[: len(whole) - body.closes]


@pytest.mark.law("context.1")
@pytest.mark.parametrize("protocol", PROTOCOLS)
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(messages=transcripts())
def test_each_request_begins_with_the_one_before(
    protocol: str, messages: list[Message]
) -> None:
    where = Endpoint("scripted", "https://example.invalid")
    writer = PROTOCOLS[protocol](where, "model")
    before: bytes | None = None
    for one in requests(messages):
        body = writer.write(one)
        json.loads(body.data)
        if before is not None:
            assert body.data.startswith(before)
        before = until_its_end(body)


def points(value: Any) -> int:
    """Count the places up to which a provider is asked to keep a request."""
    if isinstance(value, dict):
        here = sum(name in ("cache_control", "cachePoint") for name in value)
        return here + sum(points(one) for one in value.values())
    return sum(points(one) for one in value) if isinstance(value, list) else 0


@pytest.mark.parametrize(
    ("protocol", "url", "model"),
    [
        ("anthropic-messages", "https://api.anthropic.com/v1", "claude-sonnet-4-6"),
        ("anthropic-messages", "https://example.invalid", "claude-sonnet-4-6"),
        ("bedrock-converse", "https://example.invalid", "anthropic.claude-sonnet-4-6"),
    ],
)
@given(messages=transcripts())
@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_tools_system_and_last_messages_are_kept_at_no_more_than_four_places(
    protocol: str, url: str, model: str, messages: list[Message]
) -> None:
    writer = PROTOCOLS[protocol](Endpoint("scripted", url), model)
    for one in requests(messages):
        made = json.loads(writer.write(one).data)
        assert 2 <= points(made) <= 4
        assert points(made["tools" if "tools" in made else "toolConfig"]) == 1
        assert points(made["system"]) == 1
        last = made["messages"][-1]
        # Anthropic itself finds the last message by itself, where it is told to.
        wanted = last["role"] == "user" and "cache_control" not in made
        assert points(last) == wanted
        assert not any(points(one) for one in made["messages"][:-1])
