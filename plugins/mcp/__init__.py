"""The plugin ``mcp``: servers of the Model Context Protocol, and dovetail as one.

Servers are named by ``[mcp.NAME]`` in ``dovetail.toml``, by ``.mcp.json`` of a trusted
checkout, and by code (``McpPlugin``). Their tools are offered beside all others, and
keep to the same laws. Needs the extra ``mcp``; the protocol's package is imported when
a server is begun and not before.
"""

from .plugin import McpPlugin as McpPlugin, plugin as plugin
from .settings import McpSettings as McpSettings

__all__ = ["McpPlugin", "McpSettings", "plugin"]
