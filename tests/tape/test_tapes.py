"""A tape gives back what was recorded, byte for byte, and nothing else."""

import gzip
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import orjson
import pytest
from dovetail.kernel import (
    ConfigurationError,
    InvalidValueError,
    NotOnTapeError,
    ProviderError,
    TapeDamagedError,
    TapeError,
    open_runtime,
)
from dovetail.kernel.testing import Tape, TapeMode, open_tape
from dovetail.plugins.providers.openai import plugin as openai
from support.bounds import HANG
from support.replay import Answer, Replay, serve, sse
from support.requests import ask, opened, request

BINARY = bytes(range(256)) * 3
PIECES = (b"data: one\n\n", b"data: t", b"wo\n\n", b"\xf0\x9f", b"\x92\xa1\n\n")
ADDRESS = "http://service.test/v1/answers"


class Body(httpx.AsyncByteStream):
    """A body that comes as it is told, and may end badly."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self._left = iter(pieces)
        self.closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await anyio.lowlevel.checkpoint()
        for one in self._left:
            if isinstance(one, Exception):
                raise one
            return one
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.closed = True


class Network(httpx.AsyncBaseTransport):
    """Answers in the order in which it is asked, and counts how often it was."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self._answers = list(answers)
        self.asked: list[httpx.Request] = []
        self.closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def aclose(self) -> None:
        self.closed = True


def answered(*pieces: bytes | Exception, status: int = 200, **headers: str) -> Any:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, headers=told, stream=Body(*pieces))


async def pieces_of(
    client: httpx.AsyncClient, body: bytes = b"{}", **more: Any
) -> list[bytes]:
    async with client.stream("POST", ADDRESS, content=body, **more) as response:
        return [piece async for piece in response.aiter_raw()]


def content(path: Path) -> bytes:
    return path.read_bytes()


def lay(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)


def there(path: Path) -> bool:
    return path.exists()


def beside(path: Path) -> list[str]:
    return [one.name for one in path.parent.iterdir()]


def mode_of(path: Path) -> int:
    return path.stat().st_mode


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tapes" / "one.jsonl"


@pytest.mark.law("tapes.1")
async def test_a_recorded_answer_comes_again_in_the_same_pieces(path: Path) -> None:
    network = Network(answered(*PIECES, content_type="text/event-stream"))
    async with (
        open_tape(path, "missing") as tape,
        httpx.AsyncClient(transport=tape.over(network)) as client,
    ):
        assert await pieces_of(client) == list(PIECES)
    assert network.closed
    async with (
        open_tape(path) as tape,
        httpx.AsyncClient(transport=tape.over(None)) as client,
        client.stream("POST", ADDRESS, content=b"{}") as response,
    ):
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/event-stream"
        assert [piece async for piece in response.aiter_raw()] == list(PIECES)
        assert not tape.unused


@pytest.mark.law("tapes.1")
async def test_bodies_of_any_bytes_come_again(path: Path) -> None:
    async with open_tape(path, "anew") as tape:
        network = Network(answered(BINARY, BINARY[7:], status=418))
        async with httpx.AsyncClient(transport=tape.over(network)) as client:
            await pieces_of(client, BINARY)
    async with open_tape(path) as tape:
        async with httpx.AsyncClient(transport=tape.over()) as client:
            assert await pieces_of(client, BINARY) == [BINARY, BINARY[7:]]
        assert tape.interactions[0].request.body == BINARY
        assert tape.interactions[0].answer.status == 418


async def test_a_body_is_kept_to_the_byte_however_it_is_written(path: Path) -> None:
    bodies = [
        b'{"a":1,"b":[1.0,null,true]}',
        b'{"a": 1}',
        b'{"a":1e2}',
        b'{"a":1,"a":2}',
        b'"\\u00e9"',
        "é".encode(),
        b"[" * 5000 + b"]" * 5000,
        b"",
    ]
    async with open_tape(path, "anew") as tape:
        network = Network(*(answered(b"%d" % at) for at in range(len(bodies))))
        async with httpx.AsyncClient(transport=tape.over(network)) as client:
            for body in bodies:
                await pieces_of(client, body)
    async with (
        open_tape(path) as tape,
        httpx.AsyncClient(transport=tape.over()) as client,
    ):
        for at, body in reversed(list(enumerate(bodies))):
            assert await pieces_of(client, body) == [b"%d" % at]


@pytest.mark.law("tapes.1")
async def test_equal_requests_get_their_answers_in_the_order_of_the_tape(
    path: Path,
) -> None:
    async with open_tape(path, "missing") as tape:
        network = Network(answered(b"first"), answered(b"second"))
        async with httpx.AsyncClient(transport=tape.over(network)) as client:
            assert await pieces_of(client) == [b"first"]
            assert await pieces_of(client) == [b"second"]
        assert len(network.asked) == 2
    async with (
        open_tape(path) as tape,
        httpx.AsyncClient(transport=tape.over()) as client,
    ):
        assert await pieces_of(client) == [b"first"]
        assert len(tape.unused) == 1
        assert await pieces_of(client) == [b"second"]
        with pytest.raises(NotOnTapeError, match="recorded 2 times, and all"):
            await pieces_of(client)


@pytest.mark.law("tapes.1")
async def test_many_at_once_each_get_their_own_answer(path: Path) -> None:
    count = 40
    async with open_tape(path, "missing") as tape:

        class Echo(httpx.AsyncBaseTransport):
            async def handle_async_request(
                self, request: httpx.Request
            ) -> httpx.Response:
                body = await request.aread()
                return answered(body[:1], body[1:], body)  # type: ignore[no-any-return]

        async with httpx.AsyncClient(transport=tape.over(Echo())) as client:
            await _all_at_once(client, count)
    assert len(content(path).splitlines()) == 1 + count * 6
    async with open_tape(path) as tape:
        async with httpx.AsyncClient(transport=tape.over()) as client:
            await _all_at_once(client, count)
        assert tape.unused == ()


async def _all_at_once(client: httpx.AsyncClient, count: int) -> None:
    async def one(number: int) -> None:
        body = b'{"n":%d}' % number
        assert b"".join(await pieces_of(client, body)) == body * 2

    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            for number in range(count):
                tasks.start_soon(one, number)


@pytest.mark.law("tapes.1")
@pytest.mark.parametrize(
    "error",
    [
        httpx.ReadTimeout("it was silent"),
        httpx.RemoteProtocolError("peer closed connection"),
        httpx.ReadError("gone"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_stream_breaks_off_where_it_broke_off(
    path: Path, error: httpx.TransportError
) -> None:
    async with open_tape(path, "missing") as tape:
        network = Network(answered(b"one", b"two", error))
        async with httpx.AsyncClient(transport=tape.over(network)) as client:
            with pytest.raises(type(error)):
                await pieces_of(client)
    async with (
        open_tape(path) as tape,
        httpx.AsyncClient(transport=tape.over()) as client,
        client.stream("POST", ADDRESS, content=b"{}") as response,
    ):
        body = response.aiter_raw()
        assert [await anext(body), await anext(body)] == [b"one", b"two"]
        with pytest.raises(type(error), match=str(error)):
            await anext(body)


@pytest.mark.parametrize(
    "error",
    [
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("nobody"),
        httpx.PoolTimeout(""),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_could_not_be_asked_cannot_be_asked_again(
    path: Path, error: httpx.TransportError
) -> None:
    async with open_tape(path, "missing") as tape:
        async with httpx.AsyncClient(transport=tape.over(Network(error))) as client:
            with pytest.raises(type(error)):
                await pieces_of(client)
        assert tape.interactions[0].answer.status is None
    async with (
        open_tape(path) as tape,
        httpx.AsyncClient(transport=tape.over()) as client,
    ):
        with pytest.raises(type(error)):
            await pieces_of(client)


async def test_an_answer_that_was_left_is_recorded_as_far_as_it_was_read(
    path: Path,
) -> None:
    body = Body(b"one", b"two", b"three")
    async with open_tape(path, "missing") as tape:
        network = Network(httpx.Response(200, stream=body))
        async with tape.over(network) as transport:
            asked = httpx.Request("POST", ADDRESS, content=b"{}")
            response = await transport.handle_async_request(asked)
            assert isinstance(response.stream, httpx.AsyncByteStream)
            assert await anext(aiter(response.stream)) == b"one"
            await response.aclose()
    assert body.closed
    async with (
        open_tape(path) as tape,
        httpx.AsyncClient(transport=tape.over()) as client,
    ):
        with pytest.raises(httpx.ReadError, match="left here"):
            await pieces_of(client)


@pytest.mark.parametrize(("mode", "lines"), [("missing", 0), ("tap", 3)])
async def test_a_request_that_is_cancelled_is_no_answer(
    path: Path, mode: TapeMode, lines: int
) -> None:
    reached = anyio.Event()

    class Silent(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            reached.set()
            await anyio.sleep_forever()
            raise AssertionError

    async with open_tape(path, mode) as tape:
        client = httpx.AsyncClient(transport=tape.over(Silent()))
        async with client:
            with anyio.fail_after(HANG):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(pieces_of, client)
                    await reached.wait()
                    tasks.cancel_scope.cancel()
    assert len(content(path).splitlines() if there(path) else []) == lines


@pytest.mark.law("tapes.2")
async def test_a_request_that_is_not_on_the_tape_is_told_with_the_nearest(
    path: Path,
) -> None:
    bodies = [
        {"model": "m", "messages": [{"role": "user", "content": "Hello"}]},
        {"model": "other", "messages": [], "tools": [{"name": "read"}]},
    ]
    async with open_tape(path, "missing") as tape:
        network = Network(answered(b"1"), answered(b"2"))
        async with httpx.AsyncClient(transport=tape.over(network)) as client:
            for body in bodies:
                await pieces_of(client, orjson.dumps(body))
    async with (
        open_tape(path) as tape,
        httpx.AsyncClient(transport=tape.over()) as client,
    ):
        asked = {"model": "m", "messages": [{"role": "user", "content": "Hello!"}]}
        with pytest.raises(NotOnTapeError) as caught:
            await pieces_of(client, orjson.dumps(asked))
        (told,) = caught.value.differences
        assert told == ("body.messages[0].content: recorded 'Hello', asked 'Hello!'")
        assert caught.value.code == "tape.no_such_request"
        assert "request 1 of 2" in str(caught.value)
        with pytest.raises(NotOnTapeError, match="url: recorded"):
            await client.post("http://service.test/v2", content=orjson.dumps(bodies[0]))
        with pytest.raises(NotOnTapeError, match="method: recorded 'POST', asked"):
            await client.request("PUT", ADDRESS, content=orjson.dumps(bodies[0]))
        # It takes nothing off the tape.
        assert await pieces_of(client, orjson.dumps(bodies[0])) == [b"1"]


@pytest.mark.law("tapes.2")
async def test_long_differences_are_told_shortly(path: Path) -> None:
    text = "word " * 20_000
    async with open_tape(path, "missing") as tape:
        network = Network(answered(b"1"))
        async with httpx.AsyncClient(transport=tape.over(network)) as client:
            await pieces_of(client, orjson.dumps({"a": text + "x" + text}))
    async with (
        open_tape(path) as tape,
        httpx.AsyncClient(transport=tape.over()) as client,
    ):
        for asked in (
            {"a": text + "y" + text},
            {f"k{at}": at for at in range(1000)},
        ):
            with pytest.raises(NotOnTapeError) as caught:
                await pieces_of(client, orjson.dumps(asked))
            assert len(str(caught.value)) < 2000
        with pytest.raises(NotOnTapeError, match="body: asked"):
            await pieces_of(client, b"\xff" * 5000)


async def test_headers_count_where_they_are_chosen(path: Path) -> None:
    async with open_tape(path, "missing", headers=("X-Beta",)) as tape:
        network = Network(answered(b"1"), answered(b"2"))
        async with httpx.AsyncClient(transport=tape.over(network)) as client:
            await pieces_of(client, headers={"x-beta": "a", "x-run": "1"})
            await pieces_of(client, headers={"x-beta": "b", "x-run": "2"})
    async with (
        open_tape(path, headers=("X-Beta",)) as tape,
        httpx.AsyncClient(transport=tape.over()) as client,
    ):
        assert await pieces_of(client, headers={"x-beta": "b"}) == [b"2"]
        with pytest.raises(NotOnTapeError, match="header x-beta: recorded 'a', asked"):
            await pieces_of(client, headers={"x-beta": "c"})


async def test_what_varies_from_run_to_run_can_be_made_the_same(path: Path) -> None:
    def steady(body: bytes) -> bytes:
        return body.replace(b"today", b"DAY").replace(b"tomorrow", b"DAY")

    async with open_tape(path, "missing", steady=steady) as tape:
        network = Network(answered(b"1"))
        async with httpx.AsyncClient(transport=tape.over(network)) as client:
            await pieces_of(client, b"today")
        assert await network.asked[0].aread() == b"today"
    async with (
        open_tape(path, steady=steady) as tape,
        httpx.AsyncClient(transport=tape.over()) as client,
    ):
        assert await pieces_of(client, b"tomorrow") == [b"1"]


# --- modes and files --------------------------------------------------------------


async def test_only_what_is_missing_is_recorded(path: Path) -> None:
    for answers in ([answered(b"old")], [answered(b"new")]):
        async with open_tape(path, "missing") as tape:
            network = Network(*answers)
            async with httpx.AsyncClient(transport=tape.over(network)) as client:
                assert await pieces_of(client, b"1") == [b"old"]
                if there(path) and not network.asked:
                    assert await pieces_of(client, b"2") == [b"new"]
    async with open_tape(path) as tape:
        assert [one.request.body for one in tape.interactions] == [b"1", b"2"]


async def test_a_tape_is_recorded_anew_only_if_all_went_well(path: Path) -> None:
    async with open_tape(path, "missing") as tape:
        network = Network(answered(b"old"))
        async with httpx.AsyncClient(transport=tape.over(network)) as client:
            await pieces_of(client)
    before = content(path)

    async def broken() -> None:
        async with open_tape(path, "anew") as tape:
            network = Network(answered(b"half"))
            async with httpx.AsyncClient(transport=tape.over(network)) as client:
                await pieces_of(client)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await broken()
    assert content(path) == before
    async with open_tape(path, "anew") as tape:
        network = Network(answered(b"new"))
        async with httpx.AsyncClient(transport=tape.over(network)) as client:
            await pieces_of(client)
    assert content(path) == before.replace(b"old", b"new")
    assert beside(path) == [path.name]


async def test_the_file_is_one_value_a_line_that_a_person_can_read(path: Path) -> None:
    async with open_tape(path, "missing") as tape:
        network = Network(
            answered(
                b'data: {"say":"Hi"}\n\n', b"\xff", content_type="text/event-stream"
            )
        )
        async with httpx.AsyncClient(transport=tape.over(network)) as client:
            await pieces_of(client, b'{"model":"m"}')
    assert [orjson.loads(line) for line in content(path).splitlines()] == [
        {"tape": 1},
        {"request": {"method": "POST", "url": ADDRESS, "json": {"model": "m"}}},
        {"response": {"status": 200, "headers": {"content-type": "text/event-stream"}}},
        {"text": 'data: {"say":"Hi"}\n\n'},
        {"base64": "/w=="},
        {"end": "whole"},
    ]
    assert mode_of(path) & 0o077 == 0


async def test_a_tape_whose_writer_was_killed_is_played_as_far_as_it_goes(
    path: Path,
) -> None:
    async with open_tape(path, "missing") as tape:
        network = Network(answered(b"one", b"two"))
        async with httpx.AsyncClient(transport=tape.over(network)) as client:
            await pieces_of(client, b"1")
    whole = content(path)
    torn = whole[: whole.index(b'{"text":"two"') + 7]
    lay(path, torn)
    async with open_tape(path) as tape:
        (one,) = tape.interactions
        assert one.answer.pieces == (b"one",)
        assert one.answer.ending == "left"
    # Who goes on with it begins a line of their own.
    async with open_tape(path, "tap") as tape:
        network = Network(answered(b"three"))
        async with httpx.AsyncClient(transport=tape.over(network)) as client:
            await pieces_of(client, b"2")
    async with open_tape(path) as tape:
        assert [one.request.body for one in tape.interactions] == [b"1", b"2"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{}\n", "line 1: a tape begins with"),
        (b"no tape\n", "line 1: it is no JSON"),
        (b'{"tape":1}\n{"req\n{"end":"whole"}\n', "line 2: it is no JSON"),
        (b'{"tape":1}\n{"req\n', "line 2: it is no JSON"),
        (b"[1]\n", "line 1: it is no object"),
        (b'{"tape":2}\n', "line 1: version 2 is not known"),
        (b'{"tape":1}\n{"end":"whole"}\n', "line 2: a request must come first"),
        (b'{"tape":1}\n{"request":{"url":"u"}}\n', "line 2: it is not as a tape"),
        (
            b'{"tape":1}\n{"request":{"method":"GET","url":"u"}}\n{"base64":"?"}\n',
            "line 3: it is not as a tape",
        ),
        (
            b'{"tape":1}\n{"request":{"method":"GET","url":"u"}}\n{"end":"odd"}\n',
            "line 3: it is not as a tape",
        ),
    ],
)
async def test_a_damaged_tape_names_the_line(
    path: Path, content: bytes, problem: str
) -> None:
    lay(path, content)
    with pytest.raises(TapeDamagedError, match=problem):
        async with open_tape(path):
            pass


async def test_a_tape_that_is_not_there_says_how_to_record_it(path: Path) -> None:
    with pytest.raises(TapeError, match="record it with the mode 'missing'"):
        async with open_tape(path):
            pass
    with pytest.raises(InvalidValueError, match="one of replay, missing, anew, tap"):
        Tape(path, "play")  # type: ignore[arg-type]


@pytest.mark.law("tapes.4")
async def test_a_tape_that_cannot_be_written_disturbs_nobody_who_only_listens(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "tape.jsonl"
    async with open_tape(path, "tap") as tape:
        network = Network(answered(b"one"))
        async with httpx.AsyncClient(transport=tape.over(network)) as client:
            assert await pieces_of(client) == [b"one"]
    assert "cannot be written" in caplog.text
    tape = Tape(path, "missing")
    network = Network(answered(b"one"))
    async with httpx.AsyncClient(transport=tape.over(network)) as client:
        with pytest.raises(TapeError, match="cannot be written"):
            await pieces_of(client)


# --- packed answers ---------------------------------------------------------------


@pytest.mark.parametrize("packing", ["gzip", "deflate"])
async def test_a_packed_answer_is_recorded_as_what_it_holds(
    path: Path, packing: str
) -> None:
    pack = gzip.compress if packing == "gzip" else zlib.compress
    packed = pack(b"what it says " * 50)
    async with open_tape(path, "missing") as tape:
        network = Network(answered(packed[:20], packed[20:], content_encoding=packing))
        async with httpx.AsyncClient(transport=tape.over(network)) as client:
            assert (await client.post(ADDRESS)).text == "what it says " * 50
    assert b"what it says" in content(path)
    async with (
        open_tape(path) as tape,
        httpx.AsyncClient(transport=tape.over()) as client,
    ):
        assert (await client.post(ADDRESS)).text == "what it says " * 50


@pytest.mark.law("tapes.3")
async def test_what_cannot_be_looked_into_is_not_recorded(path: Path) -> None:
    async with open_tape(path, "missing") as tape:
        network = Network(answered(b"\x01\x02", content_encoding="br"))
        async with httpx.AsyncClient(transport=tape.over(network)) as client:
            assert await pieces_of(client) == [b"\x01\x02"]
    assert b"AQI" not in content(path)
    async with (
        open_tape(path) as tape,
        httpx.AsyncClient(transport=tape.over()) as client,
    ):
        with pytest.raises(TapeError, match="was not kept: it is packed as br"):
            await pieces_of(client)


# --- with our own transport -------------------------------------------------------

KEY = "sk-live-0123456789abcdef"
SAID = {"id": "r1", "choices": [{"index": 0, "delta": {"content": "Hi"}}]}
STOPPED = {"id": "r1", "choices": [{"delta": {}, "finish_reason": "stop"}]}


def tables(server: Replay | None, url: str = "") -> dict[str, Any]:
    base = f"{server.url if server else url}/v1"
    return {"test": {"base_url": base, "api_key": KEY}}


@pytest.mark.law("tapes.1")
async def test_an_adapter_reads_a_tape_as_it_read_the_network(path: Path) -> None:
    body = sse(SAID, STOPPED, "[DONE]")
    async with (
        serve(Answer(body, piece=9), Answer(body[:60], end="cut")) as server,
        open_tape(path, "missing") as tape,
        opened(openai, providers=tables(server), tape=tape) as providers,
    ):
        live = await ask(providers["test"].route("m"), request())
        with pytest.raises(ProviderError) as cut:
            await ask(providers["test"].route("other"), request())
    assert KEY.encode() not in content(path)
    async with (
        open_tape(path) as tape,
        opened(openai, providers=tables(None, server.url), tape=tape) as providers,
    ):
        assert await ask(providers["test"].route("m"), request()) == live
        with pytest.raises(ProviderError) as again:
            await ask(providers["test"].route("other"), request())
        assert (again.value.code, str(again.value)) == (cut.value.code, str(cut.value))
        with pytest.raises(NotOnTapeError, match=r"body\.model: recorded"):
            await ask(providers["test"].route("third"), request())


async def test_a_whole_session_is_recorded_and_played(
    path: Path, tmp_path: Path
) -> None:
    def project(url: str) -> Path:
        folder = tmp_path / "project"
        folder.mkdir(exist_ok=True)
        table = f'[providers.test]\nbase_url = "{url}/v1"\napi_key = "{KEY}"\n'
        (tmp_path / "config").mkdir(exist_ok=True)
        (tmp_path / "config" / "dovetail.toml").write_text(table)
        return folder

    environment = {"DOVETAIL_CONFIG": str(tmp_path / "config" / "dovetail.toml")}
    body = sse(SAID, STOPPED, "[DONE]")
    async with serve(Answer(body)) as server:
        await _session(project(server.url), {**environment, "DOVETAIL_TAPE": str(path)})
    told = content(path)
    assert KEY.encode() not in told
    assert b"Say hello" in told
    await _session(
        project(server.url),
        {**environment, "DOVETAIL_TAPE": str(path), "DOVETAIL_TAPE_MODE": "replay"},
    )
    assert content(path) == told


async def _session(folder: Path, environment: dict[str, str]) -> None:
    runtime = open_runtime(
        "sqlite://",
        plugins=[openai],
        allow_plugins=["sqlite"],
        environment=environment,
    )
    with anyio.fail_after(HANG):
        async with runtime:
            session = await runtime.sessions.create(location=folder, model="test/m")
            await session.prompt("Say hello")
            outcome = await session.wait()
            assert outcome.status == "succeeded", outcome
            newest, *_ = await session.messages(limit=1)
            assert newest.text == "Hi"


async def test_a_variable_that_says_no_mode_is_refused(path: Path) -> None:
    environment = {"DOVETAIL_TAPE": str(path), "DOVETAIL_TAPE_MODE": "anew"}
    with pytest.raises(ConfigurationError, match="DOVETAIL_TAPE_MODE"):
        async with open_runtime(
            "sqlite://", allow_plugins=["sqlite"], environment=environment
        ):
            pass
