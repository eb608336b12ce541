"""The Ollama plugin: its own chat, which tells more than its Chat Completions do.

How a request is written and its answer read is ``ollama_chat``'s.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from urllib.parse import urlsplit, urlunsplit

from attrs import evolve
from dovetail.kernel import (
    Json,
    ModelInfo,
    ModelRequest,
    Place,
    Provider,
    ProviderProtocol,
    ProviderRoute,
    Register,
    RequestBody,
    hookimpl,
)

from .endpoints import Defaults, Deployment, Endpoint, register_endpoints
from .routes import Route, target_of, transport_of
from .transport import Transport, open_transport

_HOST = "OLLAMA_HOST"
DEFAULTS = Defaults(
    provider="ollama",
    protocol="ollama-chat",
    home=Deployment(
        "http://127.0.0.1:11434",
        None,
        _HOST,
    ),
)


class OllamaPlugin:
    """Offers ``ollama`` and every configured provider that speaks its own chat."""

    @hookimpl
    def dovetail_open_location(
        self, place: Place
    ) -> AbstractAsyncContextManager[Transport]:
        return open_transport(place.tape)

    @hookimpl
    def dovetail_register_protocols(self, register: Register[ProviderProtocol]) -> None:
        register(evolve(DEFAULTS.offered, write=written_again))

    @hookimpl
    def dovetail_register_providers(
        self, register: Register[Provider], place: Place
    ) -> None:
        transport = transport_of(place)
        named = place.environment.get(_HOST, "").strip()
        if named:
            environment = {**place.environment, _HOST: address(named)}
            place = evolve(place, environment=environment)

        def route(endpoint: Endpoint, model: str) -> ProviderRoute:
            # Here, so that whoever asks no such model does not import it.
            from .ollama_chat import OllamaProtocol

            target = target_of(
                _own(endpoint),
                "/api/chat",
                endpoint.authentication(),
                accept=OllamaProtocol.accepts,
            )
            protocol = OllamaProtocol(endpoint, model)
            return Route(
                protocol, target, transport, protocol.frames, endpoint=endpoint
            )

        async def lister(endpoint: Endpoint) -> Sequence[ModelInfo]:
            # Here, because it is asked for by people alone.
            from .served import ask

            return await ask(
                transport, _own(endpoint), "/api/tags", endpoint.authentication()
            )

        register_endpoints(register, place, (DEFAULTS, route, lister))


def _own(endpoint: Endpoint) -> Endpoint:
    """An address that was written for its Chat Completions is one of its own."""
    return evolve(endpoint, base_url=endpoint.base_url.removesuffix("/v1"))


def address(named: str) -> str:
    """Return the URL that ``OLLAMA_HOST`` means: a host, a host and port, or a URL.
    What a server listens to everywhere is reached here."""
    if "//" not in named:
        named = f"http://{named}"
    try:
        parts = urlsplit(named)
        parts.port  # noqa: B018 - it raises for a port that is no number
    except ValueError:
        return named  # which is refused by its name
    host, port = parts.hostname or "127.0.0.1", parts.port
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    if ":" in host:
        host = f"[{host}]"
    if port is None and parts.scheme == "http":
        port = 11434
    netloc = host if port is None else f"{host}:{port}"
    return urlunsplit((parts.scheme, netloc, parts.path.rstrip("/"), "", ""))


def written_again(request: ModelRequest, settings: Mapping[str, Json]) -> RequestBody:
    """Return the body of a request by its recorded settings.

    Raises:
        UndecodableError: they are not of this protocol.
    """
    # Here, so that whoever asks no such model does not import it.
    from .ollama_chat import written_again

    return written_again(request, settings)


plugin = OllamaPlugin()
