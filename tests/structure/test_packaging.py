"""The wheel: everything that is in the folders, and it works without them."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("kernel", "storage", "builtin_tools", "plugins")


def checked(*command: str | Path, **options: object) -> str:
    done = subprocess.run(  # type: ignore[call-overload]
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        **{"timeout": 300, **options},
    )
    shown = f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{shown}"
    return str(done.stdout)


def test_the_wheel_holds_what_the_folders_hold(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = {name for name in file.namelist() if ".dist-info/" not in name}
    # What was copied to build it from: all of the four folders but byte code.
    source = wheel.parents[1] / "source"
    there = {
        f"dovetail/{path.relative_to(source).as_posix()}"
        for folder in FOLDERS
        for path in (source / folder).rglob("*")
        if path.is_file()
    }
    # The one that must not lie in the namespace; it says itself why.
    here, elsewhere = "dovetail/kernel/testing/pytest_plugin/", "dovetail_pytest/"
    assert any(name.startswith(here) for name in there)
    assert names == {name.replace(here, elsewhere) for name in there}
    for folder in FOLDERS:
        assert f"dovetail/{folder}/py.typed" in names
    # A namespace: others may add to it, and nothing lies in it directly.
    assert "dovetail/__init__.py" not in names


def test_the_wheel_carries_its_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        licences = [name for name in file.namelist() if name.endswith("LICENSE")]
        metadata = next(name for name in file.namelist() if name.endswith("METADATA"))
        text = file.read(metadata).decode()
    assert len(licences) == 1
    assert "License-Expression: MIT" in text


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Install the wheel alone into a fresh environment, and return its folder.

    Its dependencies are borrowed from the environment of the tests, so that no network
    is needed; dovetail itself comes from the wheel or not at all.
    """
    base = tmp_path_factory.mktemp("environment")
    venv.create(base, with_pip=False, symlinks=True)
    python = base / "bin" / "python"
    checked(
        *(sys.executable, "-m", "pip", "--python", python, "install"),
        *("--quiet", "--no-deps", "--no-index", "--no-compile", wheel),
    )
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(checked(python, "-c", code).strip())
    borrowed = packages / "borrowed"
    borrowed.mkdir()
    for kind in ("purelib", "platlib"):
        for path in Path(sysconfig.get_path(kind)).iterdir():
            target = borrowed / path.name
            if "dovetail" not in path.name.lower() and not target.exists():
                target.symlink_to(path)
    (packages / "borrowed.pth").write_text(f"{borrowed}\n")
    yield base
    # Thousands of links, which nobody looks at.
    shutil.rmtree(base)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A person's environment in which nothing is configured."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in ("PATH", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT")
    }
    return {**kept, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}


def test_the_installed_wheel_is_what_is_imported(
    installed: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    code = "import dovetail.kernel, dovetail.plugins as p; print(p.__file__)"
    where = checked(installed / "bin" / "python", "-c", code, cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed)
    # A user's own kernel.py stays their own.
    (tmp_path / "kernel.py").write_text("MINE = True\n")
    code = "import dovetail.kernel, kernel; assert kernel.MINE"
    checked(installed / "bin" / "python", "-c", code, cwd=tmp_path, env=environment)


def test_the_demo_runs_with_the_sources_absent(
    installed: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    script = installed / "bin" / "dovetail"
    told = checked(script, "demo", cwd=tmp_path, env=environment)
    assert "rehearsal" in told
    assert "was killed, while the command ran" in told
    assert "The tests pass now" in told
    assert str(ROOT) not in told


def test_the_module_is_the_command(
    installed: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    # What it does is the same: the script calls what the module calls.
    module = (installed / "bin" / "python", "-m", "dovetail.plugins.cli")
    script = installed / "bin" / "dovetail"
    told = [
        checked(*one, "demo", "--help", cwd=tmp_path, env=environment)
        for one in (module, (script,))
    ]
    assert told[0] == told[1]
    assert "demo" in told[0]
