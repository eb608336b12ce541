"""What the tests of the log share: every one runs on both stores."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from dovetail.kernel.log.commit import EventLog
from support.logs import Medium, WrappedStore, log_on


@pytest.fixture(params=["memory", "sqlite"])
def medium(request: pytest.FixtureRequest, tmp_path: Path) -> Medium:
    return Medium(request.param, tmp_path)


@pytest.fixture
async def store(medium: Medium) -> AsyncIterator[WrappedStore]:
    async with medium.open() as opened:
        yield WrappedStore(opened)


@pytest.fixture
async def log(store: WrappedStore) -> AsyncIterator[EventLog]:
    made = log_on(store)
    yield made
    made.close()
