"""The skeleton: the files of a new plugin, and how they come to lie in a folder.

Owns what is written and that it is written whole or not at all: beside its place
first, then moved. Knows nothing of which names are good (see ``plugin_name``).
"""

import importlib.metadata
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from dovetail.kernel import PROJECT, InvalidValueError
from packaging.version import Version

from .plugin_name import PluginName

FILES = {
    "pyproject.toml": "pyproject.toml.txt",
    "README.md": "README.md.txt",
    ".gitignore": "gitignore.txt",
    "src/{module}/__init__.py": "plugin.py.txt",
    "src/{module}/py.typed": "py.typed.txt",
    "tests/test_plugin.py": "test_plugin.py.txt",
}
"""What is written, and from which file of ``skeleton_files``."""


def tool_name(name: PluginName) -> str:
    """Return the name of the first tool: not one that another plugin may offer."""
    return f"count_{name.plugin.replace('-', '_')}"


def releases(version: str) -> str:
    """Return the releases that a plugin fits which is made for a version.

    Until 1.0 a minor release may break things, and from then on a major one.
    """
    made_for = Version(version)
    major, minor = made_for.major, made_for.minor
    until = f"0.{minor + 1}" if major == 0 else f"{major + 1}"
    return f">={major}.{minor},<{until}"


def texts(name: PluginName) -> dict[str, str]:
    """Return the text of each file, by its path in the folder."""
    facts = {
        "distribution": name.distribution,
        "module": name.module,
        "plugin": name.plugin,
        "tool": tool_name(name),
        "releases": releases(importlib.metadata.version(PROJECT)),
    }
    origin = files(__package__) / "skeleton_files"
    return {
        path.format(**facts): _filled(
            (origin / template).read_text(encoding="utf-8"), facts
        )
        for path, template in FILES.items()
    }


def _filled(text: str, facts: Mapping[str, str]) -> str:
    return re.sub(r"<<(\w+)>>", lambda found: facts[found[1]], text)


def write_skeleton(name: PluginName, place: str) -> None:
    """Write a new plugin into a folder that is not there yet, or empty.

    All of it is there when this returns; when it raises, nothing is, and the folder is
    as it was.

    Raises:
        InvalidValueError: the folder is not empty or cannot be made where it is.
        OSError: writing failed.
    """
    if not place:
        # Not the current one, which an unset variable would mean.
        raise InvalidValueError("folder", place, "it has no name")
    folder = Path(os.path.realpath(place))
    _check(folder)
    there = folder.exists()
    with _beside(folder if there else folder.parent) as made:
        for path, text in texts(name).items():
            target = made / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8", newline="\n")
        if there:
            _move_into(folder, made)
        else:
            _become(folder, made)


def _check(folder: Path) -> None:
    if not folder.parent.is_dir():
        raise InvalidValueError(
            "folder", str(folder), "the folder that it is to lie in is not there"
        )
    if folder.exists() and not folder.is_dir():
        raise InvalidValueError("folder", str(folder), "it is a file")
    if folder.is_dir() and any(folder.iterdir()):
        raise _not_empty(folder)


def _not_empty(folder: Path) -> InvalidValueError:
    return InvalidValueError(
        "folder", str(folder), "it is not empty; name another one with --into"
    )


@contextmanager
def _beside(place: Path) -> Iterator[Path]:
    """Make a folder to write into, on the file system of where it will be."""
    outer = Path(tempfile.mkdtemp(prefix=".dovetail-new-", dir=place))
    try:
        # mkdtemp lets nobody else in; a new folder is as open as its maker wants.
        made = outer / "package"
        made.mkdir()
        yield made
    finally:
        shutil.rmtree(outer)


def _become(folder: Path, made: Path) -> None:
    try:
        made.rename(folder)
    except OSError as error:
        if folder.exists():
            # Somebody else was quicker.
            raise _not_empty(folder) from error
        raise


def _move_into(folder: Path, made: Path) -> None:
    """Move everything into a folder that is there, which may be the current one."""
    moved: list[Path] = []
    try:
        for one in sorted(made.iterdir()):
            if {*folder.iterdir()} != {made.parent, *moved}:
                raise _not_empty(folder)
            target = folder / one.name
            one.rename(target)
            moved.append(target)
    except BaseException:
        for target in moved:
            target.rename(made / target.name)
        raise
