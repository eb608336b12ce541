"""``plugins new``: a package that is complete at once, or nothing at all."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from string import ascii_letters, digits

import pytest
from dovetail.kernel import InvalidValueError
from dovetail.plugins.cli import skeleton
from dovetail.plugins.cli.plugin_name import LONGEST, PluginName
from dovetail.plugins.cli.skeleton import releases
from hypothesis import example, given, strategies as st
from packaging.utils import canonicalize_name
from support.commands import Done, Home
from support.environments import Environment

ROOT = Path(__file__).resolve().parents[2]
WRITTEN = {
    ".gitignore",
    "README.md",
    "pyproject.toml",
    "src/dovetail_dice/__init__.py",
    "src/dovetail_dice/py.typed",
    "tests/test_plugin.py",
}

LOOK = """
from dovetail.plugins.cli.program import run_program
assert run_program(["plugins", "list"]) == run_program(["plugins", "check"]) == 0
import dovetail_dice
print(dovetail_dice.__file__)
"""
"""What looks at a plugin that is installed: to start Python takes longer."""

Do = Callable[..., Done]


def files_in(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if not path.is_dir()
    }


# --- what is written --------------------------------------------------------------


@pytest.fixture
def dice(do: Do, home: Home) -> Path:
    """A package, as it was written."""
    assert do("plugins", "new", "dovetail-dice").code == 0
    return home.work / "dovetail-dice"


def test_it_is_complete_and_says_what_to_do_next(do: Do, home: Home) -> None:
    done = do("plugins", "new", "Dovetail_Dice")
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "dovetail-dice is in dovetail-dice: a plugin 'dice' with a tool 'count_dice'. "
        "Next:\n"
        "\n"
        "  cd dovetail-dice\n"
        '  python -m pip install -e ".[test]"\n'
        "  python -m pytest\n"
        "  dovetail plugins check\n"
    )
    assert os.listdir(home.work) == ["dovetail-dice"]
    assert files_in(home.work / "dovetail-dice") == WRITTEN
    for name in WRITTEN:
        text = (home.work / "dovetail-dice" / name).read_text()
        assert "<<" not in text
        assert text.endswith("\n") or name.endswith("py.typed")


@pytest.mark.parametrize("how", [("--editable",), ()], ids=["editable", "whole"])
def test_installed_it_is_found_sound_and_passes_its_tests(
    how: tuple[str, ...], dice: Path, tmp_path: Path
) -> None:
    environment = Environment(tmp_path / "environment")
    environment.install(*how, dice)
    if how:
        # As who works on it does.
        tested = environment.run("-m", "pytest", "-q", cwd=dice)
        assert " passed in " in tested
        assert "skipped" not in tested
    *listed, checked, where = environment.run("-c", LOOK, cwd=tmp_path).splitlines()
    (row,) = [line for line in listed if line.startswith("dice ")]
    assert row.split()[:4] == ["dice", "loaded", "dovetail-dice", "0.1.0"]
    assert row.endswith("tool count_dice")
    assert checked.endswith(" plugins, nothing is wrong")
    assert (Path(where).parent / "py.typed").is_file()


def test_nobody_has_to_complain_about_it(do: Do, home: Home) -> None:
    long = "dovetail-" + "x" * (LONGEST - 9)
    for name in ("a", long):
        assert do("plugins", "new", name).code == 0
    mypy = ("mypy", "--follow-imports=silent", "--cache-dir", os.devnull)
    for command, folder in (
        # How long lines are is up to the name, and what types there are is not.
        (("ruff", "check", "--no-cache", "."), home.work),
        (("ruff", "format", "--no-cache", "--check", "."), home.work),
        ((*mypy, "src", "tests"), home.work / long),
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=folder,
            env={
                **home.environment,
                "MYPYPATH": os.pathsep.join((str(ROOT / ".links"), "src")),
            },
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("version", "fits"),
    [
        ("0.1.0", ">=0.1,<0.2"),
        ("0.9.12rc1", ">=0.9,<0.10"),
        ("1.0", ">=1.0,<2"),
        ("2.7.1.dev3+local", ">=2.7,<3"),
    ],
)
def test_it_fits_the_releases_that_promise_not_to_break_it(
    version: str, fits: str
) -> None:
    assert releases(version) == fits


# --- names ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "letters, digits"),
        (" ", "letters, digits"),
        ("..", "letters, digits"),
        ("../out", "letters, digits"),
        ("/out", "letters, digits"),
        ("a/b", "letters, digits"),
        ("a\\b", "letters, digits"),
        ("dice-", "letters, digits"),
        (".dice", "letters, digits"),
        ("two words", "letters, digits"),
        ("dice\n", "letters, digits"),
        ("dice\x1b[2J", "letters, digits"),
        ("würfel", "letters, digits"),
        ("dice\u202e", "letters, digits"),
        ("dice\udcff", "letters, digits"),
        ("x" * (LONGEST + 1), "at most"),
        ("x" * 100_000, "at most"),
        ("2dice", "begins with a letter"),
        ("class", "word of the language"),
        ("Match", "match"),
        ("json", "standard library"),
        ("Email", "standard library"),
        ("sys", "standard library"),
        ("attrs", "installed"),
        ("PyYAML", "installed"),
        ("yaml", "installed"),
        ("dovetail", "installed"),
        ("dovetail.pytest", "installed"),
        ("dovetail-tools", "there is a plugin 'tools'"),
        ("SQLite", "there is a plugin 'sqlite'"),
    ],
)
def test_a_name_that_would_get_in_the_way_is_refused(
    name: str, why: str, do: Do, home: Home
) -> None:
    done = do("plugins", "new", "--", name)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: plugin name ")
    assert done.err.endswith(" [value.invalid]\n")
    assert why in done.err
    assert done.err.count("\n") == 1
    assert len(done.err) < 300
    assert "\x1b" not in done.err
    assert "\u202e" not in done.err
    assert os.listdir(home.work) == []


def test_an_empty_folder_of_its_name_is_no_module_that_is_installed(
    do: Do, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend("")
    (home.work / "dice").mkdir()
    assert do("plugins", "new", "dice").code == 0
    assert (home.work / "dice" / "src" / "dice" / "__init__.py").is_file()


@given(st.text(st.sampled_from(ascii_letters + digits + "-_."), max_size=LONGEST))
@example("A.b--c_9")
def test_whatever_is_taken_for_a_name_is_one(text: str) -> None:
    try:
        name = PluginName.of(text)
    except InvalidValueError:
        assert text != "A.b--c_9"
        return
    assert name.distribution == canonicalize_name(text)
    assert name.module == name.distribution.replace("-", "_")
    assert name.module.isidentifier()
    assert name.module not in sys.stdlib_module_names


# --- where it goes ----------------------------------------------------------------


def test_it_goes_where_it_is_told_to(do: Do, home: Home) -> None:
    (home.work / "one two").mkdir()
    done = do("plugins", "new", "dovetail-dice", "--into", "one two/here")
    assert done.code == 0
    assert "  cd 'one two/here'\n" in done.out
    assert files_in(home.work / "one two" / "here") == WRITTEN


def test_it_goes_into_the_current_folder_where_that_is_empty(
    do: Do, home: Home
) -> None:
    before = home.work.stat().st_ino
    assert do("plugins", "new", "dovetail-dice", "--into", ".").code == 0
    assert files_in(home.work) == WRITTEN
    assert home.work.stat().st_ino == before


def test_a_new_folder_is_as_open_as_any_other(do: Do, home: Home) -> None:
    assert do("plugins", "new", "dovetail-dice").code == 0
    (home.work / "other").mkdir()
    modes = {path.stat().st_mode for path in home.work.iterdir()}
    assert len(modes) == 1


@pytest.mark.parametrize(
    "there", ["a file in it", "a hidden file in it", "a file", "a link to a full one"]
)
def test_what_is_there_is_never_overwritten(there: str, do: Do, home: Home) -> None:
    target = home.work / "dovetail-dice"
    if there == "a file":
        target.write_text("mine")
    else:
        folder = home.work / "full" if "link" in there else target
        folder.mkdir()
        name = ".README.md" if "hidden" in there else "README.md"
        (folder / name).write_text("mine")
        if folder != target:
            target.symlink_to(folder)
    before = files_in(home.work)
    done = do("plugins", "new", "dovetail-dice")
    assert done.code == 2
    assert done.err.endswith(" [value.invalid]\n")
    assert files_in(home.work) == before


def test_a_folder_without_a_name_is_not_the_current_one(do: Do, home: Home) -> None:
    assert do("plugins", "new", "dovetail-dice", "--into", "").code == 2
    assert os.listdir(home.work) == []


def test_what_a_terminal_would_obey_is_shown(do: Do, home: Home) -> None:
    done = do("plugins", "new", "dovetail-dice", "--into", "a\x1b[2J\n b")
    assert done.code == 0
    assert "\x1b" not in done.out
    assert "  cd 'a\\x1b[2J\\n b'\n" in done.out


def test_no_folder_is_made_to_lie_in(do: Do, home: Home) -> None:
    done = do("plugins", "new", "dovetail-dice", "--into", "absent/here")
    assert done.code == 2
    assert "is not there" in done.err
    assert os.listdir(home.work) == []


@pytest.mark.parametrize("into", ["new", "there"])
@pytest.mark.parametrize("at", [*range(len(WRITTEN)), "move"])
def test_what_fails_midway_leaves_nothing(
    at: int | str, into: str, do: Do, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home.work / "there").mkdir()
    (home.work / "there").chmod(0o750)
    done_before = {"write_text": 0, "rename": 0}

    def failing(name: str, after: int) -> None:
        whole = getattr(Path, name)

        def fail(self: Path, *arguments: object, **options: object) -> object:
            done_before[name] += 1
            if done_before[name] == after + 1:
                raise OSError(28, "No space left on device")
            return whole(self, *arguments, **options)

        monkeypatch.setattr(Path, name, fail)

    if isinstance(at, int):
        failing("write_text", at)
    else:
        failing("rename", 0 if into == "new" else 2)
    done = do("plugins", "new", "dovetail-dice", "--into", into)
    assert done.code == 1
    assert "No space left on device" in done.err
    assert os.listdir(home.work) == ["there"]
    assert os.listdir(home.work / "there") == []
    assert (home.work / "there").stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize("into", ["new", "there"])
def test_of_two_at_once_one_is_refused(
    into: str, do: Do, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home.work / "there").mkdir()
    whole = skeleton.texts

    def overtaken(name: PluginName) -> dict[str, str]:
        (home.work / into).mkdir(exist_ok=True)
        (home.work / into / "README.md").write_text("mine")
        return whole(name)

    monkeypatch.setattr(skeleton, "texts", overtaken)
    done = do("plugins", "new", "dovetail-dice", "--into", into)
    assert done.code == 2
    assert "it is not empty" in done.err
    assert files_in(home.work) == {f"{into}/README.md"}
