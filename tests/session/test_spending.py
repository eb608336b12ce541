"""What was spent: by day, model and directory, each Step once."""

from datetime import UTC
from pathlib import Path

import pytest
from dovetail.kernel.testing import ScriptedProvider, text
from support.hosts import host


def scripted() -> ScriptedProvider:
    return ScriptedProvider(*[text("Done.") for _ in range(4)])


@pytest.mark.law("models.10")
async def test_steps_are_summed_by_day_model_and_directory(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    async with host(tmp_path, scripted()) as runtime:
        assert await runtime.sessions.spending() == []
        for place in (tmp_path, tmp_path, elsewhere):
            session = await runtime.sessions.create(
                location=place, model="scripted/model", title="x"
            )
            await session.prompt("go")
            assert (await session.wait()).succeeded
        found = await runtime.sessions.spending(zone=UTC)
        info = await session.info()
        fork = await session.fork()
        # A fork shares the past, and paid nothing for it.
        assert await runtime.sessions.spending(zone=UTC) == found
        assert (await fork.info()).steps == 0
        # A day may end between two of them.
        for place, steps in ((tmp_path, 2), (elsewhere, 1)):
            there = [one for one in found if one.directory == str(place)]
            assert {one.model for one in there} == {"scripted/model"}
            assert sum(one.steps for one in there) == steps
            assert sum(one.usage.input or 0 for one in there) == steps
            assert sum(one.unpriced for one in there) == steps
            assert [one.cost for one in there] == [None] * len(there)
        assert await runtime.sessions.spending(since=info.updated + 1) == []
