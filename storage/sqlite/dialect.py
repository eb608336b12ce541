"""SQLite's words for the statements and the tables that SQL stores share."""

from typing import Any

from peewee import SchemaManager, SqliteDatabase

from ..sql.rendering import Dialect
from ..sql.tables import TABLES

SQLITE = Dialect(SqliteDatabase(None), same="IS", find="INSTR", unindexed="+")
"""Its database is never connected: stores open their own connections."""


def schema() -> list[str]:
    """Return the statements that make the whole schema in an empty database."""
    made: list[str] = []
    for table in TABLES:
        # Of what the stubs leave out.
        manager: Any = SchemaManager(table, database=SQLITE.database)
        made.append(_text(manager._create_table(safe=False)))
        made += [_text(index) for index in manager._create_indexes(safe=False)]
    return made


def _text(context: Any) -> str:
    sql, parameters = context.query()
    assert not parameters, sql
    return str(sql)
