"""Server-sent events are read the same in whatever pieces they arrive."""

import base64
from itertools import pairwise
from typing import Any

import pytest
from dovetail.plugins.providers.sse import EventTooLargeError, SseDecoder
from hypothesis import given, strategies as st


def read(chunks: list[bytes], **options: Any) -> list[dict[str, str]]:
    decoder = SseDecoder(**options)
    events = []
    for chunk in chunks:
        for event in decoder.feed(chunk):
            shown = {"data": event.data.decode("utf-8", "replace")}
            if event.event != "message":
                shown["event"] = event.event
            if event.id:
                shown["id"] = event.id
            events.append(shown)
    return events


def test_every_standard_case_gives_its_events(corpus: Any) -> None:
    cases = list(corpus("sse-parsing-cases").lines("cases.jsonl"))
    assert len(cases) >= 44
    for case in cases:
        chunks = [base64.b64decode(one) for one in case["chunks_b64"]]
        whole = b"".join(chunks)
        assert read(chunks) == case["events"], case["name"]
        for size in (1, 2, 7, 1000):
            cut = [whole[at : at + size] for at in range(0, len(whole), size)]
            assert read(cut) == case["events"], (case["name"], size)


@pytest.mark.parametrize("parts", [1, 2])
def test_an_event_of_five_mebibytes_is_read_whole(parts: int) -> None:
    text = base64.b64encode(bytes(range(256)) * (5 * 4096 * 3 // 4)).decode()
    assert len(text) == 5 * 2**20
    body = f"data: {text}\n\n".encode()
    half = len(body) // parts
    chunks = [body[:half], body[half:]] if parts == 2 else [body]
    assert read(chunks) == [{"data": text}]


def test_an_event_that_comes_byte_by_byte_costs_no_more_than_its_bytes() -> None:
    """The pending line is kept in one growing buffer and searched once."""
    body = b"data: " + b"x" * 2**20 + b"\n\n"
    decoder = SseDecoder()
    found = [e for at in range(len(body)) for e in decoder.feed(body[at : at + 1])]
    assert [len(one.data) for one in found] == [2**20]


@pytest.mark.parametrize(
    "body",
    [
        b"data: " + b"x" * 100,
        b"data: " + b"x" * 100 + b"\n",
        b"data: xxxxxxxxxxxxxxx\n" * 10,
        b": " + b"x" * 100,
    ],
    ids=["line without end", "one line", "many lines", "comment"],
)
def test_an_event_over_the_limit_is_refused_after_those_before_it(body: bytes) -> None:
    decoder = SseDecoder(max_event_bytes=64)
    events = decoder.feed(b"data: a\n\n" + body)
    assert next(events).data == b"a"
    with pytest.raises(EventTooLargeError) as refused:
        list(events)
    assert refused.value.limit == 64


def test_ids_with_a_null_and_odd_retry_times_are_ignored() -> None:
    decoder = SseDecoder()
    body = b"id: a\nid: b\0c\nretry: 1x\nretry: 250\ndata\n\nid\ndata:\n\n"
    events = list(decoder.feed(body))
    assert [(one.data, one.id) for one in events] == [(b"", "a"), (b"", "")]
    assert decoder.retry == 250


def test_a_type_without_data_is_no_event_and_does_not_stay() -> None:
    assert read([b"event: a\n\ndata: b\n\n"]) == [{"data": "b"}]


def test_what_has_no_closing_line_is_no_event() -> None:
    assert read([b"data: a\n\ndata: b\n"]) == [{"data": "a"}]


line = st.sampled_from(
    ["data", "data:", "data: x", "data:é", "event: t", "id: 7", ": c", "odd: 1", ""]
)


@given(
    st.lists(line),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.lists(st.integers(0, 200)),
    st.booleans(),
)
def test_pieces_never_change_the_events(
    lines: list[str], end: str, cuts: list[int], mark: bool
) -> None:
    text = "".join(one + end for one in lines)
    body = (b"\xef\xbb\xbf" if mark else b"") + text.encode()
    places = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    chunks = [body[a:b] for a, b in pairwise(places)]
    lf = "".join(one + "\n" for one in lines).encode()
    assert read(chunks) == read([body]) == read([lf])
