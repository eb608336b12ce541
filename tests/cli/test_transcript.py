"""The transcript: what is shown in the end is what is durable, however it streamed."""

import json
from typing import Any

from dovetail.kernel import (
    AvailabilityChanged,
    ContextUpdated,
    EpochStarted,
    Event,
    Failure,
    LeftOut,
    LiveDelta,
    LiveEvent,
    MessageId,
    NoticeAdded,
    ReasoningEnded,
    RetryScheduled,
    SessionId,
    StepStarted,
    TextEnded,
    Todo,
    TodosReplaced,
    ToolCalled,
    ToolFailed,
    ToolStarted,
    ToolSucceeded,
    clean_text,
)
from dovetail.plugins.cli.transcript import Transcript
from dovetail.plugins.console.calls import call_title, duration_text, success_text
from dovetail.plugins.console.terminal import Style, plain
from hypothesis import given, strategies as st

S, M = SessionId("s"), MessageId("m")
PATCH = """\
*** Begin Patch
*** Update File: src/a.py
@@
-*** Add File: no
+*** Add File: no
*** Add File: b.md
+x
*** End Patch"""


def delta(text: str, part: str = "0", what: Any = "text") -> LiveDelta:
    return LiveDelta(S, M, what, part, text)


def started() -> StepStarted:
    return StepStarted(session_id=S, message_id=M, agent="build", model="p/m")


def ended(text: str) -> TextEnded:
    return TextEnded(session_id=S, message_id=M, text=text)


def thought(text: str) -> ReasoningEnded:
    return ReasoningEnded(session_id=S, message_id=M, text=text)


def called(id: str, path: str) -> ToolCalled:
    return ToolCalled(
        session_id=S,
        message_id=M,
        call_id=id,
        tool="read",
        arguments=f'{{"path": "{path}"}}',
        created=1000,
    )


def running(id: str) -> ToolStarted:
    return ToolStarted(session_id=S, message_id=M, call_id=id, created=2000)


def succeeded(id: str, data: Any = None) -> ToolSucceeded:
    return ToolSucceeded(
        session_id=S, message_id=M, call_id=id, content=(), data=data, created=2500
    )


def failed(id: str, why: str) -> ToolFailed:
    failure = Failure("tool.failed", why)
    return ToolFailed(
        session_id=S, message_id=M, call_id=id, failure=failure, created=4000
    )


def written(*events: LiveEvent, watched: bool = False, reasoning: bool = True) -> str:
    transcript = Transcript(
        Style(), reasoning=reasoning, watched=watched, failures=False
    )
    out = "".join(transcript.take(event) for event in events)
    return out + transcript.break_line()


def test_who_watches_sees_what_is_to_be_done_once_that_is_written_down() -> None:
    todos = (Todo("1", "look\x1b[31m", "completed"), Todo("2", "fix", "in_progress"))
    replaced = TodosReplaced(session_id=S, message_id=M, call_id="a", todos=todos)
    events = [started(), called("a", "x"), running("a"), replaced, succeeded("a")]
    assert written(*events, watched=True) == (
        "* read x - ok, 500 ms\n  [x] look\\x1b[31m\n  [>] fix\n"
    )
    assert written(*events) == "* read x - ok, 500 ms\n"


# --- text -------------------------------------------------------------------------


def test_text_is_shown_while_it_streams_and_once() -> None:
    transcript = Transcript(Style(), reasoning=True, watched=True, failures=False)
    events = [started(), delta("Hel"), delta("lo"), ended("Hello")]
    assert [transcript.take(event) for event in events] == ["", "Hel", "lo", "\n"]


def test_what_was_not_streamed_comes_from_the_end_of_the_part() -> None:
    assert written(started(), ended("Hello")) == "Hello\n"
    assert written(started(), delta("Hel"), ended("Hello")) == "Hello\n"


def test_a_part_of_which_something_was_lost_is_said_again() -> None:
    assert written(started(), delta("Hlo"), ended("Hello")) == "Hlo\nHello\n"


@given(
    st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=6),
    st.integers(0, 6),
)
def test_whatever_prefix_was_streamed_the_text_is_whole(
    pieces: list[str], seen: int
) -> None:
    whole = clean_text("".join(pieces))
    shown = written(started(), *map(delta, pieces[:seen]), ended(whole))
    assert shown.endswith(plain(whole).removesuffix("\n") + "\n") or not plain(whole)


def test_parts_that_stream_across_each_other_are_both_whole() -> None:
    shown = written(
        started(),
        delta("one "),
        delta("two ", "1"),
        delta("more of one"),
        delta("more of two", "1"),
        ended("one more of one"),
        ended("two more of two"),
    )
    # The piece of the first that came while the second was shown is not lost.
    assert shown == "one \ntwo more of two\none more of one\n"


def test_reasoning_is_marked_and_apart() -> None:
    events: list[LiveEvent] = [
        started(),
        delta("Hm.", "0", "reasoning"),
        delta("Yes.", "1"),
        thought("Hm."),
        ended("Yes."),
    ]
    assert written(*events) == "(thinking) Hm.\nYes.\n"
    assert written(*events, reasoning=False) == "Yes.\n"


def test_a_split_pair_of_surrogates_is_one_character() -> None:
    shown = written(started(), delta("\ud83d"), delta("\ude00"), ended("\U0001f600"))
    assert shown.endswith("\n")
    shown.encode()


# --- calls ------------------------------------------------------------------------


def test_a_call_gets_its_outcome_on_its_own_line() -> None:
    events = [started(), called("1", "a"), running("1"), succeeded("1")]
    assert written(*events, watched=True) == "* read a - ok, 500 ms\n"
    assert written(*events) == "* read a - ok, 500 ms\n"


def test_calls_at_the_same_time_are_told_apart() -> None:
    events: list[Event] = [
        started(),
        called("1", "a"),
        called("2", "b"),
        running("1"),
        running("2"),
        succeeded("1"),
        failed("2", "no such file\nlook elsewhere"),
    ]
    assert written(*events) == (
        "* read a - ok, 500 ms\n* read b - failed: no such file, 2.0 s\n"
    )
    assert written(*events, watched=True) == (
        "* read a\n* read b\n* read a - ok, 500 ms\n"
        "* read b - failed: no such file, 2.0 s\n"
    )


def test_text_and_calls_are_apart() -> None:
    shown = written(
        started(),
        delta("I look."),
        ended("I look."),
        called("1", "a"),
        succeeded("1"),
        started(),
        delta("Found."),
        ended("Found."),
        watched=True,
    )
    assert shown == "I look.\n* read a - ok, 1.5 s\n\nFound.\n"


def test_a_command_that_failed_is_not_called_ok() -> None:
    shown = written(called("1", "a"), succeeded("1", {"exit_code": 2}))
    assert shown == "* read a - exit code 2, 1.5 s\n"


def test_a_settlement_without_its_call_is_shown_by_its_id() -> None:
    assert written(succeeded("call_9")) == "* call_9 - ok\n"


def test_a_notice_is_an_aside() -> None:
    notice = NoticeAdded(session_id=S, message_id=M, text="it was\ninterrupted")
    assert written(delta("Half"), notice) == "Half\n(it was)\n"


def test_a_retry_is_told() -> None:
    retry = RetryScheduled(
        session_id=S,
        message_id=M,
        attempt=2,
        delay_ms=2100,
        failure=Failure("provider.rate_limited", "slow down\nplease"),
    )
    assert written(started(), retry, delta("Yes."), ended("Yes.")) == (
        "(trying again in 2.1 s: slow down)\nYes.\n"
    )


# --- words ------------------------------------------------------------------------


def test_a_call_is_named_by_what_it_is_about() -> None:
    titles = {
        '{"path": "a.py", "content": "x"}': "t a.py",
        '{"content": "x", "path": "a.py"}': "t a.py",
        '{"command": "ls -la"}': "t ls -la",
        '{"command": "make", "description": "Builds\\nall"}': "t make (Builds\\nall)",
        '{"command": "make", "description": " "}': "t make",
        '{"path": "a.py", "description": "x"}': "t a.py",
        '{"number": 3, "other": "this"}': "t this",
        '{"number": 3}': "t",
        "": "t",
        "[1]": "t [1]",
        "{broken": "t {broken",
        '{"path": "a\\u001b[2J\\nb"}': "t a\\x1b[2J\\nb",
        "[" * 100_000: f"t {'[' * 71}…",
        json.dumps({"input": PATCH}): "t src/a.py, b.md",
        json.dumps({"input": "*** Begin Patch x"}): "t *** Begin Patch x",
    }
    for arguments, title in titles.items():
        assert call_title("t", arguments) == title


def test_how_a_command_ended_is_told_in_a_word() -> None:
    told = {"exit_code": None, "timed_out": False, "job": None}
    assert success_text({**told, "exit_code": 0}) == "ok"
    assert success_text({**told, "exit_code": 2}) == "exit code 2"
    assert success_text({**told, "timed_out": True}) == "timed out"
    assert success_text({**told, "job": "job_1"}) == "ok, as a job"
    assert success_text(None) == success_text("text") == "ok"


def test_durations_are_for_people() -> None:
    numbers = [0, 999, 1000, 59_940, 61_000, -5]
    assert [duration_text(number) for number in numbers] == [
        "0 ms",
        "999 ms",
        "1.0 s",
        "59.9 s",
        "1 min 1 s",
        "0 ms",
    ]


def test_what_the_model_was_not_told_is_named_with_whose_it_is_and_why() -> None:
    transcript = Transcript(Style(), reasoning=True, watched=False, failures=True)
    begun = EpochStarted(
        session_id=S,
        baseline="",
        sources={},
        left_out={"acme/team": LeftOut("acme", "nobody\nis \x1b[2J there")},
    )
    [line] = transcript.take(begun).splitlines()
    assert "not told of acme/team of plugin acme" in line
    assert line.endswith("could not be observed: nobody)")
    now = ContextUpdated(
        session_id=S, message_id=M, text="Ann is.", sources={"acme/team": "1"}
    )
    assert transcript.take(now) == "(the model was told of acme/team)\n"
    gone = AvailabilityChanged(
        session_id=S,
        unavailable={"acme/team": LeftOut("acme", "it\nhangs")},
        ended=("acme/news",),
    )
    assert transcript.take(gone).splitlines() == [
        "(acme/team of plugin acme cannot be observed any more: it)",
        "(acme/news is not missing any more)",
    ]
