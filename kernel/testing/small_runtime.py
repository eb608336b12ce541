"""The small runtime: a real one, in memory, that sees nothing of its surroundings.

Owns what tests want otherwise than applications do. Knows nothing of pytest.
"""

from collections.abc import Collection
from typing import Any

from ..models.retry import RetryPolicy
from ..runtime import Runtime, open_runtime


def open_small_runtime(
    *plugins: object, installed: Collection[str] = ("sqlite",), **options: Any
) -> Runtime:
    """Open a runtime for a test: ``async with open_small_runtime(plugin) as runtime``.

    It is ``open_runtime("sqlite://", plugins=plugins)``, except that of the installed
    plugins only ``installed`` are loaded (by name; one opens the store), that neither
    the environment nor the user's configuration reaches it, that whatever is asked is
    allowed, and that a retry waits a millisecond. ``options`` are those of
    ``open_runtime``, ``url`` among them, and go before all of this.

    Raises (on entering): as ``open_runtime``.
    """
    return open_runtime(
        **{
            "url": "sqlite://",
            "plugins": plugins,
            "load_entry_points": bool(installed),
            "allow_plugins": tuple(installed),
            "on_permission": "allow",
            "retry": RetryPolicy(first=0.001, longest=0.001),
            "environment": {"DOVETAIL_CONFIG": ""},
            **options,
        }
    )
