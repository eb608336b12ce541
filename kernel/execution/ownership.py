"""Ownership: who executes a session, across tasks, processes and hosts.

Owns the lease of a session's execution and its fencing number. Every function runs
inside a transaction: a lease is taken, checked, renewed and given back in the very
transaction that it protects (law execution.2). A worker that was stopped past its
lease and comes back holds an old number, and nothing it wants to write is written.
"""

from attrs import frozen

from ..ports import LeaseRow, Reader, Transaction
from ..values.errors import OwnerFencedError
from ..values.shortcut import changed

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
    owner: str,
    now: int,
    lease_ms: int,
    seen: Standing,
    *,
    grown: bool,
) -> Fence:
    """Take the lease with the next fencing number.

    ``seen`` is how it stood when the taker looked at the session, ``grown`` whether the
    log has grown since. Somebody may have worked on the session in between: under
    another number, or under one that had run out and that nobody had taken yet. Then
    whatever was decided from that look is wrong.

    Raises:
        LeaseHeldError: another worker holds it, or may have worked since that look.
    """
    expires = held_until(rows, session_id, owner, now)
    now_stands = standing(rows, session_id)
    left = now_stands.owner not in (None, owner)
    if expires is not None or now_stands != seen or (left and grown):
        raise LeaseHeldError(
            now if expires is None else expires,
            moved=now_stands.number != seen.number,
        )
    number = now_stands.number + 1
    rows.put_lease(LeaseRow(session_id, owner, number, now + lease_ms))
    return Fence(session_id, owner, number)


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
    rows.put_lease(changed(check(rows, fence), expires=now + lease_ms))


def release(rows: Transaction, fence: Fence) -> None:
    """Give the lease back; the number stays, so that it only grows.

    Raises:
        OwnerFencedError: somebody else took it.
    """
    rows.put_lease(changed(check(rows, fence), owner=None, expires=0))
