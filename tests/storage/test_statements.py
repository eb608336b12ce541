"""The SQL that runs is what the tables and the queries say."""

from support.statements import PLACE, written


def test_the_statements_are_what_the_queries_render() -> None:
    """Whoever changes one runs ``tests/support/statements.py`` and reads the diff."""
    assert PLACE.read_text() == written()
