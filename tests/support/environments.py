"""Environments: fresh ones, in which something is installed without a network."""

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterable
from pathlib import Path

OFFLINE = ("--quiet", "--no-index", "--no-deps", "--no-build-isolation")
LIMIT = 120
"""Seconds that bound a hang, and nothing else."""


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
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 0, f"{command} ended so:\n{done.stdout}"
    return done.stdout
