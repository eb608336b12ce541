"""The sources ``core/environment`` and ``core/date``: where and when the model works.

They tell what a task needs and nothing else: no user name, no host name, no time of
day (law context.5).
"""

import sys
from collections.abc import Callable
from datetime import date

from anyio import to_thread
from dovetail.kernel import ContextSource, Location, Observation

_PLATFORMS = {"darwin": "macOS", "linux": "Linux", "win32": "Windows"}


def environment_source(location: Location) -> ContextSource:
    """Return the source that tells the directory, the platform and the checkout."""

    async def observe() -> Observation:
        root = await to_thread.run_sync(location.checkout, abandon_on_cancel=True)
        return Observation(
            "Environment:\n"
            f"- Working directory: {location.directory}\n"
            f"- Platform: {_PLATFORMS.get(sys.platform, sys.platform)}\n"
            f"- Inside a git checkout: {'yes' if root else 'no'}"
        )

    return ContextSource("core/environment", observe)


def date_source(today: Callable[[], date] = date.today) -> ContextSource:
    """Return the source that tells the local date. ``today`` says which it is."""

    async def observe() -> Observation:
        day = today().isoformat()
        return Observation(f"Today's date: {day}", f"Today's date is now: {day}")

    return ContextSource("core/date", observe)
