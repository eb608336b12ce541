"""A plugin for dovetail: models behind the Lantern protocol (see the README)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dovetail.kernel import (
    ConfigurationError,
    ModelInfo,
    Place,
    Provider,
    ProviderError,
    ProviderRoute,
    Register,
    hookimpl,
)

NAME = "lantern"


class LanternPlugin:
    """Offers the provider ``lantern``, with one HTTP client for each Location."""

    name = NAME
    requires_dovetail = ">=0.1,<0.2"

    @hookimpl
    def dovetail_open_location(self, place: Place) -> object:
        return self._client()

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[object]:
        # Here and not above: a Location that is not opened pays nothing for httpx.
        from .route import new_client

        async with new_client() as client:
            yield client

    @hookimpl
    def dovetail_register_providers(
        self, register: Register[Provider], place: Place
    ) -> None:
        url, key = _address(place)

        def route(model: str) -> ProviderRoute:
            from .route import LanternRoute

            for variable, value in (("LANTERN_URL", url), ("LANTERN_KEY", key)):
                if not value:
                    raise ProviderError(
                        "provider.key_missing",
                        NAME,
                        f"set the environment variable {variable}",
                    )
            if not (key.isascii() and key.isprintable()):
                raise ProviderError(
                    "provider.authentication", NAME, "its key is not printable ASCII"
                )
            return LanternRoute(place.resource, NAME, url, key)

        models = [
            ModelInfo(f"{NAME}/small", context=16_000, output=4_000),
            ModelInfo(f"{NAME}/large", context=128_000, output=8_000),
        ]
        register(Provider(name=NAME, route=route, models=models))


def _address(place: Place) -> tuple[str, str]:
    """Return the URL and the key; what is missing is empty."""
    table = place.providers.get(NAME, {})
    if table.get("protocol") != NAME:
        # A table of another protocol is for another plugin to read.
        table = {}
    found = []
    for key, variable in (("base_url", "LANTERN_URL"), ("api_key", "LANTERN_KEY")):
        value = table.get(key) or place.environment.get(variable, "").strip()
        if not isinstance(value, str):
            raise ConfigurationError(f"[providers.{NAME}]", f"{key} must be a text")
        found.append(value)
    return found[0], found[1]


plugin = LanternPlugin()
