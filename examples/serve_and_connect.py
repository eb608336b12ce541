"""Serve a runtime over HTTP, and work with its sessions from a client.

Both are in one program here, so that it runs anywhere; the client is the same on
another machine, where ``dovetail serve`` is the server. Needs ``dovetail[server]``.
"""

import socket
import tempfile

import anyio
import uvicorn
from dovetail.kernel import PromptConflictError, ServerError, open_runtime
from dovetail.kernel.testing import ScriptedProvider, text
from dovetail.plugins.client import connect
from dovetail.plugins.http import Admittance, app

TOKEN = "only-for-this-example"


async def main(folder: str) -> None:
    model = ScriptedProvider(text("Hello ", "from afar."))
    async with open_runtime(
        f"sqlite:///{folder}/agents.db", plugins=[model]
    ) as runtime:
        door = app(runtime, Admittance(TOKEN), location=folder)
        server = uvicorn.Server(uvicorn.Config(door, log_config=None, lifespan="off"))
        with socket.create_server(("127.0.0.1", 0)) as place:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(server.serve, [place])
                await work(f"http://127.0.0.1:{place.getsockname()[1]}")
                door.close()
                server.should_exit = True


async def work(address: str) -> None:
    async with connect(address, TOKEN) as runtime:
        session = await runtime.sessions.create("greeting", model="scripted/model")
        receipt = await session.prompt("Say hello", key="ticket-42")
        assert receipt == await session.prompt("Say hello", key="ticket-42")
        async with session.events(after=receipt.cursor, follow=True) as events:
            async for event in events:
                print(event.seq, event.kind)
                if event.kind == "execution.ended":
                    break
        for message in await session.messages(order="asc"):
            print(f"{message.type}: {message.text}")
        try:
            await session.prompt("Say goodbye", key="ticket-42")
        except PromptConflictError as error:
            print(error.code, error.differs)

    async with connect(address, "a-wrong-token-of-16") as stranger:
        refused = None
        try:
            await stranger.sessions.list()
        except ServerError as error:
            refused = error.code
        print(refused)
        assert refused == "server.unauthorized"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        anyio.run(main, folder)
