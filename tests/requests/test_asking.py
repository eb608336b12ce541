"""Requests of any kind: asked durably, ended once, taken up again after a restart."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from anyio.abc import TaskGroup
from dovetail.kernel import (
    RequestAnswered,
    RequestAsked,
    RequestEndedError,
    RequestNotFoundError,
    RuntimeClosedError,
    SessionCreated,
    SessionId,
)
from dovetail.kernel.log.commit import EventLog, LogTransaction
from dovetail.kernel.log.reading import events_between
from dovetail.kernel.requests.asking import Asking, Requests, RequestState
from dovetail.kernel.testing.clock import ManualClock
from dovetail.kernel.testing.memory_store import MemoryState, MemoryStore
from dovetail.kernel.values.ids import MessageId, RequestId
from support.bounds import HANG

ONE = SessionId("ses_1")
ANSWER = {"choice": ["blue"]}


def asking(**changes: Any) -> Asking:
    fields: dict[str, Any] = {
        "session_id": ONE,
        "what": "question",
        "agent": "build",
        "identity": ("which colour?",),
        "body": {"text": "which colour?", "options": ["red", "blue"]},
        "message_id": MessageId("msg_1"),
        "call_id": "call_1",
    }
    return Asking(**{**fields, **changes})


class Process:
    """One process that has the store open."""

    def __init__(
        self, state: MemoryState, clock: ManualClock, seconds: float | None = None
    ) -> None:
        self.log = EventLog(MemoryStore(state), clock)
        self.requests = Requests(self.log, seconds)

    async def reserved(self, asking: Asking) -> RequestState:
        _, standing = await self.requests.reserve(
            asking, lambda rows: None, lambda decided, standing: True
        )
        return standing

    async def ask(self, asking: Asking) -> RequestAnswered | None:
        standing = await self.reserved(asking)
        if standing.answer is not None:
            return standing.answer
        return await self.requests.wait(asking, standing.id, lambda tx: True)

    async def until_asked(self) -> RequestId:
        bell = self.log.bell(ONE)
        try:
            while True:
                found = await self.log.read(
                    lambda rows: rows.pending_requests(session_id=ONE)
                )
                if found:
                    return RequestId(found[0].id)
                await bell.wait()
        finally:
            self.log.forget_bell(ONE, bell)

    async def events(self) -> list[Any]:
        return await self.log.read(
            lambda rows: list(events_between(rows, ONE, after=0))
        )


@pytest.fixture
def state() -> MemoryState:
    return MemoryState()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def process(state: MemoryState, clock: ManualClock) -> AsyncIterator[Process]:
    process = Process(state, clock)
    await process.log.append(SessionCreated(session_id=ONE, directory="/place"))
    yield process
    process.log.close()


@pytest.fixture
async def tasks() -> AsyncIterator[TaskGroup]:
    async with anyio.create_task_group() as group:
        yield group
        group.cancel_scope.cancel()


@pytest.mark.law("access.5")
async def test_a_request_of_any_kind_waits_for_its_one_answer(process: Process) -> None:
    answers: list[Any] = []

    async def ask() -> None:
        answers.append(await process.ask(asking()))

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        request_id = await process.until_asked()
        await process.requests.answer(ONE, request_id, ANSWER, "person")
    [answer] = answers
    assert (answer.outcome, answer.by, answer.answer) == ("answered", "person", ANSWER)
    with pytest.raises(RequestNotFoundError):
        await process.requests.answer(ONE, request_id, ANSWER, "person")
    asked, ended = await process.events()
    assert isinstance(asked, RequestAsked)
    assert asked.body == asking().body
    assert ended == answer


async def test_of_many_answers_at_once_one_counts_and_the_others_are_told(
    process: Process, tasks: TaskGroup
) -> None:
    tasks.start_soon(process.ask, asking())
    request_id = await process.until_asked()
    outcomes: list[str] = []

    async def answer(number: int) -> None:
        try:
            await process.requests.answer(ONE, request_id, {"n": number}, "person")
            outcomes.append("taken")
        except RequestNotFoundError:
            outcomes.append("told")

    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(answer, number)
    assert sorted(outcomes) == ["taken"] + ["told"] * 19


@pytest.mark.law("access.5")
async def test_a_call_that_goes_on_takes_the_answer_that_came_meanwhile(
    process: Process, state: MemoryState, clock: ManualClock
) -> None:
    # A process that died while it waited: the request is there, nobody waits.
    standing = await process.reserved(asking())
    await process.log.append(asking().event(standing.id, None))
    await process.requests.answer(ONE, standing.id, ANSWER, "person")
    later = Process(state, clock)
    first = await later.ask(asking())
    assert first is not None
    assert first.answer == ANSWER
    # An answer counts once: the same question again is another request.
    again = await later.reserved(asking())
    assert (again.answer, again.pending) == (None, False)
    assert again.id != standing.id
    later.log.close()


async def test_a_question_that_is_no_longer_needed_is_not_asked(
    process: Process,
) -> None:
    standing = await process.reserved(asking())
    answer = await process.requests.wait(asking(), standing.id, lambda tx: False)
    assert answer is None
    assert await process.events() == []


async def test_one_that_is_cancelled_is_withdrawn(process: Process) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(process.ask, asking())
        await process.until_asked()
        group.cancel_scope.cancel()
    [_, ended] = await process.events()
    assert (ended.outcome, ended.by, dict(ended.answer)) == (
        "withdrawn",
        "interrupt",
        {},
    )


@pytest.fixture
async def hurried(
    process: Process, state: MemoryState, clock: ManualClock
) -> AsyncIterator[Process]:
    """A process whose requests wait for a minute."""
    hurried = Process(state, clock, 60)
    yield hurried
    hurried.log.close()


async def test_one_that_nobody_answers_in_time_expires(
    hurried: Process, clock: ManualClock
) -> None:
    answers: list[Any] = []

    async def ask() -> None:
        answers.append(await hurried.ask(asking()))

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await clock.until_sleeping(1)
        clock.advance(61)
    [answer] = answers
    assert (answer.outcome, answer.by) == ("expired", "expiry")


@pytest.mark.law("access.20")
@pytest.mark.parametrize("seconds", [60, None])
async def test_the_time_runs_from_when_it_was_first_asked_whoever_waits_now(
    process: Process, state: MemoryState, clock: ManualClock, seconds: float | None
) -> None:
    # Left by a process that died half a minute before its time is over.
    standing = await process.reserved(asking())
    await process.log.append(asking().event(standing.id, clock.now() + 60_000))
    clock.advance(30)
    later = Process(state, clock, seconds)
    answers: list[Any] = []

    async def ask() -> None:
        answers.append(await later.ask(asking()))

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await clock.until_sleeping(1)
        clock.advance(31)
    later.log.close()
    assert [answer.outcome for answer in answers] == ["expired"]


class SetClock(ManualClock):
    """One whose time of day somebody sets while its seconds go on."""

    ahead = 0

    def now(self) -> int:
        return super().now() + self.ahead


@pytest.mark.law("access.20")
@pytest.mark.parametrize(("hours", "expired"), [(1, True), (-1, False)])
async def test_a_time_of_day_that_is_set_counts_soon(
    state: MemoryState, hours: int, expired: bool
) -> None:
    clock = SetClock()
    process = Process(state, clock, 600)
    await process.log.append(SessionCreated(session_id=ONE, directory="/place"))
    answers: list[Any] = []

    async def ask() -> None:
        answers.append(await process.ask(asking()))
        ended.set()

    ended = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await clock.until_sleeping(1)
        clock.ahead = hours * 3_600_000
        # Long before ten minutes are over.
        clock.advance(31)
        if expired:
            with anyio.fail_after(HANG):
                await ended.wait()
        else:
            await clock.until_sleeping(1)
            request_id = await process.until_asked()
            await process.requests.answer(ONE, request_id, ANSWER, "person")
    process.log.close()
    [answer] = answers
    assert answer.outcome == ("expired" if expired else "answered")


@pytest.mark.law("access.20")
@pytest.mark.parametrize("restarted", [False, True])
async def test_a_time_of_day_that_is_set_back_makes_nobody_wait_for_longer(
    state: MemoryState, restarted: bool
) -> None:
    """Not where it is set back meanwhile, nor where it was between two processes."""
    clock = SetClock()
    first = Process(state, clock, 600)
    await first.log.append(SessionCreated(session_id=ONE, directory="/place"))
    if restarted:
        standing = await first.reserved(asking())
        await first.log.append(asking().event(standing.id, clock.now() + 600_000))
        clock.ahead = -5 * 3_600_000
    process = Process(state, clock, 600)
    answers: list[Any] = []

    async def ask() -> None:
        answers.append(await process.ask(asking()))
        ended.set()

    ended = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await clock.until_sleeping(1)
        clock.ahead = -5 * 3_600_000
        clock.advance(601)
        with anyio.move_on_after(HANG):
            await ended.wait()
        process.log.close()
    assert [answer.outcome for answer in answers] == ["expired"]


@pytest.mark.law("access.20")
async def test_an_answer_after_the_time_does_not_count(
    process: Process, clock: ManualClock
) -> None:
    # Left by a process that died, so nobody here notices that its time is over.
    standing = await process.reserved(asking())
    await process.log.append(asking().event(standing.id, clock.now() + 60_000))
    clock.advance(61)
    with pytest.raises(RequestEndedError) as late:
        await process.requests.answer(ONE, standing.id, ANSWER, "person")
    assert (late.value.outcome, late.value.ended) == ("expired", clock.now() - 1_000)


async def test_whoever_may_not_write_any_more_asks_nobody(process: Process) -> None:
    class FencedError(Exception):
        pass

    def guard(tx: LogTransaction) -> None:
        raise FencedError

    with pytest.raises(FencedError):
        await process.ask(asking(guard=guard))
    assert await process.events() == []


async def test_a_request_stays_when_the_runtime_closes(
    process: Process, state: MemoryState, clock: ManualClock
) -> None:
    raised: list[BaseException] = []

    async def ask() -> None:
        try:
            await process.ask(asking())
        except RuntimeClosedError as error:
            raised.append(error)

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await process.until_asked()
        process.log.close()
    assert len(raised) == 1
    [asked] = await Process(state, clock).events()
    assert isinstance(asked, RequestAsked)
