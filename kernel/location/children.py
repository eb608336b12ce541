"""Who runs the sessions that work for others, as a Location's services see it.

Owns nothing: sessions stand above Locations, so what a call needs of them is handed
down under this name by ``runtime``.
"""

from typing import Protocol

from ..contracts import ChildAnswer, JobWork


class ChildSessions(Protocol):
    """Runs the sessions that work for others."""

    async def run(
        self, session_id: str, parent: str, accept: str | None
    ) -> ChildAnswer:
        """Have a session do what waits for it, and return what came of it. ``accept``
        is what is accepted of what another worker left of it."""
        ...

    async def answer(self, session_id: str) -> ChildAnswer:
        """Return what a session has said by now."""
        ...

    def go_on(self, session_id: str, accept: str | None) -> None:
        """Have a session do what waits for it, and wait for nothing."""
        ...

    @property
    def work(self) -> JobWork:
        """How sessions that are jobs are looked after."""
        ...
