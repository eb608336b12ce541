"""Starvation: how long a thread was ready to run and was given no processor.

Owns the reading of it, where the system tells (Linux does, also of a container that has
used up its share), in a way that is cheap enough for every call of a hook. On a machine
that has too much to do, code that does little takes long, and that is no fault of it.
Elsewhere nothing is known, and all the time counts that passed.
"""

import os
import time
from collections.abc import Callable
from threading import get_ident

TOLD = "/proc/thread-self/schedstat"
"""``<seconds on a processor> <waited for one> <turns>``, in ns, of the thread that
reads it: Documentation/scheduler/sched-stats.rst of the Linux kernel."""
STALE = 0.1
"""Seconds for which a reading stands for a later one: what a thread waited before a
call may be counted as if it had been in it, up to this."""
WORTH = 0.05
"""Seconds below which it does not matter how much of them was waiting."""


class Starvation:
    """Measures what threads waited for a processor. Any thread may ask."""

    def __init__(self, waited: Callable[[], float] | None = None) -> None:
        """``waited`` says how long the thread that asks has waited in its life."""
        self._waited = waited or _waited
        self._last = (0, -STALE, 0.0)
        """Of which thread, when, and what."""

    def begin(self) -> float:
        """Return what to hand to ``lost``: what this thread waited until now."""
        thread, at, waited = self._last
        now, mine = time.monotonic(), get_ident()
        if thread != mine or now - at > STALE:
            waited = self._waited()
            self._last = (mine, now, waited)
        return waited

    def lost(self, begun: float, seconds: float) -> float:
        """Return how much of the ``seconds`` since then this thread only waited."""
        if seconds < WORTH:
            return 0.0
        return min(max(0.0, self._waited() - begun), seconds)


def _waited() -> float:
    # Without a file object: this is asked for in every tenth of a second.
    try:
        file = os.open(TOLD, os.O_RDONLY)
    except OSError:
        return 0.0
    try:
        return int(os.read(file, 100).split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0
    finally:
        os.close(file)
