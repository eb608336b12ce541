"""The plugin ``mcp``: what it hands over, and when its parts are loaded.

A Location without a server costs nothing: neither the package of the protocol nor what
uses it is imported.
"""

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from anyio import to_thread
from dovetail.kernel import (
    AgentProfile,
    Command,
    ConfigurationError,
    ContextSource,
    Json,
    Place,
    PromptSource,
    Register,
    SessionSource,
    Tool,
    hookimpl,
)

from .entrance import Entrance
from .listed import COMMANDS
from .settings import (
    LONGEST_ONCE,
    LONGEST_WAIT,
    McpSettings,
    Server,
    configured,
    of_checkout,
    together,
)
from .source import servers_source

if TYPE_CHECKING:
    from .servers import Servers

logger = logging.getLogger(__name__)


class McpPlugin:
    """Offers the servers that are configured, or those that code names.

    ``servers`` are tables by name, as in ``[mcp.NAME]``, or a Server each. A plugin
    that is given some offers them and no others, under a name of its own, beside the
    one that offers what is configured.
    """

    Settings = McpSettings

    def __init__(
        self,
        servers: Mapping[str, Mapping[str, Json] | Server] | None = None,
        *,
        name: str = "mcp-code",
        transport: Callable[[Server], Any] | None = None,
        pause: float | None = None,
    ) -> None:
        """``transport`` carries messages in place of a process or a network: it returns
        an async context manager of two streams, as the protocol's package has them.
        ``pause`` is the first pause before a server is begun again, in seconds."""
        self.name = "mcp" if servers is None else name
        self._given = servers
        self._transport = transport
        self._pause = pause
        self._open_in: dict[str, Entrance] = {}

    @hookimpl
    def dovetail_register_commands(self, register: Register[Command]) -> None:
        """Hand the command over."""
        if self._given is None:
            register(Command("mcp", COMMANDS["mcp"], _mcp, _problems))

    @hookimpl
    def dovetail_open_location(
        self, place: Place
    ) -> AbstractAsyncContextManager[Entrance | None] | None:
        """Open what keeps the servers; none of them is begun yet."""
        return self._open(place)

    @asynccontextmanager
    async def _open(self, place: Place) -> AsyncIterator[Entrance | None]:
        servers, wrong = await to_thread.run_sync(self.servers_of, place)
        for one in wrong:
            logger.warning("%s", one)
        if not servers:
            yield None
            return
        if not await to_thread.run_sync(find_spec, "mcp"):
            raise ConfigurationError(
                "mcp", "'mcp' is not installed: pip install 'dovetail[mcp]'"
            )
        wait = min(max(place.settings.wait, 0.0), LONGEST_WAIT)
        once = min(max(place.settings.wait_once, 0.0), LONGEST_ONCE)
        names = [one.name for one in servers]
        make = partial(self._made, servers, place)
        async with Entrance(names, make, wait, once) as opened:
            self._open_in[place.location.directory] = opened
            try:
                yield opened
            finally:
                del self._open_in[place.location.directory]

    def servers_in(self, directory: str) -> Entrance | None:
        """Return the servers of a Location that is open, for whoever looks at them or
        waits for them; None where it has none."""
        return self._open_in.get(directory)

    def _made(self, servers: Sequence[Server], place: Place) -> "Servers":
        # Here and not above: it takes a second, and most Locations have no server.
        from . import mentions  # noqa: F401
        from .servers import Servers
        from .words import Words, folder_of

        settings: McpSettings = place.settings
        words = partial(Words, folder_of(settings.logs), place.location.directory)
        return Servers(
            servers, place, words, transport=self._transport, pause=self._pause
        )

    def servers_of(self, place: Place) -> tuple[list[Server], list[str]]:
        """Return the servers of a Location, and what is wrong with others. Looks at
        the disk; call it in a thread."""
        environment = place.environment
        if self._given is not None:
            tables = self._given
            ready = [one for one in tables.values() if isinstance(one, Server)]
            others = {
                name: one for name, one in tables.items() if not isinstance(one, Server)
            }
            by_code, wrong = configured(others, environment, "code")
            found, said = together([*ready, *by_code])
            return found, [*wrong, *said]
        by_file, wrong = configured(place.mcp, environment)
        here: tuple[list[Server], list[str]] = ([], [])
        if place.settings.checkout:
            here = of_checkout(place.location.path, place.trusted, environment)
        found, said = together(by_file, here[0])
        return found, [*wrong, *here[1], *said]

    @hookimpl
    def dovetail_register_tools(
        self, register: "Register[Tool[Any, Any]]", place: Place
    ) -> None:
        """Offer the tools of the servers, as they come."""
        if place.resource is not None:
            place.resource.offer_to(register)

    @hookimpl
    def dovetail_register_context(
        self, register: Register[ContextSource | SessionSource], place: Place
    ) -> None:
        """Offer what the servers say of themselves."""
        if place.resource is not None:
            register(servers_source(place.resource, f"{self.name}/servers"))

    @hookimpl
    def dovetail_register_prompts(
        self, register: Register[PromptSource], place: Place
    ) -> None:
        """Offer the prompts and resources of the servers to people."""
        if place.resource is not None:
            entrance: Entrance = place.resource
            register(entrance.prompt_source(place.effect, f"{self.name}/prompts"))

    @hookimpl
    def dovetail_register_agents(
        self, register: Register[AgentProfile], place: Place
    ) -> None:
        """Offer the agent that answers for a server, where a rule allows that."""
        if place.resource is not None:
            register(
                AgentProfile(
                    "mcp-sampling",
                    "",
                    "Answer what you are asked. It comes from a program.",
                    steps=1,
                    tools=(),
                )
            )


def _mcp() -> Any:
    from .commands import command_of

    return command_of(plugin)


def _problems() -> Sequence[str]:
    from .commands import problems

    return problems(plugin)


plugin = McpPlugin()
