"""The spinner: a sign at the terminal that something is still going on.

Owns the line that it stands on, which is gone before anything else is written there.
Only a terminal has one; nothing of it ever reaches a file or a pipe.
"""

import os
import sys
import threading
import time
from collections.abc import Mapping
from typing import TextIO

import anyio

SECONDS = 0.1
LATER = 1.0
"""Seconds of silence after which it is shown: most answers begin before that."""
_ROUND = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_PLAIN = "|/-\\"

_lock = threading.Lock()
_drawn: TextIO | None = None
"""The stream that it stands on now: a process has one screen."""


def erase() -> None:
    """Take it off the screen. Called before anything is written to a terminal."""
    global _drawn
    if _drawn is None:
        return
    with _lock:
        stream, _drawn = _drawn, None
        if stream is not None:
            stream.write("\r\x1b[K")
            stream.flush()


def _draw(stream: TextIO, text: str) -> None:
    global _drawn
    with _lock:
        stream.write(f"\r\x1b[K{text}")
        stream.flush()
        _drawn = stream


class Spinner:
    """Shows that something goes on, while nothing else is shown."""

    def __init__(
        self,
        stream: TextIO | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        told = os.environ if environment is None else environment
        self.there = self._stream.isatty() and told.get("TERM") not in ("dumb", None)
        """Whether there is a terminal that has one."""
        encoding = (getattr(self._stream, "encoding", None) or "").lower()
        self._signs = _ROUND if encoding.startswith("utf") else _PLAIN
        self.later = LATER
        """Seconds of silence after which it is shown."""
        self._held = 0
        self._quiet_since = time.monotonic()

    def moved(self, *, at_start: bool) -> None:
        """Say that something was shown; ``at_start``: and a line is free for it."""
        self._quiet_since = time.monotonic() if at_start else float("inf")

    def hold(self) -> None:
        """Show none until ``release``: a person is asked."""
        self._held += 1
        erase()

    def release(self) -> None:
        """Go on after ``hold``."""
        self._held -= 1
        self._quiet_since = time.monotonic()

    async def run(self) -> None:
        """Show it wherever it is quiet, until it is cancelled."""
        if not self.there:
            return
        begun, turn = time.monotonic(), 0
        try:
            while True:
                await anyio.sleep(SECONDS)
                now = time.monotonic()
                if not self._held and now - self._quiet_since >= self.later:
                    sign = self._signs[turn % len(self._signs)]
                    _draw(self._stream, f"{sign} {now - begun:.0f} s")
                    turn += 1
        finally:
            erase()
