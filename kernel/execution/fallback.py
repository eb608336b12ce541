"""Fallback: another model goes on where one does not answer.

Owns which errors move on, to which model, and how long one is waited for before. What
was given up is durable in the transaction that settles the Step which it failed in, so
that a process that dies in between has moved on or has not (law models.7). The first
model is asked again at the next input.
"""

from ..configuration.fallback import MOVES, WAIT
from ..location.services import LocationServices
from ..log.commit import LogTransaction
from ..models.catalog import ResolvedModel
from ..values.errors import DovetailError, ModelError, problem_of
from ..values.events import ModelFellBack
from ..values.ids import MessageId
from ..values.tool import Failure
from .execution import Execution


class Fallback:
    """The models that go on for the one that a session wants."""

    def __init__(
        self, execution: Execution, services: LocationServices, wanted: str
    ) -> None:
        """``wanted`` is the session's own model."""
        self._execution = execution
        self._services = services
        self._wanted = wanted
        self._settings = services.configuration.fallback
        self._waited = 0.0

    @property
    def current(self) -> str:
        """The model to be asked now."""
        return self._execution.history.fallen.current or self._wanted

    async def resolved(self) -> ResolvedModel:
        """Return the model to be asked now; one that cannot be is given up durably.

        Raises:
            ModelError: it cannot be asked, and no other one goes on.
        """
        while True:
            try:
                return self._services.catalog.resolve(self.current)
            except ModelError as error:
                moved = self.moved(error)
                if moved is None:
                    raise
                await self._record(moved)

    def bounded(self, error: DovetailError | None, delay: float) -> float | None:
        """Return how long to wait for this model to answer after all; None where that
        would be too long and another one can go on."""
        wait = WAIT if self._settings.wait is None else float(self._settings.wait)
        if error is None or self._waited + delay <= wait or not self._next(error):
            self._waited += delay
            return delay
        return None

    def moved(
        self, error: DovetailError | None, message_id: MessageId | None = None
    ) -> ModelFellBack | None:
        """Return what is to be recorded where another model goes on after an error, in
        which nothing durable came of the answer; None where none does."""
        goes_on = None if error is None else self._next(error)
        if error is None or goes_on is None:
            return None
        told = problem_of(error)
        return ModelFellBack(
            session_id=self._execution.session_id,
            model=self.current,
            next=goes_on,
            failure=Failure(told["code"], self._services.redact(told["message"])),
            message_id=message_id,
        )

    def _next(self, error: DovetailError) -> str | None:
        if error.code not in MOVES and error.code not in (self._settings.also_on or ()):
            return None
        fallen = self._execution.history.fallen
        chain = self._settings.models if fallen.session is None else fallen.session
        passed = {self._wanted, self.current, *fallen.tried}
        return next((one for one in chain or () if one not in passed), None)

    async def _record(self, moved: ModelFellBack) -> None:
        def moving(tx: LogTransaction) -> None:
            tx.append(*self._execution.opening(), moved)

        await self._execution.commit(moving)
