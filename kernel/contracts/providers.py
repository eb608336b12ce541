"""Providers, and the routes to their models."""

from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from attrs import field

from ..values.frozen import frozen
from ..values.request import AnswerLimits, ModelEvent, ModelInfo, ModelRequest
from ..values.secrets import Redactor
from ..values.sent import RequestBody
from ..values.tool import Json


class ProviderRoute(Protocol):
    """A way to one model: protocol x endpoint x authentication x framing.

    One with ``tells_body = True`` calls ``request.sends`` with what it is about to
    send; of any other one the request itself is recorded.

    One with a method ``output_mode(request)`` says how it would ask for a value as the
    answer to that request: ``native``, when it would write ``request.output`` in its
    provider's own way; ``tool``, when the model is to call a tool with it; ``prompt``,
    when words are all there is. Any other one is asked by a tool.

    One with ``media``, a mapping, says which files it can carry, by the ability that
    they ask for (``image``, ``pdf``, ``audio``), and how many bytes one of them may
    have: a prompt that attaches another one is refused before it is sent.
    """

    def stream(
        self, request: ModelRequest
    ) -> AbstractAsyncContextManager[AsyncIterator[ModelEvent]]:
        """Send exactly one request and yield what comes, in order.

        Entering sends it and returns once the provider began to answer. The iterator
        ends after exactly one ``Finish``. Leaving early closes the connection. A route
        never repeats a request by itself and never runs a tool.

        Raises:
            ProviderError: on entering or while iterating; see its codes. No key ever
                appears in it.
        """
        ...


@frozen
class ProviderProtocol:
    """A protocol that the configured providers may speak, and its plugin reads.

    Handed over by ``dovetail_register_protocols``. The plugin finds the tables that
    are its to read in ``place.protocols``.
    """

    name: str
    """What ``protocol`` of a ``[providers.NAME]`` table says, such as ``acme-chat``."""
    provider: str
    """The provider that it is at home with: it speaks the protocol without a table, or
    with one that names none."""
    common: bool = False
    """Whether a table is read as of this protocol when it names none and is called like
    no protocol's own provider."""
    write: Callable[[ModelRequest, Mapping[str, Json]], RequestBody] | None = field(
        default=None, eq=False, repr=False
    )
    """Writes the body of a request by the settings that were recorded of it, as it was
    sent, without an endpoint and without a key; None: nothing can be written again.

    Of what the routes of the protocol tell (``ModelRequest.sends``) it makes the same
    bytes, for good: a change of how a request is written is a new protocol name or a
    new setting.
    """
    others: Sequence[str] = ()
    """Further providers that it is at home with, in the same way."""


@frozen(eq=False)
class ModelFacts:
    """Somebody who knows things of models. Handed over by
    ``dovetail_register_models``.

    What the configuration or a provider's own plugin says of a model counts before it.
    Nothing here reaches a network, but for ``refresh``.
    """

    name: str
    """What it is called in listings, such as ``catalog``."""
    models: Callable[[str], Sequence[ModelInfo]]
    """Returns what it knows of the models of a provider, by the provider's name. Called
    when somebody wants to see them all."""
    info: Callable[[str], ModelInfo | None]
    """Returns what it knows of one model, as ``provider/model``. Called when a session
    begins to use it."""
    provider: str | None = None
    """Whose models it is about. What is about the models of one provider counts before
    what is about those of all, and of two the later plugin's."""
    refresh: Callable[[], Awaitable[str]] | None = None
    """Gets newer facts over the network, and says in a sentence what came of it; None:
    they are what they are. Raises a ModelFactsError when there are none to be had, and
    then knows what it knew."""


@frozen(eq=False)
class Provider:
    """Who serves models. Handed over by ``dovetail_register_providers``.

    Nothing here reaches the network until a route streams.
    """

    name: str
    """The part of a model's name before the slash."""
    route: Callable[[str], ProviderRoute]
    """Makes the route to a model by its own name. May raise ProviderError
    ``provider.key_missing``."""
    models: Sequence[ModelInfo] = ()
    """The models that are known by name, and what its plugin or the configuration says
    of each."""
    open: bool = True
    """Whether models that are not listed may be asked for too."""
    catalog: str | None = None
    """The name under which others may know of its models (``ModelFacts``): mostly its
    own. None: nothing that others know holds here, as behind another address."""
    default: str | None = None
    """The model, by its own name, that is used where nobody names one and this provider
    has what it needs."""
    small: str | None = None
    """The one for small work in that case."""
    order: int = 100
    """Whose default is used where several have what they need: that of the lowest
    number, and of equal ones that of the first name."""
    assumed: bool = False
    """Whether nothing says that it is there: it needs no key, nobody configured it, and
    its usual address is all that is known. It can be asked for by name, and is not
    recommended to whoever names nothing."""
    local: bool = False
    """Whether its address is this machine's, so that whoever lists models may ask it
    what it serves without being told to."""
    served: Callable[[], Awaitable[Sequence[ModelInfo]]] | None = None
    """Asks the provider, over the network, which models it serves, with what it says of
    them; None: it cannot be asked. May raise ProviderError."""
    silence: float | None = 1800.0
    """Seconds without an event after which an answer counts as broken off, so that it
    is asked for again where that may be; None: any time is borne. ``open_runtime`` may
    say another for all providers. A route that hears of a dead connection sooner ends
    sooner."""
    limits: AnswerLimits = field(factory=AnswerLimits)
    """How much one answer may hold."""
    redact: Redactor = field(factory=Redactor, repr=False, eq=False)
    """What takes its keys out of a text: of a tool's output, and of an error."""
