"""Words: what a server says on its standard error and in its log messages, kept.

Owns one private file per server and Location, bounded whatever the server writes: when
it is full, it becomes the older of two. Knows no protocol.
"""

import contextlib
import hashlib
import os
from collections import deque
from pathlib import Path
from threading import Lock

import platformdirs
from anyio import to_thread

from .names import clean

MAX_BYTES = 256 * 1024
"""Bytes of one of the two files."""
MAX_LAST = 600
"""Characters of the last words that are told."""


def folder_of(given: str | None) -> Path:
    """Return where the words of all servers are kept."""
    if given:
        return Path(given).expanduser().absolute()
    return platformdirs.user_state_path("dovetail", appauthor=False) / "mcp"


class Words:
    """What one server says. Never raises: words that cannot be kept are no reason to do
    without the server."""

    def __init__(self, folder: Path, directory: str, server: str) -> None:
        mark = hashlib.sha256(directory.encode("utf-8", "surrogateescape")).hexdigest()
        self.path = folder / mark[:16] / f"{server}.log"
        self._size = -1
        self._last = b""
        self._waiting: deque[bytes] = deque()
        self._writing = Lock()

    async def add(self, data: bytes) -> None:
        """Keep some more. It is written in a thread: a disk may take its time, and
        whoever says much waits for it, and nobody else does."""
        self._last = (self._last + data)[-4 * MAX_LAST :]
        self._waiting.append(data[-MAX_BYTES:])
        await to_thread.run_sync(self._write_out)

    def note(self, text: str) -> None:
        """Keep a line of ours between them."""
        self._waiting.append(f"--- {text}\n".encode("utf-8", "replace"))
        self._write_out()

    def begin(self) -> None:
        """Say that what comes is of a server that is begun anew."""
        self._last = b""

    def last(self) -> str:
        """Return the last words, cleaned, on a few lines."""
        text = clean(self._last.decode("utf-8", "replace")).strip()
        lines = [line for line in text.split("\n") if line.strip()][-5:]
        return "\n".join(lines)[-MAX_LAST:]

    def read(self) -> str:
        """Return all that is kept, the older first, as a terminal may show it."""
        found = []
        for path in (self._older, self.path):
            with contextlib.suppress(OSError):
                found.append(path.read_bytes())
        return clean(b"".join(found).decode("utf-8", "replace"))

    @property
    def _older(self) -> Path:
        return self.path.with_suffix(".old")

    def _write_out(self) -> None:
        """Write what waits. Where somebody else is at it, it is theirs: they look again
        once they gave the lock back."""
        while self._waiting and self._writing.acquire(blocking=False):
            try:
                while self._waiting:
                    with contextlib.suppress(OSError):
                        self._write(self._waiting.popleft())
            finally:
                self._writing.release()

    def _write(self, data: bytes) -> None:
        if self._size < 0 or self._size + len(data) > MAX_BYTES:
            self._make_room()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
        with open(os.open(self.path, flags, 0o600), "ab") as file:
            file.write(data)
            self._size = file.tell()

    def _make_room(self) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        size = self.path.stat().st_size if self.path.exists() else 0
        if size + MAX_BYTES // 4 > MAX_BYTES or self._size >= 0:
            os.replace(self.path, self._older)
        self._size = 0
