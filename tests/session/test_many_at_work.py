"""Many sessions at work in one process, and copies of the log that are behind.

What a process keeps of a log saves reads, and nothing is decided from it alone.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest
from anyio import to_thread
from attrs import frozen
from dovetail.kernel import (
    AssistantMessage,
    ContextSource,
    ModelRequest,
    Observation,
    Place,
    Register,
    Tool,
    ToolContext,
    hookimpl,
    open_runtime,
)
from dovetail.kernel.execution import runner as runner_module
from dovetail.kernel.execution.runner import Runner
from dovetail.kernel.testing import ScriptedProvider, call, calls, text
from dovetail.kernel.testing.memory_store import MemoryStorePlugin
from dovetail.kernel.testing.scripted import Beat
from support.bounds import HANG
from support.hosts import Tools, host, kinds_of

MANY = 120
"""Sessions: more than there are worker threads, and than logs of which one is kept."""


class Counted:
    """A source that reads on a worker thread, as files are read, and counts."""

    def __init__(self) -> None:
        self.count = 0

    @hookimpl
    def dovetail_register_context(
        self, register: Register[ContextSource], place: Place
    ) -> None:
        register(ContextSource("test/observed", self.observe))

    async def observe(self) -> Observation:
        self.count += 1
        await to_thread.run_sync(place_of, __file__)
        return Observation("A place.")


def place_of(path: str) -> Path:
    return Path(path).resolve()


@frozen
class Mark:
    number: int


def answer(request: ModelRequest) -> Sequence[Beat]:
    """Two calls, then one more, then the answer."""
    made = sum(
        len(message.calls)
        for message in request.history.messages
        if isinstance(message, AssistantMessage)
    )
    if made == 3:
        return text("done")
    numbers = (0, 1) if made == 0 else (2,)
    return calls(*[call("mark", {"number": one}, id=f"c{one}") for one in numbers])


@pytest.mark.law("execution.13", "execution.6", "context.7")
async def test_however_many_are_at_work_each_makes_all_of_its_steps(
    tmp_path: Path,
) -> None:
    marked: Counter[tuple[str, int]] = Counter()
    at_work: set[str] = set()
    all_at_work = anyio.Event()

    async def mark(input: Mark, context: ToolContext) -> str:
        marked[context.session_id, input.number] += 1
        # Nobody goes on before everybody is in the middle of the work.
        at_work.add(context.session_id)
        if len(at_work) == MANY:
            all_at_work.set()
        await all_at_work.wait()
        return "marked"

    observed = Counted()
    provider = ScriptedProvider(*[answer] * (3 * MANY))
    async with open_runtime(
        "memory://many",
        plugins=[
            MemoryStorePlugin(),
            provider,
            observed,
            Tools(Tool("mark", "Mark.", Mark, mark, effect="unsafe")),
        ],
        load_entry_points=False,
        environment={"DOVETAIL_CONFIG": ""},
    ) as runtime:

        async def one(number: int) -> None:
            session = await runtime.sessions.create(
                f"s{number}", location=tmp_path, model=provider.model
            )
            await session.prompt("go")
            outcomes[session.id] = (await session.wait()).status
            steps[session.id] = (await session.info()).steps

        outcomes: dict[str, str] = {}
        steps: dict[str, int] = {}
        with anyio.fail_after(5 * HANG):
            async with anyio.create_task_group() as tasks:
                for number in range(MANY):
                    tasks.start_soon(one, number)
    names = [f"s{number}" for number in range(MANY)]
    assert Counter(outcomes.values()) == {"succeeded": MANY}
    assert Counter(steps.values()) == {3: MANY}
    assert marked == {(name, number): 1 for name in names for number in range(3)}
    # Once for the first Step of each at the most; as they came together, far less.
    assert observed.count <= MANY


@pytest.mark.law("execution.13")
@pytest.mark.parametrize("kept", [64, 0])
async def test_a_runner_that_hears_of_nothing_decides_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    """Nothing that is committed is told to its copies: all of it is read."""
    monkeypatch.setattr(Runner, "_observe", lambda *_: None)
    monkeypatch.setattr(runner_module, "KEPT_HISTORIES", kept)

    async def mark(input: Mark, context: ToolContext) -> str:
        await context.ask("mark", [str(input.number)])
        return "marked"

    provider = ScriptedProvider(*[answer] * 3, text("again"), text("and again"))
    tool = Tool("mark", "Mark.", Mark, mark, effect="unsafe")
    async with host(tmp_path, provider, tool, on_permission="allow") as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        with anyio.fail_after(HANG):
            await session.prompt("one")
            await session.prompt("two", delivery="queue")
            assert (await session.wait()).succeeded
            await session.prompt("three")
            assert (await session.wait()).succeeded
        kinds = await kinds_of(session)
        sent = [len(messages) for messages in provider.histories]
    assert kinds.count("tool.succeeded") == 3
    assert kinds.count("step.ended") == 5
    assert kinds.count("context.epoch_started") == kinds.count("facts.recorded") == 1
    # Each request holds all that came before it.
    assert sent == [1, 2, 3, 5, 7]
