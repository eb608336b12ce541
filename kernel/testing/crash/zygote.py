"""The zygote: a process that has imported everything, and forks one process per life.

Owns the lives and deaths of the processes of a run: each is forked here, dies by its
own hand at a fault point or by ours after a while, and is followed by the next one on
the same store, until one comes to the end of the story and looks at what is left.
Starting a Python process costs a third of a second, a fork a few milliseconds. What
the kernel makes when it first needs it is made before the first fork, by a scenario of
our own; nothing of the author's runs here but the making of theirs. No thread is left
and no event loop is open when a fork happens.

The first process is the nursery, which imports the module of the scenarios and makes
none; it forks the zygotes of each crash test. They speak with the driver in lines of
JSON: the name of a scenario, then one order a line. One zygote for each worker: the
first forks the others, when it has made the scenario.
"""

import faulthandler
import gc
import importlib
import importlib.util
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
import threading
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

from ...contracts import Register, Tool, ToolContext
from ...hookspecs import hookimpl
from ...lifecycle.aside import end_free_threads
from ...lifecycle.clock import SystemClock
from ...plugins.loader import load_plugins
from ...ports import Reader
from ...runtime import Runtime, open_runtime
from ...values.codec import dumps, from_json, loads, to_json
from ...values.errors import EventDamagedError
from ...values.events import decode_event, kinds
from ..scripted import call, calls
from .invariants import StoredSession, problems, stored
from .model import CrashModel
from .points import FaultPoint, FaultPoints, reached_in
from .scenario import CrashEnd, CrashRun, CrashScenario
from .watch import WatchedPlugins
from .world import CrashWorld

Factory = Callable[[CrashWorld], CrashScenario]

LONG_AGO = 86_400_000
"""Milliseconds between two lives, by their clocks: every lease is over by then."""
MOST = 250
"""Zygotes at a time at most: so many descriptors can be sent at once."""
AFTERWARDS = "Are you still there?"


@frozen
class Source:
    """Where scenarios are found."""

    module: str
    file: str
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
    """Be a nursery: fork zygotes until nobody is left who wants any.

    ``sys.argv`` holds the number of a socket and where scenarios are found. Each byte
    that comes there brings sockets, one for each zygote that is wanted.
    """
    # What a scenario prints belongs to no conversation.
    os.dup2(2, 1)
    wanted = socket.socket(fileno=int(sys.argv[1]))
    source = from_json(loads(sys.argv[2].encode()), Source)
    sys.path[:] = list(source.path)
    _rehearse()
    module = _module(source)
    gc.collect()
    gc.freeze()
    while True:
        signs, given, _, _ = socket.recv_fds(wanted, 1, MOST)
        if not signs:
            return _bury(0)
        _bury(os.WNOHANG)
        channels = [socket.socket(fileno=number) for number in given]
        if os.fork() == 0:
            wanted.close()
            return _serve(module, channels)
        for channel in channels:
            channel.close()


def _bury(options: int) -> None:
    """Let go of the zygotes that have ended, or wait for all of them."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, options)[0]:
            pass


def _serve(module: ModuleType, channels: Sequence[socket.socket]) -> None:
    """Be the zygotes of a scenario, and serve orders until nobody gives any."""
    mine = channels[0].makefile("rwb")
    factory = _found(module, loads(mine.readline()))
    scenario = _warm_up(factory)
    gc.collect()
    gc.freeze()
    others: list[int] = []
    for channel in channels[1:]:
        if (child := os.fork()) == 0:
            mine, others = channel.makefile("rwb"), []
            break
        others.append(child)
    for channel in channels:
        # A file of it stays open: mine, and in no zygote that of another one.
        channel.close()
    ready = Ready(
        tuple(scenario.resume), tuple(scenario.backends), "{folder}" in scenario.store
    )
    mine.write(_line(ready))
    mine.flush()
    for line in mine:
        mine.write(_line(perform(factory, from_json(loads(line), Order))))
        mine.flush()
    for other in others:
        os.waitpid(other, 0)


def _line(said: Ready | Answer) -> bytes:
    return dumps(to_json(said)) + b"\n"


def _rehearse() -> None:
    """Live through a scenario of our own, so that each life finds made what the kernel
    and the store make when they first need it: imports, converters, statements.

    The author's scenario is not for that: what it changes stays in processes that die.
    """
    with tempfile.TemporaryDirectory(prefix="dovetail-rehearsal-") as folder:
        (Path(folder) / "place").mkdir()
        _live_through(_rehearsal, Order(folder), 0, FaultPoints())
    end_free_threads()
    for thread in threading.enumerate():
        # A fork has none but the one that forks.
        if thread is not threading.main_thread():
            thread.join()


def _rehearsal(world: CrashWorld) -> CrashScenario:
    return CrashScenario([_Rehearsed()], model=[calls(call("rehearse"))])


class _Rehearsed:
    name = "rehearsed"

    @hookimpl
    def dovetail_register_tools(self, register: Register[Tool[Any, Any]]) -> None:
        async def rehearse(input: _Nothing, context: ToolContext) -> str:
            return "done"

        register(Tool("rehearse", "Rehearse.", _Nothing, rehearse))


@frozen
class _Nothing:
    pass


def _found(module: ModuleType, name: str) -> Factory:
    found: Any = module
    for part in name.split("."):
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
    said = _output(folder, generation).read_text(encoding="utf-8", errors="replace")
    return f"process {generation} {why}:\n{said[-4000:]}"


def _life(
    factory: Factory,
    order: Order,
    generation: int,
    point: FaultPoint | None,
    delay: float | None,
) -> int | None:
    """Fork a process and return how it ended; None when it had to be ended."""
    ended, held = os.pipe()
    child = os.fork()
    if child == 0:
        _be(factory, order, generation, point)
    os.close(held)
    limit = order.limit if delay is None else delay
    # Its end of the pipe is closed by its end.
    gone, _, _ = select.select([ended], [], [], limit)
    os.close(ended)
    if not gone:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    hung = not gone and delay is None and code == -signal.SIGKILL
    return None if hung else code


def _be(
    factory: Factory, order: Order, generation: int, point: FaultPoint | None
) -> None:
    """Live one life. Does not return."""
    folder = Path(order.folder)
    code = 1
    try:
        said = os.open(_output(folder, generation), os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(said, 1)
        os.dup2(said, 2)
        faulthandler.dump_traceback_later(max(1.0, order.limit - 1))
        points = FaultPoints(_trace(folder, generation), point)
        _live_through(factory, order, generation, points)
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


def _output(folder: Path, generation: int) -> Path:
    return folder / f"said-{generation}"


# --- one life ---------------------------------------------------------------------


def _live_through(
    factory: Factory, order: Order, generation: int, points: FaultPoints
) -> None:
    for body, reached in ((_live, points), (_look, FaultPoints())):
        world = CrashWorld(Path(order.folder) / "world.jsonl", reached, generation)
        scenario = factory(world)
        anyio.run(body, scenario, order, world, reached, backend=order.backend)


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
