"""The catalog: which models a Location offers, and the route to each.

Owns the way from a model's name, ``provider/model``, to a route. Knows no provider and
no protocol: it reads what plugins registered, at the moment it is asked.
"""

from collections.abc import Sequence

from attrs import field

from ..contracts import CredentialSource, Provider, ProviderRoute
from ..lifecycle.guests import Guest, contained
from ..lifecycle.registrations import Registration, Registrations
from ..values.errors import ModelUnknownError, ProviderError
from ..values.frozen import frozen
from ..values.request import ModelInfo


@frozen
class ResolvedModel:
    """A model that can be asked now."""

    name: str
    """``provider/model``."""
    provider: str
    model: str
    """Its name at the provider."""
    info: ModelInfo | None
    """What is known of it, if anything."""
    route: ProviderRoute
    entry: Registration[Provider] = field(eq=False, repr=False)
    """What offers it; a request makes it ``busy``."""


@frozen
class ProviderState:
    """A provider as it is now."""

    name: str
    """The part of a model's name before the slash."""
    plugin: str
    """Whose provider it is."""
    assumed: bool
    """Whether its usual address is all that is known of it."""
    missing: str | None = None
    """Why no model of it can be asked, such as the variable that should hold its key;
    None where one can."""


class ModelCatalog:
    """Finds models in a Location's providers.

    A route is made once per model and kept until the offer changes, so that a provider
    that was replaced or removed is never asked through an old route.
    """

    def __init__(
        self,
        registrations: Registrations[Provider],
        credentials: Registrations[CredentialSource] | None = None,
    ) -> None:
        """``credentials``: a route may have been made with what is offered there."""
        self._registrations = registrations
        self._credentials = credentials or Registrations()
        self._resolved: dict[str, ResolvedModel] = {}
        self._generation = self._generation_now()

    def _generation_now(self) -> tuple[int, int]:
        return self._registrations.generation, self._credentials.generation

    def models(self) -> list[ModelInfo]:
        """Return the models that are known by name, in name order."""
        known = {
            info.name: info
            for one in self._registrations.offer().values()
            for info in one.item.models
        }
        return [known[name] for name in sorted(known)]

    def resolve(self, name: str) -> ResolvedModel:
        """Return the model of this name with its route.

        Raises:
            ModelUnknownError: the name is not ``provider/model``, no such provider is
                offered, or it serves only listed models and this is none of them.
            ProviderError: ``provider.key_missing``; the provider has no key.
        """
        if self._generation != self._generation_now():
            self._resolved.clear()
            self._generation = self._generation_now()
        found = self._resolved.get(name)
        if found is None:
            found = self._resolved[name] = self._resolve(name)
        return found

    def _resolve(self, name: str) -> ResolvedModel:
        # A model's own name may have slashes too: the first one ends the provider's.
        provider_name, _, model = name.partition("/")
        offer = self._registrations.offer()
        entry = offer.get(provider_name) if model.strip() else None
        if entry is None:
            # Here, because it is wanted by mistakes alone.
            from difflib import get_close_matches

            near = get_close_matches(provider_name, offer, n=2, cutoff=0.75)
            raise ModelUnknownError(
                name, self.askable(), near=[f"{one}/..." for one in near]
            )
        provider = entry.item
        info = next((one for one in provider.models if one.name == name), None)
        if info is None and not provider.open:
            known = [one.name for one in provider.models]
            missing = _missing_key(provider)
            raise ModelUnknownError(name, known if missing is None else (), missing)
        route = provider.route(model)
        return ResolvedModel(name, provider_name, model, info, route, entry)

    def askable(self) -> list[str]:
        """Return names to show someone who asked for what is not there: models whose
        provider has what it needs and is known to be there. ``provider/...`` stands
        for any model of it."""
        offer = self._registrations.offer()
        able = [
            name
            for name, one in offer.items()
            if not one.item.assumed and _missing_key(one.item) is None
        ]
        known = {one.name for name in able for one in offer[name].item.models}
        return [
            *sorted(known, key=lambda name: name.split("/", 1)),
            *(f"{name}/..." for name in able if offer[name].item.open),
        ]

    def providers(self) -> list[ProviderState]:
        """Return the providers as they are now, in name order."""
        return [
            ProviderState(name, one.owner, one.item.assumed, _missing_key(one.item))
            for name, one in self._registrations.offer().items()
        ]

    async def served(self, provider: str) -> Sequence[ModelInfo]:
        """Return what a provider says that it serves, over the network.

        Raises:
            ModelUnknownError: no such provider is offered.
            ProviderError: it cannot be asked, or its answer is none.
        """
        entry = self._registrations.offer().get(provider)
        if entry is None:
            raise ModelUnknownError(f"{provider}/...", self.askable())
        if entry.item.served is None:
            raise ProviderError(
                "provider.failed", provider, "it cannot be asked what it serves"
            )
        guest = Guest(entry.owner, f"provider {provider!r}")
        with contained(guest), entry.busy():
            found = await entry.item.served()
        if not all(isinstance(one, ModelInfo) for one in found):
            raise ProviderError(
                "provider.invalid_output", provider, "it did not give ModelInfos"
            )
        return found


def _missing_key(provider: Provider) -> str | None:
    """Return what is said of the key that keeps a route from being made, such as where
    it was looked for; None where no key is missing."""
    name = provider.models[0].name if provider.models else f"{provider.name}/model"
    try:
        # Nothing is asked over the network by it.
        provider.route(name.partition("/")[2])
    except ProviderError as error:
        return str(error) if error.code == "provider.key_missing" else None
    except Exception:
        # Whoever chooses it hears what is wrong.
        return None
    return None
