"""Writes what the queries render into the module that the store runs.

Run by hand whenever a table or a query is changed, and looked through in the diff: this
is the SQL that will run.

    python tests/support/statements.py
"""

import re
import textwrap
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from dovetail.storage.sqlite import queries

PLACE = Path(queries.__file__).parent.parent / "statements.py"
HEAD = '''\
"""The statements that the store runs: what ``queries`` renders, written down.

Written by ``tests/support/statements.py``, never by hand; a test compares the two.
So no process renders statements when it starts, or imports what renders them.
"""

# fmt: off
'''
WIDTH = 72
CLAUSE = re.compile(r" (?=(?:FROM|WHERE|ORDER BY|VALUES|ON CONFLICT|SET|UNION) )")
VERBS = ("SELECT ", "INSERT ", "UPDATE ", "DELETE ")


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
            and all(_is_sql(one) for one in texts(value))
        }
    return parts


def written() -> str:
    """Return the text of the module."""
    text = [HEAD]
    for title, statements in rendered().items():
        text.append(f"\n# {title}\n")
        for name, value in statements.items():
            text.append(f"\n{name} = {_literal(value)}\n")
    return "".join(text)


def texts(value: object) -> Sequence[object]:
    """Return the SQL of one statement, or of each of several."""
    if isinstance(value, Mapping):
        return list(value.values())
    return value if isinstance(value, tuple) else [value]


def _is_sql(value: object) -> bool:
    return all(isinstance(one, str) and one.startswith(VERBS) for one in texts(value))


def _literal(value: object) -> str:
    """Return what a value is written as, over as many lines as it needs."""
    if isinstance(value, Mapping):
        pairs = [f"{key!r}: {_literal(one)}" for key, one in value.items()]
        return _braced("{", [f"{pair}," for pair in pairs], "}")
    if isinstance(value, tuple):
        return _braced("(", [f"{_literal(one)}," for one in value], ")")
    clauses = CLAUSE.sub("\\n ", str(value)).splitlines()
    lines = [
        line
        for clause in clauses
        for line in textwrap.wrap(clause, WIDTH, drop_whitespace=False)
    ]
    if "".join(lines) != value:
        raise ValueError(f"not to be broken into lines: {value}")
    return _braced("(", [repr(line) for line in lines], ")")


def _braced(start: str, lines: Sequence[str], end: str) -> str:
    return "\n".join([start, textwrap.indent("\n".join(lines), "    "), end])


if __name__ == "__main__":
    PLACE.write_text(written())
