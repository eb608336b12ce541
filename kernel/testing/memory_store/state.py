"""What a memory store holds, and a view of it that can write and take that back.

Owns the dictionaries, the lock around them, and how a write is undone. Knows nothing of
what a row means.
"""

import threading
from collections.abc import Callable
from typing import Any

import attrs

from ...lifecycle.loop import CallInLoop
from ...ports import (
    AdmissionRow,
    ApprovalRow,
    EpochRow,
    EventRecord,
    Head,
    InputRow,
    JobRow,
    LeaseRow,
    MessageRow,
    OutputRow,
    RequestRow,
    SessionRow,
)
from ...values.errors import DovetailError, InvalidValueError, StoreClosedError
from ...values.events import NO_HASH

Pair = tuple[str, str]

MAX_INTEGER = 2**63 - 1

LOCK = threading.RLock()
"""Held by whoever looks or writes, in whatever state: not all do it in one thread."""


class MemoryState:
    """What a memory store holds. Give it to the next store to open it again."""

    def __init__(self) -> None:
        self.heads: dict[str, Head] = {}
        """In creation order, which is a session's position; never removed."""
        self.log: list[EventRecord] = []
        """In commit order."""
        self.events: dict[str, list[EventRecord]] = {}
        self.aside: dict[str, list[EventRecord]] = {}
        self.sessions: dict[str, SessionRow] = {}
        self.inputs: dict[Pair, InputRow] = {}
        self.messages: dict[Pair, MessageRow] = {}
        self.requests: dict[Pair, RequestRow] = {}
        self.jobs: dict[Pair, JobRow] = {}
        self.epochs: dict[str, EpochRow] = {}
        self.admissions: dict[Pair, AdmissionRow] = {}
        self.approvals: dict[str, ApprovalRow] = {}
        self.approval_changes: dict[str, int] = {}
        self.leases: dict[str, LeaseRow] = {}
        self.blobs: dict[str, bytes] = {}
        self.holds: dict[tuple[str, int, str], OutputRow | None] = {}
        """A row where the value is held as an output."""
        self.positions: dict[str, int] = {}
        self.to_erase: dict[str, None] = {}
        """Removed sessions of which something is left."""
        self.placed = 0
        """The last place in the commit order that was given out; never given again."""
        self.watchers: dict[object, tuple[object, Callable[[], None], CallInLoop]] = {}


class MemoryView:
    """One transaction's look at the state."""

    def __init__(self, state: MemoryState, name: str = "memory://") -> None:
        self._state = state
        self._name = name
        self._refusal: DovetailError | None = None

    def end(self) -> None:
        """Refuse whatever comes later: the transaction is over."""
        self._refusal = StoreClosedError(f"{self._name} (a past transaction)")

    def now(self) -> MemoryState:
        """Return the state, as it is at this moment.

        Raises:
            DovetailError: the transaction is over, or a write of it has failed.
        """
        if self._refusal is not None:
            raise self._refusal
        return self._state


class MemoryChanges(MemoryView):
    """What one transaction changes, which can be taken back."""

    def __init__(self, state: MemoryState, name: str = "memory://") -> None:
        super().__init__(state, name)
        self._undo: list[Callable[[], object]] = []
        self.failure: DovetailError | None = None

    @property
    def changed(self) -> bool:
        """Whether anything was written."""
        return bool(self._undo)

    def roll_back(self) -> None:
        """Take back everything that was written, last first."""
        while self._undo:
            self._undo.pop()()

    def enter(self, session_id: str) -> None:
        """Give a session its place when it is first named."""
        state = self._state
        if session_id not in state.positions:
            self.put(state.positions, session_id, len(state.positions) + 1)
            self.put(state.heads, session_id, Head(-1, NO_HASH))

    def put(self, table: dict[Any, Any], key: Any, value: Any) -> None:
        """Write one row."""
        if key in table:
            before = table[key]
            self._undo.append(lambda: table.__setitem__(key, before))
        else:
            self._undo.append(lambda: table.pop(key))
        table[key] = value

    def drop(self, table: dict[Any, Any], key: Any) -> bool:
        """Delete one row, and say whether it was there."""
        if key not in table:
            return False
        before = dict(table)

        def restore() -> None:
            # As a whole, because a key that is put back alone would come last.
            table.clear()
            table.update(before)

        self._undo.append(restore)
        del table[key]
        return True

    def check(self, *values: Any) -> None:
        """Refuse what no store can hold; like every failed write, that ends it."""
        for value in values:
            is_row = attrs.has(type(value))
            for one in attrs.astuple(value, recurse=False) if is_row else (value,):
                try:
                    _storable(one)
                except InvalidValueError as error:
                    self.failure = self._refusal = error
                    raise


def _storable(value: object) -> None:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InvalidValueError(
                "text", value, "a lone surrogate cannot be stored"
            ) from error
    if isinstance(value, int) and not -MAX_INTEGER - 1 <= value <= MAX_INTEGER:
        raise InvalidValueError("number", value, "over 64 bits cannot be stored")
