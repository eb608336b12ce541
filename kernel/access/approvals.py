"""Saved approvals: what an ``always`` remembers, in one Location (law access.4).

Owns which of them hold, and how they are saved and taken back. Knows nothing of how
they match: ``rules`` does.
"""

from collections.abc import Sequence
from typing import Literal

from ..log.commit import EventLog, LogTransaction, WorkLog
from ..ports import ApprovalRow, Reader, Transaction
from ..values.errors import ApprovalNotFoundError
from ..values.frozen import frozen
from ..values.ids import new_id
from ..values.location import Location
from .request import PermissionRequest


@frozen
class SavedApproval:
    """A remembered ``always`` (law access.4)."""

    id: str
    """What it is removed by."""
    agent: str
    """The one agent that it is for."""
    action: str
    """What may be done."""
    kind: Literal["exact", "glob"]
    """How ``pattern`` is read: as the resource itself, or with ``*`` and ``?``."""
    pattern: str
    """What it may be done to."""
    author: str
    """Who said ``always``."""
    created: int
    """Milliseconds since 1970."""
    expires: int | None
    """Milliseconds since 1970 from which on it does not count; None: never."""
    folder: str | None
    """The one folder that it is for, as a resource; None: wherever in the Location."""
    session_id: str | None
    """The session that asked for it."""
    request_id: str | None
    """The request that it was the answer to."""


@frozen
class _Known:
    """The saved approvals of a directory, as they were committed."""

    changes: int
    """How often they had changed by then."""
    rows: Sequence[ApprovalRow]
    ids: tuple[str, ...]
    """In order."""


class Approvals:
    """The saved approvals of one Location."""

    def __init__(self, location: Location, log: EventLog) -> None:
        self._location = location
        self._log = log
        # One object, taken and put in one go: any thread may ask.
        self._known: _Known | None = None

    async def look(self, log: EventLog | WorkLog) -> None:
        """Read them if they changed, so that nobody has to who decides about them next.

        Only what is committed is kept: a transaction may see what never comes to be.
        """
        directory, known = self._location.directory, self._known

        def read(rows: Reader) -> _Known | None:
            changes = rows.approval_changes(directory)
            if known is not None and known.changes == changes:
                return known
            found = rows.approvals(directory)
            if changes is None:
                return None
            return _Known(changes, found, tuple(sorted(row.id for row in found)))

        self._known = await log.read(read)

    def ids(self, rows: Reader) -> tuple[str, ...]:
        """Return the ids of all of the directory, in order."""
        known = self._still(rows)
        if known is not None:
            return known.ids
        found = rows.approvals(self._location.directory)
        return tuple(sorted(row.id for row in found))

    def holding(
        self, rows: Reader, agent: str | None, now: int
    ) -> Sequence[ApprovalRow]:
        """Return those that hold for an agent, or for any where that is None."""
        known = self._still(rows)
        found = known.rows if known else rows.approvals(self._location.directory)
        return [
            row
            for row in found
            if row.workspace == self._location.workspace
            and agent in (None, row.agent)
            and (row.expires is None or now < row.expires)
        ]

    def _still(self, rows: Reader) -> "_Known | None":
        """Return what is known of them, unless they changed since."""
        known = self._known
        if known is None:
            return None
        changes = rows.approval_changes(self._location.directory)
        return known if known.changes == changes else None

    def save(
        self,
        tx: LogTransaction,
        asked: PermissionRequest,
        author: str,
        expires: int | None,
    ) -> None:
        """Remember what a request offered to, each entry to the letter; once."""
        known = {
            (each.action, each.pattern, each.folder)
            for each in self.holding(tx.rows, asked.agent, tx.now)
            if each.kind == "exact" and each.expires is None
        }
        for pattern in dict.fromkeys(asked.save):
            if (asked.action, pattern, asked.folder) in known:
                continue
            tx.rows.put_approval(
                ApprovalRow(
                    id=new_id("apr", self._log.clock),
                    directory=self._location.directory,
                    workspace=self._location.workspace,
                    agent=asked.agent,
                    action=asked.action,
                    kind="exact",
                    pattern=pattern,
                    author=author,
                    created=tx.now,
                    expires=expires,
                    folder=asked.folder,
                    session_id=asked.session_id,
                    request_id=asked.id,
                )
            )

    async def saved(self) -> Sequence[SavedApproval]:
        """Return the saved approvals that hold now, in the order they were saved."""
        now = self._log.clock.now()
        rows = await self._log.read(lambda rows: self.holding(rows, None, now))
        return [
            SavedApproval(
                id=row.id,
                agent=row.agent,
                action=row.action,
                kind=row.kind,
                pattern=row.pattern,
                author=row.author,
                created=row.created,
                expires=row.expires,
                folder=row.folder,
                session_id=row.session_id,
                request_id=row.request_id,
            )
            for row in rows
        ]

    async def revoke(self, approval_id: str) -> None:
        """Take a saved approval back. What it allowed so far stays done.

        Raises:
            ApprovalNotFoundError: this Location has no such approval.
        """

        def delete(rows: Transaction) -> None:
            mine = {
                row.id
                for row in rows.approvals(self._location.directory)
                if row.workspace == self._location.workspace
            }
            if approval_id not in mine or not rows.delete_approval(approval_id):
                raise ApprovalNotFoundError(approval_id)

        await self._log.store.transact(delete)
