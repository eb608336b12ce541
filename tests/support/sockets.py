"""An ASGI application on a real socket, served by uvicorn on this event loop."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import uvicorn


@asynccontextmanager
async def listening(application: Any) -> AsyncIterator[str]:
    """Serve it on a free port of this machine, and yield the address. asyncio only."""
    config = uvicorn.Config(
        application, log_config=None, lifespan="off", timeout_graceful_shutdown=5
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as place:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [place])
            try:
                yield f"http://127.0.0.1:{place.getsockname()[1]}"
            finally:
                server.should_exit = server.force_exit = True
