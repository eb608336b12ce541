"""Standard input: what is piped in, read to its end, without hanging on an open pipe.

Owns waiting for it and telling that it is waited for. A terminal is not read here: who
sits at it is asked (see ``asking``).
"""

import select
import sys

import click

from ..console.terminal import Terminal

PATIENCE = 3.0
"""Seconds in which something must come in beside a prompt; then it goes without."""


def is_piped() -> bool:
    """Return whether standard input is something else than a terminal."""
    return _descriptor() is not None and not sys.stdin.isatty()


def read_piped(limit: int, terminal: Terminal, *, wanted: bool) -> str | None:
    """Return what comes in, to its end, but no more than ``limit`` bytes.

    What is not ``wanted`` may never come: a pipe that somebody holds open and writes
    nothing to. Then None is returned after a while, and it is said.

    Raises:
        ClickException: it cannot be read.
        UsageError: it is not UTF-8.
    """
    fd = _descriptor()
    if fd is None:
        return None
    try:
        if not select.select([fd], [], [], PATIENCE)[0]:
            if not wanted:
                terminal.tell(
                    f"nothing came in on standard input within {PATIENCE:g} s; going "
                    "on without it"
                )
                return None
            terminal.tell("reading the prompt from standard input, up to its end")
        data = sys.stdin.buffer.read(limit)
    except OSError as error:
        raise click.ClickException(
            f"standard input cannot be read ({error.strerror})"
        ) from error
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise click.UsageError(
            f"standard input is not UTF-8 at byte {error.start}"
        ) from None


def _descriptor() -> int | None:
    try:
        return sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):
        # Closed, or no file at all.
        return None
