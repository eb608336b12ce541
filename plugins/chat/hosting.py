"""Hosting: the runtime of one conversation, from being opened to being closed.

Owns what is opened beside the prompt line and what is told when it cannot be, and that
warnings go above the rows. Imported in a thread, while the person types.
"""

import logging
import math
import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import anyio
from dovetail.kernel import DATABASE_VARIABLE, ModelNotSelectedError

from ..console.exits import USAGE, foremost
from ..console.first_use import is_attended
from ..console.options import opened, server_url
from ..console.terminal import Style, Terminal, visible
from .commands import COMMANDS
from .early import unsent
from .opening import NO_MODEL
from .plain import PlainRenderer
from .script import Script
from .sheet import Renders, Sheet
from .talk import Talk, Wanted

LEASE_SECONDS = 3
"""How long the next process waits when this one is killed. A person waits for it."""
MOST_OFFERED = 8


async def host(wanted: Mapping[str, Any], screen: Any, *, plain: bool) -> None:
    """Open the runtime and let the person talk, until cancelled."""
    asked = Wanted(**wanted)
    coloured = not plain and not os.environ.get("NO_COLOR")
    style = Style(coloured)
    renderer: Renders
    if plain:
        renderer = PlainRenderer()
    else:
        renderer = await anyio.to_thread.run_sync(_renderer, coloured)
    with _logged(screen, style):
        async with opened(
            asked.db or os.environ.get(DATABASE_VARIABLE) or None,
            new=True,
            # The person sees that it is gone, and may leave.
            patience=math.inf,
            on_permission="ask",
            on_question="ask",
            lease_seconds=LEASE_SECONDS,
        ) as runtime:
            sheet = Sheet(renderer, style, lambda: screen.width)
            script = Script(sheet, tells=plain)
            async with anyio.create_task_group() as tasks:
                talk = Talk(runtime, screen, script, style, asked, COMMANDS, tasks)
                if server_url() is not None:
                    runtime.hear_reach(talk.take_reach)
                screen.attach(talk)
                try:
                    await talk.begin()
                    await anyio.sleep_forever()
                finally:
                    goodbye(talk)


def goodbye(talk: Talk) -> None:
    """Say how to go on, when the conversation ends."""
    for line in talk.typed.unheard():
        talk.show(unsent(line))
    if talk.session is not None:
        server = server_url()
        over = f"--server {shlex.quote(visible(server))} " if server else ""
        again = f"dovetail {over}chat --session {talk.session.id}"
        talk.say(f"{again} goes on with it")


def _renderer(coloured: bool) -> Renders:
    # Here: rich is not needed before something is shown.
    from .rendering import Renderer

    return Renderer(coloured)


def tell(error: BaseException) -> int | None:
    """Tell what kept a conversation from going on; None where others tell it."""
    found = foremost(error)
    if not isinstance(found, ModelNotSelectedError):
        return None
    if server_url() is None and is_attended():
        return NO_MODEL
    terminal = Terminal()
    style = terminal.error_style
    if found.offered:
        offered = ", ".join(map(visible, found.offered[:MOST_OFFERED]))
        how = f"add --model, such as one of {offered}"
    else:
        how = (
            "`dovetail keys set PROVIDER` keeps a key, or set OPENAI_API_KEY, "
            "ANTHROPIC_API_KEY or GEMINI_API_KEY; then add --model provider/name"
        )
    terminal.tell(
        f"{style.bad('error:')} no model is configured; {how} [{found.code}]\n"
        'or write model = "provider/name" in dovetail.toml, in your configuration '
        "folder"
    )
    return USAGE


class _Above(logging.Handler):
    """Tells warnings above the rows, each once."""

    def __init__(self, screen: Any, style: Style) -> None:
        super().__init__(logging.WARNING)
        self._screen = screen
        self._style = style
        self._seen: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        line = visible(f"{record.levelname.lower()}: {record.getMessage()}")
        if line not in self._seen:
            self._seen.add(line)
            self._screen.show(f"{self._style.dim(line)}\n")


@contextmanager
def _logged(screen: Any, style: Style) -> Iterator[None]:
    """Send what is logged above the rows, instead of through them."""
    logger = logging.getLogger("dovetail")
    before = logger.handlers[:]
    logger.handlers[:] = [_Above(screen, style)]
    try:
        yield
    finally:
        logger.handlers[:] = before
