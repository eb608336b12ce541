"""The registry of Context Sources: keys, owners and order."""

import pytest
from dovetail.kernel import (
    ConflictError,
    ContextSource,
    InvalidValueError,
    Observation,
)
from dovetail.kernel.context.registry import ContextRegistry
from dovetail.kernel.lifecycle.registrations import Registrations


async def nothing() -> Observation | None:
    return None


def source(key: str) -> ContextSource:
    return ContextSource(key, nothing)


def make_registry() -> ContextRegistry:
    return ContextRegistry(Registrations[ContextSource]())


@pytest.mark.parametrize(
    "key",
    ["core/date", "a/b", "0x/y", "acme.corp/team_1/on-call.now", "a/" + "b" * 126],
)
def test_a_namespaced_lower_case_key_is_accepted(key: str) -> None:
    registry = make_registry()
    registry.register(source(key), "acme")
    assert [one.key for one in registry.sources()] == [key]


@pytest.mark.parametrize(
    "key",
    [
        *("", "date", "/date", "core/", "core//date", "Core/date", "core/Date"),
        *("core/da te", "core/date\n", ".core/date", "-a/b", "cöre/date", "core\\date"),
        "a/" + "b" * 127,
        None,
        7,
    ],
)
def test_any_other_key_is_refused_and_nothing_is_offered(key: object) -> None:
    registry = make_registry()
    with pytest.raises(InvalidValueError) as caught:
        registry.register(ContextSource(key, nothing), "acme")  # type: ignore[arg-type]
    assert caught.value.code == "value.invalid"
    assert registry.sources() == ()


def test_what_is_no_source_is_refused() -> None:
    with pytest.raises(InvalidValueError):
        make_registry().register("core/date", "acme")  # type: ignore[arg-type]


def test_a_key_can_be_offered_once_and_the_error_names_both_plugins() -> None:
    registry = make_registry()
    first = source("core/date")
    registry.register(first, "context")
    with pytest.raises(ConflictError) as caught:
        registry.register(source("core/date"), "acme")
    assert "'context'" in str(caught.value)
    assert "'acme'" in str(caught.value)
    assert registry.sources() == (first,)


@pytest.mark.law("plugins.2")
def test_a_closed_registration_takes_its_source_away_and_frees_the_key() -> None:
    registry = make_registry()
    kept = source("acme/kept")
    registry.register(kept, "acme")
    registry.register(source("core/date"), "context").close()
    assert registry.sources() == (kept,)
    assert registry.owner("core/date") is None
    again = source("core/date")
    registry.register(again, "other")
    assert registry.sources() == (kept, again)
    assert registry.owner("core/date") == "other"


@pytest.mark.law("context.5")
def test_sources_are_in_key_order_whoever_came_first() -> None:
    registry = make_registry()
    for rank, key in enumerate(["core/z", "acme/m", "core/a", "b/b"]):
        registry.register(source(key), f"plugin{9 - rank}", rank)
    keys = [one.key for one in registry.sources()]
    assert keys == ["acme/m", "b/b", "core/a", "core/z"]
