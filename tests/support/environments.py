"""Environments: fresh ones, in which something is installed without a network."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterable
from pathlib import Path

from support.bounds import HANG

LIGHT = " ".join(
    f"-p no:{name}"
    for name in ("schemathesis", "hypothesispytest", "xdist", "xdist.looponfail")
)
"""``PYTEST_ADDOPTS`` of a pytest that a test starts: without what only our own need,
which is more than half of its start."""
OFFLINE = ("--quiet", "--no-index", "--no-deps", "--no-build-isolation")


def site_folders() -> list[str]:
    """Return where this interpreter's packages are."""
    return sorted({sysconfig.get_path(kind) for kind in ("purelib", "platlib")})


class Environment:
    """A fresh environment that borrows every package of the one of the tests."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=False, symlinks=True)
        self.python = folder / "bin" / "python"
        code = "import sysconfig; print(sysconfig.get_path('purelib'))"
        packages = Path(self.run("-c", code).strip())
        # As folders of packages, so that what is installed in editable mode is found.
        (packages / "borrowed.pth").write_text(
            "".join(f"import site; site.addsitedir({p!r})\n" for p in site_folders())
        )

    def install(self, *what: "str | Path") -> None:
        """Install something with pip, offline."""
        command = [sys.executable, "-m", "pip", "--python", self.python, "install"]
        _checked([*command, *OFFLINE, *what], None)

    def run(self, *arguments: "str | Path", cwd: Path | None = None) -> str:
        """Run its interpreter to a good end and return what it printed."""
        return _checked([self.python, *arguments], cwd)


def _checked(command: "Iterable[str | Path]", cwd: Path | None) -> str:
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env={
            **os.environ,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PYTEST_ADDOPTS": LIGHT,
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=5 * HANG,
    )
    assert done.returncode == 0, f"{command} ended so:\n{done.stdout}"
    return done.stdout


# --- for those who are told to install things themselves --------------------------

ROOT = Path(__file__).resolve().parents[2]
BUILT_FROM = (
    *("kernel", "storage", "builtin_tools", "plugins"),
    *("pyproject.toml", "setup.py", "README.md", "LICENSE"),
)


def build_wheel(base: Path) -> None:
    """Build the wheel of dovetail, by way of the source distribution.

    It is in `base / "wheels"`, and the copy of this tree it was built from in
    `base / "source"`. A second call for the same folder begins anew.
    """
    shutil.rmtree(base, ignore_errors=True)
    source, wheels = base / "source", base / "wheels"
    source.mkdir(parents=True)
    for name in BUILT_FROM:
        if (ROOT / name).is_dir():
            left_out = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
            shutil.copytree(ROOT / name, source / name, ignore=left_out)
        else:
            shutil.copy(ROOT / name, source / name)
    build = (sys.executable, "-m", "build", "--no-isolation", "--outdir", wheels)
    _checked([*build, source], base)


def borrow_libraries(folder: Path) -> None:
    """Fill a folder with links to all installed packages but dovetail."""
    folder.mkdir()
    for site in site_folders():
        for path in Path(site).iterdir():
            if "dovetail" not in path.name.lower():
                (folder / path.name).symlink_to(path)


def python_without_pip(folder: Path) -> None:
    """Make a folder of programs whose ``python -m venv`` leaves out pip, for those who
    borrow it: that Python unpacks its own is most of what an environment costs.
    """
    folder.mkdir()
    program = folder / "python"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@" --without-pip\n')
    program.chmod(0o755)


def offline(wheel: Path, libraries: Path) -> dict[str, str]:
    """Return variables with which pip needs no network.

    It finds this wheel of dovetail, and everything else is there already, pip as well:
    in a folder of the path, which is made for it, as if it were installed wherever one
    looks.
    """
    borrow_libraries(libraries)
    return {
        "PYTHONPATH": str(libraries),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheel.parent),
        # Whoever imports a part compiles it; most of them nobody does.
        "PIP_NO_COMPILE": "1",
        # To pip this means: no isolation.
        "PIP_NO_BUILD_ISOLATION": "false",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_CONFIG_FILE": os.devnull,
        "PYTEST_ADDOPTS": LIGHT,
    }
