"""The late runner: a runtime's runner, made by the first who needs it.

Owns when that is. Most of what a Step is made of is imported with it, and whoever only
lists, reads or removes sessions does not wait for that.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from .coordinator import DrainControl

if TYPE_CHECKING:
    from .runner import Runner


class LateRunner:
    """Gives one runtime its one runner. It is made in one go, without an ``await``."""

    def __init__(self, make: "Callable[[], Runner]") -> None:
        self._make = make
        self.made: Runner | None = None
        """The runner, if anybody needed it so far."""

    def __call__(self) -> "Runner":
        """Return the runner.

        Raises:
            RuntimeClosedError: nobody needed it while the runtime was open.
        """
        if self.made is None:
            self.made = self._make()
        return self.made

    async def drain(self, session_id: str, control: DrainControl) -> None:
        """See ``Runner.drain``."""
        await self().drain(session_id, control)
