"""Which pieces are one call: two calls are never one, and one is never two."""

import json
from typing import Any

import pytest
from dovetail.kernel import AnswerLimits, ProviderError, ToolCall
from dovetail.plugins.providers.calls import Arguments, Calls
from hypothesis import given, strategies as st


def piece(
    arguments: Any = None, *, name: str | None = None, **more: Any
) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    given = {key: value for key, value in function.items() if value is not None}
    return {"function": given, **more}


def made(*pieces: Any, tools: tuple[str, ...] = ("read", "list")) -> list[ToolCall]:
    calls = Calls("test", AnswerLimits(), tools)
    for one in pieces:
        calls.add(one)
    return calls.handed_out(stopped=False)


def shown(*pieces: Any) -> list[tuple[str, str]]:
    return [(one.tool, one.arguments) for one in made(*pieces)]


A, B = '{"path":"a"}', '{"path":"b"}'
TWO = [("read", A), ("read", B)]


@pytest.mark.parametrize(
    "pieces",
    [
        [piece(A, name="read", index=0), piece(B, name="read", index=0)],
        [
            piece(A, name="read", index=0, id="x"),
            piece(B, name="read", index=0, id="x"),
        ],
        [
            piece(A, name="read", index=0, id="x"),
            piece(B, name="read", index=1, id="x"),
        ],
        [piece(A, name="read"), piece(B, name="read")],
        [piece(A, name="read", id="x"), piece(B, name="read", id="x")],
        [
            piece("", name="read", index=0),
            piece(A, index=0),
            piece("", name="read", index=0),
            piece(B[:4], index=0),
            piece(B[4:], index=0),
        ],
        [
            piece(None, id="x", index=0),
            piece(None, name="read", index=0),
            piece(A, index=0),
            piece(None, id="y", index=0),
            piece(None, name="read", index=0),
            piece(B, index=0),
        ],
        [piece(A, name="read", index="0"), piece(B, name="read", index="1")],
        [{"name": "read", "arguments": A}, {"name": "read", "arguments": B}],
    ],
)
def test_two_calls_are_two(pieces: list[Any]) -> None:
    assert shown(*pieces) == TWO
    assert len({one.call_id for one in made(*pieces)}) == 2


@pytest.mark.parametrize(
    "pieces",
    [
        # Names in pieces, or whole again with every piece.
        [piece(name="re", index=0), piece(name="ad", index=0), piece(A, index=0)],
        [piece(name="re", index=0), piece(name="read", index=0), piece(A, index=0)],
        [piece(A[:5], name="read", index=0), piece(A[5:], name="read", index=0)],
        # Ids in pieces, or others in every piece.
        [piece("", name="read", id="ca", index=0), piece(A, id="ll", index=0)],
        [piece(A[:5], name="read", id="a", index=0), piece(A[5:], id="b", index=0)],
        [piece(A[:5], name="read", id="a"), piece(A[5:], id="b")],
        # Arguments again: at the end, with the name, in other words, from the start.
        [
            piece(A[:5], name="read", id="a", index=0),
            piece(A[5:], index=0),
            piece(A, name="read", id="a", index=0),
        ],
        [piece(A, name="read", id="a", index=0), piece(A, index=0)],
        [piece(A, name="read", id="a", index=0), piece({"path": "a"}, index=0)],
        [piece(A[:at], index=0, id="a", name="read") for at in (1, 4, 7, len(A))],
        # Padding before the real ones, and after.
        [piece("{}", name="read", id="a", index=0), piece(A, index=0)],
        [
            piece("{}", name="read", id="a", index=0),
            piece(A[:3], index=0),
            piece(A[3:], index=0),
        ],
        [piece(A, name="read", index=0), piece("", index=0), piece(None, index=0)],
        [piece(A, name="read", index=0), piece("", name="", index=0, id="")],
        [piece("", name=""), piece(A, name="read", index=0)],
        # Under another index than its head, or under none.
        [piece("", name="read", id="a", index=0), piece(A, id="a", index=1)],
        [piece("", name="read", index=0), piece(A, index=1)],
        [piece("", name="read", id="a", index=0), piece(A)],
    ],
)
def test_one_call_is_one(pieces: list[Any]) -> None:
    calls = [(one[0], json.loads(one[1])) for one in shown(*pieces)]
    assert calls == [("read", json.loads(A))]


def test_names_that_are_tools_are_never_put_together() -> None:
    pieces = [piece(name="read", index=0), piece(name="list", index=0)]
    assert shown(*pieces) == [("read", "{}"), ("list", "{}")]


def test_what_cannot_be_told_apart_is_no_json() -> None:
    (one,) = made(piece(A, name="read", index=0), piece(B, index=0))
    assert one.arguments == A + B


def test_what_a_server_attached_is_kept_wherever_it_came() -> None:
    signature = {"google": {"thought_signature": "s"}}
    for pieces in (
        [piece(A, name="read", index=0, extra_content=signature)],
        [
            piece(A, name="read", index=0),
            {"index": 0, "extra_content": signature},
        ],
    ):
        (one,) = made(*pieces)
        assert one.metadata == {"attached": {"extra_content": signature}}
    inner = {"name": "read", "arguments": A, "thought": "t"}
    (one,) = made({"index": 0, "function": inner})
    assert one.metadata == {"attached": {"function": {"thought": "t"}}}


@pytest.mark.law("execution.9")
def test_calls_and_their_arguments_are_bounded() -> None:
    calls = Calls("test", AnswerLimits(calls=3, arguments=20))
    for at in range(3):
        calls.add(piece("{}", name="read", index=at))
    with pytest.raises(ProviderError) as refused:
        calls.add(piece("{}", name="read", index=3))
    assert refused.value.code == "provider.answer_limit"
    calls.add(piece("[" * 19, index=0))
    with pytest.raises(ProviderError) as refused:
        calls.add(piece("[[", index=0))
    assert refused.value.code == "provider.answer_limit"
    with pytest.raises(ProviderError):
        calls.add({"index": 0, "extra": "x" * 21})
    kept = calls.handed_out(stopped=True, refused="too much")
    assert [one.refused for one in kept] == ["too much"] * 3


@given(st.text(max_size=30), st.integers(1, 4))
def test_arguments_of_any_text_stay_what_they_are_in_pieces_of_any_size(
    text: str, size: int
) -> None:
    text = json.dumps({"a": text}, ensure_ascii=False)
    arguments = Arguments()
    new = [arguments.add(text[at : at + size]) for at in range(0, len(text), size)]
    arguments.end()
    assert arguments.text == "".join(new) == text
