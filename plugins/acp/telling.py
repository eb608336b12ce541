"""Telling: what happens in a session, as updates of the protocol.

Owns the streams of one session: how far each part of an answer was told, so that each
character is told once, deltas or not. Sends nothing itself.
"""

import base64
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from acp import schema as s
from anyio import to_thread
from attrs import define
from dovetail.kernel import (
    AgentSwitched,
    AssistantMessage,
    DovetailError,
    Event,
    FileMade,
    LiveDelta,
    LiveEvent,
    ModelSwitched,
    Prompt,
    PromptAdmitted,
    PromptFile,
    PromptPromoted,
    ReasoningEnded,
    Session,
    SessionTitled,
    StepEnded,
    StepStarted,
    TextContent,
    TextEnded,
    Todo,
    TodosReplaced,
    ToolCalled,
    ToolFailed,
    ToolPart,
    ToolSpawned,
    ToolStarted,
    ToolSucceeded,
    UserMessage,
    clean_text,
    sanitised,
)

from .calls import Call, ToolContent, bounded, result_content, text_content
from .screens import Screens

Send = Callable[[Any], Awaitable[None]]
"""Sends one update of the session."""

MAX_TAIL = 16 * 1024
"""Characters of what a running command printed last that are shown while it runs."""
_KINDS: Mapping[str, Any] = {
    "text": s.AgentMessageChunk,
    "reasoning": s.AgentThoughtChunk,
}
_NAMES = {"text": "agent_message_chunk", "reasoning": "agent_thought_chunk"}


@define
class _Stream:
    """A part of an answer while it is written."""

    what: str
    part: str
    told: str = ""


@define
class _Running:
    """A call that has no result yet."""

    call: Call
    printed: str = ""
    dirty: bool = False
    terminal: s.TerminalToolCallContent | None = None


class Teller:
    """One session, told to one client."""

    def __init__(
        self,
        session: Session,
        directory: str,
        send: Send,
        *,
        settings: Callable[[], Awaitable[None]],
        context: Callable[[str], Awaitable[int | None]],
        ready: Callable[[], bool],
        screens: Screens,
    ) -> None:
        """``settings`` tells what the session is set to, ``context`` how many tokens a
        model takes, and ``ready`` whether more is to be told at once; ``screens`` show
        what commands print."""
        self._session = session
        self._directory = directory
        self._send = send
        self._settings = settings
        self._context = context
        self._ready = ready
        self._screens = screens
        self._message: str | None = None
        self._model: str | None = None
        self._streams: list[_Stream] = []
        self._running: dict[tuple[str, str], _Running] = {}
        self._admitted: dict[str, Prompt | None] = {}
        self.past = False
        """Whether what is told happened long ago."""
        self.own: set[str] = set()
        """What this client said itself: it shows that already."""

    async def replay(self, events: AsyncIterator[Event]) -> int:
        """Tell of what happened before; return the number of the last event, or -1.

        What only says how things stood then is left out: the end of it is what counts.
        """
        last = -1
        ended: StepEnded | None = None
        self.past = True
        async for event in events:
            last = event.seq
            match event:
                case StepEnded():
                    ended = event
                case ToolStarted() | ToolSpawned() | TodosReplaced() | SessionTitled():
                    pass
                case AgentSwitched() | ModelSwitched():
                    pass
                case _:
                    await self.take(event)
        self.past = False
        if ended is not None:
            await self._usage(ended)
        return last

    async def take(self, event: LiveEvent) -> None:
        """Tell of an event what there is to be told."""
        match event:
            case LiveDelta(what="text" | "reasoning"):
                await self._delta(event)
            case LiveDelta(what="progress"):
                await self._printed(event)
            case StepStarted():
                self._begin(event.message_id)
                self._model = event.model
            case TextEnded():
                await self._part_ended("text", event.message_id, event.text)
            case ReasoningEnded():
                await self._part_ended("reasoning", event.message_id, event.text)
            case FileMade():
                await self._file(event)
            case ToolCalled():
                await self._called(event)
            case ToolStarted():
                await self._started(event)
            case ToolSpawned():
                await self._spawned(event)
            case ToolSucceeded() | ToolFailed():
                await self._settled(event)
            case TodosReplaced():
                await self._send(plan_of(event.todos))
            case StepEnded():
                await self._usage(event)
            case PromptAdmitted():
                said = None if event.job_id is not None else event.prompt
                self._admitted[event.input_id] = said
            case PromptPromoted():
                await self._promoted(event)
            case SessionTitled(title=title):
                await self._send(
                    s.SessionInfoUpdate(
                        session_update="session_info_update",
                        title=title,
                        updated_at=time_text(event.created),
                    )
                )
            case AgentSwitched() | ModelSwitched():
                await self._settings()
            case _:
                pass

    # --- answers ------------------------------------------------------------------

    def _begin(self, message_id: str) -> None:
        if self._message != message_id:
            self._message = message_id
            self._streams = []

    async def _delta(self, event: LiveDelta) -> None:
        self._begin(event.message_id)
        stream = next(
            (
                one
                for one in self._streams
                if (one.what, one.part) == (event.what, event.part)
            ),
            None,
        )
        if stream is None:
            stream = _Stream(event.what, event.part)
            self._streams.append(stream)
        stream.told += event.text
        await self._chunk(event.what, event.message_id, event.text)

    async def _part_ended(self, what: str, message_id: str, text: str) -> None:
        """Tell what of a part was not told yet; its deltas may have been lost."""
        self._begin(message_id)
        told = 0
        for stream in self._streams:
            if stream.what == what and text.startswith(clean_text(stream.told)):
                told = len(clean_text(stream.told))
                self._streams.remove(stream)
                break
        await self._chunk(what, message_id, text[told:])

    async def _chunk(self, what: str, message_id: str, text: str) -> None:
        if not text:
            return
        made = _KINDS[what](
            session_update=_NAMES[what],
            message_id=message_id,
            content=s.TextContentBlock(type="text", text=clean_text(text)),
        )
        await self._send(made)

    async def _file(self, event: FileMade) -> None:
        if event.managed is None or not event.mime.startswith("image/"):
            return
        try:
            data = await self._session.file(event.managed)
        except DovetailError:
            # Cleaned up since; the transcript says so too.
            return
        await self._send(
            s.AgentMessageChunk(
                session_update="agent_message_chunk",
                message_id=event.message_id,
                content=s.ImageContentBlock(
                    type="image",
                    data=base64.b64encode(data).decode(),
                    mime_type=event.mime,
                ),
            )
        )

    async def _usage(self, event: StepEnded) -> None:
        used = (event.usage.input or 0) + (event.usage.output or 0)
        size = None if self._model is None else await self._context(self._model)
        if not used or size is None:
            return
        info = await self._session.info()
        cost, meta = None, None
        if info.unpriced:
            # The protocol has no word for a part of a sum, and a client would show it
            # as all of it.
            known = {} if info.cost is None else {"at_least": info.cost}
            meta = {"dovetail/cost": known | {"unpriced": info.unpriced}}
        elif info.cost is not None:
            cost = s.Cost(amount=info.cost, currency="USD")
        await self._send(
            s.UsageUpdate(
                session_update="usage_update",
                used=used,
                size=size,
                cost=cost,
                field_meta=meta,
            )
        )

    # --- calls --------------------------------------------------------------------

    async def _called(self, event: ToolCalled) -> None:
        call = Call.of(
            event.message_id,
            event.call_id,
            event.tool,
            event.arguments,
            self._directory,
        )
        self._running[event.message_id, event.call_id] = _Running(call)
        terminal = None if self.past else self._screens.announced(call)
        await self._send(
            s.ToolCallStart(
                session_update="tool_call",
                tool_call_id=call.id,
                title=call.title,
                kind=call.kind,
                status="pending",
                locations=call.locations or None,
                content=await self._diffs(call, done=self.past) or None,
                raw_input=_raw(call),
                field_meta=terminal,
            )
        )

    async def _started(self, event: ToolStarted) -> None:
        running = await self._find(event.message_id, event.call_id)
        if running is not None:
            await self._progress(running, "in_progress")

    async def _spawned(self, event: ToolSpawned) -> None:
        """Show the terminal of a command that was allowed and begins."""
        running = await self._find(event.message_id, event.call_id)
        if running is None or running.terminal is not None:
            return
        running.terminal = await self._screens.begin(running.call)
        if running.terminal is not None:
            await self._progress(running, "in_progress", [running.terminal])

    async def _printed(self, event: LiveDelta) -> None:
        running = self._running.get((event.message_id, event.part))
        if running is None or self._screens.showing((event.message_id, event.part)):
            return
        line = event.text if event.text.endswith("\n") else f"{event.text}\n"
        running.printed = (running.printed + line)[-MAX_TAIL:]
        running.dirty = True
        # What is printed faster than it can be shown is shown together.
        if not self._ready():
            for one in self._running.values():
                if one.dirty:
                    one.dirty = False
                    await self._progress(one, "in_progress", [_printed(one)])

    async def _settled(self, event: ToolSucceeded | ToolFailed) -> None:
        running = await self._find(event.message_id, event.call_id)
        if running is None:
            return
        key = event.message_id, event.call_id
        self._running.pop(key, None)
        whole = await self._screens.end(key, _code_of(event))
        terminal = running.terminal
        if isinstance(event, ToolFailed):
            content: list[ToolContent] = [text_content(event.failure.message)]
            if terminal is not None:
                content.insert(0, terminal)
            await self._progress(
                running, "failed", content, raw={"code": event.failure.code}
            )
            return
        if running.call.tool == "write":
            # What it was written over is gone: what was shown before stays.
            await self._progress(running, "completed", raw=event.data)
            return
        shown = await self._diffs(running.call, done=True)
        # The model is told the same change once more, in words.
        told = shown or result_content(event.content)
        if terminal is not None:
            told = [terminal, *(_ending(event) if whole else told)]
        await self._progress(running, "completed", told, raw=event.data)

    async def _diffs(self, call: Call, *, done: bool) -> list[ToolContent]:
        if call.kind != "edit":
            return []
        return await to_thread.run_sync(partial(call.diffs, done=done))

    async def _progress(
        self,
        running: _Running,
        status: Any,
        content: list[ToolContent] | None = None,
        raw: Any = None,
    ) -> None:
        await self._send(
            s.ToolCallProgress(
                session_update="tool_call_update",
                tool_call_id=running.call.id,
                status=status,
                content=content,
                raw_output=raw,
            )
        )

    async def _find(self, message_id: str, call_id: str) -> _Running | None:
        """Return a call; where the client was not told of it, it is told now."""
        found = self._running.get((message_id, call_id))
        if found is not None:
            return found
        call = await call_of(self._session, message_id, call_id, self._directory)
        if call is None:
            return None
        made = self._running[message_id, call_id] = _Running(call)
        await self._send(
            s.ToolCallStart(
                session_update="tool_call",
                tool_call_id=call.id,
                title=call.title,
                kind=call.kind,
                locations=call.locations or None,
                raw_input=_raw(call),
            )
        )
        return made

    # --- what was said ------------------------------------------------------------

    async def _promoted(self, event: PromptPromoted) -> None:
        if event.input_id in self.own:
            self.own.discard(event.input_id)
            self._admitted.pop(event.input_id, None)
            return
        if event.input_id in self._admitted:
            said = self._admitted.pop(event.input_id)
        else:
            try:
                message = await self._session.message(event.input_id)
            except DovetailError:
                # Pruned since, say: there is nothing left of it to tell.
                return
            known = isinstance(message, UserMessage) and message.job_id is None
            said = Prompt(message.text, message.files) if known else None  # type: ignore[union-attr]
        if said is not None:
            await self.user(event.input_id, said)

    async def user(self, message_id: str, said: Prompt) -> None:
        """Tell what a person said."""
        blocks: deque[Any] = deque()
        if said.text:
            blocks.append(s.TextContentBlock(type="text", text=clean_text(said.text)))
        blocks += map(_file_block, said.files)
        for block in blocks:
            await self._send(
                s.UserMessageChunk(
                    session_update="user_message_chunk",
                    message_id=message_id,
                    content=block,
                )
            )

    async def message(self, message: Any) -> None:
        """Tell a whole message, of a past that is shared with another session."""
        if isinstance(message, UserMessage):
            if message.job_id is None:
                await self.user(message.id, Prompt(message.text, message.files))
            return
        if not isinstance(message, AssistantMessage):
            return
        for part in message.parts:
            if isinstance(part, ToolPart):
                await self._past_call(message.id, part)
            elif part.type in _KINDS:
                await self._chunk(part.type, message.id, part.text)

    async def _past_call(self, message_id: str, part: ToolPart) -> None:
        call = Call.of(
            message_id, part.call_id, part.tool, part.arguments, self._directory
        )
        failed = part.failure is not None
        content: list[ToolContent] = (
            [text_content(part.text)] if failed else result_content(part.content)
        )
        await self._send(
            s.ToolCallStart(
                session_update="tool_call",
                tool_call_id=call.id,
                title=call.title,
                kind=call.kind,
                status="failed" if failed else "completed",
                locations=call.locations or None,
                content=content or None,
                raw_input=_raw(call),
            )
        )


async def call_of(
    session: Session, message_id: str, call_id: str, directory: str
) -> Call | None:
    """Return a call of a session, if it can be found."""
    try:
        message = await session.message(message_id)
    except DovetailError:
        return None
    parts = message.calls if isinstance(message, AssistantMessage) else ()
    for part in parts:
        if part.call_id == call_id:
            return Call.of(message_id, call_id, part.tool, part.arguments, directory)
    return None


def plan_of(todos: tuple[Todo, ...]) -> s.AgentPlanUpdate:
    """Return a to-do list as a plan. What is not to be done any more is not in it."""
    return s.AgentPlanUpdate(
        session_update="plan",
        entries=[
            s.PlanEntry(content=one.content, priority=one.priority, status=one.status)
            for one in todos
            if one.status != "cancelled"
        ],
    )


def time_text(milliseconds: int) -> str:
    """Return a time as ISO 8601 has it."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat()


def _ending(event: ToolSucceeded) -> list[ToolContent]:
    """Return what the model is told beside what a command printed, where that is more
    than that it went well."""
    if _code_of(event) == 0:
        return []
    texts = [one.text for one in event.content if isinstance(one, TextContent)]
    return [text_content("".join(texts).rpartition("\n\n")[2])]


def _code_of(event: ToolSucceeded | ToolFailed) -> int | None:
    """Return how a command ended."""
    data = event.data if isinstance(event, ToolSucceeded) else None
    code = data.get("exit_code") if isinstance(data, Mapping) else None
    return code if isinstance(code, int) else None


def _printed(running: _Running) -> ToolContent:
    return text_content(running.printed)


def _raw(call: Call) -> Any:
    if len(call.written) > 64 * 1024:
        # What it writes is shown as a change already.
        return None
    if call.arguments:
        return sanitised(dict(call.arguments))
    return {"text": bounded(call.written)} if call.written else None


def _file_block(file: PromptFile) -> Any:
    if file.mime.startswith("image/"):
        return s.ImageContentBlock(type="image", data=file.data, mime_type=file.mime)
    if file.mime.startswith("audio/"):
        return s.AudioContentBlock(type="audio", data=file.data, mime_type=file.mime)
    uri = clean_text(file.name)
    uri = f"file://{uri}" if uri.startswith("/") else uri
    resource: s.BlobResourceContents | s.TextResourceContents
    resource = s.BlobResourceContents(uri=uri, mime_type=file.mime, blob=file.data)
    if file.mime.startswith("text/"):
        text = base64.b64decode(file.data).decode(errors="replace")
        resource = s.TextResourceContents(uri=uri, mime_type=file.mime, text=text)
    return s.EmbeddedResourceContentBlock(type="resource", resource=resource)
