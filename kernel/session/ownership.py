"""Ownership: who executes a session, across tasks, processes and hosts.

Owns the lease of a session's execution and its fencing number. Every function runs
inside a transaction: a lease is taken, checked, renewed and given back in the very
transaction that it protects (law execution.2). A worker that was stopped past its
lease and comes back holds an old number, and nothing it wants to write is written.
"""

from attrs import evolve, frozen

from ..ports import LeaseRow, Reader, Transaction
from ..values.errors import OwnerFencedError

DEFAULT_LEASE_SECONDS = 15.0


@frozen
class Fence:
    """The right to append to one session's execution."""

    session_id: str
    owner: str
    number: int


class LeaseHeldError(Exception):
    """Another worker holds the lease until ``expires``, or held it since this one last
    looked. Never leaves the runner, which looks again."""

    def __init__(self, expires: int, *, moved: bool) -> None:
        super().__init__(f"held until {expires}")
        self.expires = expires
        self.moved = moved
        """Whether another worker took it since."""


def held_until(rows: Reader, session_id: str, owner: str, now: int) -> int | None:
    """Return when the lease of another worker ends, or None when it can be taken."""
    row = rows.lease(session_id)
    if row is None or row.owner in (None, owner) or row.expires <= now:
        return None
    return row.expires


def last_number(rows: Reader, session_id: str) -> int:
    """Return the fencing number of the last lease that was taken; 0 for none."""
    row = rows.lease(session_id)
    return row.fence if row else 0


def take(
    rows: Transaction,
    session_id: str,
    owner: str,
    now: int,
    lease_ms: int,
    seen: int,
    *,
    grown: bool,
) -> Fence:
    """Take the lease with the next fencing number.

    ``seen`` is the last number when the taker looked at the session, ``grown`` whether
    its log has grown since. Somebody may have worked on the session in between: under
    another number until that lease ran out too, or under one that had run out already
    and that nobody had taken yet. Then whatever was decided from that look is wrong.

    Raises:
        LeaseHeldError: another worker holds it, or may have worked since that look.
    """
    expires = held_until(rows, session_id, owner, now)
    row = rows.lease(session_id)
    number = row.fence if row else 0
    left = row is not None and row.owner not in (None, owner)
    if expires is not None or number != seen or (left and grown):
        raise LeaseHeldError(now if expires is None else expires, moved=number != seen)
    rows.put_lease(LeaseRow(session_id, owner, number + 1, now + lease_ms))
    return Fence(session_id, owner, number + 1)


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


def renew(rows: Transaction, fence: Fence, now: int, lease_ms: int) -> None:
    """Hold the lease for longer.

    Raises:
        OwnerFencedError: somebody else took it.
    """
    rows.put_lease(evolve(check(rows, fence), expires=now + lease_ms))


def release(rows: Transaction, fence: Fence) -> None:
    """Give the lease back; the number stays, so that it only grows.

    Raises:
        OwnerFencedError: somebody else took it.
    """
    rows.put_lease(evolve(check(rows, fence), owner=None, expires=0))
