"""Opening a conversation: the prompt line first, everything else beside it.

Whoever types does not wait for a database: the screen is drawn with as little as can
be imported, and the runtime is imported and opened in the background. So nothing here
knows the kernel, and neither does the screen.
"""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any

NO_MODEL = -1
"""What a conversation comes to that could not begin, because there is no model."""
USAGE = 2
NOTHING: Mapping[str, Any] = {}


def is_terminal() -> bool:
    """Return whether a person sits at standard input and output."""
    return all(
        stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout)
    )


def converse(wanted: Mapping[str, Any] = NOTHING, *, plain: bool = False) -> int:
    """Let a person talk, and return the exit code.

    ``wanted`` is what the command line says: see ``Wanted`` in ``talk``. Raises what
    keeps the conversation from going on, once the screen is gone.
    """
    plain = plain or os.environ.get("TERM") == "dumb"
    code = asyncio.run(_converse(wanted, plain))
    if code != NO_MODEL:
        return code
    # First use: the conversation is over before it began, and begins anew with what
    # the person chooses.
    plugins = __package__.rpartition(".")[0]
    first_use: Any = import_module(f"{plugins}.console.first_use")
    chosen = first_use.first_model()
    if chosen is None:
        return USAGE
    return asyncio.run(_converse({**wanted, "model": chosen}, plain))


async def _converse(wanted: Mapping[str, Any], plain: bool) -> int:
    screen: Any
    if plain:
        from .plain import PlainScreen

        screen = PlainScreen()
    else:
        # What is imported stays: to look for garbage among it takes time for nothing,
        # so it is laid to what is old, where that is done last.
        gc.disable()
        try:
            from .screen import LiveScreen

            gc.freeze()
            gc.unfreeze()
        finally:
            gc.enable()
        screen = LiveScreen(colour=not os.environ.get("NO_COLOR"))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, screen.leave)
    failed: list[Exception] = []

    async def host() -> None:
        try:
            # Once the prompt line is there, which is drawn by this thread.
            await screen.drawn()
            hosting = await asyncio.to_thread(import_module, f"{__package__}.hosting")
            await hosting.host(wanted, screen, plain=plain)
        except Exception as error:
            # Told when the screen is gone, as every command tells it.
            failed.append(error)
            screen.leave()

    hosted = asyncio.create_task(host())
    try:
        await screen.run()
    finally:
        hosted.cancel()
        await asyncio.gather(hosted, return_exceptions=True)
        screen.finish()
    with suppress(OSError):
        sys.stdout.flush()
    if failed:
        hosting: Any = import_module(f"{__package__}.hosting")
        code: int | None = hosting.tell(failed[0])
        if code is None:
            raise failed[0]
        return code
    return 0
