"""A home for each test of the conversation."""

from pathlib import Path

import pytest
from support.commands import Home
from support.zygote import Zygote


@pytest.fixture
def anyio_backend() -> str:
    """The conversation runs in a process of its own, on its own event loop: one is
    enough to watch it from."""
    return "asyncio"


@pytest.fixture
def home(tmp_path: Path, zygote: Zygote) -> Home:
    home = Home(tmp_path, zygote)
    home.environment["XDG_STATE_HOME"] = str(tmp_path / "state")
    return home
