"""Servers: those of the Model Context Protocol that an editor hands over.

Owns which of them each Location has. They are offered there by the plugin ``mcp``,
under the same permissions as any other server, to every session of the Location, until
the agent ends.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any

import anyio
from acp import schema as s
from dovetail.kernel import Location, PluginError, Runtime

from ..mcp import McpPlugin
from ..mcp.settings import Server

logger = logging.getLogger(__name__)

PLUGIN = "mcp-editor"
"""What the first plugin of a Location is called that offers them."""
MAX_SERVERS = 64
"""Servers of one Location."""
MAX_NAME = 32
_OTHER = re.compile(r"[^A-Za-z0-9_-]+")


def can_reach() -> bool:
    """Say whether servers can be used at all: they need the extra ``mcp``."""
    return find_spec("mcp") is not None


class HandedOver:
    """The servers that one client handed over."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._known: dict[str, dict[str, dict[str, Server]]] = {}
        """By directory and plugin. Each time that some come, another plugin offers
        them: what another session has from those that run is left alone."""
        self._changing = anyio.Lock()

    async def take(self, location: Location, given: Sequence[Any] | None) -> None:
        """Offer servers in a Location, beside those that were handed over before. What
        cannot be used is said in the log, and keeps no session from beginning."""
        if not given:
            return
        if not can_reach():
            logger.warning(
                "MCP servers are not used: mcp is not installed: "
                'pip install "dovetail[mcp]"'
            )
            return
        async with self._changing:
            known = self._known.setdefault(location.directory, {})
            new = {one.name: one for one in _servers(given)}
            for plugin, held in tuple(known.items()):
                mine = {name: new.pop(name) for name in held if name in new}
                if any(held[name] != one for name, one in mine.items()):
                    await self._offer(location, plugin, {**held, **mine})
            if sum(map(len, known.values())) + len(new) > MAX_SERVERS:
                logger.warning("MCP servers are not used: over %d", MAX_SERVERS)
            elif new:
                name = f"{PLUGIN}-{len(known) + 1}" if known else PLUGIN
                await self._offer(location, name, new)

    async def _offer(
        self, location: Location, name: str, servers: dict[str, Server]
    ) -> None:
        """Have a plugin offer servers, in the place of what it offered before."""
        known = self._known[location.directory]
        plugins = self._runtime.location(location).plugins
        made = McpPlugin(servers, name=name)
        try:
            if name in known:
                await plugins.replace(name, made)
            else:
                await plugins.add(made, name)
        except PluginError as error:
            logger.warning("MCP servers are not used: %s", error)
            return
        known[name] = servers
        opened = made.servers_in(location.directory)
        if opened is not None:
            # Now, while the person writes, and not at the first Step.
            opened.begin()


def _servers(given: Sequence[Any]) -> Iterator[Server]:
    for one in given:
        name = _OTHER.sub("-", one.name).strip("-")
        name = (name if name[:1].isalpha() else f"s-{name}")[:MAX_NAME]
        if isinstance(one, s.McpServerStdio):
            yield Server(
                name,
                command=(one.command, *one.args),
                env={each.name: each.value for each in one.env},
                source="editor",
            )
        elif isinstance(one, s.HttpMcpServer):
            yield Server(
                name,
                url=one.url,
                headers={each.name: each.value for each in one.headers},
                source="editor",
            )
        else:
            logger.warning("MCP server %r is not used: only stdio and HTTP", name)
