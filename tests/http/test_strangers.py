"""What is no server of ours answers the client: another program at that address."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from dovetail.kernel import ServerError
from dovetail.plugins.client import RemoteRuntime, connect


async def first(events: Any) -> Any:
    async with events:
        return await anext(events)


ASKS: dict[str, Callable[[RemoteRuntime], Awaitable[Any]]] = {
    "create": lambda runtime: runtime.sessions.create("a"),
    "get": lambda runtime: runtime.sessions.get("a"),
    "list": lambda runtime: runtime.sessions.list(),
    "find": lambda runtime: runtime.sessions.find("a"),
    "pending": lambda runtime: runtime.requests.pending(),
    "events": lambda runtime: first(runtime.sessions.at("a").events()),
    "log": lambda runtime: first(runtime.events()),
}


def answering(answer: httpx.Response) -> RemoteRuntime:
    return connect(
        "http://127.0.0.1:4096", transport=httpx.MockTransport(lambda _: answer)
    )


@pytest.mark.parametrize("asked", ASKS)
@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"<html>log in</html>", "text/html"),
        (b"", "application/json"),
        (b"[]", "application/json"),
        (b"null", "application/json"),
        (b'{"data":', "application/json"),
        (b"[" * 200_000, "application/json"),
        (b"\xff", "application/json"),
        (b"id: first\ndata: {}\n\n", "text/event-stream"),
        (b"id: 1\ndata: {\n\n", "text/event-stream"),
        (b"id: 1\ndata: [1]\n\n", "text/event-stream"),
        (b"id: 1\ndata: {}\n\n", "text/event-stream"),
        (b"data: \xff\xfe\n\n", "text/event-stream"),
    ],
    ids=lambda one: one[:16].decode(errors="replace") if isinstance(one, bytes) else "",
)
async def test_another_program_at_the_address_is_named_as_what_it_is(
    data: bytes, kind: str, asked: str
) -> None:
    answer = httpx.Response(200, content=data, headers={"content-type": kind})
    async with answering(answer) as runtime:
        with pytest.raises(ServerError, match=r"127\.0\.0\.1:4096 is no server"):
            await ASKS[asked](runtime)


@pytest.mark.parametrize("asked", ["create", "list", "find", "pending"])
async def test_an_answer_that_lacks_what_was_asked_for_is_the_servers_fault(
    asked: str,
) -> None:
    async with answering(httpx.Response(200, json={"object": "list"})) as runtime:
        with pytest.raises(ServerError, match="is no server"):
            await ASKS[asked](runtime)


async def test_an_event_without_an_end_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from dovetail.plugins.client import wire

    monkeypatch.setattr(wire, "MAX_PART", 100_000)

    async def long() -> Any:
        yield b"data: "
        for _ in range(20):
            yield b"x" * 10_000

    answer = httpx.Response(
        200, content=long(), headers={"content-type": "text/event-stream"}
    )
    async with answering(answer) as runtime:
        with pytest.raises(ServerError, match="100000 bytes"):
            await ASKS["events"](runtime)
