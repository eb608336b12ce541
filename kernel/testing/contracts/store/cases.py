"""What every part of the contract needs: a store, and some rows to put into it."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any

import attrs

from ....ports import (
    AdmissionRow,
    ApprovalRow,
    EpochRow,
    EventRecord,
    InputRow,
    JobRow,
    LeaseRow,
    MessageRow,
    Reader,
    RequestRow,
    SessionRow,
    Store,
    Transaction,
)

PATIENCE = 60.0
"""Seconds after which a test that hangs is given up."""


def record(session_id: str, seq: int, data: bytes = b"{}") -> EventRecord:
    """Return some event."""
    made = bytes([seq % 256]) * 32
    return EventRecord(session_id, seq, "text.ended", 1, 1_700_000_000_000, data, made)


def session_row(session_id: str, **changes: Any) -> SessionRow:
    """Return some session."""
    row = SessionRow(
        id=session_id,
        directory="/work",
        workspace=None,
        title=None,
        agent=None,
        model=None,
        parent=None,
        forked_from=None,
        forked_seq=None,
        created=1,
        updated=2,
    )
    return attrs.evolve(row, **changes)


def input_row(session_id: str, number: int, **changes: Any) -> InputRow:
    """Return some pending input, admitted at ``number``."""
    row = InputRow(
        session_id, f"in_{number}", number, "steer", "pending", None, 5, None
    )
    return attrs.evolve(row, **changes)


def message_row(session_id: str, seq: int, **changes: Any) -> MessageRow:
    """Return some settled message, visible since ``seq``."""
    row = MessageRow(session_id, seq, f"msg_{seq}", "assistant", seq, seq)
    return attrs.evolve(row, **changes)


def approval_row(number: int, **changes: Any) -> ApprovalRow:
    """Return some saved approval."""
    row = ApprovalRow(
        f"apr_{number}", "/work", None, "build", "edit", "exact", "a", "me", 3, None
    )
    return attrs.evolve(row, **changes)


@contextmanager
def raises(kind: type[BaseException]) -> Iterator[None]:
    """Fail unless the body raises this kind of error."""
    try:
        yield
    except kind:
        return
    raise AssertionError(f"{kind.__name__} was not raised")


def appending(*records: EventRecord) -> Callable[[Transaction], None]:
    """Return a transaction that appends these records."""
    return lambda transaction: transaction.append(records)


def seqs(records: Sequence[EventRecord]) -> list[int]:
    """Return their sequence numbers."""
    return [one.seq for one in records]


class StoreCase:
    """What every part of the contract needs: a store."""

    def open_store(self, name: str = "main") -> AbstractAsyncContextManager[Store]:
        """Return the store of this name.

        Within one test, a name opened again has its contents again, also while it is
        open already (then as another process would see it). Each test starts afresh.
        """
        raise NotImplementedError


def furnish(transaction: Transaction) -> None:
    """Put one row of everything into the store, for session ``a``, and a session b."""
    transaction.append([record("a", 0), record("a", 1)])
    transaction.put_session(session_row("a", title="first"))
    transaction.put_session(session_row("b"))
    transaction.put_input(input_row("a", 0))
    transaction.put_message(message_row("a", 1))
    transaction.put_request(RequestRow("a", "req", "permission", 1, "/work", None))
    transaction.put_job(JobRow("a", "job", 1, "/work", None))
    transaction.put_epoch(EpochRow("a", 0, 1))
    transaction.put_admission(AdmissionRow("a", "key", "d", "steer", b"receipt"))
    transaction.put_approval(approval_row(1))
    transaction.put_approval(approval_row(2))
    transaction.put_lease(LeaseRow("a", "w", 5, 6))
    transaction.put_blob(b"kept")


def everything(reader: Reader) -> tuple[tuple[object, ...], ...]:
    """Return all there is about what ``furnish`` put, without the absent."""
    events, *operational = underived(reader)
    found = (
        *reader.sessions(),
        reader.input("a", "in_0"),
        reader.message("a", "msg_1"),
        reader.message("a", "other"),
        reader.request("a", "req"),
        *reader.requests("req"),
        reader.epoch("a"),
    )
    rows = tuple(row for row in found if row is not None)
    return (events, *operational, rows)


def underived(reader: Reader) -> tuple[tuple[object, ...], ...]:
    found = (
        reader.head("a"),
        reader.admission("a", "key"),
        reader.lease("a"),
        reader.blob(hashlib.sha256(b"kept").hexdigest()),
    )
    return (
        tuple(reader.all_events()),
        tuple(reader.approvals("/work")),
        tuple(row for row in found if row is not None),
    )
