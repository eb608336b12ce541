"""The sample project: a tiny package with a bug and a test that finds it.

Owns writing it out. It is kept as templates, so that nothing takes it for code of
ours: the name of each ends in ``.txt``, which is left off.
"""

import shlex
import shutil
import sys
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path


def copy_sample(target: Path) -> None:
    """Write the sample project into a folder, which is made when it is not there.

    Raises:
        FileExistsError: the folder has something in it; nothing was written.
    """
    target.mkdir(parents=True, exist_ok=True)
    if any(target.iterdir()):
        raise FileExistsError(f"{target} is not empty")
    _copy(files(__package__) / "sample_project", target)


def _copy(source: Traversable, target: Path) -> None:
    for entry in source.iterdir():
        if entry.is_dir():
            folder = target / entry.name
            folder.mkdir()
            _copy(entry, folder)
        elif entry.name.endswith(".txt"):
            text = entry.read_text(encoding="utf-8")
            path = target / entry.name.removesuffix(".txt")
            path.write_text(text, encoding="utf-8", newline="\n")


def sample_command() -> str:
    """Return the command that runs the sample's tests, with a Python that exists.

    ``-B``, because a change within the second of the last one, of equal length, would
    otherwise be hidden by the byte code of before.
    """
    found = shutil.which("python")
    python = "python" if found and _is_ours(found) else shlex.quote(sys.executable)
    return f"{python} -B -m unittest"


def _is_ours(path: str) -> bool:
    # Not resolved: the python of a virtual environment is a link to another.
    return Path(path).absolute() == Path(sys.executable).absolute()


def sample_prompt() -> str:
    """Return what to prompt for in a copy of the sample."""
    return f"Fix the failing test. Run the tests with `{sample_command()}`."
