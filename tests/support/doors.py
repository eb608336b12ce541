"""A runtime behind the HTTP door, and a client in front of it, in one process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from attrs import frozen
from dovetail.kernel import Runtime, open_runtime
from dovetail.plugins.client import connect
from dovetail.plugins.http import Admittance, app
from dovetail.plugins.http.door import Door
from dovetail.storage.plugin import plugin as sqlite_plugin

from .asgi import StreamedTransport

MODEL = {"providerID": "scripted", "id": "model"}


@frozen
class Served:
    """What a test holds of it."""

    http: httpx.AsyncClient
    runtime: Runtime
    door: Door
    transport: StreamedTransport

    async def ask(
        self, method: str, path: str, status: int = 200, **options: Any
    ) -> Any:
        """Ask, and return what was answered with this status."""
        answer = await self.http.request(method, f"/api/{path}", **options)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None


@asynccontextmanager
async def served(
    *plugins: object,
    location: object = ".",
    url: str = "sqlite://",
    admittance: Admittance | None = None,
    base: str = "http://localhost:4096",
    **options: Any,
) -> AsyncIterator[Served]:
    """Open a runtime with these plugins and nothing installed."""
    async with open_runtime(
        url, plugins=[sqlite_plugin, *plugins], load_entry_points=False, **options
    ) as runtime:
        door = app(runtime, admittance, location=str(location))
        # The client opens it, and closes it.
        transport = StreamedTransport(door)
        async with httpx.AsyncClient(transport=transport, base_url=base) as client:
            yield Served(client, runtime, door, transport)


@asynccontextmanager
async def embedded(*plugins: object, url: str = "sqlite://") -> AsyncIterator[Any]:
    async with open_runtime(
        url, plugins=[sqlite_plugin, *plugins], load_entry_points=False
    ) as runtime:
        yield runtime


@asynccontextmanager
async def remote(*plugins: object, url: str = "sqlite://") -> AsyncIterator[Any]:
    token = "correct-horse-battery"
    async with embedded(*plugins, url=url) as runtime:
        door = app(runtime, Admittance(token))
        transport = StreamedTransport(door)
        url = "http://localhost:4096"
        async with connect(url, token, transport=transport) as there:
            yield there
