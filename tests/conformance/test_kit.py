"""The kit itself: versions, exemptions, reports, and how pytest is told."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import anyio
import pytest
from attrs import frozen
from dovetail.kernel import InvalidValueError, Tool, ToolContext, hookimpl
from dovetail.kernel.testing import conformance
from dovetail.kernel.testing.conformance import (
    CompactionConformance,
    ContextConformance,
    NonconformingError,
    ProviderConformance,
    SkillConformance,
    StoreConformance,
    ToolConformance,
    ToolExample,
    check,
)
from dovetail.kernel.testing.conformance.suite import Bench, Checks, Suite
from support.bounds import HANG
from support.environments import LIGHT
from support.programs import PYTEST, Forking

ROOT = Path(__file__).resolve().parents[2]
KINDS: tuple[type[Suite], ...] = (
    ToolConformance,
    ProviderConformance,
    ContextConformance,
    SkillConformance,
    CompactionConformance,
    StoreConformance,
)

MADE = Checks("made")


@MADE.add("sound", since=1)
def _sound(bench: Bench[Any]) -> Iterator[str]:
    """It is sound."""
    yield from ()


@MADE.add("kind", since=2)
def _kind(bench: Bench[Any]) -> Iterator[str]:
    """It is kind."""
    yield "it is unkind"


class Made(Suite):
    checks: ClassVar[Checks] = MADE


def asking_for(version: int) -> type[Suite]:
    return type("Asking", (Made,), {"version": version})


def test_a_suite_of_version_1_never_gets_later_checks() -> None:
    first = check(asking_for(1), backend="asyncio")
    assert (first.checked, first.conforms) == (("made.sound",), True)
    second = check(asking_for(2), backend="asyncio")
    assert second.checked == ("made.sound", "made.kind")
    assert second.codes == ("made.kind",)


@pytest.mark.parametrize("version", [0, 3])
def test_a_version_that_does_not_exist_is_refused(version: int) -> None:
    with pytest.raises(InvalidValueError, match="from 1 to 2"):
        check(asking_for(version))


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_released_in_version_1_stays_as_it_was(kind: type[Suite]) -> None:
    """Names are never taken back: whoever exempted one would be refused."""
    assert [one.code.partition(".")[2] for one in kind.checks.of(1)] == {
        ToolConformance: [
            "definition",
            "schema",
            "output",
            "bounded",
            "words",
            "permission",
            "repeat",
            "kill",
            "cancellation",
            "leak",
        ],
        ProviderConformance: [
            "definition",
            "stream",
            "pieces",
            "complete",
            "words",
            "faults",
            "once",
            "secret",
            "bounded",
            "cancellation",
            "leaving",
            "leak",
        ],
        ContextConformance: [
            "definition",
            "observation",
            "stable",
            "change",
            "words",
            "bounded",
            "effect",
            "cancellation",
            "leak",
        ],
        SkillConformance: [
            "definition",
            "finding",
            "files",
            "stable",
            "change",
            "words",
            "bounded",
            "effect",
            "cancellation",
            "leak",
        ],
        CompactionConformance: [
            "definition",
            "summary",
            "said",
            "window",
            "faults",
            "material",
            "stable",
            "words",
            "effect",
            "cancellation",
            "leak",
        ],
        StoreConformance: [
            "definition",
            "log",
            "transactions",
            "reading",
            "projections",
            "rows",
            "blobs",
            "opening",
            "kill",
            "cancellation",
            "leak",
        ],
    }[kind]


def test_every_suite_that_is_offered_is_one_of_these() -> None:
    offered = [name for name in conformance.__all__ if name.endswith("Conformance")]
    assert sorted(offered) == sorted(kind.__name__ for kind in KINDS)


def test_an_exempted_check_is_left_out_and_named_with_the_reason() -> None:
    exempt = {"made.kind": "nobody is"}
    report = check(type("Asking", (Made,), {"version": 2, "exempt": exempt}))
    assert (report.checked, report.exempted) == (("made.sound",), exempt)
    report.require()


@pytest.mark.parametrize(
    "exempt", [{"made.kind": " "}, {"made.nice": "there is none"}], ids=repr
)
def test_an_exemption_needs_a_check_and_a_reason(exempt: dict[str, str]) -> None:
    with pytest.raises(InvalidValueError):
        check(type("Asking", (Made,), {"version": 2, "exempt": exempt}))


def test_a_report_that_is_required_says_what_was_found() -> None:
    with pytest.raises(NonconformingError, match=r"made\.kind: it is unkind") as caught:
        check(asking_for(2), backend="trio").require()
    assert caught.value.report.codes == ("made.kind",)


# --- plugins that are not there, or never come back ---------------------------------


@frozen
class Nothing:
    pass


async def forever(input: Nothing, context: ToolContext) -> str:
    await anyio.sleep_forever()
    return "never"


class Hanging:
    @hookimpl
    def dovetail_register_tools(self, register: Any) -> None:
        register(Tool("hang", "Never end.", Nothing, forever))


class Breaking:
    @hookimpl
    def dovetail_register_tools(self, register: Any) -> None:
        raise ZeroDivisionError("so much for that")


def hanging(plugin: object, patience: float) -> type[ToolConformance]:
    given = {"plugin": plugin, "tool": "hang", "examples": (ToolExample(),)}
    return type("Suite", (ToolConformance,), {**given, "patience": patience})


def test_a_plugin_that_never_comes_back_is_reported() -> None:
    report = check(hanging(Hanging(), 0.2), backend="trio")
    assert "tool.output" in report.codes
    assert "did not come back within 0.2 s" in str(report.findings[0])


def test_a_plugin_whose_hook_breaks_is_reported_once_with_its_error() -> None:
    report = check(hanging(Breaking(), HANG), backend="asyncio")
    (found,) = report.findings
    assert found.code == "tool.definition"
    assert "so much for that" in found.problem
    assert report.checked == ("tool.definition",)


# --- with pytest and without --------------------------------------------------------

SUITE = """
from attrs import frozen
from dovetail.kernel import Tool, hookimpl
from dovetail.kernel.testing.conformance import ToolConformance, ToolExample, check

@frozen
class Sides:
    sides: int

async def roll(input, context):
    return str(input.sides)

class Dice:
    @hookimpl
    def dovetail_register_tools(self, register):
        register(Tool("roll", "Roll a die.", Sides, roll, effect="pure"))

class TestRoll(ToolConformance):
    plugin = Dice()
    tool = "roll"
    examples = (ToolExample({"sides": SIDES}),)
"""


def run(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "PYTEST_ADDOPTS": LIGHT},
        capture_output=True,
        text=True,
    )


def test_pytest_collects_one_test_for_each_check_and_event_loop(
    tmp_path: Path, forked: Forking, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "test_dice.py").write_text(SUITE.replace("SIDES", "6"))
    monkeypatch.setenv("PYTEST_ADDOPTS", LIGHT)
    monkeypatch.chdir(tmp_path)
    arguments = ("-q", "--collect-only", "test_dice.py")
    said = forked(*arguments, program=PYTEST).stdout.read()
    names = [line for line in said.splitlines() if "::" in line]
    assert names == [
        f"test_dice.py::TestRoll::test_conforms[{one.code}-{loop}]"
        for one in ToolConformance.checks.of(1)
        for loop in ("asyncio", "trio")
    ]


def test_pytest_shows_what_was_found(tmp_path: Path) -> None:
    (tmp_path / "test_dice.py").write_text(SUITE.replace("SIDES", '"six"'))
    done = run(tmp_path, "-m", "pytest", "-q", "test_dice.py")
    assert done.returncode == 1
    assert "the example {'sides': 'six'} is no valid input" in done.stdout


def test_without_pytest_the_same_is_checked(tmp_path: Path) -> None:
    program = (
        f"import sys\nsys.modules['pytest'] = None\n{SUITE}\nprint(check(TestRoll))"
    )
    done = run(tmp_path, "-c", program.replace("SIDES", "6"))
    assert done.returncode == 0, done.stderr
    assert "'tool.leak')" in done.stdout
    assert "findings=()" in done.stdout


def test_the_testing_kit_loads_no_suite_until_it_is_asked_for(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from dovetail.kernel.testing import ScriptedProvider, conformance\n"
        "print([one for one in sys.modules if '.conformance.' in one])"
    )
    done = run(tmp_path, "-c", program)
    assert done.stdout.strip() == "[]", done.stderr


# --- the page -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_lists_every_check_with_its_promise(kind: type[Suite]) -> None:
    rows = [
        f"| `{one.code}` | {one.since} | {' '.join(one.promise.split())} |"
        for one in kind.checks.of(kind.checks.latest)
    ]
    page = (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")
    listed = [
        line for line in page.splitlines() if line.startswith(f"| `{kind.checks.kind}.")
    ]
    assert listed == rows, "\n" + "\n".join(rows)
