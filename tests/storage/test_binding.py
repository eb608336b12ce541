"""Values on their way to SQLite: what is bound, and what stands in the statement."""

import sqlite3

from dovetail.storage.sqlite import statements
from dovetail.storage.sqlite.binding import MOST, octets, spelled
from hypothesis import given, strategies as st
from support.statements import rendered, texts

COLUMNS = 4
PUT = f"INSERT INTO t VALUES ({', '.join('?' * COLUMNS)})"
values = st.none() | st.integers(-9, 9) | st.text(max_size=3) | st.floats(0, 1)


def stored(sql: str, parameters: object) -> object:
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute("CREATE TABLE t (a, b, c, d)")
        connection.execute(sql, parameters)  # type: ignore[arg-type]
        return connection.execute("SELECT * FROM t").fetchall()
    finally:
        connection.close()


@given(st.tuples(*[values] * COLUMNS))
def test_what_is_spelled_stores_what_would_have_been_bound(
    row: tuple[object, ...],
) -> None:
    text, bound = spelled(PUT, row)
    given = row if bound is None else bound(row)
    assert None not in given
    assert stored(text, given) == stored(PUT, row) == [row]


def test_a_row_without_nulls_is_bound_as_it_is() -> None:
    assert spelled(PUT, (1, "b", 3.0, "d")) == (PUT, None)


def test_no_more_is_remembered_than_there_is_room_for() -> None:
    for number in range(2 * MOST):
        text, bound = spelled(f"UPDATE t{number} SET a = ?, b = ?", (None, 1))
        assert text == f"UPDATE t{number} SET a = NULL, b = ?"
        assert bound is not None
        assert list(bound((None, 1))) == [1]


def test_bytes_are_stored_as_such() -> None:
    row = (octets(b""), octets(b"\0\xff"), 1, "d")
    assert stored(PUT, row) == [(b"", b"\0\xff", 1, "d")]


def test_no_statement_has_a_question_mark_that_is_no_place_for_a_value() -> None:
    for part in rendered().values():
        for name, value in part.items():
            said = texts(getattr(statements, name))
            for one, text in zip(texts(value), said, strict=True):
                assert str(text).count("?") == len(one.names)  # type: ignore[attr-defined]
