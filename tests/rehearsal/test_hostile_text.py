"""Whatever a conversation contains, the rehearsal has an answer to it."""

from typing import Any

import pytest
from dovetail.plugins.rehearsal.chat import Answered, Call, ChatRequest, UserTurn
from dovetail.plugins.rehearsal.policy import decide
from dovetail.plugins.rehearsal.repairs import repaired, repairs
from dovetail.plugins.rehearsal.reports import Failed, read_report
from hypothesis import given, strategies as st

TOOLS: dict[str, dict[str, Any]] = {
    name: {} for name in ("bash", "edit", "glob", "grep", "read")
}
FAILED = Failed("test_a", (), "AssertionError", "")

# Text that looks enough like a report to get past the first look.
LIKE_A_REPORT = st.lists(
    st.sampled_from(
        [
            "=" * 70,
            "FAIL: test_a (t.T.test_a)",
            "ERROR: x",
            "-" * 70,
            "Traceback (most recent call last):",
            '  File "/p/test_t.py", line 3, in test_a',
            "    self.assertEqual(f(1), 2)",
            "AssertionError: 1 != 2",
            "AssertionError: Lists differ: [1] != [1, 2]",
            "Ran 1 test in 0.001s",
            "OK",
            "FAILED (failures=1)",
            "____ test_a ____",
            ">       assert f(1) == 2",
            "E       assert 1 == 2",
            "t.py:3: AssertionError",
            "1 failed in 0.01s",
            "1: def f(n):",
            "2:     return n - 1",
            "t.py:1: def f(n):",
            "permission to edit 'x' is denied",
        ]
    )
    | st.text(max_size=20),
    max_size=20,
).map("\n".join)


@given(st.lists(st.tuples(st.sampled_from(sorted(TOOLS)), LIKE_A_REPORT), max_size=8))
def test_every_conversation_has_a_next_answer(done: list[tuple[str, str]]) -> None:
    given_ = {"path": "t.py", "pattern": r"def f\b", "old_string": "a"}
    answers = [
        Answered("", (Call(f"c{number}", tool, given_),), (result,))
        for number, (tool, result) in enumerate(done)
    ]
    request = ChatRequest("m", (UserTurn("fix the tests"), *answers), TOOLS)
    reply = decide(request)
    assert reply.text
    assert not {call.id for call in reply.calls} & {f"c{n}" for n in range(8)}
    assert decide(request) == reply


@given(LIKE_A_REPORT)
def test_every_output_can_be_read(text: str) -> None:
    report = read_report(text)
    assert report.verdict in ("passed", "failed", "unknown")
    if report.failed:
        assert report.verdict == "failed"


@given(
    st.lists(
        st.sampled_from(
            [
                "    for x in range(1, len(a) - n + 1):",
                "        pass",
                "    b = a[x - 1 : n][0] + min(-n, 'ü' and 3)",
                "    return not (a <= b < 3 or True)",
                '    return f"{a + 1} é {b[0]}"',
                "    a += (b *\n        2)",
                "    return ((1))-((2))",
                "    return a if a not in b else other(a)",
            ]
        ),
        min_size=1,
        max_size=6,
    )
)
def test_a_repair_changes_one_line_and_still_parses(body: list[str]) -> None:
    text = "\n".join(["def f(a, n):", *body, "", "def other(a):", "    return a * 2"])
    for one in repairs(text, "f", FAILED):
        changed = repaired(text, one)
        if changed is not None:
            before, after = text.split("\n"), changed.split("\n")
            assert len(before) == len(after)
            differing = [n for n in range(len(before)) if before[n] != after[n]]
            assert differing == [one.line - 1]
            compile(changed, "changed", "exec")


@given(st.text())
def test_source_that_does_not_parse_has_no_repairs(text: str) -> None:
    assert repairs(f"{text}\n)(", "f", FAILED) == []


@pytest.mark.parametrize("text", ["(" * 50_000, "x = " + "-" * 50_000 + "1", "\0"])
def test_source_that_nests_too_deeply_has_no_repairs(text: str) -> None:
    assert repairs(text, "f", FAILED) == []
