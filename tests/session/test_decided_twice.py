"""What is decided in a transaction may be decided twice, and happens once.

A store that commits in groups undoes a group in which something failed and runs the
others once more. Here it does so every time.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import anyio
import pytest
from attrs import frozen
from dovetail.kernel import (
    PromptConflictError,
    Runtime,
    Store,
    Tool,
    ToolContext,
    hookimpl,
    open_runtime,
)
from dovetail.kernel.ports import Transaction
from dovetail.kernel.testing import ScriptedProvider, call, calls, reasoning, text
from dovetail.kernel.testing.memory_store import MemoryState, open_memory_store
from support.bounds import HANG
from support.hosts import Tools, kinds_of

T = TypeVar("T")


class Undone(Exception):
    """Raised when a transaction has done its work."""


class Twice:
    """A store that undoes every transaction before it commits it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.undone = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def transact(
        self,
        work: Callable[[Transaction], T],
        on_commit: Callable[[T], None] | None = None,
    ) -> T:
        def once(transaction: Transaction) -> None:
            work(transaction)
            raise Undone

        with anyio.CancelScope(shield=True):
            try:
                await self._store.transact(once)
            except Undone:
                self.undone += 1
            except Exception:
                pass
        return await self._store.transact(work, on_commit)


class Stores:
    """Opens a store in memory, plain or twice."""

    name = "stores"

    def __init__(self) -> None:
        self.twice: Twice | None = None

    @hookimpl
    def dovetail_open_store(self, url: str) -> AbstractAsyncContextManager[Any]:
        return self._opened(url)

    @asynccontextmanager
    async def _opened(self, url: str) -> AsyncIterator[Any]:
        async with open_memory_store(MemoryState()) as store:
            if url == "twice://":
                self.twice = Twice(store)
            yield self.twice or store


@frozen
class Word:
    word: str = ""


async def _say(input: Word, context: ToolContext) -> str:
    if context.session_id and input.word == "ask":
        await context.ask("say", ["it"])
    return input.word * 3


async def _told(url: str, folder: Path) -> tuple[list[str], list[str], int]:
    """Return the kinds of a session's events, its texts, and what was undone."""
    stores = Stores()
    provider = ScriptedProvider(
        [reasoning("hm"), *text("first")],
        calls(call("say", {"word": "a"}, id="1")),
        calls(call("say", {"word": "ask"}, id="2"), call("nosuch", id="3")),
        text("second"),
        text("third"),
    )
    say = Tool("say", "Say.", Word, _say, effect="unsafe")
    runtime: Runtime
    async with open_runtime(
        url,
        plugins=[stores, provider, Tools(say)],
        load_entry_points=False,
        on_permission="allow",
        environment={"DOVETAIL_CONFIG": ""},
    ) as runtime:
        session = await runtime.sessions.create(
            "it", location=folder, model=provider.model
        )
        with anyio.fail_after(HANG):
            await session.prompt("one", key="k")
            assert (await session.wait()).succeeded
            with pytest.raises(PromptConflictError):
                await session.prompt("other", key="k")
            await session.prompt("two")
            assert (await session.wait()).succeeded
            gone = await session.prompt("no", delivery="queue", resume=False)
            await session.withdraw(gone.id)
            await session.prompt("three", delivery="queue")
            assert (await session.wait()).succeeded
        [found] = await runtime.sessions.verify("it")
        assert found.sound
        said = [getattr(message, "text", "") for message in await session.history()]
        undone = stores.twice.undone if stores.twice else 0
        return await kinds_of(session), said, undone


@pytest.mark.law("events.2")
@pytest.mark.law("tools.1")
async def test_what_is_decided_twice_happens_once(tmp_path: Path) -> None:
    kinds, said, undone = await _told("twice://", tmp_path)
    plain, said_once, _ = await _told("once://", tmp_path)
    assert undone > 10
    assert said == said_once
    # Calls that run side by side may settle in another order.
    assert sorted(kinds) == sorted(plain)
