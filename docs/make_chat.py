"""Writes the tables of docs/chat.md that are made from the code.

Run it after a change: ``python docs/make_chat.py``. A test fails while the page differs
from what this would write. A part stands between ``<!-- made: NAME -->`` and
``<!-- end -->``.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from dovetail.plugins.chat.commands import COMMANDS
from dovetail.plugins.chat.key_names import KEYS

PAGE = Path(__file__).resolve().parent / "chat.md"


def keys() -> str:
    """Return the keys and what each does."""
    rows = [(f"`{one.shown}`", one.help) for one in KEYS]
    return table(("key", "does"), rows)


def commands() -> str:
    """Return the commands of the prompt line."""
    rows = [
        (f"`/{one.name} {one.takes}`".replace(" `", "`"), one.help) for one in COMMANDS
    ]
    return table(("command", "does"), rows)


def table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


PARTS: Mapping[str, Callable[[], str]] = {"keys": keys, "commands": commands}


def made(text: str) -> str:
    """Return the page with each of its parts as it should be."""
    for name, make in PARTS.items():
        start, end = f"<!-- made: {name} -->\n", "<!-- end -->"
        before, found, rest = text.partition(start)
        if not found:
            raise LookupError(f"the page has no part {name!r}")
        text = f"{before}{start}{make()}\n{end}{rest.partition(end)[2]}"
    return text


if __name__ == "__main__":
    PAGE.write_text(made(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
