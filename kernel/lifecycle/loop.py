"""The event loop as other threads reach it.

Owns one way in: a function is called in the loop, soon, and whoever asks for it does
not wait, so that a loop that is held up holds up nobody else.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from anyio.lowlevel import current_token

CallInLoop: TypeAlias = Callable[..., object]
"""``call(function, *arguments)``, from any thread. Raises RuntimeError once the loop
has ended."""


def loop_caller() -> CallInLoop:
    """Return what calls functions in the loop that runs here."""
    native: Any = current_token().native_token
    # asyncio's name for it, then trio's. Neither is imported here: a process that runs
    # no loop, or the other one, does without.
    call: CallInLoop = getattr(native, "call_soon_threadsafe", None) or (
        native.run_sync_soon
    )
    return call
