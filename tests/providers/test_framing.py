"""Where the body of an answer ends, whatever pieces it comes in."""

import re
from itertools import pairwise

import h11
import httpx
import pytest
from dovetail.plugins.providers.exchange import PORTS, plain_address
from dovetail.plugins.providers.framing import MAX_LINE, Chunked, Framing, framing_of
from hypothesis import example, given, strategies as st

HEAD = b"HTTP/1.1 200 OK\r\n%b\r\n"
IN_CHUNKS = b"transfer-encoding: chunked\r\n"


def read(
    framing: Framing, pieces: list[bytes], *, closed: bool
) -> tuple[bytes, bool, bool]:
    """Return what was read, whether it ended, and whether more came or it failed."""
    found = b""
    for piece in pieces:
        found += framing.read(piece)
        if framing.problem is not None:
            return found, False, True
    if closed and not framing.ended:
        framing.close()
    return found, framing.ended, framing.beyond or framing.problem is not None


def read_by_h11(headers: bytes, data: bytes, *, closed: bool) -> tuple[bytes, bool]:
    """Return what h11 makes of a body, and whether it is whole."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("host", "h")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(HEAD % headers)
    connection.next_event()
    if data:
        connection.receive_data(data)
    if closed:
        connection.receive_data(b"")
    found = b""
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError:
            return found, False
        if isinstance(event, h11.Data):
            found += bytes(event.data)
        else:
            return found, isinstance(event, h11.EndOfMessage)


def cut(data: bytes, at: list[int]) -> list[bytes]:
    """Return bytes in pieces."""
    places = sorted({0, len(data), *(one % (len(data) + 1) for one in at)})
    return [data[begin:end] for begin, end in pairwise(places)]


parts = st.sampled_from(
    [
        *(b"5\r\nHello\r\n", b"0\r\n\r\n", b"0\r\na: b\r\n\r\n", b"0\n\n", b"a\r\n"),
        *(b"3;x=y\r\nabc\r\n", b"3 \t\r\nabc\r\n", b"3 ;x\r\nabc\r\n", b"\r\n", b"\n"),
        *(b"0003\r\nabc\r\n", b"-3\r\nabc", b"0x3\r\nabc", b"F" * 21, b" 3\r\nabc\r\n"),
        *(
            b"3\r\nabcd\r\n",
            b"0\r\n: b\r\n\r\n",
            b"0\r\na : b\r\n\r\n",
            b"0\r\n a\r\n\r\n",
        ),
        *(
            b"0\r\na: b\r\n c\r\n\r\n",
            b"1_0\r\n",
            b"+3\r\nabc\r\n",
            b"\xb2\r\n",
            b"3\nabc",
        ),
    ]
)


@given(st.lists(parts, max_size=6).map(b"".join), st.lists(st.integers(0, 99)))
@example(b"0\r\nx: \0\r\n\r\n", [])
@example(b"0\r\nx\r\n\r\n", [4])
@example(b"0\r\nx: a\vb\r\n\r\n", [])
@example(b"0\r\nx: \f\r\n\r\n", [])
@example(b"0\r\nx: a\r\n b\rc\r\n\r\n", [])
@example(b"0\r\nx: a\r\n \v\r\n\r\n", [])
def test_chunks_are_read_as_h11_reads_them(data: bytes, at: list[int]) -> None:
    whole, ended = read_by_h11(IN_CHUNKS, data, closed=False)
    found = read(Chunked(), cut(data, at), closed=False)
    assert found[:2] == (whole, ended)


@pytest.mark.parametrize("end", [b"0\r\n\r\n", b"0\r\na: b\r\n\r\n", b"0;x=y\n\n"])
def test_chunks_are_read_alike_wherever_they_are_cut(end: bytes) -> None:
    data = b"5;x\r\nHello\r\n2\r\nYo\r\n" + end
    whole = read_by_h11(IN_CHUNKS, data, closed=False)
    cuts = [[at, and_at] for at in range(len(data)) for and_at in range(at, len(data))]
    for at in (*cuts, list(range(len(data)))):
        found = read(Chunked(), cut(data, at), closed=False)
        assert found[:2] == whole


@given(st.binary(max_size=40), st.lists(st.integers(0, 99)), st.booleans())
def test_other_bodies_are_read_as_h11_reads_them(
    data: bytes, at: list[int], closed: bool
) -> None:
    for length in (None, 0, 7, 20):
        headers = b"" if length is None else b"content-length: %d\r\n" % length
        named = {} if length is None else {b"content-length": b"%d" % length}
        whole, ended = read_by_h11(headers, data, closed=closed)
        found = read(framing_of(200, named), cut(data, at), closed=closed)
        assert found[:2] == (whole, ended)


@pytest.mark.parametrize("status", [204, 304])
def test_some_answers_have_no_body_whatever_they_say(status: int) -> None:
    assert framing_of(status, {b"transfer-encoding": b"chunked"}).ended


@pytest.mark.parametrize("begins", [b"5;", b"0\r\n", b"0\r\nx: "])
@pytest.mark.parametrize("step", [1 << 10, MAX_LINE])
def test_a_line_without_an_end_is_not_held_for_ever(begins: bytes, step: int) -> None:
    framing = Chunked()
    framing.read(begins)
    for _ in range(0, 2 * MAX_LINE, step):
        if framing.problem is None:
            framing.read(b"x" * step)
    assert framing.problem == f"a line of over {MAX_LINE} bytes"


@pytest.mark.parametrize("odd", [b" " * 60_000 + b"\r!", b"\t;" * 30_000 + b"\0"])
def test_a_long_line_of_odd_bytes_is_read_in_one_go(odd: bytes) -> None:
    framing = Chunked()
    framing.read(b"5" + odd + b"\r\nHello\r\n")
    assert framing.problem == "malformed chunk header"


@pytest.mark.parametrize("more", [b"x", b"\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
@pytest.mark.parametrize("end", [b"0\r\n\r\n", b"0\r\na: b\r\n\r\n"])
def test_what_comes_beyond_the_end_is_told(end: bytes, more: bytes) -> None:
    for pieces in ([end + more], [end, more]):
        framing = Chunked()
        assert read(framing, pieces, closed=False) == (b"", True, True)


urls = st.from_regex(
    re.compile(
        r"https?://[a-zA-Z0-9.:@\[\]-]{1,12}(:[0-9]{1,5})?"
        r"(/[\w.%~?&=#+ ;:'\"{é-]{0,9}){0,3}"
    ),
    fullmatch=True,
)


@given(urls)
@example("https://api.openai.com/v1/chat/completions")
@example("http://127.0.0.1:8080/v1?api-version=2024-10-21")
@example("http://h:80")
@example("https://h:443/a%3Ab")
@example("http://1.2.3.400/")
@example("http://h/a/../b")
def test_a_plain_address_is_what_httpx_takes_it_for(url: str) -> None:
    plain = plain_address(url)
    if plain is not None:
        # For any other it is asked itself.
        known = httpx.URL(url)
        port = known.port or PORTS[known.scheme]
        assert plain.origin == (known.scheme, known.raw_host.decode(), port)
        assert (plain.host, plain.target) == (known.netloc, known.raw_path)
