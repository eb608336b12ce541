"""Asking: what waits for a person, put to the client and answered.

Owns which options an editor shows and what choosing each means. Every answer goes to
the request that was shown, exactly once; what somebody else answered meanwhile is
withdrawn from the client. What the client does not answer waits on.
"""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import anyio
from acp import schema as s
from anyio import to_thread
from attrs import frozen
from dovetail.kernel import (
    Json,
    LocationHandle,
    PendingRequest,
    PermissionReply,
    PermissionRequest,
    Question,
    QuestionAnswer,
    QuestionRequest,
    RequestAnswered,
    RequestChangedError,
    RequestNotFoundError,
    Runtime,
    RuntimeClosedError,
    Session,
)

from .calls import Call, ToolContent, text_content, tool_call_id, visible
from .telling import call_of
from .wire import Answered, Connection, Gone

logger = logging.getLogger(__name__)

REJECTED = "The person did not allow this. Go on without it, or ask what to do instead."
UNASKED = "This editor could not ask the person for it, so it is not allowed."
ELSEWHERE = (
    "This editor cannot show that question. Ask it in your answer instead, and end "
    "there."
)
OWN_WORDS = (
    "The person wants to answer in their own words. Ask in your answer, and end there."
)
MAX_NAME = 160
MAX_LINES = 40
"""Resources that are told one by one."""


@frozen
class _Choice:
    """What choosing an option of a permission means."""

    option: s.PermissionOption
    reply: PermissionReply
    message: str | None = None
    advise: bool = False
    """Whether the person is asked what to say instead."""


class Asking:
    """Puts one request to the client, and answers it with what the client says."""

    def __init__(
        self,
        runtime: Runtime,
        connection: Connection,
        shown_in: str,
        directory: str,
        *,
        forms: bool,
    ) -> None:
        """``shown_in`` is the session that the client knows; ``forms`` says whether it
        shows forms."""
        self._runtime = runtime
        self._connection = connection
        self._shown_in = shown_in
        self._directory = directory
        self._forms = forms

    async def ask(self, pending: PendingRequest) -> None:
        """Return when it was answered, by whomever, or nobody will."""
        session = await self._runtime.sessions.get(pending.session_id)
        here = self._runtime.location(pending.directory)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch, session, pending, tasks.cancel_scope)
            try:
                if pending.what == "permission":
                    await self._permission(session, here, pending)
                elif pending.what == "question":
                    await self._question(here, pending)
            except (RequestNotFoundError, RequestChangedError) as error:
                # Somebody else was first, or it is asked anew.
                logger.debug("not answered: %s", error)
            except Answered as error:
                logger.warning("the client could not ask: %s", error)
                await self._refuse(here, pending)
            except Gone:
                pass
            tasks.cancel_scope.cancel()

    async def _refuse(self, here: LocationHandle, pending: PendingRequest) -> None:
        """Say no to what the client cannot ask: nobody would be seen to wait for it."""
        session_id, shown = pending.session_id, pending.shown
        try:
            if pending.what == "permission":
                await here.permissions.reply(
                    pending.id, "reject", UNASKED, session_id=session_id, shown=shown
                )
            elif pending.what == "question":
                await here.questions.dismiss(
                    pending.id, ELSEWHERE, session_id=session_id, shown=shown
                )
        except (RequestNotFoundError, RequestChangedError) as error:
            logger.debug("not answered: %s", error)

    async def _watch(
        self, session: Session, pending: PendingRequest, asking: anyio.CancelScope
    ) -> None:
        """Withdraw it from the client when it has its end."""
        try:
            async with session.events(follow=True) as tail:
                async for event in tail:
                    if (
                        isinstance(event, RequestAnswered)
                        and event.request_id == pending.id
                    ):
                        asking.cancel()
                        return
        except RuntimeClosedError:
            return

    # --- permissions --------------------------------------------------------------

    async def _permission(
        self, session: Session, here: LocationHandle, pending: PendingRequest
    ) -> None:
        waiting = await here.permissions.pending(session.id)
        request = next((one for one in waiting if one.id == pending.id), None)
        if request is None:
            return
        choices = _choices(request, forms=self._forms)
        call = None
        if request.message_id is not None and request.call_id is not None:
            call = await call_of(
                session, request.message_id, request.call_id, self._directory
            )
        answer = await self._connection.request(
            "session/request_permission",
            dumped(
                s.RequestPermissionRequest(
                    session_id=self._shown_in,
                    tool_call=await self._card(request, call),
                    options=[one.option for one in choices],
                )
            ),
        )
        chosen = _chosen(answer)
        choice = next((c for c in choices if c.option.option_id == chosen), None)
        reply: PermissionReply = "reject"
        message = None
        if choice is not None:
            reply, message = choice.reply, choice.message
            if choice.advise:
                said = await self._advice(request)
                message = said or REJECTED
        # What the client cancelled, or chose of nothing that was offered, is no yes.
        await here.permissions.reply(
            request.id,
            reply,
            message,
            session_id=request.session_id,
            shown=request.shown,
        )

    async def _card(
        self, request: PermissionRequest, call: Call | None
    ) -> s.ToolCallUpdate:
        """Return all that a person agrees to."""
        lines = [f"{request.action}:", *request.resources[:MAX_LINES]]
        if len(request.resources) > MAX_LINES:
            lines.append(f"... and {len(request.resources) - MAX_LINES} more")
        if request.folder not in (None, "."):
            lines.append(f"in {request.folder}")
        if request.metadata.get("background") is True:
            lines.append("in the background: it runs on as a job")
        lines += [f"asks again: {reason}" for reason in request.again]
        if request.session_id != self._shown_in:
            lines.append(f"asked by agent {request.agent}, at work for this session")
        if request.save:
            lines.append(f"always would allow agent {request.agent}, here:")
            lines += [f"  {request.action} {one}" for one in request.save]
        content: list[ToolContent] = []
        if call is not None and request.action == "edit":
            content += await to_thread.run_sync(call.diffs)
        told = "\n".join(visible(line, 100_000) for line in lines)
        content.append(text_content(told))
        if call is None:
            title = f"{request.action} {' '.join(request.resources[:1])}"
            number = tool_call_id(request.message_id or "", request.call_id or "")
            return s.ToolCallUpdate(
                tool_call_id=number, title=visible(title, MAX_NAME), content=content
            )
        return s.ToolCallUpdate(
            tool_call_id=call.id,
            title=call.title,
            kind=call.kind,
            status="pending",
            content=content,
            locations=call.locations or None,
        )

    async def _advice(self, request: PermissionRequest) -> str | None:
        """Ask what the model is to be told instead."""
        field = s.ElicitationStringPropertySchema(
            type="string", title="What to do instead", max_length=8192
        )
        said = await self._form("What should be done instead?", {"advice": field})
        advice = said.get("advice") if said else None
        return advice[:8192] if isinstance(advice, str) and advice.strip() else None

    # --- questions ----------------------------------------------------------------

    async def _question(self, here: LocationHandle, pending: PendingRequest) -> None:
        waiting = await here.questions.pending(pending.session_id)
        request = next((one for one in waiting if one.id == pending.id), None)
        if request is None:
            return
        answers: Sequence[QuestionAnswer] | str | None
        if self._forms:
            answers = await self._by_form(request)
        else:
            answers = await self._by_options(request)
        if isinstance(answers, str | None):
            await here.questions.dismiss(
                request.id,
                answers,
                session_id=request.session_id,
                shown=request.shown,
            )
            return
        await here.questions.reply(
            request.id, answers, session_id=request.session_id, shown=request.shown
        )

    async def _by_form(
        self, request: QuestionRequest
    ) -> Sequence[QuestionAnswer] | str | None:
        """Return the answers, or what the model is told instead; None for nothing."""
        properties: dict[str, Any] = {}
        for number, question in enumerate(request.questions, 1):
            properties |= _fields(f"q{number}", question)
        texts = [one.text for one in request.questions]
        said = await self._form("\n\n".join(texts), properties)
        if said is None:
            return "The person did not want to answer."
        return [
            _answer(f"q{number}", question, said)
            for number, question in enumerate(request.questions, 1)
        ]

    async def _by_options(
        self, request: QuestionRequest
    ) -> Sequence[QuestionAnswer] | str | None:
        if any(one.multiple or not one.options for one in request.questions):
            return ELSEWHERE
        answers = []
        for number, question in enumerate(request.questions, 1):
            options = [
                s.PermissionOption(
                    option_id=f"option-{at}",
                    name=visible(one.label, MAX_NAME),
                    kind="allow_once",
                )
                for at, one in enumerate(question.options)
            ]
            if question.free:
                options.append(
                    s.PermissionOption(
                        option_id="words", name="In my own words", kind="reject_once"
                    )
                )
            options.append(
                s.PermissionOption(
                    option_id="dismiss", name="Do not answer", kind="reject_once"
                )
            )
            answer = await self._connection.request(
                "session/request_permission",
                dumped(
                    s.RequestPermissionRequest(
                        session_id=self._shown_in,
                        tool_call=s.ToolCallUpdate(
                            tool_call_id=f"{request.id}:{number}",
                            title=visible(question.text, MAX_NAME),
                            kind="other",
                            status="pending",
                            content=[text_content(_spoken(question))],
                        ),
                        options=options,
                    )
                ),
            )
            chosen = _chosen(answer) or ""
            if chosen == "words":
                return OWN_WORDS
            at = chosen.removeprefix("option-")
            if not at.isdecimal() or int(at) >= len(question.options):
                return None
            answers.append(QuestionAnswer((question.options[int(at)].label,)))
        return answers

    async def _form(
        self, message: str, properties: Mapping[str, Any]
    ) -> dict[str, Json] | None:
        """Return what a person filled in; None where they would not."""
        answer = await self._connection.request(
            "elicitation/create",
            dumped(
                s.CreateFormSessionElicitationRequest(
                    session_id=self._shown_in,
                    message=message,
                    mode="form",
                    requested_schema=s.ElicitationSchema(
                        type="object", properties=dict(properties)
                    ),
                )
            ),
        )
        if not isinstance(answer, dict) or answer.get("action") != "accept":
            return None
        content = answer.get("content")
        return content if isinstance(content, dict) else {}


def dumped(model: Any) -> dict[str, Json]:
    """Return a value of the protocol as it is sent."""
    told: dict[str, Json] = model.model_dump(
        mode="json", by_alias=True, exclude_none=True
    )
    return told


def _choices(request: PermissionRequest, *, forms: bool) -> list[_Choice]:
    option = partial(s.PermissionOption)
    choices = [
        _Choice(
            option(option_id="once", name="Allow once", kind="allow_once"),
            "once",
        )
    ]
    if request.save:
        where = "" if request.folder in (None, ".") else f" in {request.folder}"
        what = ", ".join(request.save)
        name = f"Always allow here: {request.action} {what}{where}"
        choices.append(
            _Choice(
                option(
                    option_id="always",
                    name=visible(name, MAX_NAME),
                    kind="allow_always",
                ),
                "always",
            )
        )
    choices.append(
        _Choice(
            option(option_id="reject", name="Reject, and go on", kind="reject_once"),
            "reject",
            REJECTED,
        )
    )
    if forms:
        choices.append(
            _Choice(
                option(
                    option_id="advise",
                    name="Reject, and say what to do instead",
                    kind="reject_once",
                ),
                "reject",
                advise=True,
            )
        )
    choices.append(
        _Choice(
            option(option_id="stop", name="Reject, and stop", kind="reject_once"),
            "reject",
        )
    )
    return choices


def _chosen(answer: Json) -> str | None:
    """Return the option that a client chose; None where it chose none."""
    outcome = answer.get("outcome") if isinstance(answer, dict) else None
    if not isinstance(outcome, dict) or outcome.get("outcome") != "selected":
        return None
    chosen = outcome.get("optionId")
    return chosen if isinstance(chosen, str) else None


def _spoken(question: Question) -> str:
    lines = [question.text]
    for one in question.options:
        told = f": {one.description}" if one.description else ""
        lines.append(f"- {one.label}{told}")
    return "\n".join(lines)


def _fields(name: str, question: Question) -> dict[str, Any]:
    title = question.header or None
    options = [
        s.EnumOption(
            const=one.label,
            title=one.label,
            field_meta={"description": one.description} if one.description else None,
        )
        for one in question.options
    ]
    fields: dict[str, Any] = {}
    if options and question.multiple:
        fields[name] = s.ElicitationMultiSelectPropertySchema(
            type="array",
            title=title,
            description=_spoken(question),
            items=s.TitledMultiSelectItems(any_of=options),
        )
    elif options:
        fields[name] = s.ElicitationStringPropertySchema(
            type="string",
            title=title,
            description=_spoken(question),
            one_of=options,
        )
    if question.free:
        fields[f"{name}_words"] = s.ElicitationStringPropertySchema(
            type="string",
            title="In your own words" if options else title,
            description=None if options else question.text,
        )
    return fields


def _answer(name: str, question: Question, said: Mapping[str, Json]) -> QuestionAnswer:
    given = said.get(name)
    labels = {one.label for one in question.options}
    chosen = given if isinstance(given, list) else [given]
    kept = tuple(one for one in chosen if isinstance(one, str) and one in labels)
    words = said.get(f"{name}_words")
    text = words if isinstance(words, str) and words.strip() else None
    if text is not None and question.free:
        # Words of one's own take the place of a choice where one answer is asked for.
        return QuestionAnswer(kept if question.multiple else (), text)
    return QuestionAnswer(kept if question.multiple else kept[:1])
