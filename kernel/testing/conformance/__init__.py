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

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .contents import *  # noqa: F403 - each name is listed there, once
else:
    from ...lazy import lazy

    __getattr__, __dir__, __all__ = lazy(__name__)
