"""The crash harness itself: it finds what is wrong, and says what it did."""

import logging
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, frozen
from dovetail.kernel import InvalidValueError, ModelRequest, Register, Tool, hookimpl
from dovetail.kernel.execution import continuation
from dovetail.kernel.history import takeover
from dovetail.kernel.testing import (
    CrashEnd,
    CrashRun,
    CrashScenario,
    CrashWorld,
    FaultPoint,
    call,
    calls,
    crash_storm,
    crash_test,
)
from dovetail.kernel.testing.crash import nursery
from dovetail.kernel.testing.crash.points import FaultPoints, after_changes, reached_in


@frozen
class Nothing:
    pass


class Paying:
    name = "paying"

    def __init__(self, world: CrashWorld, **settings: Any) -> None:
        async def pay(input: Nothing, context: Any) -> str:
            world.act(context, "pay")
            return "paid"

        self.tool = Tool("pay", "Pay.", Nothing, pay, **settings)

    @hookimpl
    def dovetail_register_tools(self, register: Register[Tool[Any, Any]]) -> None:
        register(self.tool)


def paying(world: CrashWorld) -> CrashScenario:
    return CrashScenario([Paying(world)], model=[calls(call("pay"))])


def test_every_kind_of_fault_point_is_found_also_in_a_recovery() -> None:
    first: set[FaultPoint] = set()
    # Where it dies at all of them: `unsafe_call` in test_crashing.
    chosen = FaultPoint("tool pay", 1, "before")

    def choose(point: FaultPoint) -> bool:
        first.add(point)
        return point == chosen

    report = crash_test(paying, only=choose)
    assert report.sound, report
    found = {point.name for point in first}
    assert found >= {
        "prompt",
        "commit session.created",
        "commit prompt.admitted",
        "commit tool.called",
        "commit tool.started",
        "commit tool.succeeded + step.ended",
        "request",
        "stream ToolCall",
        "stream Finish",
        "tool pay",
        "effect pay",
    }
    assert {evolve(point, side="after") for point in first} <= first
    assert {one[0] for one in report.found} == {chosen}
    again = {one[1].name for one in report.found if len(one) == 2}
    assert {one for one in again if one.endswith("accepted + execution.started")}
    assert report.runs > len(report.found)
    assert report.kills >= len(report.found)
    assert f"{len(report.found)} fault points found" in str(report)


def _of_the_tool(point: FaultPoint) -> bool:
    return "pay" in point.name


def test_what_left_nothing_is_not_recovered_from() -> None:
    report = crash_test(paying, only=lambda one: one.name == "commit session.created")
    assert report.sound, report
    assert [(one.side, *more) for one, *more in report.found] == [
        ("before",),
        ("after",),
    ]


def test_where_nothing_was_written_since_it_need_not_die_again() -> None:
    names: list[str] = []

    def choose(point: FaultPoint) -> bool:
        names.append(str(point))
        return True

    report = crash_test(paying, only=choose, distinct=True)
    assert report.sound, report
    once = [str(one) for one, *more in report.found if not more]
    # The last one before anything was written, and the first one after each change.
    assert once[:3] == [
        "before commit session.created #1",
        "after commit session.created #1",
        "after commit prompt.admitted #1",
    ]
    assert set(once[1:]) == {
        f"after {one} #1"
        for one in (
            *("commit session.created", "commit prompt.admitted", "commit tool.called"),
            *("commit tool.started", "effect pay", "tool pay"),
        )
    } | {one for one in names if one.startswith("after commit ")}
    again = [str(more[0]) for _, *more in report.found if more]
    assert again
    assert all(one.startswith("after ") for one in again)


# --- it finds defects -------------------------------------------------------------


def repeats_everything(world: CrashWorld) -> CrashScenario:
    continuation._action = lambda known, effect: "run"  # type: ignore[assignment]
    return paying(world)


def test_an_unsafe_call_that_runs_twice_is_found() -> None:
    report = crash_test(repeats_everything, depth=1, only=_of_the_tool)
    assert not report.sound
    told = [problem for one in report.failures for problem in one.problems]
    assert any("had 2 effects for one call" in one for one in told), report
    assert any("ran 2 times for one call" in one for one in told), report


def test_what_a_scenario_changes_stays_in_processes_that_die() -> None:
    decides = continuation._action
    crash_test(repeats_everything, depth=1, only=lambda point: False)
    assert continuation._action is decides


def never_reports(world: CrashWorld) -> CrashScenario:
    def forget(last: Any, event: Any, *, here: bool) -> None:
        apply(last, event, here=here)
        last.running = False

    apply = REMEMBERED
    takeover.LastExecution.apply = forget  # type: ignore[method-assign]
    return paying(world)


REMEMBERED = takeover.LastExecution.apply


def test_going_on_without_a_report_is_found() -> None:
    report = crash_test(
        # Between two Steps, where nothing else tells that work was left.
        never_reports,
        depth=1,
        only=lambda point: point.name == "commit step.started",
    )
    told = [problem for one in report.failures for problem in one.problems]
    assert any("without an accepted report" in one for one in told), report


def lying_check(world: CrashWorld) -> CrashScenario:
    async def never(input: Nothing, context: Any) -> None:
        return None

    plugin = Paying(world, effect="reconcilable", check=never)
    return CrashScenario([plugin], model=[calls(call("pay"))])


def test_a_tool_whose_check_is_wrong_is_found() -> None:
    report = crash_test(lying_check, depth=1, only=_of_the_tool)
    assert [one.kills for one in report.failures] == [
        ("after effect pay #1",),
        ("after tool pay #1",),
    ]
    assert [str(point) for (point,) in report.exercised] == [
        "before tool pay #1",
        "before effect pay #1",
        "after effect pay #1",
        "after tool pay #1",
    ]
    assert all(
        one.problems == ("reconcilable tool pay had 2 effects for one call",)
        for one in report.failures
    )


def forgetful_caller(world: CrashWorld) -> CrashScenario:
    async def play(run: CrashRun) -> None:
        session = await run.session()
        await run.prompt(session, "Go.", key=f"key {run.generation}")

    def once(end: CrashEnd) -> list[str]:
        said = [m.text for m in end.histories["main"] if m.type == "user"]
        return [] if said.count("Go.") == 1 else ["it was said twice"]

    return CrashScenario(play=play, check=once)


def test_a_check_of_the_authors_own_counts() -> None:
    report = crash_test(
        forgetful_caller, depth=1, only=lambda point: point.name == "prompt"
    )
    assert [one.kills for one in report.failures] == [("after prompt #1",)]
    assert {one for each in report.failures for one in each.problems} == {
        "it was said twice"
    }


def strict_provider(world: CrashWorld) -> CrashScenario:
    def check(request: ModelRequest) -> list[str]:
        return [f"{len(request.tools)} tools"]

    return CrashScenario(check_request=check)


def test_a_request_that_is_refused_is_found_and_nothing_is_crashed() -> None:
    report = crash_test(strict_provider)
    assert not report.sound
    assert (report.found, report.runs, report.kills) == ((), 1, 0)
    assert report.failures[0].kills == ()
    assert "0 tools" in report.failures[0].problems
    assert "without a crash" in str(report)


def hangs(world: CrashWorld) -> CrashScenario:
    async def play(run: CrashRun) -> None:
        time.sleep(60)  # noqa: ASYNC251 - that is the defect

    return CrashScenario(play=play)


def test_a_process_that_hangs_is_ended_and_said_where() -> None:
    report = crash_test(hangs, limit=2)
    assert len(report.failures) == 1
    assert "hung" in report.failures[0].problems[0]
    assert "in play" in report.failures[0].problems[0]


def breaks(world: CrashWorld) -> CrashScenario:
    async def play(run: CrashRun) -> None:
        raise LookupError("no such thing")

    return CrashScenario(play=play)


def test_a_story_that_breaks_is_told_with_its_traceback() -> None:
    report = crash_test(breaks)
    assert "LookupError: no such thing" in report.failures[0].problems[0]
    storm = crash_storm(breaks, kills=1)
    assert not storm.sound
    assert storm.kills == 0


def cannot_be_made(world: CrashWorld) -> CrashScenario:
    if Path(sys.argv[0]).name == "zygote.py":
        raise LookupError("not there")
    return CrashScenario()


def test_a_scenario_that_no_other_process_can_make_is_told() -> None:
    with pytest.raises(RuntimeError, match="cannot_be_made ended"):
        crash_test(cannot_be_made)


def test_of_many_surroundings_few_nurseries_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[subprocess.Popen[bytes]] = []
    begin = subprocess.Popen

    def noted(*arguments: Any, **options: Any) -> Any:
        begun.append(begin(*arguments, **options))
        return begun[-1]

    monkeypatch.setattr(nursery.subprocess, "Popen", noted)
    monkeypatch.setattr(nursery, "MOST_KEPT", 1)
    with nursery.nurseries_kept():
        for value in ("one", "one", "two"):
            monkeypatch.setenv("SURROUNDINGS", value)
            with nursery.zygotes(printing, 1):
                pass
        ended = [one.poll() is not None for one in begun]
    assert ended == [True, False]
    assert [one.poll() for one in begun] == [0, 0]


def test_a_scenario_must_be_found_by_other_processes() -> None:
    with pytest.raises(InvalidValueError, match="top of a module"):
        crash_test(lambda world: CrashScenario())
    with pytest.raises(InvalidValueError, match="workers"):
        crash_test(paying, workers=0)


def printing(world: CrashWorld) -> CrashScenario:
    print('{"killed": 99}')
    logging.getLogger().warning("noise")
    return paying(world)


def test_what_a_scenario_prints_does_not_get_in_the_way(tmp_path: Path) -> None:
    report = crash_test(
        printing, depth=1, only=_of_the_tool, folder=tmp_path, workers=1
    )
    assert report.sound, report
    assert '"killed"' in (tmp_path / "run-0" / "said-0").read_text(encoding="utf-8")


# --- its parts --------------------------------------------------------------------


def test_what_is_asked_and_streamed_changes_nothing() -> None:
    def point(text: str) -> FaultPoint:
        side, _, name = text.partition(" ")
        return FaultPoint(name, 1, "before" if side == "before" else "after")

    story = [
        *("before prompt", "before commit a", "after commit a", "after prompt"),
        *("before request", "after request", "before stream b", "after stream b"),
        *(
            "before tool c",
            "before ask",
            "after ask",
            "after tool c",
            "before commit d",
        ),
    ]
    points = list(map(point, story))
    assert list(after_changes(points)) == [
        point("after commit a"),
        point("after tool c"),
    ]
    chosen = after_changes(points, lambda one: one.side == "before", changed=True)
    assert list(chosen) == list(
        map(point, ("before prompt", "before request", "before commit d"))
    )


def test_points_are_numbered_by_name_and_traced(tmp_path: Path) -> None:
    points = FaultPoints(tmp_path / "trace")
    with points.around("a"), points.around("b"):
        pass
    with pytest.raises(KeyError), points.around("a"):
        raise KeyError
    assert [str(one) for one in reached_in(tmp_path / "trace")] == [
        "before a #1",
        "before b #1",
        "after b #1",
        "after a #1",
        "before a #2",
        "after a #2",
    ]
    assert reached_in(tmp_path / "none") == []


def test_the_world_remembers_what_was_done_and_not_what_was_begun(
    tmp_path: Path,
) -> None:
    @frozen
    class Context:
        effect_token: str

    world = CrashWorld(tmp_path / "world")
    assert not world.knows(Context("a"))
    world.act(Context("a"))
    again = CrashWorld(tmp_path / "world", generation=1)
    again.act(Context("a"))
    with (tmp_path / "world").open("ab") as file:
        file.write(b'{"what": "act", "tok')
    assert again.knows(Context("a"))
    assert again.acts == {"a": 2}
    assert again.begun == {}


def test_who_waits_for_a_permission_has_not_begun(tmp_path: Path) -> None:
    def noted(*what: str) -> int:
        world = CrashWorld(tmp_path / "-".join(what))
        asked = False
        for one in what:
            world.note(one, token="t", again=asked)
            asked = asked or one == "asking"
        return world.begun["t"]

    assert noted("entered") == 1
    assert noted("entered", "asking") == 0
    assert noted("entered", "asking", "allowed") == 1
    assert noted("entered", "asking", "allowed", "asking") == 1
