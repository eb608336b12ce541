"""The client of the HTTP door: a runtime in another process, as if it were here.

``connect(url, token=...)`` gives the objects and methods of ``open_runtime``, on
asyncio and on trio, with the same values and the same errors. ``blocking`` is for
whoever has no event loop, in front of either. Knows the door by its
routes (``docs/http.md``) and imports nothing of it.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .portal import blocking as blocking
    from .remote import RemoteRuntime as RemoteRuntime, connect as connect

__all__ = ["RemoteRuntime", "blocking", "connect"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "blocking":
        from .portal import blocking

        return blocking
    from . import remote

    return getattr(remote, name)
