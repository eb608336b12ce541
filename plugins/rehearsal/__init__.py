"""The rehearsal: a stand-in for a model, so that everything else can be real.

A small program on loopback that speaks the Chat Completions streaming protocol. It
repairs small programs whose tests fail, deciding each time from the request that it
is sent: there is no model in it, and it says so. Owns the server, its policy and the
sample project. Knows nothing of sessions, stores or tools beyond their names.

Run it as a program with ``python -m dovetail.plugins.rehearsal``.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .sample import copy_sample, sample_prompt
    from .server import RehearsalServer, rehearsal_server

__all__ = ["RehearsalServer", "copy_sample", "rehearsal_server", "sample_prompt"]

_HOMES = {
    "RehearsalServer": ".server",
    "copy_sample": ".sample",
    "rehearsal_server": ".server",
    "sample_prompt": ".sample",
}


def __getattr__(name: str) -> Any:
    # On first use: every process imports this package for its command, and few run it.
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home, __name__), name)
