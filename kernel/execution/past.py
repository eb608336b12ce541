"""The past of a session, as its own calls may look at it.

Owns that a call sees its own session and no other, with what a fork shares, numbered
down from -1; and of that what is settled, since what it is part of itself is not over,
and what no revert hides. The transcript stays whole whatever the model is shown of it,
so this is where what was left out is found again.
"""

from collections.abc import Sequence
from functools import partial

from ..history.history import History
from ..history.messages import message_of
from ..log.lineage import messages_in, whole
from ..log.patience import Readable
from ..ports import Reader
from ..values.errors import InvalidValueError
from ..values.messages import Message
from ..values.shortcut import changed

MOST = 50
"""Messages that are read at once."""


class OwnPast:
    """The settled messages of one session, by their position."""

    def __init__(self, log: Readable, history: History) -> None:
        self._log = log
        self._history = history

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
        return await self._log.read(partial(_read, self._history, after, before, limit))


def _read(
    history: History,
    after: int | None,
    before: int | None,
    limit: int,
    rows: Reader,
) -> list[Message]:
    found = messages_in(
        rows,
        whole(rows, history.session_id),
        place=before if after is None else after,
        newest_first=after is None,
        limit=limit,
    )
    messages = []
    for span, row in found:
        seq = row.seq + span.offset
        # What ran when a fork was made is no part of what it shares.
        settled = row.end_seq is not None and row.end_seq <= span.seq
        if not settled or history.hides(span.session_id, row.seq):
            continue
        if before is None or seq < before:
            messages.append(changed(message_of(rows, row), seq=seq))
    return messages
