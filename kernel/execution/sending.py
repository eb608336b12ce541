"""Sending: one request on its way out, and what is recorded of it.

Owns that each Physical Attempt is recorded with the digest of its body, in an event
that is written anyway: the first call, the retry, or the Step's end. Where the process
dies before any of them, nobody knows what was sent, and no record says otherwise.
"""

from ..location.services import LocationServices
from ..values.request import ModelRequest
from ..values.sent import RequestBody, SentRequest
from ..values.shortcut import changed
from .execution import Execution
from .handover import checked_body


class Sending:
    """The request of one Physical Attempt."""

    def __init__(
        self, execution: Execution, services: LocationServices, plugin: str
    ) -> None:
        self._execution = execution
        self._services = services
        self._plugin = plugin
        self._request: ModelRequest | None = None
        self._altered = False
        self._sent: SentRequest | None = None

    def witnessed(self, request: ModelRequest, *, altered: bool) -> ModelRequest:
        """Return the request so that its route tells here what it sends."""
        self._altered = altered
        self._request = changed(request, witness=self._tell)
        return self._request

    def canonical(self, request: ModelRequest) -> None:
        """Record the request itself, whose route tells of no body."""
        self._tell(self._execution.history.sent.canonical.write(request))

    def _tell(self, body: RequestBody) -> None:
        checked_body(body)
        assert self._request is not None
        execution = self._execution
        sent = execution.history.sent
        name, made_of = sent.describing(
            self._request,
            body,
            self._plugin,
            execution.history.epoch.baseline,
            self._services.redact,
            altered=self._altered,
        )
        self._sent = sent.sending(name, made_of, body)

    def taken(self) -> SentRequest | None:
        """Return what was sent, once: for the event that carries it."""
        sent, self._sent = self._sent, None
        return sent
