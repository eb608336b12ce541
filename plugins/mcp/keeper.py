"""Keeper: one server for as long as its Location is open, however often it ends.

Owns when it is begun, what is said of it while it is not there, and when it is begun
again: at once at first, then after longer and longer. What it offers is read whole each
time it says that something changed. What is done with an offer is ``servers``'.
"""

import logging
from collections.abc import Callable
from typing import Literal

import anyio
import mcp_types as types
from dovetail.kernel import first_of
from mcp.shared.exceptions import MCPError

from .connection import Connection, Offer, Surroundings, connect
from .faults import error_text
from .names import one_line
from .settings import Server

logger = logging.getLogger(__name__)

START_SECONDS = 60.0
"""How long a server may take until it says what it offers: some are downloaded."""
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 60.0
STEADY_SECONDS = 30.0
"""Whoever was there for so long is begun again at once."""
GIVEN_UP = 3
"""Failures in a row after which what it offered is taken back."""
CALM_SECONDS = 0.2
"""Pause between two readings of its lists, doubled while they change on and on."""

State = Literal["waiting", "starting", "ready", "failed", "login"]


class Keeper:
    """Keeps one server there."""

    def __init__(
        self,
        server: Server,
        around: Surroundings,
        publish: Callable[[Offer | None], None],
        pause: float = FIRST_PAUSE,
    ) -> None:
        self.server = server
        self.state: State = "waiting"
        self.problem = ""
        """Why it is not there, with its last words."""
        self.offer: Offer | None = None
        """What it offered last."""
        self.settled = anyio.Event()
        """Set once it was there, or failed, for the first time."""
        self.awaited = False
        """Whether somebody waits for it who tells a person why it is not there."""
        self.begun = 0
        """How often it was begun."""
        self._around = around
        self._publish = publish
        self._pause = pause
        self._connection: Connection | None = None
        self._moved = anyio.Event()
        self._wanted = anyio.Event()

    async def run(self) -> None:
        """Keep it there until this is cancelled."""
        failures = 0
        while True:
            self._to("starting", self.problem)
            began = anyio.current_time()
            self.begun += 1
            try:
                await self._once()
                why = "it ended"
            except Exception as error:
                # Boundary: whatever a server does, it is the only one that ends.
                why = _reason(error)
            steady = anyio.current_time() - began > STEADY_SECONDS
            failures = 1 if steady else failures + 1
            self._failed(why)
            if failures >= GIVEN_UP:
                self.offer = None
                self._publish(None)
            await self._rest(failures)

    async def connection(self, seconds: float) -> Connection | None:
        """Return the connection once there is one; None when there is none in time."""
        with anyio.move_on_after(seconds):
            while self._connection is None:
                # Whoever needs it need not wait for the end of a pause.
                self._wanted.set()
                await self._moved.wait()
        return self._connection

    async def another(self, old: Connection, seconds: float) -> Connection | None:
        """Return the connection that takes the place of one that is closed."""
        with anyio.move_on_after(seconds):
            while self._connection is None or self._connection is old:
                self._wanted.set()
                await self._moved.wait()
            return self._connection
        return None

    async def lost(self, seconds: float) -> None:
        """Return once it is known that the connection of before is lost, and why."""
        with anyio.move_on_after(seconds):
            while self.state == "ready":
                await self._moved.wait()

    async def _once(self) -> None:
        self._around.words.begin()
        with anyio.CancelScope() as starting:
            starting.deadline = anyio.current_time() + START_SECONDS
            async with connect(self.server, self._around) as connection:
                pause = CALM_SECONDS
                while not connection.closed.is_set():
                    # Before it is read: what changes meanwhile is read again.
                    connection.changed = anyio.Event()
                    offer = await connection.offer()
                    starting.deadline = float("inf")
                    changed = offer != self.offer
                    self._ready(connection, offer)
                    await _either(connection.closed, connection.changed)
                    pause = min(pause * 2, 30.0) if changed else CALM_SECONDS
                    with anyio.move_on_after(pause):
                        await connection.closed.wait()
                ended = await connection.end()
                raise ConnectionError(f"it ended ({ended})" if ended else "it ended")
        if starting.cancelled_caught:
            raise TimeoutError(f"it did not say what it offers in {START_SECONDS:g} s")

    def _ready(self, connection: Connection, offer: Offer) -> None:
        self.offer = offer
        self._connection = connection
        self._publish(offer)
        self._to("ready", "")

    def _failed(self, why: str) -> None:
        hide = self.server.redactor()
        why, last = hide(why), hide(self._around.words.last())
        said = f"; its last words: {one_line(last, 400)}" if last else ""
        self._connection = None
        self._around.words.note(f"failed: {one_line(why, 500)}")
        login = "login" in why and "dovetail mcp login" in why
        self._to("login" if login else "failed", f"{one_line(why, 400)}{said}")
        # A person is told once.
        level = logging.INFO if self.awaited else logging.WARNING
        logger.log(level, "MCP server %r: %s", self.server.name, self.problem)

    def _to(self, state: State, problem: str) -> None:
        self.state, self.problem = state, problem
        if state in ("ready", "failed", "login"):
            self.settled.set()
        moved, self._moved = self._moved, anyio.Event()
        moved.set()

    async def _rest(self, failures: int) -> None:
        seconds = min(LONGEST_PAUSE, self._pause * 2.0 ** (failures - 1))
        self._wanted = anyio.Event()
        await anyio.sleep(min(seconds, self._pause))
        with anyio.move_on_after(max(0.0, seconds - self._pause)):
            await self._wanted.wait()


async def _either(one: anyio.Event, other: anyio.Event) -> None:
    async with anyio.create_task_group() as tasks:

        async def wait(event: anyio.Event) -> None:
            await event.wait()
            tasks.cancel_scope.cancel()

        tasks.start_soon(wait, one)
        tasks.start_soon(wait, other)


def _reason(error: Exception) -> str:
    found = first_of(error)
    if isinstance(found, FileNotFoundError):
        return f"there is no program or folder {found.filename!r}"
    if isinstance(found, MCPError):
        if found.code == types.CONNECTION_CLOSED:
            return "it ended before it answered"
        return f"it refuses: {found.message}"
    return error_text(found)
