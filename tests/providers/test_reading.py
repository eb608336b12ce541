"""JSON and text are read as servers write them, and never guessed."""

import json

import pytest
from dovetail.plugins.providers.reading import (
    Joined,
    Progress,
    UnreadableError,
    answers_in,
    file_at,
    file_of,
    is_whole,
    objects_in,
    tokens,
)
from hypothesis import given, strategies as st

WELL_FORMED = st.text(
    st.one_of(st.characters(codec="utf-8"), st.sampled_from("é😀💀漢\U0010ffff")),
    max_size=12,
)


@pytest.mark.parametrize(
    ("data", "objects"),
    [
        (b' {"a":1} ', [{"a": 1}]),
        (b'{"a":"x\ty"}', [{"a": "x\ty"}]),
        (b'{"a":NaN,"b":2}', [{"a": None, "b": 2}]),
        (b'{"a":-Infinity}', [{"a": None}]),
        (b'data: {"a":1}', [{"a": 1}]),
        (b'{"a":1}{"b":2}', [{"a": 1}, {"b": 2}]),
        (b'{"a":1} [DONE]', [{"a": 1}]),
        (b"keep-alive", []),
        (b"null", []),
        (b"[]", []),
        (b"", []),
    ],
)
def test_what_can_mean_one_thing_is_read(data: bytes, objects: list[object]) -> None:
    assert objects_in(data) == objects


@pytest.mark.parametrize(
    "data", [b"{", b'{"a":}', b"{'a':1}", b'{"a":1} x', b'{"a":' * 5000, b"{}{"]
)
def test_what_begins_an_object_and_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableError) as refused:
        objects_in(data)
    assert len(str(refused.value)) < 200
    assert not is_whole(data)


def test_only_a_whole_object_or_the_end_marker_is_a_whole_event() -> None:
    assert is_whole(b'{"a":{}}')
    assert is_whole(b"[DONE]")
    for part in (b'{"a":{}', b"{", b"[DON", b"1", b"word"):
        assert not is_whole(part)


@given(WELL_FORMED, st.data())
def test_text_cut_between_the_halves_of_characters_is_joined(
    text: str, data: st.DataObject
) -> None:
    units = text.encode("utf-16-le")
    cuts = data.draw(st.lists(st.integers(0, len(units) // 2), max_size=4).map(sorted))
    joined, said = Joined(), ""
    for begin, end in zip([0, *cuts], [*cuts, len(units) // 2], strict=True):
        piece = units[2 * begin : 2 * end].decode("utf-16-le", "surrogatepass")
        said += joined.add(piece)
        said.encode()
    assert said + joined.rest() == text


@given(WELL_FORMED, st.data())
def test_text_cut_between_the_bytes_of_characters_is_joined(
    text: str, data: st.DataObject
) -> None:
    raw = text.encode()
    cuts = data.draw(st.lists(st.integers(0, len(raw)), max_size=4).map(sorted))
    joined, said = Joined(), ""
    for begin, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        said += joined.add(raw[begin:end].decode("utf-8", "surrogateescape"))
        said.encode()
    assert said + joined.rest() == text


@given(st.lists(st.text(st.characters(), max_size=4), max_size=5))
def test_whatever_comes_can_be_stored(pieces: list[str]) -> None:
    joined = Joined()
    said = "".join([*map(joined.add, pieces), joined.rest()])
    said.encode()


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: st.dictionaries(st.text(max_size=3), inner) | st.lists(inner),
        max_leaves=8,
    ),
    st.integers(1, 5),
)
def test_arguments_are_whole_with_their_last_bracket_and_not_before(
    value: object, size: int
) -> None:
    text = json.dumps({"a": value})
    progress = Progress()
    for at in range(0, len(text), size):
        assert not progress.whole
        progress.add(text[at : at + size])
    assert progress.whole
    assert progress.text == text
    progress.add(" ")
    assert progress.whole
    progress.add("x")
    assert not progress.whole


def test_counts_of_tokens_are_whole_numbers_however_they_are_written() -> None:
    assert [tokens(one) for one in (7, 7.0, "7", 0)] == [7, 7, 7, 0]
    odd = (True, -1, 1.5, "x", "7 tokens", None, [], 10**30, float("nan"))
    assert [tokens(one) for one in odd] == [None] * len(odd)


def test_an_answer_may_come_as_an_array_of_what_a_stream_would_have() -> None:
    """As Gemini answers who does not ask it for events."""
    first, last = {"candidates": [{"index": 0}]}, {"usageMetadata": {}}
    lines = [json.dumps(one, separators=(",", ":")).encode() for one in (first, last)]
    assert answers_in(json.dumps([first, last], indent=2).encode()) == lines
    assert answers_in(b"\n".join(lines)) == lines
    for none in (b"[]", b"[1]", b'[{"error":{"code":1}}]', b'["', b'[{"a":1}]'):
        assert answers_in(none) == []


def test_a_file_is_read_however_its_base64_is_written() -> None:
    made = ("image/png", "+/8=")
    for written in ("+/8=", "-_8=", "-_8", "+/8"):
        assert file_of("image/png; x=1", written) == made
        assert file_at(f"data:image/png;base64,{written}") == made
    for odd in ("@@@@", "a", "a=b="):
        assert file_of("image/png", odd) is None
