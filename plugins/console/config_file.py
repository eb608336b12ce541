"""The person's file of configuration: where it is, and one value of it set.

Owns that it is replaced whole by one that was checked: whoever reads at the same time,
or after a crash, finds the old one or the new one, and never one that does not hold.
"""

import contextlib
import os
import stat
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dovetail.kernel import Configuration, ConfigurationError

from .toml_edit import NotEditableError, set_value

VARIABLE = "DOVETAIL_CONFIG"
FILE_NAME = "dovetail.toml"
LOCK_SECONDS = 10.0
"""How long another writer is waited for."""


def user_path(environment: Mapping[str, str]) -> Path | None:
    """Return the person's file, which need not be there; None: the environment says
    that there is none."""
    named = environment.get(VARIABLE)
    if named is not None:
        return Path(os.path.expanduser(named)).absolute() if named else None
    import platformdirs

    return Path(platformdirs.user_config_dir("dovetail", appauthor=False)) / FILE_NAME


def has_setting(environment: Mapping[str, str], path: Sequence[str]) -> bool:
    """Return whether the person's file says something of this."""
    file = user_path(environment)
    try:
        found: Any = {} if file is None else tomllib.loads(file.read_text("utf-8-sig"))
    except (OSError, ValueError):
        return False
    for name in path:
        if not isinstance(found, dict) or name not in found:
            return False
        found = found[name]
    return True


def set_setting(
    environment: Mapping[str, str], path: Sequence[str], value: object
) -> Path:
    """Set one value of the person's file, or take it out with None; return the file.

    Raises:
        ConfigurationError: there is no such file to be, it cannot be written, it would
            not hold any more, or the value cannot be edited by itself.
    """
    file = user_path(environment)
    if file is None:
        raise ConfigurationError(VARIABLE, "is empty: there is no file to write to")
    # A link to a file of one's own stays one.
    target = Path(os.path.realpath(file))
    # Here, because it is written by people alone.
    from filelock import FileLock, Timeout

    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(target.with_suffix(".lock"), timeout=LOCK_SECONDS):
            _set(environment, file, target, path, value)
    except Timeout:
        problem = "another process writes it; try again"
        raise ConfigurationError(str(file), problem) from None
    except OSError as error:
        problem = error.strerror or type(error).__name__
        raise ConfigurationError(
            str(file), f"it cannot be written: {problem}"
        ) from error
    return file


def _set(
    environment: Mapping[str, str],
    file: Path,
    target: Path,
    path: Sequence[str],
    value: object,
) -> None:
    try:
        before = target.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        before = ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(str(file), f"it cannot be read: {error}") from error
    try:
        after = set_value(before, path, value)
    except NotEditableError as error:
        raise ConfigurationError(str(file), str(error)) from None
    _replace(environment, file, target, after)


def _replace(
    environment: Mapping[str, str], file: Path, target: Path, text: str
) -> None:
    descriptor, made = tempfile.mkstemp(prefix=".dovetail-", dir=target.parent)
    try:
        with open(descriptor, "wb") as out:
            out.write(text.encode())
            out.flush()
            os.fsync(out.fileno())
        if target.exists():
            os.chmod(made, stat.S_IMODE(target.stat().st_mode))
        try:
            Configuration.load(None, {**environment, VARIABLE: made})
        except ConfigurationError as error:
            # What is wrong is told of the file itself, not of this one.
            told = error.rule.replace(made, str(file))
            raise ConfigurationError(str(file), f"it stays as it was: {told}") from None
        os.replace(made, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(made)
        raise
