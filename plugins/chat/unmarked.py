"""The unmarked paste: a text pasted into a terminal which does not say so.

Owns how it is told from typing (nobody types so much at once), what came of it so far,
and when it is over. Knows nothing of what becomes of it.
"""

import asyncio
from collections.abc import Callable
from itertools import takewhile

from prompt_toolkit.application import Application
from prompt_toolkit.application.current import set_app
from prompt_toolkit.key_binding import KeyPressEvent
from prompt_toolkit.key_binding.key_processor import KeyPress

PASTED_KEYS = 16
"""Keys that come at once after Enter where a text was pasted."""
PASTED_SECONDS = 0.1
"""How long a paste may rest before it is over."""


class UnmarkedPaste:
    """Gathers one such text at a time."""

    def __init__(self, taken: Callable[[str], None]) -> None:
        self._taken = taken
        """Is given each text when no more of it comes."""
        self._text = ""
        self._ending: asyncio.TimerHandle | None = None

    def takes(self, event: KeyPressEvent) -> bool:
        """Return whether a key is part of a paste, which takes it and those behind it
        that are, too."""
        keys = event.app.key_processor.input_queue
        if len(event.key_sequence) > 1:
            # Alt and Enter, which nobody pastes.
            return False
        if not self._text:
            ahead = "".join(key.data for key in takewhile(_is_text, keys))
            if len((event.data + ahead).partition("\r")[2]) < PASTED_KEYS:
                return False
        parts = [event.data]
        while keys and _is_text(keys[0]):
            parts.append(keys.popleft().data)
        self._text += "".join(parts)
        if self._ending is not None:
            self._ending.cancel()
        loop = asyncio.get_running_loop()
        self._ending = loop.call_later(PASTED_SECONDS, self._end, event.app)
        return True

    def _end(self, app: Application[None]) -> None:
        text, self._text, self._ending = self._text, "", None
        with set_app(app):
            self._taken(text)
        app.invalidate()


def _is_text(key: KeyPress) -> bool:
    """Return whether a key stands for itself."""
    data = key.data
    return len(data) == 1 and (data.isprintable() or data in "\r\n\t")
