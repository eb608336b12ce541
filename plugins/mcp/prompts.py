"""Prompts: what servers have to be said, as text.

Owns one short connection to a server for the command line, and its words as a terminal
may show them.
"""

from collections.abc import Mapping

import mcp_types as types
from dovetail.kernel import Place

from .connection import Connection, Surroundings, connect
from .names import clean, one_line
from .settings import Server
from .words import Words, folder_of


def _around(server: Server, place: Place) -> Surroundings:
    folder = folder_of(place.settings.logs)
    return Surroundings(
        str(place.location.path),
        place.environment,
        Words(folder, place.location.directory, server.name),
        lambda: None,
        lambda: place.location.path.as_uri(),
    )


async def listed(server: Server, place: Place) -> str:
    """Return the prompts of a server, a line each, with their arguments."""
    async with connect(server, _around(server, place)) as connection:
        offer = await connection.offer()
    lines = []
    for one in offer.prompts:
        wanted = [
            f"{given.name}=..." if given.required else f"[{given.name}=...]"
            for given in one.arguments or ()
        ]
        about = f": {one_line(one.description)}" if one.description else ""
        lines.append(f"{one_line(' '.join([one.name, *wanted]))}{about}\n")
    return "".join(lines)


async def written(
    server: Server, place: Place, prompt: str, arguments: Mapping[str, str]
) -> str:
    """Return a prompt with its arguments filled in."""
    async with connect(server, _around(server, place)) as connection:
        return await filled(connection, prompt, arguments)


async def filled(
    connection: Connection, prompt: str, arguments: Mapping[str, str]
) -> str:
    """Return what a prompt says, as text, with what is none named.

    Raises:
        MCPError: the server refuses.
    """
    found = await connection.client.get_prompt(prompt, dict(arguments))
    parts = []
    for message in found.messages:
        content = message.content
        if isinstance(content, types.TextContent):
            said = clean(content.text)
        elif isinstance(content, types.EmbeddedResource) and isinstance(
            content.resource, types.TextResourceContents
        ):
            said = f"[{one_line(content.resource.uri)}]\n{clean(content.resource.text)}"
        else:
            said = f"[a content of type {type(content).__name__} is left out]"
        parts.append(said if message.role == "user" else f"(assistant) {said}")
    return "\n\n".join(parts)
