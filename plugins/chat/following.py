"""Following: all that happens in a session, once, whichever process it happens in.

Owns the joining of what this process sees as it happens with the log, where the work of
another process is all there is to see. What happens here comes first: it has deltas.
"""

from collections.abc import Callable

import anyio
from dovetail.kernel import LiveDelta, LiveEvent, Session, StepStarted

from ..console.feed import Feed

GRACE_SECONDS = 0.3
"""How long what is in the log already may take to be seen as it happened."""


class Following:
    """Hands over each event in order, and each delta that belongs where it comes."""

    def __init__(
        self,
        session: Session,
        feed: Feed,
        after: int,
        take: Callable[[LiveEvent], None],
    ) -> None:
        self._session = session
        self._feed = feed
        self._take = take
        self._last = after
        self._whole = True
        """Whether no event of the current Step came by the log: what was said before it
        may be told after it."""

    async def follow(self, *, log: bool) -> None:
        """Hand over what happens until the feed is closed. ``log``: what others do,
        too, which a server tells by itself."""
        async with anyio.create_task_group() as tasks:
            if log:
                tasks.start_soon(self._by_log)
            async for event in self._feed:
                if isinstance(event, LiveDelta):
                    if self._whole:
                        self._take(event)
                elif event.seq > self._last:
                    self._last = event.seq
                    self._whole = self._whole or isinstance(event, StepStarted)
                    self._take(event)
            tasks.cancel_scope.cancel()

    async def _by_log(self) -> None:
        async with self._session.events(self._last, follow=True) as tail:
            async for event in tail:
                if event.seq <= self._last:
                    continue
                await anyio.sleep(GRACE_SECONDS if self._whole else 0)
                if event.seq > self._last:
                    self._last, self._whole = event.seq, False
                    self._take(event)
