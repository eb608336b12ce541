"""What is crashed here is imported once for each file."""

from collections.abc import Iterator

import pytest
from dovetail.kernel.testing.crash.nursery import nurseries_kept


@pytest.fixture(scope="module", autouse=True)
def kept() -> Iterator[None]:
    with nurseries_kept():
        yield
