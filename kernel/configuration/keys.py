"""The file of keys: the keys of providers that the user keeps on this machine.

Owns where it is, who may read it, and how it is written. It is ``keys.toml`` beside the
user's ``dovetail.toml``, or what ``DOVETAIL_KEYS`` names (empty: none)::

    openai = "sk-..."

It is used only while nobody else could have read or written it: a file of the user's
own, with mode 600, in a folder that nobody else writes to. No message made here holds
a line of it.
"""

import contextlib
import os
import re
import stat
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ..values.errors import ConfigurationError
from ..values.frozen import frozen
from .file import user_file

FILE_NAME = "keys.toml"
VARIABLE = "DOVETAIL_KEYS"
MAX_BYTES = 262_144
LOCK_SECONDS = 10.0
"""How long another writer is waited for."""
_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,32766}[\x21-\x7e])?\Z")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


@frozen
class Keys:
    """The user's file of keys, which need not be there."""

    path: Path | None
    """None: the environment says that there is none."""

    @classmethod
    def at(cls, environment: Mapping[str, str]) -> "Keys":
        """Return the file that an environment means.

        Raises:
            ConfigurationError: the variable is not a path.
        """
        named = environment.get(VARIABLE)
        if named is None:
            beside = user_file(environment)
            return cls(beside and beside[0].with_name(FILE_NAME))
        if "\0" in named:
            raise ConfigurationError(VARIABLE, "is not a path")
        return cls(Path(os.path.expanduser(named)).absolute() if named else None)

    def read(self) -> Mapping[str, str]:
        """Return the keys by provider.

        Raises:
            ConfigurationError: it is not a file that only its user could have read and
                written, or cannot be understood.
        """
        data = self._bytes()
        if data is None:
            return {}
        # Here, because most users have no such file.
        import tomllib

        try:
            found = tomllib.loads(data.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            # What a parser says may quote the line.
            raise self._error('it is not TOML of lines like name = "key"') from None
        for name, key in found.items():
            if not _NAME.match(name):
                raise self._error("a name of a provider in it is none")
            if not isinstance(key, str) or not _KEY.match(key.strip()):
                raise self._error(f"the key of {name!r} is not printable ASCII")
        return {name: key.strip() for name, key in found.items()}

    def write(self, provider: str, key: str | None) -> None:
        """Keep a key for a provider in place of the one before; None: keep none.

        The file is replaced whole, by one that nobody else can read: whoever reads at
        the same time, or after a crash, finds the old one or the new one.

        Raises:
            ConfigurationError: the name or the key is none, or the file that is there
                cannot be used.
        """
        if self.path is None:
            raise ConfigurationError(VARIABLE, "is empty: there is no file of keys")
        if not _NAME.match(provider):
            raise ConfigurationError(
                "provider", "its name must be of letters, digits, '.', '_' and '-'"
            )
        if key is not None and not _KEY.match(key):
            raise ConfigurationError("key", "it must be printable ASCII, on one line")
        # A link to a file of one's own stays one.
        target = Path(os.path.realpath(self.path))
        # Here, because it is written by people alone.
        from filelock import FileLock, Timeout

        try:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with FileLock(target.with_suffix(".lock"), timeout=LOCK_SECONDS):
                keys = {**self.read()}
                if key is None:
                    keys.pop(provider, None)
                else:
                    keys[provider] = key
                self._replace(target, keys)
        except Timeout:
            raise self._error("another process writes it; try again") from None
        except OSError as error:
            problem = error.strerror or type(error).__name__
            raise self._error(f"it cannot be written: {problem}") from error

    def _replace(self, target: Path, keys: Mapping[str, str]) -> None:
        lines = [f"{_quoted(name)} = {_quoted(keys[name])}" for name in sorted(keys)]
        data = "\n".join([*lines, ""]).encode()
        # Made for its user alone from the first byte on.
        descriptor, made = tempfile.mkstemp(prefix=".keys-", dir=target.parent)
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(made, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(made)
            raise

    def _bytes(self) -> bytes | None:
        if self.path is None:
            return None
        flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
        try:
            descriptor = os.open(self.path, flags | getattr(os, "O_BINARY", 0))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            problem = error.strerror or type(error).__name__
            raise self._error(f"it cannot be read: {problem}") from error
        with open(descriptor, "rb") as file:
            # Of what was opened, and not of what the name means a moment later.
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise self._error("it must be a regular file")
            if sys.platform != "win32":
                self._check(about)
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise self._error(f"it is over {MAX_BYTES} bytes")
        return data

    def _check(self, about: os.stat_result) -> None:
        assert self.path is not None
        if about.st_uid != os.geteuid():
            raise self._error("it, or what it leads to, belongs to another user")
        if about.st_mode & 0o077:
            mode = stat.S_IMODE(about.st_mode)
            raise self._error(
                f"others may read or write it (mode {mode:o}); make it yours alone: "
                f"chmod 600 {self.path}"
            )
        # Whoever writes to the folder can put another file in its place.
        folder = os.stat(Path(os.path.realpath(self.path)).parent)
        writable = folder.st_mode & 0o022 and not folder.st_mode & stat.S_ISVTX
        if folder.st_uid not in (0, os.geteuid()) or writable:
            raise self._error("others may write to its folder")

    def _error(self, problem: str) -> ConfigurationError:
        return ConfigurationError(str(self.path), problem)


def _quoted(text: str) -> str:
    """Return printable ASCII as a basic string of TOML."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
