"""A home for each test of the command line."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from dovetail.plugins.cli.program import run_program
from support.commands import Done, Home
from support.zygote import Zygote


@pytest.fixture
def anyio_backend() -> str:
    """The command runs in a process of its own, on its own event loop: one is enough
    to watch it from."""
    return "asyncio"


@pytest.fixture
def home(tmp_path: Path, zygote: Zygote) -> Home:
    return Home(tmp_path, zygote)


@pytest.fixture
def do(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """Return a function that runs a command in this process, which is quicker."""
    for name in os.environ.keys() - home.environment.keys():
        monkeypatch.delenv(name)
    for name, value in home.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(home.work)

    def run(*arguments: str) -> Done:
        code = run_program(arguments)
        told = capsys.readouterr()
        return Done(code, told.out, told.err)

    return run
