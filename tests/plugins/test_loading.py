"""Order, ranges of releases, settings, tracing and retirement of hooks."""

import importlib.metadata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from attrs import field, frozen
from dovetail.kernel import (
    AgentProfile,
    Command,
    ContextSource,
    Hooks,
    Observation,
    Place,
    PluginSet,
    PluginState,
    PromptCommand,
    PromptSource,
    Provider,
    ProviderRoute,
    Skill,
    SkillSource,
    Tool,
    ToolContext,
    hookimpl,
    load_plugins,
    missing_requirements,
)
from dovetail.kernel.hookspecs import hookspec
from dovetail.kernel.plugins.object import HookTable
from dovetail.kernel.testing import ManualClock, ScriptedProvider
from dovetail.kernel.values.deprecated import PluginDeprecationWarning
from support.hosts import host


def load(*given: object, **options: Any) -> PluginSet:
    options.setdefault("environment", {})
    return load_plugins(given, entry_points=False, **options)


class Named:
    """A plugin with a name and whatever else it is given."""

    def __init__(self, name: str, **attributes: Any) -> None:
        self.name = name
        for key, value in attributes.items():
            setattr(self, key, value)

    @hookimpl
    def dovetail_open_store(self, url: str) -> Any:
        return None


def state_of(plugins: PluginSet, name: str) -> PluginState:
    return plugins.state(name)


# --- the order --------------------------------------------------------------------


@pytest.mark.law("plugins.5")
@pytest.mark.parametrize(
    ("declared", "order"),
    [
        ({"a": {}, "b": {}, "c": {}}, "abc"),
        ({"a": {"after": "b"}, "b": {}, "c": {}}, "bac"),
        ({"a": {}, "b": {}, "c": {"before": ["a"]}}, "bca"),
        ({"a": {"after": ["c"]}, "b": {"after": ["a"]}, "c": {}}, "cab"),
        ({"a": {"after": ["nobody"]}, "b": {}}, "ab"),
        ({"a": {"after": ["a"]}, "b": {}}, "ab"),
        ({"a": {"after": ["d"], "before": ["b"]}, "b": {}, "c": {}, "d": {}}, "cdab"),
    ],
)
def test_plugins_come_in_the_order_that_they_declare(
    declared: dict[str, Any], order: str
) -> None:
    for names in permutations(declared):
        plugins = load(*(Named(name, **declared[name]) for name in names))
        assert "".join(plugins.loaded()) == order
        assert "".join(each.name for each in plugins.states()) == order


def test_a_circle_is_told_and_ignored() -> None:
    plugins = load(
        Named("a", after="b"), Named("b", after="c"), Named("c", after="a"), Named("d")
    )
    assert plugins.loaded() == ("a", "b", "c", "d")
    assert "lead in a circle" in state_of(plugins, "b").warnings[0]
    assert state_of(plugins, "d").warnings == ()


def test_a_wrong_declaration_is_refused() -> None:
    plugins = load(Named("a", after=[3]), Named("b", before=object()))
    assert "`after` must hold names" in (state_of(plugins, "a").error or "")
    assert state_of(plugins, "b").state == "failed"


async def test_what_comes_after_hides_what_it_comes_after(tmp_path: Path) -> None:
    async with host(
        tmp_path,
        ScriptedProvider(),
        plugins=[Offers("a", after="z"), Offers("z")],
    ) as runtime:
        (tool,) = await runtime.location(tmp_path).tools()
        assert tool.description == "Of a."


# --- releases and requirements ----------------------------------------------------


def test_a_plugin_for_other_releases_is_refused() -> None:
    version = importlib.metadata.version("dovetail")
    plugins = load(
        Named("fits", requires_dovetail=f">=0.0.1,<={version}"),
        Named("old", requires_dovetail="<0.0.1"),
        Named("odd", requires_dovetail="about one"),
        Named("number", requires_dovetail=1),
    )
    assert plugins.loaded() == ("fits",)
    error = state_of(plugins, "old").error or ""
    assert f"made for dovetail <0.0.1 and this is {version}" in error
    for name in ("odd", "number"):
        assert 'such as ">=0.1,<0.2"' in (state_of(plugins, name).error or "")


def test_what_a_distribution_lacks_is_named(tmp_path: Path) -> None:
    information = tmp_path / "thing-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n"
        "Requires-Dist: attrs>=1\n"
        "Requires-Dist: attrs>=9999\n"
        "Requires-Dist: not-installed-anywhere>=2\n"
        'Requires-Dist: only-elsewhere; sys_platform == "nowhere"\n'
        'Requires-Dist: only-extra; extra == "more"\n'
        "Requires-Dist: ???\n"
    )
    attrs = importlib.metadata.version("attrs")
    found = missing_requirements(importlib.metadata.PathDistribution(information))
    assert found == (
        f"attrs>=9999 (this is {attrs})",
        "not-installed-anywhere>=2",
        "'???', which is no requirement",
    )
    assert missing_requirements(None) == ()


# --- settings ---------------------------------------------------------------------


@frozen
class Settings:
    units: str
    token: str = field(default="", repr=False, metadata={"secret": True})
    retries: int = 3
    loud: bool = False
    places: tuple[str, ...] = ()


class Configured:
    """A plugin that wants settings, and keeps what it got."""

    name = "my-weather"
    Settings = Settings

    def __init__(self) -> None:
        self.got: list[Any] = []

    @hookimpl
    def dovetail_register_tools(self, place: Place) -> None:
        self.got.append(place.settings)
        assert "hidden" not in repr(place)


async def settings(
    folder: Path, table: str, environment: dict[str, str]
) -> tuple[list[Any], str | None]:
    """Return what a plugin got as its settings, and why it is not open."""
    (folder / "mine.toml").write_text(f"[plugins.my-weather]\n{table}\n")
    environment["DOVETAIL_CONFIG"] = str(folder / "mine.toml")
    plugin = Configured()
    async with host(
        folder, ScriptedProvider(), plugins=[plugin], environment=environment
    ) as runtime:
        states = await runtime.location(folder).plugins.list()
        return plugin.got, next(one.error for one in states if one.name == plugin.name)


async def test_settings_come_from_the_configuration_and_the_environment(
    tmp_path: Path,
) -> None:
    got, error = await settings(
        tmp_path,
        'units = "metric"\nretries = 1\nplaces = ["here"]',
        {
            "DOVETAIL_MY_WEATHER_TOKEN": "hidden",
            "DOVETAIL_MY_WEATHER_RETRIES": "5",
            "DOVETAIL_MY_WEATHER_LOUD": "yes",
        },
    )
    assert error is None
    assert got == [Settings("metric", "hidden", 5, True, ("here",))]
    assert "hidden" not in repr(got)


@pytest.mark.law("access.6")
@pytest.mark.parametrize(
    ("table", "environment", "problem"),
    [
        ("", {}, "units: required field is missing"),
        ("units = 3", {}, "units: expected a string"),
        ('units = "m"\nunit = "m"', {}, "unknown field 'unit'"),
        (
            'units = "m"',
            {"DOVETAIL_MY_WEATHER_RETRIES": "many"},
            "retries (DOVETAIL_MY_WEATHER_RETRIES): expected an integer",
        ),
        ('units = "m"\ntoken = ["hidden"]', {}, "token: the value is refused"),
    ],
)
async def test_wrong_settings_leave_the_plugin_out_and_show_no_secret(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    table: str,
    environment: dict[str, str],
    problem: str,
) -> None:
    got, error = await settings(tmp_path, table, environment)
    assert got == []
    assert "[plugins.my-weather]" in (error or "")
    assert problem in (error or "")
    assert "hidden" not in (error or "") + caplog.text


def test_settings_that_would_show_a_secret_are_refused() -> None:
    @frozen
    class Leaky:
        token: str = field(default="", metadata={"secret": True})

    plugins = load(Named("a", Settings=Leaky), Named("b", Settings=3))
    assert "declare it as field(repr=False" in (state_of(plugins, "a").error or "")
    assert "must be an attrs class" in (state_of(plugins, "b").error or "")


# --- tracing ----------------------------------------------------------------------


def test_a_trace_tells_each_call_and_no_secret(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = ManualClock()

    class Traced(Named):
        @hookimpl
        def dovetail_open_store(self, url: str) -> Any:
            clock.advance(0.25)
            if self.name == "b":
                raise LookupError("hidden")
            return None

    plugins = load(
        Traced("a"),
        Traced("b"),
        environment={"DOVETAIL_TRACE_PLUGINS": "1"},
        clock=clock,
    )
    plugins.each("dovetail_open_store", url="redis://me:hidden@host")
    told = capsys.readouterr().err
    assert told == (
        "plugin a: dovetail_open_store(url='redis:...') -> None in 250.000 ms\n"
        "plugin b: dovetail_open_store(url='redis:...') raised LookupError "
        "in 250.000 ms\n"
    )
    assert state_of(plugins, "a").seconds == pytest.approx(0.25)
    load(Traced("a"), clock=clock).each("dovetail_open_store", url="x")
    assert capsys.readouterr().err == ""


# --- retirement -------------------------------------------------------------------

OLD_HOOK = PluginDeprecationWarning(
    "dovetail_old", removed_in="0.9", instead="use dovetail_new"
)
OLD_ARGUMENT = PluginDeprecationWarning(
    "the argument 'old' of dovetail_new", removed_in="0.9", instead="use 'new'"
)


class Retiring:
    """Hook specifications of a test."""

    @hookspec(warn_on_impl=OLD_HOOK)
    def dovetail_old(self, url: str) -> None: ...

    @hookspec(warn_on_impl_args={"old": OLD_ARGUMENT})
    def dovetail_new(self, old: str, new: str) -> None: ...


def test_what_is_deprecated_warns_and_works() -> None:
    class Old:
        @hookimpl
        def dovetail_old(self, url: str) -> str:
            return f"old {url}"

    class Argument:
        @hookimpl
        def dovetail_new(self, old: str) -> str:
            return f"argument {old}"

    class New:
        @hookimpl
        def dovetail_new(self, new: str) -> str:
            return f"new {new}"

    table = HookTable(Retiring)
    plugins = load(Old(), Argument(), New(), table=table)
    with pytest.warns(PluginDeprecationWarning) as warned:
        assert plugins.loaded() == ("Argument", "New", "Old")
    assert {str(one.message) for one in warned} == {str(OLD_HOOK), str(OLD_ARGUMENT)}
    # Python's warning names the line of the plugin, the state the plugin itself.
    assert {one.filename for one in warned} == {__file__}
    assert state_of(plugins, "Old").warnings == (
        "dovetail_old is deprecated and is removed in dovetail 0.9; use dovetail_new",
    )
    assert "'old'" in state_of(plugins, "Argument").warnings[0]
    assert state_of(plugins, "New").warnings == ()
    assert plugins.call("Old", "dovetail_old", url="x") == "old x"
    assert plugins.call("Argument", "dovetail_new", old="x", new="y") == "argument x"


def test_no_hook_of_this_release_is_deprecated_without_a_constant() -> None:
    """What is said to be on its way out says until when."""
    for name, spec in HookTable(Hooks).specs.items():
        for warning in (spec.retired, *spec.retired_arguments.values()):
            assert warning is None or isinstance(warning, PluginDeprecationWarning), (
                name
            )


# --- the hooks that offer something -----------------------------------------------


@frozen
class Nothing:
    """An input without fields."""


async def _execute(input: Nothing, context: ToolContext) -> str:
    return ""


class Offers:
    """A plugin that offers one of everything, under its own name."""

    def __init__(self, name: str, after: Any = ()) -> None:
        self.name = name
        self.after = after
        self.story: list[str] = []

    @hookimpl
    def dovetail_register_commands(self, register: Any) -> None:
        register(Command("serve", "Serve", lambda: None))

    @hookimpl
    def dovetail_open_location(self, place: Place) -> Any:
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[str]:
        self.story.append("open")
        yield self.name
        self.story.append("close")

    @hookimpl
    def dovetail_register_tools(self, register: Any, place: Place) -> None:
        assert place.resource == self.name
        register(Tool("say", f"Of {self.name}.", Nothing, _execute))

    @hookimpl
    def dovetail_register_providers(self, register: Any) -> None:
        def route(model: str) -> ProviderRoute:
            raise LookupError(model)

        register(Provider("acme", route))

    @hookimpl
    def dovetail_register_context(self, register: Any) -> None:
        async def observe() -> Observation:
            return Observation("")

        register(ContextSource("acme/team", observe))

    @hookimpl
    def dovetail_register_skills(self, register: Any) -> None:
        async def find() -> list[Skill]:
            return [Skill("skill", "Can do.", "Do.")]

        register(SkillSource("acme/skills", find))

    @hookimpl
    def dovetail_register_prompts(self, register: Any) -> None:
        async def write(given: Any) -> str:
            return "Hello."

        async def commands() -> list[PromptCommand]:
            return [PromptCommand("greet", write)]

        register(PromptSource("acme/prompts", commands))

    @hookimpl
    def dovetail_register_agents(self, register: Any) -> None:
        register(AgentProfile("reviewer"))


async def contributions(folder: Path) -> tuple[Offers, tuple[str, ...]]:
    offers = Offers("offers")
    async with host(folder, ScriptedProvider(), plugins=[offers]) as runtime:
        place = runtime.location(folder)
        assert [one.name for one in await place.skills()] == ["skill"]
        assert [one.name for one in await place.commands()] == ["greet"]
        assert "reviewer" in [one.name for one in await place.agents()]
        (state,) = [one for one in await place.plugins.list() if one.name == "offers"]
        return offers, state.contributions


async def test_open_location(tmp_path: Path) -> None:
    offers, _ = await contributions(tmp_path)
    assert offers.story == ["open", "close"]


async def test_register_tools(tmp_path: Path) -> None:
    assert "tool say" in (await contributions(tmp_path))[1]


async def test_register_providers(tmp_path: Path) -> None:
    assert "provider acme" in (await contributions(tmp_path))[1]


async def test_register_context(tmp_path: Path) -> None:
    assert "context source acme/team" in (await contributions(tmp_path))[1]


async def test_register_skills(tmp_path: Path) -> None:
    assert "skill acme/skills" in (await contributions(tmp_path))[1]


async def test_register_prompts(tmp_path: Path) -> None:
    assert "prompt acme/prompts" in (await contributions(tmp_path))[1]


async def test_register_agents(tmp_path: Path) -> None:
    assert "agent reviewer" in (await contributions(tmp_path))[1]


async def test_open_store(tmp_path: Path) -> None:
    """The first answer wins, and a plugin after it is not asked."""
    asked: list[str] = []

    class Asked(Named):
        @hookimpl
        def dovetail_open_store(self, url: str) -> Any:
            asked.append(self.name)

    plugins = [Asked("AAA"), Asked("zzz")]
    async with host(tmp_path, ScriptedProvider(), plugins=plugins):
        pass
    assert asked == ["AAA"]


def test_register_commands() -> None:
    found: list[Command] = []
    load(Offers("a")).call("a", "dovetail_register_commands", register=found.append)
    assert [one.name for one in found] == ["serve"]
