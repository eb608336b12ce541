"""The view of an SQLite connection: how a statement is run, and what its failure is."""

import sqlite3
from typing import Any, NoReturn

from dovetail.kernel.values.errors import (
    DovetailError,
    InvalidValueError,
    StoreClosedError,
)

from ..sql.checks import Row
from ..sql.statements import Statements
from ..sql.view import MAX_INTEGER, Parameters, TakenError, View
from . import statements
from .binding import octets, spelled
from .database import DRIVER_ERRORS, Medium


class _Past:
    """Stands where the connection of a transaction was that is over."""

    def __init__(self, medium: Medium) -> None:
        self._medium = medium

    def execute(self, sql: str, parameters: Parameters) -> NoReturn:
        """Refuse.

        Raises:
            StoreClosedError: always.
        """
        raise StoreClosedError(f"{self._medium.name} (a past transaction)")


class SqliteView(View):
    """One transaction's statements on one connection."""

    sql: Statements = statements
    octets = octets
    _medium: Medium

    def __init__(self, connection: sqlite3.Connection, medium: Medium) -> None:
        super().__init__(medium)
        self._connection = connection
        # Whoever writes has a cursor: making one for each statement is a tenth of it.
        self._writing: sqlite3.Connection | sqlite3.Cursor = connection

    def end(self) -> None:
        """Refuse every later statement: the transaction is over."""
        self._refusal = None
        # Not a check before every statement, and not an error made for every end.
        past: Any = _Past(self._medium)
        self._connection = self._writing = past

    def one(self, sql: str, parameters: Parameters) -> Row | None:
        if self._refusal is not None:
            raise self._refusal
        try:
            found: Row | None
            found = self._connection.execute(sql, parameters).fetchone()
        except DRIVER_ERRORS as error:
            raise self.spoil(self._medium.failure(error)) from error
        except UnicodeEncodeError:
            return None  # a lone surrogate: no stored text can be equal to it
        return found

    def all(self, sql: str, parameters: Parameters) -> list[Row]:
        if self._refusal is not None:
            raise self._refusal
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except DRIVER_ERRORS as error:
            raise self.spoil(self._medium.failure(error)) from error
        except UnicodeEncodeError:
            return []

    def write(self, sql: str, parameters: Parameters) -> int:
        if self._refusal is not None:
            raise self._refusal
        try:
            return self._writing.execute(sql, parameters).rowcount
        except _FAILURES as error:
            raise self.spoil(self._meaning(error, parameters)) from error

    def put(self, sql: str, parameters: Parameters) -> int:
        text, bound = spelled(sql, parameters)
        return self.write(text, parameters if bound is None else bound(parameters))

    def add(self, sql: str, parameters: Parameters) -> None:
        if self._refusal is not None:
            raise self._refusal
        try:
            self._writing.execute(sql, parameters)
        except _FAILURES as error:
            code = getattr(error, "sqlite_errorcode", None)
            if code in _TAKEN:
                key = code != sqlite3.SQLITE_CONSTRAINT_UNIQUE
                raise TakenError(str(error), key=key) from error
            raise self.spoil(self._meaning(error, parameters)) from error

    def _meaning(self, error: Exception, parameters: Parameters) -> DovetailError:
        """Return what a failure to write means for a caller."""
        if isinstance(error, UnicodeEncodeError):
            rule = "a lone surrogate cannot be stored"
            return InvalidValueError("text", error.object, rule)
        if isinstance(error, OverflowError):
            large = next(one for one in parameters if _is_large(one))
            return InvalidValueError("number", large, "over 64 bits cannot be stored")
        return self._medium.failure(error)


_FAILURES = (*DRIVER_ERRORS, UnicodeEncodeError, OverflowError)
_TAKEN = (
    sqlite3.SQLITE_CONSTRAINT_UNIQUE,
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
    sqlite3.SQLITE_CONSTRAINT_ROWID,
)


def _is_large(value: object) -> bool:
    return isinstance(value, int) and not -MAX_INTEGER - 1 <= value <= MAX_INTEGER
