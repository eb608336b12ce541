"""The live screen: finished text above, and a few rows at the bottom that change.

Owns the terminal while a conversation is open: what is held together there, from the
first row that is drawn to the last, how often it is drawn anew, and that it ends when
nobody sits at it any more. What is typed is ``prompt_line``, who hears a key ``keys``,
what is drawn ``rows``, what is written above it ``scrollback``. Knows nothing of
sessions: a ``Talk`` says what is drawn and hears what is typed, and may come later than
the first key.
"""

import asyncio
import signal
import sys
from contextlib import suppress
from typing import Any

from prompt_toolkit.application import Application
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.patch_stdout import patch_stdout

from . import device
from .answering import Answering
from .early import Early
from .keys import Keys
from .prompt_line import PromptLine
from .reflow import ReflowRenderer
from .rows import Rows, style
from .scrollback import Scrollback
from .shown import Talk

REDRAWN_SECONDS = 0.02
"""How long the rows stand at the least, however much happens."""
TICK_SECONDS = 0.12
"""How often the rows are drawn anew while something goes on."""
KEPT_SECONDS = 0.35
"""After which time Esc is a key of its own, and not the beginning of another."""


class LiveScreen:
    """The screen of a terminal that can move its cursor."""

    def __init__(self, *, colour: bool) -> None:
        self._early = Early()
        self._talk: Talk = self._early
        self._drawn = asyncio.Event()
        self._leaving = False
        self._suspended = False
        """Whether this process stopped itself, and draws anew by itself."""
        output = device.opened()
        self._line = PromptLine(self._shown)
        self._answering = Answering(self._shown, self._line)
        self._rows = Rows(self._shown, self._line, self._answering, output)
        keys = Keys(
            self._shown,
            self._line,
            self._answering,
            self._rows,
            leave=self.leave,
            suspend=self._suspend,
        )
        self._app: Application[None] = Application(
            layout=self._rows.layout,
            key_bindings=keys.bindings(),
            style=style(colour=colour),
            color_depth=None if colour else ColorDepth.DEPTH_1_BIT,
            include_default_pygments_style=False,
            full_screen=False,
            mouse_support=False,
            erase_when_done=True,
            refresh_interval=None,
            min_redraw_interval=REDRAWN_SECONDS,
            output=output,
        )
        self._app.renderer = ReflowRenderer(
            self._app.renderer.style, output, full_screen=False
        )
        self._app.after_render += lambda app: self._drawn.set()
        self._app.ttimeoutlen = 0.05
        self._app.timeoutlen = KEPT_SECONDS
        self._scrollback = Scrollback(self._app)

    def _shown(self) -> Talk:
        return self._talk

    # --- for whoever talks --------------------------------------------------------

    @property
    def width(self) -> int:
        """Columns of the terminal."""
        return self._rows.width

    @property
    def height(self) -> int:
        """Rows of the terminal."""
        return self._rows.height

    def attach(self, talk: Talk) -> None:
        """Begin to show a talk, which hears what was typed so far."""
        self._talk = talk
        self._early.hand_over(talk)
        self.changed()

    def show(self, text: str) -> None:
        """Write finished text, rendered, above the rows; soon, and in order."""
        self._scrollback.add(text)

    def changed(self) -> None:
        """Draw the rows anew, soon."""
        self._answering.look()
        self._app.invalidate()

    def hint(self, text: str) -> None:
        """Show a few words on the rows until the next key."""
        self._rows.hint = text
        self._app.invalidate()

    def complete_again(self) -> None:
        """Offer anew how a command that is being typed may go on: there are others."""
        if self._app.is_running:
            self._line.complete_again(self._app)

    def put_back(self, text: str, *, instead: bool = False) -> None:
        """Put a text on the prompt line, before what is there, or ``instead`` of what
        was put back there and nobody changed."""
        self._line.put_back(text, instead=instead)
        self._app.invalidate()

    def ring(self, why: str) -> None:
        """Call a person who looks elsewhere."""
        # What a terminal that knows it shows outside of its window: only our words.
        said = "".join(sign for sign in why if sign.isprintable())[:80]
        self._app.output.write_raw(f"\x07\x1b]9;{said}\x07")
        self._app.output.flush()

    def leave(self) -> None:
        """End ``run``."""
        left, self._leaving = self._leaving, True
        if self._app.is_running and not left:
            self._app.exit()

    # --- from beginning to end ----------------------------------------------------

    async def run(self) -> None:
        """Hold the terminal until the person leaves."""
        self._take_typed_ahead()
        writing = asyncio.ensure_future(self._write())
        ticking = asyncio.ensure_future(self._tick())
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCONT, self._continued)
        loop.set_exception_handler(self._unforeseen)
        try:
            # What somebody prints all the same goes above the rows, and is cleaned.
            with patch_stdout():
                await self._app.run_async(
                    pre_run=self._begun, set_exception_handler=False
                )
        except (EOFError, OSError) as error:
            if not device.is_gone(error):
                raise
        finally:
            loop.set_exception_handler(None)
            loop.remove_signal_handler(signal.SIGCONT)
            writing.cancel()
            ticking.cancel()
            await asyncio.gather(writing, ticking, return_exceptions=True)

    def _take_typed_ahead(self) -> None:
        """Take what was typed before the terminal was ours: a line is a prompt, several
        are put on the prompt line, because they may have been pasted."""
        lines = device.typed_ahead()
        if len(lines) == 1 and lines[0].strip():
            self._early.submit(lines[0], queue=False)
            self._line.remember(lines[0])
        elif lines:
            self._line.put_back("\n".join(lines))

    def _begun(self) -> None:
        if self._leaving:
            self._app.exit()

    async def drawn(self) -> None:
        """Return when the rows were drawn for the first time."""
        await self._drawn.wait()

    async def _write(self) -> None:
        await self.drawn()
        await self._scrollback.keep_writing()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            if self._answering.waits:
                self.changed()
            elif self._talk.busy:
                self._app.invalidate()

    def _suspend(self) -> None:
        self._suspended = True
        self._app.suspend_to_background()

    def _continued(self) -> None:
        """Draw anew where the cursor is: others wrote while this process stood."""
        if not self._suspended:
            self._app.renderer.reset()
            self._app.invalidate()
        self._suspended = False

    def _unforeseen(
        self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]
    ) -> None:
        """Tell what nobody waited for, unless it is that the terminal is gone.

        The toolkit's own handler shows it and waits for Enter: on a terminal that is
        gone that fails, which is shown again, without end.
        """
        if device.is_gone(context.get("exception")):
            self.leave()
        else:
            loop.default_exception_handler(context)

    def finish(self) -> None:
        """Write what is left, when the rows are gone."""
        # Whoever leaves before it is open finds it among what was typed before.
        text = self._scrollback.take_rest() + self._early.unsent()
        with suppress(OSError):
            sys.stdout.write(text)
            sys.stdout.flush()
