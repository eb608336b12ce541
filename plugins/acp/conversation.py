"""Conversations: sessions that one client has open.

Owns who follows a session for the client, which prompts of the client run, and what the
session is set to as the protocol shows it. Everything durable is the session's: a
conversation that goes away leaves nothing undone.
"""

import logging
import uuid
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

import anyio
from acp import schema as s
from anyio.abc import TaskGroup
from attrs import define
from dovetail.kernel import (
    AdmittedPrompt,
    ChildAsked,
    CompactionFailed,
    DovetailError,
    InputNotPendingError,
    InvalidValueError,
    LiveEvent,
    Location,
    ModelError,
    ModelInfo,
    ModelNotSelectedError,
    Outcome,
    PendingRequest,
    Prompt,
    PromptCommand,
    ProviderError,
    RequestAsked,
    Runtime,
    Session,
    first_of,
)

from .asking import Asking, dumped
from .calls import visible
from .files import Abilities, ClientEditor
from .saying import prompt_of
from .screens import Screens
from .telling import Teller, plan_of
from .watch import Watch
from .wire import AUTH_REQUIRED, INTERNAL_ERROR, Connection, Fault, Gone

logger = logging.getLogger(__name__)

MODE, MODEL = "mode", "model"
NO_MODEL = ""
"""What stands for no model where none is chosen yet."""
MAX_DESCRIPTION = 500
COMPACT = "compact"
PAGE = 200
KEYS_MISSING = ("provider.key_missing", "provider.authentication")


@define(eq=False)
class _Turn:
    """A prompt of the client that is not answered yet."""

    cancelled: bool = False
    receipt: AdmittedPrompt | None = None


class Conversation:
    """One session, for one client."""

    def __init__(
        self,
        runtime: Runtime,
        connection: Connection,
        session: Session,
        location: Location,
        *,
        abilities: Abilities,
    ) -> None:
        self.session = session
        self.location = location
        self._runtime = runtime
        self._connection = connection
        self._here = runtime.location(location)
        self._abilities = abilities
        self._turns: list[_Turn] = []
        self._asked: set[tuple[str, str]] = set()
        self._watch: Watch | None = None
        self._following: anyio.CancelScope | None = None
        self._models: dict[str, ModelInfo] = {}
        self._asking = Asking(
            runtime,
            connection,
            session.id,
            location.directory,
            forms=abilities.forms,
        )
        self._screens = Screens(
            connection, session.id, self._send, way=abilities.screens
        )
        self._teller = Teller(
            session,
            location.directory,
            self._send,
            settings=self._tell_settings,
            context=self._context,
            ready=lambda: self._watch is not None and self._watch.ready,
            screens=self._screens,
        )

    # --- opening and closing ------------------------------------------------------

    async def replay(self) -> None:
        """Tell all of the past, in order, each thing once; what comes is told after
        ``follow``."""
        for message in await self._past():
            await self._teller.message(message)
        async with self.session.events() as tail:
            last = await self._teller.replay(tail)
        self._watch = Watch(self._runtime, self.session, last)

    async def _past(self) -> list[Any]:
        """Return the messages that a fork shares with where it comes from."""
        info = await self.session.info()
        if info.forked_from is None:
            return []
        shared = []
        cursor: str | None = None
        while True:
            page = await self.session.messages(PAGE, cursor, "asc")
            shared += [one for one in page.items if one.seq < 0]
            cursor = page.cursor
            if cursor is None or any(one.seq >= 0 for one in page.items):
                return shared

    async def skip(self) -> None:
        """Tell nothing of the past."""
        last = -1
        newest = (await self.session.messages(limit=1)).items
        after = newest[0].seq if newest and newest[0].seq >= 0 else None
        async with self.session.events(after) as tail:
            async for event in tail:
                last = event.seq
        self._watch = Watch(self._runtime, self.session, max(last, after or -1))

    def follow(self, tasks: TaskGroup) -> None:
        """Tell what happens from now on, until ``leave``."""
        self._following = anyio.CancelScope()
        tasks.start_soon(self._follow, self._following)

    def leave(self) -> None:
        """Tell nothing more."""
        if self._following is not None:
            self._following.cancel()

    async def _follow(self, scope: anyio.CancelScope) -> None:
        assert self._watch is not None
        with scope:
            try:
                async with (
                    self._here,
                    self._editor(),
                    anyio.create_task_group() as tasks,
                ):
                    self._tasks = self._screens.tasks = tasks
                    await self._tell_begin()
                    await self._watch.run(self._take)
                    tasks.cancel_scope.cancel()
            except* Gone:
                pass
            except* DovetailError as group:
                logger.error("session %s: %s", self.session.id, first_of(group))
            except* Exception as group:
                # Boundary: what one session cannot be told of ends no other one.
                logger.error("session %s", self.session.id, exc_info=group)

    def _editor(self) -> AbstractAsyncContextManager[None]:
        if not self._abilities.edits:
            return nullcontext()
        editor = ClientEditor(
            self._connection, self.session.id, self._screens, self._abilities
        )
        return self._here.editor(self.session.id, editor)

    async def _tell_begin(self) -> None:
        commands = [
            s.AvailableCommand(
                name=COMPACT, description="Replace older history by a summary"
            )
        ]
        for skill in await self._here.skills():
            commands.append(
                s.AvailableCommand(
                    name=skill.name,
                    description=visible(skill.description, MAX_DESCRIPTION),
                    input=s.AvailableCommandInput(
                        root=s.UnstructuredCommandInput(hint="what to do")
                    ),
                )
            )
        await self._tell_commands(commands)
        # Beside all else: those who offer them may have to be begun first.
        self._tasks.start_soon(self._tell_more_commands, commands)
        todos = await self.session.todos()
        if todos:
            await self._send(plan_of(tuple(todos)))
        # What another process waits for can be answered here, too.
        if (await self.session.info()).status == "running":
            await self._ask_pending()

    async def _tell_commands(self, commands: list[s.AvailableCommand]) -> None:
        await self._send(
            s.AvailableCommandsUpdate(
                session_update="available_commands_update", available_commands=commands
            )
        )

    async def _tell_more_commands(self, before: list[s.AvailableCommand]) -> None:
        more = [
            s.AvailableCommand(
                name=one.name,
                description=visible(one.description, MAX_DESCRIPTION),
                input=_takes(one),
            )
            for one in await self._here.commands()
        ]
        if more:
            await self._tell_commands([*before, *more])

    async def _take(self, event: LiveEvent) -> None:
        await self._teller.take(event)
        if isinstance(event, RequestAsked | ChildAsked):
            await self._ask_pending()

    async def _ask_pending(self) -> None:
        for one in await self._runtime.requests.pending(session_id=self.session.id):
            if (one.session_id, one.id) not in self._asked:
                self._asked.add((one.session_id, one.id))
                self._tasks.start_soon(self._ask, one)

    async def _ask(self, pending: PendingRequest) -> None:
        try:
            await self._asking.ask(pending)
        except DovetailError as error:
            logger.warning("a request was not answered: %s", error)
        finally:
            # The same may be asked again, when another worker goes on with the call.
            self._asked.discard((pending.session_id, pending.id))

    async def _send(self, update: Any) -> None:
        await self._connection.notify(
            "session/update",
            {"sessionId": self.session.id, "update": dumped(update)},
        )

    # --- prompts ------------------------------------------------------------------

    async def prompt(self, blocks: Sequence[Any]) -> s.PromptResponse:
        """Return how the work ended, when all of it is durable and told.

        While it runs, another prompt steers it; both end with it.

        Raises:
            Fault: it failed, or cannot begin.
        """
        turn = _Turn()
        self._turns.append(turn)
        try:
            return await self._run(turn, blocks)
        except anyio.get_cancelled_exc_class():
            turn.cancelled = True
            with anyio.CancelScope(shield=True):
                await self._stop(turn)
            raise
        finally:
            self._turns.remove(turn)

    async def _run(self, turn: _Turn, blocks: Sequence[Any]) -> s.PromptResponse:
        assert self._watch is not None
        said = prompt_of(blocks, self.location.directory)
        name, _, rest = said.text.strip().partition(" ")
        if name == f"/{COMPACT}" and not said.files:
            return await self._compact(turn)
        if name.startswith("/"):
            said = await self._as_skill(said, name[1:], rest.strip())
        said = await self._here.prompt(said)
        # Known before it can be promoted: the client shows its own words already.
        name = f"msg_{uuid.uuid4().hex}"
        self._teller.own.add(name)
        turn.receipt = await self.session.prompt(said, id=name)
        if turn.cancelled:
            # While it was admitted, there was nothing to stop yet.
            await self._stop(turn)
        outcome = await self.session.wait()
        await self._watch.up_to_now()
        return _response(outcome, turn)

    async def _as_skill(self, said: Prompt, name: str, rest: str) -> Prompt:
        skills = await self._here.skills()
        if not any(one.name == name for one in skills):
            return said
        text = f"Use the skill {name!r}."
        return Prompt(f"{text}\n\n{rest}" if rest else text, said.files)

    async def _compact(self, turn: _Turn) -> s.PromptResponse:
        assert self._watch is not None
        asked = await self.session.compact()
        if turn.cancelled:
            await self.session.interrupt()
        outcome = await self.session.wait()
        await self._watch.up_to_now()
        told = "The history was compacted."
        async with self.session.events(after=asked) as tail:
            async for event in tail:
                if isinstance(event, CompactionFailed):
                    told = f"Nothing was compacted: {event.failure.message}"
        await self._send(
            s.AgentMessageChunk(
                session_update="agent_message_chunk",
                content=s.TextContentBlock(type="text", text=told),
            )
        )
        return _response(outcome, turn)

    async def cancel(self) -> None:
        """Stop what runs. The prompts that wait for it are answered once it has
        stopped."""
        for turn in self._turns:
            turn.cancelled = True
            if turn.receipt is not None:
                await self._take_back(turn.receipt)
        await self.session.interrupt()

    async def settle(self) -> None:
        """Stop what this client began, and return when that is settled."""
        if self._turns:
            await self.cancel()
            await self.session.wait()

    async def _stop(self, turn: _Turn) -> None:
        if turn.receipt is not None:
            await self._take_back(turn.receipt)
        await self.session.interrupt()
        await self.session.wait()

    async def _take_back(self, receipt: AdmittedPrompt) -> None:
        """Withdraw what the model has not seen: a cancelled prompt must not be done
        with the next one."""
        try:
            await self.session.withdraw(receipt.id)
        except InputNotPendingError:
            return

    # --- settings -----------------------------------------------------------------

    async def settings(
        self,
    ) -> tuple[s.SessionModeState, list[s.SessionConfigOptionSelect]]:
        """Return what the session is set to, and what it can be set to."""
        info = await self.session.info()
        agents = await self._here.agents()
        mode = (await self._here.agent_for(info.agent)).name
        modes = s.SessionModeState(
            current_mode_id=mode,
            available_modes=[
                s.SessionMode(
                    id=one.name,
                    name=one.name,
                    description=visible(one.description, MAX_DESCRIPTION) or None,
                )
                for one in agents
            ],
        )
        choices = [
            s.SessionConfigSelectOption(
                value=one.id, name=one.name, description=one.description
            )
            for one in modes.available_modes
        ]
        options = [
            s.SessionConfigOptionSelect(
                type="select",
                id=MODE,
                name="Agent",
                description="How the session behaves, and what it may do",
                category="mode",
                current_value=mode,
                options=choices,
            ),
            await self._model_option(info.model, info.agent),
        ]
        return modes, options

    async def _model_option(
        self, model: str | None, agent: str | None
    ) -> s.SessionConfigOptionSelect:
        usable = {
            one.name for one in await self._here.providers() if one.missing is None
        }
        self._models = {one.name: one for one in await self._here.models()}
        names = [
            name
            for name, one in self._models.items()
            if name.partition("/")[0] in usable and not one.deprecated
        ]
        try:
            current = await self._here.model_for(model, agent)
        except ModelNotSelectedError:
            current = NO_MODEL
        except (ModelError, ProviderError):
            current = model or NO_MODEL
        if current not in names:
            names.insert(0, current)
        return s.SessionConfigOptionSelect(
            type="select",
            id=MODEL,
            name="Model",
            description="Which model answers",
            category="model",
            current_value=current,
            options=[
                s.SessionConfigSelectOption(value=name, name=name or "Choose a model")
                for name in names
            ],
        )

    async def set(self, option: str, value: Any) -> None:
        """Change what the session is set to, from its next Step on.

        Raises:
            InvalidValueError: there is no such option, or it has no such value.
            AgentNotFoundError, ModelUnknownError, ProviderError: it cannot be used.
        """
        if not isinstance(value, str):
            raise InvalidValueError("value", value, "a text")
        if option == MODE:
            await self._here.agent_for(value)
            await self.session.switch_agent(value)
        elif option == MODEL:
            if value == NO_MODEL:
                raise InvalidValueError("model", value, "choose one")
            info = await self.session.info()
            await self._here.model_for(value, info.agent)
            await self.session.switch_model(value)
        else:
            raise InvalidValueError("option", option, f"{MODE!r} or {MODEL!r}")

    async def _tell_settings(self) -> None:
        modes, options = await self.settings()
        await self._send(
            s.CurrentModeUpdate(
                session_update="current_mode_update",
                current_mode_id=modes.current_mode_id,
            )
        )
        await self._send(
            s.ConfigOptionUpdate(
                session_update="config_option_update",
                config_options=list(options),
            )
        )

    async def _context(self, model: str) -> int | None:
        if model not in self._models:
            self._models = {one.name: one for one in await self._here.models()}
        known = self._models.get(model)
        return None if known is None else known.context


def _takes(command: PromptCommand) -> s.AvailableCommandInput | None:
    """Return what a client shows of the arguments of a command."""
    names = [
        f"{one.name}=..." if one.required else f"[{one.name}=...]"
        for one in command.arguments
    ]
    if not names:
        return None
    hint = visible(" ".join(names), MAX_DESCRIPTION)
    return s.AvailableCommandInput(root=s.UnstructuredCommandInput(hint=hint))


def _response(outcome: Outcome, turn: _Turn) -> s.PromptResponse:
    """Return how a turn ended, in the protocol's words.

    Raises:
        Fault: it failed; that is no stop reason.
    """
    reason = outcome.reason
    if turn.cancelled or outcome.status == "interrupted":
        return s.PromptResponse(stop_reason="cancelled")
    if outcome.status == "paused":
        return s.PromptResponse(stop_reason="max_turn_requests")
    if outcome.status == "failed" and reason is not None:
        if reason.code == "provider.content_refused":
            return s.PromptResponse(stop_reason="refusal")
        number = INTERNAL_ERROR
        if reason.code in KEYS_MISSING or reason.code == ModelNotSelectedError.code:
            number = AUTH_REQUIRED
        raise Fault(number, reason.message, {"code": reason.code})
    if outcome.finish == "length":
        return s.PromptResponse(stop_reason="max_tokens")
    return s.PromptResponse(stop_reason="end_turn")
