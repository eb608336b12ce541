"""The HTTP door: everything that can be done in the process, from another one.

``app(runtime)`` is an ASGI application for one's own Starlette or FastAPI program, and
``dovetail serve`` a server of its own. Needs the extra ``server``; nothing of it is
imported before it is asked for. The routes, and what is the same as in opencode's V2
surface, are in ``docs/http.md``.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .application import app as app
    from .door import Admittance as Admittance

__all__ = ["Admittance", "app"]


def __getattr__(name: str) -> Any:
    if name == "app":
        from .application import app

        return app
    if name == "Admittance":
        from .door import Admittance

        return Admittance
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
