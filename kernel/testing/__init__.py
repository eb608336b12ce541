"""The kit for authors: what a plugin, a provider or a store is tested with.

A scripted provider plays the model's part, gates decide how far a stream or a tool has
come, a manual clock stands still, a store in memory needs no file, and a contract suite
says whether another store keeps its promises. Loaded on first use. The suites that
check plugins of every kind are in ``conformance``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .clock import ManualClock as ManualClock
    from .crash.bench import (
        CrashBench as CrashBench,
    )
    from .crash.driver import (
        CrashFailure as CrashFailure,
        CrashReport as CrashReport,
        crash_storm as crash_storm,
        crash_test as crash_test,
    )
    from .crash.model import (
        Attempts as Attempts,
    )
    from .crash.points import (
        FaultPoint as FaultPoint,
    )
    from .crash.scenario import (
        CrashEnd as CrashEnd,
        CrashRun as CrashRun,
        CrashScenario as CrashScenario,
    )
    from .crash.world import (
        CrashWorld as CrashWorld,
    )
    from .memory_store import (
        MemoryStore as MemoryStore,
        MemoryStorePlugin as MemoryStorePlugin,
        open_memory_store as open_memory_store,
    )
    from .scripted import (
        Gate as Gate,
        ScriptedProvider as ScriptedProvider,
        call as call,
        calls as calls,
        finish as finish,
        reasoning as reasoning,
        text as text,
    )
    from .small_runtime import (
        open_small_runtime as open_small_runtime,
    )

_HOMES = {
    "clock": ("ManualClock",),
    "crash.bench": ("CrashBench",),
    "crash.driver": ("CrashFailure", "CrashReport", "crash_storm", "crash_test"),
    "crash.model": ("Attempts",),
    "crash.points": ("FaultPoint",),
    "crash.scenario": ("CrashEnd", "CrashRun", "CrashScenario"),
    "crash.world": ("CrashWorld",),
    "memory_store": ("MemoryStore", "MemoryStorePlugin", "open_memory_store"),
    "scripted": (
        "Gate",
        "ScriptedProvider",
        "call",
        "calls",
        "finish",
        "reasoning",
        "text",
    ),
    "small_runtime": ("open_small_runtime",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{home}", __name__), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOME]
