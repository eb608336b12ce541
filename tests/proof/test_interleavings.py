"""Seeded interleavings: whatever order tasks run in, the laws hold.

Two runtimes on one store in memory, as two processes on one file, and several callers
that admit, retry, withdraw, hurry, interrupt, resume, wait and close. Trio decides by
a seeded generator which task runs next, and nothing else decides anything: there is no
thread, no timer and no clock. Every cache is as small as it can be, and what a process
hears of its own commits is lost at times: a copy that is behind must not matter. A seed
that fails is played again by its number::

    DOVETAIL_PROOF_FIRST_SEED=1234 DOVETAIL_PROOF_SEEDS=1 pytest tests/proof

Four seeds in a row are four schedules of one scenario. ``DOVETAIL_PROOF_SEEDS`` says
how many are played.
"""

import os
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

import anyio
import pytest
import trio
from anyio import to_thread
from attrs import define, field, frozen
from dovetail.kernel import (
    AdmittedPrompt,
    AssistantMessage,
    Event,
    InputNotPendingError,
    ModelEvent,
    ModelInfo,
    ModelRequest,
    Outcome,
    Place,
    PromptConflictError,
    Provider,
    ProviderError,
    Register,
    RetryPolicy,
    Runtime,
    RuntimeClosedError,
    TextDelta,
    Tool,
    ToolContext,
    ToolFailure,
    UserMessage,
    hookimpl,
    open_runtime,
)
from dovetail.kernel.context import sampling as sampling_module
from dovetail.kernel.execution import runner as runner_module
from dovetail.kernel.execution.coordinator import SHUTDOWN
from dovetail.kernel.execution.keeper import Keeper
from dovetail.kernel.execution.runner import Runner
from dovetail.kernel.history import history as history_module
from dovetail.kernel.lifecycle.watchdog import Watchdog
from dovetail.kernel.log import (
    lookout as lookout_module,
    reading as reading_module,
)
from dovetail.kernel.log.reading import event_of
from dovetail.kernel.testing.clock import ManualClock
from dovetail.kernel.testing.memory_store import (
    MemoryState,
    MemoryStorePlugin,
    open_memory_store,
)
from dovetail.kernel.testing.scripted import call, finish
from dovetail.kernel.upkeep.rebuild import rebuild
from dovetail.kernel.values import events as e
from support.bounds import HANG
from support.hosts import Tools
from support.rooms import everything, unsound

SEEDS = int(os.environ.get("DOVETAIL_PROOF_SEEDS", "100"))
FIRST = int(os.environ.get("DOVETAIL_PROOF_FIRST_SEED", "0"))

SESSIONS = ("s1", "s2")
KEYS = ("k1", "k2")

Trace = list[tuple[Any, ...]]


@contextmanager
def scheduled(seed: int) -> Iterator[None]:
    """Let trio decide by a seeded generator which task runs next."""
    with (
        mock.patch.object(trio._core._run, "_ALLOW_DETERMINISTIC_SCHEDULING", True),
        mock.patch.object(trio._core._run, "_r", Random(seed)),
    ):
        yield


@contextmanager
def without_threads() -> Iterator[None]:
    """Run in the loop what a thread would run: when a thread answers is for chance to
    say."""

    async def run_here(work: Any, *arguments: Any, **_: Any) -> Any:
        await anyio.lowlevel.checkpoint()
        return work(*arguments)

    with (
        mock.patch.object(to_thread, "run_sync", run_here),
        mock.patch.object(sampling_module, "look_aside", run_here),
    ):
        yield


@contextmanager
def unwatched() -> Iterator[None]:
    """Let no thread of the kernel's own call in the loop, as they do in real time: one
    that asks whether the loop still answers, and one that says that leases live on.
    """
    with (
        mock.patch.object(Watchdog, "_ask", return_value=None),
        mock.patch.object(Keeper, "begin", return_value=None),
    ):
        yield


@contextmanager
def forgetful(seed: int) -> Iterator[None]:
    """Let the kernel keep of everything the least, and miss some of what it is told."""
    random = Random(seed + 10**7)
    hear = Runner._observe

    def hear_some(runner: Runner, event: Event) -> None:
        if random.random() < 0.7:
            hear(runner, event)

    with (
        mock.patch.object(runner_module, "KEPT_HISTORIES", 1),
        mock.patch.object(lookout_module, "REMEMBERED", 1),
        mock.patch.object(reading_module, "PAGE", 1),
        mock.patch.object(history_module, "PAGE", random.choice((1, 2, 256))),
        mock.patch.object(Runner, "_observe", hear_some),
    ):
        yield


# --- the world around the kernel --------------------------------------------------


class RandomModel:
    """A provider that answers at random, and notes what it was asked."""

    name = "random"

    def __init__(self, seed: int, *, reliable: bool) -> None:
        self.random = Random(seed + 10**6)
        self.reliable = reliable
        self.requests: dict[str, list[list[str]]] = {name: [] for name in SESSIONS}
        """By session: the user's words in every request, in order."""
        self.streaming: Counter[str] = Counter()
        self.wrong: list[str] = []

    @hookimpl
    def dovetail_register_providers(
        self, register: Register[Provider], place: Place
    ) -> None:
        register(
            Provider(
                "random",
                lambda _: self,
                models=tuple(ModelInfo(f"random/{name}") for name in SESSIONS),
            )
        )

    @asynccontextmanager
    async def stream(
        self, request: ModelRequest
    ) -> AsyncIterator[AsyncIterator[ModelEvent]]:
        messages = list(request.history.messages)
        session_id = request.model  # each session has a model of its own
        self._note(session_id, messages)
        self.streaming[session_id] += 1
        if self.streaming[session_id] > 1:
            self.wrong.append(f"{session_id}: two requests at once (law execution.1)")
        try:
            async with aclosing(self._answer(len(self.requests[session_id]))) as events:
                yield events
        finally:
            self.streaming[session_id] -= 1

    def _note(self, session_id: str, messages: list[Any]) -> None:
        said = [one.text for one in messages if isinstance(one, UserMessage)]
        self.requests[session_id].append(said)
        for message in messages:
            if isinstance(message, AssistantMessage):
                for part in message.calls:
                    if not part.settled:
                        self.wrong.append(f"{session_id}: an open call (law tools.2)")

    async def _answer(self, number: int) -> AsyncGenerator[ModelEvent, None]:
        random = self.random
        # Longer than it takes to look at a session: some find it at work.
        for _ in range(4):
            await pause(random)
        if not self.reliable and random.random() < 0.1:
            raise ProviderError("provider.unavailable", "random", "not now")
        yield TextDelta("0", "words")
        if random.random() < 0.4:
            for index in range(random.randint(1, 2)):
                await pause(random)
                yield call("work", {}, id=f"call_{number}_{index}")
            await pause(random)
            yield finish("tool_calls")
            return
        await pause(random)
        yield finish("stop")


async def pause(random: Random) -> None:
    """Let others run, some times."""
    for _ in range(random.randint(0, 6)):
        await anyio.lowlevel.checkpoint()


@frozen
class Nothing:
    pass


def work_tool(random: Random) -> Tool[Any, Any]:
    async def work(input: Nothing, context: ToolContext) -> str:
        await pause(random)
        if random.random() < 0.2:
            raise ToolFailure("it did not work")
        return "worked"

    return Tool("work", "Work.", Nothing, work)


# --- one play ---------------------------------------------------------------------

Act = tuple[Any, ...]


@frozen
class Scenario:
    """What is done by whom; who comes first is for the schedule to say."""

    calm: bool
    """Whether nobody interrupts, closes or only admits, and no request fails."""
    callers: tuple[tuple[int, tuple[Act, ...]], ...]
    """For each caller the runtime it uses, and its acts in order."""

    @classmethod
    def of(cls, seed: int) -> "Scenario":
        random = Random(seed)
        calm = random.random() < 0.4
        callers = []
        for number in range(random.randint(2, 5)):
            acts = tuple(
                _act(random, f"c{number}.{place}", calm=calm)
                for place in range(random.randint(1, 5))
            )
            callers.append((random.randint(0, 1), acts))
        if not calm and random.random() < 0.5:
            callers.append((random.randint(0, 1), (("close",),)))
        if not calm and random.random() < 0.5:
            # Who wakes late and goes on takes over from one that only seems dead.
            late = tuple(("resume", name) for name in SESSIONS)
            callers.append((random.randint(0, 1), (("sleep",), *late) * 3))
        return cls(calm, tuple(callers))


def _act(random: Random, text: str, *, calm: bool) -> Act:
    session_id = random.choice(SESSIONS)
    kinds = ["prompt"] * 5 + ["keyed"] * 3 + ["withdraw", "hurry", "wait", "look"]
    if not calm:
        kinds += ["interrupt", "resume", "admit", "interrupt"]
    kind = random.choice(kinds)
    delivery = random.choice(("steer", "queue"))
    if kind in ("prompt", "admit"):
        return (kind, session_id, text, delivery)
    if kind == "keyed":
        # Few texts: a retry or a conflict, as it comes.
        return (kind, session_id, random.choice("ab"), delivery, random.choice(KEYS))
    return (kind, session_id)


@define
class Play:
    """One scenario under one schedule, and what came of it."""

    seed: int
    folder: Path
    model: RandomModel = field(init=False)
    clocks: list[ManualClock] = field(factory=lambda: [ManualClock() for _ in range(3)])
    stores: MemoryStorePlugin = field(factory=MemoryStorePlugin)
    closing: list[anyio.Event] = field(factory=list)
    closed: list[anyio.Event] = field(factory=list)
    withdrawn: set[str] = field(factory=set)
    receipts: dict[tuple[str, str], set[AdmittedPrompt]] = field(factory=dict)
    mine: dict[str, list[str]] = field(factory=dict)
    followed: dict[str, list[int]] = field(factory=dict)
    wrong: list[str] = field(factory=list)
    done: list[tuple[Any, ...]] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.model = RandomModel(self.seed // 4, reliable=self.scenario.calm)

    @property
    def state(self) -> MemoryState:
        return self.stores.states["play"]

    @property
    def scenario(self) -> Scenario:
        return Scenario.of(self.seed // 4)

    async def run(self) -> None:
        """Play it, let everything come to rest, reopen, and let that rest too."""
        model = self.model
        with anyio.fail_after(HANG):
            async with anyio.create_task_group() as hosts:
                runtimes = [
                    await hosts.start(self.host, model, index, "report")
                    for index in range(2)
                ]
                for name in SESSIONS:
                    await runtimes[0].sessions.create(
                        id=name, location=self.folder, model=f"random/{name}"
                    )
                with (
                    scheduled(self.seed),
                    without_threads(),
                    forgetful(self.seed // 4),
                ):
                    await self.perform(runtimes)
                    for closing in self.closing:
                        closing.set()
                    for closed in self.closed:
                        await closed.wait()
            await self.check(model, "at rest")
            model.reliable = True
            with scheduled(self.seed), without_threads():
                await self.reopen()
            await self.check(model, "after reopening")

    async def reopen(self) -> None:
        """Open a runtime once more, and let it do what is left."""
        async with anyio.create_task_group() as hosts:
            runtime = await hosts.start(self.host, self.model, 2, "always")
            for name in SESSIONS:
                session = await runtime.sessions.get(name)
                outcome = await session.wait()
                if stopped_by_a_person(outcome):
                    # What waits then goes on when that is said (law recovery.11).
                    await session.resume()
                if await session.pending():
                    self.wrong.append(f"{name}: input forgotten (law inbox.7)")
            self.closing[2].set()

    async def host(
        self, model: RandomModel, index: int, resume: Any, *, task_status: Any
    ) -> None:
        """Keep a runtime open until somebody says otherwise."""
        self.closing.append(anyio.Event())
        self.closed.append(anyio.Event())
        async with open_runtime(
            "memory://play",
            plugins=[self.stores, model, Tools(work_tool(model.random))],
            load_entry_points=False,
            environment={"DOVETAIL_CONFIG": ""},
            clock=self.clocks[index],
            retry=RetryPolicy(retries=0),
            resume=resume,
            location_idle_seconds=0,
        ) as runtime:
            # Kept open in half of the plays; in the others it closes with each drain.
            place = runtime.location(self.folder)
            kept = self.seed % 8 < 4
            if kept:
                await place.__aenter__()
            task_status.started(runtime)
            await self.closing[index].wait()
        if kept:
            await place.__aexit__(None, None, None)
        self.closed[index].set()

    async def perform(self, runtimes: list[Runtime]) -> None:
        """Let everybody act, and return when all has come to rest."""
        async with anyio.create_task_group() as watching:
            for name in SESSIONS:
                watching.start_soon(self.follow, runtimes[0], name)
            async with anyio.create_task_group() as callers:
                for number, (index, acts) in enumerate(self.scenario.callers):
                    callers.start_soon(self.call, number, index, runtimes[index], acts)
            for index, runtime in enumerate(runtimes):
                for name in SESSIONS:
                    if not self.closing[index].is_set():
                        await (await runtime.sessions.get(name)).wait()
            if self.scenario.calm:
                for name in SESSIONS:
                    session = await runtimes[0].sessions.get(name)
                    if await session.pending():
                        self.wrong.append(f"{name}: a wake was lost (law inbox.7)")
            # The readers end with their runtime.
            self.closing[0].set()

    async def follow(self, runtime: Runtime, name: str) -> None:
        seen = self.followed.setdefault(name, [])
        try:
            session = await runtime.sessions.get(name)
            async with session.events(follow=True) as tail:
                async for event in tail:
                    seen.append(event.seq)
        except RuntimeClosedError:
            pass  # it was closed before the first read

    async def call(
        self, number: int, index: int, runtime: Runtime, acts: tuple[Act, ...]
    ) -> None:
        random = Random(f"{self.seed // 4} {number}")
        for act in acts:
            await pause(random)
            if act == ("sleep",):
                # While somebody works. To this process the other one seems stopped for
                # longer than any lease.
                for _ in range(random.randint(50, 150)):
                    await anyio.lowlevel.checkpoint()
                    if self.model.streaming.total():
                        break
                await self.sleep(index, runtime)
                continue
            if act == ("close",):
                self.closing[index].set()
                await self.closed[index].wait()
                self.done.append((act, "closed"))
                return
            try:
                self.done.append((act, await self.do(runtime, *act)))
            except RuntimeClosedError:
                self.done.append((act, "closed"))
                return
            except (PromptConflictError, InputNotPendingError) as error:
                self.done.append((act, error.code))

    async def sleep(self, index: int, runtime: Runtime) -> None:
        """Let leases that this process sees seem to be renewed no more, and want the
        sessions."""
        with suppress(RuntimeClosedError):
            sessions = [await runtime.sessions.get(name) for name in SESSIONS]
            held = [one for one in sessions if await one.held_until() is not None]
            self.clocks[index].advance(20)
            for session in held:
                await self.do(runtime, "prompt", session.id, "Go on.", "steer")

    async def do(self, runtime: Runtime, kind: str, *rest: Any) -> str:
        session = await runtime.sessions.get(rest[0])
        mine = self.mine.setdefault(session.id, [])
        if kind in ("prompt", "admit", "keyed"):
            _, text, delivery, *key = rest
            receipt = await session.prompt(
                text,
                delivery=delivery,
                key=key[0] if key else None,
                resume=kind != "admit",
            )
            mine.append(receipt.id)
            if key:
                self.receipts.setdefault((session.id, key[0]), set()).add(receipt)
            return "admitted"
        if kind == "withdraw" and mine:
            self.withdrawn.add(mine[-1])
            await session.withdraw(mine[-1])
        elif kind == "hurry" and mine:
            await session.deliver(mine[-1], "steer")
        elif kind == "interrupt":
            return str(await session.interrupt("enough"))
        elif kind == "resume":
            return (await session.resume()).status
        elif kind == "wait":
            return (await session.wait()).status
        elif kind == "look":
            # In this order: what is promoted in between is shown.
            before = set(mine) - self.withdrawn
            pending = {one.id for one in await session.pending()}
            shown = {one.id for one in await session.messages(limit=200)}
            if known := before - pending - shown - self.withdrawn:
                self.wrong.append(f"{session.id}: {known} is nowhere (law inbox.2)")
        return "done"

    # --- what must hold -----------------------------------------------------------

    async def check(self, model: RandomModel, when: str) -> None:
        """Note every law that is broken."""
        slept = any(clock.monotonic() for clock in self.clocks)
        for one in model.wrong:
            # Who lost its lease finds out at its next append; until then its request
            # goes on, and no store can stop that.
            if not (slept and "(law execution.1)" in one):
                self.wrong.append(f"{when}: {one}")
        for pair, receipts in self.receipts.items():
            if len(receipts) != 1:
                self.wrong.append(f"{when}: {pair} has {len(receipts)} receipts")
        for name in SESSIONS:
            events = [event_of(record) for record in self.state.events[name]]
            found = [
                *broken(events, slept=slept),
                *mismatched(events, model.requests[name]),
            ]
            self.wrong += [f"{when}: {name}: {one}" for one in found]
            seen = self.followed.get(name, [])
            if seen != list(range(len(seen))):
                self.wrong.append(f"{when}: {name}: a tail saw {seen} (law events.5)")

        async with open_memory_store(self.state) as store:
            before = await store.read(everything)
            for name in SESSIONS:
                await store.transact(partial(rebuild, session_id=name))
            if await store.read(everything) != before:
                self.wrong.append(f"{when}: rebuilt rows differ (law events.4)")
            self.wrong += await store.read(unsound)

    def trace(self) -> Trace:
        """Return what happened, without the names that are drawn anew each time."""
        return [
            (record.session_id, record.seq, record.kind) for record in self.state.log
        ] + self.done


def stopped_by_a_person(outcome: Outcome) -> bool:
    reason = outcome.reason
    return outcome.status == "interrupted" and (
        reason is None or reason.message != SHUTDOWN
    )


def broken(events: list[Event], *, slept: bool) -> list[str]:
    """Return the laws that a log breaks; ``slept`` says that leases may have ended."""
    wrong: list[str] = []
    executing: str | None = None
    step: str | None = None
    inherited: str | None = None
    inputs: dict[str, list[str]] = {}
    calls: dict[str, str] = {}
    batch: list[str] = []
    answered = True
    """Whether the model has said its last word to what it was told."""
    called = False

    def waiting(delivery: str) -> list[str]:
        return [
            one
            for one, (state, how) in inputs.items()
            if state == "pending" and how == delivery
        ]

    def note(event: Event, what: str) -> None:
        wrong.append(f"{event.seq} {event.kind}: {what}")

    for number, event in enumerate(events):
        if event.seq != number:
            note(event, f"is at {number} (law events.1)")
        match event:
            case e.ExecutionStarted():
                # Another worker may take over once a lease has ended.
                if executing is not None and (executing == event.owner or not slept):
                    note(event, "twice (law execution.1)")
                executing, inherited = event.owner, step
            case e.ExecutionEnded():
                # What another worker left open stays so until somebody may go on.
                if executing is None or step not in (None, inherited):
                    note(event, "at the wrong place (law execution.7)")
                executing = None
            case e.PromptAdmitted():
                inputs[event.input_id] = ["pending", event.delivery]
            case e.PromptRedelivered():
                if inputs[event.input_id][0] != "pending":
                    note(event, "not pending (law inbox.2)")
                inputs[event.input_id][1] = event.delivery
            case e.PromptWithdrawn():
                if inputs[event.input_id][0] != "pending":
                    note(event, "not pending (law inbox.2)")
                inputs[event.input_id][0] = "withdrawn"
            case e.PromptPromoted():
                if inputs[event.input_id][0] != "pending":
                    note(event, "not pending (law inbox.2)")
                if step is not None:
                    note(event, "during a Step (law inbox.6)")
                if not batch:
                    due = waiting("steer")
                    if not due and answered:
                        due = waiting("queue")[:1]
                    batch = list(due)
                if batch[:1] != [event.input_id]:
                    note(event, f"due are {batch} (law inbox.5)")
                batch = batch[1:]
                inputs[event.input_id][0] = "promoted"
            case e.StepStarted():
                if batch:
                    note(event, f"left out {batch} (law inbox.5)")
                if step is not None or executing is None:
                    note(event, "at the wrong place (law execution.1)")
                step, calls, called, answered = event.message_id, {}, False, False
            case e.ToolCalled():
                calls[event.call_id] = "called"
                called = True
            case e.ToolStarted():
                if calls.get(event.call_id) != "called":
                    note(event, "without a call (law tools.1)")
                calls[event.call_id] = "started"
            case e.ToolSucceeded() | e.ToolFailed():
                if calls.get(event.call_id) not in ("called", "started"):
                    note(event, "settled twice (law tools.1)")
                calls[event.call_id] = "settled"
            case e.StepEnded() | e.StepFailed():
                if step != event.message_id:
                    note(event, "without its beginning")
                if set(calls.values()) - {"settled"}:
                    note(event, f"open calls {calls} (law tools.1)")
                step = None
                answered = isinstance(event, e.StepFailed) or not called
    if executing is not None or (step is not None and not slept):
        wrong.append("the log ends in the middle (law execution.7)")
    return wrong


def mismatched(events: list[Event], requests: list[list[str]]) -> list[str]:
    """Return where what a model was sent is not what the log says it was told."""
    texts = {
        one.input_id: one.prompt.text
        for one in events
        if isinstance(one, e.PromptAdmitted)
    }
    told: list[list[str]] = []
    said: list[str] = []
    for event in events:
        if isinstance(event, e.PromptPromoted):
            said = [*said, texts[event.input_id]]
        elif isinstance(event, e.StepStarted):
            told.append(said)
    # A Step that was interrupted at once has sent nothing.
    left = iter(told)
    if not all(any(one == other for other in left) for one in requests):
        return [f"sent {requests}, but told {told} (law inbox.6)"]
    return []


# --- playing ----------------------------------------------------------------------


def played(seed: int, folder: Path) -> Play:
    play = Play(seed, folder)
    with unwatched():
        trio.run(play.run)
    return play


@pytest.mark.law("inbox.2", "inbox.3", "inbox.5", "inbox.6", "inbox.7")
@pytest.mark.law("execution.1", "execution.3", "execution.7", "execution.13")
@pytest.mark.law("events.1", "events.4", "events.5", "tools.1", "tools.2")
def test_the_laws_hold_in_every_interleaving(tmp_path: Path) -> None:
    traces: dict[int, set[str]] = {}
    kinds: Counter[str] = Counter()
    for seed in range(FIRST, FIRST + SEEDS):
        play = played(seed, tmp_path)
        assert play.wrong == [], f"seed {seed}: {play.scenario}\n{play.trace()}"
        traces.setdefault(seed // 4, set()).add(repr(play.trace()))
        kinds.update(record.kind for record in play.state.log)
    if SEEDS >= 100:
        # The schedule matters, and everything that is permuted did happen.
        several = [scenario for scenario, found in traces.items() if len(found) > 1]
        assert len(several) > SEEDS / 10
        assert {
            "prompt.promoted",
            "prompt.withdrawn",
            "prompt.redelivered",
            "tool.succeeded",
            "tool.failed",
            "step.failed",
            "execution.ended",
            "continuation.reported",
        } <= set(kinds)


@pytest.mark.parametrize("seed", [3, 14, 159])
def test_a_seed_is_played_the_same_way_again(tmp_path: Path, seed: int) -> None:
    first, again = (played(seed, tmp_path) for _ in range(2))
    assert first.trace() == again.trace()
