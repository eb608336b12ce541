"""Which model is used where nobody names one."""

from pathlib import Path
from typing import Any

import pytest
from dovetail.kernel import (
    ModelNotSelectedError,
    Provider,
    ProviderError,
    open_runtime,
)
from dovetail.kernel.lifecycle.registrations import Registrations
from dovetail.kernel.models.catalog import ModelCatalog
from dovetail.plugins.providers import anthropic, google, openai
from dovetail.plugins.providers.catalog import plugin as catalog
from dovetail.storage.plugin import plugin as sqlite

DOCS = Path(__file__).resolve().parents[2] / "docs" / "models.md"
KEYS = {
    "ANTHROPIC_API_KEY": "sk-secret-0000000001",
    "OPENAI_API_KEY": "sk-secret-0000000002",
    "GEMINI_API_KEY": "sk-secret-0000000003",
}


def opened(tmp_path: Path, words: str = "", **environment: str) -> Any:
    file = tmp_path / "mine.toml"
    file.write_text(words)
    return open_runtime(
        "sqlite://",
        plugins=[sqlite, anthropic.plugin, openai.plugin, google.plugin, catalog],
        load_entry_points=False,
        environment={
            "DOVETAIL_CONFIG": str(file),
            "DOVETAIL_CACHE": str(tmp_path),
            **environment,
        },
    )


@pytest.mark.law("models.6")
@pytest.mark.parametrize(
    ("names", "model", "small"),
    [
        ([*KEYS], "anthropic/claude-sonnet-4-6", "anthropic/claude-haiku-4-5"),
        (["OPENAI_API_KEY", "GEMINI_API_KEY"], "openai/gpt-5.4", "openai/gpt-5.4-mini"),
        (["GEMINI_API_KEY"], "google/gemini-2.5-pro", "google/gemini-2.5-flash"),
    ],
)
async def test_the_first_provider_with_its_key_has_the_usual_model(
    tmp_path: Path, names: list[str], model: str, small: str
) -> None:
    keys = {name: KEYS[name] for name in names}
    async with opened(tmp_path, **keys) as runtime, runtime.location(tmp_path) as here:
        assert await here.model_for() == model
        assert await here.model_for(agent="explore") == small
        known = {one.name for one in await here.models()}
        assert {model, small} <= known
    page = DOCS.read_text(encoding="utf-8")
    provider, own = model.split("/")
    assert f"| `{provider}` | `{own}` | `{small.split('/')[1]}` |" in page


@pytest.mark.law("models.6")
async def test_whoever_names_one_is_asked_before(tmp_path: Path) -> None:
    words = (
        'model = "openai/configured"\n[agents.mine]\nmodel = "openai/agents"\n'
        'instructions = "x"\n'
    )
    async with (
        opened(tmp_path, words, **KEYS) as runtime,
        runtime.location(tmp_path) as here,
    ):
        assert await here.model_for() == "openai/configured"
        assert await here.model_for(agent="mine") == "openai/agents"
        assert await here.model_for("google/own", agent="mine") == "google/own"
        # Whoever chose a model has chosen who is told.
        assert await here.model_for(agent="explore") == "openai/configured"
        assert await here.model_for("google/own", "explore") == "google/own"


@pytest.mark.law("models.6")
@pytest.mark.parametrize(
    "environment",
    [
        {},
        {**KEYS, "ANTHROPIC_API_KEY": "", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"},
    ],
)
async def test_a_usual_model_is_of_a_providers_own_address_alone(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    environment = {**environment, "GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:9"}
    async with (
        opened(tmp_path, **environment) as runtime,
        runtime.location(tmp_path) as here,
    ):
        with pytest.raises(ModelNotSelectedError):
            await here.model_for()


def test_an_order_is_a_providers_own_and_equal_ones_go_by_name() -> None:
    def locked(model: str) -> Any:
        raise ProviderError("provider.key_missing", "z", "set Z_KEY")

    def route(model: str) -> Any:
        return object()

    offered: Registrations[Provider] = Registrations()
    catalog = ModelCatalog(offered)
    assert catalog.default() is None
    offered.add("p", "b", Provider("b", route, default="m"))
    offered.add("p", "a", Provider("a", route, default="m", small="s"))
    assert (catalog.default(), catalog.default(small=True)) == ("a/m", "a/s")
    offered.add("p", "z", Provider("z", locked, default="m", order=1))
    offered.add("p", "y", Provider("y", route, default="m", order=2, assumed=True))
    assert catalog.default() == "a/m"
    first = offered.add("p", "c", Provider("c", route, default="m", order=3))
    assert (catalog.default(), catalog.default(small=True)) == ("c/m", "c/m")
    first.close()
    assert catalog.default() == "a/m"
