"""The Continuation Report as text: nothing in it hidden, whoever wrote the words."""

from typing import Any

import pytest
from attrs import evolve
from dovetail.kernel import (
    AssistantMessage,
    ContinuationAccepted,
    ContinuationReport,
    ContinuationReported,
    Failure,
    Input,
    Location,
    MessageId,
    Moved,
    OpenCall,
    Prompt,
    SessionId,
    ToolFailed,
    ToolPart,
)
from dovetail.plugins.cli.transcript import Transcript
from dovetail.plugins.console.continuing import LeftWork, report_lines, summary
from dovetail.plugins.console.terminal import Style
from hypothesis import given, strategies as st

S, M = SessionId("s"), MessageId("m")
NASTY = "a\x1b[2J\n\u202eb"


def call(id: str, known: Any, action: Any, effect: Any = "unsafe") -> OpenCall:
    return OpenCall(id, M, "bash", effect, known, action)


def left(*calls: OpenCall, moved: tuple[Moved, ...] = (), **fields: Any) -> LeftWork:
    parts = tuple(
        ToolPart(one.call_id, one.tool, f'{{"command": "do {one.call_id}"}}')
        for one in calls
    )
    cut = AssistantMessage(M, S, 3, 0, agent="build", model="p/m", parts=parts)
    report = ContinuationReport(
        session_id=S,
        location=Location("/w"),
        trusted_seq=7,
        trusted_hash="ab" * 32,
        previous_owner="own_1",
        ended="lost",
        pending=(),
        promoted=(),
        withdrawn=(),
        calls=calls,
        moved=moved,
    )
    pending = [Input(M, S, Prompt(f"Then\n{NASTY}"), "queue", "pending", 8, 0)]
    return LeftWork(report, cut if calls else None, fields.get("pending", pending))


def test_each_call_says_what_is_known_of_it_and_what_becomes_of_it() -> None:
    told = left(
        call("1", "completed", "none"),
        call("2", "not_started", "run"),
        call("3", "unknown", "run", "idempotent"),
        call("4", "unknown", "check", "reconcilable"),
        call("5", "unknown", "settle"),
        call("6", "not_started", "settle", None),
    )
    lines = report_lines(told, Style())
    at = lines.index("calls of the Step that was cut off:")
    assert lines[at + 1 : at + 7] == [
        "  * bash do 1 - completed",
        "  * bash do 2 - not started: it runs",
        "  * bash do 3 - outcome unknown (idempotent): it runs again",
        "  * bash do 4 - outcome unknown (reconcilable): its tool looks what became "
        "of it",
        "  * bash do 5 - outcome unknown (unsafe): not repeated, and the model is "
        "told so",
        "  * bash do 6 - not started: not repeated, and the model is told so",
    ]
    assert lines[:2] == [
        "the worker that ran this session (own_1) recorded no end of it",
        "trusted: up to event 7, abababababababab",
    ]
    assert lines[-3:] == [
        "waiting:",
        "  > Then",
        f"report {told.report.digest}",
    ]


@pytest.mark.law("recovery.9")
def test_what_a_call_did_is_shown_below_it() -> None:
    one = evolve(
        call("1", "unknown", "settle"), done=("add a", NASTY), doing=("delete b",)
    )
    lines = report_lines(left(one), Style())
    at = lines.index("calls of the Step that was cut off:")
    assert lines[at + 2 : at + 5] == [
        "      done: add a",
        "      done: a\\x1b[2J\\n\\u202eb",
        "      done or not: delete b",
    ]


def test_each_thing_that_moved_is_a_line_and_a_version_says_which() -> None:
    moved = (
        Moved("model.changed", "model", "p/old", "p/new"),
        Moved("plugin.removed", "mine", "1.0", None),
        Moved("tool.changed", "bash", "0123", "4567"),
        Moved("file.changed", f"/w/{NASTY}", "0123", None),
    )
    lines = report_lines(left(moved=moved, pending=[]), Style())
    assert lines[2:7] == [
        "moved since:",
        "  model.changed model (p/old -> p/new)",
        "  plugin.removed mine (1.0 -> -)",
        "  tool.changed bash",
        "  file.changed /w/a\\x1b[2J\\n\\u202eb",
    ]


def test_of_very_many_things_it_says_how_many_more_there_are() -> None:
    moved = tuple(Moved("file.changed", f"/w/{number}") for number in range(100))
    lines = report_lines(left(moved=moved), Style())
    assert "  file.changed /w/39" in lines
    assert "  file.changed /w/40" not in lines
    assert "  and 60 more, which --json names" in lines


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json | st.fixed_dictionaries({"calls": json, "moved": json}))
def test_a_recorded_report_of_any_shape_is_one_line(report: Any) -> None:
    """A session may come from another database, with a report of any making."""
    assert summary(report).startswith("left unfinished: ")
    assert "\n" not in summary(report)


@pytest.mark.parametrize(
    ("unknown", "moved", "told"),
    [
        (0, 0, "no outcome is unknown and nothing moved"),
        (2, 0, "2 calls of unknown outcome"),
        (0, 1, "1 thing moved"),
        (1, 2, "1 call of unknown outcome, 2 things moved"),
    ],
)
def test_a_report_in_one_line_counts_only_what_there_is(
    unknown: int, moved: int, told: str
) -> None:
    calls: Any = [{"known": "unknown"}] * unknown + [{"known": "completed"}]
    report: Any = {"calls": calls, "moved": [{}] * moved}
    assert summary(report) == f"left unfinished: {told}"


@pytest.mark.parametrize(
    ("by", "told"),
    [
        ("person", "going on: accepted by a person"),
        ("prompt", "going on: accepted by a new prompt"),
        ("clean", "going on: nothing was in doubt"),
        ("policy", "going on: as configured"),
        (NASTY, "going on: accepted by a\\x1b[2J\\n\\u202eb"),
    ],
)
def test_the_transcript_says_what_was_left_and_who_accepted_it(
    by: str, told: str
) -> None:
    transcript = Transcript(Style(), reasoning=False, watched=False, failures=True)
    report: Any = {"calls": [{"known": "unknown"}, {"known": "completed"}], "moved": []}
    reported = ContinuationReported(session_id=S, digest="d", report=report)
    accepted = ContinuationAccepted(session_id=S, digest="d", by=by)
    assert transcript.take(reported) + transcript.take(accepted) == (
        f"(left unfinished: 1 call of unknown outcome)\n({told})\n"
    )


def test_a_call_of_an_earlier_process_keeps_its_name() -> None:
    work = left(call("1", "unknown", "settle"))
    transcript = Transcript(Style(), reasoning=False, watched=False, failures=True)
    transcript.recall(work.cut, work.pending)
    failed = ToolFailed(
        session_id=S, message_id=M, call_id="1", failure=Failure("c", "cut off")
    )
    assert transcript.take(failed) == "* bash do 1 - failed: cut off\n"
