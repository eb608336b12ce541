"""Providers, and the routes to their models."""

from collections.abc import (
    AsyncIterator,
    Callable,
    Sequence,
)
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from attrs import field

from ..values.frozen import frozen
from ..values.request import AnswerLimits, ModelEvent, ModelInfo, ModelRequest
from ..values.secrets import Redactor


class ProviderRoute(Protocol):
    """A way to one model: protocol x endpoint x authentication x framing."""

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
    """The models that are known by name."""
    open: bool = True
    """Whether models that are not listed may be asked for too."""
    silence: float | None = 1800.0
    """Seconds without an event after which an answer counts as broken off, so that it
    is asked for again where that may be; None: any time is borne. ``open_runtime`` may
    say another for all providers. A route that hears of a dead connection sooner ends
    sooner."""
    limits: AnswerLimits = field(factory=AnswerLimits)
    """How much one answer may hold."""
    redact: Redactor = field(factory=Redactor, repr=False, eq=False)
    """What takes its keys out of a text: of a tool's output, and of an error."""
