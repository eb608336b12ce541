"""The driver: finds every fault point of a scenario, and dies at each of them.

Owns the plan: one run without a crash to find the points, one run for each of them,
then runs that die a second time where only a recovery comes to, and a report that says
how many were found and how many were exercised. Knows nothing of what a run is; the
zygotes do.
"""

import random
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import count, cycle, islice
from pathlib import Path
from queue import SimpleQueue

from attrs import define, evolve, field, frozen

from ...values.errors import InvalidValueError
from .nursery import Zygote, zygotes
from .points import FaultPoint, after_changes
from .scenario import CrashScenario
from .world import CrashWorld
from .zygote import MOST, Answer, Factory, Order

Kills = tuple[FaultPoint, ...]
"""Where the processes of one run die, one after another."""

TRIES = 5
"""How often a point is tried to be reached: what runs side by side may happen in
another order, so that a name counts differently."""


@frozen
class CrashFailure:
    """One run after which something did not hold."""

    kills: tuple[str, ...]
    """Where its processes died, one after another."""
    policy: str
    """What it was reopened with."""
    problems: tuple[str, ...]
    """What did not hold, a sentence each."""

    def __str__(self) -> str:
        died = ", then ".join(self.kills) or "without a crash"
        return "\n  ".join([f"{died} (resume={self.policy!r})", *self.problems])


@frozen
class CrashReport:
    """What crashing a scenario came to. Print it: it says what was done."""

    scenario: str
    """Its name."""
    found: tuple[Kills, ...]
    """Every fault point, and every further one that only a recovery comes to."""
    exercised: tuple[Kills, ...]
    """Those at which a process was killed."""
    failures: tuple[CrashFailure, ...]
    """What did not hold, and where it was killed for that."""
    kills: int
    """How many processes were killed, in all."""
    runs: int
    """How often the scenario was run."""
    seconds: float
    """How long all of it took."""

    @property
    def sound(self) -> bool:
        """Whether everything held, wherever it was killed, and nothing was left out."""
        return not self.failures and set(self.found) == set(self.exercised)

    def __str__(self) -> str:
        missed = sorted(set(self.found) - set(self.exercised))
        lines = [
            f"{self.scenario}: {len(self.found)} fault points found, "
            f"{len(self.exercised)} exercised, {self.kills} processes killed in "
            f"{self.runs} runs, {len(self.failures)} failures, {self.seconds:.1f} s",
            *(f"not exercised: {', then '.join(map(str, one))}" for one in missed),
            *map(str, self.failures),
        ]
        return "\n".join(lines)


@define
class _Aim:
    """A fault point, and the runs by which it can be come to."""

    point: FaultPoint
    ways: list[Order] = field(factory=list)
    """Each died, and its recovery came to the point."""
    order: Order = field(init=False)
    """The last try."""
    answer: Answer = field(init=False)
    tries: int = 0
    killed: int = 0


def crash_test(
    scenario: Callable[[CrashWorld], CrashScenario],
    *,
    depth: int = 2,
    only: Callable[[FaultPoint], bool] | None = None,
    distinct: bool = False,
    workers: int = 2,
    limit: float = 30.0,
    folder: Path | None = None,
) -> CrashReport:
    """Kill a scenario at every fault point and check what is left each time.

    ``scenario`` is a function of a module, because other processes have to find it.
    ``depth`` is how often one run is killed at most: 1 leaves out dying in a recovery.
    ``only`` chooses among the points that the first run finds, all by default.
    ``distinct`` leaves out those at which nothing was written, and no tool came to an
    end, since the point before: what a death leaves is the same at both.
    ``workers`` is how many processes run at the same time, ``limit`` how many seconds
    one of them may take. Everything of each run stays in ``folder``, where one is
    given.

    Raises:
        InvalidValueError: the scenario is not a function of a module.
        RuntimeError: a process could not be started, or died without being told to.
    """
    began = time.monotonic()
    with _place(folder) as place, _Zygotes(scenario, place, workers) as many:
        first = many.first(limit)
        failures = []
        if first.problems:
            failures.append(CrashFailure((), "always", first.problems))
            wave: list[_Aim] = []
        else:
            chosen: Iterable[FaultPoint] = first.lives[0]
            if distinct:
                chosen = after_changes(chosen, only, changed=True)
            elif only is not None:
                chosen = filter(only, chosen)
            wave = [_Aim(point, [many.order(limit)]) for point in chosen]
        found: list[Kills] = []
        exercised: list[Kills] = []
        seen: set[FaultPoint] = set()
        runs, killed = 1, 0
        for deaths in range(1, depth + 1):
            further: dict[FaultPoint, _Aim] = {}
            for aim in many.take(wave, keep=deaths < depth):
                runs, killed = runs + aim.tries, killed + aim.killed
                order, answer = aim.order, aim.answer
                found.append(order.kills)
                if answer.problems:
                    failures.append(_failure(order, answer))
                if answer.killed < len(order.kills):
                    continue
                exercised.append(order.kills)
                again = () if answer.problems else _recovery(answer.lives)
                for point in after_changes(again) if distinct else again:
                    if point not in seen:
                        further.setdefault(point, _Aim(point)).ways.append(
                            _onward(order)
                        )
            seen |= set(further)
            wave = list(further.values())
    return CrashReport(
        scenario.__name__,
        tuple(found),
        tuple(exercised),
        tuple(failures),
        killed,
        runs,
        time.monotonic() - began,
    )


def crash_storm(
    scenario: Callable[[CrashWorld], CrashScenario],
    *,
    kills: int = 20,
    deaths: int = 4,
    seed: int = 0,
    seconds: float = 60.0,
    workers: int = 2,
    limit: float = 30.0,
    folder: Path | None = None,
) -> CrashReport:
    """Kill a scenario at random instants and check what is left each time.

    Runs until ``kills`` processes were killed or ``seconds`` are over. A run dies up
    to ``deaths`` times before it is let finish. The instants come from ``seed``;
    what a process has come to by then does not.

    Raises:
        InvalidValueError: the scenario is not a function of a module.
        RuntimeError: a process could not be started, or died without being told to.
    """
    began = time.monotonic()
    chance = random.Random(seed)
    failures: list[CrashFailure] = []
    with _place(folder) as place, _Zygotes(scenario, place, workers) as many:
        first = many.first(limit)
        if first.problems:
            failures.append(CrashFailure((), "always", first.problems))
        runs, killed = 1, 0
        while not failures and killed < kills and time.monotonic() - began < seconds:
            orders = [
                evolve(
                    many.order(limit),
                    delays=tuple(
                        chance.uniform(0, first.seconds) for _ in range(deaths)
                    ),
                )
                for _ in range(workers)
            ]
            for order, answer in many.perform_all(orders):
                runs, killed = runs + 1, killed + answer.killed
                if answer.problems:
                    failures.append(_failure(order, answer))
    return CrashReport(
        scenario.__name__,
        (),
        (),
        tuple(failures),
        killed,
        runs,
        time.monotonic() - began,
    )


def _onward(order: Order) -> Order:
    """Return how to go on from what an order left, or to go through it again."""
    return evolve(order, start=order.keep, folder=order.folder if order.keep else "")


def _failure(order: Order, answer: Answer) -> CrashFailure:
    died = [str(point) for point in order.kills]
    died += [f"after {delay:.3f} s" for delay in order.delays]
    return CrashFailure(tuple(died[: answer.killed]), order.policy, answer.problems)


def _recovery(lives: Sequence[Sequence[FaultPoint]]) -> Iterator[FaultPoint]:
    """Yield what the last process came to before it asked a model again.

    Nothing, where those that died had committed nothing, or a session in which nothing
    was said: it begins, as the first run did, and recovers from nothing.
    """
    *dead, last = lives
    if not any(
        one.name.startswith("commit ")
        and one.name != "commit session.created"
        and one.side == "after"
        for life in dead
        for one in life
    ):
        return
    for point in last:
        if point.name == "request":
            return
        yield point


@contextmanager
def _place(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="dovetail-crash-") as made:
        yield Path(made)


# --- its zygotes ------------------------------------------------------------------


class _Zygotes:
    """Some zygotes, and which of them is free."""

    def __init__(self, factory: Factory, place: Path, workers: int) -> None:
        if not 1 <= workers <= MOST:
            raise InvalidValueError("workers", workers, f"between 1 and {MOST}")
        self._factory = factory
        self._place = place
        self._numbers = count()
        self._workers = workers
        self._free: SimpleQueue[Zygote] = SimpleQueue()
        self._stack = ExitStack()
        self._lock = threading.Lock()
        self._busy: dict[str, threading.Lock] = defaultdict(threading.Lock)

    def __enter__(self) -> "_Zygotes":
        with ExitStack() as stack:
            started = stack.enter_context(zygotes(self._factory, self._workers))
            for one in started:
                # Only they make the scenario: what it changes stays in processes that
                # die.
                self._wishes = one.ready()
                self._free.put(one)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def order(self, limit: float) -> Order:
        """Return the order of a run; policies and event loops take turns."""
        number = next(self._numbers)
        policies, loops = self._wishes.resume, self._wishes.backends
        return Order(
            folder="",
            policy=policies[number % len(policies)],
            backend=loops[number // len(policies) % len(loops)],
            limit=limit,
        )

    def first(self, limit: float) -> Answer:
        """Have the run done in which nothing dies."""
        return self._perform(Order("", limit=limit))[1]

    def perform_all(self, orders: Sequence[Order]) -> Sequence[tuple[Order, Answer]]:
        """Have runs done side by side."""
        with ThreadPoolExecutor(self._workers) as pool:
            return list(pool.map(self._perform, orders))

    def take(self, aims: Sequence["_Aim"], *, keep: bool) -> Sequence["_Aim"]:
        """Have a run die at each of these points, side by side.

        ``keep`` is whether what it leaves is wanted, to go on from.
        """

        def one(aim: _Aim) -> _Aim:
            for way in islice(cycle(aim.ways), TRIES):
                order = evolve(way, kills=(*way.kills, aim.point))
                aim.order, aim.answer = self._perform(order, keep=keep)
                aim.tries += 1
                aim.killed += aim.answer.killed - (len(way.kills) if way.start else 0)
                reached = aim.answer.killed == len(order.kills)
                if reached or aim.answer.problems:
                    break
            return aim

        with ThreadPoolExecutor(self._workers) as pool:
            return list(pool.map(one, aims))

    def _perform(self, order: Order, *, keep: bool = False) -> tuple[Order, Answer]:
        """Have one run done, in a new folder or where it was begun."""
        with self._lock:
            number = next(self._numbers)
        folder = order.folder or str(self._place / f"run-{number}")
        order = evolve(
            order,
            folder=folder,
            keep=(
                str(self._place / f"left-{number}")
                if keep and self._wishes.copied
                else ""
            ),
        )
        # Those that go on from one death are all done in the folder where it was.
        with self._busy[folder]:
            zygote = self._free.get()
            try:
                return order, zygote.perform(order)
            finally:
                self._free.put(zygote)
