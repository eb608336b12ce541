"""What a plugin opens beside the sessions lives as long as the runtime, and alone."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from dovetail.kernel import HookLimits, Runtime, hookimpl
from dovetail.kernel.testing import ScriptedProvider, text
from support.bounds import HANG
from support.hosts import host


class Door:
    """A plugin that tells what becomes of what it opened, and may break on its way."""

    def __init__(self, story: list[str], name: str = "door", breaks: str = "") -> None:
        self.name = name
        self.story = story
        self.breaks = breaks
        self.broke = anyio.Event()

    @hookimpl
    def dovetail_open_runtime(self, runtime: Runtime) -> AbstractAsyncContextManager:
        if self.breaks == "called":
            raise LookupError(self.breaks)
        return self._opened(runtime)

    @asynccontextmanager
    async def _opened(self, runtime: Runtime) -> AsyncIterator[None]:
        if self.breaks == "opening":
            raise SystemExit(self.breaks)
        if self.breaks == "hanging":
            await anyio.sleep_forever()
        async with anyio.create_task_group() as tasks:
            self.story.append(f"{self.name} opens")
            if self.breaks == "later":
                tasks.start_soon(self._break)
            try:
                yield
            finally:
                with anyio.CancelScope(shield=True):
                    count = len((await runtime.sessions.list()).items)
                self.story.append(f"{self.name} closes on {count}")
                tasks.cancel_scope.cancel()

    async def _break(self) -> None:
        self.broke.set()
        raise SystemExit


async def run(runtime: Runtime, folder: Path, provider: Any) -> None:
    session = await runtime.sessions.create(location=folder, model=provider.model)
    await session.prompt("go")
    assert (await session.wait()).succeeded


@pytest.mark.law("plugins.10")
async def test_open_runtime_lives_as_long_as_the_runtime_and_can_use_it(
    tmp_path: Path,
) -> None:
    story: list[str] = []
    provider = ScriptedProvider(text("done"))
    doors = [Door(story, "a"), Door(story, "b")]
    with anyio.fail_after(HANG):
        async with host(tmp_path, provider, plugins=doors) as runtime:
            assert story == ["a opens", "b opens"]
            await run(runtime, tmp_path, provider)
        # While the runtime was still open, the last first.
        assert story[2:] == ["b closes on 1", "a closes on 1"]


@pytest.mark.law("plugins.10")
@pytest.mark.parametrize("breaks", ["called", "opening", "hanging", "later"])
async def test_one_that_breaks_is_recorded_and_everything_else_goes_on(
    tmp_path: Path, breaks: str
) -> None:
    story: list[str] = []
    provider = ScriptedProvider(text("done"))
    doors = [Door(story, "bad", breaks), Door(story, "good")]
    # What the sound one needs is far less, also on a busy machine.
    limits = HookLimits(open_seconds=0.5 if breaks == "hanging" else HANG)
    with anyio.fail_after(HANG):
        async with host(
            tmp_path, provider, plugins=doors, hook_limits=limits
        ) as runtime:
            if breaks == "later":
                await doors[0].broke.wait()
                await anyio.wait_all_tasks_blocked()
            error = runtime.plugins.state("bad").last_error
            await run(runtime, tmp_path, provider)
    assert "good opens" in story
    assert "good closes on 1" in story
    assert error is not None
    assert "dovetail_open_runtime" in error


@pytest.mark.law("plugins.10")
async def test_it_may_use_a_location_while_it_opens(tmp_path: Path) -> None:
    class Looks:
        name = "looks"
        found: Any = None

        @hookimpl
        def dovetail_open_runtime(
            self, runtime: Runtime
        ) -> AbstractAsyncContextManager[None]:
            return self._opened(runtime)

        @asynccontextmanager
        async def _opened(self, runtime: Runtime) -> AsyncIterator[None]:
            self.found = await runtime.location(tmp_path).tools()
            yield

    looks = Looks()
    with anyio.fail_after(HANG):
        async with host(tmp_path, ScriptedProvider(), plugins=[looks]) as runtime:
            assert looks.found is not None
            assert runtime.plugins.state("looks").errors == 0
