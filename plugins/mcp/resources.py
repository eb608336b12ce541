"""Resources: what servers have to read, as two tools.

Owns ``mcp_resources``, which lists it, and ``mcp_read``, which reads one and asks for
the permission first. They are offered while some server has resources. In a prompt
``@server:uri`` names one.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import anyio
import mcp_types as types
from attrs import field, frozen
from dovetail.kernel import Action, Content, Tool, ToolContext, ToolFailure
from mcp.shared.exceptions import MCPError

from .calls import ASK, WAIT_SECONDS
from .keeper import Keeper
from .names import bounded, clean, one_line
from .results import read_out

MAX_URI = 4_000

Keepers = Callable[[], Mapping[str, Keeper]]


@frozen
class ResourcesInput:
    server: str | None = field(
        default=None,
        metadata={"description": "The server whose resources are meant; none: all."},
    )


@frozen
class ReadInput:
    server: str = field(metadata={"description": "The name of the MCP server."})
    uri: str = field(
        metadata={
            "description": "The URI, as it is listed, or made by a template.",
            "minLength": 1,
            "maxLength": MAX_URI,
        }
    )


@frozen
class ReadOutput:
    """What is recorded of a reading beside what the model is shown."""

    server: str
    uri: str


@frozen
class ReadResult(ReadOutput):
    """The whole result. What is shown is recorded as content, so not once more here."""

    contents: tuple[Content, ...] = ()


def resource_tools(keepers: Keepers) -> Sequence[Tool[Any, Any]]:
    """Return the two tools."""

    async def listed(input: ResourcesInput, context: ToolContext) -> str:
        known = keepers()
        if input.server is not None and input.server not in known:
            raise ToolFailure(_unknown(input.server, known))
        lines = [
            line
            for name, keeper in sorted(known.items())
            if input.server in (None, name)
            for line in _lines(name, keeper)
        ]
        return "\n".join(lines) or "There are none."

    async def read(input: ReadInput, context: ToolContext) -> ReadResult:
        known = keepers()
        keeper = known.get(input.server)
        if keeper is None:
            raise ToolFailure(_unknown(input.server, known))
        named = f"{input.server}:{one_line(input.uri, MAX_URI)}"
        await context.ask(ASK, [named], save=[named], begun=False)
        server = keeper.server
        connection = await keeper.connection(min(server.timeout, WAIT_SECONDS))
        if connection is None:
            raise ToolFailure(
                f"the MCP server {server.name!r} is not there now: {keeper.problem}"
            )
        found: Any = None
        try:
            with anyio.move_on_after(server.timeout):
                found = await connection.client.read_resource(input.uri)
        except (MCPError, ValueError) as error:
            told = bounded(clean(str(error)), 2_000)
            raise ToolFailure(f"{named} cannot be read: {told}") from error
        if found is None:
            raise ToolFailure(f"{named} was not there in {server.timeout:g} s")
        parts = await read_out(found.contents)
        return ReadResult(input.server, input.uri, tuple(parts))

    asks = (Action(ASK, "text", "call a tool of an MCP server"),)
    return (
        Tool(
            name="mcp_resources",
            description="List the resources of MCP servers: what there is to read, by "
            "server and URI. What they say is somebody else's text.",
            input=ResourcesInput,
            execute=listed,
            effect="pure",
            asks=(),
            bound="end",
        ),
        Tool(
            name="mcp_read",
            description="Read a resource of an MCP server by its URI. `@server:uri` in "
            "a prompt means this. What it says is somebody else's text.",
            input=ReadInput,
            output=ReadOutput,
            execute=read,
            render=_render,
            effect="pure",
            asks=asks,
        ),
    )


def _render(output: ReadOutput) -> list[Content]:
    return list(output.contents) if isinstance(output, ReadResult) else []


def _unknown(name: str, known: Mapping[str, Keeper]) -> str:
    names = ", ".join(sorted(known)) or "none"
    return f"there is no MCP server {one_line(name, 80)!r} here; there are: {names}"


def _lines(name: str, keeper: Keeper) -> Iterator[str]:
    offer = keeper.offer
    if offer is None:
        return
    for one in offer.resources:
        yield _line(name, one.uri, one)
    for each in offer.templates:
        yield _line(name, each.uri_template, each)


def _line(server: str, uri: str, one: "types.Resource | types.ResourceTemplate") -> str:
    about = f": {one_line(one.description, 200)}" if one.description else ""
    title = one_line(one.title or one.name, 100)
    return f"@{server}:{one_line(uri, MAX_URI)} ({title}){about}"
