"""Decoding: what a stream costs over a bare read of its bytes, protocol by protocol;
and what a request costs in a long session.

Nothing of sessions is in it: a route is asked, and its events are counted.
"""

from collections.abc import Callable, Mapping
from time import perf_counter, process_time
from typing import Any

import httpx
from attrs import evolve
from delta_server import DELTAS, WORD, delta_server
from dovetail.kernel import (
    AssistantMessage,
    Location,
    Message,
    MessageId,
    ModelRequest,
    Place,
    Provider,
    SessionId,
    TextContent,
    TextDelta,
    TextPart,
    ToolPart,
    UserMessage,
)
from dovetail.kernel.history.encoding import Encoded
from dovetail.plugins.providers import anthropic, bedrock, google, ollama, openai
from dovetail.plugins.providers.anthropic import MessagesProtocol
from dovetail.plugins.providers.contents import GeminiProtocol
from dovetail.plugins.providers.converse import ConverseProtocol
from dovetail.plugins.providers.endpoints import Endpoint
from dovetail.plugins.providers.ollama_chat import OllamaProtocol
from dovetail.plugins.providers.openai import ChatProtocol
from dovetail.plugins.providers.responses import ResponsesProtocol
from measure import Bench, Line, Series, interleaved

SPOKEN: Mapping[str, tuple[Any, str]] = {
    "chat": (openai, "openai-chat"),
    "messages": (anthropic, "anthropic-messages"),
    "responses": (openai, "openai-responses"),
    "gemini": (google, "google-generate"),
    "ollama": (ollama, "ollama-chat"),
    "converse": (bedrock, "bedrock-converse"),
}
WRITERS: Mapping[str, Any] = {
    "openai-chat": ChatProtocol,
    "anthropic-messages": MessagesProtocol,
    "openai-responses": ResponsesProtocol,
    "google-generate": GeminiProtocol,
    "ollama-chat": OllamaProtocol,
    "bedrock-converse": ConverseProtocol,
}


async def decoding(bench: Bench) -> list[Line]:
    """10,000 pieces of text over a bare read of the same bytes, for each protocol."""
    lines: list[Line] = []
    with delta_server() as url:
        for name in SPOKEN:
            lines.append(await _decoded(bench, name, f"{url}/{name}"))
    return lines


async def _decoded(bench: Bench, name: str, url: str) -> Line:
    spoken, protocol = SPOKEN[name]
    table = {"protocol": protocol, "base_url": url, "api_key": "none-needed"}
    place = Place(
        Location("/"), providers={"there": table}, protocols={"there": protocol}
    )
    async with (
        spoken.plugin.dovetail_open_location(place=place) as resource,
        httpx.AsyncClient() as client,
    ):
        found: list[Provider] = []
        spoken.plugin.dovetail_register_providers(
            register=found.append, place=evolve(place, resource=resource)
        )
        route = found[0].route("m")

        async def ours() -> float:
            began, count = process_time(), 0
            async with route.stream(_request(_said_hello())) as events:
                async for event in events:
                    count += isinstance(event, TextDelta)
            assert count == DELTAS, count
            return process_time() - began

        async def bare() -> float:
            began, size = process_time(), 0
            async with client.stream("POST", f"{url}/any", content=b"{}") as response:
                async for piece in response.aiter_raw():
                    size += len(piece)
            assert size > DELTAS
            return process_time() - began

        programs = {"ours": ours, "bare": bare}
        series = await interleaved(programs, bench.of(3, 15), warm_up=1)
    what = f"10,000 deltas of {protocol} over a bare read, processor time"
    return Line(what, "ms", series["ours"], series["bare"], "at most 3")


# --- long sessions ----------------------------------------------------------------


class _History:
    """The history of a session that grows: each message is encoded once, and joined
    with what is before it once, as the kernel has it."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self._encoded: dict[str, Encoded] = {}

    def encoded(
        self,
        dialect: str,
        encode: Callable[[Any], bytes],
        join: Callable[[bytes, bytes], bytes | None] | None = None,
    ) -> list[bytes]:
        kept = self._encoded.setdefault(dialect, Encoded())
        for message in self.messages[len(kept.pieces) :]:
            kept.pieces.append(encode(message))
        end = len(kept.pieces)
        return kept.pieces[:] if join is None else kept.joined(0, end, join)


async def requests(bench: Bench) -> list[Line]:
    """Building the 500th request of a session over the 5th, bytes aside."""
    return [_grown(bench, name, writer) for name, writer in WRITERS.items()]


def _grown(bench: Bench, name: str, writer: Any) -> Line:
    early, late = [], []
    for _ in range(bench.of(3, 15)):
        took = _built(writer)
        early.append(sum(took[3:8]) / 5)
        late.append(sum(took[495:500]) / 5)
    what = f"the 500th request of {name} over the 5th, bytes aside"
    ours, against = Series(tuple(late)), Series(tuple(early))
    return Line(what, "us", ours, against, "about 1")


def _built(writer: Any) -> list[float]:
    """Return what each of 500 requests of a session took that grows by a call each."""
    history = _History()
    endpoint = Endpoint("there", "https://example.invalid")
    protocol, took = writer(endpoint, "m"), []
    for number in range(500):
        history.messages += _said(number)
        request = _request(history)
        began = perf_counter()
        # The bytes are copied once, which nothing can save; what is left is ours.
        protocol.write(request)
        took.append(perf_counter() - began)
    return took


def _said_hello() -> "_History":
    history = _History()
    history.messages += _said(0)[:1]
    return history


def _said(number: int) -> list[Message]:
    session, name = SessionId("ses_benchmark"), f"msg_{number}"
    call = ToolPart(
        f"call_{number}",
        "read",
        '{"path":"notes.txt"}',
        "succeeded",
        (TextContent(WORD * 20),),
    )
    answer = (TextPart(WORD * 5), call)
    return [
        UserMessage(MessageId(f"{name}u"), session, 2 * number, 0, WORD),
        AssistantMessage(
            MessageId(f"{name}a"),
            session,
            2 * number + 1,
            0,
            "build",
            "there/m",
            answer,
            finish="tool_calls",
            ended=1,
        ),
    ]


def _request(history: "_History") -> ModelRequest:
    return ModelRequest("m", ("Be brief.",), history)
