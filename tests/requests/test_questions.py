"""Questions to a person: asked durably, and answered once."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import frozen
from dovetail.kernel import (
    BlockingToolContext,
    InvalidValueError,
    Question,
    QuestionAnswer,
    QuestionOption,
    QuestionRequest,
    RequestNotFoundError,
    Runtime,
    Session,
    Tool,
    ToolContext,
    UndecodableError,
)
from dovetail.kernel.testing.clock import ManualClock
from dovetail.kernel.testing.memory_store import MemoryState
from dovetail.kernel.testing.scripted import ScriptedProvider, call, calls, text
from support.bounds import HANG
from support.crashes import copied, on
from support.hosts import host, said_of_the_call

COLOUR = Question(
    "Which colour?",
    header="Colour",
    options=(QuestionOption("Red", "Loud"), QuestionOption("Blue")),
    free=False,
)
NAMES = Question("Which names?", options=(QuestionOption("Ann"),), multiple=True)


@frozen
class Nothing:
    pass


def asking(*questions: Question, blocking: bool = False) -> Tool[Any, Any]:
    """Return a tool that asks, and says what it was told."""

    async def asks(input: object, context: ToolContext) -> str:
        return repr([*await context.question(questions)])

    def blocks(input: object, context: BlockingToolContext) -> str:
        return repr([*context.question(questions)])

    return Tool(
        "asks", "Ask.", Nothing, blocks if blocking else asks, effect="pure", asks=()
    )


def script() -> ScriptedProvider:
    return ScriptedProvider(calls(call("asks", id="c1")), text("Done."))


async def asked(runtime: Runtime, folder: Path) -> tuple[Session, QuestionRequest]:
    """Return a session that waits for an answer, and what it asks."""
    session = await runtime.sessions.create(location=folder, model="scripted/model")
    async with session.events(follow=True) as tail:
        await session.prompt("go")
        with anyio.fail_after(HANG):
            async for event in tail:
                if event.kind == "request.asked":
                    break
    [request] = await runtime.location(folder).questions.pending(session.id)
    return session, request


@asynccontextmanager
async def waiting(
    folder: Path, *questions: Question, **options: Any
) -> AsyncIterator[tuple[Runtime, Session, QuestionRequest]]:
    async with host(folder, script(), asking(*questions), **options) as runtime:
        session, request = await asked(runtime, folder)
        yield runtime, session, request


@pytest.mark.law("access.5")
@pytest.mark.parametrize("blocking", [False, True])
async def test_questions_are_answered_together_and_in_their_order(
    tmp_path: Path, blocking: bool
) -> None:
    tool = asking(COLOUR, NAMES, blocking=blocking)
    async with host(tmp_path, script(), tool) as runtime:
        session, request = await asked(runtime, tmp_path)
        assert request.questions == (COLOUR, NAMES)
        assert (request.agent, request.call_id) == ("build", "c1")
        answers = [QuestionAnswer(("Blue",)), QuestionAnswer(("Ann",), "and Bo")]
        questions = runtime.location(tmp_path).questions
        await questions.reply(request.id, answers)
        assert await said_of_the_call(session) == repr(answers)
        with pytest.raises(RequestNotFoundError):
            await questions.reply(request.id, answers)


@pytest.mark.parametrize(
    "answers",
    [
        [],
        [QuestionAnswer(), QuestionAnswer()],
        [QuestionAnswer(("Green",))],
        [QuestionAnswer(("Red", "Blue"))],
        [QuestionAnswer((), "something else")],
        ["Red"],
        None,
    ],
)
async def test_what_answers_nothing_that_was_asked_is_refused_and_it_waits_on(
    tmp_path: Path, answers: Any
) -> None:
    async with waiting(tmp_path, COLOUR) as (runtime, session, request):
        questions = runtime.location(tmp_path).questions
        with pytest.raises(InvalidValueError):
            await questions.reply(request.id, answers)
        await questions.reply(request.id, [QuestionAnswer()])
        assert await said_of_the_call(session) == repr([QuestionAnswer()])


async def test_a_dismissal_stops_the_run_and_one_with_words_tells_the_model(
    tmp_path: Path,
) -> None:
    async with waiting(tmp_path, COLOUR) as (runtime, session, request):
        await runtime.location(tmp_path).questions.dismiss(request.id)
        with anyio.fail_after(HANG):
            assert (await session.wait()).status == "interrupted"
    async with waiting(tmp_path, COLOUR) as (runtime, session, request):
        questions = runtime.location(tmp_path).questions
        await questions.dismiss(request.id, "take what you like")
        assert "take what you like" in await said_of_the_call(session)
        assert (await session.wait()).succeeded


@pytest.mark.parametrize("answer", ["Red", "dismissed", "malformed"])
async def test_they_are_answered_where_all_requests_are(
    tmp_path: Path, answer: str
) -> None:
    bodies: dict[str, Any] = {
        "Red": {"answers": [{"chosen": ["Red"]}]},
        "dismissed": {"answers": None, "message": "not now"},
        "malformed": {"chosen": "Red"},
    }
    async with waiting(tmp_path, COLOUR) as (runtime, session, request):
        [listed] = await runtime.requests.pending(what="question")
        assert listed.id == request.id
        if answer == "malformed":
            with pytest.raises(UndecodableError):
                await runtime.requests.reply(request.id, bodies[answer])
            with pytest.raises(InvalidValueError):
                await runtime.requests.reply(request.id, "Red")
            answer = "Red"
        await runtime.requests.reply(request.id, bodies[answer])
        expected = "'Red'" if answer == "Red" else "not now"
        assert expected in await said_of_the_call(session)


async def left(folder: Path) -> tuple[MemoryState, QuestionRequest]:
    """Return what a process leaves that dies while it waits, and what it asked."""
    state = MemoryState()
    async with on(state, asking(COLOUR), plugins=[script()]) as runtime:
        _, request = await asked(runtime, folder)
        return copied(state), request


@pytest.mark.law("access.5")
@pytest.mark.parametrize("nobody_waits", [True, False])
async def test_a_question_survives_its_process_and_its_answer_counts_once(
    tmp_path: Path, nobody_waits: bool
) -> None:
    state, request = await left(tmp_path)
    answers = [QuestionAnswer(("Blue",))]
    plugins = [ScriptedProvider(text("Done."))]
    async with on(state, asking(COLOUR), plugins=plugins, lives=1) as runtime:
        session = await runtime.sessions.get(request.session_id)
        questions = runtime.location(tmp_path).questions
        [waiting] = await questions.pending(session.id)
        assert waiting == request
        async with anyio.create_task_group() as group:
            if not nobody_waits:
                group.start_soon(accept, session)
                await anyio.wait_all_tasks_blocked()
            await questions.reply(waiting.id, answers)
            if nobody_waits:
                await accept(session)
        assert await said_of_the_call(session) == repr(answers)
        kinds = [event.kind async for event in session.events()]
        assert kinds.count("request.answered") == 1


async def accept(session: Session) -> None:
    report = await session.continuation()
    assert [one.known for one in report.calls] == ["not_started"]
    with anyio.fail_after(HANG):
        assert (await session.resume(report.digest)).succeeded


async def test_the_answer_of_two_who_answer_at_once_is_one_of_both(
    tmp_path: Path,
) -> None:
    async with waiting(tmp_path, COLOUR) as (runtime, session, request):
        refused: list[str] = []

        async def say(label: str) -> None:
            questions = runtime.location(tmp_path).questions
            try:
                await questions.reply(request.id, [QuestionAnswer((label,))])
            except RequestNotFoundError:
                refused.append(label)

        async with anyio.create_task_group() as group:
            group.start_soon(say, "Red")
            group.start_soon(say, "Blue")
        [late] = refused
        assert late not in await said_of_the_call(session)


@pytest.mark.parametrize("policy", ["dismiss", None])
async def test_where_nobody_is_the_model_is_told_so(
    tmp_path: Path, policy: Any
) -> None:
    async with host(
        tmp_path,
        script(),
        asking(COLOUR),
        on_permission="deny",
        on_question=policy,
    ) as runtime:
        session = await runtime.sessions.create(
            location=tmp_path, model="scripted/model"
        )
        await session.prompt("go")
        assert "nobody can be asked here" in await said_of_the_call(session)
        assert (await session.wait()).succeeded
        kinds = [event.kind async for event in session.events()]
        assert "request.asked" not in kinds


async def test_what_was_left_for_a_person_is_dismissed_where_nobody_is(
    tmp_path: Path,
) -> None:
    state, request = await left(tmp_path)
    plugins = [ScriptedProvider(text("Done."))]
    async with on(
        state, asking(COLOUR), plugins=plugins, lives=1, on_question="dismiss"
    ) as runtime:
        session = await runtime.sessions.get(request.session_id)
        await accept(session)
        assert "nobody can be asked here" in await said_of_the_call(session)
        assert await runtime.requests.pending() == []


async def test_a_model_is_told_that_nobody_answered_in_time(tmp_path: Path) -> None:
    clock = ManualClock()
    async with waiting(tmp_path, COLOUR, clock=clock, request_seconds=30) as (
        _runtime,
        session,
        request,
    ):
        assert request.expires == request.created + 30_000
        with anyio.fail_after(HANG):
            async with clock.jumping(longest=30):
                assert (await session.wait()).succeeded
        assert "nobody answered in time" in await said_of_the_call(session)


async def test_an_interrupt_withdraws_a_question(tmp_path: Path) -> None:
    async with waiting(tmp_path, COLOUR) as (runtime, session, request):
        await session.interrupt()
        with anyio.fail_after(HANG):
            await session.wait()
        assert await runtime.requests.pending() == []
        with pytest.raises(RequestNotFoundError):
            await runtime.location(tmp_path).questions.dismiss(request.id)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
async def test_a_time_to_answer_is_a_time(tmp_path: Path, seconds: float) -> None:
    with pytest.raises(InvalidValueError, match="request_seconds"):
        async with host(tmp_path, script(), request_seconds=seconds):
            pass


@pytest.mark.parametrize(
    "questions",
    [
        (),
        (Question("  "),),
        (Question("One?", free=False),),
        (Question("One?", options=(QuestionOption("a"), QuestionOption("a "))),),
        (Question("One?", options=(QuestionOption(" "),)),),
        (Question("x" * 10_000),),
        tuple(Question(str(number)) for number in range(21)),
        (Question("One?", multiple="yes"),),  # type: ignore[arg-type]
    ],
)
async def test_what_cannot_be_answered_is_not_asked(
    tmp_path: Path, questions: Sequence[Question]
) -> None:
    async with host(tmp_path, script(), asking(*questions)) as runtime:
        session = await runtime.sessions.create(
            location=tmp_path, model="scripted/model"
        )
        await session.prompt("go")
        assert "question" in await said_of_the_call(session)
        kinds = [event.kind async for event in session.events()]
        assert "request.asked" not in kinds
