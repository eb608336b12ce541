"""The plugin ``mcp``: servers of the Model Context Protocol, and dovetail as one.

Servers are named by ``[mcp.NAME]`` in ``dovetail.toml``, by ``.mcp.json`` of a trusted
checkout, and by code (``McpPlugin``). Their tools are offered beside all others, and
keep to the same laws. Needs the extra ``mcp``; the protocol's package is imported when
a server is begun and not before.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .plugin import McpPlugin as McpPlugin
    from .settings import McpSettings as McpSettings

__all__ = ["McpPlugin", "McpSettings"]

_HOMES = {"McpPlugin": ".plugin", "McpSettings": ".settings"}


def __getattr__(name: str) -> Any:
    # On first use: its command is listed without it.
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home, __name__), name)
