"""Migrations: the numbered steps from an empty file to the current schema.

Owns the list of steps and the journal of those that a file has had. Steps go forward
only and are frozen once released: a change of the schema is a new step. Knows nothing
of locks or files; see ``opening``.
"""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing

from dovetail.kernel.values.errors import (
    StoreDamagedError,
    StoreError,
    StoreMigrationError,
    StoreNewerError,
    StoreVersionError,
)
from dovetail.kernel.values.frozen import frozen

from ..database import APPLICATION_ID, DRIVER_ERRORS, Medium
from . import m0001_initial

JOURNAL = (
    "CREATE TABLE IF NOT EXISTS migration"
    " (number INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL)"
)


@frozen
class Migration:
    """One step. ``apply`` runs inside the transaction of the whole migration."""

    name: str
    apply: Callable[[sqlite3.Connection], None]
    schema: Sequence[str] = ()
    """The statements that the file's schema consists of after this step, as SQLite
    keeps them; none where that is not to be compared."""


STEPS: tuple[Migration, ...] = (
    Migration("0001_initial", m0001_initial.apply, m0001_initial.SCHEMA),
)
"""In order; the number of a step is its place, from 1."""


def version(connection: sqlite3.Connection) -> int:
    """Return the number of the last step that the file has had, or 0."""
    journal = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'migration'"
    if connection.execute(journal).fetchone() is None:
        return 0
    found = connection.execute("SELECT max(number) FROM migration").fetchone()
    return int(found[0] or 0)


def check(
    connection: sqlite3.Connection, medium: Medium, steps: Sequence[Migration]
) -> None:
    """Compare the journal and the schema of a current file with the steps that it had.

    What others added to the file is not looked at.

    Raises:
        StoreVersionError: a table has other columns: another version made it.
        StoreDamagedError: a step is not the one that was journaled, or a part of the
            schema is not what the steps made.
    """
    journal = connection.execute("SELECT number, name FROM migration ORDER BY number")
    if journal.fetchall() != [(n, step.name) for n, step in enumerate(steps, 1)]:
        raise StoreDamagedError(medium.name, "its journal of migrations was changed")
    there = {sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master")}
    for statement in steps[-1].schema if steps else ():
        if statement not in there:
            _check_columns(connection, medium, steps[-1].schema)
            what = " ".join(statement.split("(")[0].split())
            raise StoreDamagedError(
                medium.name, f"its schema was changed: {what} is not as it was made"
            )


def _check_columns(
    connection: sqlite3.Connection, medium: Medium, schema: Sequence[str]
) -> None:
    """Compare what the tables of a file hold with what this schema has.

    Damage takes a table away, or changes letters of what is written of it. One that is
    there, can be read and has other columns was made like that.
    """
    with closing(sqlite3.connect(":memory:")) as made:
        for statement in schema:
            made.execute(statement)
        for (table,) in made.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
        ).fetchall():
            wanted, found = _columns(made, table), _columns(connection, table)
            missing = [one for one in wanted if one not in found]
            unknown = [one for one in found if one not in wanted]
            if found and list(map(len, found)) != list(map(len, wanted)):
                raise StoreVersionError(medium.name, table, missing, unknown)


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    """Return the names of a table's columns; none where it is not there."""
    rows = connection.execute("SELECT name FROM pragma_table_info(?)", (table,))
    return [name for (name,) in rows]


def pending(
    connection: sqlite3.Connection, medium: Medium, steps: Sequence[Migration]
) -> Sequence[Migration]:
    """Return the steps that the file still needs.

    Raises:
        StoreNewerError: it has had steps that this release does not know.
    """
    try:
        done = version(connection)
    except ValueError as error:
        raise StoreDamagedError(
            medium.name, "its journal of migrations was changed"
        ) from error
    # The header says it as well, where every tool of SQLite's looks: a release that
    # keeps its journal in some other way is known by that.
    (said,) = connection.execute("PRAGMA user_version").fetchone()
    if max(done, said) > len(steps):
        raise StoreNewerError(
            medium.name,
            f"its schema is {max(done, said)}, this release knows {len(steps)}; "
            "use the release that wrote it, or a newer one",
        )
    return steps[done:]


def migrate(
    connection: sqlite3.Connection, medium: Medium, steps: Sequence[Migration]
) -> None:
    """Bring the file to the current schema, in one transaction.

    Raises:
        StoreMigrationError: a step failed; the file is as it was.
        StoreError: the medium failed before or after the steps; the same holds.
    """
    # Steps may rebuild a table that others refer to; `foreign_keys` cannot be changed
    # inside a transaction.
    connection.execute("PRAGMA foreign_keys = OFF")
    try:
        _begin(connection)
        try:
            _apply(connection, medium, steps)
            connection.execute("COMMIT")
        except BaseException:
            # Nothing to undo where SQLite has rolled back by itself.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    except DRIVER_ERRORS as error:
        raise medium.failure(error) from error
    finally:
        connection.execute("PRAGMA foreign_keys = ON")


def _begin(connection: sqlite3.Connection) -> None:
    """Begin to write, and let an empty file give back what retention will remove."""
    if connection.execute("PRAGMA page_count").fetchone()[0]:
        connection.execute("BEGIN IMMEDIATE")
        return
    # It has to be said before the first page is written, and writes that itself. Inside
    # of the transaction, so that no file is ever there without our name in it: whoever
    # opened one now, or after a crash, would take it for a stranger's.
    connection.execute("BEGIN")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")


def _apply(
    connection: sqlite3.Connection, medium: Medium, steps: Sequence[Migration]
) -> None:
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(JOURNAL)
    number = version(connection)
    for step in pending(connection, medium, steps):
        number += 1
        try:
            step.apply(connection)
            broken = connection.execute("PRAGMA foreign_key_check").fetchone()
        except Exception as error:
            raise _failed(medium, step, error) from error
        if broken is not None:
            raise StoreMigrationError(
                medium.name, step.name, f"rows of {broken[0]!r} refer to nothing"
            )
        connection.execute(
            "INSERT INTO migration (number, name) VALUES (?, ?)", (number, step.name)
        )
    connection.execute(f"PRAGMA user_version = {number}")


def _failed(medium: Medium, step: Migration, error: Exception) -> StoreError:
    """Name the step, except where the medium failed: then that is what to mend."""
    if isinstance(error, DRIVER_ERRORS):
        meant = medium.failure(error)
        if type(meant) is not StoreError:
            return meant
    return StoreMigrationError(medium.name, step.name, str(error))
