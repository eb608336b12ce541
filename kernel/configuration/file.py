"""The files of configuration: where they are, and their bytes as a TOML document.

Owns what is refused before anything of it means something: what is not a regular file,
not text, not TOML, or made to be slow. Knows no setting.
"""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import platformdirs

from ..values.errors import ConfigurationError

FILE_NAME = "dovetail.toml"
VARIABLE = "DOVETAIL_CONFIG"

MAX_BYTES = 262_144

_ENDLESS_KEY = re.compile(
    r"""(?<![\w"'-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){64}"""
)
"""tomllib takes time that grows with the square of a dotted key's length."""


def user_file(environment: Mapping[str, str]) -> tuple[Path, bool] | None:
    """Return the user's file, and whether it must exist."""
    named = environment.get(VARIABLE)
    if named is None:
        folder = platformdirs.user_config_dir("dovetail", appauthor=False)
        return Path(folder) / FILE_NAME, False
    if not named:
        return None
    if "\0" in named:
        raise ConfigurationError(VARIABLE, "is not a path")
    return Path(os.path.expanduser(named)).absolute(), True


def same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def read(path: Path, *, follow: bool, required: bool) -> dict[str, Any] | None:
    """Return the content of a file, or None where there is none."""
    data = _bytes(path, follow=follow, required=required)
    if data is None:
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigurationError(str(path), f"line {line} is not UTF-8") from None
    # Here, because most Locations have no file.
    import tomllib

    if _ENDLESS_KEY.search(text):
        raise ConfigurationError(str(path), "a dotted key has too many parts")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ConfigurationError(str(path), "it nests too deeply") from None
    except ValueError as error:
        # A number of too many digits is a plain ValueError without a line.
        problem = "a number has too many digits"
        if isinstance(error, tomllib.TOMLDecodeError):
            last = len(text.splitlines()) or 1
            problem = str(error).replace("end of document", f"the end, line {last}")
        raise ConfigurationError(str(path), f"it is not TOML: {problem}") from None


def _bytes(path: Path, *, follow: bool, required: bool) -> bytes | None:
    # A link, a pipe or a device in somebody's clone must neither be followed nor make
    # the open wait. Windows has neither flag.
    flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
    if not follow:
        flags |= getattr(os, "O_NOFOLLOW", 0)
        if path.is_symlink():
            raise ConfigurationError(str(path), "it must be a file, not a link")
    try:
        descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0))
    except (FileNotFoundError, NotADirectoryError):
        if not required:
            return None
        raise ConfigurationError(
            str(path), f"there is no such file; {VARIABLE} names it"
        ) from None
    except OSError as error:
        problem = error.strerror or type(error).__name__
        raise ConfigurationError(str(path), f"it cannot be read: {problem}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ConfigurationError(str(path), "it must be a regular file")
    with open(descriptor, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ConfigurationError(str(path), f"it is over {MAX_BYTES} bytes")
    return data
