"""Rendering: how a query on the tables becomes the text of a statement.

Owns the few words that peewee does not translate from one database to another. Nothing
that runs imports this: what comes out is written down, see ``queries``.
"""

from collections.abc import Callable
from typing import Any

from peewee import (
    SQL,
    ColumnBase,
    Database,
    Expression,
    Field,
    Function,
    NodeList,
    Query,
    Value,
)

from .tables import Table


class Statement:
    """A query, and the names of the values that it is run with, in order."""

    __slots__ = ("names", "query")

    def __init__(self, query: Query, *names: str) -> None:
        self.query = query
        self.names = names


class Dialect:
    """How a database says statements.

    ``same`` is its operator of equality that takes NULL for a value, ``find`` its
    function that says where in a text another one begins, counted from 1, and
    ``unindexed`` what before a column keeps its planner from looking for an index of
    it, if it takes a hint. The database is never connected.
    """

    def __init__(
        self, database: Database, *, same: str, find: str, unindexed: str = ""
    ) -> None:
        self.database = database
        self.same = same
        self.find = find
        self.unindexed = unindexed

    def say(self, statement: Statement) -> str:
        """Return the text of a statement, having checked that its slots are as named,
        in this order."""
        context: Any = self.database.get_sql_context(dialect=self)
        sql, parameters = context.sql(statement.query).query()
        found, expected = list(parameters), list(statement.names)
        assert found == expected, (sql, found, expected)
        return str(sql)


# --- words ------------------------------------------------------------------------


class _Word(ColumnBase):
    """A condition that is said otherwise in each dialect."""

    def __init__(self, say: Callable[[Dialect], Any]) -> None:
        self._say = say

    def __sql__(self, ctx: Any) -> Any:
        return ctx.sql(self._say(ctx.state.dialect))


def contains(text: Field, part: Any) -> Any:
    """Return the condition that a text has another one in it, to the letter.

    Not LIKE: that folds what it likes, and would need its wildcards escaped.
    """
    return _Word(lambda dialect: Function(dialect.find, (text, part)) > SQL("0"))


def unindexed(condition: Any) -> Any:
    """Return a condition that no index is looked for: another one leaves fewer rows."""
    column, op, value = condition.lhs, condition.op, condition.rhs

    def say(dialect: Dialect) -> Any:
        hint = SQL(dialect.unindexed)
        return Expression(NodeList((hint, column), glue=""), op, value)

    return _Word(say)


def same(column: Field, value: Any) -> Any:
    """Return the condition that a column is a value, which may be NULL."""
    return _Word(lambda dialect: Expression(column, dialect.same, value))


# --- slots ------------------------------------------------------------------------


def slot(name: str) -> Any:
    """Return a place in a statement that a value is bound to when it runs."""
    return Value(name, converter=False)


def slots(table: type[Table], *omitted: str) -> dict[Field, Any]:
    """Return a slot for every column, in the order of their declaration."""
    fields: list[Field] = table._meta.sorted_fields
    return {one: slot(one.name) for one in fields if one.name not in omitted}


# --- the usual ones ---------------------------------------------------------------


def insertion(table: type[Table], *omitted: str) -> Statement:
    """Return the statement that inserts a row."""
    values = slots(table, *omitted)
    return Statement(table.insert(values), *[one.name for one in values])


def addition(table: type[Table]) -> Statement:
    """Return the statement that inserts a row where its key does not exist."""
    values = slots(table)
    query = table.insert(values).on_conflict_ignore()
    return Statement(query, *[one.name for one in values])


def upsert(table: type[Table], *key: str, omit: str = "") -> Statement:
    """Return the statement that inserts a row or, where its key exists, replaces it."""
    # By name: `==` on a peewee field makes an expression, so `in` would find anything.
    values = slots(table, omit)
    query = table.insert(values).on_conflict(
        conflict_target=[one for one in values if one.name in key],
        preserve=[one for one in values if one.name not in key],
    )
    return Statement(query, *[one.name for one in values])
