"""Asking a model for a text, besides the Steps of a session.

Owns one request of instructions and a text, without tools and without history, whose
answer is a text. What was sent is kept for the event that tells what came of it; nobody
is shown how the answer comes.
"""

from ..history.canonical import CanonicalWriter
from ..history.encoding import HistorySnapshot
from ..history.sent import SentRequests
from ..lifecycle.guests import Guest, contained
from ..location.services import LocationServices
from ..log.live import LiveFeed
from ..models.catalog import ResolvedModel
from ..values.clock import Clock
from ..values.errors import DovetailError, ProviderError
from ..values.events import Event, TextEnded
from ..values.generation import NO_GENERATION
from ..values.ids import MessageId, SessionId, new_id
from ..values.messages import Usage, UserMessage
from ..values.money import added_cost
from ..values.request import ModelRequest
from ..values.sent import AskedText, RequestBody
from ..values.shortcut import changed
from .handover import broken, checked_body, handed_over, tells_its_body
from .publisher import Publisher
from .silence import Silence
from .used import Used, used


class TextAsker:
    """Asks one model for texts, on behalf of one session."""

    def __init__(
        self,
        services: LocationServices,
        model: ResolvedModel,
        session_id: SessionId,
        clock: Clock,
        silence: Silence,
        longest_silence: float | None,
    ) -> None:
        self.model = model
        self.usage = Usage()
        """What all requests so far took, as far as the provider told."""
        self.cost: float | None = None
        """The same in US dollars; None where no price is known."""
        self.unpriced = 0
        """In how many of them ``cost`` leaves something out."""
        self.asked: list[AskedText] = []
        """The requests that were sent, in order."""
        self._services = services
        self._session_id = session_id
        self._clock = clock
        self._silence = silence
        self._longest = longest_silence

    async def ask(
        self, instructions: str, text: str, max_output: int | None = None
    ) -> str:
        """Make one request, and return the text of its answer.

        Raises:
            ProviderError: there is no answer, or none that says anything.
            PluginError: a plugin that prepares requests broke.
        """
        message = UserMessage(
            MessageId(new_id("msg", self._clock)), self._session_id, 0, 0, text
        )
        made = ModelRequest(
            model=self.model.model,
            system=(instructions,),
            history=HistorySnapshot([message], 0, 1, {}),
            tool_choice="none",
            max_output=max_output,
            generation=self.model.generation(NO_GENERATION),
        )
        request = self._services.prepare(made, self._session_id)

        def tell(body: RequestBody) -> None:
            altered = request.history is not made.history
            self._sent(request, body, text, altered=altered)

        try:
            if not tells_its_body(self.model.route):
                tell(CanonicalWriter().write(request))
            return await self._answer(changed(request, witness=tell), message.id)
        except ProviderError:
            raise
        except Exception as error:
            # Boundary: a provider plugin is a stranger's code.
            raise broken(self.model.provider, error) from error

    async def _answer(self, request: ModelRequest, message_id: MessageId) -> str:
        model = self.model
        provider = model.entry.item
        publisher = Publisher(
            self._session_id, message_id, model.provider, LiveFeed(), provider.limits
        )
        silence = provider.silence if self._longest is None else self._longest
        listening = self._silence.listening(model.provider, silence)
        guest = Guest(model.entry.owner, f"provider {model.provider!r}")
        came: list[Event] = []
        broke: DovetailError | None = None
        try:
            with contained(guest), model.entry.busy(), listening as heard:
                async with handed_over(model.provider, model.route, request) as stream:
                    async for event in stream:
                        heard()
                        came += publisher.take(event)
        except DovetailError as error:
            broke = error
            raise
        finally:
            self._count(used(model, publisher, broke))
        if publisher.finish is None:
            problem = "the stream ended before the response was complete"
            raise ProviderError(
                "provider.stream_broken", model.provider, problem, retryable=True
            )
        text = "".join(one.text for one in came if isinstance(one, TextEnded)).strip()
        if publisher.finish.reason == "content_filter":
            raise ProviderError(
                "provider.content_refused", model.provider, "the provider refused"
            )
        if not text:
            raise ProviderError(
                "provider.empty_answer", model.provider, "the answer held no text"
            )
        return text

    def _sent(
        self, request: ModelRequest, body: RequestBody, text: str, *, altered: bool
    ) -> None:
        """Record what is sent, which is part of no epoch."""
        checked_body(body)
        sent, redact = SentRequests(), self._services.redact
        plugin = self.model.entry.owner
        described = sent.describing(
            request, body, plugin, None, redact, altered=altered
        )
        self.asked.append(
            AskedText(self.model.name, redact(text), sent.sending(*described, body))
        )

    def _count(self, spent: Used) -> None:
        self.usage += spent.usage
        self.cost = added_cost(self.cost, spent.cost)
        self.unpriced += spent.unpriced
