"""The application: a runtime as ASGI, to be served or mounted.

Owns how operations become routes. Everything else is in the rooms beside: ``door`` lets
in, ``operation`` reads, ``sessions``, ``people``, ``locations`` and ``logs`` do it.
"""

import os
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from dovetail.kernel import InvalidValueError, Location, NotFoundError, Runtime
from starlette.requests import Request

from .door import Admittance, Door, Receive, Scope, Send
from .openapi import NOT_OFFERED, refuse
from .operation import OPERATIONS, Operation, answered, read_call
from .page import page_routes
from .problems import AbsentError, Refusal
from .routes import Routes
from .wrong import misplaced


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
    routes: Routes[Callable[[Request], Awaitable[Any]]] = Routes()

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        path = _path_in(scope)
        found = routes.find(path)
        if found is None:
            raise _no_route(path)
        endpoints, named = found
        method = scope["method"]
        endpoint = endpoints.get("GET" if method == "HEAD" else method)
        if endpoint is None:
            raise _method(path, method, endpoints)
        # Ours alone: an application that this one is mounted in handles nothing here.
        own = {**scope, "app": door, "path_params": named}
        answer = await endpoint(Request(own, receive, send))
        await answer(own, receive, send)

    door = Door(inner, admittance)

    def endpoint(operation: Operation) -> Callable[[Request], Awaitable[Any]]:
        async def run(request: Request) -> Any:
            call = await read_call(operation, runtime, door, default, request)
            try:
                found = await operation.run(call, **request.path_params)
            except InvalidValueError as error:
                raise misplaced(error, call.query, call.body) from error
            except NotFoundError as error:
                named = request.path_params
                raise AbsentError(error, operation.path, named) from error
            return await answered(operation, found)

        return run

    def refusal(name: str, instead: str) -> Callable[[Request], Awaitable[Any]]:
        async def run(request: Request) -> Any:
            refuse(name, instead)

        return run

    for one in OPERATIONS:
        routes.add(one.method, one.path, endpoint(one))
    for path, serve in page_routes():
        routes.add("GET", path, serve)
    for method, path, name, instead in NOT_OFFERED:
        routes.add(method, path, refusal(name, instead))
    return door


def _path_in(scope: Scope) -> str:
    """Return the path below where the application is mounted."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    below = path.removeprefix(root)
    return below if not below or below.startswith("/") else path


def _no_route(path: str) -> Refusal:
    return Refusal(
        404,
        "server.no_route",
        f"there is nothing at {path[:200]!r}; docs/http.md lists what is",
        tag="NotFoundError",
    )


def _method(path: str, method: str, endpoints: Iterable[str]) -> Refusal:
    return Refusal(
        405,
        "server.method",
        f"{path[:200]!r} is not asked by {method[:20]}",
        headers={"Allow": ", ".join(sorted(endpoints))},
    )
