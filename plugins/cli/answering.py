"""Answering: what a run asks while it goes on gets its answer, or nobody has one.

Owns who answers a request: an option that was given in advance, the person at the
terminal, or nobody, and then which request stays unanswered. How a person is asked is
``asking``; what is shown of a request is ``card``.
"""

from collections.abc import Awaitable, Callable, Sequence

import anyio
from dovetail.kernel import (
    ChildAsked,
    LocationHandle,
    PermissionRequest,
    QuestionRequest,
    RequestAnswered,
    RequestAsked,
    RequestChangedError,
    RequestNotFoundError,
    Rule,
    Session,
    Sessions,
)

from ..console.card import asking_call, question_lines, request_lines
from ..console.terminal import Terminal, visible
from .asking import Answer, Answers, Person, allow_options, allowed

Request = PermissionRequest | QuestionRequest

NOBODY = "nobody is there to answer"


class Answering:
    """Who answers what one run asks."""

    def __init__(
        self,
        terminal: Terminal,
        person: Person,
        location: LocationHandle,
        sessions: Sessions,
        allow: Sequence[Rule],
        *,
        everything: bool,
        break_line: Callable[[], Awaitable[None]],
    ) -> None:
        self._terminal = terminal
        self._person = person
        self._permissions = location.permissions
        self._questions = location.questions
        self._sessions = sessions
        self._allow = allow
        self._everything = everything
        self._break_line = break_line
        self._asking: anyio.CancelScope | None = None
        self.unanswered: Request | None = None
        """What nobody was there to answer."""

    def stop(self) -> None:
        """Ask no further: the run ended, or is to end."""
        if self._asking is not None:
            self._asking.cancel()

    async def left(self, session: Session) -> bool:
        """Answer what a living process asks; say whether all of it was answered."""
        for request in await self._pending(session):
            if not await self._answer(request, None):
                return False
        return True

    async def can(self, session: Session) -> bool:
        """Say whether anybody can answer what a lost process asked.

        Each call asks again when it goes on; so that is when it is answered.
        """
        if self._everything or self._person.there:
            return True
        for request in await self._pending(session):
            if isinstance(request, QuestionRequest) or not allowed(
                request, self._allow
            ):
                self.unanswered = request
                return False
        return True

    async def take(self, session: Session, event: RequestAsked | ChildAsked) -> None:
        """Answer what a run, or a session that works for it, asked just now. Where
        nobody can, the run is stopped."""
        for request in await self._pending(session):
            if (
                request.id == event.request_id
                and self.unanswered is None
                and not await self._answer(request, session, event.seq)
            ):
                await session.interrupt(NOBODY)

    def unanswered_lines(self) -> tuple[list[str], list[str]]:
        """Return what to tell of the request that nobody answered, and the options of
        ``run`` that would answer it, where there are any."""
        request = self.unanswered
        assert request is not None
        if isinstance(request, QuestionRequest):
            lines = question_lines(request)
            return ["paused: this needs an answer:", *lines], []
        first, *more = request_lines(request)
        lines = [f"paused: this needs a permission: {first}", *more]
        options = allow_options(request)
        if not options:
            lines.append(
                "no --allow names it: not all of what it does is known before it runs"
            )
        return lines, options

    async def _pending(self, session: Session) -> Sequence[Request]:
        return [
            *await self._permissions.pending(session.id),
            *await self._questions.pending(session.id),
        ]

    async def _answer(
        self, request: Request, session: Session | None, asked: int | None = None
    ) -> bool:
        """Answer one request; False when there is nobody to answer it.

        ``asked`` is the event that asks it: whoever is asked here is told when somebody
        else answers.
        """
        answer: Answer | Answers | None = None
        known = isinstance(request, PermissionRequest) and (
            self._everything or allowed(request, self._allow)
        )
        if known:
            answer = Answer("once", by="policy")
        elif self._everything and not self._person.there:
            # As the runtimes of this command do it; others ask, such as a server's.
            answer = Answers(None, NOBODY)
        elif self._person.there:
            await self._break_line()
            if session is not None and request.session_id != session.id:
                self._terminal.tell(
                    f"  {visible(request.agent)} asks this, at work for this session "
                    f"in {visible(request.session_id)}"
                )
                session = await self._sessions.get(request.session_id)
            async with anyio.create_task_group() as tasks:
                with anyio.CancelScope() as asking:
                    self._asking = asking
                    if session is not None and asked is not None:
                        tasks.start_soon(self._watch, session, request, asked, asking)
                    if isinstance(request, QuestionRequest):
                        answer = await self._person.answer(request)
                    else:
                        call = await asking_call(session, request)
                        answer = await self._person.ask(request, call)
                tasks.cancel_scope.cancel()
            self._asking = None
            if asking.cancelled_caught:
                # The run ended meanwhile, and the question with it.
                self._terminal.tell("")
                return True
        if answer is None:
            self.unanswered = request
            return False
        try:
            await self._reply(request, answer)
        except (RequestNotFoundError, RequestChangedError) as error:
            # Somebody else was first, or it is asked anew: that is shown by itself.
            self._terminal.tell(f"  {visible(str(error))}")
        return True

    async def _watch(
        self, session: Session, request: Request, asked: int, asking: anyio.CancelScope
    ) -> None:
        """Stop asking when the request has its end, and say how it ended."""
        async with session.events(asked, follow=True) as tail:
            async for event in tail:
                if isinstance(event, RequestAnswered) and (
                    event.request_id == request.id
                ):
                    self._terminal.tell(f"\n  {event.outcome} by {visible(event.by)}")
                    asking.cancel()
                    return

    async def _reply(self, request: Request, answer: Answer | Answers) -> None:
        if isinstance(answer, Answer):
            await self._permissions.reply(
                request.id,
                answer.reply,
                answer.advice,
                by=answer.by,
                saving=answer.saving,
                session_id=request.session_id,
                shown=request.shown,
            )
            return
        of = {"session_id": request.session_id, "shown": request.shown}
        if answer.answers is None:
            await self._questions.dismiss(request.id, answer.message, **of)
        else:
            await self._questions.reply(request.id, answer.answers, **of)
