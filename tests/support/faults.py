"""What faulty plugins have in common: what they leave behind, for a while."""

import asyncio
import os
import subprocess
import threading
from contextlib import ExitStack

import anyio
import trio
from attrs import define, field
from sniffio import current_async_library


@define(eq=False)
class LeftOpen:
    """What nobody closes before the test ends."""

    _left: ExitStack = field(factory=ExitStack)

    def one_more(self) -> None:
        """Leave a file open."""
        self._left.enter_context(open(os.devnull, "rb"))  # noqa: SIM115 - left open

    def a_thread(self) -> None:
        """Leave a thread running."""
        over = threading.Event()
        thread = threading.Thread(target=over.wait, daemon=True)
        thread.start()
        self._left.callback(thread.join)
        self._left.callback(over.set)

    def a_process(self) -> None:
        """Leave a process running."""
        process = self._left.enter_context(subprocess.Popen(["sleep", "60"]))
        self._left.callback(process.kill)

    def close(self) -> None:
        self._left.close()


LEFT_OPEN = LeftOpen()


async def leave_a_task() -> None:
    """Leave a task running, outside of every scope."""
    if current_async_library() == "trio":
        trio.lowlevel.spawn_system_task(trio.sleep_forever)
    else:
        asyncio.get_running_loop().create_task(asyncio.sleep(60))


async def swallow() -> None:
    """Wait a moment, and take a cancellation for nothing."""
    try:
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
    except anyio.get_cancelled_exc_class():
        return
