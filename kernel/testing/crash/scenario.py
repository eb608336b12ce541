"""The scenario: what is crashed, as its author says it.

Owns what an author writes (``CrashScenario``) and what the story of a scenario may do
(``CrashRun``). A story is told again from its beginning in every process, so each act
in it is one that may be repeated: prompts have keys, sessions have ids.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import anyio
from anyio.abc import TaskStatus
from attrs import field, frozen

from ...execution.coordinator import Outcome
from ...models.retry import RetryPolicy
from ...runtime import Runtime
from ...sessions.session import Session
from ...values.errors import (
    CONTINUATION_UNACCEPTED,
    ContinuationChangedError,
    RequestNotFoundError,
)
from ...values.events import Event, PermissionReply, RequestAsked
from ...values.messages import Message
from ...values.prompt import AdmittedPrompt, Delivery
from .model import MODEL, Script
from .points import FaultPoints
from .watch import RequestCheck
from .world import CrashWorld

Policy = Literal["report", "clean", "always"]


@frozen
class CrashEnd:
    """What is left of a run once it is over: what invariants are checked on."""

    world: CrashWorld
    """What happened outside of the processes."""
    location: Path
    """The directory of the sessions."""
    events: Mapping[str, Sequence[Event]]
    """The durable events of each session."""
    histories: Mapping[str, Sequence[Message]]
    """The messages that the next request of each session would carry."""


@frozen(eq=False)
class CrashScenario:
    """What to crash: plugins, a model's script, and the story around them."""

    plugins: Sequence[object] = ()
    """Given in code, as to ``open_runtime``."""
    model: Script | Mapping[str, Script] = ()
    """What the model ``crash/model`` answers, or by session id what it answers there.
    Tool calls are made with ``calls(call(...))``; afterwards it says that it is done.
    """
    prompts: Sequence[str] = ("Go.",)
    """What is said to the session ``main``, one after another."""
    play: Callable[["CrashRun"], Awaitable[None]] | None = None
    """The story, in place of ``prompts``. It is told again after every crash."""
    answer: PermissionReply | None = None
    """How a person answers every permission request. None: whatever is asked is
    allowed without asking."""
    resume: Sequence[Policy] = ("always", "report")
    """The policies that runtimes are reopened with, in turn from crash to crash."""
    backends: Sequence[str] = ("asyncio",)
    """The event loops, in turn."""
    installed: Sequence[str] = ("sqlite",)
    """The installed plugins that are loaded, by name."""
    store: str = "sqlite:///{folder}/sessions.db"
    """The URL of the store; ``{folder}`` is a new folder for every run. What a death
    leaves there is copied, for those that go on from it and die again; a store that
    lies elsewhere goes through both deaths anew."""
    options: Mapping[str, Any] = field(factory=dict)
    """Further options of ``open_runtime``."""
    check: Callable[[CrashEnd], Iterable[str]] | None = None
    """Returns what else is wrong at the end, in a sentence each."""
    check_request: RequestCheck | None = None
    """Returns what is wrong with a request, in a sentence each."""

    def all_options(self) -> dict[str, Any]:
        """Return the options that a runtime is opened with."""
        return {
            "plugins": (),
            "allow_plugins": tuple(self.installed),
            "load_entry_points": bool(self.installed),
            "on_permission": "allow" if self.answer is None else "ask",
            # A retry that waits would only make a run longer.
            "retry": RetryPolicy(first=0.001, longest=0.001),
            "lease_seconds": 3600.0,
            "environment": {"DOVETAIL_CONFIG": ""},
            **self.options,
        }


class CrashRun:
    """One process of one run, as the story sees it."""

    def __init__(
        self,
        runtime: Runtime,
        scenario: CrashScenario,
        world: CrashWorld,
        points: FaultPoints,
        location: Path,
    ) -> None:
        self.runtime = runtime
        self.world = world
        self.location = location
        """The directory of the sessions."""
        self._scenario = scenario
        self._points = points

    @property
    def generation(self) -> int:
        """Which process it is: how often it was killed before."""
        return self.world.generation

    async def session(self, name: str = "main") -> Session:
        """Return the session of this id, created if it is not there."""
        return await self.runtime.sessions.create(
            id=name, location=self.location, model=MODEL
        )

    async def prompt(
        self,
        session: Session,
        text: str,
        *,
        key: str | None = None,
        delivery: Delivery = "steer",
    ) -> AdmittedPrompt:
        """Prompt with a key, as often as it takes, and remember the receipt.

        The key is the text, where none is given.
        """
        with self._points.around("prompt"):
            receipt = await session.prompt(text, key=key or text, delivery=delivery)
        self.world.note(
            "confirmed", session=session.id, input=receipt.id, key=receipt.key
        )
        return receipt

    def at(self, place: str, action: Callable[[], Awaitable[object]]) -> None:
        """Let something happen when this process first comes to a place.

        A place is ``tool NAME`` (its executor begins), ``request``, or ``stream
        TextDelta`` and the like. It may never come there: the story has to make sure.
        """
        self._points.at(place, action)

    async def settle(self, session: Session) -> Outcome:
        """Return how the work of a session ended; accept what must be accepted.

        Input that waits, because it was interrupted before it, is resumed.
        """
        while True:
            outcome = await session.wait()
            info = await session.info()
            reason = outcome.reason.code if outcome.reason else None
            if info.status != "idle" or reason == CONTINUATION_UNACCEPTED:
                await self._accept(session)
            elif await session.pending():
                await session.resume()
            else:
                return outcome

    async def _accept(self, session: Session) -> None:
        report = await session.continuation()
        try:
            with self._points.around("acceptance"):
                await session.resume(accept=report.digest)
        except ContinuationChangedError:
            return  # it is looked at again

    # --- what the driver does -----------------------------------------------------

    async def tell(
        self, story: Callable[["CrashRun"], Awaitable[None]] | None = None
    ) -> None:
        """Tell the whole story, or another one, and settle every session."""
        async with anyio.create_task_group() as tasks:
            if self._scenario.answer is not None:
                await tasks.start(self._answer, self._scenario.answer)
            await self._settle_all()
            await (story or self._scenario.play or self._say)(self)
            await self._settle_all()
            tasks.cancel_scope.cancel()

    async def _say(self, run: "CrashRun") -> None:
        session = await run.session()
        for text in self._scenario.prompts:
            await run.prompt(session, text)
            await run.settle(session)

    async def _settle_all(self) -> None:
        async with anyio.create_task_group() as tasks:
            for info in await self.runtime.sessions.list(limit=200):
                session = await self.runtime.sessions.get(info.id)
                tasks.start_soon(self.settle, session)

    async def _answer(
        self, reply: PermissionReply, *, task_status: TaskStatus[None]
    ) -> None:
        permissions = self.runtime.location(self.location).permissions
        async with self.runtime.live() as live:
            task_status.started()
            for request in await permissions.pending():
                await self._reply(request.id, reply)
            async for event in live:
                if isinstance(event, RequestAsked):
                    await self._reply(event.request_id, reply)

    async def _reply(self, request_id: str, reply: PermissionReply) -> None:
        permissions = self.runtime.location(self.location).permissions
        try:
            with self._points.around("permission reply"):
                await permissions.reply(request_id, reply)
        except RequestNotFoundError:
            return  # found in the list and heard of as well
