"""``plugins list`` and ``plugins check``: what is installed, and if it is sound."""

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dovetail.kernel import PluginState
from dovetail.plugins.cli.plugin_list import Listed
from support.commands import Done

SOUND = """
    from dovetail.kernel import AgentProfile, hookimpl

    class Plugin:
        @hookimpl
        def dovetail_register_agents(self, register):
            register(AgentProfile("reviewer"))

    plugin = Plugin()
"""


class Packages:
    """Distributions that are installed for a test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.modules: list[str] = []

    def add(self, name: str, code: str = SOUND, *, requires: str = "") -> None:
        module = f"listed_{name}"
        self.modules.append(module)
        (self.folder / f"{module}.py").write_text(textwrap.dedent(code))
        information = self.folder / f"{module}-1.5.dist-info"
        information.mkdir()
        needs = f"Requires-Dist: {requires}\n" if requires else ""
        (information / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.5\n{needs}"
        )
        (information / "entry_points.txt").write_text(
            f"[dovetail]\n{name} = {module}:plugin\n"
        )


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Packages]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    made = Packages(folder)
    yield made
    for module in made.modules:
        sys.modules.pop(module, None)


def test_what_a_plugin_offers_and_costs_is_listed(
    packages: Packages, do: Callable[..., Done]
) -> None:
    packages.add("sound")
    listed = {one["name"]: one for one in do("plugins", "list", "--json").lines()}
    sound = listed["sound"]
    assert (sound["state"], sound["version"]) == ("loaded", "1.5")
    assert sound["origin"] == "listed_sound 1.5"
    assert sound["hooks"] == ["dovetail_register_agents"]
    assert sound["contributions"] == ["agent reviewer"]
    assert sound["last_error"] is None
    assert sound["seconds"] > 0
    assert sound["here"]["state"] == "open"
    assert "tool read" in listed["tools"]["contributions"]
    (row,) = [
        line
        for line in do("plugins", "list").out.splitlines()
        if "listed_sound" in line
    ]
    assert row.endswith("agent reviewer")


def test_a_location_that_cannot_be_opened_hides_no_plugin(
    packages: Packages, do: Callable[..., Done]
) -> None:
    packages.add("sound")
    done = do("plugins", "list", "--json", "--location", "nowhere")
    assert done.code == 0
    assert "was not opened" in done.err
    assert "sound" in {one["name"] for one in done.lines()}


def test_sound_plugins_pass_the_check(
    packages: Packages, do: Callable[..., Done]
) -> None:
    packages.add("sound", requires="attrs")
    done = do("plugins", "check")
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith("plugins, nothing is wrong\n")
    assert do("plugins", "check", "--json").out == ""


@pytest.mark.parametrize(
    ("code", "requires", "problem"),
    [
        ("raise RuntimeError('no luck')", "", "RuntimeError: no luck"),
        (SOUND.replace("agents", "agent"), "", "there is no such hook"),
        (SOUND.replace('"reviewer"', '""'), "", "agent profile"),
        (SOUND.replace("register(", "unknown("), "", "NameError"),
        (SOUND, "not-there>=3", "it needs, and there is not: not-there>=3"),
        (
            "import not_there",
            "not-there>=3",
            "No module named 'not_there'; it needs, and there is not: not-there>=3",
        ),
        (
            """
            from dovetail.kernel import hookimpl

            class Plugin:
                @hookimpl
                def dovetail_open_location(self, place):
                    raise LookupError("no luck")

            plugin = Plugin()
            """,
            "",
            "LookupError: no luck",
        ),
        (
            """
            from dovetail.kernel import Command, hookimpl

            class Plugin:
                @hookimpl
                def dovetail_register_commands(self, register):
                    register(Command("bad", "Bad", lambda: None))

            plugin = Plugin()
            """,
            "",
            "does not load a click command",
        ),
        *(
            (
                f"""
                import click
                from dovetail.kernel import Command, hookimpl

                class Plugin:
                    @hookimpl
                    def dovetail_register_commands(self, register):
                        made = click.Command("odd")
                        register(Command("odd", "Odd", lambda: made, self.check))

                    def check(self):
                        {body}

                plugin = Plugin()
                """,
                "",
                problem,
            )
            for body, problem in (
                ("return ['it is out of order']", "it is out of order"),
                ("raise LookupError('no luck')", "its check failed: LookupError"),
            )
        ),
    ],
)
def test_what_is_wrong_is_told_and_ends_with_1(
    packages: Packages,
    do: Callable[..., Done],
    code: str,
    requires: str,
    problem: str,
) -> None:
    packages.add("good")
    packages.add("wrong", code, requires=requires)
    done = do("plugins", "check", "--json")
    assert done.code == 1
    told = done.lines()
    assert {one["plugin"] for one in told} == {"wrong"}
    assert any(problem in one["problem"] for one in told)
    shown = do("plugins", "check")
    assert shown.code == 1
    assert all(line.startswith("wrong: ") for line in shown.out.splitlines())


@pytest.mark.law("context.8")
@pytest.mark.parametrize("required", [False, True])
def test_a_source_that_cannot_be_observed_is_told_with_what_follows(
    packages: Packages, do: Callable[..., Done], required: bool
) -> None:
    code = f"""
        from dovetail.kernel import ContextSource, ContextUnavailableError, hookimpl

        async def observe():
            raise ContextUnavailableError("acme/team", "nobody is there")

        class Plugin:
            @hookimpl
            def dovetail_register_context(self, register):
                register(ContextSource("acme/team", observe, {required}))

        plugin = Plugin()
    """
    packages.add("acme", code)
    done = do("plugins", "check", "--json")
    [told] = done.lines()
    assert done.code == 1
    assert told["plugin"] == "acme"
    assert "'acme/team' cannot be observed" in told["problem"]
    assert "nobody is there" in told["problem"]
    then = "no session begins" if required else "sessions begin"
    assert f"so {then} without it" in told["problem"]


def test_what_is_disabled_is_not_checked(
    packages: Packages, do: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    packages.add("wrong", "raise RuntimeError('no luck')")
    monkeypatch.setenv("DOVETAIL_DISABLE_PLUGINS", "wrong")
    assert do("plugins", "check").code == 0


def test_what_a_plugin_held_up_is_listed_and_no_fault() -> None:
    held = PluginState(
        "slow", "slow 1", "1", "loaded", last_blocking="the import has taken 9.0 s"
    )
    one = Listed(held)
    assert one.blocking == ["the import has taken 9.0 s"]
    assert one.problems == []
