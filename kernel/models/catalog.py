"""The catalog: which models a Location offers, and the route to each.

Owns the way from a model's name, ``provider/model``, to a route. Knows no provider and
no protocol: it reads what plugins registered, at the moment it is asked.
"""

import logging
from collections.abc import Mapping, Sequence

from attrs import evolve, field

from ..contracts import CredentialSource, ModelFacts, Provider, ProviderRoute
from ..lifecycle.guests import Guest, contained
from ..lifecycle.registrations import Registration, Registrations
from ..values.errors import ModelFactsError, ModelUnknownError, ProviderError
from ..values.frozen import frozen
from ..values.request import ModelInfo

logger = logging.getLogger(__name__)


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
        facts: Registrations[ModelFacts] | None = None,
    ) -> None:
        """``credentials``: a route may have been made with what is offered there.
        ``facts``: who knows things of models, whoever serves them."""
        self._registrations = registrations
        self._credentials = credentials or Registrations()
        self._facts = facts or Registrations()
        self._resolved: dict[str, ResolvedModel] = {}
        self._generation = self._generation_now()
        self._default: tuple[str | None, str | None] | None = None

    def _renew(self) -> None:
        self._resolved.clear()
        self._default = None
        self._generation = self._generation_now()

    def _generation_now(self) -> tuple[int, int, int]:
        return (
            self._registrations.generation,
            self._credentials.generation,
            self._facts.generation,
        )

    def models(self) -> list[ModelInfo]:
        """Return the models that are known by name, in name order."""
        known = {
            name: info
            for one in self._registrations.offer().values()
            for name, info in self._known(one.item).items()
        }
        return [known[name] for name in sorted(known)]

    def _known(self, provider: Provider) -> Mapping[str, ModelInfo]:
        """Return what is known of a provider's models, by name."""
        known: dict[str, ModelInfo] = {}
        for source in self._sources(provider):
            for info in self._told(source, provider, None):
                before = known.get(info.name)
                known[info.name] = info if before is None else info.over(before)
        if not provider.open:
            listed = {one.name for one in provider.models}
            known = {name: one for name, one in known.items() if name in listed}
        for info in provider.models:
            before = known.get(info.name)
            known[info.name] = info if before is None else info.over(before)
        return known

    def _info(self, provider: Provider, name: str) -> ModelInfo | None:
        """Return what is known of one model."""
        found = next((one for one in provider.models if one.name == name), None)
        if found is None and not provider.open:
            return None
        for source in reversed(self._sources(provider)):
            for info in self._told(source, provider, name):
                found = info if found is None else found.over(info)
        return found

    def _sources(self, provider: Provider) -> Sequence[Registration[ModelFacts]]:
        """Return who knows of a provider's models, whoever counts most last."""
        if provider.catalog is None:
            return ()
        all = self._facts.all()
        about = [one for one in all if one.item.provider == provider.catalog]
        return [*(one for one in all if one.item.provider is None), *about]

    def _told(
        self, source: Registration[ModelFacts], provider: Provider, name: str | None
    ) -> Sequence[ModelInfo]:
        """Return what one source says of one model, or of all, by the provider's own
        name. What it breaks with is told, and is nothing that it knows."""
        assert provider.catalog is not None
        at = provider.name
        try:
            with contained(Guest(source.owner, f"model facts {source.key!r}")):
                if name is None:
                    found = list(source.item.models(provider.catalog))
                else:
                    own = name.partition("/")[2]
                    info = source.item.info(f"{provider.catalog}/{own}")
                    found = [] if info is None else [info]
            if not all(isinstance(one, ModelInfo) for one in found):
                raise TypeError("it gave what is no ModelInfo")
        except Exception:
            # Boundary: facts are a stranger's code, and no work rests on them alone.
            logger.warning("model facts %r broke", source.key, exc_info=True)
            return ()
        if at == provider.catalog:
            return found
        return [evolve(one, name=f"{at}/{one.name.partition('/')[2]}") for one in found]

    async def refresh(self) -> Sequence[str]:
        """Have everybody who can get newer facts over the network; say what came of it.

        Raises:
            ModelFactsError: somebody could not.
        """
        said = []
        for source in self._facts.all():
            if source.item.refresh is None:
                continue
            guest = Guest(source.owner, f"model facts {source.key!r}")
            try:
                with contained(guest), source.busy():
                    said.append(f"{source.key}: {await source.item.refresh()}")
            except ModelFactsError:
                raise
            except Exception as error:
                # Boundary: facts are a stranger's code.
                logger.warning("%s broke", guest, exc_info=True)
                problem = f"it broke: {type(error).__name__}"
                raise ModelFactsError(source.key, problem) from error
        self._resolved.clear()
        return said

    def resolve(self, name: str) -> ResolvedModel:
        """Return the model of this name with its route.

        Raises:
            ModelUnknownError: the name is not ``provider/model``, no such provider is
                offered, or it serves only listed models and this is none of them.
            ProviderError: ``provider.key_missing``; the provider has no key.
        """
        if self._generation != self._generation_now():
            self._renew()
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
        info = self._info(provider, name)
        if info is None and not provider.open:
            known = [one.name for one in provider.models]
            missing = _missing_key(provider)
            raise ModelUnknownError(name, known if missing is None else (), missing)
        route = provider.route(model)
        return ResolvedModel(name, provider_name, model, info, route, entry)

    def default(self, *, small: bool = False) -> str | None:
        """Return the model that is used where nobody names one, or the one for small
        work then: that of the first provider that has one and what it needs, by
        ``Provider.order``; None where none has."""
        if self._generation != self._generation_now():
            self._renew()
        if self._default is None:
            self._default = self._defaults()
        return self._default[1 if small else 0]

    def _defaults(self) -> tuple[str | None, str | None]:
        offered = [one.item for one in self._registrations.offer().values()]
        for provider in sorted(offered, key=lambda one: (one.order, one.name)):
            if provider.default is None or provider.assumed:
                continue
            if _missing_key(provider) is None:
                own, small = provider.default, provider.small or provider.default
                return f"{provider.name}/{own}", f"{provider.name}/{small}"
        return None, None

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
        known = {one for name in able for one in self._known(offer[name].item)}
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
        known = self._known(entry.item)
        return [_described(one, known.get(one.name)) for one in found]


def _described(served: ModelInfo, known: ModelInfo | None) -> ModelInfo:
    return served if known is None else known.over(served)


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
