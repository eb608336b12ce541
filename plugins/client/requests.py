"""What waits for a person in another process."""

from collections.abc import Mapping, Sequence
from typing import Literal
from urllib.parse import quote

from dovetail.kernel import (
    Json,
    PendingRequest,
)

from .values import given
from .wire import Wire


class RemoteRequests:
    """As ``RequestsHandle``."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def pending(
        self,
        *,
        session_id: str | None = None,
        location: str | None = None,
        what: str | None = None,
    ) -> Sequence[PendingRequest]:
        """As ``RequestsHandle.pending``."""
        query = {"session": session_id, "directory": location, "what": what}
        found = await self._wire.ask("GET", "request", query=query)
        return found["data"].read_all(PendingRequest)

    async def reply(
        self,
        request_id: str,
        answer: str | Mapping[str, Json],
        message: str | None = None,
        *,
        session_id: str | None = None,
        by: Literal["person", "policy"] = "person",
        shown: str | None = None,
    ) -> None:
        """As ``RequestsHandle.reply``."""
        said = answer if isinstance(answer, str) else dict(answer)
        body = given(message=message, session_id=session_id, by=by, shown=shown)
        path = f"request/{quote(request_id, safe='')}/reply"
        await self._wire.tell("POST", path, {"answer": said, **body})
