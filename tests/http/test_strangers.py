"""What is no server of ours answers the client: another program at that address."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import sha256
from inspect import signature
from typing import Any, get_args

import anyio
import dovetail.kernel as kernel
import httpx
import pytest
from dovetail.kernel import (
    DovetailError,
    ExportedEvent,
    Job,
    JobId,
    MessageId,
    ServerAnswerError,
    ServerAnswerTooLargeError,
    ServerError,
    ServerLogError,
    ServerUnreachableError,
    SessionId,
    to_json,
)
from dovetail.plugins.client import RemoteRuntime, answer, connect, wire
from dovetail.plugins.http.problems import answer_to


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
MORE: dict[str, Callable[[RemoteRuntime], Awaitable[Any]]] = {
    **ASKS,
    "export": lambda runtime: first(runtime.sessions.at("a").export()),
    "file": lambda runtime: runtime.sessions.at("a").file("0" * 64),
    "rename": lambda runtime: runtime.sessions.at("a").rename("Title"),
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


@pytest.mark.parametrize("asked", ["create", "get", "list", "find", "pending"])
async def test_an_answer_that_lacks_what_was_asked_for_is_the_servers_fault(
    asked: str,
) -> None:
    async with answering(httpx.Response(200, json={"object": "list"})) as runtime:
        with pytest.raises(ServerError, match="is no server"):
            await ASKS[asked](runtime)


@pytest.fixture
def bounded(monkeypatch: pytest.MonkeyPatch) -> int:
    """So many bytes are read of an answer."""
    monkeypatch.setattr(wire, "MAX_PART", 100_000)
    return 100_000


class Endless(httpx.AsyncByteStream):
    """Goes on, and counts what was taken of it."""

    def __init__(self, begin: bytes = b"") -> None:
        self._begin = begin
        self.given = 0
        self.closed = False

    def __aiter__(self) -> "Endless":
        return self

    async def __anext__(self) -> bytes:
        if self.closed:
            raise StopAsyncIteration
        assert self.given < 1_000_000, "it is read without a bound"
        part, self._begin = self._begin or b"x" * 10_000, b""
        self.given += len(part)
        return part

    async def aclose(self) -> None:
        self.closed = True


ENDLESS: dict[str, tuple[bytes, str]] = {
    "get": (b'{"data": "', "application/json"),
    "list": (b"", "text/html"),
    "events": (b"data: ", "text/event-stream"),
    "export": (b'{"seq": "', "application/x-ndjson"),
    "file": (b"", "application/octet-stream"),
    "rename": (b"{", "application/json"),
}


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("asked", ENDLESS)
async def test_an_answer_without_an_end_is_given_up(
    asked: str, status: int, bounded: int
) -> None:
    begin, kind = ENDLESS[asked]
    stream = Endless(begin)
    answer = httpx.Response(status, stream=stream, headers={"content-type": kind})
    async with answering(answer) as runtime:
        with pytest.raises(ServerAnswerTooLargeError, match="4096") as caught:
            await MORE[asked](runtime)
        assert caught.value.most == bounded
    assert stream.given <= bounded + 10_000
    assert stream.closed


@pytest.mark.parametrize("asked", ["get", "events", "export"])
async def test_an_answer_of_ever_so_many_parts_is_not_taken_apart(
    asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each may take thirty times as much memory as what was sent of it."""
    monkeypatch.setattr(answer, "MOST_PARTS", 1000)
    kinds = {"events": "text/event-stream", "export": "application/x-ndjson"}
    begin, end = (b"id: 0\ndata: ", b"\n\n") if asked == "events" else (b"", b"\n")
    for part, wrong in (
        (b"[],", True),
        (b'{"":0},', True),
        (b'"many letters",', False),
    ):
        data = b'{"data": [' + part * 600 + b"0]}"
        told = httpx.Response(
            200,
            content=begin + data + end,
            headers={"content-type": kinds.get(asked, "application/json")},
        )
        async with answering(told) as runtime:
            with pytest.raises(ServerAnswerError) as caught:
                await MORE[asked](runtime)
        assert ("1000 parts" in str(caught.value)) == wrong


async def test_a_value_of_several_answers_does_not_go_on_without_an_end(
    bounded: int,
) -> None:
    asked: list[int] = []
    step = 0

    def page(request: httpx.Request) -> httpx.Response:
        asked.append(int(request.url.params["offset"]))
        return httpx.Response(
            200, json={"data": {"text": "x" * 999, "next": asked[-1] + step}}
        )

    transport = httpx.MockTransport(page)
    for step in (0, -5, 1000):
        asked.clear()
        async with connect("http://localhost", transport=transport) as runtime:
            with pytest.raises(ServerAnswerError):
                await runtime.sessions.at("a").output("m", "c")
        assert len(asked) <= (bounded // 1000 + 1 if step > 0 else 1)


@pytest.mark.parametrize("what", ["wait", "wait_for_job"])
async def test_a_server_that_does_not_wait_is_not_asked_without_a_pause(
    what: str,
) -> None:
    job = Job(
        id=JobId("job_a"),
        session_id=SessionId("a"),
        message_id=MessageId("m"),
        call_id="c",
        tool="bash",
        title="sleep",
        output="out",
        process=None,
        worker=None,
        started=1,
    )
    asked = 0

    def at_once(request: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        return httpx.Response(
            200, json={"data": to_json(job) if "job" in request.url.path else None}
        )

    transport = httpx.MockTransport(at_once)
    async with connect("http://localhost", transport=transport) as runtime:
        session = runtime.sessions.at("a")
        with anyio.move_on_after(1):
            await (session.wait() if what == "wait" else session.wait_for_job("job_a"))
    # A tenth of a second lies between two of them.
    assert 1 <= asked <= 11


@pytest.mark.parametrize("packed", ["gzip", "br", "zstd", "gzip, gzip"])
async def test_what_is_packed_is_not_unpacked(packed: str) -> None:
    """A thousand bytes of it may be a million."""
    headers = {"content-encoding": packed, "content-type": "application/json"}
    stream = Endless()
    answer = httpx.Response(200, headers=headers, stream=stream)
    async with answering(answer) as runtime:
        with pytest.raises(ServerAnswerError, match="packed"):
            await ASKS["get"](runtime)
    assert stream.given == 0


async def test_bytes_are_those_of_their_key() -> None:
    async with answering(httpx.Response(200, content=b"Hi")) as runtime:
        session = runtime.sessions.at("a")
        assert await session.file(sha256(b"Hi").hexdigest()) == b"Hi"
        with pytest.raises(ServerAnswerError, match="key"):
            await session.file(sha256(b"Ho").hexdigest())


@pytest.mark.parametrize("status", [200, 201, 302])
async def test_what_is_done_is_not_believed_of_a_stranger(status: int) -> None:
    """Nothing is answered to what changes something: only that it was done."""
    async with answering(httpx.Response(status, json={})) as runtime:
        with pytest.raises(ServerAnswerError, match=str(status)) as caught:
            await runtime.sessions.at("a").rename("Title")
    assert caught.value.status == status
    assert caught.value.asked == "PUT /api/session/a/title"


async def test_an_export_lacks_nothing() -> None:
    events = [
        ExportedEvent("a", seq, "session.titled", 1, 1, {"title": "x"})
        for seq in range(4)
    ]
    lines = [one.to_line() + "\n" for one in events]

    async def read(*told: str, after: int | None = None) -> list[ExportedEvent]:
        answer = httpx.Response(200, content="".join(told).encode())
        async with (
            answering(answer) as runtime,
            runtime.sessions.at("a").export(after) as export,
        ):
            return [one async for one in export]

    assert await read(*lines) == events
    assert await read(*lines[2:], after=1) == events[2:]
    for wrong in (lines[1:], [*lines[:2], lines[3]], [*lines[:2], *lines[1:]]):
        with pytest.raises(ServerLogError):
            await read(*wrong)
    with pytest.raises(ServerUnreachableError):
        await read(*lines, lines[3][:-5])
    with pytest.raises(ServerAnswerError) as caught:
        await read(lines[0], '{"seq": 1, "data": {}}\n')
    assert caught.value.path


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "//x",
        "http://",
        "ftp://localhost",
        "http://[::1",
        "http://localhost:x",
        "http://localhost:99999",
        "http://me:secret",
        "http://me:secret@localhost",
        "http://\0",
    ],
)
def test_what_is_no_address_is_told_without_what_is_in_it(url: str) -> None:
    with pytest.raises(ServerError) as caught:
        connect(url)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "token", ["sécret-sécret-sécret", "secret\nsecret", "secret\0"]
)
def test_a_token_that_cannot_be_shown_is_told_without_what_it_is(token: str) -> None:
    with pytest.raises(ServerError) as caught:
        connect("http://localhost", token)
    assert "cret" not in str(caught.value)


def sample(kind: type[DovetailError]) -> DovetailError:
    """Return an error with facts of all the types that its constructor takes."""
    values: dict[Any, Any] = {
        str: "x",
        int: 5,
        float: 0.5,
        bool: True,
        Sequence[str]: ("$: a", "$.b: c"),
        Sequence[str | int]: ("a", 1),
        Mapping[str, Any] | None: {"chosen": ["a"]},
    }
    if not any(
        "__init__" in vars(one)
        for one in kind.__mro__[: kind.__mro__.index(DovetailError)]
    ):
        return kind("what happened")
    given = {}
    for name, one in signature(kind, eval_str=True).parameters.items():
        wanted = one.annotation
        options = [*get_args(wanted), wanted]
        found = [values[option] for option in (wanted, *options) if option in values]
        given[name] = found[0] if found else (get_args(wanted) or ("x",))[0]
    return kind(**given)


KINDS = sorted(
    {
        one
        # All of them, in every process: those of its vars were asked for by somebody.
        for one in (getattr(kernel, name) for name in kernel.__all__)
        if isinstance(one, type)
        and issubclass(one, DovetailError)
        and not issubclass(one, ServerError)
    },
    key=lambda one: one.__name__,
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda one: one.__name__)
async def test_an_error_has_the_facts_that_it_had(kind: type[DovetailError]) -> None:
    error = sample(kind)
    status, _, body = answer_to(error)
    async with answering(httpx.Response(status, json=body)) as runtime:
        with pytest.raises(DovetailError) as caught:
            await ASKS["get"](runtime)
    assert type(caught.value) is kind
    assert str(caught.value) == str(error)
    assert vars(caught.value) == vars(error)
    assert caught.value.code == error.code
    # And each of them is of the type that it has here.
    for name, fact in body.get("details", {}).items():
        if name == "usage":
            continue  # which is not told
        less = {**body, "details": {**body["details"], name: [[fact]]}}
        async with answering(httpx.Response(status, json=less)) as runtime:
            with pytest.raises(ServerAnswerError) as wrong:
                await ASKS["get"](runtime)
        assert wrong.value.path[:2] == ("details", name)
        assert wrong.value.status == status
