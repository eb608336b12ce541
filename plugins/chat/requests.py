"""Requests: what sessions ask of the person, and the answers.

Owns how a permission and a question are put to the person, one request once, and that
what nobody wants to know any more is withdrawn. That one thing is asked at a time is
the talk's, what is typed into an answer is ``asks``, what a request looks like is
``cards``.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from dovetail.kernel import (
    ChildAsked,
    DovetailError,
    PermissionRequest,
    QuestionAnswer,
    QuestionRequest,
    RequestAnswered,
    RequestAsked,
    Saving,
    ServerUnreachableError,
    Session,
)

from ..console.card import asking_call
from .asks import WITHDRAWN, Ask, Form, Words
from .cards import permission_card, permission_hint, question_card, question_hint
from .talking import Talking

AGAIN_SECONDS = 1.0
"""Between tries to ask again what a server that is gone asked."""
ROWS_BELOW = 6
"""Rows that are drawn below a card, about."""
_ANSWERED = {
    "once": "allowed once",
    "always": "allowed, also from now on",
    "reject": "refused",
}


class Requests:
    """What the sessions of one talk ask."""

    def __init__(self, talk: Talking) -> None:
        self._talk = talk
        self._open: dict[str, Ask] = {}
        """What they are asked with, by the id of the request."""

    def withdraw(self, request_id: str) -> None:
        """Ask no more: somebody else answered, or nobody wants to know."""
        ask = self._open.get(request_id)
        if ask is not None:
            ask.choose(WITHDRAWN)

    def withdraw_all(self) -> None:
        """Ask nothing more of what was asked until now."""
        for ask in self._open.values():
            ask.choose(WITHDRAWN)

    async def pending(
        self, session: Session
    ) -> list[PermissionRequest | QuestionRequest]:
        """Return what a session, and those that work for it, ask now."""
        return [
            *await self._talk.here.permissions.pending(session.id),
            *await self._talk.here.questions.pending(session.id),
        ]

    async def ask(self, session: Session, event: RequestAsked | ChildAsked) -> None:
        """Ask the person what an event says that a session asks."""
        try:
            asked = await self.pending(session)
        except DovetailError as error:
            self._talk.fail(error)
            return
        for request in asked:
            if request.id == event.request_id:
                await self.answer(session, request)

    async def answer(
        self, session: Session, request: PermissionRequest | QuestionRequest
    ) -> None:
        """Ask the person what a session asks, and give the answer."""
        if request.id in self._open:
            return
        lost = False
        try:
            asker = session
            if request.session_id != session.id:
                asker = await self._talk.runtime.sessions.get(request.session_id)
            async with self._watched(asker, session, request):
                if isinstance(request, PermissionRequest):
                    await self._permit(asker, session, request)
                else:
                    await self._reply(session, request)
        except ServerUnreachableError as error:
            self._talk.fail(error)
            lost = True
        except DovetailError as error:
            # Somebody else was first, or it is asked anew: that is shown by itself.
            self._talk.say(str(error))
        finally:
            self._open.pop(request.id, None)
        if lost:
            await self._again(session, request.id)

    async def _again(self, session: Session, request_id: str) -> None:
        """Ask once more, where the answer did not reach the server: when it is back,
        and if it waits for one still."""
        while self._talk.session is session:
            await anyio.sleep(AGAIN_SECONDS)
            try:
                waiting = await self.pending(session)
            except ServerUnreachableError:
                continue
            except DovetailError as error:
                self._talk.fail(error)
                return
            for request in waiting:
                if request.id == request_id:
                    await self.answer(session, request)
            return

    @asynccontextmanager
    async def _watched(
        self,
        asker: Session,
        session: Session,
        request: PermissionRequest | QuestionRequest,
    ) -> AsyncIterator[None]:
        """Withdraw the question when a session that works for this one has its answer:
        that is in its own log."""
        if asker.id == session.id:
            yield
            return

        async def watch() -> None:
            async with asker.events(follow=True) as tail:
                async for event in tail:
                    if isinstance(event, RequestAnswered) and (
                        event.request_id == request.id
                    ):
                        self.withdraw(request.id)
                        return

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            yield
            tasks.cancel_scope.cancel()

    async def _permit(
        self, asker: Session, session: Session, request: PermissionRequest
    ) -> None:
        call = await asking_call(asker, request)
        card = permission_card(request, call, self._talk.style, self._talk.screen.width)
        if asker.id != session.id:
            who = f"{request.agent} asks this, at work for this session"
            card = self._talk.script.sheet.aside(who) + card
        keys: dict[str, Any] = {"y": "once", "n": "reject", "f": "say"}
        if request.save:
            keys |= {"a": "location", "s": "session"}
        hint = permission_hint(request)
        rows = card.count("\n")
        if rows > self._talk.screen.height - ROWS_BELOW:
            hint = f"{rows:,} rows: scroll up to read all of it · {hint}"
        ask = Ask(card, hint, keys, "dovetail asks for permission")
        answer = await self._asked(request, ask)
        if answer is WITHDRAWN:
            self._talk.say("the question was withdrawn")
            return
        message, saving = None, None
        if answer == "say":
            words = Words("", "what to do instead, then Enter", {"escape": ""})
            message = await self._asked(request, words)
            if message is WITHDRAWN:
                return
            answer = "reject"
        if answer in ("location", "session"):
            saving = Saving(answer, any_agent=False, expires=None)
            answer = "always"
        await self._talk.here.permissions.reply(
            request.id,
            answer,
            message or None,
            saving=saving,
            session_id=request.session_id,
            shown=request.shown,
        )
        self._talk.say(_ANSWERED[answer])

    async def _reply(self, session: Session, request: QuestionRequest) -> None:
        of = {"session_id": request.session_id, "shown": request.shown}
        questions = self._talk.here.questions
        answers: list[QuestionAnswer] = []
        for question in request.questions:
            text = question_card(question, self._talk.style, self._talk.screen.width)
            form = Form(
                text,
                question_hint(question, plain=self._talk.script.tells),
                {"escape": None},
                "dovetail asks a question",
                question=question,
                plain=self._talk.script.tells,
            )
            answer = await self._asked(request, form)
            if answer is WITHDRAWN:
                self._talk.say("the question was withdrawn")
                return
            if answer is None:
                words = Words(
                    "",
                    "what to say instead, then Enter; Enter alone stops the work",
                    {"escape": ""},
                )
                message = await self._asked(request, words)
                if message is not WITHDRAWN:
                    await questions.dismiss(request.id, message or None, **of)
                return
            said = ", ".join([*answer.chosen, *([answer.text] if answer.text else [])])
            self._talk.say(f"answered: {said}" if said else "left open")
            answers.append(answer)
        await questions.reply(request.id, answers, **of)

    async def _asked(
        self, request: PermissionRequest | QuestionRequest, ask: Ask
    ) -> Any:
        self._open[request.id] = ask
        return await self._talk.ask(ask)
