"""A runtime in another process, and how one connects to it.

Each class of this folder stands for the one of the kernel that it is called like, with
the same methods, in a module of its own. What differs is said at the method, and listed
in ``docs/http.md``.
"""

import os
from collections.abc import Callable
from types import TracebackType
from typing import Self

import httpx
from dovetail.kernel import Location

from .location import RemoteLocation
from .requests import RemoteRequests
from .sessions import RemoteSessions
from .tails import RemoteLive, RemoteRuntimeTail
from .wire import Wire

PATIENCE = 60.0
"""Seconds for which a reader that follows waits for a server to come back."""


def connect(
    url: str,
    token: str | None = None,
    *,
    patience: float = PATIENCE,
    transport: httpx.AsyncBaseTransport | None = None,
) -> "RemoteRuntime":
    """Return a runtime that a server offers: ``async with connect(url) as runtime``.

    Arguments:
        url: the address of the server, such as ``http://127.0.0.1:4096``.
        token: what the server wants to be shown. Never a part of the address.
        patience: seconds for which ``events(follow=True)`` waits for a server that has
            gone to come back.
        transport: how it is reached, for tests and odd networks; httpx's own way.

    Nothing is asked before it is used. Errors are those that the same call raises in
    the process, and beside them ``ServerError`` and ``ServerUnreachableError``.

    Raises:
        ServerError: the address is none, or has a password in it, or the token is none
            that a server can be shown.
    """
    return RemoteRuntime(Wire(url, token, patience, transport))


class RemoteRuntime:
    """As ``Runtime``."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.sessions = RemoteSessions(wire)
        """The sessions of the store."""
        self.requests = RemoteRequests(wire)
        """Everything that waits for a person."""

    def __repr__(self) -> str:
        return f"<RemoteRuntime at {self._wire.origin}>"

    async def __aenter__(self) -> Self:
        await self._wire.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._wire.__aexit__(kind, error, traceback)

    def hear_reach(self, told: Callable[[bool], None]) -> None:
        """Have a function told when the server cannot be reached by a reader that
        follows, with False, and when it can be again, with True. It must be quick, and
        takes the place of the one before."""
        self._wire.on_reach = told

    def location(
        self, path: "str | os.PathLike[str] | Location | None" = None
    ) -> "RemoteLocation":
        """As ``Runtime.location``; the path is one of the server's machine, and without
        one it is the server's own Location."""
        return RemoteLocation(self._wire, path)

    def live(self, *, session_id: str | None = None) -> RemoteLive:
        """As ``Runtime.live``, from when it is entered or first read."""
        return RemoteLive(self._wire, "event", {"session": session_id})

    def events(
        self, after: int | None = None, follow: bool = False
    ) -> RemoteRuntimeTail:
        """As ``Runtime.events``.

        Raises (while iterating): as ``RemoteSession.events``.
        """
        return RemoteRuntimeTail(self._wire, after, follow)
