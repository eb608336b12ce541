"""One Physical Attempt: a request on the wire, and what its stream brings.

Owns the request, and that a provider's code, which is a stranger's, breaks nothing but
this attempt. Knows nothing of whether there is another one, nor of what calls do.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence

import anyio.lowlevel

from ..lifecycle.guests import Guest, contained
from ..location.services import LocationServices
from ..models.catalog import ResolvedModel
from ..values.errors import DovetailError, ProviderError
from ..values.events import Event
from ..values.request import ModelRequest, ToolCall
from .answers import asked
from .boundary import Prepared
from .execution import Execution
from .handover import broken, handed_over, tells_its_body
from .media import check_media, reads_of
from .publisher import Publisher
from .sending import Sending
from .used import Used, used

logger = logging.getLogger(__name__)

EVENTS_AT_ONCE = 256
"""Events of one answer that are taken in before others have their turn."""
PAUSE = 0.001
"""Seconds of that turn."""


class Attempt:
    """One request, and the parts of the message as its stream brings them."""

    def __init__(
        self,
        execution: Execution,
        services: LocationServices,
        prepared: Prepared,
        files: dict[str, bytes],
        *,
        last: bool,
    ) -> None:
        self._execution = execution
        self._services = services
        self._prepared = prepared
        self._last = last
        """Whether nothing may be called any more."""
        # What is complete and not yet committed: it goes with the next commit.
        self._held: list[Event] = []
        self._counted = False
        self.sending = Sending(execution, services, prepared.model.entry.owner)
        """Which request was sent, and what is not recorded of it yet."""
        self.publisher = Publisher(
            execution.session_id,
            prepared.message_id,
            prepared.model.provider,
            execution.log.live,
            prepared.model.entry.item.limits,
            files,
        )

    async def run(
        self, call: Callable[[ToolCall, Sequence[Event]], Awaitable[None]]
    ) -> DovetailError | None:
        """Make the request; return why it failed, or None.

        ``call`` takes each complete call, with what must be recorded before it.
        """
        model, publisher = self._prepared.model, self.publisher
        provider = model.entry.item
        complete = False
        try:
            request = self._request()
            silence = self._execution.settings.silence
            if silence is None:
                silence = provider.silence
            listening = self._execution.silence.listening(model.provider, silence)
            if not tells_its_body(model.route):
                self.sending.canonical(request)
            with contained(_guest(model)), model.entry.busy(), listening as heard:
                async with handed_over(model.provider, model.route, request) as stream:
                    count = 0
                    async for event in stream:
                        heard()
                        self._held += publisher.take(event)
                        if isinstance(event, ToolCall):
                            before, self._held = self._held, []
                            await call(event, before)
                        count += 1
                        if not count % EVENTS_AT_ONCE:
                            # What comes without waiting must not keep others waiting,
                            # nor the threads that they wait for.
                            await anyio.sleep(PAUSE)
                    complete = publisher.finish is not None
            if publisher.finish is None:
                raise ProviderError(
                    "provider.stream_broken",
                    model.provider,
                    "the stream ended before the response was complete",
                    retryable=True,
                )
        except DovetailError as error:
            if not complete:
                return error
            # The answer was whole; what broke was only its goodbye.
            logger.warning("%s", error)
        except Exception as error:
            # Boundary: a provider plugin is a stranger's code.
            made = broken(model.provider, error)
            if not complete:
                return made
        return None

    def spent(self, error: DovetailError | None) -> Used:
        """Return what it took, once: then an event says it. ``error`` is why it
        failed."""
        if self._counted:
            return Used()
        self._counted = True
        return used(self._prepared.model, self.publisher, error)

    def release(self) -> list[Event]:
        """Return what came and was not handed on, and hold nothing."""
        held, self._held = [*self._held, *self.publisher.flush()], []
        return held

    def _request(self) -> ModelRequest:
        history = self._execution.history
        system = (history.epoch.baseline or "", history.epoch.instructions)
        request = ModelRequest(
            model=self._prepared.model.model,
            system=tuple(text for text in system if text),
            history=history.shown.snapshot(),
            tools=self._prepared.advertised.definitions,
            options=self._prepared.profile.options,
            reads=reads_of(self._prepared.model),
        )
        model, answers = self._prepared.model, history.answers
        check_media(request.history, model)
        request = asked(
            request,
            answers,
            answers.generation(model.generation(self._prepared.profile.generation)),
            model,
            last=self._last,
        )
        prepared = self._services.prepare(request, self._execution.session_id)
        return self.sending.witnessed(
            prepared, altered=prepared.history is not request.history
        )


def _guest(model: ResolvedModel) -> Guest:
    return Guest(model.entry.owner, f"provider {model.provider!r}")
