"""The page of help: what ``dovetail --help`` shows.

Owns how the page is laid out. Nothing here imports the kernel or click: whoever looks
for a word sees the page before either could be there.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping

from ..console.server_name import OVER_SERVERS, TOKEN_VARIABLE
from .declared import declared

ABOUT = "Durable sessions for AI agents."
OPTIONS = {
    "-v, --verbose": "Tell more of what goes wrong.",
    "--server URL": "Work on the sessions of a server (`dovetail serve`): "
    f"{', '.join(OVER_SERVERS)}. {TOKEN_VARIABLE} is its token.",
    "--version": "Show the version and exit.",
    "-h, --help": "Show this message and exit.",
}
WIDEST, NARROWEST = 78, 50
"""Columns of the page, whatever the terminal has."""
WIDEST_NAME = 30
GAP = 2


def shown(option: str) -> bool:
    """Print the page, or the version, and return whether that could be done: not where
    plugins must be imported to know all commands."""
    if option == "--version":
        from importlib.metadata import version

        print(f"dovetail, version {version('dovetail')}", flush=True)
        return True
    found = declared()
    if not found.whole:
        return False
    told = {name: about for name, (_, about) in found.commands.items()}
    # A terminal that lacks a character shows another one.
    getattr(sys.stdout, "reconfigure", lambda **_: None)(errors="replace")
    print(page(told, columns()), end="", flush=True)
    return True


def columns() -> int:
    """Return the columns that a page may take, as click counts them."""
    try:
        wide = int(os.environ.get("COLUMNS", ""))
    except ValueError:
        wide = 0
    if wide <= 0:
        try:
            wide = os.get_terminal_size(sys.__stdout__.fileno()).columns  # type: ignore[union-attr]
        except (AttributeError, ValueError, OSError):
            wide = 0
    return max(min(wide or WIDEST + 2, WIDEST + 2) - 2, NARROWEST)


def page(commands: Mapping[str, str], width: int) -> str:
    """Return the page, for commands with what each of them does."""
    lines = ["Usage: dovetail [OPTIONS] COMMAND [ARGS]...", "", f"  {ABOUT}"]
    lines += ["", "Options:", *_table(OPTIONS, width)]
    if commands:
        lines += ["", "Commands:", *_table(dict(sorted(commands.items())), width)]
    return "\n".join([*lines, ""])


def _table(rows: Mapping[str, str], width: int) -> Iterator[str]:
    """Yield the lines of names and what they mean."""
    room = min(max(map(len, rows)), WIDEST_NAME) + GAP
    for name, told in rows.items():
        first = f"  {name}"
        if len(name) > room - GAP:
            yield first
            first = ""
        for line in _folded(told.split(), max(width - room - 2, 10)):
            yield f"{first:<{room + 2}}{line}"
            first = ""


def _folded(words: Iterable[str], width: int) -> Iterator[str]:
    line = ""
    for word in words:
        if line and len(line) + 1 + len(word) > width:
            yield line
            line = word
        else:
            line = f"{line} {word}".strip()
    yield line
