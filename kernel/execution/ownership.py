"""Ownership: who executes a session, across tasks, processes and hosts.

Owns the lease of a session's execution and its fencing number. Every function runs
inside a transaction: a lease is taken, checked, renewed and given back in the very
transaction that it protects (law execution.2). A worker that was stopped past its
lease and comes back holds an old number, and nothing it wants to write is written.

When a lease has run out is judged by the ``lookout``; nothing here reads a clock.
"""

from ..log.lookout import Lookout
from ..ports import LeaseRow, Reader, Transaction
from ..values.errors import OwnerFencedError
from ..values.frozen import frozen
from ..values.shortcut import changed

DEFAULT_LEASE_SECONDS = 15.0


@frozen
class Fence:
    """The right to append to one session's execution."""

    session_id: str
    owner: str
    number: int


@frozen
class Owner:
    """Who takes leases, and how long one lasts."""

    name: str
    lease_ms: int
    process: str | None = None
    """The process it lives in, where that has a name."""


class LeaseHeldError(Exception):
    """Another worker holds the lease, or held it since this one last looked. Never
    leaves the runner, which looks again."""

    def __init__(self, session_id: str, *, moved: bool) -> None:
        super().__init__(f"{session_id} is held")
        self.moved = moved
        """Whether another worker took it since."""


@frozen
class Standing:
    """How a session's lease stood when somebody looked."""

    number: int = 0
    """The last fencing number."""
    owner: str | None = None
    """Whose it is; None once it was given back."""


def standing(rows: Reader, session_id: str) -> Standing:
    """Return how the lease stands now."""
    row = rows.lease(session_id)
    return Standing(row.fence, row.owner) if row else Standing()


def take(
    rows: Transaction,
    session_id: str,
    owner: Owner,
    now: int,
    lookout: Lookout,
    seen: Standing,
    *,
    grown: bool,
) -> Fence:
    """Take the lease with the next fencing number.

    ``seen`` is how it stood when the taker looked at the session, ``grown`` whether the
    log has grown since. Somebody may have worked on the session in between: under
    another number, or under one that had run out and that nobody had taken yet. Then
    whatever was decided from that look is wrong. ``now`` is only shown.

    Raises:
        LeaseHeldError: another worker holds it, or may have worked since that look.
    """
    held = lookout.held(rows.lease(session_id))
    now_stands = standing(rows, session_id)
    left = now_stands.owner not in (None, owner.name)
    if held is not None or now_stands != seen or (left and grown):
        raise LeaseHeldError(session_id, moved=now_stands.number != seen.number)
    number = now_stands.number + 1
    rows.put_lease(
        LeaseRow(
            session_id,
            owner.name,
            number,
            lasts=owner.lease_ms,
            renewed=now,
            process=owner.process,
        )
    )
    return Fence(session_id, owner.name, number)


def check(rows: Reader, fence: Fence) -> LeaseRow:
    """Return the lease, if it is still this one.

    An expired lease that nobody took is still this one: the number decides, the time
    only says when somebody else may take it.

    Raises:
        OwnerFencedError: somebody else took it.
    """
    row = rows.lease(fence.session_id)
    if row is None or row.fence != fence.number or row.owner != fence.owner:
        raise OwnerFencedError(fence.session_id, fence.number, row.fence if row else 0)
    return row


def renew(rows: Transaction, fence: Fence, now: int) -> bool:
    """Give a sign of life; False when the lease was given back meanwhile, which whoever
    held it did itself.

    Raises:
        OwnerFencedError: somebody else took it.
    """
    row = rows.lease(fence.session_id)
    if row is not None and row.fence == fence.number and row.owner is None:
        return False
    row = check(rows, fence)
    rows.put_lease(changed(row, renewals=row.renewals + 1, renewed=now))
    return True


def release(rows: Transaction, fence: Fence) -> None:
    """Give the lease back; the number stays, so that it only grows.

    Raises:
        OwnerFencedError: somebody else took it.
    """
    rows.put_lease(changed(check(rows, fence), owner=None, process=None))
