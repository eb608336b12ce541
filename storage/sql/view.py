"""The view: one transaction's statements, in whatever database.

Owns what all that runs through one has in common: that its first failure ends it, and
that a row which is not what was written is not handed out. How a statement is run, and
what a failure of it means, is said by each store.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from dovetail.kernel.values.errors import DovetailError, RowDamagedError

from .checks import Row, is_sound
from .statements import Statements

MAX_INTEGER = 2**63 - 1

Parameters = Sequence[Any]

E = TypeVar("E", bound=DovetailError)


class Medium:
    """Where a database is: ``name`` is for messages."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.warned: set[str] = set()
        """What the log was told of already."""


class TakenError(Exception):
    """A row is in the way of one that is added; ``key`` says whether by its primary
    key. For whoever added it to explain: it never leaves the store."""

    def __init__(self, text: str, *, key: bool) -> None:
        super().__init__(text)
        self.key = key


class View:
    """One transaction's statements.

    The first statement that fails ends it: the database may have rolled back by itself
    then, and a later statement would commit alone. ``failure`` keeps the error, so that
    the transaction fails also when its function caught it and went on.
    """

    sql: Statements
    """All that it can run, in the words of its database."""
    octets: Callable[[bytes], Any]
    """Makes of bytes what the driver takes for them soonest."""

    def __init__(self, medium: Medium) -> None:
        self._medium = medium
        self._refusal: DovetailError | None = None
        self.failure: DovetailError | None = None

    def spoil(self, error: E) -> E:
        """Make the transaction fail with this error, and return it to be raised."""
        self.failure = self._refusal = error
        return error

    # --- said by each store -------------------------------------------------------

    def one(self, sql: str, parameters: Parameters) -> Row | None:
        """Return the first row, or None."""
        raise NotImplementedError

    def all(self, sql: str, parameters: Parameters) -> list[Row]:
        """Return every row."""
        raise NotImplementedError

    def write(self, sql: str, parameters: Parameters) -> int:
        """Run a statement that changes rows, and return how many it changed.

        Raises:
            InvalidValueError: there is a value that the database cannot hold.
        """
        raise NotImplementedError

    def put(self, sql: str, parameters: Parameters) -> int:
        """Do as ``write`` does, with a row that may have NULLs. A question mark in the
        statement is a place for a value."""
        raise NotImplementedError

    def add(self, sql: str, parameters: Parameters) -> None:
        """Run a statement that inserts a row.

        Raises:
            TakenError: a row is in the way; the transaction can go on.
            InvalidValueError: there is a value that the database cannot hold.
        """
        raise NotImplementedError

    # --- the same in all ----------------------------------------------------------

    def checked(
        self,
        table: str,
        session_id: str,
        sql: str,
        parameters: Parameters,
    ) -> Row | None:
        """Return the first row, which ends with its checksum, without that; or None.

        Raises:
            RowDamagedError: it is not what was written for this session.
        """
        found = self.one(sql, parameters)
        if found is None:
            return None
        if not is_sound(session_id, found):
            raise self.damaged(table, session_id)
        return found[:-1]

    def all_checked(
        self,
        table: str,
        session_id: str,
        sql: str,
        parameters: Parameters,
    ) -> list[Row]:
        """Return every row, as ``checked`` does the first."""
        found = self.all(sql, parameters)
        if not all(is_sound(session_id, row) for row in found):
            raise self.damaged(table, session_id)
        return [row[:-1] for row in found]

    def damaged(self, table: str, session_id: str) -> RowDamagedError:
        """Return what to tell of a row that is not what was written.

        The transaction goes on: whoever mends the row does so in it.
        """
        return RowDamagedError(table, session_id, self._medium.name)


def bounded(number: int) -> int:
    """Return a position or limit as the nearest one that a database can hold."""
    return max(-1, min(number, MAX_INTEGER))
