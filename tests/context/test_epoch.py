"""The Context Epoch: when one begins, when it goes on, and the fold from events."""

import pytest
from dovetail.kernel import (
    ContextUnavailableError,
    ContextUpdated,
    EpochStarted,
    MessageId,
    Observation,
    SessionId,
)
from dovetail.kernel.context.algebra import (
    Absent,
    Observed,
    Snapshot,
    Unavailable,
)
from dovetail.kernel.context.epoch import (
    CurrentEpoch,
    InitialiseEpoch,
    NoChange,
    UpdateEpoch,
    decide,
)

SESSION = SessionId("ses_1")
FULL = Snapshot({"t/a": Observed(Observation("A")), "t/b": Observed(Observation("B"))})


def test_the_first_step_stores_the_whole_baseline() -> None:
    decision = decide(None, FULL)
    assert decision == InitialiseEpoch("A\n\nB", FULL.digests, "first")
    assert decision.event(SESSION) == EpochStarted(
        session_id=SESSION, baseline="A\n\nB", sources=FULL.digests, cause="first"
    )


def test_without_anything_to_say_an_epoch_has_an_empty_baseline() -> None:
    assert decide(None, Snapshot({})) == InitialiseEpoch("", {}, "first")


@pytest.mark.law("context.4")
@pytest.mark.parametrize("cause", ["first", "compaction"])
def test_no_epoch_begins_without_what_a_required_source_says(cause: str) -> None:
    defect = OSError("disk")
    taken = Snapshot(
        {
            **FULL.results,
            "t/c": Unavailable(
                "the disk is gone", error=defect, plugin="mine", required=True
            ),
            "t/d": Unavailable("so is this", required=True),
            "t/e": Unavailable("this is not needed"),
        }
    )
    with pytest.raises(ContextUnavailableError) as caught:
        decide(None, taken, cause=cause)
    assert caught.value.code == "context.unavailable"
    assert caught.value.key == "t/c"
    assert "the disk is gone" in str(caught.value)
    assert "t/d" in str(caught.value)
    assert "t/e" not in str(caught.value)
    assert "DOVETAIL_DISABLE_PLUGINS" in str(caught.value)
    assert caught.value.plugin == "mine"
    assert caught.value.__cause__ is defect


@pytest.mark.law("context.1")
def test_within_an_epoch_nothing_changes_while_the_sources_say_the_same() -> None:
    epoch = CurrentEpoch("the stored text", FULL.digests)
    assert decide(epoch, FULL) == NoChange()


@pytest.mark.law("context.2")
def test_within_an_epoch_an_unavailable_source_changes_nothing() -> None:
    epoch = CurrentEpoch("the stored text", FULL.digests)
    away = Snapshot({**FULL.results, "t/a": Unavailable("away")})
    assert decide(epoch, away) == NoChange()


def test_a_change_becomes_an_update_that_says_what_is_newly_true() -> None:
    epoch = CurrentEpoch("A\n\nB", FULL.digests)
    after = Snapshot({"t/a": Observed(Observation("A2", "now A2")), "t/b": Absent()})
    decision = decide(epoch, after)
    assert isinstance(decision, UpdateEpoch)
    assert decision.text.startswith("now A2\n\n")
    assert decision.sources == {"t/a": after.digests["t/a"], "t/b": None}
    event = decision.event(SESSION, MessageId("msg_1"))
    assert event == ContextUpdated(
        session_id=SESSION,
        message_id=MessageId("msg_1"),
        text=decision.text,
        sources=decision.sources,
    )
