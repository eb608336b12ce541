"""Adding, replacing and removing plugins of a Location while it is open."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import frozen
from dovetail.kernel import (
    AssistantMessage,
    ConflictError,
    ContextSource,
    LocationHandle,
    Observation,
    Place,
    PluginError,
    PluginInvalidError,
    PluginNotFoundError,
    Register,
    RuntimeClosedError,
    Tool,
    ToolContext,
    hookimpl,
)
from dovetail.kernel.testing import Gate, ScriptedProvider, call, calls, text
from support.bounds import HANG
from support.hosts import Tools, host


@frozen
class Nothing:
    """An input without fields."""


def tool(name: str, answer: str) -> Tool[Any, Any]:
    async def execute(input: Nothing, context: ToolContext) -> str:
        return answer

    return Tool(name, f"Say {answer}.", Nothing, execute, effect="pure")


class Life:
    """A plugin with a resource, a tool and a context source, that tells its story."""

    def __init__(
        self,
        story: list[str],
        version: str,
        *,
        name: str = "life",
        entering: Gate | None = None,
        fails: str = "",
    ) -> None:
        self.name = name
        self.story = story
        self.version = version
        self.entering = entering
        self.fails = fails

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[str]:
        if self.entering is not None:
            await self.entering.pass_through()
        if self.fails == "open":
            raise LookupError("no luck")
        self.story.append(f"open {self.version}")
        yield self.version
        self.story.append(f"close {self.version}")

    @hookimpl
    def dovetail_open_location(self, place: Place) -> AbstractAsyncContextManager[str]:
        return self._open()

    @hookimpl
    def dovetail_register_tools(
        self, register: Register[Tool[Any, Any]], place: Place
    ) -> None:
        assert place.resource == self.version
        register(tool("life", self.version))
        if self.fails == "item":
            register(Tool("bad name!", "No.", Nothing, tool("x", "").execute))

    @hookimpl
    def dovetail_register_context(self, register: Register[ContextSource]) -> None:
        async def observe() -> Observation:
            return Observation(self.version)

        register(ContextSource("life/version", observe))
        if self.fails == "hook":
            raise LookupError("half way")


async def offered(place: LocationHandle) -> dict[str, str]:
    return {one.name: one.description for one in await place.tools()}


@pytest.mark.law("plugins.3")
async def test_a_replacement_is_opened_before_and_the_old_one_closed_after(
    tmp_path: Path,
) -> None:
    story: list[str] = []
    gate = Gate()
    async with host(
        tmp_path, ScriptedProvider(), plugins=[Life(story, "1")]
    ) as runtime:
        place = runtime.location(tmp_path)
        assert await offered(place) == {"life": "Say 1."}
        with anyio.fail_after(HANG):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(
                    place.plugins.replace, "life", Life(story, "2", entering=gate)
                )
                await gate.reached()
                # While the new one opens, the old one works.
                assert await offered(place) == {"life": "Say 1."}
                assert story == ["open 1"]
                gate.open()
            assert await offered(place) == {"life": "Say 2."}
            assert story == ["open 1", "open 2", "close 1"]
            (state,) = [one for one in await place.plugins.list() if one.name == "life"]
            assert state.state == "open"
            assert state.contributions == ("tool life", "context source life/version")
    assert story[-1] == "close 2"


@pytest.mark.law("plugins.3")
@pytest.mark.parametrize("fails", ["open", "item", "hook"])
async def test_a_replacement_that_fails_leaves_the_old_one_working(
    tmp_path: Path, fails: str
) -> None:
    story: list[str] = []
    provider = ScriptedProvider(calls(call("life", {})), text("done"))
    async with host(tmp_path, provider, plugins=[Life(story, "1")]) as runtime:
        place = runtime.location(tmp_path)
        services = runtime._locations
        graph = await services.acquire(place.location)
        advertised = graph.tools.advertise()
        with anyio.fail_after(HANG):
            with pytest.raises(PluginError):
                await place.plugins.replace("life", Life(story, "2", fails=fails))
            # Nothing was made stale: what was advertised is what is offered.
            assert graph.tools.advertise() is advertised
            entry = advertised.get("life")
            assert entry is not None
            assert entry.active
            assert graph.context.owner("life/version") == "life"
            assert "close 1" not in story
            assert story.count("open 2") == story.count("close 2")
            session = await runtime.sessions.create(
                location=tmp_path, model=provider.model
            )
            await session.prompt("go")
            assert (await session.wait()).succeeded
        asked = (await session.history())[1]
        assert isinstance(asked, AssistantMessage)
        assert asked.calls[0].content[0].text == "1"  # type: ignore[union-attr]


@pytest.mark.law("plugins.1")
async def test_what_is_no_plugin_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    class Misspelt:
        @hookimpl
        def dovetail_register_tool(self, register: Any) -> None: ...

    async with host(tmp_path, ScriptedProvider(), tool("a", "a")) as runtime:
        place = runtime.location(tmp_path)
        before = await place.plugins.list()
        with pytest.raises(PluginInvalidError, match="did you mean"):
            await place.plugins.add(Misspelt())
        with pytest.raises(PluginInvalidError):
            await place.plugins.replace("test-tools", Misspelt())
        with pytest.raises(PluginNotFoundError, match="did you mean 'test-tools'"):
            await place.plugins.replace("test-tool", Tools())
        with pytest.raises(PluginNotFoundError):
            await place.plugins.remove("nobody")
        with pytest.raises(ConflictError):
            await place.plugins.add(Tools(tool("a", "b")))
        assert await place.plugins.list() == before
        assert await offered(place) == {"a": "Say a."}


@pytest.mark.law("plugins.2")
async def test_removing_reveals_what_was_hidden_and_closes(tmp_path: Path) -> None:
    story: list[str] = []
    base = Tools(tool("life", "base"), tool("other", "base"), name="base")
    async with host(tmp_path, ScriptedProvider(), plugins=[base]) as runtime:
        place = runtime.location(tmp_path)
        added = await place.plugins.add(Life(story, "1"), name="later")
        assert added.name == "later"
        assert await offered(place) == {"life": "Say 1.", "other": "Say base."}
        await place.plugins.remove("later")
        assert await offered(place) == {"life": "Say base.", "other": "Say base."}
        assert story == ["open 1", "close 1"]
        assert "later" not in {one.name for one in await place.plugins.list()}
        await place.plugins.remove("base")
        assert await offered(place) == {}


@pytest.mark.law("plugins.2")
async def test_a_replacement_stays_where_the_old_one_was(tmp_path: Path) -> None:
    """What hid the old one's tool hides the new one's too."""
    below, above = Tools(tool("x", "a"), name="a"), Tools(tool("x", "b"), name="b")
    async with host(tmp_path, ScriptedProvider(), plugins=[above, below]) as runtime:
        place = runtime.location(tmp_path)
        await place.plugins.replace("a", Tools(tool("x", "new a"), tool("y", "y")))
        assert await offered(place) == {"x": "Say b.", "y": "Say y."}
        names = [one.name for one in await place.plugins.list()]
        assert names.index("a") < names.index("b")


@pytest.mark.law("plugins.4")
async def test_changes_of_one_name_wait_for_each_other(tmp_path: Path) -> None:
    story: list[str] = []
    first, second = Gate(), Gate()
    async with host(
        tmp_path, ScriptedProvider(), plugins=[Life(story, "1")]
    ) as runtime:
        place = runtime.location(tmp_path)
        await place
        with anyio.fail_after(HANG):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(
                    place.plugins.replace, "life", Life(story, "2", entering=first)
                )
                await first.reached()
                tasks.start_soon(
                    place.plugins.replace, "life", Life(story, "3", entering=second)
                )
                # Another name does not wait.
                await place.plugins.add(Tools(tool("free", "free"), name="free"))
                await anyio.wait_all_tasks_blocked()
                second.open()
                await anyio.wait_all_tasks_blocked()
                assert story == ["open 1"]
                first.open()
        assert story == ["open 1", "open 2", "close 1", "open 3", "close 2"]


@pytest.mark.law("plugins.4")
async def test_a_change_in_one_location_is_not_seen_in_another(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.mkdir()
    b.mkdir()
    async with host(tmp_path, ScriptedProvider(), tool("x", "x")) as runtime:
        here, there = runtime.location(a), runtime.location(b)
        await here.plugins.add(Tools(tool("only", "here"), name="only"))
        await here.plugins.remove("test-tools")
        assert await offered(here) == {"only": "Say here."}
        assert await offered(there) == {"x": "Say x."}


@pytest.mark.law("plugins.3")
async def test_a_cancelled_replacement_changes_nothing(tmp_path: Path) -> None:
    story: list[str] = []
    gate = Gate()
    async with host(
        tmp_path, ScriptedProvider(), plugins=[Life(story, "1")]
    ) as runtime:
        place = runtime.location(tmp_path)
        await place
        with anyio.fail_after(HANG):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(
                    place.plugins.replace, "life", Life(story, "2", entering=gate)
                )
                await gate.reached()
                tasks.cancel_scope.cancel()
            assert await offered(place) == {"life": "Say 1."}
            assert story == ["open 1"]
            await place.plugins.replace("life", Life(story, "3"))
        assert await offered(place) == {"life": "Say 3."}


@pytest.mark.law("tools.3")
async def test_a_call_of_a_tool_that_was_replaced_is_stale(tmp_path: Path) -> None:
    gate = Gate()
    provider = ScriptedProvider([gate, *calls(call("life", {}))], text("done"))
    async with host(tmp_path, provider, plugins=[Life([], "1")]) as runtime:
        place = runtime.location(tmp_path)
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            await gate.reached()
            await place.plugins.replace("life", Life([], "2"))
            gate.open()
            assert (await session.wait()).succeeded
        asked = (await session.history())[1]
        assert isinstance(asked, AssistantMessage)
        failure = asked.calls[0].failure
        assert failure is not None
        assert failure.code == "tool.stale"
        # The next request offers the new one.
        assert [one.description for one in provider.requests[1].tools] == ["Say 2."]


async def test_a_call_that_runs_goes_on_with_its_own_object(tmp_path: Path) -> None:
    gate = Gate()

    async def wait(input: Nothing, context: ToolContext) -> str:
        await gate.pass_through()
        return "the old one"

    old = Tool("wait", "Wait.", Nothing, wait, effect="pure")
    provider = ScriptedProvider(calls(call("wait", {})), text("done"))
    async with host(tmp_path, provider, old) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        await session.prompt("go")
        with anyio.fail_after(HANG):
            await gate.reached()
            place = runtime.location(tmp_path)
            await place.plugins.replace("test-tools", Tools(tool("wait", "new")))
            gate.open()
            assert (await session.wait()).succeeded
        [_, asked, _] = await session.history()
        assert isinstance(asked, AssistantMessage)
        assert asked.calls[0].content[0].text == "the old one"  # type: ignore[union-attr]


async def test_a_context_source_may_be_replaced_under_its_own_key(
    tmp_path: Path,
) -> None:
    """A key is offered once, and for an instant the old and the new one are there."""
    async with host(tmp_path, ScriptedProvider(), plugins=[Life([], "1")]) as runtime:
        place = runtime.location(tmp_path)
        await place.plugins.replace("life", Life([], "2"))
        graph = await runtime._locations.acquire(place.location)
        keys = {one.key: one for one in graph.context.sources()}
        said = await keys["life/version"].observe()
        assert said is not None
        assert said.baseline == "2"


async def test_a_plugin_may_register_later_until_it_is_closed(tmp_path: Path) -> None:
    kept: list[Any] = []

    class Late:
        name = "late"

        @hookimpl
        def dovetail_register_tools(self, register: Any) -> None:
            kept.append(register)

    async with host(tmp_path, ScriptedProvider(), plugins=[Late()]) as runtime:
        place = runtime.location(tmp_path)
        assert await offered(place) == {}
        kept[0](tool("late", "late"))
        assert await offered(place) == {"late": "Say late."}
        await place.plugins.remove("late")
        kept[0](tool("ghost", "ghost"))
        assert await offered(place) == {}


@pytest.mark.law("plugins.5")
async def test_an_added_plugin_takes_the_place_that_it_declares(tmp_path: Path) -> None:
    class First(Tools):
        before = ("test-tools",)

    async with host(tmp_path, ScriptedProvider(), tool("x", "old")) as runtime:
        place = runtime.location(tmp_path)
        await place.plugins.add(Tools(tool("x", "later"), name="later"))
        assert await offered(place) == {"x": "Say later."}
        await place.plugins.add(First(tool("x", "first"), name="zz"))
        names = [one.name for one in await place.plugins.list()]
        assert names.index("zz") < names.index("test-tools")
        # The other now comes after what it was told to come after, so it hides it.
        assert await offered(place) == {"x": "Say old."}
        await place.plugins.remove("zz")
        assert await offered(place) == {"x": "Say later."}


async def test_nothing_is_changed_when_the_runtime_closes_meanwhile(
    tmp_path: Path,
) -> None:
    gate, refused = Gate(), []
    async with anyio.create_task_group() as tasks:
        with anyio.fail_after(HANG):
            async with host(tmp_path, ScriptedProvider()) as runtime:
                place = runtime.location(tmp_path)
                await place

                async def add() -> None:
                    try:
                        await place.plugins.add(Life([], "1", entering=gate))
                    except (RuntimeClosedError, PluginError) as error:
                        refused.append(type(error))

                tasks.start_soon(add)
                await gate.reached()
    assert refused in ([RuntimeClosedError], [PluginError])
