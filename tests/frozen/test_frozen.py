"""Plugins of every release load, are called and work in this one.

The fixtures are as their authors wrote them and are never edited: see the README beside
them. What fails here would break every plugin of that release that is out there.
"""

import ast
import hashlib
import importlib.util
import inspect
import re
import sys
import tomllib
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import pytest
from click.testing import CliRunner
from dovetail.kernel import (
    AssistantMessage,
    Hooks,
    Runtime,
    ToolPart,
    effect_token,
    load_plugins,
    open_runtime,
)
from dovetail.kernel.lazy import homes
from dovetail.kernel.testing import CrashEnd, CrashScenario, CrashWorld, crash_test
from support.bounds import HANG

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DIGESTS = {
    "release_0_1_0": "175189e12e192636afce6f68fe0be4efcaaeb4affd4a1b0836a4ea259f825e05",
}
RELEASES = sorted(path.stem for path in HERE.glob("release_*.py"))
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

each = pytest.mark.parametrize("release", RELEASES)


# --- the fixtures themselves ------------------------------------------------------


@each
def test_it_is_as_it_was_written(release: str) -> None:
    found = hashlib.sha256((HERE / f"{release}.py").read_bytes()).hexdigest()
    version = release.removeprefix("release_").replace("_", ".")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    unreleased = f"## [{version}] - unreleased" in changelog
    assert DIGESTS.get(release) == found, (
        f"{version} is not released yet: put this digest into DIGESTS when what was "
        f"added to {release}.py is right: {found}"
        if unreleased
        else f"{release}.py was changed. It is a plugin of {version} as its author "
        "wrote it, and stays that: take the change back, and mend what made it seem "
        "necessary. Plugins like it are installed out there."
    )


def test_no_fixture_was_lost() -> None:
    assert sorted(DIGESTS) == RELEASES


def newest() -> str:
    return max(RELEASES, key=lambda name: [int(n) for n in name.split("_")[1:]])


def test_every_hook_of_today_is_in_the_newest_fixture() -> None:
    specified = {
        name: list(inspect.signature(function).parameters)[1:]
        for name, function in vars(Hooks).items()
        if hasattr(function, "dovetail_spec")
    }
    plugin = fresh(newest()).plugin
    implemented = {
        name: list(inspect.signature(function).parameters)
        for name, function in inspect.getmembers(plugin, inspect.ismethod)
        if name.startswith("dovetail_")
    }
    # A hook or an argument came with this release: see the README for what to do.
    assert implemented == specified


def test_every_value_of_today_is_used_by_the_newest_fixture() -> None:
    tree = ast.parse((HERE / f"{newest()}.py").read_text(encoding="utf-8"))
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "dovetail.kernel"
        for alias in node.names
    }
    rooms = ("contracts", "values.request", "values.tool", "values.messages")
    handed = {name for name, home in homes("dovetail.kernel").items() if home in rooms}
    assert sorted(handed - imported - set(NOT_FOR_HANDING)) == []


NOT_FOR_HANDING = {
    "AgentProblem": "comes from a Location",
    "BlockingToolContext": "a protocol: what plain tools are handed",
    "CallChildren": "a protocol: comes with the context of a tool",
    "CallJobs": "a protocol: comes with the context of a tool",
    "CallState": "an alias for type checkers",
    "ChildAnswer": "comes from context.children",
    "Contribution": "a protocol: comes from register",
    "Content": "an alias for type checkers",
    "Credentials": "a protocol: comes with a Place",
    "DetachWanted": "a protocol: comes from context.jobs",
    "EffectClass": "an alias for type checkers",
    "Failure": "comes with an outcome",
    "FileChange": "comes with a Restoration",
    "FinishReason": "an alias for type checkers",
    "Json": "an alias for type checkers",
    "ManagedPage": "comes from context.managed",
    "Editor": "a protocol: whoever serves an editor keeps to it",
    "Message": "an alias for type checkers",
    "ModelEvent": "an alias for type checkers",
    "NoCredentials": "for a Place that a test makes",
    "Part": "an alias for type checkers",
    "ProviderCredential": "a protocol: comes from place.credentials",
    "ProviderRoute": "a protocol: the route keeps to it without naming it",
    "Register": "a protocol: what hooks are handed",
    "RequestHistory": "a protocol: comes with a request",
    "ResourceKind": "an alias for type checkers",
    "RuleEffect": "an alias for type checkers",
    "Tap": "a protocol: comes with the place",
    "ToolContext": "a protocol: what tools are handed",
    "effect_token": "for whoever tests",
}


# --- in this release --------------------------------------------------------------


def fresh(release: str) -> Any:
    """Return the module of a fixture, loaded anew."""
    spec = importlib.util.spec_from_file_location(release, HERE / f"{release}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Under its name while it loads: annotations are resolved there.
    sys.modules[release] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=RELEASES)
def module(request: pytest.FixtureRequest) -> Iterator[Any]:
    loaded = fresh(request.param)
    assert isinstance(loaded, ModuleType)
    yield loaded
    sys.modules.pop(request.param, None)


@asynccontextmanager
async def opened(
    module: Any, url: str = "sqlite://", **environment: str
) -> AsyncGenerator[Runtime]:
    with anyio.fail_after(HANG):
        async with open_runtime(
            url,
            plugins=[module.plugin, module],
            allow_plugins=["sqlite"],
            environment={"DOVETAIL_CONFIG": "", **environment},
        ) as runtime:
            yield runtime


async def prompted(
    runtime: Runtime, folder: Path, text: str, **options: Any
) -> tuple[Any, list[AssistantMessage]]:
    given = {"model": "frozen/model", **options}
    session = await runtime.sessions.create(location=folder, **given)
    await session.prompt(text)
    outcome = await session.wait()
    history = await session.history()
    return outcome, [m for m in history if isinstance(m, AssistantMessage)]


def test_it_loads_without_a_warning(module: Any) -> None:
    plugins = load_plugins([module.plugin, module], entry_points=False, environment={})
    for state in plugins.states():
        assert (state.state, state.error, state.warnings) == ("loaded", None, ())


async def test_its_tools_run(module: Any, tmp_path: Path) -> None:
    async with opened(module) as runtime:
        outcome, messages = await prompted(
            runtime, tmp_path, "tools", agent="frozen-agent"
        )
        place = module.plugin.places[str(tmp_path)]
        with anyio.fail_after(HANG):
            while len(place.succeeded) + len(place.failed) < len(calls_of(messages)):
                await anyio.lowlevel.checkpoint()
    assert outcome.succeeded
    first, second, third = messages
    made = {part.call_id: part for part in first.calls}
    assert [(part.tool, part.state) for part in first.calls] == [
        ("frozen_everything", "succeeded"),
        ("frozen_write", "succeeded"),
        ("frozen_write", "failed"),
        ("frozen_send", "succeeded"),
        ("frozen_send", "failed"),
        ("frozen_picture", "succeeded"),
        ("frozen_fail", "failed"),
        ("frozen_break", "failed"),
        ("frozen_stopped", "failed"),
        ("frozen_long", "succeeded"),
        ("frozen_skill", "succeeded"),
        ("frozen_everything", "failed"),
    ]
    assert '"point":{"x":1,"y":0.0},"colour":"blue"' in made["c0"].text
    assert '"text":"T 3 fast e"' in made["c0"].text
    token = effect_token(first.session_id, first.id, "c0")
    for told in (first.session_id, first.id, "frozen-agent", token, str(tmp_path)):
        assert told in made["c0"].text
    assert (tmp_path / "frozen.txt").read_bytes() == b"frozen"
    assert not (tmp_path / "denied.txt").exists()
    assert made["c3"].text == "letter 1"
    assert [type(one).__name__ for one in made["c5"].content] == [
        "TextContent",
        "FileContent",
    ]
    assert made["c6"].text == "as expected"
    assert made["c8"].text.endswith("it is frozen")
    assert made["c10"].text == "frozen-skill: Take ice."
    assert [part.text for part in second.calls] == [
        "4000 of 5000: line 4000, line 4001"
    ]
    assert third.text == second.calls[0].text
    # What guards and observers were told of it.
    assert {call.call_id for call in place.prepared} == made.keys() - {"c11"} | {"p0"}
    assert {(q.action, q.resources) for q in place.questions} == {
        ("frozen_write", (str(tmp_path / "frozen.txt"),)),
        ("frozen_write", (str(tmp_path / "denied.txt"),)),
        ("frozen_send", ("Ann",)),
        ("frozen_send", ("nobody",)),
    }
    assert {call for call, _, _ in place.succeeded} == {
        part.call_id for part in calls_of(messages) if part.state == "succeeded"
    }
    assert {call: code for call, _, code in place.failed} == {
        part.call_id: part.failure.code
        for part in calls_of(messages)
        if part.failure is not None
    }


def calls_of(messages: list[AssistantMessage]) -> list[ToolPart]:
    return [part for message in messages for part in message.calls]


async def test_its_provider_answers(module: Any, tmp_path: Path) -> None:
    async with opened(module) as runtime:
        outcome, [message] = await prompted(runtime, tmp_path, "hello")
        assert outcome.succeeded
        assert message.text == "You said: hello"
        assert (await prompted(runtime, tmp_path, "busy"))[0].succeeded
        refused, _ = await prompted(runtime, tmp_path, "refuse")
        assert refused.reason.code == "provider.content_refused"
        unknown, _ = await prompted(runtime, tmp_path, "hello", model="frozen/large")
        assert unknown.reason.code == "model.unknown"
        _, messages = await prompted(runtime, tmp_path, "tools", agent="frozen-agent")
        place = module.plugin.places[str(tmp_path)]
        models = {one.name: one for one in await runtime.location(tmp_path).models()}
    assert models["frozen/model"].price.input == 1.0
    first = messages[0]
    assert first.parts[0].text == "Let me see."
    assert first.parts[0].metadata == {"signature": "frozen"}
    assert first.parts[1].text == "I use all tools."
    assert first.usage.cache_write == 3
    assert all(request.options["frozen"] for request in place.requests)
    # Each request of a session begins with the bytes of the one before.
    one, two, three = place.bodies[-3:]
    assert three.startswith(two)
    assert two.startswith(one)


async def test_what_it_tells_the_model_arrives(module: Any, tmp_path: Path) -> None:
    async with opened(module, FROZEN_WORD="snow") as runtime:
        await prompted(runtime, tmp_path, "hello", agent="frozen-agent")
        [request] = module.plugin.places[str(tmp_path)].requests
        location = runtime.location(tmp_path)
        skills = {skill.name for skill in await location.skills()}
        typed = {one.name for one in await location.commands()}
        assert await location.ready() == ["the ice is not there"]
        said = await location.prompt("/frozen:freeze what=water")
        named = await location.prompt("See @frozen:ice")
    told = "\n".join(request.system)
    assert "The word is snow." in told
    assert "It can be told." in told
    assert "Stay cold." in told
    assert "- frozen-skill: How to freeze." in told
    assert "frozen-hidden" not in told
    assert "frozen-skill" in skills
    assert typed == {"frozen:greet", "frozen:freeze"}
    assert said.text == "Freeze water."
    assert [one.name for one in named.files] == ["ice"]


async def test_its_location_opens_and_closes_with_its_settings(
    module: Any, tmp_path: Path
) -> None:
    settings = {"DOVETAIL_FROZEN_FIRST_NUMBER": "7", "DOVETAIL_FROZEN_TOKEN": "s"}
    async with opened(module, **settings) as runtime:
        known = {
            one.name: one for one in await runtime.location(tmp_path).plugins.list()
        }
        place = module.plugin.places[str(tmp_path)]
        assert (place.open, place.ticks) == (True, 1)
    assert not place.open
    assert (place.settings.first_number, place.settings.token) == (7, "s")
    assert {one.state for one in known.values()} == {"open"}
    assert known["frozen"].contributions == CONTRIBUTIONS
    assert known["frozen"].errors == 0
    assert known[module.__name__].contributions == ("rule deny frozen_module *",)


CONTRIBUTIONS = (
    "tool frozen_everything",
    "tool frozen_write",
    "tool frozen_send",
    "tool frozen_picture",
    "tool frozen_fail",
    "tool frozen_break",
    "tool frozen_stopped",
    "tool frozen_long",
    "tool frozen_page",
    "tool frozen_skill",
    "model frozen-facts",
    "credential frozen-login",
    "provider frozen",
    "context source frozen/parts",
    "context source frozen/session",
    "context source frozen/other",
    "context source frozen/word",
    "context source frozen/nothing",
    "context source frozen/sometimes",
    "skill frozen/skills",
    "skill frozen/more",
    "prompt frozen/none",
    "prompt frozen/prompts",
    "agent frozen-default",
    "agent frozen-agent",
    "compaction frozen",
    "rule deny frozen_never *",
    "rule ask frozen_other *",
)


async def test_its_observer_sees_every_event_in_order(
    module: Any, tmp_path: Path
) -> None:
    async with opened(module) as runtime:
        session = await runtime.sessions.create(
            location=tmp_path, model="frozen/model", agent="frozen-agent"
        )
        await session.prompt("tools")
        await session.wait()
        events = [(event.seq, event.kind) async for event in session.events()]
        place = module.plugin.places[str(tmp_path)]
        with anyio.fail_after(HANG):
            while place.events[-1][1] != "execution.ended":
                await anyio.lowlevel.checkpoint()
    seen = [(seq, kind) for seq, kind, _ in place.events]
    # From when the Location was opened, which the first prompt did.
    assert seen == events[-len(seen) :]
    assert "step.started" in dict(map(reversed, seen))


async def test_its_store_opens(module: Any, tmp_path: Path) -> None:
    async with opened(module, "frozen://anything") as runtime:
        outcome, _ = await prompted(runtime, tmp_path, "hello")
    assert outcome.succeeded
    assert module.plugin.urls == ["frozen://anything"]


def test_its_command_runs(module: Any) -> None:
    plugins = load_plugins([module.plugin], entry_points=False, environment={})
    commands: list[Any] = []
    plugins.each("dovetail_register_commands", register=commands.append)
    command, other = commands
    assert list(command.check()) == ["it is too warm"]
    assert other.check is None
    assert (command.name, command.help) == ("frozen", "Say that it is cold.")
    done = CliRunner().invoke(command.load(), ["--degrees", "3"])
    assert done.output == "it is 3 degrees\n"


@each
def test_its_check_answers_after_a_crash(release: str) -> None:
    report = crash_test(
        SCENARIOS[release], depth=1, only=lambda point: "frozen_send" in point.name
    )
    assert report.exercised
    assert report.sound, report


def scenario_of(release: str) -> CrashScenario:
    from dovetail.kernel.testing import call, calls

    def check(end: CrashEnd) -> Iterator[str]:
        [part] = [
            part
            for message in end.histories["main"]
            if isinstance(message, AssistantMessage)
            for part in message.calls
        ]
        if part.text != "letter 1":
            yield f"the model was told {part.text!r}"
        letters = (end.location / "letters.txt").read_text()
        if len(letters.splitlines()) != 1:
            yield f"not one letter was sent: {letters!r}"

    return CrashScenario(
        [fresh(release).plugin],
        model=[calls(call("frozen_send", {"to": "Ann"}))],
        check=check,
    )


def crash_0_1_0(world: CrashWorld) -> CrashScenario:
    return scenario_of("release_0_1_0")


SCENARIOS: Mapping[str, Any] = {"release_0_1_0": crash_0_1_0}


def test_a_fixture_for_this_version_or_an_earlier_one_is_newest() -> None:
    def numbers(text: str) -> list[int]:
        return [int(n) for n in re.findall(r"\d+", text)]

    assert numbers(newest()) <= numbers(VERSION)
