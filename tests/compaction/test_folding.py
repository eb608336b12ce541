"""Random sessions with compactions: what a model is shown of them follows from the log,
and never holds a call without its result."""

from collections.abc import Sequence

import pytest
from attrs import evolve
from dovetail.kernel import (
    AssistantMessage,
    CompactionEnded,
    Event,
    OutputsShortened,
    SummaryMessage,
)
from dovetail.kernel.history.history import History
from dovetail.kernel.history.size import tokens_of
from hypothesis import given, settings, strategies as st
from support.sessions import ACTS, written

WEIGHTED = (*ACTS, *["step", "compact", "shorten", "admit", "promote"] * 3)
compacted = st.lists(st.sampled_from(WEIGHTED), max_size=40).map(written)


def folded(events: Sequence[Event]) -> History:
    history = History("s")
    for seq, event in enumerate(events):
        history.offer(evolve(event, seq=seq))
    assert history.damage is None
    return history


def texts(history: History) -> list[str]:
    return [repr(one) for one in history.messages]


@pytest.mark.law("compaction.2")
@settings(deadline=None)
@given(compacted)
def test_no_call_is_parted_from_its_result_and_a_summary_comes_first(
    events: list[Event],
) -> None:
    history = folded(events)
    for place, message in enumerate(history.messages):
        assert isinstance(message, SummaryMessage) is (
            place == 0 and history.shown.compaction is not None
        )
        if isinstance(message, AssistantMessage):
            assert all(part.settled for part in message.calls)
    assert history.shown.size.messages == sum(map(tokens_of, history.shown._settled))


@pytest.mark.law("context.6")
@settings(deadline=None)
@given(compacted)
def test_what_is_shown_is_what_the_last_compaction_left_and_what_came_since(
    events: list[Event],
) -> None:
    history = folded(events)
    ended = [n for n, one in enumerate(events) if isinstance(one, CompactionEnded)]
    if not ended:
        assert history.shown.compaction is None
        return
    last = events[ended[-1]]
    assert isinstance(last, CompactionEnded)
    shown = history.messages
    assert shown[0].seq == ended[-1]
    assert all(one.seq >= last.kept for one in shown)
    before = folded(events[: ended[-1]])
    kept = [
        one.id
        for one in before.messages
        if one.seq >= last.kept and not isinstance(one, SummaryMessage)
    ]
    still = [one.id for one in shown[1:] if one.seq < ended[-1]]
    # What a new Baseline tells anew is shown no more.
    assert [one for one in kept if one in still] == still


@pytest.mark.law("context.1")
@settings(deadline=None)
@given(compacted)
def test_a_history_only_grows_but_where_an_event_says_why(
    events: list[Event],
) -> None:
    history = History("s")
    pieces: list[bytes] = []
    for seq, event in enumerate(events):
        history.offer(evolve(event, seq=seq))
        again = history.shown.snapshot().encoded("d", lambda one: repr(one).encode())
        why = isinstance(event, CompactionEnded | OutputsShortened)
        if not why and event.kind != "context.epoch_started":
            assert again[: len(pieces)] == pieces
        pieces = again


@settings(deadline=None)
@given(st.lists(st.sampled_from((*WEIGHTED, "redeliver")), max_size=40).map(written))
def test_what_is_about_to_be_promoted_is_counted_without_what_waits_longer(
    events: list[Event],
) -> None:
    history = folded(events)
    inputs = [
        one
        for one in history.inputs.all
        if history.inputs.asked_for is None or one.seq < history.inputs.asked_for
    ]
    steers = [one for one in inputs if one.delivery == "steer"]
    for idle in (False, True):
        due = steers or (inputs[:1] if idle else [])
        coming = history.inputs.coming(idle=idle)
        assert sorted(one.seq for one in coming) == [one.seq for one in due]
