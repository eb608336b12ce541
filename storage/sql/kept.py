"""Kept: rows that every commit of a session reads, from one transaction to the next.

Owns how many there are. Whoever writes keeps them only for as long as nobody else does:
they are forgotten where another connection has committed, and where something that was
written is undone. So they are what a statement would find.
"""

from typing import NamedTuple

from dovetail.kernel.ports import MessageRow, SessionRow

MOST = 256
"""Sessions, and directories, of which rows are kept: of more, all are read again."""


class AggregateRow(NamedTuple):
    """What is written of a session with every commit: its key, its head, its lease."""

    id: int
    seq: int
    hash: bytes
    owner: str | None = None
    worker: str | None = None
    fence: int | None = None
    renewals: int | None = None
    lasts: int | None = None
    renewed: int | None = None
    process: str | None = None
    imported: str | None = None
    damaged: int | None = None
    removed: int | None = None


class Kept:
    """Rows as they are stored."""

    def __init__(self) -> None:
        self.aggregates: dict[str, AggregateRow] = {}
        self.sessions: dict[str, SessionRow] = {}
        self.steps: dict[str, MessageRow] = {}
        """The message of a session's Step that has not ended."""
        self.approval_changes: dict[str, int] = {}
        """How often the approvals of a directory have changed."""

    def forget(self) -> None:
        """Keep nothing: all of it may be otherwise."""
        self.aggregates.clear()
        self.sessions.clear()
        self.steps.clear()
        self.approval_changes.clear()

    def forget_projections(self, session_id: str) -> None:
        """Keep nothing that follows from a session's log."""
        self.sessions.pop(session_id, None)
        self.steps.pop(session_id, None)

    def bound(self) -> None:
        """Keep nothing where it is more than there is room for. Between two
        transactions: one relies on what it wrote itself."""
        if len(self.aggregates) > MOST or len(self.approval_changes) > MOST:
            self.forget()
