"""The plain screen: lines, one after another, for screen readers and simple terminals.

Nothing moves, nothing is drawn twice, and the terminal's own line editing is used. Owns
standard input and output while a conversation is open. What the live screen does by
keys is done by words here: see ``/help``.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress

import anyio

from .early import Early
from .key_names import DISMISS, INTERRUPTING, LEAVING
from .shown import Question, Talk

MOST_TYPED = 2 * 1_048_576
"""Bytes of one line."""


class PlainRenderer:
    """Lays nothing out: Markdown is shown as it was written."""

    def markdown(self, text: str, width: int) -> str:
        from ..console.terminal import drawable

        return f"{drawable(text)}\n"

    def diff(self, lines: Iterable[str], width: int, most: int) -> str:
        from ..console.terminal import drawable

        shown = [f"  {drawable(line)}\n" for line in lines]
        left = len(shown) - most
        more = f"  {left:,} more lines\n" if left > 0 else ""
        return "".join(shown[:most]) + more


class PlainScreen:
    """A screen that only writes lines and reads lines."""

    width = 1000
    height = 60

    def __init__(self) -> None:
        self._talk: Talk | None = None
        self._early = Early()
        self._left = asyncio.Event()
        self._asked: Question | None = None
        self._prompted = False
        self._hint = ""

    def attach(self, talk: Talk) -> None:
        """Begin to show a talk, which hears what was typed so far."""
        self._talk = talk
        self._early.hand_over(talk)
        self.changed()

    def show(self, text: str) -> None:
        """Write finished text."""
        if text:
            out = f"\n{text}" if self._prompted else text
            self._prompted = False
            sys.stdout.write(out)
            sys.stdout.flush()

    def changed(self) -> None:
        """Say what is waited for, if that is something else than before."""
        talk = self._talk
        if talk is None:
            return
        if talk.asked is not self._asked:
            self._asked = talk.asked
            if self._asked is not None:
                rows = [text for _, text in self._asked.rows()]
                self.show("".join(f"{row}\n" for row in [*rows, self._asked.hint]))
        if not talk.busy and not self._prompted:
            self.show("> ")
            self._prompted = True

    def hint(self, text: str) -> None:
        """Say a few words."""
        self._hint = text
        if text:
            self.show(f"{text}\n")

    def complete_again(self) -> None:
        """Offer nothing: lines are read whole."""

    def put_back(self, text: str, *, instead: bool = False) -> None:
        """Say what was not sent; it is typed again by whoever wants to."""
        if text:
            lines = text.split("\n")[:20]
            self.show("".join(f"not sent: {line}\n" for line in lines))

    def ring(self, why: str) -> None:
        """Call a person who looks elsewhere."""
        sys.stdout.write("\a")
        sys.stdout.flush()

    def leave(self) -> None:
        """End ``run``."""
        self._left.set()

    def finish(self) -> None:
        """Say what nobody heard; what was finished is written already."""
        self.show(self._early.unsent())

    async def drawn(self) -> None:
        """Return at once: there is nothing to draw."""

    async def run(self) -> None:
        """Read lines until the person leaves."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        reading = asyncio.ensure_future(self._read())
        try:
            await self._left.wait()
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading
            if self._prompted:
                self.show("")
                sys.stdout.write("\n")

    def _interrupt(self) -> None:
        talk = self._talk
        if talk is not None and talk.interrupt():
            self.hint(INTERRUPTING)
        elif (talk is not None and talk.stopping) or self._hint == LEAVING:
            self.leave()
        else:
            self.hint(LEAVING)
            self.changed()

    async def _read(self) -> None:
        fd = sys.stdin.fileno()
        typed = b""
        while True:
            await anyio.wait_readable(fd)
            try:
                data = os.read(fd, 65_536)
            except OSError:
                # The terminal is gone.
                data = b""
            if not data:
                self.leave()
                return
            *lines, typed = (typed + data).split(b"\n")
            for line in lines:
                self._take(line.decode(sys.stdin.encoding or "utf-8", "replace"))
            typed = typed[-MOST_TYPED:]

    def _take(self, line: str) -> None:
        self._prompted, self._hint = False, ""
        talk = self._talk
        if talk is None:
            self._early.submit(line, queue=False)
        elif talk.asked is not None:
            asked = talk.asked
            dismissed = line.strip() == DISMISS and asked.press("escape")
            problem = None if dismissed else asked.enter(line)
            if problem is not None:
                self.hint(problem)
        elif line.strip():
            talk.submit(line, queue=False)
        self.changed()
