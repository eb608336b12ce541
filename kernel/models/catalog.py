"""The catalog: which models a Location offers, and the route to each.

Owns the way from a model's name, ``provider/model``, to a route. Knows no provider and
no protocol: it reads what plugins registered, at the moment it is asked.
"""

from attrs import field

from ..contracts import Provider, ProviderRoute
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


class ModelCatalog:
    """Finds models in a Location's providers.

    A route is made once per model and kept until the offer changes, so that a provider
    that was replaced or removed is never asked through an old route.
    """

    def __init__(self, registrations: Registrations[Provider]) -> None:
        self._registrations = registrations
        self._resolved: dict[str, ResolvedModel] = {}
        self._generation = registrations.generation

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
        if self._generation != self._registrations.generation:
            self._resolved.clear()
            self._generation = self._registrations.generation
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
            raise ModelUnknownError(name, self.askable(), self._keyless())
        provider = entry.item
        info = next((one for one in provider.models if one.name == name), None)
        if info is None and not provider.open:
            known = [one.name for one in provider.models]
            missing = _missing_key(provider)
            lacking = () if missing is None else (missing,)
            raise ModelUnknownError(name, () if lacking else known, lacking)
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

    def _keyless(self) -> list[str]:
        """Return what the providers say that have no key."""
        offer = self._registrations.offer()
        said = [_missing_key(one.item) for one in offer.values()]
        return [one for one in said if one is not None]


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
