"""Serving: dovetail as a server of the protocol, over standard input or HTTP.

Owns the runtime that is offered and the way in. Over HTTP that is the door that
``dovetail serve`` has, with its rules: who may come in, by which names, with how much
and in which time. What is behind it is the protocol package's.
"""

import socket
import sys
from importlib.metadata import version
from typing import Any

import anyio
import orjson
from dovetail.kernel import open_runtime

from .sessions import SessionsServer

NO_SUCH_ID = {
    "jsonrpc": "2.0",
    "id": None,
    "error": {"code": -32600, "message": "an id is a text or a whole number"},
}
MAX_BODY = 4 * 1024 * 1024
"""Bytes of one message over HTTP, as the protocol package has it."""


async def serve_stdio(url: str, directory: str, model: str | None) -> None:
    """Serve whoever began this process, until the input ends."""
    async with open_runtime(url) as runtime:
        made = SessionsServer(runtime, directory, model).server(version("dovetail"))
        await made.run_stdio_async()


async def serve_http(
    url: str,
    directory: str,
    model: str | None,
    listening: socket.socket,
    admittance: Any,
) -> None:
    """Serve callers over streamable HTTP at ``/mcp``, until a signal comes."""
    from ..http.serve import stand

    async with open_runtime(url) as runtime:
        made = SessionsServer(runtime, directory, model).server(version("dovetail"))
        door = door_of(made, admittance)
        async with made.session_manager.run():
            host, port = listening.getsockname()[:2]
            name = f"[{host}]" if ":" in host else host
            print(f"http://{name}:{port}/mcp", file=sys.stderr, flush=True)
            await stand(door, listening)


def door_of(made: Any, admittance: Any) -> Any:
    """Return the door that a server of the protocol is behind. Its sessions have to be
    run by the caller."""
    from mcp.server.transport_security import TransportSecuritySettings

    from ..http.door import Door

    # The package compares what a name begins with; the door knows names.
    trusting = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    behind = Behind(made.streamable_http_app(transport_security=trusting))
    door = behind.door = Door(behind, admittance)
    return door


def _has_no_such_id(data: bytes) -> bool:
    """Whether a request has an id that no request can have."""
    try:
        message = orjson.loads(data)
    except orjson.JSONDecodeError:
        return False  # what is behind says so
    if not isinstance(message, dict) or not {"method", "id"} <= message.keys():
        return False
    number = message["id"]
    if isinstance(number, float):
        # A whole number of more than 64 bits is read as one.
        return abs(number) < 2.0**63
    return isinstance(number, bool) or not isinstance(number, str | int)


class Behind:
    """Hands a request on once all of it came, and ends its answer when the door
    closes: a stream of the protocol has no end of its own."""

    door: Any

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        from starlette.requests import Request
        from starlette.responses import JSONResponse

        from ..http.operation import read_body
        from ..http.problems import closing

        data: bytes | None = await read_body(Request(scope, receive), MAX_BODY)
        if data and _has_no_such_id(data):
            # What is behind takes it for a notification, and would answer nothing.
            await JSONResponse(NO_SUCH_ID, 400)(scope, receive, send)
            return

        async def whole() -> Any:
            nonlocal data
            if data is None:
                return await receive()
            body, data = data, None
            return {"type": "http.request", "body": body, "more_body": False}

        with anyio.CancelScope() as ending, self.door.waiting(ending):
            await self._inner(scope, whole, send)
        if ending.cancelled_caught:
            raise closing()
