"""Mentions: what a person may say by the names of servers.

Owns the commands ``/server:prompt``, and ``@server:uri``, which attaches a resource.
What is attached is named as the server's words and bounded; a rule that denies a
resource to models denies it here, too. What is read of either is ``prompts``' and
``results``'.
"""

import base64
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from dovetail.kernel import (
    Content,
    FileContent,
    PromptArgument,
    PromptCommand,
    PromptFile,
    PromptInvalidError,
    PromptSource,
    RuleEffect,
    TextContent,
)
from mcp.shared.exceptions import MCPError
from mcp_types import Prompt

from .calls import ASK, WAIT_SECONDS
from .connection import Connection
from .keeper import Keeper
from .names import bounded, clean, one_line
from .prompts import filled
from .results import read_out
from .servers import Servers

MAX_ATTACHED = 256 * 1024
"""Characters of one resource."""
MAX_URI = 4_000
_OTHER = re.compile(r"[\s/=]+|[^\x21-\U0010ffff]+")


def prompt_source(
    servers: Servers, effect: Callable[[str, str], RuleEffect], key: str
) -> PromptSource:
    """Return the source of the commands and attachments of servers."""

    async def commands() -> Sequence[PromptCommand]:
        return [
            one
            for _, kept in sorted(servers.kept.items())
            for one in _commands(kept.keeper)
        ]

    async def find(name: str) -> PromptCommand | None:
        server, _, prompt = name.partition(":")
        kept = servers.kept.get(server)
        if kept is None or not prompt:
            return None
        await _connected(kept.keeper, "command", f"/{name}")
        for one in _commands(kept.keeper):
            if one.name == name:
                return one
        known = ", ".join(f"/{one.name}" for one in _commands(kept.keeper))
        raise PromptInvalidError(
            "command", f"/{name}", f"the server has {known or 'no prompts'}"
        )

    async def attach(name: str) -> Sequence[PromptFile] | None:
        server, _, uri = name.partition(":")
        kept = servers.kept.get(server)
        if kept is None or not uri:
            return None
        shown = f"@{one_line(name, 200)}"
        if len(uri) > MAX_URI:
            raise PromptInvalidError("attached file", shown, "its name is too long")
        if effect(ASK, name) == "deny":
            raise PromptInvalidError("attached file", shown, f"a rule denies {ASK!r}")
        connection = await _connected(kept.keeper, "attached file", shown)
        try:
            found = await connection.client.read_resource(uri)
        except (MCPError, ValueError) as error:
            told = bounded(clean(str(error)), 2_000)
            raise PromptInvalidError("attached file", shown, told) from error
        parts = await read_out(found.contents)
        return [_file(server, name, parts), *_pictures(name, parts)]

    return PromptSource(key, commands, find, attach)


async def _connected(keeper: Keeper, what: str, name: str) -> Connection:
    connection = await keeper.connection(min(keeper.server.timeout, WAIT_SECONDS))
    if connection is None:
        server = keeper.server.name
        why = keeper.problem or "it is being begun"
        raise PromptInvalidError(
            what, name, f"the MCP server {server!r} is not there now: {why}"
        )
    return connection


def _commands(keeper: Keeper) -> Iterator[PromptCommand]:
    offer = keeper.offer
    seen: set[str] = set()
    for one in () if offer is None else offer.prompts:
        name = f"{keeper.server.name}:{_OTHER.sub('_', clean(one.name))}"[:256]
        if name not in seen:
            seen.add(name)
            yield _command(keeper, name, one)


def _command(keeper: Keeper, name: str, prompt: Prompt) -> PromptCommand:
    own = {_OTHER.sub("_", clean(one.name)): one for one in prompt.arguments or ()}

    async def write(given: Mapping[str, str]) -> str:
        connection = await _connected(keeper, "command", f"/{name}")
        arguments = {own[each].name: value for each, value in given.items()}
        try:
            return await filled(connection, prompt.name, arguments)
        except (MCPError, ValueError) as error:
            told = bounded(clean(str(error)), 2_000)
            raise PromptInvalidError("command", f"/{name}", told) from error

    return PromptCommand(
        name,
        write,
        one_line(prompt.description or prompt.title or "", 400),
        [
            PromptArgument(
                each, one_line(one.description or "", 200), bool(one.required)
            )
            for each, one in own.items()
            if each
        ],
    )


def _file(server: str, name: str, parts: Sequence[Content]) -> PromptFile:
    texts = [one.text for one in parts if isinstance(one, TextContent)]
    head = f"[what the MCP server {server} has of {one_line(name)}: its words]"
    text = bounded("\n".join([head, *texts]), MAX_ATTACHED)
    data = base64.b64encode(text.encode("utf-8", "replace")).decode()
    return PromptFile(one_line(name, 400), "text/plain", data)


def _pictures(name: str, parts: Sequence[Content]) -> Iterator[PromptFile]:
    for one in parts:
        if isinstance(one, FileContent):
            yield PromptFile(one_line(name, 400), one.mime, one.data)
