"""What the tests of the conformance kit share."""

from collections.abc import Iterator

import pytest
from support.faults import LEFT_OPEN


@pytest.fixture(autouse=True)
def _nothing_is_left_open() -> Iterator[None]:
    """Close after a test what its faulty plugin left open."""
    yield
    LEFT_OPEN.close()
