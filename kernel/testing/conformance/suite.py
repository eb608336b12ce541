"""The suite: named checks with versions, and the two ways to run them.

Owns what all suites have in common: which checks belong to which version, how a plugin
is opened in a Location of its own for one case, and how pytest is told. Knows nothing
of what is checked.
"""

import tempfile
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import anyio
from attrs import define, frozen

from ...lifecycle.clock import SystemClock
from ...location.services import LocationServices
from ...plugins.object import PluginState
from ...runtime import Runtime, open_runtime
from ...values.clock import Clock
from ...values.errors import InvalidValueError
from ..memory_store import MemoryStorePlugin
from .driving import (
    BLOCKED_SECONDS,
    HungError,
    Interrupted,
    backends,
    interrupted,
    run_apart,
    spread,
)
from .looking import Holdings, Tree, unclosed
from .report import Finding, Report

S = TypeVar("S", bound="Suite")
T = TypeVar("T")

RUNS = 3
"""How often something is done before what it leaves behind is counted."""
THREAD_SECONDS = 2.0
POINTS = 24
"""At how many suspensions of one piece of work it is cancelled or killed."""


class NotOfferedError(Exception):
    """What is to be checked is not there; the text says why."""


class NotShownError(Exception):
    """The suite does not give what a check needs; the text says what."""


# --- checks -----------------------------------------------------------------------


@frozen
class Check:
    """One named promise, and how it is tried."""

    code: str
    """What a report calls it, for ever."""
    since: int
    """The version of its suite that it came with."""
    run: Callable[["Bench[Any]"], Iterator[str]]
    """Yields what is wrong, in a sentence each."""

    @property
    def promise(self) -> str:
        """What is promised, in one sentence."""
        return (self.run.__doc__ or "").strip().partition("\n\n")[0]


class Checks:
    """The checks of one kind of suite, in the order they are run."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._checks: list[Check] = []

    def add(
        self, name: str, *, since: int
    ) -> Callable[
        [Callable[["Bench[Any]"], Iterator[str]]],
        Callable[["Bench[Any]"], Iterator[str]],
    ]:
        """Mark a function as the check ``kind.name`` of a version and all later."""

        def mark(
            run: Callable[["Bench[Any]"], Iterator[str]],
        ) -> Callable[["Bench[Any]"], Iterator[str]]:
            self._checks.append(Check(f"{self.kind}.{name}", since, run))
            return run

        return mark

    def of(self, version: int) -> tuple[Check, ...]:
        """Return the checks of a version."""
        return tuple(one for one in self._checks if one.since <= version)

    @property
    def latest(self) -> int:
        """The newest version."""
        return max((one.since for one in self._checks), default=1)


# --- one case ---------------------------------------------------------------------


@define(eq=False)
class Host:
    """A plugin, open in a Location: a real runtime in memory, with nothing else."""

    runtime: Runtime
    services: LocationServices
    folder: Path
    state: PluginState

    @property
    def problem(self) -> str:
        """What is known to be wrong with the plugin, in parentheses, or nothing."""
        state = self.runtime.plugins.state(self.state.name)
        told = state.error or state.last_error
        return f" ({told})" if told else ""


@define(eq=False)
class Case(Generic[S]):
    """One try: a fresh suite object, a fresh world, an empty Location."""

    suite: S
    folder: Path
    surroundings: Any

    def filled(self, text: str) -> str:
        """Return a setting with ``{url}`` replaced by where the surroundings are."""
        url = getattr(self.surroundings, "url", None)
        return text if url is None else text.replace("{url}", url)

    def environment(self) -> dict[str, str]:
        """Return what the process environment is taken for."""
        given = self.suite.environment
        return {name: self.filled(value) for name, value in given.items()}

    @asynccontextmanager
    async def host(self) -> AsyncIterator[Host]:
        """Open the suite's plugin in the Location; again, as after a restart."""
        suite = self.suite
        file = self.folder.with_name("user.toml")
        file.write_text(self.filled(suite.configuration), "utf-8")
        runtime = open_runtime(
            "memory://",
            plugins=[_MemoryStore(), suite.plugin],
            load_entry_points=False,
            on_permission="deny",
            environment={**self.environment(), "DOVETAIL_CONFIG": str(file)},
        )
        (state,) = (
            one for one in runtime.plugins.states() if one.name != _MemoryStore.name
        )
        if state.state != "loaded":
            raise NotOfferedError(str(state.error))
        async with runtime:
            handle = runtime.location(self.folder)
            async with handle._services() as services:
                yield Host(runtime, services, self.folder, state)


@contextmanager
def _fresh_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="dovetail-") as name:
        # As a Location resolves it, so that paths can be compared.
        folder = Path(name).resolve() / "location"
        folder.mkdir()
        yield folder


class _MemoryStore(MemoryStorePlugin):
    """The store of a case, under a name that no plugin has."""

    name = "conformance-store"


@define(eq=False)
class Bench(Generic[S]):
    """Where the checks of one suite are tried, on one event loop."""

    kind: type[S]
    backend: str

    @property
    def suite(self) -> S:
        """A suite object to read settings from."""
        return self.kind()

    @property
    def clock(self) -> Clock:
        """The time, for recognising it."""
        return SystemClock()

    def case(self, work: Callable[[Case[S]], Awaitable[T]]) -> T:
        """Run an async function on a fresh case.

        Raises:
            HungError: it did not end within the suite's patience.
        """

        async def inside() -> T:
            suite = self.kind()
            suite.set_up()
            with _fresh_folder() as folder:
                suite.prepare(folder)
                async with suite.surroundings() as surroundings:
                    return await work(Case(suite, folder, surroundings))

        return run_apart(inside, self.backend, self.suite.patience)

    def hosted(self, work: Callable[[Case[S], Host], Awaitable[T]]) -> T:
        """Run an async function on a fresh case whose plugin is open."""

        async def opened(case: Case[S]) -> T:
            async with case.host() as host:
                return await work(case, host)

        return self.case(opened)

    def cancelled(
        self, work: Callable[[Case[S], Host], Coroutine[Any, Any, Any]]
    ) -> Iterator[str]:
        """Yield how a piece of work takes being cancelled at each of its suspensions.

        The work is tried whole first; what it raises is no matter of this.
        """

        def trying(at: int) -> Callable[[Case[S], Host], Awaitable[Interrupted[Any]]]:
            async def work_on(case: Case[S], host: Host) -> Interrupted[Any]:
                return await interrupted(lambda: work(case, host), at)

            return work_on

        whole = self.hosted(trying(0))
        if isinstance(whole.error, NotOfferedError):
            raise whole.error
        if whole.longest > BLOCKED_SECONDS:
            yield f"it holds the event loop for {whole.longest:.1f} s"
        problem = None
        with unclosed() as said:
            for at in spread(whole.suspensions, POINTS):
                try:
                    ended = self.hosted(trying(at))
                    if ended.swallowed:
                        problem = "it ended in another way than by being cancelled"
                except HungError as error:
                    problem = str(error)
                if problem is not None:
                    where = f"at its suspension {at} of {whole.suspensions}"
                    problem = f"cancelled {where}, {problem}"
                    break
        if problem is not None:
            yield problem
        for text in sorted(set(said)):
            yield f"cancelled, it leaves things behind; Python says: {text}"

    def leaks(self, work: Callable[[Case[S]], Awaitable[object]]) -> Iterator[str]:
        """Yield what is left behind by a piece of work that was done a few times."""
        stray: list[str] = []

        async def whole(case: Case[S]) -> None:
            await _breathe()  # what the surroundings began has to be there
            known = {one.id for one in anyio.get_running_tasks()}
            await work(case)
            await _breathe()  # what was cancelled may need a moment to end
            stray.extend(
                str(one.name)
                for one in anyio.get_running_tasks()
                if one.id not in known
            )

        self.case(whole)
        stray.clear()
        before = Holdings.now()
        with unclosed() as said:
            for _ in range(RUNS):
                self.case(whole)
            Holdings.now().wait_for_threads(before, THREAD_SECONDS)
        after = Holdings.now()
        for name in sorted(set(stray)):
            yield f"a task was left running: {name}"
        for text in sorted(set(said)):
            yield f"Python says: {text}"
        files = after.files - before.files
        if len(files) >= RUNS:
            shown = ", ".join(sorted({target for _, target in files})[:3])
            yield f"{len(files)} files were left open after {RUNS} runs: {shown}"
        threads = after.threads - before.threads
        if len(threads) >= RUNS:
            shown = ", ".join(sorted({one.name for one in threads})[:3])
            yield f"{len(threads)} threads were left after {RUNS} runs: {shown}"
        children = after.children - before.children
        if len(children) >= RUNS:
            yield f"{len(children)} child processes were left after {RUNS} runs"


async def _breathe() -> None:
    for _ in range(10):
        await anyio.lowlevel.checkpoint()


# --- the suite --------------------------------------------------------------------


class Suite:
    """What every suite says of the plugin that it checks. Inherit one of its kinds.

    A suite is a class that pytest collects when its name begins with ``Test``: one
    test for each check and event loop. ``check`` runs the same without pytest. Every
    try has an object of the class to itself.
    """

    checks: ClassVar[Checks]

    version: int = 1
    """The version of the suite. A version never gets new checks: raise it when you
    want them."""
    plugin: object = None
    """The plugin, as it would be given to ``open_runtime``."""
    configuration: str = ""
    """What the user's ``dovetail.toml`` says, with ``[plugins.NAME]`` for settings.
    ``{url}`` stands for the address of the surroundings, if they have one."""
    environment: ClassVar[Mapping[str, str]] = {}
    """What the process environment is taken for. ``{url}`` as above."""
    exempt: ClassVar[Mapping[str, str]] = {}
    """Codes of checks that are left out, each with the reason."""
    patience: float = 20.0
    """Seconds after which one try counts as hung."""

    def set_up(self) -> None:
        """Make a fresh world before a try, for plugins that need one."""

    def prepare(self, folder: Path) -> None:
        """Fill the directory of the Location before a try."""

    def world(self) -> object:
        """Return what is so in the world outside of the Location, to be compared.

        The balance of an account, the rows of a table, the requests that a server
        got: whatever the plugin may change.
        """
        return None

    @asynccontextmanager
    async def surroundings(self) -> AsyncIterator[Any]:
        """Run what the plugin talks to, such as a server, around a try.

        Its attribute ``url``, if it has one, is put in the place of ``{url}``.
        """
        yield None

    # --- pytest -------------------------------------------------------------------

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """Make one test of each check and event loop."""
        if "conformance" in metafunc.fixturenames:
            checks = _chosen(type(self))
            pairs = [(check, loop) for check in checks for loop in backends()]
            metafunc.parametrize(
                "conformance",
                pairs,
                ids=[f"{check.code}-{loop}" for check, loop in pairs],
            )

    def test_conforms(self, conformance: tuple[Check, str]) -> None:
        """The promise that the test is named after is kept."""
        check_, backend = conformance
        findings, absent = _run(type(self), check_, backend)
        if absent is not None:
            import pytest

            pytest.skip(absent)
        Report(
            self.checks.kind, self.version, (check_.code,), tuple(findings)
        ).require()


def check(suite: type[Suite], *, backend: str | None = None) -> Report:
    """Run every check of a suite and return what was found. Waits for it.

    ``backend`` is ``asyncio`` or ``trio``; None means each that is installed.

    Raises:
        InvalidValueError: the suite names a version or a code that does not exist.
    """
    findings: list[Finding] = []
    checked: list[str] = []
    for one in _chosen(suite):
        for loop in backends() if backend is None else (backend,):
            found, absent = _run(suite, one, loop)
            findings += found
            if absent is None and one.code not in checked:
                checked.append(one.code)
    return Report(
        suite.checks.kind,
        suite.version,
        tuple(checked),
        tuple(findings),
        dict(suite.exempt),
    )


def _chosen(suite: type[Suite]) -> Sequence[Check]:
    known = suite.checks.latest
    if not 1 <= suite.version <= known:
        raise InvalidValueError(
            f"version of {suite.__name__}", suite.version, f"from 1 to {known}"
        )
    checks = suite.checks.of(suite.version)
    codes = {one.code for one in checks}
    for code, reason in suite.exempt.items():
        if code not in codes:
            raise InvalidValueError("exempt code", code, f"one of {sorted(codes)}")
        if not reason.strip():
            raise InvalidValueError("reason for an exemption", reason, "say why")
    return [one for one in checks if one.code not in suite.exempt]


def _run(
    suite: type[Suite], one: Check, backend: str
) -> tuple[list[Finding], str | None]:
    """Return what a check found, and why it could not be tried, if it could not.

    Without the thing itself nothing else can be tried, and only one check says so.
    """
    bench = Bench(suite, backend)
    found: list[Finding] = []
    try:
        for text in one.run(bench):
            found.append(Finding(one.code, text, backend))
    except NotOfferedError as error:
        # Said once, by the check of the definition, which is the first.
        first = suite.checks.of(suite.version)[0]
        if one is not first:
            return [], f"see {first.code}: {error}"
        found.append(Finding(one.code, str(error), backend))
    except (NotShownError, HungError) as error:
        found.append(Finding(one.code, str(error), backend))
    return found, None


def pictures(case: Case[Any]) -> tuple[Tree, object]:
    """Return what the Location and the world are now."""
    return Tree.of(case.folder), deepcopy(case.suite.world())
