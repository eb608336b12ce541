"""Declared commands: they are listed, and found, without importing a plugin."""

import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from dovetail.kernel import Command, load_plugins
from dovetail.plugins.cli.declared import declared
from dovetail.plugins.cli.help import page
from support.commands import Done, Home

PLUGIN = """
    import click
    from dovetail.kernel import Command, hookimpl

    @click.command()
    def greet():
        click.echo("hello")

    class Plugin:
        @hookimpl
        def dovetail_register_commands(self, register):
            register(Command("greet", "Greet somebody", lambda: greet))

    plugin = Plugin()
"""


class Site:
    """A folder of distributions on the path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.modules: list[str] = []

    def add(self, name: str, commands: str | None = None, code: str = PLUGIN) -> None:
        """Install a plugin; ``commands`` is what its module of them holds."""
        self.modules += [f"site_{name}", f"site_{name}_listed"]
        (self.folder / f"site_{name}.py").write_text(textwrap.dedent(code))
        points = f"# of a test\n[dovetail]\n{name} = site_{name}:plugin\n"
        if commands is not None:
            (self.folder / f"site_{name}_listed.py").write_text(
                f"COMMANDS = {commands}\n"
            )
            points += f"\n[dovetail.commands]\n{name}=site_{name}_listed:COMMANDS\n"
        self.points(name, points)

    def points(self, name: str, text: str) -> None:
        information = self.folder / f"Site_{name}-1.0.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: site-{name}\nVersion: 1.0\n"
        )
        (information / "entry_points.txt").write_text(text)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    for name in ("DOVETAIL_LOAD_PLUGINS", "DOVETAIL_DISABLE_PLUGINS"):
        monkeypatch.delenv(name, raising=False)
    made = Site(folder)
    yield made
    for module in made.modules:
        sys.modules.pop(module, None)


def run(home: Home, *arguments: str) -> tuple[str, set[str]]:
    """Return what a new process prints, and what it imported."""
    code = (
        "import sys, atexit; from dovetail.plugins.cli import main;"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr));"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=home.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout, set(done.stderr.split())


@pytest.mark.parametrize("option", ["--help", "-h", "--version"])
def test_what_is_asked_first_is_shown_without_kernel_and_click(
    home: Home, do: Callable[..., Done], option: str
) -> None:
    told, imported = run(home, option)
    assert told == do(option).out
    assert "dovetail.plugins.cli.help" in imported
    assert not imported & {"click", "pluggy", "attrs", "dovetail.kernel.hookspecs"}


def test_a_command_imports_no_other_plugin(home: Home) -> None:
    _, imported = run(home, "sessions", "--help")
    assert "dovetail.plugins.cli.sessions" in imported
    others = ("chat", "acp", "mcp", "http", "rehearsal")
    assert not imported & {f"dovetail.plugins.{name}.plugin" for name in others}


def test_our_plugins_have_the_commands_that_they_declare(site: Site) -> None:
    plugins = load_plugins(environment={})
    found: dict[str, tuple[str, str]] = {}
    for entry in entry_points(group="dovetail"):
        if entry.dist is not None and entry.dist.name == "dovetail":

            def register(command: Command, plugin: str = entry.name) -> None:
                found[command.name] = (plugin, command.help)

            plugins.ask(entry.name, "dovetail_register_commands", register=register)
    known = declared()
    assert known.ours == {plugin for plugin, _ in found.values()}
    assert {
        name: one for name, one in known.commands.items() if one[0] in known.ours
    } == found


def test_a_declared_command_is_listed_and_run_without_another_plugin(
    site: Site, do: Callable[..., Done]
) -> None:
    site.add("polite", '{"greet": "Greet somebody"}')
    site.add("other", "{}", "raise RuntimeError('nobody needs this')")
    assert declared().commands["greet"] == ("polite", "Greet somebody")
    assert "site_polite" not in sys.modules
    if declared().whole:
        # Where nothing else is installed that says nothing of commands.
        done = do("greet")
        assert (done.code, done.out, done.err) == (0, "hello\n", "")


@pytest.mark.parametrize(
    "commands",
    [
        None,
        "None",
        '{"sessions": "Mine"}',
        '{"greet": ""}',
        '{"greet": "Greet\\x1b[2J"}',
        '{"greet": 7}',
        "1; raise SystemExit",
        "nonsense",
    ],
)
def test_what_is_not_declared_as_it_must_be_is_left_to_the_plugin(
    site: Site, do: Callable[..., Done], commands: str | None
) -> None:
    site.add("polite", commands)
    known = declared()
    assert not known.whole
    assert known.owner("sessions") == "cli"
    assert known.owner("greet") is None
    assert "  greet        Greet somebody\n" in do("--help").out
    assert do("greet").out == "hello\n"


def test_a_plugin_that_is_not_there_has_no_commands(site: Site) -> None:
    site.add("polite", '{"greet": "Greet somebody"}')
    site.points("odd", "[dovetail.commands]\nodd = site_polite_listed:COMMANDS\n")
    assert not declared().whole


@pytest.mark.parametrize(
    ("variable", "value"),
    [("DOVETAIL_LOAD_PLUGINS", ""), ("DOVETAIL_DISABLE_PLUGINS", "polite")],
)
def test_what_a_variable_leaves_out_is_not_even_looked_at(
    site: Site, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    site.add("polite", '{"greet": "Greet somebody"}')
    monkeypatch.setenv(variable, value)
    known = declared()
    assert not known.whole
    assert "greet" not in known.commands
    assert "site_polite_listed" not in sys.modules


def test_the_first_distribution_of_a_name_is_the_one_that_is_installed(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = Site(tmp_path / "hidden")
    hidden.folder.mkdir()
    hidden.add("polite", '{"wave": "Wave to somebody"}')
    monkeypatch.setattr(sys, "path", [*sys.path, str(hidden.folder)])
    site.add("polite", '{"greet": "Greet somebody"}')
    assert {"greet", "wave"} & declared().commands.keys() == {"greet"}


def test_an_archive_on_the_path_is_looked_into(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add("polite", '{"greet": "Greet somebody"}')
    before = declared()
    archive = tmp_path / "more.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("zipped_listed.py", 'COMMANDS = {"zip": "Pack"}')
        file.writestr(
            "zipped-1.dist-info/entry_points.txt",
            "[dovetail]\nzipped = zipped:plugin\n"
            "[dovetail.commands]\nzipped = zipped_listed:COMMANDS\n",
        )
        file.writestr(
            "zipped-1.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: zipped\nVersion: 1\n",
        )
    monkeypatch.syspath_prepend(str(archive))
    site.modules.append("zipped_listed")
    assert declared().commands == {**before.commands, "zip": ("zipped", "Pack")}
    assert declared().ours == before.ours


def test_a_long_name_and_a_narrow_screen_keep_their_words() -> None:
    rows: dict[str, Any] = {"a" * 32: "does much " * 9, "b": "little"}
    told = page(rows, 50)
    assert max(map(len, told.splitlines())) <= 50 + 1
    assert told.split("Commands:")[1].split().count("much") == 9
