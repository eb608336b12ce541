"""The sessions of a store in another process."""

import os
from collections.abc import AsyncIterable, Iterable, Sequence
from datetime import tzinfo
from typing import Any, Literal

from dovetail.kernel import (
    Budget,
    CleanedOutputs,
    ExportedEvent,
    ExportedOutput,
    Generation,
    Location,
    OutputPolicy,
    Page,
    Pruned,
    Removed,
    Repaired,
    Replayed,
    Retention,
    SessionId,
    SessionInfo,
    Spending,
    Verified,
    to_json,
)

from .session import RemoteSession, session_in
from .values import given, id_in, model_of, page_of, place_of, session_path, zone_name
from .wire import Wire


class RemoteSessions:
    """As ``Sessions``."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def create(
        self,
        id: str | None = None,
        location: "str | os.PathLike[str] | Location | None" = None,
        model: str | None = None,
        agent: str | None = None,
        title: str | None = None,
        budget: Budget | None = None,
        parent: str | None = None,
        instructions: str | None = None,
        generation: Generation | None = None,
        fallback: Sequence[str] | None = None,
    ) -> "RemoteSession":
        """As ``Sessions.create``. The location is one of the server's machine; without
        one it is the server's own."""
        body = given(
            id=id,
            location=None if location is None else place_of(location),
            model=model_of(model),
            agent=agent,
            title=title,
            budget=None if budget is None else to_json(budget),
            parent=parent,
            instructions=instructions,
            generation=None if generation is None else to_json(generation),
            fallback=None if fallback is None else list(fallback),
        )
        made = await self._wire.ask("POST", "session", body)
        return session_in(made["data"]["id"], self._wire)

    async def get(self, id: str) -> "RemoteSession":
        """As ``Sessions.get``."""
        told = (await self._wire.ask("GET", session_path(id)))["data"]["id"]
        if told.read(str) != id:
            raise told.wrong(f"{id!r} was asked for")
        return RemoteSession(SessionId(id), self._wire)

    def at(self, id: str) -> "RemoteSession":
        """As ``Sessions.at``."""
        return RemoteSession(SessionId(id), self._wire)

    async def find(self, beginning: str) -> SessionId:
        """As ``Sessions.find``."""
        found = await self._wire.ask("GET", "find", query={"id": str(beginning)})
        return id_in(found["data"])

    async def spending(
        self, since: int = 0, zone: tzinfo | None = None
    ) -> Sequence[Spending]:
        """As ``Sessions.spending``; without a zone, days begin where the server is."""
        query = {"since": since, "zone": None if zone is None else zone_name(zone)}
        found = await self._wire.ask("GET", "spending", query=query)
        return found["data"].read_all(Spending)

    async def list(
        self,
        location: "str | os.PathLike[str] | Location | None" = None,
        search: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
        parent: str | None = None,
        roots: bool = False,
        order: Literal["asc", "desc"] | None = None,
    ) -> Page[SessionInfo]:
        """As ``Sessions.list``; beside a cursor, which knows them, nothing but the
        limit counts."""
        query = {
            "directory": None if location is None else place_of(location)["directory"],
            "search": search,
            "limit": limit,
            "cursor": cursor,
            "parent": parent,
            "roots": roots,
            "order": order,
        }
        return page_of(await self._wire.ask("GET", "session", query=query), SessionInfo)

    async def active(self) -> Sequence[SessionId]:
        """As ``Sessions.active``."""
        found = await self._wire.ask("GET", "session/active")
        return [id_in(one) for one in found["data"].names()]

    async def verify(self, id: str | None = None) -> Sequence[Verified]:
        """As ``Sessions.verify``."""
        if id is None:
            return (await self._wire.ask("GET", "verify"))["data"].read_all(Verified)
        one = await self._wire.ask("GET", f"{session_path(id)}/verify")
        return (one["data"].read(Verified),)

    async def replay(
        self,
        events: Iterable[ExportedEvent] | AsyncIterable[ExportedEvent],
        owner: str | None = None,
        outputs: Iterable[ExportedOutput] = (),
    ) -> Replayed | None:
        """As ``Sessions.replay``."""
        if isinstance(events, AsyncIterable):
            brought: list[Any] = [one async for one in events]
        else:
            brought = list(events)
        lines = [_line(one) for one in (*brought, *outputs)]
        done = await self._wire.ask(
            "POST", "session/import", query={"owner": owner}, content=b"".join(lines)
        )
        return done["data"].read_if(Replayed)

    async def claim(self, id: str, owner: str) -> None:
        """As ``Sessions.claim``."""
        await self._wire.tell("POST", f"{session_path(id)}/claim", {"owner": owner})

    async def release(self, id: str) -> None:
        """As ``Sessions.release``."""
        await self._wire.tell("POST", f"{session_path(id)}/release")

    async def repair(self, id: str) -> Repaired:
        """As ``Sessions.repair``."""
        found = await self._wire.ask("POST", f"{session_path(id)}/repair")
        return found["data"].read(Repaired)

    async def rebuild(self, id: str | None = None) -> int:
        """As ``Sessions.rebuild``."""
        path = "rebuild" if id is None else f"{session_path(id)}/rebuild"
        return (await self._wire.ask("POST", path))["data"].read(int)

    async def prune(
        self,
        id: str,
        classes: Sequence[Retention] = ("trace",),
        before: int | None = None,
        *,
        with_forks: bool = False,
    ) -> Pruned:
        """As ``Sessions.prune``."""
        body = {"classes": list(classes), "before": before, "with_forks": with_forks}
        found = await self._wire.ask("POST", f"{session_path(id)}/prune", body)
        return found["data"].read(Pruned)

    async def remove(
        self, id: str, *, interrupt: bool = False, with_forks: bool = False
    ) -> Removed:
        """As ``Sessions.remove``; what is stopped is the work of the server."""
        query = {"interrupt": interrupt, "with_forks": with_forks}
        found = await self._wire.ask("DELETE", session_path(id), query=query)
        return found["data"].read(Removed)

    async def clean_outputs(self, policy: OutputPolicy | None = None) -> CleanedOutputs:
        """As ``Sessions.clean_outputs``; without a policy, by that of the server."""
        body = given(policy=None if policy is None else to_json(policy))
        found = await self._wire.ask("POST", "output/clean", body)
        return found["data"].read(CleanedOutputs)


def _line(one: ExportedEvent | ExportedOutput) -> bytes:
    import orjson

    return orjson.dumps(to_json(one)) + b"\n"
