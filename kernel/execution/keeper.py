"""The keeper: renews the leases of what runs here, from a thread of its own.

Owns the rhythm of signs of life. They are given as long as the process lives, also
while something holds up the event loop: plugin code that blocks must not cost live
sessions. They end with the process, while it is stopped, and when the loop was held up
for so long that nobody may count on it any more. Knows nothing of what runs, but by its
fences.

It waits in real time, not by the runtime's clock: it stands for a process that lives.
"""

import logging
import threading
from collections.abc import Callable, Sequence

import anyio

from ..lifecycle.loop import CallInLoop
from ..ports import Store, Transaction
from ..values.clock import Clock
from ..values.errors import OwnerFencedError, StoreDamagedError, StoreError
from . import ownership
from .ownership import Fence

logger = logging.getLogger(__name__)

PER_LEASE = 3
"""Signs of life in the time that a lease lasts: one may be late, and one may fail."""
AT_ONCE = 100
"""Leases that are renewed in one commit: what else is written waits no longer."""
CLOSE_SECONDS = 10.0
"""How long a renewal that is under way is waited for in closing."""


class Keeper:
    """Renews leases. Everything but the renewing is called in the event loop."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        lease_seconds: float,
        *,
        call: CallInLoop,
        fences: Callable[[], Sequence[Fence]],
        lost: Callable[[Fence], None],
        given_up: Callable[[], str | None],
    ) -> None:
        """``fences`` says what is held now, and ``given_up`` why nobody may count on
        this process for now, both in the keeper's thread; ``lost`` hears in the
        event loop, by ``call``, of what is held no more."""
        self._store = store
        self._clock = clock
        self._period = lease_seconds / PER_LEASE
        self._call = call
        self._fences = fences
        self._lost = lost
        self._given_up = given_up
        self._end = threading.Event()
        self._ended = anyio.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Renew from now on. Twice is once; needed once there is something to hold."""
        if self._thread is None and not self._end.is_set():
            # A daemon: it must not keep alive the process that it stands for.
            self._thread = threading.Thread(
                target=self._run, name="dovetail-leases", daemon=True
            )
            self._thread.start()

    async def aclose(self) -> None:
        """Renew no more. Twice is once; cancelling it does not shorten it."""
        self._end.set()
        if self._thread is None:
            return
        with anyio.CancelScope(shield=True), anyio.move_on_after(CLOSE_SECONDS):
            await self._ended.wait()
            # It says so as its last act, so this waits for no more than a return.
            self._thread.join()

    def _run(self) -> None:
        pause, told = self._period, False
        try:
            while not self._end.wait(pause):
                pause = self._period
                why = self._given_up()
                if why is not None:
                    if not told:
                        logger.error("%s", why)
                elif not self._renew_all():
                    # A store that was locked may be free before the lease is over.
                    pause = self._period / 5
                told = why is not None
        finally:
            self._tell(self._ended.set)

    def _renew_all(self) -> bool:
        fences = self._fences()
        done = True
        for first in range(0, len(fences), AT_ONCE):
            done = self._renew(fences[first : first + AT_ONCE]) and done
        return done

    def _renew(self, fences: Sequence[Fence]) -> bool:
        """Renew some leases, and say whether that was possible."""

        def renewing(rows: Transaction) -> list[OwnerFencedError]:
            gone = []
            for fence in fences:
                try:
                    ownership.renew(rows, fence, now)
                except OwnerFencedError as error:
                    gone.append(error)
            return gone

        now = self._clock.now()
        try:
            gone = self._store.transact_in_thread(renewing)
        except Exception as error:
            if self._end.is_set():
                return True
            own = isinstance(error, StoreDamagedError) or (
                not isinstance(error, StoreError)
            )
            if own and len(fences) > 1:
                # One of them may be to blame, and the others live on.
                done = [self._renew([fence]) for fence in fences]
                return all(done)
            # The next append finds out; until then the lease may just run out.
            names = ", ".join(fence.session_id for fence in fences)
            logger.warning("the leases of %s were not renewed: %s", names, error)
            return False
        by_session = {fence.session_id: fence for fence in fences}
        for fenced in gone:
            logger.warning("%s", fenced)
            self._tell(self._lost, by_session[fenced.session_id])
        return True

    def _tell(self, function: Callable[..., object], *arguments: object) -> None:
        try:
            self._call(function, *arguments)
        except RuntimeError:
            # The loop has ended, and with it everything that leases were held for.
            self._end.set()
