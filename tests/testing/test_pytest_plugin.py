"""The pytest plugin: as an author of plugins has it, and as everybody else has it.

Each test writes a project of its own and runs pytest on it in another process, where
the plugin comes from the installed distribution. Where what is imported when matters,
and once where it does not, that is a new process; all others are forks of one that has
imported dovetail and pytest.
"""

import json
import subprocess
import sys
from collections.abc import Callable

import pytest
from support.environments import LIGHT
from support.programs import PYTEST, Forking

pytest_plugins = ("pytester",)

DICE = """
    from attrs import frozen
    from dovetail.kernel import Tool, hookimpl

    @frozen
    class Input:
        sides: int = 6

    async def roll(input, context):
        return f"1 of {input.sides}"

    class Dice:
        name = "dice"

        @hookimpl
        def dovetail_register_tools(self, register):
            register(Tool("roll", "Roll a die.", Input, roll, effect="pure"))

    plugin = Dice()
"""
SPEAKING = """
    import pytest
    from dice import plugin
    from dovetail.kernel.testing import Gate, call, calls, text

    @pytest.fixture
    def dovetail_plugins():
        return [plugin]
"""
WATCH = """
    import anyio
    import pytest

    @pytest.fixture(autouse=True)
    async def no_task_is_left(anyio_backend):
        before = len(anyio.get_running_tasks())
        yield
        assert len(anyio.get_running_tasks()) == before
        print("no task was left")
"""
AUTO = "[pytest]\nanyio_mode = auto\nfilterwarnings = error\n"


@pytest.fixture(autouse=True)
def without_others(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each pytest is a process of its own, and loads nothing that is not asked for."""
    monkeypatch.setenv("PYTEST_ADDOPTS", LIGHT)


Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, forked: Forking) -> Run:
    """Return a function that runs pytest in a fork, on the project that is there."""

    def run(*arguments: str) -> pytest.RunResult:
        folder = f"--basetemp={pytester.path / 'base'}"
        process = forked(folder, *arguments, program=PYTEST)
        lines = process.stdout.read().splitlines()
        return pytest.RunResult(process.wait(), lines, [], 0.0)

    return run


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project with a plugin, whose async tests are run by anyio, on both loops."""
    pytester.makepyfile(dice=DICE)
    (pytester.path / "pytest.ini").write_text(AUTO)
    return pytester


def test_a_runtime_with_plugins_and_a_scripted_model_is_ready_on_both_loops(
    project: pytest.Pytester,
) -> None:
    project.makepyfile(
        SPEAKING
        + """
    async def test_a_roll(dovetail_runtime, dovetail_provider, dovetail_location):
        dovetail_provider.then(calls(call("roll", {"sides": 20})), text("Done."))
        session = await dovetail_runtime.sessions.create(
            location=dovetail_location, model=dovetail_provider.model
        )
        await session.prompt("Roll.")
        assert (await session.wait()).succeeded
        _, asked, _ = await session.history()
        assert asked.calls[0].text == "1 of 20"
        tools = await dovetail_runtime.location(dovetail_location).tools()
        assert [tool.name for tool in tools] == ["roll"]

    async def test_another(dovetail_open_runtime, dovetail_provider):
        async with dovetail_open_runtime(plugin, dovetail_provider) as runtime:
            assert not (await runtime.sessions.list()).items
    """
    )
    done = project.runpytest_subprocess("-v")
    done.assert_outcomes(passed=4)
    done.stdout.fnmatch_lines(["*asyncio*PASSED*", "*trio*PASSED*"])


def test_fixtures_serve_tests_that_are_not_async(
    project: pytest.Pytester, run: Run
) -> None:
    project.makepyfile(
        SPEAKING
        + """
    import anyio

    def test_it(
        dovetail_open_runtime, dovetail_clock, dovetail_provider, dovetail_location
    ):
        async def main():
            async with dovetail_open_runtime(
                plugin, dovetail_provider, clock=dovetail_clock
            ) as runtime:
                session = await runtime.sessions.create(
                    location=dovetail_location, model=dovetail_provider.model
                )
                await session.prompt("Say it.")
                assert (await session.wait()).succeeded
                return await session.info()

        dovetail_provider.then(text("It."))
        began = dovetail_clock.now()
        dovetail_clock.advance(60)
        info = anyio.run(main)
        assert dovetail_clock.now() == info.created == began + 60_000

    def test_the_ready_runtime_too(dovetail_runtime):
        assert "open" in repr(dovetail_runtime)
    """
    )
    run().assert_outcomes(passed=3)


def test_locations_are_new_each_time_and_hold_what_was_asked_for(
    project: pytest.Pytester, run: Run
) -> None:
    project.makepyfile(
        """
    import pytest
    from dovetail.kernel import InvalidValueError, Location

    def test_it(dovetail_location, dovetail_new_location, tmp_path):
        assert isinstance(dovetail_location, Location)
        assert list(dovetail_location.path.iterdir()) == []
        assert list(tmp_path.iterdir()) == []
        one = dovetail_new_location({"src/a.py": "A = 'é'\\n", "b": b"\\xff"})
        assert (one.path / "src" / "a.py").read_bytes() == b"A = '\\xc3\\xa9'\\n"
        assert (one.path / "b").read_bytes() == b"\\xff"
        assert len({one, dovetail_location, dovetail_new_location()}) == 3

    @pytest.mark.parametrize("name", ["../out", "/out", "a/../../out", "", "."])
    def test_no_file_is_written_outside(dovetail_new_location, name):
        with pytest.raises(InvalidValueError):
            dovetail_new_location({"in": "", name: ""})
    """
    )
    run().assert_outcomes(passed=6)


def test_the_ready_runtime_goes_by_the_clock_that_the_test_asks_for(
    project: pytest.Pytester, run: Run
) -> None:
    project.makepyfile(
        """
    async def test_by_hand(dovetail_runtime, dovetail_clock, dovetail_location):
        session = await dovetail_runtime.sessions.create(location=dovetail_location)
        assert (await session.info()).created == dovetail_clock.now()
        assert dovetail_clock.now() == 1_700_000_000_000

    async def test_by_itself(dovetail_runtime, dovetail_location):
        session = await dovetail_runtime.sessions.create(location=dovetail_location)
        assert (await session.info()).created > 1_700_000_000_000
    """
    )
    run().assert_outcomes(passed=4)


def test_nothing_of_the_surroundings_reaches_a_runtime(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    broken = project.path / "broken.toml"
    broken.write_text("this is = no configuration [")
    monkeypatch.setenv("DOVETAIL_CONFIG", str(broken))
    monkeypatch.setenv("DOVETAIL_DISABLE_PLUGINS", "sqlite,dice")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")
    project.makepyfile(
        SPEAKING
        + """
    async def test_it(dovetail_runtime, dovetail_location):
        location = dovetail_runtime.location(dovetail_location)
        assert [tool.name for tool in await location.tools()] == ["roll"]
        assert [model.name for model in await location.models()] == ["scripted/model"]
    """
    )
    run().assert_outcomes(passed=2)


# --- tests that fail --------------------------------------------------------------


def test_a_test_that_fails_in_the_middle_of_a_step_leaves_no_task(
    project: pytest.Pytester, run: Run
) -> None:
    project.makeconftest(WATCH)
    project.makepyfile(
        SPEAKING
        + """
    async def test_it(dovetail_runtime, dovetail_provider, dovetail_location):
        gate = Gate()
        dovetail_provider.then([gate], text("never asked for"))
        session = await dovetail_runtime.sessions.create(
            location=dovetail_location, model=dovetail_provider.model
        )
        await session.prompt("Go.")
        await gate.reached()
        assert False, "the test itself"
    """
    )
    done = run()
    # Neither that the answer was never asked for, nor anything at the end.
    done.assert_outcomes(failed=2, errors=0)
    assert done.stdout.str().count("no task was left") == 2
    done.stdout.fnmatch_lines(["*AssertionError: the test itself*"])
    done.stdout.no_fnmatch_line("*were never asked for*")


def test_a_failure_inside_of_a_runtime_comes_out_as_it_is(
    project: pytest.Pytester, run: Run
) -> None:
    project.makepyfile(
        """
    import pytest

    async def test_it(dovetail_open_runtime):
        with pytest.raises(LookupError, match="mine"):
            async with dovetail_open_runtime() as runtime:
                raise LookupError("mine")
        assert "closed" in repr(runtime)
    """
    )
    run().assert_outcomes(passed=2)


def test_an_answer_that_nobody_asked_for_is_an_error_of_a_test_that_passed(
    project: pytest.Pytester, run: Run
) -> None:
    project.makepyfile(
        SPEAKING
        + """
    def test_passes(dovetail_provider):
        dovetail_provider.then(text("Never asked for."))

    def test_fails(dovetail_provider):
        dovetail_provider.then(text("Never asked for."))
        assert False

    def test_skips(dovetail_provider):
        dovetail_provider.then(text("Never asked for."))
        pytest.skip("no reason")

    @pytest.mark.xfail
    def test_is_known_to_fail(dovetail_provider):
        dovetail_provider.then(text("Never asked for."))
        assert False
    """
    )
    done = run()
    done.assert_outcomes(passed=1, failed=1, skipped=1, xfailed=1, errors=1)
    done.stdout.fnmatch_lines(["*never asked for: 1, after 0 requests*"])


# --- crashes ----------------------------------------------------------------------


def test_a_scenario_is_crashed_and_the_files_of_what_did_not_hold_are_kept(
    project: pytest.Pytester, run: Run
) -> None:
    project.makepyfile(
        """
    from pathlib import Path
    from dovetail.kernel.testing import CrashScenario, text

    def story(world):
        return CrashScenario(model=[text("Yes.")])

    def wrong(world):
        return CrashScenario(model=[text("Yes.")], check=lambda end: ["it is wrong"])

    def few(point):
        return point.name == "request"

    def test_it_holds(dovetail_crash):
        report = dovetail_crash.test(story, depth=1, only=few)
        assert report.sound, report
        assert len(report.exercised) == 2
        assert dovetail_crash.storm(story, kills=1).sound
        assert list(dovetail_crash.folder.iterdir()) == []

    def test_it_does_not(dovetail_crash):
        report = dovetail_crash.test(wrong, depth=1, only=few)
        (kept,) = dovetail_crash.folder.iterdir()
        assert list(kept.rglob("*.db"))
        assert report.sound, report
    """
    )
    done = run()
    done.assert_outcomes(passed=1, failed=1)
    done.stdout.fnmatch_lines(["*it is wrong*", "what wrong left is in *"])


# --- those who want none of it ----------------------------------------------------


@pytest.fixture
def stranger(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project that has nothing to do with dovetail, and looks for what is loaded."""
    pytester.makepyfile(
        """
    import json, sys

    def test_it():
        with open("loaded.json", "w") as file:
            json.dump(sorted(sys.modules), file)
    """
    )
    return pytester


def loaded(project: pytest.Pytester, *arguments: str) -> set[str]:
    """Return the modules that are loaded when a test of a project runs."""
    done = project.runpytest_subprocess("-W", "error", "--strict-markers", *arguments)
    done.assert_outcomes(passed=1)
    return set(json.loads((project.path / "loaded.json").read_text()))


def of_dovetail(modules: set[str]) -> set[str]:
    # Where it is installed in editable mode, the namespace itself is always there.
    return {name for name in modules if name.startswith("dovetail")} - {"dovetail"}


def test_a_project_that_does_not_use_dovetail_imports_the_module_alone(
    stranger: pytest.Pytester,
) -> None:
    there = loaded(stranger)
    assert of_dovetail(there) == {"dovetail_pytest"}
    without = loaded(stranger, "-p", "no:dovetail")
    assert of_dovetail(without) == set()
    # And no library: what else is loaded was there anyway.
    assert there - without == of_dovetail(there)


def test_it_can_be_left_out(project: pytest.Pytester, run: Run) -> None:
    project.makepyfile("def test_it(dovetail_clock): pass")
    done = run("-p", "no:dovetail")
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*fixture 'dovetail_clock' not found*"])


def test_importing_it_loads_nothing_but_itself() -> None:
    code = (
        "import json, sys, pytest\n"
        "before = set(sys.modules)\n"
        "import dovetail_pytest\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == ["dovetail_pytest"]


def test_it_adds_no_option_no_marker_and_only_names_of_its_own(
    stranger: pytest.Pytester, run: Run
) -> None:
    def told(*arguments: str) -> set[str]:
        lines = run(*arguments).outlines
        return {line for line in lines if not line.startswith("plugins: ")}

    without = ("-p", "no:dovetail")
    for asked in ("--help", "--markers"):
        assert told(asked) == told(asked, *without)
    more = told("--fixtures") - told("--fixtures", *without)
    names = {line.split()[0] for line in more if " -- " in line}
    assert len(names) == 8
    assert all(name.startswith("dovetail_") for name in names)


def test_without_the_plugin_of_anyio_everything_else_works(
    pytester: pytest.Pytester, run: Run
) -> None:
    pytester.makepyfile(
        """
    import asyncio

    def test_it(dovetail_open_runtime, dovetail_location):
        async def main():
            async with dovetail_open_runtime() as runtime:
                await runtime.sessions.create(location=dovetail_location)

        asyncio.run(main())
    """
    )
    run("-p", "no:anyio").assert_outcomes(passed=1)


@pytest.mark.parametrize("marker", ["asyncio", "trio"])
def test_a_test_that_another_plugin_runs_opens_its_own_runtime(
    marker: str, pytester: pytest.Pytester, run: Run
) -> None:
    # As pytest-asyncio and pytest-trio do it: by a marker, on a loop for each test.
    pytester.makeconftest(
        f"""
    import anyio, pytest

    def pytest_configure(config):
        config.addinivalue_line("markers", "{marker}: run by another plugin")

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(pyfuncitem):
        if pyfuncitem.get_closest_marker("{marker}"):
            names = pyfuncitem._fixtureinfo.argnames
            given = {{name: pyfuncitem.funcargs[name] for name in names}}
            anyio.run(lambda: pyfuncitem.obj(**given), backend="{marker}")
            return True
    """
    )
    pytester.makepyfile(
        f"""
    import pytest

    @pytest.mark.{marker}
    async def test_its_own(dovetail_open_runtime, dovetail_location):
        async with dovetail_open_runtime() as runtime:
            await runtime.sessions.create(location=dovetail_location)

    @pytest.mark.{marker}
    async def test_on_another_loop(dovetail_runtime):
        pass
    """
    )
    done = run("-W", "error")
    done.assert_outcomes(passed=1, errors=2)
    done.stdout.fnmatch_lines([f"*marked '{marker}' and runs on another one*"])
