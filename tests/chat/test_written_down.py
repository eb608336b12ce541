"""What is kept of a session on the screen: its calls, its inbox, what it used up."""

import json
from types import SimpleNamespace

from dovetail.kernel import (
    JobId,
    MessageId,
    Prompt,
    PromptAdmitted,
    PromptRedelivered,
    SessionId,
    StepEnded,
    TextContent,
    ToolCalled,
    ToolSucceeded,
    Usage,
)
from dovetail.plugins.chat.calls import MOST_CALLS, Calls
from dovetail.plugins.chat.changes import change_of
from dovetail.plugins.chat.inbox import Inbox
from dovetail.plugins.chat.plain import PlainRenderer
from dovetail.plugins.chat.sheet import Sheet
from dovetail.plugins.chat.spending import Spending
from dovetail.plugins.console.terminal import Style

SESSION, MESSAGE = SessionId("ses_1"), MessageId("msg_1")


def sheet() -> Sheet:
    return Sheet(PlainRenderer(), Style(), lambda: 80)


def called(call_id: str, **arguments: str) -> ToolCalled:
    return ToolCalled(
        session_id=SESSION,
        message_id=MESSAGE,
        call_id=call_id,
        tool="bash",
        arguments=json.dumps(arguments),
        created=1000,
    )


def admitted(number: int, job_id: JobId | None = None) -> PromptAdmitted:
    return PromptAdmitted(
        session_id=SESSION,
        input_id=MessageId(f"in_{number}"),
        prompt=Prompt(f"say {number}"),
        delivery="steer",
        job_id=job_id,
    )


# --- calls ------------------------------------------------------------------------


def test_a_call_is_numbered_once_and_runs_until_it_has_an_outcome() -> None:
    calls = Calls(sheet())
    one = calls.begin(called("a", command="ls"))
    assert calls.begin(called("a", command="ls")) is None
    two = calls.begin(called("b", command="pwd"))
    assert one is not None
    assert two is not None
    assert (one.number, two.number) == (1, 2)
    assert calls.running == [one, two]
    ended = ToolSucceeded(
        session_id=SESSION,
        message_id=MESSAGE,
        call_id="a",
        content=(TextContent("a\nb"),),
        created=1500,
    )
    assert calls.settle(ended) == "* 1 bash ls - ok, 500 ms\n"
    assert calls.settle(ended) == ""
    assert calls.running == [two]
    assert one.whole() == "1 bash ls\n\ncommand:\n  ls\n\na\nb"
    assert two.whole().endswith("it runs\n  ")
    assert calls.last is two


def test_of_many_calls_the_latest_can_be_asked_for() -> None:
    calls = Calls(sheet())
    for number in range(MOST_CALLS + 1):
        calls.begin(called(f"c{number}"))
    assert calls.by_number(1) is None
    assert calls.by_number(2) is not None
    assert calls.last is calls.by_number(MOST_CALLS + 1)


def test_a_change_is_found_in_what_an_editing_tool_is_called_with() -> None:
    assert change_of({"old_string": "a", "new_string": "b"}) == ["-a", "+b"]
    assert change_of({"path": "x", "content": "a\nb"}) == ["+a", "+b"]
    assert change_of({"p": "*** Begin Patch\n-a\n*** End Patch"}) == ["-a"]
    assert change_of({"command": "ls", "content": "a"}) == ()


# --- the inbox --------------------------------------------------------------------


def test_what_waits_is_kept_in_order_until_it_is_seen_or_taken_back() -> None:
    inbox = Inbox()
    one, two = inbox.admit(admitted(1)), inbox.admit(admitted(2, JobId("job_1")))
    assert inbox.waiting == [one, two]
    assert (one.said, two.said) == (True, False)
    assert one.told == "waits for the next Step"
    inbox.redeliver(
        PromptRedelivered(
            session_id=SESSION, input_id=MessageId("in_1"), delivery="queue"
        )
    )
    assert one.told == "queued"
    assert inbox.take("in_1") is one
    assert inbox.take("in_1") is None
    assert inbox.get("in_1") is None
    assert inbox.waiting == [two]


# --- the spending -----------------------------------------------------------------


def step_ended(tokens: int) -> StepEnded:
    return StepEnded(
        session_id=SESSION,
        message_id=MESSAGE,
        finish="stop",
        usage=Usage(input=tokens, output=1),
    )


def test_what_is_known_of_a_session_is_not_counted_twice() -> None:
    spending = Spending()
    spending.take(step_ended(100))
    assert spending.tokens == 101
    known = SimpleNamespace(usage=Usage(input=1000, output=None), cost=0.5, unpriced=0)
    spending.begin_with(known)  # type: ignore[arg-type]
    assert spending.tokens == 1000
    assert spending.cost_text() == "$0.5000"
    spending.take(step_ended(9))
    assert spending.tokens == 1010
