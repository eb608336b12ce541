"""Kept: rows that every commit of a session reads, from one transaction to the next.

Owns how many there are. Whoever writes keeps them only for as long as nobody else does:
they are forgotten where another connection has committed, and where something that was
written is undone. So they are what a statement would find.
"""

from typing import NamedTuple

from dovetail.kernel.ports import SessionRow

MOST = 256
"""Sessions of which rows are kept: of more, all are read again."""


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


class Kept:
    """Rows of sessions, by session."""

    def __init__(self) -> None:
        self.places: dict[str, AggregateRow] = {}
        self.sessions: dict[str, SessionRow] = {}

    def forget(self) -> None:
        """Keep nothing: all of it may be otherwise."""
        self.places.clear()
        self.sessions.clear()

    def bound(self) -> None:
        """Keep nothing where it is more than there is room for. Between two
        transactions: one relies on what it wrote itself."""
        if len(self.places) > MOST:
            self.forget()
