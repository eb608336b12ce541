"""Which protocol each configured provider speaks, as the plugins here tell.

Owns the call of the hook that names protocols. How names become an assignment is
``models.protocols``'.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ..contracts import ProviderProtocol
from ..lifecycle.guests import called
from ..models.protocols import assigned
from ..values.errors import PluginError
from ..values.tool import Json
from .object import Plugin
from .set import PluginSet

logger = logging.getLogger(__name__)

PROTOCOLS = "dovetail_register_protocols"


async def ask_protocols(
    known: PluginSet,
    plugins: Sequence[Plugin],
    providers: Mapping[str, Mapping[str, Json]],
    directory: str,
) -> tuple[Mapping[str, str], Mapping[str, ProviderProtocol]]:
    """Return the protocol of each provider, having asked the plugins for theirs, and
    all protocols by name."""
    offered: list[ProviderProtocol] = []
    for plugin in plugins:
        if PROTOCOLS not in plugin.hooks or plugin.state != "loaded":
            continue

        def tell(problem: str, plugin: Plugin = plugin) -> None:
            known.record(
                PluginError(plugin.name, problem, hook=PROTOCOLS, location=directory),
                plugin,
            )

        def register(item: Any, tell: Callable[[str], None] = tell) -> None:
            if isinstance(item, ProviderProtocol):
                offered.append(item)
                return
            tell(f"it registered a {type(item).__name__} as a protocol")

        try:
            await called(
                partial(known.call, plugin, PROTOCOLS, register=register), tell
            )
        except PluginError as error:
            # It is recorded; what was offered before it counts.
            logger.warning("%s", error)
    protocols, problems = assigned(offered, providers)
    for problem in problems:
        logger.warning("at %s: %s", directory, problem)
    return protocols, {one.name: one for one in offered}
