"""The Google plugin: Gemini's generateContent, for Google and those who offer the same.

How a request is written is ``contents``', how its answer is read ``candidates``'.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from urllib.parse import quote

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

from .deployments import GEMINI
from .endpoints import Defaults, Deployment, Endpoint, register_endpoints
from .routes import Route, target_of, transport_of
from .transport import Transport, open_transport

DEFAULTS = Defaults(
    provider="google",
    protocol="google-generate",
    home=Deployment(
        "https://generativelanguage.googleapis.com/v1beta",
        "GEMINI_API_KEY",
        "GOOGLE_GEMINI_BASE_URL",
    ),
    header="x-goog-api-key",
    others=GEMINI,
    catalog="google",
    usual="gemini-2.5-pro",
    usual_small="gemini-2.5-flash",
    order=3,
)


class GooglePlugin:
    """Offers ``google`` and every configured provider that speaks generateContent."""

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

        def route(endpoint: Endpoint, model: str) -> ProviderRoute:
            # Here, so that whoever asks no such model does not import it.
            from .contents import GeminiProtocol

            authentication = endpoint.authentication()
            path = f"/{_resource(model)}:streamGenerateContent"
            target = target_of(endpoint, path, authentication, query="alt=sse")
            protocol = GeminiProtocol(endpoint, model)
            return Route(protocol, target, transport, endpoint=endpoint)

        async def lister(endpoint: Endpoint) -> Sequence[ModelInfo]:
            # Here, because it is asked for by people alone.
            from .served import ask

            return await ask(
                transport,
                endpoint,
                "/models",
                endpoint.authentication(),
                "pageSize=1000",
            )

        register_endpoints(register, place, (DEFAULTS, route, lister))


def _resource(model: str) -> str:
    """Return where a model is below the base: a tuned one names its own folder."""
    named = model if "/" in model else f"models/{model}"
    return quote(named, safe="/-._@")


def written_again(request: ModelRequest, settings: Mapping[str, Json]) -> RequestBody:
    """Return the body of a request by its recorded settings.

    Raises:
        UndecodableError: they are not of this protocol.
    """
    # Here, so that whoever asks no such model does not import it.
    from .contents import written_again

    return written_again(request, settings)


plugin = GooglePlugin()
