"""What every test may use: both event loops, the law marker, and the real-data sets."""

from typing import Any

import pytest
from support.corpora import Corpus, find_corpus

# Before any test imports it; what it asserts is then told as tests tell it.
pytest.register_assert_rewrite("dovetail.kernel.testing.contracts.store")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "law(id): the promise that this test guards")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def corpus() -> Any:
    """Return a function from a set's name to the set; absent sets skip the test."""

    def find(name: str) -> Corpus:
        found = find_corpus(name)
        if found is None:
            pytest.skip(f"the real-data set {name!r} is not beside this checkout")
        return found

    return find
