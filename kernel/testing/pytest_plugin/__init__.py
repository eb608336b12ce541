"""The pytest plugin: what a test of a plugin asks for by name.

Owns the fixtures, and that what they hand out is closed when a test is over, however it
ends. Knows nothing of what they hand out beyond its name: that is the rest of the kit.

pytest loads this module in every project of an environment that has dovetail, most of
which ask for none of it. So it imports nothing but pytest, and each fixture what it
needs when it is asked for; it adds no option and no marker, and it runs no test: that
is left to anyio's plugin, or to whichever a project has. ``-p no:dovetail`` leaves it
out.

It is installed as ``dovetail_pytest``, beside ``dovetail`` and not in it. pytest
rewrites the assertions of whatever a distribution with a pytest plugin has at its top,
and where it finds nothing there but a namespace, of what is in that: of every module
called ``kernel``, ``plugins`` or ``storage``, whosever it is.
"""

from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from dovetail.kernel.runtime import Runtime
    from dovetail.kernel.testing import CrashBench, ManualClock, ScriptedProvider
    from dovetail.kernel.values.location import Location

# Imports inside of the fixtures: see above.

PASSED = pytest.StashKey[bool]()
"""Whether the test itself, apart from its fixtures, raised nothing."""
OTHER_LOOPS = ("asyncio", "trio")
"""The markers by which pytest-asyncio and pytest-trio know the tests that they run."""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    if call.when == "call":
        item.stash[PASSED] = call.excinfo is None


# --- the model and the time -------------------------------------------------------


@pytest.fixture
def dovetail_provider(
    request: pytest.FixtureRequest,
) -> Generator["ScriptedProvider", None, None]:
    """A provider that plays the model's part: ``dovetail_provider.then(text("Hi"))``.

    Its model is ``dovetail_provider.model``. A test that passed although answers are
    left that nobody asked for fails at its end.
    """
    from dovetail.kernel.testing import ScriptedProvider

    provider = ScriptedProvider()
    yield provider
    if provider.unused and request.node.stash.get(PASSED, False):
        pytest.fail(
            f"answers of dovetail_provider that were never asked for: "
            f"{provider.unused}, after {len(provider.requests)} requests",
            pytrace=False,
        )


@pytest.fixture
def dovetail_clock() -> "ManualClock":
    """A clock that moves when the test says ``dovetail_clock.advance(seconds)``.

    ``dovetail_runtime`` goes by it in a test that asks for both.
    """
    from dovetail.kernel.testing import ManualClock

    return ManualClock()


# --- Locations --------------------------------------------------------------------


@pytest.fixture
def dovetail_new_location(
    tmp_path_factory: pytest.TempPathFactory,
) -> "Callable[..., Location]":
    """A function that makes a new directory each time and returns its Location.

    ``dovetail_new_location({"src/a.py": "A = 1\\n"})`` writes files into it.
    """
    from dovetail.kernel.testing.locations import filled_location

    def new_location(files: Mapping[str, str | bytes] = {}) -> "Location":
        return filled_location(tmp_path_factory.mktemp("dovetail-location"), files)

    return new_location


@pytest.fixture
def dovetail_location(dovetail_new_location: "Callable[..., Location]") -> "Location":
    """A Location with nothing in it. ``dovetail_location.path`` is its directory."""
    return dovetail_new_location()


# --- runtimes ---------------------------------------------------------------------


@pytest.fixture
def dovetail_open_runtime() -> "Callable[..., Runtime]":
    """``open_small_runtime``: ``async with dovetail_open_runtime(plugin) as runtime``.

    On whatever event loop the test runs.
    """
    from dovetail.kernel.testing import open_small_runtime

    return open_small_runtime


@pytest.fixture
def dovetail_plugins() -> Sequence[object]:
    """The plugins of ``dovetail_runtime``: none, until a project says which."""
    return ()


@pytest.fixture
async def dovetail_runtime(
    anyio_backend: Any,
    request: pytest.FixtureRequest,
    dovetail_open_runtime: "Callable[..., Runtime]",
    dovetail_plugins: Sequence[object],
    dovetail_provider: "ScriptedProvider",
) -> "AsyncGenerator[Runtime, None]":
    """An open runtime in memory, with ``dovetail_plugins`` and ``dovetail_provider``.

    On the event loop of anyio's pytest plugin, which runs an async test that asks for
    it. It is closed, and with it every task of its sessions, when the test is over.
    """
    for marker in OTHER_LOOPS:
        if request.node.get_closest_marker(marker) is not None:
            pytest.fail(
                f"dovetail_runtime is open on the event loop of anyio's pytest plugin, "
                f"and this test is marked {marker!r} and runs on another one; mark it "
                "'anyio', or open a runtime in it: "
                "async with dovetail_open_runtime(...) as runtime",
                pytrace=False,
            )
    options = {}
    if "dovetail_clock" in request.fixturenames:
        options["clock"] = request.getfixturevalue("dovetail_clock")
    async with dovetail_open_runtime(
        *dovetail_plugins, dovetail_provider, **options
    ) as runtime:
        yield runtime


# --- crashes ----------------------------------------------------------------------


@pytest.fixture(scope="session")
def _dovetail_nurseries() -> Generator[None, None, None]:
    """Import a module whose scenarios are crashed once, not once for each test."""
    from dovetail.kernel.testing.crash.nursery import nurseries_kept

    with nurseries_kept():
        yield


@pytest.fixture
def dovetail_crash(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    _dovetail_nurseries: None,
) -> "CrashBench":
    """The crash harness, with a place for its files: ``dovetail_crash.test(scenario)``
    and ``dovetail_crash.storm(scenario, kills=10)``, for tests that are not async.

    The files of what held are removed; where the others are, the failure says.
    """
    from dovetail.kernel.testing import CrashBench

    return CrashBench(
        tmp_path_factory.mktemp("dovetail-crash"),
        lambda told: request.node.add_report_section("call", "dovetail", told),
    )
