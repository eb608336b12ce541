"""Adapters: what a package for a protocol of its own is made of.

The public door of this folder. A protocol is two things: how a request is written and
how an answer is read. ``Adapter`` makes a plugin of them, over the transport that ours
use, with its time limits, credentials, errors and tapes; ``JsonDecoder`` is most of a
reader; the rest are the pieces that our own protocols are made of. Nothing here opens
anything or imports an HTTP client.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol as Shape

from attrs import evolve
from dovetail.kernel import (
    AnswerLimits,
    Finish,
    Json,
    ModelEvent,
    ModelInfo,
    ModelRequest,
    Place,
    Provider,
    ProviderProtocol,
    ProviderRoute,
    Redactor,
    Register,
    RequestBody,
    Usage,
    hookimpl,
)

from .calls import Calls, beyond
from .endpoints import Defaults, Deployment, Endpoint, register_endpoints
from .faults import ended_too_soon, fault_in_stream, has_error, read_objects
from .ndjson import LineDecoder
from .reading import Joined, table, tokens, word
from .routes import (
    Decoder,
    Frames,
    Protocol,
    Route,
    TellsUsage,
    target_of,
    transport_of,
)
from .sse import SseDecoder, SseEvent
from .transport import EVENT_STREAM, Transport, open_transport
from .wording import (
    ToolList,
    arguments_of,
    call_id_of,
    encoded_body,
    made_call_id,
    merged_options,
    no_turns,
    prompt_parts,
    result_of,
    words_of,
)

__all__ = (
    "Adapter",
    "Calls",
    "Decoder",
    "Endpoint",
    "Frames",
    "Joined",
    "JsonDecoder",
    "LineDecoder",
    "Protocol",
    "Route",
    "SseDecoder",
    "SseEvent",
    "TellsUsage",
    "ToolList",
    "Transport",
    "arguments_of",
    "beyond",
    "call_id_of",
    "encoded_body",
    "ended_too_soon",
    "fault_in_stream",
    "made_call_id",
    "merged_options",
    "no_turns",
    "open_transport",
    "prompt_parts",
    "result_of",
    "table",
    "target_of",
    "tokens",
    "transport_of",
    "word",
    "words_of",
)

Writer = Callable[[ModelRequest, Mapping[str, Json]], RequestBody]
"""Writes a request again, by the settings that its body was recorded with."""


class Speaking(Shape):
    """Makes the protocol for one model of an endpoint; most classes of one do."""

    def __call__(self, endpoint: Endpoint, model: str, /) -> Protocol: ...


class Adapter:
    """A plugin that offers a protocol: to the provider that it is at home with, and to
    each ``[providers.NAME]`` table that names it.

    Arguments:
        provider: the provider that it is at home with: the part of a model's name
            before the slash.
        protocol: what ``protocol`` of a table says.
        speaks: makes the protocol for one model, from an ``Endpoint`` and the model's
            own name.
        path: what comes after the endpoint's address, or a function that makes it of
            the model's own name.
        base_url: the provider's address; None where only a variable or a table says it.
        key_variable: the variable that holds its key; None where it needs none.
        url_variable: the variable that says another address.
        header: the header that keys are shown in. In ``authorization`` they are
            ``Bearer`` tokens.
        usual: the model that is used where nobody names one, at the usual address.
        frames: makes what finds the events in the bytes of one answer: server-sent
            events unless said, ``LineDecoder`` for lines of JSON.
        accept: the content type of such a stream.
        write: writes a request again by its settings; None: it cannot be.
        models: the path of the list of what it serves, and its parameters: JSON, as
            most have it. None: it cannot be asked.
    """

    def __init__(
        self,
        provider: str,
        protocol: str,
        speaks: Speaking,
        path: str | Callable[[str], str],
        *,
        base_url: str | None = None,
        key_variable: str | None = None,
        url_variable: str | None = None,
        header: str = "authorization",
        usual: str | None = None,
        frames: Callable[[], Frames] | None = None,
        accept: str = EVENT_STREAM,
        write: Writer | None = None,
        models: tuple[str, str] | None = None,
    ) -> None:
        home = Deployment(base_url, key_variable, url_variable)
        self._defaults = Defaults(provider, protocol, home, header=header, usual=usual)
        self._speaks = speaks
        self._path = path
        self._frames = frames
        self._accept = accept
        self._write = write
        self._models = models

    def __repr__(self) -> str:
        return f"<Adapter of {self._defaults.protocol!r}>"

    @hookimpl
    def dovetail_open_location(
        self, place: Place
    ) -> AbstractAsyncContextManager[Transport]:
        return open_transport(place.tape)

    @hookimpl
    def dovetail_register_protocols(self, register: Register[ProviderProtocol]) -> None:
        register(evolve(self._defaults.offered, write=self._write))

    @hookimpl
    def dovetail_register_providers(
        self, register: Register[Provider], place: Place
    ) -> None:
        transport = transport_of(place)

        def route(endpoint: Endpoint, model: str) -> ProviderRoute:
            path = self._path if isinstance(self._path, str) else self._path(model)
            target = target_of(
                endpoint, path, endpoint.authentication(), accept=self._accept
            )
            protocol = self._speaks(endpoint, model)
            if self._frames is None:
                return Route(protocol, target, transport, endpoint=endpoint)
            return Route(protocol, target, transport, self._frames, endpoint=endpoint)

        async def lister(endpoint: Endpoint) -> Sequence[ModelInfo]:
            # Here, because it is asked for by people alone.
            from .served import ask

            assert self._models is not None
            path, query = self._models
            shown = endpoint.authentication()
            return await ask(transport, endpoint, path, shown, query)

        asked = None if self._models is None else lister
        register_endpoints(register, place, (self._defaults, route, asked))


class JsonDecoder:
    """Reads an answer whose events are JSON objects; ``read`` says what one means.

    An object with an ``error`` in it is raised as what it tells of. The answer is
    complete with the ``Finish`` that ``read`` yields, and broken off without one.
    """

    def __init__(
        self,
        provider: str,
        redact: Redactor | None = None,
        limits: AnswerLimits | None = None,
    ) -> None:
        self.provider = provider
        self.limits = limits or AnswerLimits()
        self.done = False
        """Whether the Finish was handed out."""
        self.ending = False
        """Whether the answer has said that it is at its end, and more may come."""
        self.usage = Usage()
        """The tokens that were told so far: those of the ``Finish``, unless ``read``
        sets them earlier, for an answer that breaks off."""
        self._redact = redact or Redactor()
        self._begun = False

    def read(self, body: Mapping[str, Any]) -> Iterator[ModelEvent]:
        """Yield what one object brings; the ``Finish`` last of all."""
        raise NotImplementedError

    def feed(self, event: SseEvent) -> Sequence[ModelEvent]:
        """Return what this event brings.

        Raises:
            ProviderError: it is no JSON, or tells of a failure.
        """
        events: list[ModelEvent] = []
        for body in read_objects(self.provider, event.data):
            if has_error(body.get("error")):
                raise fault_in_stream(self.provider, body["error"], self._redact)
            self._begun = True
            events += self.read(body)
            if events and isinstance(events[-1], Finish):
                self.done, self.usage = True, events[-1].usage
                break
        return events

    def finish(self) -> Sequence[ModelEvent]:
        """Return what is left at the end of the stream.

        Raises:
            ProviderError: ``provider.stream_broken``: it ended too soon.
        """
        if self.done:
            return []
        raise ended_too_soon(self.provider, empty=not self._begun)

    def kept(self) -> Sequence[ModelEvent]:
        """Return what is complete beyond what was handed out: nothing."""
        return []
