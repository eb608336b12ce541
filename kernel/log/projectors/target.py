"""What projectors write to.

Owns the session's row while a transaction changes it: every subject has a say in it.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from ...ports import SessionRow, Transaction
from ...values import events as e
from ...values.messages import Usage
from ...values.money import MOST, picodollars
from ...values.shortcut import changed
from ...values.tool import FileChange
from ..reading import no_session


class Target:
    """The rows of one transaction, and how an event changes them.

    The session's own row is kept here until ``flush``: several events of one
    transaction change it, and it is written once.
    """

    def __init__(self, rows: Transaction) -> None:
        self.rows = rows
        self._sessions: dict[str, SessionRow] = {}
        self._changed: set[str] = set()

    def flush(self) -> None:
        """Write the session rows that changed."""
        for session_id in sorted(self._changed):
            self.rows.put_session(self._sessions[session_id])
        self._changed.clear()

    def session(self, session_id: str) -> SessionRow:
        """Return the session's row as this transaction has changed it so far.

        Raises:
            SessionNotFoundError: there is no such session.
        """
        found = self._sessions.get(session_id)
        if found is None:
            found = self.rows.session(session_id)
            if found is None:
                raise no_session(self.rows, session_id)
            self._sessions[session_id] = found
        return found

    def change(self, event: e.Event, **changes: Any) -> None:
        """Change the session's row; it counts as updated at the event's time."""
        row = self.session(event.session_id)
        self.put(changed(row, updated=event.created, **changes))

    def put(self, row: SessionRow) -> None:
        """Take this as the session's row."""
        self._sessions[row.id] = row
        self._changed.add(row.id)

    def hold(self, event: e.Event, changes: Iterable[FileChange]) -> None:
        """Keep what files held for as long as an event says that they did."""
        kept = [one for one in changes if one.unkept is None]
        for digest in {one.before for one in kept} | {one.after for one in kept}:
            if digest is not None:
                self.rows.hold_blob(event.session_id, event.seq, digest)


class Request(Protocol):
    """What tells of a request to a model."""

    @property
    def usage(self) -> Usage: ...

    @property
    def cost(self) -> float | None: ...

    @property
    def unpriced(self) -> int: ...


def with_usage(total: SessionRow, request: Request) -> dict[str, int | None]:
    """Return the totals of a session with what one more request took and cost."""
    used, picos = request.usage, total.picodollars
    if request.cost is not None:
        picos = min((picos or 0) + picodollars(request.cost), MOST)
    return {
        "picodollars": picos,
        "unpriced": total.unpriced + request.unpriced,
        "input_tokens": total.input_tokens + _count(used, "input"),
        "output_tokens": total.output_tokens + _count(used, "output"),
        "reasoning_tokens": total.reasoning_tokens + _count(used, "reasoning"),
        "cache_read_tokens": total.cache_read_tokens + _count(used, "cache_read"),
        "cache_write_tokens": total.cache_write_tokens + _count(used, "cache_write"),
    }


def _count(usage: Usage, name: str) -> int:
    return getattr(usage, name) or 0


Projectors = Mapping[type[e.Event], Callable[[Target, Any], None]]
"""What is done for each kind of event."""
