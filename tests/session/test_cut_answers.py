"""An answer in words that may not be whole: whoever waits can see it."""

from pathlib import Path

import pytest
from dovetail.kernel import Finish, FinishReason, TextDelta
from dovetail.kernel.testing import ScriptedProvider
from support.hosts import host


@pytest.mark.parametrize("reason", ["stop", "length", "unknown"])
async def test_an_outcome_says_why_the_model_stopped(
    tmp_path: Path, reason: FinishReason
) -> None:
    model = ScriptedProvider([TextDelta("0", "part of"), Finish(reason)])
    async with host(tmp_path, model) as runtime:
        session = await runtime.sessions.create("s", tmp_path, model=model.model)
        await session.prompt("Go")
        outcome = await session.wait()
        assert (outcome.status, outcome.finish) == ("succeeded", reason)
    async with host(tmp_path, model) as runtime:
        session = await runtime.sessions.get("s")
        assert (await session.wait()).finish == reason
