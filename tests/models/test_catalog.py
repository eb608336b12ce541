"""The catalog finds models in what providers offer now."""

from pathlib import Path
from typing import Any

import anyio
import pytest
from dovetail.kernel import (
    AssistantMessage,
    Generation,
    ModelInfo,
    ModelUnknownError,
    Provider,
    ProviderError,
)
from dovetail.kernel.lifecycle.registrations import Registrations
from dovetail.kernel.models.catalog import ModelCatalog
from dovetail.kernel.testing import ScriptedProvider, text
from support.bounds import HANG
from support.hosts import host


class Routes:
    """Makes a new object for each route and remembers for which model."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, model: str) -> Any:
        self.asked.append(model)
        return object()


def offer(*providers: Provider) -> Registrations[Provider]:
    registrations: Registrations[Provider] = Registrations()
    for one in providers:
        registrations.add("plugin", one.name, one)
    return registrations


def test_models_are_listed_by_name_across_providers() -> None:
    known = [ModelInfo("b/y", 10, 5), ModelInfo("b/x")]
    catalog = ModelCatalog(
        offer(
            Provider("b", Routes(), known), Provider("a", Routes(), [ModelInfo("a/z")])
        )
    )
    assert [one.name for one in catalog.models()] == ["a/z", "b/x", "b/y"]


def test_the_first_slash_ends_the_name_of_the_provider() -> None:
    routes = Routes()
    catalog = ModelCatalog(offer(Provider("router", routes)))
    found = catalog.resolve("router/meta/llama:free")
    assert (found.name, found.provider) == ("router/meta/llama:free", "router")
    assert found.model == "meta/llama:free"
    assert found.info is None
    assert routes.asked == ["meta/llama:free"]


def test_what_is_known_of_a_model_comes_with_it() -> None:
    info = ModelInfo("a/m", 10, 5)
    catalog = ModelCatalog(offer(Provider("a", Routes(), [info])))
    assert catalog.resolve("a/m").info is info


@pytest.mark.parametrize("name", ["", "a", "/", "a/", "/m", "b/m", "a/ ", "A/m"])
def test_a_name_that_leads_nowhere_is_refused_with_what_is_offered(name: str) -> None:
    catalog = ModelCatalog(offer(Provider("a", Routes(), [ModelInfo("a/known")])))
    with pytest.raises(ModelUnknownError, match="'a/known'") as caught:
        catalog.resolve(name)
    assert caught.value.code == "model.unknown"
    assert caught.value.model == name


def test_only_models_are_offered_whose_provider_has_its_key() -> None:
    def locked(model: str) -> Any:
        raise ProviderError("provider.key_missing", "b", "set B_KEY")

    def broken(model: str) -> Any:
        raise ValueError(model)

    catalog = ModelCatalog(
        offer(
            Provider("a", Routes(), [ModelInfo("a/known")], open=False),
            Provider("b", locked, [ModelInfo("b/known")]),
            Provider("c", broken),
        )
    )
    assert catalog.askable() == ["a/known", "c/..."]
    with pytest.raises(ModelUnknownError, match=r"offered here: 'a/known', 'c/\.\.\.'"):
        catalog.resolve("d/m")


def test_a_closed_provider_serves_only_what_it_lists() -> None:
    closed = Provider("a", Routes(), [ModelInfo("a/m")], open=False)
    catalog = ModelCatalog(offer(closed))
    assert catalog.resolve("a/m").model == "m"
    with pytest.raises(ModelUnknownError, match="'a/m'"):
        catalog.resolve("a/other")


def test_what_is_only_assumed_to_be_there_can_be_asked_and_is_not_recommended() -> None:
    catalog = ModelCatalog(offer(Provider("local", Routes(), assumed=True)))
    assert catalog.askable() == []
    assert catalog.resolve("local/m").name == "local/m"


def test_a_route_is_made_once_until_the_offer_changes() -> None:
    old, new = Routes(), Routes()
    registrations = offer(Provider("a", old))
    catalog = ModelCatalog(registrations)
    first = catalog.resolve("a/m")
    assert catalog.resolve("a/m") is first
    assert old.asked == ["m"]
    shadow = registrations.add("z", "a", Provider("a", new))
    assert catalog.resolve("a/m").route is not first.route
    shadow.close()
    assert catalog.resolve("a/m").route is not first.route
    assert (old.asked, new.asked) == (["m", "m"], ["m"])


@pytest.mark.law("plugins.2")
def test_a_removed_provider_is_gone() -> None:
    registrations: Registrations[Provider] = Registrations()
    one = registrations.add("plugin", "a", Provider("a", Routes()))
    catalog = ModelCatalog(registrations)
    catalog.resolve("a/m")
    one.close()
    with pytest.raises(ModelUnknownError, match="no provider is offered"):
        catalog.resolve("a/m")


def test_a_missing_key_is_asked_for_again_each_time() -> None:
    keys: list[str] = []

    def route(model: str) -> Any:
        if not keys:
            raise ProviderError("provider.key_missing", "a", "set A_KEY")
        return object()

    catalog = ModelCatalog(offer(Provider("a", route)))
    with pytest.raises(ProviderError, match="A_KEY"):
        catalog.resolve("a/m")
    keys.append("k")
    assert catalog.resolve("a/m").route


@pytest.mark.law("models.8")
def test_a_name_may_say_how_much_the_model_thinks() -> None:
    thinks = ModelInfo("a/thinks", abilities=("reasoning", "tools"))
    plain = ModelInfo("a/plain", abilities=("tools",))
    own = ModelInfo("a/thinks:low", context=7)
    routes = Routes()
    catalog = ModelCatalog(offer(Provider("a", routes, [thinks, plain, own])))
    found = catalog.resolve("a/thinks:high")
    assert (found.name, found.model, found.info) == ("a/thinks", "thinks", thinks)
    assert (found.variant, found.full_name) == ("high", "a/thinks:high")
    agent = Generation(reasoning="low", seed=7)
    assert found.generation(agent) == Generation(reasoning="high", seed=7)
    # A model whose own name is like that is found before.
    same = catalog.resolve("a/thinks:low")
    assert (same.model, same.variant, same.info) == ("thinks:low", None, own)
    assert same.generation(agent) == agent
    # Of what nobody knows, the provider will say.
    unknown = catalog.resolve("a/new:xhigh")
    assert (unknown.model, unknown.variant) == ("new", "xhigh")
    assert catalog.resolve("a/llama:free").model == "llama:free"
    assert routes.asked == ["thinks", "thinks:low", "new", "llama:free"]
    with pytest.raises(ModelUnknownError, match="does not reason"):
        catalog.resolve("a/plain:high")


@pytest.mark.law("models.8")
async def test_a_session_thinks_as_its_model_is_named(tmp_path: Path) -> None:
    script = ScriptedProvider(text("a"), text("b"))
    async with host(tmp_path, script) as runtime:
        session = await runtime.sessions.create(
            location=tmp_path, model="scripted/new:high"
        )
        for generation in (None, Generation(reasoning="low")):
            await session.prompt("go", generation=generation)
            with anyio.fail_after(HANG):
                assert (await session.wait()).succeeded
        assert (await session.info()).model == "scripted/new:high"
        *_, last = await session.history()
        assert isinstance(last, AssistantMessage)
        assert last.model == "scripted/new"
        here = runtime.location(tmp_path)
        assert await here.model_for("scripted/x:low") == "scripted/x:low"
    efforts = [one.generation.reasoning for one in script.requests]
    assert efforts == ["high", "low"]
    assert {one.model for one in script.requests} == {"new"}
