"""Writes what the queries render into the modules that the stores run.

Run by hand whenever a table or a query is changed, and looked through in the diff: this
is the SQL that will run.

    python tests/support/statements.py

It writes ``storage/sqlite/statements.py``, with the schema that it is for, and the
names of all statements into ``storage/sql/statements.py``.
"""

import re
import textwrap
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from dovetail.storage.sql import queries
from dovetail.storage.sql.rendering import Statement
from dovetail.storage.sqlite.dialect import SQLITE, schema

STORAGE = Path(queries.__file__).parents[2]
NAMES = STORAGE / "sql" / "statements.py"
TEXTS = STORAGE / "sqlite" / "statements.py"

NAMES_HEAD = '''\
"""The names of the statements that every SQL store runs.

Written by ``tests/support/statements.py`` from ``queries``, never by hand. The module
``statements`` of each store has them all, in the words of its database.
"""

from collections.abc import Mapping
from typing import Any, Protocol


class Statements(Protocol):
    """A store's own statements."""
'''
TEXTS_HEAD = '''\
"""The statements that the store runs: what ``sql.queries`` renders, written down.

Written by ``tests/support/statements.py``, never by hand; a test compares the two.
So no process renders statements when it starts, or imports what renders them.
"""

from collections.abc import Mapping
from typing import Any

# fmt: off
'''
WIDTH = 72
CLAUSE = re.compile(
    r" (?=(?:FROM|WHERE|ORDER BY|VALUES|ON CONFLICT|SET|UNION) )"
    # Of a table, each column and key.
    r"|(?<=,) (?=(?:\"\w+\" [A-Z]|PRIMARY KEY|FOREIGN KEY))"
)


def rendered() -> dict[str, dict[str, object]]:
    """Return every statement by its name, by the part of the store that runs it."""
    parts: dict[str, dict[str, object]] = {}
    for found in iter_modules(queries.__path__):
        module = import_module(f"{queries.__name__}.{found.name}")
        parts[str(module.__doc__)] = {
            name: value
            for name, value in vars(module).items()
            if name.isupper()
            and name[0] != "_"
            and all(isinstance(one, Statement) for one in texts(value))
        }
    return parts


def names_written() -> str:
    """Return the text of the module that only names them."""
    text = [NAMES_HEAD]
    for statements in rendered().values():
        text.append("\n")
        text += [
            f"    {name}: {_type(value) or 'str'}\n"
            for name, value in statements.items()
        ]
    return "".join(text)


def texts_written() -> str:
    """Return the text of the module that SQLite runs."""
    text = [TEXTS_HEAD, "\n# The schema that they are for, as migrations make it.\n"]
    text.append(f"\nSCHEMA = {_literal(tuple(schema()))}\n")
    for title, statements in rendered().items():
        text.append(f"\n# {title}\n")
        for name, value in statements.items():
            kind = _type(value)
            text.append(f"\n{name}{f': {kind}' if kind else ''} = {_literal(value)}\n")
    return "".join(text)


def texts(value: object) -> Sequence[object]:
    """Return the SQL of one statement, or of each of several."""
    if isinstance(value, Mapping):
        return list(value.values())
    return value if isinstance(value, tuple) else [value]


def _type(value: object) -> str | None:
    """Return what several statements are declared as."""
    if isinstance(value, Mapping):
        return "Mapping[Any, str]"
    return "tuple[str, ...]" if isinstance(value, tuple) else None


def _literal(value: object) -> str:
    """Return what a value is written as, over as many lines as it needs."""
    if isinstance(value, Mapping):
        pairs = [f"{key!r}: {_literal(one)}" for key, one in value.items()]
        return _braced("{", [f"{pair}," for pair in pairs], "}")
    if isinstance(value, tuple):
        return _braced("(", [f"{_literal(one)}," for one in value], ")")
    said = SQLITE.say(value) if isinstance(value, Statement) else str(value)
    clauses = CLAUSE.sub("\\n ", said).splitlines()
    lines = [
        line
        for clause in clauses
        for line in textwrap.wrap(clause, WIDTH, drop_whitespace=False)
    ]
    if "".join(lines) != said:
        raise ValueError(f"not to be broken into lines: {said}")
    return _braced("(", [repr(line) for line in lines], ")")


def _braced(start: str, lines: Sequence[str], end: str) -> str:
    return "\n".join([start, textwrap.indent("\n".join(lines), "    "), end])


if __name__ == "__main__":
    NAMES.write_text(names_written())
    TEXTS.write_text(texts_written())
