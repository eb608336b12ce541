"""What every test may use: both event loops, the law marker, and the real-data sets."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
CORPORA = ROOT.parent / "shared" / "corpora"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "law(id): the promise that this test guards")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Corpus:
    """One set of real data, read in place."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self, name: str) -> Iterator[Any]:
        """Yield the values of a file of JSON lines."""
        with (self.path / name).open(encoding="utf-8") as file:
            for line in file:
                if line.strip():
                    yield json.loads(line)

    def json(self, name: str) -> Any:
        return json.loads((self.path / name).read_text(encoding="utf-8"))


def find_corpus(name: str) -> Corpus | None:
    """Return a set of real data, or None where the folder is absent."""
    path = CORPORA / name
    return Corpus(path) if path.is_dir() else None


@pytest.fixture
def corpus() -> Any:
    """Return a function from a set's name to the set; absent sets skip the test."""

    def find(name: str) -> Corpus:
        found = find_corpus(name)
        if found is None:
            pytest.skip(f"the real-data set {name!r} is not beside this checkout")
        return found

    return find
