"""Recorded work of agents as histories: what a summary must keep, checked by rule.

The summary itself says nothing here, as a bad model's would: whatever is found is
carried from the record.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from dovetail.kernel import (
    AssistantMessage,
    Message,
    MessageId,
    ModelInfo,
    SessionId,
    TextContent,
    TextPart,
    Todo,
    ToolPart,
    UserMessage,
)
from dovetail.kernel.compaction.carried import Carried, rendered
from dovetail.kernel.compaction.limits import Limits
from dovetail.kernel.compaction.plan import Cut, cut
from dovetail.kernel.configuration.compaction import CompactionSettings
from dovetail.kernel.history.size import tokens_of, tokens_of_text
from support.corpora import find_corpus

HERE = SessionId("s")
TAU, SWE = "tau-bench-trajectories", "mini-swe-agent-trajectories"
WINDOW = 8_000
OPEN = (Todo("1", "confirm with the customer"), Todo("2", "refund", "in_progress"))


def history_of(record: Sequence[Mapping[str, Any]]) -> list[Message]:
    """Return a recorded list of messages, as Chat has it, as a history."""
    results = {
        one["tool_call_id"]: one["content"] for one in record if one["role"] == "tool"
    }
    made: list[Message] = []
    for seq, one in enumerate(record):
        id, text = MessageId(f"msg_{seq}"), one["content"] or ""
        if one["role"] == "user":
            made.append(UserMessage(id, HERE, seq, 0, text))
        elif one["role"] == "assistant":
            calls = [
                ToolPart(
                    each["id"],
                    each["function"]["name"],
                    each["function"]["arguments"],
                    "succeeded",
                    (TextContent(results[each["id"]]),),
                )
                for each in one.get("tool_calls") or ()
            ]
            parts = (TextPart(text), *calls)
            made.append(AssistantMessage(id, HERE, seq, 0, "a", "m/m", parts))
    return made


def commands_of(record: Sequence[Mapping[str, Any]]) -> list[Message]:
    """Return a recorded transcript of a shell agent as a history: each command is a
    call, and what was observed is its result."""
    made: list[Message] = []
    for seq, one in enumerate(record):
        id, text = MessageId(f"msg_{seq}"), one["content"]
        found = re.search(r"```(?:bash|mswea_bash_command)\n(.*?)```", text, re.S)
        if one["role"] == "assistant" and found:
            after = record[seq + 1]["content"] if seq + 1 < len(record) else ""
            arguments = json.dumps({"command": found[1]})
            call = ToolPart(
                f"c{seq}", "bash", arguments, "succeeded", (TextContent(after),)
            )
            made.append(AssistantMessage(id, HERE, seq, 0, "a", "m/m", (call,)))
        elif one["role"] == "user" and not made:
            made.append(UserMessage(id, HERE, seq, 0, text))
    return made


def histories() -> list[list[Message]]:
    tau, swe = find_corpus(TAU), find_corpus(SWE)
    if tau is None or swe is None:
        pytest.skip("the real-data sets of recorded agents are not there")
    lines = list(tau.lines("gpt-4o-airline-20.jsonl"))
    found = [history_of(line["traj"]) for line in lines]
    # As one that a customer stays in all day.
    day = [message for line in lines for message in line["traj"][1:]]
    swe_messages = swe.json("local.traj.json")
    return [*found, history_of(day), commands_of(swe_messages)]


def compacted(messages: Sequence[Message], *, asked: bool) -> tuple[Cut, str]:
    info = ModelInfo("m/m", WINDOW, 2_000)
    limits = Limits.of(info, CompactionSettings(), besides=1_500)
    plan = cut(messages, limits, asked=asked)
    assert plan is not None
    carried = Carried.of(plan.replaced, None, limits.carried)
    text = rendered(
        "Nothing much.", carried, OPEN, (), room=limits.carried, recall=True
    )
    assert tokens_of_text(text) < 3 * limits.carried + limits.step + 1_000
    return plan, text


def named_in(message: Message) -> Iterator[str]:
    """Yield what must not be lost of a message: ids and files in arguments of calls."""
    for part in message.calls if isinstance(message, AssistantMessage) else ():
        arguments = json.loads(part.arguments)
        for key, value in arguments.items():
            if key.endswith("_id") or key in ("path", "file"):
                yield value
            if key == "command":
                yield from re.findall(r"[\w./-]+\.(?:py|md|toml|txt)\b", value)


@pytest.mark.law("compaction.4")
def test_ids_files_and_open_items_of_recorded_work_are_kept() -> None:
    checked = 0
    for messages in histories():
        if len(messages) < 5:
            continue
        plan, text = compacted(messages, asked=True)
        # Of very many the latest are kept; the earliest are still in the transcript.
        names = [name for one in plan.replaced for name in named_in(one)][-20:]
        for name in names:
            assert name in text
        checked += len(names)
        first = next(one for one in messages if isinstance(one, UserMessage))
        if first in plan.replaced:
            assert first.text[:200].splitlines()[0] in text
        for todo in OPEN:
            assert todo.content in text
    assert checked > 50


_IDS = re.compile(
    r"\b(?:[a-z]+_[a-z]+_\d{3,5}|#W\d+|HAT\d{3}|\d{9,10}|[A-Z0-9]{6}"
    r"|(?:credit_card|gift_card|certificate|paypal)_\d+)\b"
    r"|[\w./-]+/[\w.-]+\.\w{1,4}\b"
)
"""People, orders, flights, reservations, means of payment, and files."""


@pytest.mark.law("compaction.4")
def test_every_id_that_was_worked_with_and_every_wish_is_kept() -> None:
    """Of whole conversations, whatever the summary says: each id and file of a call,
    however long ago, and all that the user said, which is where constraints are."""
    ids = wishes = 0
    for messages in histories():
        if len(messages) < 6 or len(messages) > 200:
            continue  # too short to be cut, or longer than what is carried may be
        plan, text = compacted(messages, asked=True)
        for message in plan.replaced:
            if isinstance(message, AssistantMessage):
                for part in message.calls:
                    found = set(_IDS.findall(part.arguments))
                    assert all(one in text for one in found), found
                    ids += len(found)
            elif isinstance(message, UserMessage) and len(message.text) < 300:
                for line in message.text.splitlines():
                    assert line in text
                wishes += 1
    assert ids > 50
    assert wishes > 30


@pytest.mark.law("compaction.2")
def test_recorded_work_is_cut_between_messages_and_fits() -> None:
    for messages in histories():
        for asked in (True, False):
            limits = Limits.of(
                ModelInfo("m/m", WINDOW, 2_000), CompactionSettings(), besides=1_500
            )
            plan = cut(messages, limits, asked=asked)
            if plan is None:
                assert sum(map(tokens_of, messages)) <= limits.keep or not asked
                continue
            stays = [one for one in messages if one.seq >= plan.kept]
            assert [*plan.replaced, *stays] == messages
            assert any(isinstance(one, AssistantMessage) for one in stays)
            assert plan.stays <= max(limits.keep, sum(map(tokens_of, stays[-2:])))


@pytest.mark.law("compaction.4")
def test_what_was_carried_once_is_carried_again() -> None:
    """What a second compaction does not see any more is in the event of the first."""
    from dovetail.kernel import CompactionEnded

    messages = histories()[-2]
    plan, text = compacted(messages[:60], asked=False)
    carried = Carried.of(plan.replaced, None, 2_000)
    before = CompactionEnded(
        session_id=HERE,
        message_id=MessageId("msg_x"),
        text=text,
        kept=plan.kept,
        replaced=len(plan.replaced),
        tokens_before=1,
        tokens_after=1,
        said=carried.said,
        names=carried.names,
        model="m/m",
    )
    again = Carried.of(messages[60:90], before, 2_000)
    assert again.said[0] == carried.said[0]
    assert set(carried.names[-5:]) <= set(again.names)


def test_of_words_that_do_not_fit_the_two_ends_are_carried() -> None:
    said = [
        UserMessage(MessageId(f"m{at}"), HERE, at, 0, text)
        for at, text in enumerate(["the task", "BEGIN " + "z" * 60_000 + " END", "x"])
    ]
    first, long, last = Carried.of(said, None, 1_000).said
    assert (first.text, last.text) == ("the task", "x")
    assert long.text.startswith("BEGIN z")
    assert long.text.endswith("z END")
    assert tokens_of_text(long.text) < 1_000
