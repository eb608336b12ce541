"""The scrollback: finished text, written once above the rows, which are the terminal's.

Owns what is not written yet. It is gathered for a moment, so that a slow link is not
flooded, and written in parts, so that no key waits for much of it.
"""

import asyncio

from prompt_toolkit.application import Application

GATHERED_SECONDS = 0.03
"""How long finished text is gathered before it is written."""
MOST_AT_ONCE = 200_000
"""Characters that are written between two looks at the keys."""


class Scrollback:
    """Writes above what an application draws, in order."""

    def __init__(self, app: Application[None]) -> None:
        self._app = app
        self._waiting: list[str] = []
        self._added = asyncio.Event()

    def add(self, text: str) -> None:
        """Write a text, rendered; soon."""
        if text:
            self._waiting.append(text)
            self._added.set()

    def take_rest(self) -> str:
        """Return what is not written, which nobody writes then."""
        text, self._waiting = "".join(self._waiting), []
        return text

    async def keep_writing(self) -> None:
        """Write what is added, until cancelled. Whatever is drawn must have been drawn
        once."""
        while True:
            await self._added.wait()
            await asyncio.sleep(GATHERED_SECONDS)
            self._added.clear()
            while self._waiting:
                self._write_some()
                # Keys, and the rows, between one part and the next.
                await asyncio.sleep(0)

    def _write_some(self) -> None:
        """Write what was gathered, but no more than a person's keys can wait for."""
        size = count = 0
        while count < len(self._waiting) and size < MOST_AT_ONCE:
            size += len(self._waiting[count])
            count += 1
        text = "".join(self._waiting[:count])
        del self._waiting[:count]
        # The terminal stays ours meanwhile: were it to edit lines by itself, as the
        # toolkit lets it where others print, it would take the keys of that moment.
        self._app.renderer.erase(leave_alternate_screen=False)
        self._app.output.write_raw(text.replace("\n", "\r\n"))
        self._app.output.flush()
        self._app.invalidate()
