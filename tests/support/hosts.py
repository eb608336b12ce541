"""Small real runtimes for tests: a store in a file, a scripted model, given tools."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from dovetail.kernel import (
    Place,
    Register,
    RetryPolicy,
    Runtime,
    Session,
    Tool,
    ToolPart,
    hookimpl,
    open_runtime,
)
from dovetail.kernel.testing.scripted import ScriptedProvider
from dovetail.storage.plugin import plugin as sqlite

from .bounds import HANG
from .files import ready


class Tools:
    """A plugin that offers the given tools."""

    def __init__(self, *tools: Tool[Any, Any], name: str = "test-tools") -> None:
        self.name = name
        self.tools = tools

    @hookimpl
    def dovetail_register_tools(
        self, register: Register[Tool[Any, Any]], place: Place
    ) -> None:
        for tool in self.tools:
            register(tool)


@asynccontextmanager
async def host(
    folder: Path,
    provider: ScriptedProvider,
    *tools: Tool[Any, Any],
    plugins: Sequence[object] = (),
    **options: Any,
) -> AsyncIterator[Runtime]:
    """Open a runtime on ``folder/test.db`` with nothing installed and no retries."""
    options.setdefault("retry", RetryPolicy(retries=0))
    options.setdefault("environment", {"DOVETAIL_CONFIG": ""})
    given = [sqlite, provider, *plugins]
    if tools:
        given.append(Tools(*tools))
    async with open_runtime(
        f"sqlite:///{ready(folder / 'test.db')}",
        plugins=given,
        load_entry_points=False,
        **options,
    ) as runtime:
        yield runtime


async def kinds_of(session: Any) -> list[str]:
    """Return the kinds of a session's durable events, in order."""
    return [event.kind async for event in session.events()]


async def said_of_the_call(session: Session) -> str:
    """Return what the session's one call came to, once the session is done."""
    with anyio.fail_after(HANG):
        await session.wait()
    [part] = [
        part
        for message in (await session.messages()).items
        for part in getattr(message, "parts", ())
        if isinstance(part, ToolPart)
    ]
    return part.text
