"""No statement that runs while a session works reads a whole table."""

import sqlite3
from collections.abc import Iterator

import pytest
from dovetail.storage.sqlite import statements
from support.statements import rendered, texts

PARTIAL = ("request_pending_", "job_running_")
"""Indexes of only what waits: going through all of one is the purpose."""

WHOLE = "ALL_WORK[0]"
"""Reads all of the table of work, which holds only what is left to do."""

MISSING = "SESSIONS_MISSING[0]"
"""Looks at all sessions, once in a runtime, for one that would be in no list."""

REPAIR = "ORPHANS[0]"
"""Looks for events without a session, to mend one that cannot be found."""


@pytest.fixture(scope="module")
def database() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for statement in statements.SCHEMA:
        connection.execute(statement)
    yield connection
    connection.close()


def plan(connection: sqlite3.Connection, sql: str) -> list[str]:
    parameters = [1] * sql.count("?")
    rows = connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)
    return [row[3] for row in rows]


ALL = {
    f"{name}[{number}]": str(text)
    for part in rendered().values()
    for name in part
    for number, text in enumerate(texts(getattr(statements, name)))
}


def test_every_statement_is_looked_at() -> None:
    assert len(ALL) > 40
    assert {"SELECT", "INSERT", "UPDATE", "DELETE"} == {
        text.split()[0] for text in ALL.values()
    }


@pytest.mark.parametrize("label", sorted(ALL.keys() - {WHOLE, MISSING, REPAIR}))
def test_no_statement_scans_a_table(label: str, database: sqlite3.Connection) -> None:
    steps = plan(database, ALL[label])
    scans = [
        step
        for step in steps
        if step.startswith("SCAN") and not any(name in step for name in PARTIAL)
    ]
    assert scans == [], steps


def test_work_is_found_in_its_own_small_table(database: sqlite3.Connection) -> None:
    scans = [one for one in plan(database, ALL[WHOLE]) if one.startswith("SCAN")]
    [alias] = [one.split()[1] for one in scans]
    assert f'"work" AS "{alias}"' in ALL[WHOLE]


LISTINGS = {
    (False, False, False, False): "INTEGER PRIMARY KEY",
    (True, False, False, False): "session_directory",
    (False, False, True, False): "session_parent",
    (True, False, True, False): "session_parent",
    (True, True, True, False): "session_parent",
    (False, False, False, True): "session_parent",
    (True, False, False, True): "session_roots",
    (True, True, False, True): "session_roots",
}


@pytest.mark.parametrize("asked", LISTINGS)
def test_a_listing_is_led_by_the_index_that_leaves_fewest(
    asked: tuple[bool, bool, bool, bool], database: sqlite3.Connection
) -> None:
    """Children are few, in whatever directory, and roots are few in one directory."""
    for oldest_first in (False, True):
        first = plan(database, statements.LISTINGS[*asked, oldest_first])[0]
        assert f"USING INDEX {LISTINGS[asked]} " in first or (
            f"USING {LISTINGS[asked]} " in first
        )


# Few rows: what waits for an answer, by the place of its event; how many events of each
# kind there are; and the inputs of a session that wait, of which all are read.
SORTED = ("PENDING_REQUESTS", "PENDING_INPUTS[0]", "PENDING_INPUTS[1]", "KINDS")


@pytest.mark.parametrize(
    "label",
    [
        one
        for one in sorted(ALL.keys() - {REPAIR})
        if not any(few in one for few in SORTED)
    ],
)
def test_no_statement_sorts_what_an_index_could_give_in_order(
    label: str, database: sqlite3.Connection
) -> None:
    assert not [one for one in plan(database, ALL[label]) if "TEMP B-TREE" in one]
