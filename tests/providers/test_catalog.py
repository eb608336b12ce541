"""What is publicly known of models: read lazily, renewed whole or not at all."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from dovetail.kernel import (
    ModelFactsError,
    ModelInfo,
    Price,
    PriceAbove,
    open_runtime,
)
from dovetail.plugins.providers import catalog as module
from dovetail.plugins.providers.catalog import Shelf, copy_in, plugin as catalog
from dovetail.plugins.providers.openai import plugin as openai
from dovetail.plugins.providers.snapshot import (
    PACKAGED,
    PROVIDERS,
    Snapshot,
    UnsoundError,
    newest,
    written,
)
from dovetail.storage.plugin import plugin as sqlite
from hypothesis import given, strategies as st
from support.bounds import HANG
from support.corpora import Corpus
from support.replay import JSON, Answer, serve

KEYS = (
    *("openai", "models", "limit", "context", "cost", "input", "output", "tiers"),
    *("tier", "size", "modalities", "release_date", "m"),
)
MODEL: Mapping[str, Any] = {
    "limit": {"context": 1000, "output": 100},
    "cost": {
        "input": 1,
        "output": 2.5,
        "cache_read": 0.1,
        "tiers": [{"input": 2, "output": 5, "tier": {"type": "context", "size": 500}}],
    },
    "modalities": {"input": ["text", "image", "pdf"], "output": ["text"]},
    "tool_call": True,
    "reasoning": False,
    "structured_output": True,
    "release_date": "2026-01-02",
    "knowledge": "2025-10",
}


def told(count: int = 300, provider: str = "openai") -> dict[str, Any]:
    models = {f"new-{at}": dict(MODEL) for at in range(count)}
    return {provider: {"models": models}, "somebody": {"models": models}}


def answer(data: object) -> Answer:
    return Answer(json.dumps(data).encode(), 200, JSON)


# --- what the package knows -------------------------------------------------------


def test_the_package_knows_the_models_of_its_providers() -> None:
    snapshot = Snapshot(PACKAGED.read_bytes())
    assert snapshot.check() > 400
    assert {"openai", "anthropic", "google", "bedrock"} <= set(snapshot.providers)
    assert set(snapshot.providers) <= set(PROVIDERS.values())
    known = snapshot.info("openai/gpt-5.4")
    assert known == ModelInfo(
        "openai/gpt-5.4",
        1_050_000,
        128_000,
        Price(2.5, 15, 0.25, above=(PriceAbove(272_000, 5, 22.5, 0.5),)),
        ("image", "pdf", "reasoning", "schema", "tools"),
        "2026-03-05",
        "2025-08-31",
    )
    assert snapshot.info("openai/nobody") is None
    assert snapshot.info("nobody/gpt-5.4") is None
    assert not snapshot.models("nobody")


def test_every_model_of_the_public_catalogue_is_read(
    corpus: Callable[[str], Corpus],
) -> None:
    public = corpus("models-catalog").json("models.json")
    made = Snapshot(written(public))
    for theirs, provider in public.items():
        ours = PROVIDERS.get(theirs)
        if ours is None:
            continue
        found = {one.name.partition("/")[2]: one for one in made.models(ours)}
        assert sorted(found) == sorted(provider["models"])
        for name, model in provider["models"].items():
            limit, cost = model["limit"], model.get("cost")
            assert found[name].context == (limit["context"] or None)
            assert found[name].output == (limit["output"] or None)
            price = found[name].price
            if price is None:
                assert not cost
                continue
            told = [one for one in cost.get("tiers", ()) if "tier" in one]
            tiers = zip(price.above, told, strict=True) if told else ()
            for at, one in ((price, cost), *tiers):
                assert (at.input, at.output) == (one["input"], one["output"]), name
                assert at.cache_read == one.get("cache_read"), name
                assert at.cache_write == one.get("cache_write"), name


def test_nothing_is_read_before_somebody_asks() -> None:
    program = (
        "import sys; import dovetail.plugins.providers.catalog as c\n"
        "print([m for m in ('dovetail.plugins.providers.snapshot',"
        "'dovetail.plugins.providers.renewal', 'httpx') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


# --- other people's facts ---------------------------------------------------------


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(KEYS),
                inner,
                max_size=4,
            )
        ),
        max_leaves=20,
    )
)
def test_whatever_is_told_makes_a_sound_snapshot_or_none(data: Any) -> None:
    try:
        made = written({"openai": {"models": {"m": data}}, "google": data})
    except UnsoundError:
        return
    Snapshot(made).check()


@pytest.mark.law("models.4")
async def test_newer_facts_take_the_place_of_older_ones(tmp_path: Path) -> None:
    copy = tmp_path / "cache" / "models.jsonl"
    async with serve(answer(told())) as server:
        shelf = Shelf(copy, f"{server.url}/api.json")
        assert shelf.info("openai/new-1") is None
        assert await shelf.refresh() == "300 models of 1 providers"
        known = shelf.info("openai/new-1")
    assert known is not None
    assert known.price == Price(1, 2.5, 0.1, above=(PriceAbove(500, 2, 5),))
    assert known.abilities == ("image", "pdf", "schema", "tools")
    assert (known.released, known.knowledge) == ("2026-01-02", "2025-10")
    assert {one.name for one in copy.parent.iterdir()} <= {copy.name, "models.lock"}


def bad() -> Iterator[tuple[str, Answer]]:
    yield "no JSON", Answer(b"<html>", 200, {"content-type": "text/html"})
    yield "no object", answer([1])
    yield "none of ours", answer({"somebody": told()["openai"]})
    yield "few models", answer(told(3))
    yield "a refusal", Answer(b'{"error": "no"}', 503, JSON)
    yield "a redirect", Answer(b"", 302, {"location": "http://127.0.0.1:1/"})
    yield "half of it", Answer(json.dumps(told()).encode()[:-9], 200, JSON)
    cut = json.dumps(told()).encode()
    yield "cut", Answer(cut[: len(cut) // 2], 200, JSON, end="cut")


@pytest.mark.law("models.4")
@pytest.mark.parametrize(
    ("what", "given"), [pytest.param(*one, id=one[0]) for one in bad()]
)
async def test_what_is_bad_leaves_what_was_there(
    tmp_path: Path, what: str, given: Answer
) -> None:
    copy = tmp_path / "models.jsonl"
    copy.write_bytes(written(told()))
    before = copy.read_bytes()
    async with serve(dict(bad())[what]) as server:
        with anyio.fail_after(HANG), pytest.raises(ModelFactsError) as caught:
            await Shelf(copy, f"{server.url}/api.json").refresh()
    assert caught.value.code == "model.facts"
    assert copy.read_bytes() == before
    assert Shelf(copy, "").info("openai/new-1") is not None


@pytest.mark.parametrize(
    "url",
    ["http://models.example/api.json", "file:///etc/passwd", "https://a:b@x/", "x", ""],
)
async def test_facts_come_over_https_or_from_this_machine(
    tmp_path: Path, url: str
) -> None:
    with pytest.raises(ModelFactsError, match="url"):
        await Shelf(tmp_path / "models.jsonl", url).refresh()


@pytest.mark.law("models.4")
def test_a_copy_that_was_damaged_gives_way_to_the_packages(tmp_path: Path) -> None:
    copy = tmp_path / "models.jsonl"
    whole = written(told())
    for data in (whole[: len(whole) // 2], whole[:40], b"nonsense\n"):
        copy.write_bytes(data)
        assert newest(copy).info("openai/gpt-5.4") is not None
    old = tmp_path / "old.jsonl"
    old.write_bytes(whole)
    os.utime(old, (1, 1))
    assert newest(old).info("openai/gpt-5.4") is not None


# --- in a Location ----------------------------------------------------------------


async def test_models_of_another_address_are_not_the_ones_that_are_known(
    tmp_path: Path,
) -> None:
    environment = {
        "DOVETAIL_CONFIG": "",
        "DOVETAIL_CACHE": str(tmp_path),
        "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
    }
    async with (
        open_runtime(
            "sqlite://",
            plugins=[sqlite, openai, catalog],
            load_entry_points=False,
            environment=environment,
        ) as runtime,
        runtime.location(tmp_path) as here,
    ):
        assert not [
            one for one in await here.models() if one.name.startswith("openai/")
        ]


async def test_a_day_later_newer_facts_are_fetched_where_that_is_wanted(
    tmp_path: Path,
) -> None:
    renewed = anyio.Event()

    class Watched(Shelf):
        async def refresh(self) -> str:
            said = await super().refresh()
            renewed.set()
            return said

    async with serve(answer(told())) as server:
        shelf = Watched(tmp_path / "models.jsonl", f"{server.url}/api.json")
        with anyio.fail_after(HANG):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(shelf.keep_fresh, 3600.0, 0.0)
                await renewed.wait()
                tasks.cancel_scope.cancel()
    assert shelf.info("openai/new-1") is not None


def test_the_copy_is_where_the_environment_says(tmp_path: Path) -> None:
    assert copy_in({"DOVETAIL_CACHE": str(tmp_path)}) == tmp_path / "models.jsonl"
    assert copy_in({}).name == "models.jsonl"
    assert module.Settings().daily is False
