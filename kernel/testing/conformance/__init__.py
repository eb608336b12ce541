"""Conformance: what a plugin of each kind must keep, in versioned suites.

A suite is a class that names a plugin; pytest collects one test for each check and
event loop, and ``check(suite)`` returns the same as a Report, without pytest::

    class TestRoll(ToolConformance):
        version = 1
        plugin = dovetail_dice.plugin
        tool = "roll"
        examples = (ToolExample({"sides": 20, "seed": 1}),)

Loaded on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .calling import ToolExample as ToolExample
    from .context import ContextConformance as ContextConformance
    from .providers import (
        ProviderConformance as ProviderConformance,
        ProviderExample as ProviderExample,
    )
    from .report import (
        Finding as Finding,
        NonconformingError as NonconformingError,
        Report as Report,
    )
    from .skills import SkillConformance as SkillConformance
    from .stores import StoreConformance as StoreConformance
    from .suite import Check as Check, check as check
    from .tools import ToolConformance as ToolConformance

_HOMES = {
    "calling": ("ToolExample",),
    "context": ("ContextConformance",),
    "providers": ("ProviderConformance", "ProviderExample"),
    "report": ("Finding", "NonconformingError", "Report"),
    "skills": ("SkillConformance",),
    "stores": ("StoreConformance",),
    "suite": ("Check", "check"),
    "tools": ("ToolConformance",),
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
