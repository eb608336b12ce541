"""Leases are renewed while sessions come and go."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from dovetail.kernel import Store, hookimpl, open_runtime
from dovetail.kernel.testing import Gate, ManualClock, ScriptedProvider
from dovetail.kernel.testing.scripted import text
from dovetail.storage.sqlite.store import open_sqlite
from support.bounds import HANG


class Hesitant:
    """A plugin with a store that holds back one transaction when it is told to."""

    name = "hesitant"

    def __init__(self, path: Path) -> None:
        self._path = path
        self.gate: Gate | None = None

    @hookimpl
    def dovetail_open_store(self, url: str) -> Any:
        return self._open() if url == "hesitant:" else None

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Store]:
        async with open_sqlite(self._path) as store:
            forward = store.transact

            async def transact(
                work: Callable[..., Any], on_commit: Callable[..., Any] | None = None
            ) -> Any:
                gate, self.gate = self.gate, None
                if gate is not None:
                    await gate.pass_through()
                return await forward(work, on_commit)

            store.transact = transact  # type: ignore[method-assign]
            yield store


async def test_a_session_may_end_while_the_lease_of_another_is_renewed(
    tmp_path: Path,
) -> None:
    clock, store = ManualClock(), Hesitant(tmp_path / "test.db")
    first, second = Gate(), Gate()
    provider = ScriptedProvider([first, *text("one")], [second, *text("two")])
    async with open_runtime(
        "hesitant:",
        plugins=[store, provider],
        load_entry_points=False,
        environment={"DOVETAIL_CONFIG": ""},
        clock=clock,
    ) as runtime:
        with anyio.fail_after(HANG):
            sessions = []
            for gate in (first, second):
                session = await runtime.sessions.create(
                    location=tmp_path, model=provider.model
                )
                await session.prompt("Begin")
                await gate.reached()
                sessions.append(session)
            store.gate = renewal = Gate()
            clock.advance(6)
            await renewal.reached()
            second.open()
            assert (await sessions[1].wait()).succeeded
            renewal.open()
            await anyio.wait_all_tasks_blocked()
            first.open()
            assert (await sessions[0].wait()).succeeded
