"""The SQL that runs is what the tables and the queries say.

Whoever changes one runs ``tests/support/statements.py`` and reads the diff.
"""

import pytest
from dovetail.storage.sql.rendering import Dialect
from peewee import PostgresqlDatabase
from support.statements import (
    NAMES,
    TEXTS,
    names_written,
    rendered,
    texts,
    texts_written,
)


def test_the_statements_are_what_the_queries_render() -> None:
    assert TEXTS.read_text() == texts_written()


def test_every_store_is_asked_for_the_same_statements() -> None:
    assert NAMES.read_text() == names_written()


SQLITE_ONLY = ("INSTR", "OR REPLACE", "OR IGNORE", "ROWID", " IS %s", '+"', "?")


@pytest.mark.parametrize("part", rendered())
def test_the_queries_are_not_sqlite_s_alone(part: str) -> None:
    """What they render for another database has none of SQLite's own words."""
    other = Dialect(
        PostgresqlDatabase(None), same="IS NOT DISTINCT FROM", find="STRPOS"
    )
    for value in rendered()[part].values():
        for one in texts(value):
            said = other.say(one)
            assert [word for word in SQLITE_ONLY if word in said] == [], said
