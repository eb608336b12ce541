"""The history of the prompt line: what was typed before, for this person only.

Owns the file: JSON strings, a line each, the newest last, which nobody else may read.
Several conversations may write to it at once; each adds lines and reads them when it
begins. A file that is not ours alone is not used.
"""

import os
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from prompt_toolkit.history import History

from .pastes import typeable

MOST = 1000
"""Lines that are read; of a file with twice as many the older half is dropped."""
MOST_BYTES = 4 * 1_048_576
MOST_LINE = 20_000
"""Characters: what is longer was pasted, and is not kept."""

_FLAGS = os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)


def history_path() -> Path:
    """Return where the history of this person is."""
    from platformdirs import user_state_path

    return user_state_path("dovetail", appauthor=False) / "prompts"


class PromptHistory(History):
    """What was typed, the newest first. Nothing that fails here disturbs anybody."""

    def __init__(self, where: Callable[[], Path]) -> None:
        super().__init__()
        self._where = where

    @cached_property
    def _path(self) -> Path:
        # Not before it is wanted: to know it takes longer than to draw a prompt line.
        return self._where()

    def load_history_strings(self) -> Iterable[str]:
        """Return what was typed before."""
        return reversed(self._read())

    def store_string(self, string: str) -> None:
        """Keep what was typed."""
        # Here, as below, because the prompt line is drawn without it.
        import json

        if len(string) > MOST_LINE:
            return
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Not waiting for whoever reads a pipe that stands in its place.
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | _FLAGS
            fd = os.open(self._path, flags, 0o600)
            with open(fd, "w", encoding="ascii") as file:
                if self._is_private(fd):
                    file.write(json.dumps(string) + "\n")

    def _read(self) -> list[str]:
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | _FLAGS)
        except OSError:
            return []
        if not self._is_private(fd):
            os.close(fd)
            return []
        with open(fd, "rb") as file:
            size = os.fstat(fd).st_size
            file.seek(max(size - MOST_BYTES, 0))
            lines = file.read(MOST_BYTES).split(b"\n")
        import json

        found = []
        for line in lines[1:] if size > MOST_BYTES else lines:
            # A line that was cut when a disk was full is none, and neither is rubbish.
            with suppress(ValueError, RecursionError):
                text = json.loads(line)
                if isinstance(text, str):
                    found.append(typeable(text))
        if len(found) > 2 * MOST:
            self._shorten(found[-MOST:])
        return found[-MOST:]

    def _shorten(self, kept: list[str]) -> None:
        import json

        beside = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        with suppress(OSError):
            fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600)
            with open(fd, "w", encoding="ascii") as file:
                file.writelines(json.dumps(text) + "\n" for text in kept)
            os.replace(beside, self._path)

    @staticmethod
    def _is_private(fd: int) -> bool:
        found = os.fstat(fd)
        return (
            stat.S_ISREG(found.st_mode)
            and found.st_uid == os.getuid()
            and not found.st_mode & 0o077
        )
