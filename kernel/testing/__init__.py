"""The kit for authors: what a plugin, a provider or a store is tested with.

A scripted provider plays the model's part, gates decide how far a stream or a tool has
come, a manual clock stands still, a store in memory needs no file, and a contract suite
says whether another store keeps its promises. Loaded on first use. The suites that
check plugins of every kind are in ``conformance``.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .contents import *  # noqa: F403 - each name is listed there, once
else:
    from ..lazy import lazy

    __getattr__, __dir__, __all__ = lazy(__name__)
