"""Entrance: the servers of one Location before anybody needs them.

Owns that the package of the protocol, which takes a second and far more on a slow
machine, is loaded with the first need of a server and in a thread: neither the opening
of a Location nor a Step without need of a server waits for it. What the servers do, and
what they offer, is ``servers``'. Loads nothing itself.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup
from dovetail.kernel import (
    Contribution,
    PromptCommand,
    PromptFile,
    PromptSource,
    RuleEffect,
    Tool,
)

from .faults import error_text

if TYPE_CHECKING:
    from .servers import Kept, Servers

logger = logging.getLogger(__name__)

LIST_SECONDS = 15.0
"""How long whoever lists what people may say waits for servers that are begun."""

Register = Callable[[Tool[Any, Any]], Contribution | None]


class Entrance:
    """The servers of one Location. To be entered; everything ends when it is left.

    ``make`` loads what is needed and returns them; it is called in a thread, once.
    """

    def __init__(
        self,
        names: Sequence[str],
        make: Callable[[], "Servers"],
        wait: float,
        once: float,
    ) -> None:
        self.names = tuple(names)
        """What they are called, in order."""
        self.problem = ""
        """Why none of them can be there."""
        self._make = make
        self._wait = wait
        self._once = once
        self._servers: Servers | None = None
        self._loaded = anyio.Event()
        self._begun = False
        self._first = True
        self._awaited = False
        self._register: Register | None = None
        self._tasks: TaskGroup | None = None

    @property
    def kept(self) -> "Mapping[str, Kept]":
        """The servers by name; none before they are needed."""
        return {} if self._servers is None else self._servers.kept

    async def __aenter__(self) -> "Entrance":
        self._tasks = await anyio.create_task_group().__aenter__()
        return self

    async def __aexit__(self, *raised: Any) -> Any:
        assert self._tasks is not None
        self._tasks.cancel_scope.cancel()
        return await self._tasks.__aexit__(*raised)

    def offer_to(self, register: Register) -> None:
        """Offer what there is, and what comes, here."""
        self._register = register
        if self._servers is not None:
            self._servers.offer_to(register)

    def begin(self) -> None:
        """Begin all that were not begun yet."""
        if not self._begun and self._tasks is not None:
            self._begun = True
            self._tasks.start_soon(self._run)

    async def settled(self) -> None:
        """Begin them, and return when each is there or has failed, however long that
        takes."""
        self.begin()
        await self._loaded.wait()
        if self._servers is not None:
            await self._servers.settled()

    async def ready(self) -> None:
        """Begin them, and return when each is there or has failed, or when the time
        that a first Step waits is over. Later nobody waits."""
        self.begin()
        if self._first:
            with anyio.move_on_after(self._wait):
                await self.settled()
            self._first = False

    async def ready_once(self) -> float | None:
        """Begin them, and return None when each is there or has failed; or when the
        time that a single prompt waits is over, and then how many seconds it is.
        Whoever calls this tells who is not there."""
        self._await(True)
        told = False
        try:
            with anyio.move_on_after(self._once) as waiting:
                await self.settled()
            told = True
        finally:
            self._await(False)
            for name, one in self.kept.items():
                if not told and one.keeper.problem:
                    # Whoever waited is gone, and tells nobody.
                    logger.warning("MCP server %r: %s", name, one.keeper.problem)
        self._first = False
        return self._once if waiting.cancelled_caught else None

    def _await(self, awaited: bool) -> None:
        self._awaited = awaited
        for one in self.kept.values():
            one.keeper.awaited = awaited

    async def _run(self) -> None:
        try:
            # Whoever leaves does not wait for it.
            self._servers = await to_thread.run_sync(self._make, abandon_on_cancel=True)
        except Exception as error:
            # Boundary: what is installed wrongly ends nothing but the servers.
            self.problem = f"what speaks to it is not there: {error_text(error)}"
            logger.exception("MCP servers cannot be begun")
            self._loaded.set()
            return
        self._await(self._awaited)
        if self._register is not None:
            self._servers.offer_to(self._register)
        async with self._servers:
            self._servers.begin()
            self._loaded.set()
            await anyio.sleep_forever()

    # --- what people may say -------------------------------------------------------

    def prompt_source(
        self, effect: Callable[[str, str], RuleEffect], key: str
    ) -> PromptSource:
        """Return the source of the commands and attachments of servers. Whoever lists
        or names one begins them."""

        async def source() -> PromptSource | None:
            self.begin()
            await self._loaded.wait()
            if self._servers is None:
                return None
            from .mentions import prompt_source

            return prompt_source(self._servers, effect, key)

        async def commands() -> Sequence[PromptCommand]:
            with anyio.move_on_after(LIST_SECONDS):
                await self.settled()
            if self._servers is None:
                return ()
            made = await source()
            if made is None:
                return ()
            return await made.commands()

        async def find(name: str) -> PromptCommand | None:
            made = await source() if self._knows(name) else None
            if made is None or made.find is None:
                return None
            return await made.find(name)

        async def attach(name: str) -> Sequence[PromptFile] | None:
            made = await source() if self._knows(name) else None
            if made is None or made.attach is None:
                return None
            return await made.attach(name)

        return PromptSource(key, commands, find, attach)

    def _knows(self, name: str) -> bool:
        server, _, rest = name.partition(":")
        return bool(rest) and server in self.names
