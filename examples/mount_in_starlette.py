"""Mount the door in a Starlette application of one's own, which knows its users.

The application opens the runtime with itself and closes it with itself; who may come in
is its own affair, so the door is told only its public name. Needs ``dovetail[server]``.
"""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import httpx
from dovetail.kernel import open_runtime
from dovetail.kernel.testing import ScriptedProvider, text
from dovetail.plugins.http import Admittance, app
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send


def make(folder: str) -> Starlette:
    model = ScriptedProvider(text("Hello from below /agents."))

    @asynccontextmanager
    async def lifespan(outer: Starlette) -> AsyncIterator[None]:
        async with open_runtime(
            f"sqlite:///{folder}/agents.db", plugins=[model]
        ) as runtime:
            door = app(runtime, Admittance(hosts=["example.org"]), location=folder)
            outer.router.routes.append(Mount("/agents", only_for_users(door)))
            yield
            door.close()

    async def home(request: Request) -> PlainTextResponse:
        return PlainTextResponse("an application of one's own")

    return Starlette(routes=[Route("/", home)], lifespan=lifespan)


def only_for_users(door: ASGIApp) -> ASGIApp:
    """Let in who is known, by whatever the application knows them."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if (b"x-user", b"ada") not in scope.get("headers", ()):
            await PlainTextResponse("who are you?", 403)(scope, receive, send)
        else:
            await door(scope, receive, send)

    return guarded


async def main(folder: str) -> None:
    application = make(folder)
    transport = httpx.ASGITransport(application)
    async with (
        application.router.lifespan_context(application),
        httpx.AsyncClient(transport=transport, base_url="http://example.org") as client,
    ):
        print((await client.get("/")).text)
        assert (await client.get("/agents/api/health")).status_code == 403
        client.headers["X-User"] = "ada"
        body = {"id": "a", "model": {"providerID": "scripted", "id": "model"}}
        await client.post("/agents/api/session", json=body)
        said = {"prompt": {"text": "Hi"}}
        await client.post("/agents/api/session/a/prompt", json=said)
        await client.post("/agents/api/session/a/wait")
        page = (await client.get("/agents/api/session/a/message")).json()
        print(page["data"][0]["content"][0]["text"])
        assert page["data"][0]["content"][0]["text"] == "Hello from below /agents."


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        anyio.run(main, folder)
