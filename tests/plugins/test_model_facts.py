"""What plugins know of models, and whose word counts."""

from pathlib import Path
from typing import Any

import pytest
from dovetail.kernel import (
    ModelFacts,
    ModelInfo,
    Place,
    Price,
    Register,
    hookimpl,
    open_runtime,
)
from dovetail.plugins.providers.catalog import plugin as catalog
from dovetail.plugins.providers.openai import plugin as openai
from dovetail.storage.plugin import plugin as sqlite


class Mine:
    """A plugin that knows better, of one provider's models and of everybody's."""

    @hookimpl
    def dovetail_register_models(
        self, register: Register[ModelFacts], place: Place
    ) -> None:
        price = Price(7, 7)
        own = [ModelInfo("openai/gpt-5.4", price=price), ModelInfo("openai/mine", 5)]
        found = {one.name: one for one in own}
        register(ModelFacts("mine", lambda _: own, found.get, provider="openai"))
        every = ModelInfo("openai/gpt-5.4", 1, 1, Price(1, 1))
        register(ModelFacts("all", lambda _: [], lambda _: every))

        def broken(_: str) -> Any:
            raise ValueError("broken")

        register(ModelFacts("broken", broken, broken, provider="openai"))


@pytest.mark.law("models.5")
async def test_register_models_counts_after_the_configuration_and_before_the_catalog(
    tmp_path: Path,
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[providers.openai]\nmodels = [{name = "gpt-5.4", output = 9}]\n')
    environment = {
        "DOVETAIL_CONFIG": str(file),
        "DOVETAIL_CACHE": str(tmp_path),
        "OPENAI_API_KEY": "sk-secret-0123456789",
    }
    async with (
        open_runtime(
            "sqlite://",
            plugins=[sqlite, openai, catalog, Mine()],
            load_entry_points=False,
            environment=environment,
        ) as runtime,
        runtime.location(tmp_path) as here,
    ):
        known = {one.name: one for one in await here.models()}
        found = known["openai/gpt-5.4"]
        assert (found.output, found.price, found.context) == (9, Price(7, 7), 1_050_000)
        assert found.released == "2026-03-05"
        assert known["openai/mine"].context == 5
        # The same models at another address of the same provider have its name.
        other = known["openai-responses/gpt-5.4"]
        assert (other.output, other.price) == (128_000, Price(7, 7))
