"""Requests over HTTP/1.1: what is sent, where an answer ends, what is kept."""

import errno
import os
import re
import select
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from anyio.abc import ByteStream, SocketAttribute, SocketStream
from anyio.streams.tls import TLSStream
from dovetail.plugins.providers import exchange
from dovetail.plugins.providers.exchange import (
    Address,
    Asked,
    Exchange,
    Limits,
    LocalProtocolError,
    ReadError,
    WriteTimeoutError,
    plain_address,
)
from dovetail.plugins.providers.through import Carried, Through
from support.bounds import HANG

WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nHello"
PIECES = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
FORGED = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nForged"
END = b"\r\n\r\n"
LEAVING = b"x: connection: close\r\n\r\nHello"
"""Of a server that hangs up and does not say so: the header is another one."""


class Server:
    """Answers the requests of each connection with what was given, byte for byte."""

    def __init__(self, answers: tuple[bytes | None, ...]) -> None:
        self.answers = list(answers)
        self.url = ""
        self.requests: list[bytes] = []
        self.connections = 0
        self.gone = anyio.Event()

    async def serve(self, stream: ByteStream) -> None:
        self.connections += 1
        try:
            while self.answers:
                self.requests.append(await _heard(stream))
                answer = self.answers.pop(0)
                if answer is None:
                    break
                await stream.send(answer)
                if b"connection: close" in answer:
                    break
            else:
                await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            pass  # it was left, which is what some tests are about
        finally:
            self.gone.set()
            await anyio.aclose_forcefully(stream)


async def _heard(stream: ByteStream) -> bytes:
    heard = b""
    while END not in heard:
        heard += await stream.receive()
    length = re.search(rb"(?i)content-length: (\d+)", heard)
    whole = heard.index(END) + len(END) + (int(length[1]) if length else 0)
    while len(heard) < whole:
        heard += await stream.receive()
    return heard


@asynccontextmanager
async def served(*answers: bytes | None) -> AsyncIterator[tuple[Server, Exchange]]:
    server = Server(answers)
    sends = Exchange(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)
    server.url = f"http://127.0.0.1:{port}/v1?a=b"
    with anyio.fail_after(HANG):
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, server.serve)
            try:
                yield server, sends
            finally:
                await sends.aclose()
                tasks.cancel_scope.cancel()


async def answered(sends: Exchange, request: httpx.Request) -> httpx.Response:
    """Return an answer whose body is to come, as httpx has it."""
    return await Carried(sends).handle_async_request(request)


async def asked(
    sends: Exchange, url: str, content: bytes = b"{}", read: float | None = None
) -> tuple[int, bytes]:
    """Return the status and the body of an answer."""
    request = httpx.Request(
        "POST", url, content=content, extensions={"timeout": {"read": read}}
    )
    answer = await answered(sends, request)
    try:
        return answer.status_code, await answer.aread()
    finally:
        await answer.aclose()


@pytest.mark.parametrize("body", [b"{}", b"x" * 2 * exchange.COPIED])
async def test_a_request_is_sent_as_it_is(body: bytes) -> None:
    async with served(WHOLE) as (server, sends):
        assert await asked(sends, server.url, body) == (200, b"Hello")
    (heard,) = server.requests
    head, _, sent = heard.partition(END)
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /v1?a=b HTTP/1.1"
    assert b"Content-Length: %d" % len(body) in lines
    assert sent == body


@pytest.mark.parametrize(
    "answer",
    [
        WHOLE,
        PIECES + b"2\r\nHe\r\n3;why=not\r\nllo\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nHello",
        b"HTTP/1.0 200 OK\r\n" + LEAVING,
        b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + WHOLE,
    ],
)
async def test_an_answer_ends_where_it_says(answer: bytes) -> None:
    async with served(answer) as (server, sends):
        assert await asked(sends, server.url) == (200, b"Hello")


async def test_a_connection_carries_one_request_after_another() -> None:
    async with served(WHOLE, PIECES + b"0\r\n\r\n", WHOLE) as (server, sends):
        for _ in range(3):
            assert (await asked(sends, server.url))[0] == 200
        assert server.connections == 1
        assert repr(sends) == "<Exchange: 0 connections used, 1 kept>"


async def test_what_comes_beyond_an_answer_is_no_answer_to_the_next_request() -> None:
    async with served(WHOLE + FORGED, WHOLE) as (server, sends):
        for _ in range(2):
            assert await asked(sends, server.url) == (200, b"Hello")
        assert server.connections == 2


async def test_what_comes_beyond_a_long_answer_is_not_left_below_for_the_next() -> None:
    """anyio's streams keep what arrived and was not asked for."""
    head = b"HTTP/1.1 200 OK\r\ncontent-length: %d" + END
    length = 65536 - len(head % 65000)
    long = head % length + b"x" * length
    async with served(long + FORGED, WHOLE) as (server, sends):
        await asked(sends, server.url)
        assert await asked(sends, server.url) == (200, b"Hello")
        assert server.connections == 2


class Held(ByteStream):
    """Sends nothing until it waits for an answer, and then all at once."""

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream
        self._held = b""

    async def send(self, item: bytes) -> None:
        self._held += item

    async def receive(self, max_bytes: int = 65536) -> bytes:
        held, self._held = self._held, b""
        if held:
            await self._stream.send(held)
        return await self._stream.receive(max_bytes)

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()

    @property
    def extra_attributes(self) -> Any:
        return self._stream.extra_attributes


LONG_BODY = b"x" * 60_000
LONG_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n" + LONG_BODY
BEYOND = b"HTTP/1.1 200 OK\r\nx: %b\r\ncontent-length: 6\r\n\r\nForged" % (b"x" * 9000)
"""With what comes before it, more than anyio asks a socket for below an encryption, and
cut by that in the middle of a record."""
WARM = 6
"""Answers after which a system takes so much at a time."""


@pytest.mark.parametrize(
    ("answer", "body", "before", "beyond", "ends"),
    [
        (WHOLE, b"Hello", 0, FORGED, False),
        (WHOLE, b"Hello", 0, FORGED, True),
        (LONG_ANSWER, LONG_BODY, WARM, BEYOND, False),
    ],
    ids=["more", "an end", "more than is read at once"],
)
async def test_what_was_decrypted_beyond_an_answer_ends_its_connection(
    certificate: Path,
    answer: bytes,
    body: bytes,
    before: int,
    beyond: bytes,
    ends: bool,
) -> None:
    """It is more of an answer, or says that nothing more comes: both were taken off
    the socket along with the answer."""
    served_by = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served_by.load_cert_chain(certificate)
    connections: list[TLSStream] = []

    async def serve(stream: SocketStream) -> None:
        try:
            tls = await TLSStream.wrap(
                Held(stream), server_side=True, ssl_context=served_by
            )
            connections.append(tls)
            for _ in range(before):
                await _heard(tls)
                await tls.send(answer)
            await _heard(tls)
            await tls.send(answer)
            if ends:
                await tls.unwrap()
            await tls.send(beyond)
            await _heard(tls)
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            pass  # it was left
        finally:
            await anyio.aclose_forcefully(stream)

    sends = Exchange(ssl.create_default_context(cafile=f"{certificate}.crt"))
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    url = f"https://127.0.0.1:{listener.extra(SocketAttribute.local_port)}/"
    with anyio.fail_after(HANG):
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, serve)
            for _ in range(before + 2):
                assert await asked(sends, url) == (200, body)
            assert len(connections) == 2
            await sends.aclose()
            tasks.cancel_scope.cancel()


async def test_a_connection_that_was_left_meanwhile_is_not_used_again() -> None:
    async with served(WHOLE, WHOLE) as (server, sends):
        await asked(sends, server.url)
        (kept,) = next(iter(sends._kept.values()))
        await kept.aclose()
        assert await asked(sends, server.url) == (200, b"Hello")
        assert server.connections == 2


async def test_a_connection_that_the_server_closed_is_not_used_again() -> None:
    closing = (
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx: connection: close\r\n\r\nHello"
    )
    async with served(closing, WHOLE) as (server, sends):
        await asked(sends, server.url)
        await server.gone.wait()
        (kept,) = next(iter(sends._kept.values()))
        # In a thread: asyncio lets nobody else wait for a socket of its own.
        await anyio.to_thread.run_sync(select.select, [kept._socket], [], [])
        assert await asked(sends, server.url) == (200, b"Hello")


async def test_no_more_connections_are_kept_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exchange, "MOST_KEPT", 2)
    async with served(*[WHOLE] * 5) as (server, sends):
        begun = [
            await answered(sends, httpx.Request("GET", server.url)) for _ in range(5)
        ]
        for answer in begun:
            await answer.aread()
        assert repr(sends) == "<Exchange: 0 connections used, 2 kept>"


async def test_a_connection_is_kept_for_a_while_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with served(WHOLE, WHOLE) as (server, sends):
        await asked(sends, server.url)
        monkeypatch.setattr(exchange, "KEPT_FOR", -1.0)
        await asked(sends, server.url)
        assert server.connections == 2


async def test_a_connection_that_nobody_wants_is_not_kept_for_ever() -> None:
    async with served(WHOLE, WHOLE) as (server, sends):
        await asked(sends, server.url)
        (kept,) = elsewhere = sends._kept.popitem()[1]
        sends._kept["http", "unwanted", 80] = elsewhere
        kept.since -= exchange.KEPT_FOR + 1
        await asked(sends, server.url)
        assert repr(sends) == "<Exchange: 0 connections used, 1 kept>"


async def test_an_answer_that_is_left_takes_its_connection_along() -> None:
    async with served(PIECES + b"5\r\nHello\r\n") as (server, sends):
        request = httpx.Request("POST", server.url)
        answer = await answered(sends, request)
        await answer.aclose()
        assert repr(sends) == "<Exchange: 0 connections used, 0 kept>"
        await server.gone.wait()


async def test_what_ends_after_the_closing_is_not_kept() -> None:
    async with served(WHOLE) as (server, sends):
        answer = await answered(sends, httpx.Request("GET", server.url))
        sends._closed = True
        assert await answer.aread() == b"Hello"
        assert repr(sends) == "<Exchange: 0 connections used, 0 kept>"


# --- failures ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (None, httpx.RemoteProtocolError),
        (b"nonsense\r\n\r\n", httpx.RemoteProtocolError),
        (b"HTTP/1.1 101 Yes\r\nupgrade: x\r\n\r\n", httpx.RemoteProtocolError),
        (PIECES + b"5\r\nHel", httpx.ReadTimeout),
        (PIECES + b"nonsense\r\n", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nx: " + b"x" * 200_000, httpx.RemoteProtocolError),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n" + LEAVING,
            httpx.RemoteProtocolError,
        ),
    ],
)
async def test_no_answer_is_told_as_what_it_is(
    answer: bytes | None, error: type[Exception]
) -> None:
    async with served(answer) as (server, sends):
        silent = 0.01 if error is httpx.ReadTimeout else None
        with pytest.raises(error):
            await asked(sends, server.url, read=silent)
        assert repr(sends) == "<Exchange: 0 connections used, 0 kept>"


@pytest.mark.parametrize(
    ("made", "error"),
    [
        (lambda url: httpx.Request("POST", "ftp://h/x"), httpx.UnsupportedProtocol),
        (
            lambda url: httpx.Request("POST", url, headers={"x": "a\r\nb: c"}),
            httpx.LocalProtocolError,
        ),
    ],
)
async def test_what_cannot_be_asked_is_not_sent(
    made: Callable[[str], httpx.Request], error: type[Exception]
) -> None:
    async with served(WHOLE) as (server, sends):
        with pytest.raises(error):
            await answered(sends, made(server.url))
        assert server.requests == []


async def test_what_cannot_be_asked_is_told_without_the_key_in_it() -> None:
    for header in (("x", "sk-1234\nb"), ("x", "sk-1234é"), ("sk-1234 ", "b")):
        async with served(WHOLE) as (server, sends):
            place = plain_address(server.url)
            assert place is not None
            with pytest.raises(LocalProtocolError) as caught:
                await sends.ask(Asked(b"POST", place, (header,), b""))
            assert "sk-1234" not in str(caught.value)
            assert caught.value.__context__ is None
            assert server.requests == []


async def test_who_cannot_be_reached_is_told_with_the_reason() -> None:
    sends = Exchange(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        with pytest.raises(httpx.ConnectError) as caught:
            await asked(sends, f"http://127.0.0.1:{deaf.getsockname()[1]}/")
    assert str(caught.value) == os.strerror(errno.ECONNREFUSED)


async def test_who_hangs_up_before_it_is_encrypted_is_told() -> None:
    async with served(None) as (server, sends):
        server.answers = []
        closes = server.url.replace("http://", "https://")
        with pytest.raises(httpx.ConnectError):
            await asked(sends, closes)


async def test_nothing_is_asked_of_whom_it_reaches_after_the_closing() -> None:
    async with served(WHOLE) as (server, sends):
        sends._closed = True
        with pytest.raises(httpx.ConnectError, match="closed meanwhile"):
            await asked(sends, server.url)
        assert server.requests == []


async def test_what_came_before_a_failure_comes_first() -> None:
    broken = PIECES + b"2\r\nHe\r\n3\r\nllo\r\nnonsense\r\n"
    async with served(broken) as (server, sends):
        answer = await answered(sends, httpx.Request("POST", server.url))
        assert isinstance(answer.stream, httpx.AsyncByteStream)
        pieces = aiter(answer.stream)
        assert await anext(pieces) == b"Hello"
        with pytest.raises(httpx.RemoteProtocolError, match="chunk header"):
            await anext(pieces)


async def test_an_answer_before_the_end_of_the_request_is_heard() -> None:
    """A server refuses what is too large and hangs up without reading it."""
    refused = b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nNo"
    async with served(refused) as (server, sends):
        found = await asked(sends, server.url, b"x" * 100)
        assert found == (413, b"No")


class Refusing(ByteStream):
    """Takes the head of a request, answers, and takes no more of it."""

    def __init__(self, answers: list[bytes], failure: type[Exception]) -> None:
        self._answers = answers
        self._failure = failure
        self._answered = anyio.Event()
        self._sent = 0

    async def send(self, item: bytes) -> None:
        self._sent += 1
        if self._sent > 1:
            await self._answered.wait()
            self._answers.clear()
            raise self._failure

    async def receive(self, max_bytes: int = 65536) -> bytes:
        if not self._answers:
            self._answered.set()
            raise anyio.BrokenResourceError
        return self._answers.pop(0)

    async def send_eof(self) -> None:
        raise NotImplementedError

    async def aclose(self) -> None:
        self._answers.clear()

    @property
    def extra_attributes(self) -> Any:
        return {SocketAttribute.raw_socket: lambda: None}


PLACE = Address("http://h", ("http", "h", 80), b"h", b"/")
HEAD = exchange._Head.of(Asked(b"POST", PLACE, (), b""))
assert HEAD is not None
REFUSED = b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\n"


@pytest.mark.parametrize("failure", [anyio.BrokenResourceError, TimeoutError])
async def test_a_long_request_hears_its_refusal_before_its_sending_fails(
    failure: type[Exception],
) -> None:
    """Nobody else would: it is gone with the connection."""
    connection = exchange._Connection(
        ("http", "h", 80), Refusing([REFUSED[:9], REFUSED[9:], b"No"], failure)
    )
    long = b"x" * 2 * exchange.LONG
    with anyio.fail_after(HANG):
        answer = await connection.ask(HEAD, long, Limits())
        assert answer.status_code == 413
        assert await connection.piece(None) == (b"No", True)
    assert not connection.is_done()


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (anyio.BrokenResourceError, ReadError),
        (TimeoutError, WriteTimeoutError),
    ],
)
async def test_a_long_request_without_an_answer_is_told_as_what_it_is(
    failure: type[Exception], error: type[Exception]
) -> None:
    connection = exchange._Connection(("http", "h", 80), Refusing([], failure))
    long = b"x" * 2 * exchange.LONG
    with anyio.fail_after(HANG), pytest.raises(error):
        await connection.ask(HEAD, long, Limits())


async def test_a_long_request_is_sent_whole_and_its_connection_kept() -> None:
    long = b"x" * 4 * exchange.LONG
    async with served(WHOLE, WHOLE) as (server, sends):
        for _ in range(2):
            assert await asked(sends, server.url, long) == (200, b"Hello")
        assert server.connections == 1
    assert [one.partition(END)[2] for one in server.requests] == [long, long]


class Breaking(httpx.AsyncBaseTransport, httpx.AsyncByteStream):
    """Its encryption breaks off in the head of an answer, or after a piece of it."""

    def __init__(self, *, answers: bool) -> None:
        self._answers = answers

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not self._answers:
            raise ssl.SSLError(1, "bad record mac")
        return httpx.Response(200, stream=self)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"Hel"
        raise ssl.SSLError(1, "bad record mac")


async def test_an_encryption_that_breaks_off_behind_a_proxy_is_told() -> None:
    """httpx lets it through as it is."""
    question = Asked(b"POST", PLACE, (), b"")
    with pytest.raises(ReadError, match="bad record mac"):
        await Through(Breaking(answers=False)).ask(question)
    answer = await Through(Breaking(answers=True)).ask(question)
    assert await anext(answer) == b"Hel"
    with pytest.raises(ReadError, match="bad record mac"):
        await anext(answer)
    await answer.aclose()
