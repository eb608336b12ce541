"""The command ``dovetail mcp``."""

import click


@click.group("mcp")
def mcp_command() -> None:
    """Servers of the Model Context Protocol."""
