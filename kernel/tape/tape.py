"""The tape: what records the traffic of HTTP clients, and plays it again.

Owns how one is opened, by whoever tests an adapter and by a running program, and how a
client is put onto it. What is on it is ``reel``'s, what goes through it ``traffic``'s.
"""

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from anyio import to_thread

from ..values.errors import ConfigurationError
from .reel import MODES, Reel, TapeMode

if TYPE_CHECKING:
    import httpx

VARIABLE, MODE_VARIABLE = "DOVETAIL_TAPE", "DOVETAIL_TAPE_MODE"
"""What the environment says the path of a tape, and its mode, with."""


class Tape(Reel):
    """Records what HTTP clients ask and are answered, and answers in their place.

    A request is found by its bytes: method, address, body and the chosen headers. One
    that was recorded several times gets its answers in the order in which they were
    recorded; each is given once. Requests that differ may come in any order and at
    once. Any number of clients may use a tape, on asyncio and on trio.

    Of secrets nothing is written: values of headers and of parameters of addresses that
    are called like secrets, what their values are repeated as anywhere, escaped and
    encoded ones too, and those of ``secrets``.
    """

    def over(
        self, transport: "httpx.AsyncBaseTransport | None" = None
    ) -> "httpx.AsyncBaseTransport":
        """Return what an httpx client is to be given as its ``transport``.

        ``transport`` is what asks the network; None: httpx's own, made when it is
        needed. What is returned closes it.
        """
        # Here, because most of whoever knows of tapes never records.
        from .traffic import TapedTransport

        return TapedTransport(self, transport)


@asynccontextmanager
async def open_tape(
    path: "str | os.PathLike[str]",
    mode: TapeMode = "replay",
    *,
    headers: Sequence[str] = ("content-type",),
    secrets: Sequence[str] = (),
    steady: Callable[[bytes], bytes] | None = None,
) -> AsyncIterator[Tape]:
    """Give a tape: ``async with open_tape("tapes/hello.jsonl") as tape``.

    Arguments:
        path: the file.
        mode: ``replay`` answers from the tape and never asks the network; ``missing``
            asks it for what is not on the tape, and adds that; ``anew`` asks it for
            everything, and replaces the tape when the block ends well; ``tap`` asks it
            for everything and adds all of it, also what was left before an answer came.
        headers: the headers of a request that are recorded, and by which it is found.
        secrets: what else must not be recorded, besides what is called like a secret.
        steady: makes what varies from run to run (a date, a folder) the same in a
            request's body, before it is recorded or looked for.

    Raises (on entering):
        TapeError: there is no tape to replay, or it cannot be read.
        TapeDamagedError: the file is no tape.
        InvalidValueError: there is no such mode.
    """
    tape = Tape(path, mode, headers=headers, secrets=secrets, steady=steady)
    await to_thread.run_sync(tape.load)
    yield tape
    await to_thread.run_sync(tape.replace)


async def tape_of(environment: Mapping[str, str]) -> Tape:
    """Return the tape that variables name, opened.

    Raises:
        ConfigurationError: a variable says what cannot be done.
        TapeError: as ``open_tape``.
    """
    named = environment.get(MODE_VARIABLE, "tap")
    mode = next((one for one in MODES if one == named and one != "anew"), None)
    if mode is None:
        # A tape that is recorded anew needs somebody who says that all went well.
        raise ConfigurationError(
            f"environment variable {MODE_VARIABLE}", "it must be tap, missing or replay"
        )
    tape = Tape(environment[VARIABLE], mode)
    await to_thread.run_sync(tape.load)
    return tape
