"""What deliberately faulty plugins have in common: a file left open, for a while."""

import os
from typing import IO

import anyio
from attrs import define, field


@define(eq=False)
class LeftOpen:
    """Files that nobody closes before the test ends."""

    files: list[IO[bytes]] = field(factory=list)

    def one_more(self) -> None:
        self.files.append(open(os.devnull, "rb"))  # noqa: SIM115 - this is the fault

    def close(self) -> None:
        while self.files:
            self.files.pop().close()


LEFT_OPEN = LeftOpen()


async def swallow() -> None:
    """Wait a moment, and take a cancellation for nothing."""
    try:
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
    except anyio.get_cancelled_exc_class():
        return
