"""A session that is far longer than its model's window, in its short form.

The long form is the benchmark ``long_work``: five thousand Steps.
"""

from pathlib import Path

import pytest
from dovetail.kernel import CompactionEnded
from support.long_work import TASK, WINDOW, Worker, working


@pytest.mark.law("compaction.1")
@pytest.mark.law("compaction.4")
async def test_hundreds_of_steps_fit_into_a_small_window_and_forget_no_fact(
    tmp_path: Path,
) -> None:
    worker = Worker(250)
    async with working(tmp_path, worker) as session:
        await session.prompt(TASK)
        assert (await session.wait()).succeeded
        ended = [
            one async for one in session.events() if isinstance(one, CompactionEnded)
        ]
        shown = await session.history()
    assert worker.seen.requests == 251
    assert worker.seen.largest <= WINDOW - 4_000
    assert worker.seen.missing == []
    assert 2 <= len(ended) <= 10
    assert len(shown) < 100


@pytest.mark.law("compaction.1")
async def test_so_they_do_where_the_provider_tells_of_no_usage(tmp_path: Path) -> None:
    worker = Worker(150, telling=False)
    async with working(tmp_path, worker) as session:
        await session.prompt(TASK)
        assert (await session.wait()).succeeded
    assert worker.seen.largest <= WINDOW - 4_000
    assert worker.seen.missing == []
