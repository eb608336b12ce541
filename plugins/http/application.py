"""The application: a runtime as ASGI, to be served or mounted.

Owns how operations become routes. Everything else is in the rooms beside: ``door`` lets
in, ``operation`` reads, ``sessions``, ``people``, ``places`` and ``logs`` do it.
"""

import os
from collections.abc import Awaitable, Callable
from typing import Any

from dovetail.kernel import Location, Runtime
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Route, Router

from .door import Admittance, Door, Receive, Scope, Send
from .openapi import NOT_OFFERED, refuse
from .operation import OPERATIONS, Operation, answered, read_call
from .page import page_routes
from .problems import Refusal


def app(
    runtime: Runtime,
    admittance: Admittance | None = None,
    *,
    location: "str | os.PathLike[str] | Location" = ".",
) -> Door:
    """Return an ASGI application that offers a runtime over HTTP.

    The runtime is open already and stays its owner's: closing it is not done here.
    Mounted under a path of a larger application, all routes are below that path.

    Arguments:
        runtime: whose sessions they are.
        admittance: who may come in. By default everybody who calls the server
            ``localhost`` or by its address: then whoever mounts it checks who that is.
        location: the directory that is meant where a request names none.

    Raises:
        LocationNotFoundError: there is no such directory.
    """
    return _made(runtime, admittance or Admittance(), Location.at(location))


def _made(runtime: Runtime, admittance: Admittance, default: Location) -> Door:
    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        # Ours alone: an application that this one is mounted in handles nothing here.
        own = {**scope, "app": door, "starlette.exception_handlers": ({}, {})}
        try:
            await router(own, receive, send)
        except HTTPException as error:
            raise _method(scope, error) from error

    door = Door(inner, admittance)

    def endpoint(operation: Operation) -> Callable[[Request], Awaitable[Any]]:
        async def run(request: Request) -> Any:
            call = await read_call(operation, runtime, door, default, request)
            return answered(operation, await operation.run(call, **request.path_params))

        return run

    def refusal(name: str, instead: str) -> Callable[[Request], Awaitable[Any]]:
        async def run(request: Request) -> Any:
            refuse(name, instead)

        return run

    router = Router(
        [
            *(
                Route(one.path, endpoint(one), methods=[one.method], name=one.name)
                for one in sorted(OPERATIONS, key=_plain_first)
            ),
            *page_routes(),
            *(
                Route(path, refusal(name, instead), methods=[method], name=name)
                for method, path, name, instead in NOT_OFFERED
            ),
        ],
        redirect_slashes=False,
        default=_no_route,
    )
    return door


def _plain_first(operation: Operation) -> tuple[bool, ...]:
    """Let a path with a plain part come before one with a name in that place."""
    return tuple(part.startswith("{") for part in operation.path.split("/"))


async def _no_route(scope: Scope, receive: Receive, send: Send) -> None:
    raise Refusal(
        404,
        "server.no_route",
        f"there is nothing at {scope['path'][:200]!r}; docs/http.md lists what is",
        tag="NotFoundError",
    )


def _method(scope: Scope, error: HTTPException) -> Refusal:
    return Refusal(
        error.status_code,
        "server.method",
        f"{scope['path'][:200]!r} is not asked by {scope['method']}",
        headers=dict(error.headers or {}),
    )
