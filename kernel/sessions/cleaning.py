"""Cleaning: when outputs of calls that are old or too many are cleaned up.

Also what an earlier process left of sessions that it removed, at once.

Owns the time for it, which is nobody's: a while after the runtime was opened, then
every few hours, and when it closes after calls of it left outputs, so that a process
which lives for one prompt cleans up after itself. No Step and no start waits for it.
What goes is said by ``upkeep.outputs``, by a policy that the runtime was given or that
the person's own file says.
"""

import logging
from collections.abc import Callable

import anyio
from anyio import to_thread

from ..log.commit import EventLog
from ..values.errors import ConfigurationError, DovetailError, RuntimeClosedError
from ..values.events import Event
from ..values.outputs import CleanedOutputs, OutputPolicy

logger = logging.getLogger(__name__)

FIRST_SECONDS = 60.0
EVERY_SECONDS = 6 * 3600.0
CLOSE_SECONDS = 2.0
"""How long closing may take longer for it."""
WORTH = 16 * 1024 * 1024
"""Freed bytes from which on the store gives them back to the system."""


class Cleaning:
    """Cleans up the outputs of one store while a runtime is open."""

    def __init__(self, log: EventLog, policy: Callable[[], OutputPolicy]) -> None:
        """``policy`` is asked in a thread, each time."""
        self._log = log
        self._policy = policy
        self._left = False
        """Whether a call of this process left an output since it was looked last."""
        self._end = log.observe(self._see, foreign=False)

    def _see(self, event: Event) -> None:
        if getattr(event, "managed", None) is not None:
            self._left = True

    async def run(self) -> None:
        """Clean up from time to time, until it is cancelled."""
        await self._erased()
        seconds = FIRST_SECONDS
        while True:
            await self._log.clock.sleep(seconds)
            await self._tried()
            seconds = EVERY_SECONDS

    async def _erased(self) -> None:
        """Delete what an earlier process left of sessions that it removed."""
        try:
            if await self._log.read(lambda rows: rows.sessions_to_erase()):
                # Here, because there nearly never is anything.
                from ..upkeep.removal import erase

                await erase(self._log)
                await self._log.store.compact()
        except RuntimeClosedError:
            pass  # The next process goes on.
        except DovetailError as error:
            # So it does here.
            logger.warning("what removed sessions left was not deleted: %s", error)

    async def now(self, policy: OutputPolicy | None = None) -> CleanedOutputs:
        """Clean up at once.

        Raises:
            ConfigurationError: the person's file cannot be read.
            StoreError: the store failed.
        """
        from ..upkeep.outputs import clean

        self._left = False
        if policy is None:
            policy = await to_thread.run_sync(self._policy)
        done = await clean(self._log, policy)
        if done.bytes >= WORTH:
            await self._log.store.compact()
        return done

    async def aclose(self) -> None:
        """Clean up where calls left outputs, and see nothing more."""
        self._end()
        if self._left:
            with anyio.move_on_after(CLOSE_SECONDS):
                await self._tried()

    async def _tried(self) -> None:
        try:
            done = await self.now()
        except RuntimeClosedError:
            pass  # It was nobody's time any more.
        except ConfigurationError as error:
            logger.warning("no outputs are cleaned up: %s", error)
        except DovetailError as error:
            # It is tried again the next time.
            logger.warning("outputs were not cleaned up: %s", error)
        else:
            if done.outputs:
                logger.info(
                    "%d outputs of calls were cleaned up, %d bytes",
                    done.outputs,
                    done.bytes,
                )
