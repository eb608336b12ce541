"""The history of a request: each message is encoded once, and joined once."""

import pytest
from dovetail.kernel import Message
from dovetail.kernel.history.encoding import Encoded, HistorySnapshot
from hypothesis import given, strategies as st
from support.requests import joined, user

WORDS = st.lists(st.sampled_from(["", "u1", "u2", "a1", "a2"]), max_size=12)


def said(message: Message) -> bytes:
    return message.text.encode()


def in_turns(before: bytes, message: bytes) -> bytes | None:
    return before + b"+" + message if before[:1] == message[:1] == b"u" else None


@given(WORDS, st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), max_size=6))
def test_requests_of_any_part_in_any_order_hold_the_same_turns(
    words: list[str], parts: list[tuple[int, int]]
) -> None:
    settled = [user(text, seq) for seq, text in enumerate(words)]
    made: dict[str, Encoded] = {}
    for start, end in parts:
        end = min(end, len(settled))
        snapshot = HistorySnapshot(settled, start, end, made)
        pieces = [said(one) for one in settled[start:end]]
        assert snapshot.encoded("turns", said, in_turns) == joined(pieces, in_turns)
        assert snapshot.encoded("turns", said) == pieces


@given(WORDS, st.integers(0, 12))
def test_turns_are_made_anew_where_messages_changed(words: list[str], at: int) -> None:
    at = min(at, len(words))
    settled = [user(text, seq) for seq, text in enumerate(words)]
    made: dict[str, Encoded] = {}
    HistorySnapshot(settled, 0, len(settled), made).encoded("turns", said, in_turns)
    settled[at:] = [user(f"u{one.text}", one.seq) for one in settled[at:]]
    made["turns"].forget(at)
    now = HistorySnapshot(settled, 0, len(settled), made)
    pieces = [said(one) for one in settled]
    assert now.encoded("turns", said, in_turns) == joined(pieces, in_turns)


@pytest.mark.law("context.1")
def test_each_message_is_encoded_and_joined_once_however_many_requests_there_are() -> (
    None
):
    asked: list[bytes] = []

    def encode(message: Message) -> bytes:
        asked.append(said(message))
        return said(message)

    def join(before: bytes, message: bytes) -> bytes | None:
        asked.append(message)
        return in_turns(before, message)

    settled: list[Message] = []
    made: dict[str, Encoded] = {}
    for number in range(1, 40):
        settled.append(user(f"{'ua'[number % 2]}{number}", number))
        asked.clear()
        snapshot = HistorySnapshot(settled, 0, len(settled), made)
        turns = snapshot.encoded("turns", encode, join)
        assert len(turns) == number
        assert asked == [said(settled[-1])] * (2 if number > 1 else 1)
    # What a request was given is its own.
    turns.clear()
    assert len(snapshot.encoded("turns", encode, join)) == len(settled)
