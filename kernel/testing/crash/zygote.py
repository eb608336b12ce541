"""The zygote: a process that has imported everything, and forks one process per life.

Owns the lives and deaths of the processes of a run: each is forked here, dies by its
own hand at a fault point or by ours after a while, and is followed by the next one on
the same store, until one comes to the end of the story and looks at what is left.
Starting a Python process costs a third of a second, a fork a few milliseconds. Nothing
here starts a thread, and no event loop is open when a fork happens.

Speaks with the driver in lines of JSON: where the scenario is, then one order a line.
"""

import faulthandler
import gc
import importlib
import importlib.util
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote

import anyio
import anyio.lowlevel
from attrs import frozen

from ...lifecycle.clock import SystemClock
from ...plugins.loader import load_plugins
from ...ports import Reader
from ...runtime import Runtime, open_runtime
from ...values.codec import dumps, from_json, loads, to_json
from ...values.errors import EventDamagedError
from ...values.events import decode_event, kinds
from .invariants import StoredSession, problems, stored
from .model import CrashModel
from .points import FaultPoint, FaultPoints, reached_in
from .scenario import CrashEnd, CrashRun, CrashScenario
from .watch import WatchedPlugins
from .world import CrashWorld

Factory = Callable[[CrashWorld], CrashScenario]

LIVES = 12
"""Processes of one run at most: what does not settle by then never will."""
LONG_AGO = 86_400_000
"""Milliseconds between two lives, by their clocks: every lease is over by then."""
AFTERWARDS = "Are you still there?"


@frozen
class Source:
    """Where a scenario is found."""

    module: str
    file: str
    name: str
    path: tuple[str, ...]
    """``sys.path`` of whoever asks."""


@frozen
class Order:
    """One run: where, and how each of its processes dies."""

    folder: str
    kills: tuple[FaultPoint, ...] = ()
    delays: tuple[float, ...] = ()
    """Instead: seconds after which each process is killed from outside."""
    policy: str = "always"
    backend: str = "asyncio"
    limit: float = 30.0
    """Seconds that one process may take; more is a hang."""
    start: str = ""
    """What all deaths but the last have left, when that was kept: a folder."""
    keep: str = ""
    """Where to keep what the last death leaves, if anywhere."""


@frozen
class Ready:
    """Everything is imported, and how the scenario wants to be run."""

    resume: tuple[str, ...]
    backends: tuple[str, ...]
    copied: bool
    """Whether the store lies in the folder of a run, and is copied with it."""


@frozen
class Answer:
    """What became of a run."""

    killed: int
    """How many of its processes died as ordered, those before its start included."""
    lives: tuple[tuple[FaultPoint, ...], ...]
    """The fault points that each process reached, in order."""
    problems: tuple[str, ...]
    seconds: float


def main() -> None:
    """Serve orders from standard input until it ends."""
    # What a tool prints must not get between the lines of the conversation.
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    source = from_json(loads(sys.stdin.buffer.readline()), Source)
    factory = _found(source)
    scenario = _warm_up(factory)
    ready = Ready(
        tuple(scenario.resume), tuple(scenario.backends), "{folder}" in scenario.store
    )
    answers.write(dumps(to_json(ready)) + b"\n")
    gc.freeze()
    for line in sys.stdin.buffer:
        answer = perform(factory, from_json(loads(line), Order))
        answers.write(dumps(to_json(answer)) + b"\n")


def _found(source: Source) -> Factory:
    sys.path[:] = list(source.path)
    found: Any = _module(source)
    for part in source.name.split("."):
        found = getattr(found, part)
    factory: Factory = found
    return factory


def _module(source: Source) -> ModuleType:
    if source.module != "__main__":
        try:
            spec = importlib.util.find_spec(source.module)
        except (ImportError, ValueError):
            spec = None
        if spec is not None and spec.origin == source.file:
            return importlib.import_module(source.module)
    # A script, or a file that tests were collected from: it has no name to import by.
    name = "dovetail_crash_scenario"
    spec = importlib.util.spec_from_file_location(name, source.file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _warm_up(factory: Factory) -> CrashScenario:
    """Import what every process would import, and return the scenario."""
    scenario = factory(CrashWorld(Path(os.devnull)))
    options = scenario.all_options()
    plugins = load_plugins(
        [*options["plugins"], *scenario.plugins],
        entry_points=options["load_entry_points"],
        allow=options["allow_plugins"],
        environment=options["environment"],
    )
    for name in plugins.implementing("dovetail_open_store"):
        plugins.call(name, "dovetail_open_store", url=scenario.store)
    for kind, declared in kinds().items():
        # The first one of a kind is slow to read, also when it is damaged.
        with suppress(EventDamagedError):
            decode_event(kind, declared.version, b"", "", 0, 0)
    for backend in scenario.backends:
        anyio.run(anyio.lowlevel.checkpoint, backend=backend)
    return scenario


# --- one run ----------------------------------------------------------------------


def perform(factory: Factory, order: Order) -> Answer:
    """Live through a run, and look at what is left."""
    began = time.monotonic()
    folder = Path(order.folder)
    killed = 0
    if order.start:
        # To the same place, whose name the store remembers.
        shutil.rmtree(folder)
        shutil.copytree(order.start, folder, symlinks=True)
        killed = len(order.kills) - 1
    (folder / "place").mkdir(parents=True, exist_ok=True)
    generation = killed
    found: list[str] = []
    while True:
        point = order.kills[generation] if generation < len(order.kills) else None
        delay = order.delays[generation] if generation < len(order.delays) else None
        status = _life(factory, order, generation, point, delay)
        generation += 1
        if status == 0:
            world = CrashWorld(folder / "world.jsonl")
            found += dict.fromkeys(str(one["text"]) for one in world.noted("found"))
            break
        if status != -signal.SIGKILL or (point is None and delay is None):
            found.append(_obituary(folder, generation - 1, status))
            break
        killed += 1
        if order.keep and killed == len(order.kills):
            # Nothing runs on it now, so that the copy is what a crash leaves.
            shutil.copytree(folder, order.keep, symlinks=True)
    lives = [tuple(reached_in(_trace(folder, one))) for one in range(generation)]
    return Answer(killed, tuple(lives), tuple(found), time.monotonic() - began)


def _obituary(folder: Path, generation: int, status: int | None) -> str:
    why = "hung" if status is None else f"ended with {status}"
    said = _said(folder, generation).read_text(encoding="utf-8", errors="replace")
    return f"process {generation} {why}:\n{said[-4000:]}"


def _life(
    factory: Factory,
    order: Order,
    generation: int,
    point: FaultPoint | None,
    delay: float | None,
) -> int | None:
    """Fork a process and return how it ended; None when it had to be ended."""
    child = os.fork()
    if child == 0:
        _be(factory, order, generation, point)
    deadline = time.monotonic() + (order.limit if delay is None else delay)
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= deadline:
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            code = os.waitstatus_to_exitcode(status)
            return None if delay is None and code == -signal.SIGKILL else code
        time.sleep(0.001)


def _be(
    factory: Factory, order: Order, generation: int, point: FaultPoint | None
) -> None:
    """Live one life. Does not return."""
    folder = Path(order.folder)
    code = 1
    try:
        said = os.open(_said(folder, generation), os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(said, 1)
        os.dup2(said, 2)
        faulthandler.dump_traceback_later(max(1.0, order.limit - 1))
        points = FaultPoints(_trace(folder, generation), point)
        for body, reached in ((_live, points), (_look, FaultPoints())):
            world = CrashWorld(folder / "world.jsonl", reached, generation)
            scenario = factory(world)
            anyio.run(body, scenario, order, world, reached, backend=order.backend)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Not the end of the zygote that it was forked from.
        os._exit(code)


def _trace(folder: Path, generation: int) -> Path:
    return folder / f"points-{generation}"


def _said(folder: Path, generation: int) -> Path:
    return folder / f"said-{generation}"


# --- one life ---------------------------------------------------------------------


class _LaterClock(SystemClock):
    """The time of a process that came long after the one before it."""

    def __init__(self, generation: int) -> None:
        self._later = generation * LONG_AGO

    def now(self) -> int:
        return super().now() + self._later


@asynccontextmanager
async def _opened(
    scenario: CrashScenario,
    order: Order,
    world: CrashWorld,
    points: FaultPoints,
    policy: str,
) -> AsyncIterator[Runtime]:
    options = scenario.all_options()
    options["plugins"] = [
        *options["plugins"],
        *scenario.plugins,
        CrashModel(scenario.model, world),
    ]
    options.setdefault("clock", _LaterClock(world.generation))
    options["resume"] = policy
    url = scenario.store.format(folder=quote(order.folder))
    runtime = open_runtime(url, **options)
    runtime.plugins = WatchedPlugins(
        runtime.plugins, points, world, scenario.check_request
    )
    async with runtime:
        yield runtime


async def _live(
    scenario: CrashScenario, order: Order, world: CrashWorld, points: FaultPoints
) -> None:
    place = Path(order.folder) / "place"
    async with _opened(scenario, order, world, points, order.policy) as runtime:
        await CrashRun(runtime, scenario, world, points, place).tell()


async def _look(
    scenario: CrashScenario, order: Order, world: CrashWorld, points: FaultPoints
) -> None:
    """Check what holds, prompt each session once more, and check again."""
    place = Path(order.folder) / "place"

    async def once_more(run: CrashRun) -> None:
        for problem in await _problems(runtime, run, scenario.check):
            world.note("found", text=problem)
        for info in await runtime.sessions.list(limit=200):
            session = await runtime.sessions.get(info.id)
            await run.prompt(session, AFTERWARDS)
            outcome = await run.settle(session)
            if not outcome.succeeded:
                world.note(
                    "found", text=f"{info.id} cannot be used any more: {outcome}"
                )

    async with _opened(scenario, order, world, points, "report") as runtime:
        run = CrashRun(runtime, scenario, world, points, place)
        await run.tell(once_more)
        if not world.noted("found"):
            for problem in await _problems(runtime, run):
                world.note("found", text=f"one prompt later: {problem}")


async def _problems(
    runtime: Runtime,
    run: CrashRun,
    check: Callable[[CrashEnd], Iterable[str]] | None = None,
) -> Sequence[str]:
    ids = [info.id for info in await runtime.sessions.list(limit=200)]

    def read(rows: Reader) -> list[StoredSession]:
        return [stored(rows, one) for one in sorted(ids)]

    sessions = await runtime._log.read(read)
    end = CrashEnd(
        world=run.world,
        location=run.location,
        events={one.row.id: one.events for one in sessions},
        histories={one.row.id: one.history.messages for one in sessions},
    )
    return list(problems(sessions, end, check))


if __name__ == "__main__":
    main()
