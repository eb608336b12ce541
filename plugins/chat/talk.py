"""The talk: one person, one directory, one session at a time.

Owns what a line that was typed means, following the session, that the person is asked
one thing at a time, interrupting, and the status line. What is written down is
``script``, what goes on meanwhile ``going_on``, what sessions ask ``requests``, what
may be typed ``offer``, what a ``/`` begins ``commands``, what a crash left
``unfinished``; how it is drawn on a terminal is a screen's.
"""

import time
import uuid
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup
from attrs import frozen
from dovetail.kernel import (
    ChildAsked,
    Delivery,
    DovetailError,
    ExecutionEnded,
    LiveDelta,
    LiveEvent,
    Location,
    LocationHandle,
    Prompt,
    PromptInvalidError,
    RequestAnswered,
    RequestAsked,
    Runtime,
    Session,
    UserMessage,
    title_of,
)

from ..console.feed import Feed
from ..console.folding import cells, rows
from ..console.last_used import last_used, note_used
from ..console.options import server_url, used_database
from ..console.terminal import Style, visible, without_colours
from . import paging
from .asks import Ask
from .chat_command import ChatCommand
from .following import Following
from .going_on import going_on
from .offer import Offer
from .requests import Requests
from .script import Script
from .status import Status
from .talking import Screen
from .typed import Typed
from .unfinished import offer_unfinished

SHOWN_BEFORE = 6
"""Messages that are shown of a session that is gone on with."""
RINGS_AFTER = 20.0
"""Seconds of work after whose end a person is called."""


@frozen
class Wanted:
    """What the command line says of a conversation."""

    location: str | None = None
    model: str | None = None
    agent: str | None = None
    session: str | None = None
    newest: bool = False
    db: str | None = None


class Talk:
    """One conversation, from its first line to its end."""

    def __init__(
        self,
        runtime: Runtime,
        screen: Screen,
        script: Script,
        style: Style,
        wanted: Wanted,
        commands: Sequence[ChatCommand],
        tasks: TaskGroup,
    ) -> None:
        self.runtime = runtime
        self.screen = screen
        self.script = script
        self.style = style
        self.wanted = wanted
        self.location = Location.at(wanted.location or ".")
        self.here: LocationHandle = runtime.location(self.location)
        self.session: Session | None = None
        self.model = wanted.model
        """What the next session is begun with; None: as configured."""
        self.agent = wanted.agent
        self.named_model: str | None = None
        """The model that answers, as far as anybody knows before it does."""
        self.windows: dict[str, int] = {}
        self.offer = Offer(
            commands,
            Path(self.location.directory),
            lambda: self.typed.wish(self._list_prompts, None),
        )
        self.typed = Typed()
        self.asked: Ask | None = None
        self._tasks = tasks
        self._asking = anyio.Lock()
        self._requests = Requests(self)
        self._following: anyio.CancelScope | None = None
        self._feed: Feed | None = None
        self.stopping = False
        """Whether the work is being stopped."""
        self._noted: str | None = None
        """The session that was noted as the one used last."""
        self._gone = False
        """Whether the server cannot be reached that was named."""
        self._saying: tuple[Prompt, Delivery, str] | None = None
        """What is said and not known to be admitted, and its key: a line that is put
        back and sent once more is admitted once."""

    # --- beginning ----------------------------------------------------------------

    async def begin(self) -> None:
        """Find the model, offer what was left, and begin to listen.

        Raises:
            ModelNotSelectedError: no model is configured.
            DovetailError: what the command line names is not there.
        """
        self._tasks.start_soon(self._fulfil)
        wanted = self.wanted
        if wanted.session is not None:
            session = await self.runtime.sessions.get(wanted.session)
            await self.go_to(session)
        elif wanted.newest:
            info = await last_used(
                self.runtime, self.location, used_database(self.wanted.db)
            )
            if info is None:
                raise PromptInvalidError("--continue", None, "there is no session here")
            await self.go_to(await self.runtime.sessions.get(info.id))
        if self.session is None:
            self.named_model = await self.here.model_for(self.model, self.agent)
        self._tasks.start_soon(self._do, self._look_around)
        if self.session is None:
            await offer_unfinished(self)
        self._tasks.start_soon(self._listen)

    async def _look_around(self) -> None:
        """Find out what completion and the status line tell."""
        for model in await self.here.models():
            if model.context is not None:
                self.windows[model.name] = model.context
        try:
            self.offer.skills = await self.here.skills()
        except DovetailError as error:
            self.say(f"skills cannot be found: {error}")
        self.screen.changed()
        await self._list_prompts()

    async def _list_prompts(self, _: None = None) -> None:
        if await self.offer.list_prompts(self.here):
            self.screen.complete_again()

    # --- showing ------------------------------------------------------------------

    def show(self, text: str) -> None:
        """Show finished text, rendered."""
        self.screen.show(text)

    def show_lines(self, lines: Iterable[str]) -> None:
        """Show clean lines, folded."""
        width = self.screen.width
        for line in lines:
            bare = without_colours(line)
            # What goes on below is set in, and has no colour: it could look like ours.
            parts = [line] if cells(bare) < width else rows(bare, width)
            self.show("".join(f"{part}\n" for part in parts))

    def say(self, text: str) -> None:
        """Show a line of our own making."""
        self.show(self.script.sheet.aside(text))

    def fail(self, error: DovetailError) -> None:
        """Show why something did not come about."""
        what = f"{self.style.bad('error:')} {visible(str(error))} [{error.code}]"
        self.show(f"{what}\n")

    # --- what is typed ------------------------------------------------------------

    def submit(self, line: str, *, queue: bool) -> None:
        """Take a line that was typed."""
        if not self.typed.submit(line, queue=queue):
            self.screen.put_back(line)

    async def _fulfil(self) -> None:
        async for what, of in self.typed.wishes():
            self._tasks.start_soon(self._do, what, of)

    async def _do(
        self, what: Callable[..., Coroutine[Any, Any, None]], *of: Any
    ) -> None:
        """Do something, and tell where it fails: a server may be gone at any time, and
        the conversation goes on."""
        try:
            await what(*of)
        except DovetailError as error:
            self.fail(error)

    async def _listen(self) -> None:
        async for line, queue in self.typed.lines():
            try:
                await self._take(line, queue=queue)
            except DovetailError as error:
                self.fail(error)
                if not line.startswith("/"):
                    self.screen.put_back(line)
            self.screen.changed()

    async def _take(self, line: str, *, queue: bool) -> None:
        word, _, rest = line.strip().partition(" ")
        if line.startswith("/") and "/" not in word[1:] and "\n" not in word:
            await self._command(word[1:], rest.strip(), line)
        else:
            await self.prompt(line, queue=queue)

    async def _command(self, name: str, rest: str, line: str) -> None:
        command = self.offer.command(name)
        if command is not None:
            await command.run(self, rest)
            return
        if self.offer.has_skill(name):
            task = f"\n\n{rest}" if rest else ""
            await self.prompt(f"Use the skill {name}.{task}", queue=False)
            return
        try:
            said = await self.here.prompt(line)
        except DovetailError:
            self.screen.put_back(line)
            raise
        if said.text != line:
            await self._say(said, title_of(line), queue=False)
            return
        like = self.offer.nearest(name)
        hint = f"; did you mean /{like}?" if like else "; /help lists them"
        self.screen.put_back(line)
        self.screen.hint(f"there is no command /{visible(name)}{hint}")

    async def prompt(self, text: str, *, queue: bool) -> None:
        """Say something to the session, which is begun where there is none."""
        said = await self.here.prompt(text, files=True)
        await self._say(said, title_of(text), queue=queue)

    async def _say(self, said: Prompt, title: str | None, *, queue: bool) -> None:
        session = await self.current(title)
        delivery: Delivery = "queue" if queue else "steer"
        if self._saying is None or self._saying[:2] != (said, delivery):
            self._saying = said, delivery, uuid.uuid4().hex
        await session.prompt(said, delivery=delivery, key=self._saying[2])
        self._saying = None
        if session.id != self._noted:
            self._noted = session.id
            await to_thread.run_sync(
                note_used,
                self.location.directory,
                used_database(self.wanted.db),
                session.id,
            )

    async def current(self, title: str | None = None) -> Session:
        """Return the session, a new one where there is none."""
        if self.session is None:
            session = await self.runtime.sessions.create(
                location=self.location, model=self.model, agent=self.agent, title=title
            )
            await self.go_to(session)
        assert self.session is not None
        return self.session

    def take_back(self) -> bool:
        """Take back the latest input that waits, if a person said it."""
        said = [one for one in self.script.inbox.waiting if one.said]
        if not said:
            return False
        self.typed.wish(self.withdraw, said[-1].id)
        return True

    async def withdraw(self, input_id: str) -> None:
        """Take one input back, and put it on the prompt line."""
        one = self.script.inbox.get(input_id)
        if one is None or self.session is None:
            return
        try:
            await self.session.withdraw(input_id)
        except DovetailError as error:
            self.fail(error)
            return
        self.screen.put_back(one.prompt.text)

    # --- following ----------------------------------------------------------------

    async def go_to(self, session: Session) -> None:
        """Follow a session from now on, and show the end of what was said in it."""
        self.leave_session()
        self.session = session
        info = await session.info()
        if info.location != self.location:
            self.location = info.location
            self.here = self.runtime.location(info.location)
            self.offer.move(Path(info.location.directory))
        self.script = self.script.fresh()
        page = await session.messages(limit=SHOWN_BEFORE)
        after = -1
        if page.cursor is not None:
            self.say(f"`dovetail show {session.id}` shows what was said before")
            after = max(min(one.seq for one in page.items) - 2, -1)
            # What was said is in the events before those that are read.
            for message in page.items:
                if isinstance(message, UserMessage):
                    self.script.inbox.knows(message)
            for waiting in await session.pending():
                self.script.inbox.waits(waiting)
        self.script.todos = await session.todos()
        self.model, self.agent = info.model, info.agent
        self.named_model = await self._model_of(info.model, info.agent)
        feed = Feed(self.runtime, session)
        scope = anyio.CancelScope()
        self._following, self._feed = scope, feed
        await feed.start()
        # What is there already is shown, and counted by what is known of the session.
        async with session.events(after=after) as past:
            async for event in past:
                self.show(self.script.take(event))
                after = event.seq
        self.script.spending.begin_with(info)
        if info.status != "running":
            self.script.at_rest()
        feed.begin(after)
        self._tasks.start_soon(self._follow, session, feed, after, scope)

    async def _model_of(self, model: str | None, agent: str | None) -> str | None:
        try:
            return await self.here.model_for(model, agent)
        except DovetailError as error:
            self.fail(error)
            return model

    def leave_session(self) -> None:
        """Follow the session no more; the next prompt begins another one."""
        if self._following is not None:
            self._following.cancel()
        if self._feed is not None:
            self._feed.close()
        self._requests.withdraw_all()
        self.session = self._following = self._feed = None
        self.stopping = False

    async def _follow(
        self, session: Session, feed: Feed, after: int, scope: anyio.CancelScope
    ) -> None:
        with scope:
            await self._do(self._ask_waiting, session)
            following = Following(
                session, feed, after, partial(self._take_event, session)
            )
            await following.follow(log=server_url() is None)

    async def _ask_waiting(self, session: Session) -> None:
        for request in await self._requests.pending(session):
            self._tasks.start_soon(self._requests.answer, session, request)

    def _take_event(self, session: Session, event: LiveEvent) -> None:
        self.show(self.script.take(event))
        if isinstance(event, RequestAsked | ChildAsked):
            self._tasks.start_soon(self._requests.ask, session, event)
        elif isinstance(event, RequestAnswered):
            self._requests.withdraw(event.request_id)
        elif isinstance(event, ExecutionEnded):
            if self.stopping:
                self.stopping = False
                self.screen.hint("")
            seconds = self.script.worked / 1000
            if seconds >= RINGS_AFTER:
                self.screen.ring("dovetail has finished")
        if not isinstance(event, LiveDelta) or event.what != "tool_input":
            self.screen.changed()

    # --- what it asks -------------------------------------------------------------

    async def ask(self, ask: Ask) -> Any:
        """Ask the person, after what was asked before; ``WITHDRAWN`` when nobody wants
        to know any more."""
        async with self._asking:
            if ask.text:
                self.show(ask.text)
            self.asked = ask
            if ask.waits:
                self.screen.ring(ask.waits)
            self.screen.changed()
            try:
                return await ask.answered()
            finally:
                self.asked = None
                self.screen.changed()

    # --- interrupting -------------------------------------------------------------

    def interrupt(self) -> bool:
        """Stop the work; False where there is none, it is being stopped, or the server
        that does it cannot be told."""
        if self.session is None or not self.script.busy or self.stopping or self._gone:
            return False
        self.stopping = True
        self.typed.wish(self._interrupt, self.session)
        return True

    async def _interrupt(self, session: Session) -> None:
        try:
            if not await session.interrupt():
                # Once more leaves, as after an interrupt that takes long.
                self.say("another process works on it, which goes on")
        except DovetailError as error:
            self.stopping = False
            self.fail(error)

    # --- a server -----------------------------------------------------------------

    def take_reach(self, there: bool) -> None:
        """Take that the server is gone, or there again, and say so."""
        self._gone = not there
        if there:
            self.say("the server answers again; what happened meanwhile is shown")
        else:
            self.say("the server does not answer; it is tried again until it does")
        self.screen.changed()

    # --- looking closer -----------------------------------------------------------

    def expand(self) -> None:
        """Show the last call whole."""
        last = self.script.calls.last
        if last is not None:
            self.typed.wish(partial(paging.whole, self), last.number)
        else:
            self.screen.hint("there is no call yet")

    def show_thoughts(self) -> None:
        """Show what the model thought last."""
        writing = self.script.writing
        now = writing.thinking or (writing.thoughts or [""])[-1]
        if now.strip():
            self.show("\n" + self.script.sheet.thought(now))
        else:
            self.screen.hint("the model has not shown any thoughts")

    # --- what is drawn ------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether something goes on."""
        return self.script.busy or self._gone

    def rows(self, width: int, height: int) -> list[str]:
        """Return the rows of what goes on, rendered, the latest last."""
        return going_on(self.script, self.style, width, height, gone=self._gone)

    def status(self, width: int) -> str:
        """Return the status line."""
        return self.status_now().text(width)

    def status_now(self) -> Status:
        """Return what the status line tells."""
        script = self.script
        if self.asked is not None and self.asked.waits:
            state = "waits for you"
        elif self._gone:
            state = "server gone"
        elif self.stopping:
            state = "interrupting"
        else:
            state = "working" if script.busy else "ready"
        seconds: float | None = None
        if script.busy_since is not None:
            seconds = max(time.time() - script.busy_since / 1000, 0)
        elif script.worked:
            seconds = script.worked / 1000
        model = script.model or self.named_model
        return Status(
            state,
            model,
            script.agent or self.agent,
            self.windows.get(model or ""),
            script.filled,
            script.spending.tokens,
            script.spending.cost_text(),
            seconds,
        )

    # --- completion ---------------------------------------------------------------

    def is_command(self, line: str) -> bool:
        """Return whether a line begins with the name of a command."""
        return self.offer.has(line)

    def completions(self, text: str) -> Iterable[tuple[str, str, str, int]]:
        """Return how a text may go on."""
        return self.offer.completions(text)
