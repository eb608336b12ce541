"""A command of the prompt line: its name, what it takes, and what it does.

Owns how the one that was meant is found. Knows none of them: see ``commands``.
"""

import difflib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from attrs import frozen
from dovetail.kernel import PromptCommand

from ..console.terminal import short


@frozen
class ChatCommand:
    """One command of the prompt line."""

    name: str
    takes: str
    """What may be typed after it; empty for nothing."""
    help: str
    run: Callable[[Any, str], Awaitable[None]]
    """Is given the ``Talk``, and what was typed after the name."""


def nearest(name: str, known: Sequence[str]) -> str | None:
    """Return the name that was probably meant."""
    found = difflib.get_close_matches(name, known, 1)
    if found:
        return found[0]
    return next((one for one in known if name and one.startswith(name)), None)


def told_of(command: PromptCommand, limit: int) -> str:
    """Return what is told of a plugin's command: its arguments, and what it is for."""
    names = [
        f"{one.name}=..." if one.required else f"[{one.name}=...]"
        for one in command.arguments
    ]
    return short(" ".join([*names, command.description]).strip(), limit)
