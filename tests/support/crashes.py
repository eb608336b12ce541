"""What a killed process leaves behind, without a process: copies of a memory store.

A store in memory is copied at an instant that a test chooses, and the copy is opened by
another runtime. In the copy whoever held a lease has ended. What the first one does
after that instant happened in another world. Real processes are killed in tests/crash.
"""

import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

from attrs import evolve
from dovetail.kernel import RetryPolicy, Runtime, Tool, open_runtime
from dovetail.kernel.lifecycle.process import name_of_process
from dovetail.kernel.testing import ManualClock, MemoryStorePlugin
from dovetail.kernel.testing.memory_store import MemoryState

from support.hosts import Tools

HOUR = 3_600_000


def copied(state: MemoryState) -> MemoryState:
    """Return what is durable now. Rows are frozen, so copying the tables is enough."""
    copy = MemoryState()
    for name, table in vars(state).items():
        setattr(copy, name, type(table)(table))
    copy.events = {key: list(records) for key, records in state.events.items()}
    copy.watchers = {}
    copy.leases = {
        key: evolve(row, process=ended()) for key, row in state.leases.items()
    }
    return copy


@cache
def ended() -> str | None:
    """Return the name of a process that has ended."""
    with subprocess.Popen(
        [sys.executable, "-c", ""], stdin=subprocess.DEVNULL
    ) as child:
        return name_of_process(child.pid)


@asynccontextmanager
async def on(
    state: MemoryState,
    *tools: Tool[Any, Any],
    plugins: Sequence[object] = (),
    lives: int = 0,
    **options: Any,
) -> AsyncIterator[Runtime]:
    """Open a runtime on a state; ``lives`` is how many died on it before."""
    store = MemoryStorePlugin()
    store.states["left"] = state
    options.setdefault("retry", RetryPolicy(retries=0))
    options.setdefault("environment", {"DOVETAIL_CONFIG": ""})
    options.setdefault("clock", ManualClock(1_700_000_000_000 + lives * HOUR))
    async with open_runtime(
        "memory://left",
        plugins=[store, *plugins, *([Tools(*tools)] if tools else [])],
        load_entry_points=False,
        **options,
    ) as runtime:
        yield runtime
