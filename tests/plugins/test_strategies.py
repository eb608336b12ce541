"""Strategies of compaction, as plugins offer them."""

from pathlib import Path

import anyio
import pytest
from dovetail.kernel import (
    CompactionEnded,
    CompactionStrategy,
    CompactionWork,
    Register,
    hookimpl,
)
from dovetail.kernel.testing.scripted import ScriptedProvider, text
from support.bounds import HANG
from support.compactions import shipped
from support.hosts import host


async def _terse(work: CompactionWork) -> str:
    return f"{len(work.messages)} messages of {work.session_id}"


class Terse:
    """Offers a strategy, and something that is none."""

    name = "terse"

    @hookimpl
    def dovetail_register_compaction(
        self, register: Register[CompactionStrategy]
    ) -> None:
        register("no strategy")  # type: ignore[arg-type]
        register(CompactionStrategy("terse", _terse))


async def test_register_compaction_offers_a_strategy_that_the_configuration_chooses(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "user.toml").write_text('[compaction]\nstrategy = "terse"\n')
    provider = ScriptedProvider(text("one"), text("two"))
    environment = {"DOVETAIL_CONFIG": str(tmp_path / "user.toml")}
    plugins = [shipped, Terse()]
    async with host(
        tmp_path, provider, plugins=plugins, environment=environment
    ) as runtime:
        session = await runtime.sessions.create(
            id="s", location=tmp_path, model=provider.model
        )
        for _ in range(2):
            await session.prompt("go")
            await session.wait()
        await session.compact()
        with anyio.fail_after(HANG):
            await session.wait()
        [ended] = [
            one async for one in session.events() if isinstance(one, CompactionEnded)
        ]
    assert f"> {ended.replaced} messages of s" in ended.text
    assert "give a CompactionStrategy" in caplog.text
