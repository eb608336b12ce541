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


def whole(data: bytes) -> bool:
    return data.startswith(b"{") and data.endswith(b"}")


def patient(*chunks: bytes) -> list[tuple[bytes, str]]:
    decoder = SseDecoder(whole=whole)
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    events += decoder.finish()
    return [(one.data, one.event) for one in events]


@pytest.mark.parametrize("end", [b"", b"\n", b"\r", b"\n\n"])
def test_the_event_that_the_stream_ends_with_counts_when_it_is_whole(
    end: bytes,
) -> None:
    body = b"data: {1}\n\nevent: x\ndata: {2}" + end
    assert patient(body) == [(b"{1}", "message"), (b"{2}", "x")]
    assert patient(*(body[at : at + 1] for at in range(len(body)))) == patient(body)
    assert patient(b"data: {1}\n\ndata: {2" + end)[:1] == [(b"{1}", "message")]


def test_an_end_without_its_empty_line_is_nothing_to_who_cannot_tell_it_whole() -> None:
    decoder = SseDecoder()
    assert list(decoder.feed(b"data: {1}\n")) == []
    assert list(decoder.finish()) == []


def test_events_without_empty_lines_between_them_are_told_apart() -> None:
    body = b"event: a\ndata: {1}\nevent: b\ndata: {2}\ndata: {3}\nevent: b\ndata: {4}\n"
    wanted = [(b"{1}", "a"), (b"{2}", "b"), (b"{3}", "message"), (b"{4}", "b")]
    assert patient(body) == wanted
    assert patient(*(body[at : at + 3] for at in range(0, len(body), 3))) == wanted


def test_a_name_after_its_data_is_still_the_name_of_that_event() -> None:
    assert patient(b"data: {1}\nevent: a\n\ndata: {2}\n\n") == [
        (b"{1}", "a"),
        (b"{2}", "message"),
    ]


def test_data_over_several_lines_is_one_event_when_no_line_is_whole() -> None:
    assert patient(b"data: {\ndata: 1\ndata: }\n\n") == [(b"{\n1\n}", "message")]


def test_a_whole_line_without_a_field_name_is_data() -> None:
    assert patient(b"data: {1}\n\n{2}\n\n{no\n\n") == [
        (b"{1}", "message"),
        (b"{2}", "message"),
    ]
