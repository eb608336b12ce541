"""The past of a session, as its own calls may look at it.

Owns that a call sees its own session and no other, and of that what is settled: what it
is part of itself is not over. The transcript stays whole whatever the model is shown of
it, so this is where what was left out is found again.
"""

from collections.abc import Sequence
from functools import partial

from ..history.messages import message_of
from ..log.patience import Readable
from ..ports import Reader
from ..values.errors import InvalidValueError
from ..values.ids import SessionId
from ..values.messages import Message

MOST = 50
"""Messages that are read at once."""


class OwnPast:
    """The settled messages of one session, by their position."""

    def __init__(self, log: Readable, session_id: SessionId) -> None:
        self._log = log
        self._session_id = session_id

    async def messages(
        self, after: int | None, before: int | None, limit: int
    ) -> Sequence[Message]:
        """Return messages between two positions: from the first one on, or where only
        ``before`` is given, from the last one back.

        Raises:
            InvalidValueError: ``limit`` is out of its range.
            EventDamagedError: an event of one of them is not what was written.
        """
        if not (type(limit) is int and 1 <= limit <= MOST):
            raise InvalidValueError("limit", limit, f"from 1 to {MOST}")
        newest_first = after is None
        return await self._log.read(
            partial(_read, self._session_id, after, before, newest_first, limit)
        )


def _read(
    session_id: SessionId,
    after: int | None,
    before: int | None,
    newest_first: bool,
    limit: int,
    rows: Reader,
) -> list[Message]:
    found = rows.messages(
        session_id, after=after, before=before, newest_first=newest_first, limit=limit
    )
    return [message_of(rows, row) for row in found if row.end_seq is not None]
