"""A process that dies while servers are called, at every one of its instants."""

import os
from collections.abc import Iterator

import pytest
from dovetail.kernel.testing import FaultPoint, crash_test
from dovetail.kernel.testing.crash.nursery import nurseries_kept

EVERYWHERE = "DOVETAIL_CRASH_EVERYWHERE" in os.environ


def around_the_call(point: FaultPoint) -> bool:
    """Whether a death here is one in the middle of the call: all others are as they
    always are, and ``DOVETAIL_CRASH_EVERYWHERE=1`` dies there as well."""
    return EVERYWHERE or point.name.startswith("effect")


@pytest.fixture(scope="module", autouse=True)
def kept() -> Iterator[None]:
    with nurseries_kept():
        yield


@pytest.mark.law("mcp.6")
@pytest.mark.parametrize("which", ["distrusted", "trusted"])
def test_a_call_that_a_crash_cut_off_is_made_again_only_where_a_server_may_say_so(
    which: str,
) -> None:
    from mcp_plugin import crash_scenarios

    report = crash_test(
        getattr(crash_scenarios, which),
        depth=2 if EVERYWHERE else 1,
        distinct=not EVERYWHERE,
        only=around_the_call,
    )
    assert report.sound, report
    assert report.exercised
