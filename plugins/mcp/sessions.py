"""Sessions: what dovetail offers as a server of the protocol.

Owns the tools and resources by which another program has work done in a session, and
that each of them may be repeated: the name of a session and the key of a prompt say
that it is the same. What waits for a person is asked of the person of the caller, where
that program can do so, and may be answered by a tool otherwise. Knows no transport.
"""

import inspect
import json
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal

import anyio
from attrs import frozen
from dovetail.kernel import (
    AssistantMessage,
    DovetailError,
    Message,
    NotFoundError,
    Outcome,
    PendingRequest,
    RequestEndedError,
    Runtime,
    Session,
    StepStarted,
    TextContent,
    ToolCalled,
    ToolPart,
    event_to_json,
    to_json,
)
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.shared.exceptions import MCPError
from mcp_types import ToolAnnotations
from pydantic import BaseModel

INSTRUCTIONS = """\
Sessions of dovetail: each is a durable conversation with an agent that works in a \
directory. Create one under a name of your own, prompt it with a key of your own, and \
wait for it. All of it may be repeated: the same name is the same session, the same \
key the same prompt. What it asks a person is told by session_wait and answered with \
session_answer."""
WAIT_SECONDS = 600.0
MAX_WAIT = 3_600.0
MAX_SHOWN = 200
"""Messages or events at once."""
MAX_TEXT = 20_000
"""Characters of one text that is read."""

READ = ToolAnnotations(read_only_hint=True)
AGAIN = ToolAnnotations(
    read_only_hint=False, idempotent_hint=True, destructive_hint=False
)


class SessionsServer:
    """Offers the sessions of a runtime."""

    def __init__(self, runtime: Runtime, directory: str, model: str | None) -> None:
        self._runtime = runtime
        self._directory = directory
        self._model = model

    def server(self, version: str) -> MCPServer[Any]:
        """Return the server, with everything that it offers."""
        made: MCPServer[Any] = MCPServer(
            "dovetail", version=version, instructions=INSTRUCTIONS, log_level="WARNING"
        )
        for function, about in (
            (self.session_create, AGAIN),
            (self.session_prompt, AGAIN),
            (self.session_wait, READ),
            (self.session_read, READ),
            (self.session_list, READ),
            (self.session_interrupt, AGAIN),
            (self.session_answer, None),
        ):
            # As it is read and not as it is indented.
            said = inspect.getdoc(function)
            made.add_tool(
                function, description=said, annotations=about, structured_output=False
            )
        made.resource(
            "session://{session_id}/transcript",
            name="transcript",
            description="The messages of a session",
            mime_type="application/json",
        )(self.transcript)
        made.resource(
            "session://{session_id}/log",
            name="log",
            description="The latest events of a session",
            mime_type="application/json",
        )(self.log)
        return made

    # --- tools ---------------------------------------------------------------------

    async def session_create(
        self, name: str, agent: str | None = None, model: str | None = None
    ) -> str:
        """Create a session, or find the one of this name. Returns its id.

        The name is your own, such as "issue-42": whoever says it again has the same
        session.
        """
        with _for_model():
            made = await self._runtime.sessions.create(
                name,
                location=self._directory,
                agent=agent,
                model=model or self._model,
            )
        return json.dumps({"session_id": made.id})

    async def session_prompt(self, session_id: str, text: str, key: str) -> str:
        """Say something to a session, which begins to work. Does not wait for it.

        The key is your own: a prompt that is sent again with the same key is the same
        prompt, and nothing is asked twice.
        """
        session = await self._session(session_id)
        with _for_model():
            receipt = await session.prompt(text, key=key)
        return json.dumps({"session_id": session.id, "input_id": receipt.id})

    async def session_wait(
        self, session_id: str, ctx: Context[Any, Any], seconds: float = WAIT_SECONDS
    ) -> str:
        """Wait until a session has done what it was told, and return how it ended and
        what it said last; or that it still works, or what it waits for. Waiting again
        is harmless."""
        if math.isnan(seconds):
            raise ToolError("seconds must be a number [value.invalid]")
        session = await self._session(session_id)
        seconds = min(max(seconds, 0.0), MAX_WAIT)
        outcome: Any = None
        with _for_model():
            with anyio.move_on_after(seconds):
                async with self._helped(session, ctx):
                    outcome = await session.wait()
            if outcome is None:
                # Whoever waits for no time asks how it is.
                outcome = await _ended(session)
        asked = await self._runtime.requests.pending(session_id=session.id)
        answer: dict[str, Any] = {
            "session_id": session.id,
            "status": "working" if outcome is None else outcome.status,
        }
        if outcome is not None:
            answer["said"] = _cut(await _last_words(session))
            if outcome.reason is not None:
                answer["reason"] = to_json(outcome.reason)
        if asked:
            answer["waits_for"] = [_shown(one) for one in asked]
        return json.dumps(answer)

    async def session_read(self, session_id: str, after: int = -1) -> str:
        """Return messages of a session in order, those after a position: each has its
        own in ``seq``."""
        session = await self._session(session_id)
        with _for_model():
            found: list[Message] = []
            cursor: str | None = None
            while len(found) <= MAX_SHOWN:
                page = await session.messages(MAX_SHOWN, cursor, "asc")
                found += [one for one in page.items if one.seq > after]
                cursor = page.cursor
                if cursor is None:
                    break
        shown = [_message(one) for one in found[:MAX_SHOWN]]
        return json.dumps({"messages": shown, "more": len(found) > MAX_SHOWN})

    async def session_list(self) -> str:
        """List the latest sessions of this directory."""
        with _for_model():
            page = await self._runtime.sessions.list(location=self._directory, limit=50)
        listed = [
            {"session_id": one.id, "title": one.title, "status": one.status}
            for one in page.items
        ]
        return json.dumps({"sessions": listed})

    async def session_interrupt(self, session_id: str) -> str:
        """Stop what a session does. It goes on with the next prompt."""
        session = await self._session(session_id)
        with _for_model():
            stopped = await session.interrupt("by the caller over MCP")
        return json.dumps({"interrupted": stopped})

    async def session_answer(
        self,
        request_id: str,
        answer: Literal["once", "always", "reject"] | None = None,
        answers: list[str] | None = None,
        message: str | None = None,
    ) -> str:
        """Answer what a session waits for, as session_wait tells it: a permission with
        ``answer``, and questions with ``answers``, one text or option each. Only with
        what a person said."""
        with _for_model():
            if answer is not None:
                await self._runtime.requests.reply(request_id, answer, message)
            else:
                said = [{"text": one} for one in answers or ()]
                body: dict[str, Any] = {"answers": said or None}
                if not said:
                    body["message"] = message
                else:
                    body = await self._chosen(request_id, answers or [])
                await self._runtime.requests.reply(request_id, body)
        return json.dumps({"answered": request_id})

    async def _chosen(self, request_id: str, said: list[str]) -> dict[str, Any]:
        """Return answers in which what is called like an option is that option."""
        questions: list[Any] = []
        for one in await self._runtime.requests.pending():
            if one.id == request_id:
                questions = list(one.body.get("questions", ()))
        found = []
        for at, text in enumerate(said):
            options = questions[at].get("options", ()) if at < len(questions) else ()
            labels = [option.get("label") for option in options]
            found.append({"chosen": [text]} if text in labels else {"text": text})
        return {"answers": found}

    # --- resources -----------------------------------------------------------------

    async def transcript(self, session_id: str) -> str:
        """Return the latest messages of a session, in order."""
        session = await self._session(session_id)
        page = await session.messages(limit=MAX_SHOWN)
        return json.dumps([_message(one) for one in reversed(page.items)])

    async def log(self, session_id: str) -> str:
        """Return the latest events of a session, in order."""
        session = await self._session(session_id)
        found: list[Any] = []
        async for event in session.events():
            found.append(event_to_json(event))
            del found[:-MAX_SHOWN]
        return json.dumps(found)

    # --- while a session works -----------------------------------------------------

    async def _session(self, session_id: str) -> Session:
        with _for_model():
            return await self._runtime.sessions.get(session_id)

    @asynccontextmanager
    async def _helped(
        self, session: Session, ctx: Context[Any, Any]
    ) -> AsyncIterator[None]:
        """Tell the caller what a session does, and ask the caller's person what it
        asks, for as long as this is entered."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._tell, session, ctx, await _newest(session))
            able = ctx.client_capabilities
            if able is not None and able.elicitation is not None:
                tasks.start_soon(self._ask, session, ctx)
            yield
            tasks.cancel_scope.cancel()

    async def _tell(
        self, session: Session, ctx: Context[Any, Any], after: int | None
    ) -> None:
        """Tell what is done from the last message on. The number grows with each, as
        the protocol wants it."""
        told = steps = 0
        async with session.events(after, follow=True) as events:
            async for event in events:
                if isinstance(event, StepStarted):
                    steps += 1
                    said = f"Step {steps}"
                elif isinstance(event, ToolCalled):
                    said = f"calls {event.tool}"
                else:
                    continue
                told += 1
                await ctx.report_progress(told, message=said)

    async def _ask(self, session: Session, ctx: Context[Any, Any]) -> None:
        """Ask the person of the caller each thing once; whoever declines leaves it to
        be answered otherwise."""
        asked: set[str] = set()
        async with session.events(follow=True) as events:
            async for event in events:
                if event.kind != "request.asked":
                    continue
                for one in await self._runtime.requests.pending(session_id=session.id):
                    if one.id not in asked:
                        asked.add(one.id)
                        # It was answered elsewhere meanwhile, or the caller's program
                        # answers with what is no answer: it waits for another one.
                        with suppress(RequestEndedError, MCPError, ValueError):
                            await self._ask_one(one, ctx)

    async def _ask_one(self, one: PendingRequest, ctx: Context[Any, Any]) -> None:
        if one.what != "permission":
            return
        resources = "\n".join(map(str, one.body.get("resources", ())))
        text = f"May the agent {one.agent!r} do this: {one.body.get('action')}\n"
        found = await ctx.elicit(f"{text}{resources}"[:MAX_TEXT], _Permission)
        if found.action == "accept":
            said = found.data.answer
            await self._runtime.requests.reply(one.id, said, shown=one.shown)


class _Permission(BaseModel):
    answer: Literal["once", "always", "reject"]


@frozen
class _ForModel:
    """Makes what went wrong an answer that the caller's model reads."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, NotFoundError | DovetailError):
            raise ToolError(f"{error} [{error.code}]") from error


def _for_model() -> _ForModel:
    return _ForModel()


def _shown(one: PendingRequest) -> dict[str, Any]:
    return {
        "request_id": one.id,
        "session_id": one.session_id,
        "what": one.what,
        "agent": one.agent,
        "asked": to_json(dict(one.body)),
    }


def _message(one: Message) -> dict[str, Any]:
    shown: dict[str, Any] = {"seq": one.seq, "type": one.type, "text": _cut(one.text)}
    if isinstance(one, AssistantMessage):
        calls = [_call(part) for part in one.calls]
        if calls:
            shown["calls"] = calls
    return shown


def _call(part: ToolPart) -> Mapping[str, Any]:
    told = (
        part.failure.message
        if part.failure is not None
        else "".join(
            each.text for each in part.content or () if isinstance(each, TextContent)
        )
    )
    return {"tool": part.tool, "state": part.state, "result": _cut(told)}


def _cut(text: str) -> str:
    if len(text) <= MAX_TEXT:
        return text
    return f"{text[:MAX_TEXT]} [... {len(text) - MAX_TEXT} characters left out]"


async def _ended(session: Session) -> Outcome | None:
    """Return how its work ended; None where it goes on, or is about to begin."""
    info = await session.info()
    if info.status != "idle" or await session.pending():
        return None
    return info.outcome


async def _newest(session: Session) -> int | None:
    """Return the position of the last thing that a person said."""
    for message in (await session.messages(limit=20)).items:
        if message.type == "user":
            return message.seq
    return None


async def _last_words(session: Session) -> str:
    for message in (await session.messages(limit=20)).items:
        if isinstance(message, AssistantMessage) and message.text:
            return message.text
    return ""
