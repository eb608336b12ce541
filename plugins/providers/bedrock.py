"""The Bedrock plugin: Amazon's Converse, for the models that Amazon serves.

How a request is written and its answer read is ``converse``'s; the framing and the
signing are ``amazon``'s. Needs the extra ``bedrock``.
"""

import re
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from attrs import evolve
from dovetail.kernel import (
    ConfigurationError,
    Json,
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

REGION = "us-east-1"
DEFAULTS = Defaults(
    provider="bedrock",
    protocol="bedrock-converse",
    home=Deployment(
        f"https://bedrock-runtime.{REGION}.amazonaws.com",
        "AWS_BEARER_TOKEN_BEDROCK",
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
    ),
    catalog="bedrock",
)
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d")


class BedrockPlugin:
    """Offers ``bedrock`` and every configured provider that speaks Converse."""

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
        region = _region(place.environment)
        # Those of the Location, once somebody has to sign.
        keys: list[Any] = []
        base = f"https://bedrock-runtime.{region}.amazonaws.com"

        def route(endpoint: Endpoint, model: str) -> ProviderRoute:
            # Here, so that whoever asks no such model does not import them.
            from . import amazon
            from .converse import ConverseProtocol

            shown = endpoint.key is not None or endpoint.live is not None
            if not shown:
                # First: whoever has no credentials is not told to install botocore,
                # and is not offered these models as some that can be asked.
                amazon.hinted(endpoint.provider, place.environment)
            amazon.required(endpoint.provider)
            target = target_of(
                endpoint,
                f"/model/{quote(model, safe='')}/converse-stream",
                endpoint.authentication() if shown else {},
                accept=amazon.ACCEPT,
            )
            sign = None
            if not shown:
                where = _REGION.search(endpoint.host)
                if not keys:
                    keys.append(amazon.Keys(place.environment))
                sign = amazon.signer(
                    endpoint.provider,
                    target.url,
                    where[0] if where else region,
                    keys[0],
                )
            return Route(
                ConverseProtocol(endpoint, model),
                target,
                transport,
                lambda: amazon.EventStreamDecoder(endpoint.provider),
                sign,
                endpoint=endpoint,
            )

        register_endpoints(
            register,
            place,
            (evolve(DEFAULTS, home=evolve(DEFAULTS.home, base_url=base)), route, None),
        )


def _region(environment: Mapping[str, str]) -> str:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        if found := environment.get(name, "").strip():
            if not _REGION.fullmatch(found):
                raise ConfigurationError(
                    f"environment variable {name}", "it is not a region"
                )
            return found
    return _profile_region(environment) or REGION


def _profile_region(environment: Mapping[str, str]) -> str | None:
    """Return the region that the chosen profile names, if it names one."""
    path = environment.get("AWS_CONFIG_FILE")
    config = Path(path).expanduser() if path else Path.home() / ".aws" / "config"
    if not config.is_file():
        return None
    # Here, because most machines have no such file.
    from configparser import Error, RawConfigParser

    profile = environment.get("AWS_PROFILE") or "default"
    section = "default" if profile == "default" else f"profile {profile}"
    parser = RawConfigParser(strict=False)
    try:
        parser.read(config, encoding="utf-8")
        found = parser.get(section, "region", fallback="").strip()
    except (Error, OSError, UnicodeDecodeError):
        return None  # whoever signs reads it too, and says what is wrong
    return found if _REGION.fullmatch(found) else None


def written_again(request: ModelRequest, settings: Mapping[str, Json]) -> RequestBody:
    """Return the body of a request by its recorded settings.

    Raises:
        UndecodableError: they are not of this protocol.
    """
    # Here, so that whoever asks no such model does not import it.
    from .converse import written_again

    return written_again(request, settings)


plugin = BedrockPlugin()
