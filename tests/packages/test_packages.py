"""The example distributions, as a stranger would ship and use them.

Each is built into a wheel and installed, without an index, into a fresh environment
that borrows its libraries from the one of the tests. What is tried there knows nothing
of this checkout.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, frozen
from support.bounds import HANG
from support.environments import LIGHT

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ROOT / "examples" / "packages"
NAMES = sorted(path.name for path in PACKAGES.iterdir() if path.is_dir())
PLUGINS = {
    "lantern": ["provider lantern"],
    "notebook": [
        "tool write_note",
        "tool read_note",
        "tool search_notes",
        "rule allow read_note *",
    ],
    "releasing": ["context source releasing/project", "skill releasing/skills"],
}
"""What each offers, by the name of its entry point."""
BUILD = "import sys; from setuptools import build_meta as b; b.build_wheel(sys.argv[1])"
"""What each asks a front end to call. One would start a process for each question to
the same back end, and tests/docs does it with one, as the tutorial says."""
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")


def checked(
    *command: str | Path, cwd: Path, environment: dict[str, str] | None = None
) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=5 * HANG,
        check=False,
    )
    shown = f"{done.stdout[-6000:]}\n{done.stderr[-4000:]}"
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{shown}"
    return done.stdout


@frozen
class Installed:
    """An environment of its own, with what may be run in it."""

    folder: Path
    sources: Path
    """A copy of the distributions, for their tests."""

    def python(self, *arguments: str | Path, cwd: Path) -> str:
        home = cwd / "home"
        home.mkdir(exist_ok=True)
        kept = ("PATH", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT")
        environment = {
            **{name: os.environ[name] for name in kept if name in os.environ},
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_DATA_HOME": str(home / "data"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTEST_ADDOPTS": LIGHT,
        }
        python = self.folder / "bin" / "python"
        return checked(python, *arguments, cwd=cwd, environment=environment)

    def dovetail(self, *arguments: str, cwd: Path) -> str:
        return self.python("-m", "dovetail.plugins.cli", *arguments, cwd=cwd)

    def listed(self, cwd: Path) -> dict[str, Any]:
        """Return what `dovetail plugins list` says of each plugin."""
        lines = self.dovetail("plugins", "list", "--json", cwd=cwd).splitlines()
        return {each["name"]: each for each in map(json.loads, lines)}

    def pip(self, *arguments: str | Path) -> None:
        python = self.folder / "bin" / "python"
        checked(*PIP, "--python", python, *arguments, cwd=self.folder)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Build all distributions and install them, with what they say that they need."""
    base = tmp_path_factory.mktemp("packages")
    # A copy, because building leaves folders behind.
    sources, wheels, folder = base / "sources", base / "wheels", base / "environment"
    left_out = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
    shutil.copytree(PACKAGES, sources, ignore=left_out)
    wheels.mkdir()
    for name in NAMES:
        checked(sys.executable, "-c", BUILD, wheels, cwd=sources / name)
    assert len(list(wheels.iterdir())) == len(NAMES)
    venv.create(folder, with_pip=False, symlinks=True)
    made = Installed(folder, sources)
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(made.python("-c", code, cwd=base).strip())
    # As a folder of packages in its own right: its own .pth files count, too.
    borrowed = {sysconfig.get_path(kind) for kind in ("purelib", "platlib")}
    lines = [f"import site; site.addsitedir({path!r})\n" for path in sorted(borrowed)]
    (packages / "borrowed.pth").write_text("".join(lines))
    # With their requirements: what is borrowed must satisfy them.
    made.pip("install", "--no-index", "--find-links", wheels, *NAMES)
    return made


@pytest.fixture(scope="module")
def listed(
    installed: Installed, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What is said of each plugin while all of them are installed."""
    return installed.listed(tmp_path_factory.mktemp("listed"))


def test_each_is_loaded_with_what_it_offers(listed: dict[str, Any]) -> None:
    assert PLUGINS.keys() <= listed.keys()
    for name, contributions in PLUGINS.items():
        found = listed[name]
        assert (found["state"], found["error"]) == ("loaded", None)
        assert found["origin"] == f"dovetail-{name} 1.0.0"
        assert found["contributions"] == contributions
        assert found["last_error"] is None
        assert found["warnings"] == []


def test_the_check_finds_nothing_wrong(installed: Installed, tmp_path: Path) -> None:
    said = installed.dovetail("plugins", "check", cwd=tmp_path)
    assert said.endswith("plugins, nothing is wrong\n")
    # Looking leaves nothing behind: the notebook's file comes with the first note.
    assert not (tmp_path / "home" / "data").exists()


def test_a_session_uses_all_of_them(installed: Installed, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    shutil.copy(Path(__file__).with_name("program.py"), program)
    server = installed.sources / "dovetail-lantern" / "tests"
    said = installed.python(program, server, tmp_path / "notes", cwd=tmp_path)
    answer = json.loads(said)
    assert {answer["states"][name] for name in PLUGINS} == {"loaded"}
    told = answer["told"]
    assert told["scripted/model"] == ["wrote 'plan'", "Ship it.", "Noted."]
    # Another session of the same Location, and another provider: the same notebook.
    assert told["lantern/small"] == ["Ship it.", "It says: ship it."]
    for request in (told["system"][0], told["body"][0].replace("\\n", "\n")):
        assert "- name: spam\n- version: 3" in request
        assert "- cut-release: " in request
        assert "- write-changelog: " in request
    assert len(list((tmp_path / "notes").iterdir())) == 1


@pytest.mark.parametrize("name", NAMES)
def test_its_own_tests_pass_where_it_is_installed(
    name: str, installed: Installed, tmp_path: Path
) -> None:
    folder = tmp_path / name
    # Without its sources: its tests are of what was installed.
    left_out = shutil.ignore_patterns("src")
    shutil.copytree(installed.sources / name, folder, ignore=left_out)
    options = ("-q", "-p", "no:cacheprovider", "--basetemp", tmp_path / "base")
    said = installed.python("-m", "pytest", *options, cwd=folder)
    assert " passed" in said
    assert "skipped" not in said


def test_what_is_uninstalled_is_gone_and_nothing_else(
    installed: Installed, listed: dict[str, Any], tmp_path: Path
) -> None:
    # In a copy: the other tests have it installed, in whatever order they come.
    folder = tmp_path / "environment"
    shutil.copytree(installed.folder, folder, symlinks=True)
    bare = evolve(installed, folder=folder)
    bare.pip("uninstall", "--yes", *NAMES)
    after = bare.listed(tmp_path)
    said = bare.dovetail("plugins", "check", cwd=tmp_path)
    assert listed.keys() - after.keys() == set(PLUGINS)
    assert {one["state"] for one in after.values()} == {"loaded"}
    assert said.endswith("plugins, nothing is wrong\n")
