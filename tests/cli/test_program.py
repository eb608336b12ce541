"""The program: commands of plugins, what a command line costs, and problems told."""

import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import anyio
import click
import pytest
from dovetail.kernel import Command, Register, hookimpl, load_plugins
from dovetail.plugins.cli import program
from dovetail.plugins.cli.plugin import plugin as cli
from support.bounds import HANG
from support.commands import MODEL, Done, Home, text
from support.replay import serve


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Plugins that are loaded besides those that are installed."""
    plugins: list[Any] = []

    def load(**options: Any) -> Any:
        return load_plugins(plugins, **options)

    monkeypatch.setattr(program, "load_plugins", load)
    return plugins


def adding(*commands: Any, raising: Exception | None = None) -> Any:
    """Return a plugin that adds commands."""

    class Adding:
        name = "adding"

        @hookimpl
        def dovetail_register_commands(self, register: Register[Command]) -> None:
            for command in commands:
                register(command)
            if raising is not None:
                raise raising

    return Adding()


def hello() -> click.Command:
    @click.command()
    @click.argument("name")
    def command(name: str) -> int:
        """Greet somebody at length."""
        click.echo(f"hello {name}")
        return 7

    return command


# --- what it costs ----------------------------------------------------------------


def test_help_imports_no_database_and_no_http_client(home: Home) -> None:
    code = (
        "import sys; from dovetail.plugins.cli.program import run_program;"
        "assert run_program(['--help']) == 0;"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        env=home.environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert "Commands:" in told
    imported = set(told[-1].split())
    assert {"click", "pluggy", "dovetail"} <= imported
    assert not imported & {"httpx", "peewee", "playhouse", "asyncio", "trio", "ssl"}


def test_the_plugin_is_loaded_without_click() -> None:
    code = (
        "import sys; import dovetail.plugins.cli.plugin, dovetail.plugins.cli,"
        "dovetail.plugins.rehearsal.plugin; print('click' in sys.modules)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert told.stdout == "False\n"


def test_a_command_is_loaded_only_when_it_is_wanted(
    given: list[Any], do: Callable[..., Done]
) -> None:
    loaded: list[str] = []

    def load() -> Any:
        loaded.append("hello")
        return hello()

    given.append(adding(Command("hello", "Greet somebody", load)))
    assert ["hello", "Greet", "somebody"] in map(
        str.split, do("--help").out.splitlines()
    )
    do("plugins", "list")
    assert loaded == []
    assert "Greet somebody at length." in do("hello", "--help").out
    done = do("hello", "you")
    assert (done.code, done.out) == (7, "hello you\n")
    assert loaded == ["hello", "hello"]


# --- as a program -----------------------------------------------------------------


def timeless(text: str) -> str:
    """Return a text without how long ago things were, and the room that it takes."""
    return re.sub(r" +", " ", re.sub(r"just now|\d+ \w+ ago", "then", text))


async def test_each_command_does_in_a_new_process_what_it_does_in_a_fork(
    home: Home,
) -> None:
    """All other tests run commands in this process, or in forks of another."""

    async def real(*arguments: str) -> Done:
        done = await anyio.run_process(
            [sys.executable, "-m", "dovetail.plugins.cli", *arguments],
            check=False,
            cwd=home.work,
            env=home.environment,
        )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    with anyio.fail_after(2 * HANG):
        async with serve(text("Hello.")) as server:
            home.serve_from(server.url)
            done = await real("run", "hi", "--model", MODEL)
            assert (done.code, done.out, done.told) == (0, "Hello.\n", "")
        [session] = (await real("sessions", "--json")).lines()
        for command in (
            ("sessions",),
            ("show", session["id"]),
            ("log", session["id"]),
            ("export", session["id"]),
            ("verify",),
            ("prune", session["id"]),
        ):
            done = await real(*command)
            assert done.code == 0
            other = await home.do(*command)
            assert (other.code, other.err) == (done.code, done.err)
            assert timeless(other.out) == timeless(done.out)
        # It tells how long things took.
        assert (await real("plugins", "list")).code == 0
        exported = home.work / "exported.jsonl"
        exported.write_text((await home.do("export", session["id"])).out)
        elsewhere = f"sqlite:///{home.path / 'other.db'}"
        assert (await real("import", exported.name, "--db", elsewhere)).code == 0
        assert (await home.do("sessions", "--db", elsewhere)).code == 0


async def test_a_closed_output_does_not_become_the_database(home: Home) -> None:
    """Whatever is opened next would have its number."""
    command = f"exec {sys.executable} -m dovetail.plugins.cli sessions --json >&- 2>&-"
    with anyio.fail_after(HANG):
        done = await anyio.run_process(
            ["sh", "-c", command], check=False, cwd=home.work, env=home.environment
        )
    assert done.returncode == 0
    assert (await home.do("verify")).code == 0


# --- problems ---------------------------------------------------------------------


def test_a_command_whose_name_is_taken_is_refused_alone(
    given: list[Any], do: Callable[..., Done]
) -> None:
    given.append(
        adding(Command("sessions", "Mine", hello), Command("hello", "Mine", hello))
    )
    # Installed plugins come in the order of their names, as this one does.
    done = do("--help")
    listed = done.out.partition("Commands:\n")[2].splitlines()
    names = [line.split()[0] for line in listed]
    assert names.count("sessions") == 1
    assert "hello" in names
    assert done.err.count("\n") == 1
    assert "command 'sessions' is taken by plugin " in done.err


@pytest.mark.parametrize(
    "wrong",
    [
        "hello",
        Command("Hello", "Greet", hello),
        Command("", "Greet", hello),
        Command("-x", "Greet", hello),
        Command("hello", None, hello),  # type: ignore[arg-type]
        Command("hello", "Greet", "hello"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_command_is_refused_with_a_line(
    given: list[Any], do: Callable[..., Done], wrong: Any
) -> None:
    given.append(adding(wrong, Command("good", "Good", hello)))
    done = do("good", "you")
    assert (done.code, done.out) == (7, "hello you\n")
    assert done.err.count("\n") == 1
    assert done.err.startswith("warning: plugin 'adding' in dovetail_register_commands")


@pytest.mark.law("plugins.1")
def test_a_plugin_that_breaks_leaves_the_others_their_commands(
    given: list[Any], do: Callable[..., Done]
) -> None:
    given.append(
        adding(Command("half", "Half", hello), raising=RuntimeError("it broke"))
    )
    done = do("--help")
    assert "sessions" in done.out
    assert "half" not in done.out
    assert done.err.count("\n") == 1
    assert "adding" in done.err
    listed = {one["name"]: one for one in do("plugins", "list", "--json").lines()}
    assert "it broke" in listed["adding"]["last_error"]


def broken() -> Any:
    raise ImportError("no module named 'nonsense'")


@pytest.mark.parametrize("load", [broken, lambda: "no command"])
def test_a_command_that_does_not_load_is_one_line(
    given: list[Any], do: Callable[..., Done], load: Callable[[], Any]
) -> None:
    given.append(adding(Command("bad", "Bad", load)))
    done = do("bad")
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert "plugin 'adding'" in done.err
    assert done.err.endswith("[plugin.failed]\n")


def raising() -> click.Command:
    @click.command()
    def command() -> None:
        raise ZeroDivisionError("\x1b[31mnobody\nexpected this")

    return command


def test_a_defect_is_one_line_and_a_traceback_for_those_who_ask(
    given: list[Any], do: Callable[..., Done]
) -> None:
    given.append(adding(Command("break", "Break", raising)))
    done = do("break")
    assert done.code == 1
    assert done.err == (
        "error: ZeroDivisionError: \\x1b[31mnobody\\nexpected this [internal]\n"
    )
    verbose = do("-v", "break")
    assert verbose.code == 1
    assert "Traceback" in verbose.err
    assert "\x1b" not in verbose.err


def test_a_problem_is_told_once_though_plugins_are_loaded_twice(
    do: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOVETAIL_LOAD_PLUGINS", "cli,sqlite,absent")
    done = do("plugins", "list")
    assert done.code == 0
    warnings = [line for line in done.err.splitlines() if "absent" in line]
    assert len(warnings) == 1


def test_what_is_wrong_with_a_plugin_that_is_not_needed_is_not_told(
    do: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOVETAIL_LOAD_PLUGINS", "cli,sqlite,absent")
    done = do("sessions")
    assert (done.code, done.err) == (0, "no sessions\n")


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (SystemExit(7), 7, ""),
        (SystemExit("bye"), 1, "bye\n"),
        (BaseExceptionGroup("group", [ValueError("no"), SystemExit(4)]), 4, ""),
        (BaseExceptionGroup("group", [KeyboardInterrupt()]), 130, ""),
        (ExceptionGroup("group", [KeyError("k")]), 1, "error: KeyError: 'k' [internal"),
        (GeneratorExit(), 1, "error: GeneratorExit [internal]"),
    ],
    ids=lambda value: repr(value) if isinstance(value, BaseException) else "",
)
def test_however_a_command_ends_nobody_reads_a_traceback(
    given: list[Any],
    error: BaseException,
    code: int,
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    @click.command("ends")
    def ends() -> None:
        raise error

    given.append(adding(Command("ends", "Ends", lambda: ends)))
    assert program.run_program(["ends"]) == code
    said = capsys.readouterr().err
    assert told in said
    assert "Traceback" not in said


def test_without_a_command_the_help_is_shown(do: Callable[..., Done]) -> None:
    done = do()
    assert done.code == 2
    assert "Usage: dovetail" in done.out + done.err


def test_the_version_is_told(do: Callable[..., Done]) -> None:
    assert do("--version").out.startswith("dovetail, version ")


def test_our_own_commands_come_by_the_same_door() -> None:
    plugins = load_plugins([cli], entry_points=False, environment={})
    assert sorted(program.collect(plugins)) == [
        "agents",
        "compact",
        "completion",
        "config",
        "detach",
        "doctor",
        "export",
        "fork",
        "import",
        "keys",
        "log",
        "models",
        "move",
        "permissions",
        "plugins",
        "prune",
        "revert",
        "run",
        "sessions",
        "setup",
        "show",
        "skills",
        "stats",
        "unrevert",
        "verify",
    ]
    assert program.collect(load_plugins(entry_points=False, environment={})) == {}


INTERRUPTED = """
import os, signal, sys
from dovetail.plugins import cli

class Moment:
    def find_spec(self, name, path=None, target=None):
        if name == moment:
            os.kill(os.getpid(), signal.SIGINT)

moment, sys.argv = sys.argv[1], ["dovetail", "run", "hello", "--model", "none/m"]
sys.meta_path.insert(0, Moment())
cli.main()
"""


@pytest.mark.parametrize(
    "moment",
    [
        "dovetail.plugins.cli.program",
        "dovetail.kernel.plugins.loader",
        "dovetail.plugins.cli.run",
    ],
)
def test_an_interrupt_while_it_starts_ends_it_without_a_word(
    home: Home, moment: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, moment],
        env=home.environment,
        cwd=home.work,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")
