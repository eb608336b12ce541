"""Managed Output: what was cut is read back by its own session, and by no other."""

import hashlib
import re
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import frozen
from dovetail.builtin_tools import BuiltinTools
from dovetail.kernel import (
    MessageNotFoundError,
    OutputNotFoundError,
    Runtime,
    Session,
    Tool,
    ToolContext,
    ToolFailure,
    ToolPart,
    open_runtime,
)
from dovetail.kernel.ports import Reader
from dovetail.kernel.testing import ScriptedProvider, call, calls, text
from dovetail.kernel.testing.memory_store import MemoryStorePlugin
from dovetail.storage.plugin import plugin as sqlite
from support.bounds import HANG
from support.hosts import Tools

MARKER = re.compile(r'read path="(managed:[0-9a-f]{64})" with offset=(\d+) ')

Open = Callable[[ScriptedProvider], AbstractAsyncContextManager[Runtime]]


@frozen
class Count:
    upto: int
    fails: bool = False


def counted(upto: int) -> str:
    return "".join(f"line {number}\n" for number in range(1, upto + 1))


async def _count(input: Count, context: ToolContext) -> str:
    if input.fails:
        raise ToolFailure(counted(input.upto))
    return counted(input.upto)


COUNT = Tool("count", "Count.", Count, _count, effect="pure")


@pytest.fixture(params=["sqlite", "memory"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Return a function that opens a runtime on one and the same store."""
    memory = MemoryStorePlugin()
    url = f"sqlite:///{tmp_path / 'test.db'}"
    if request.param == "memory":
        url = "memory://one"

    @asynccontextmanager
    async def runtime(model: ScriptedProvider) -> AsyncIterator[Runtime]:
        async with open_runtime(
            url,
            plugins=[sqlite, memory, BuiltinTools(), Tools(COUNT), model],
            load_entry_points=False,
            environment={"DOVETAIL_CONFIG": ""},
            on_permission="deny",
        ) as opened:
            yield opened

    return runtime


async def run(runtime: Runtime, folder: Path, id: str) -> Session:
    session = await runtime.sessions.create(id, location=folder, model="scripted/model")
    await session.prompt("go")
    with anyio.fail_after(HANG):
        assert (await session.wait()).succeeded
    return session


async def parts_of(session: Session) -> dict[str, tuple[str, ToolPart]]:
    """Return the calls of a session with the ids of their messages."""
    return {
        part.call_id: (message.id, part)
        for message in await session.history()
        for part in getattr(message, "parts", ())
        if isinstance(part, ToolPart)
    }


def told(part: ToolPart) -> str:
    """Return what the model is told of a call."""
    if part.failure is not None:
        return part.failure.message
    return "\n".join(one.text for one in part.content if hasattr(one, "text"))


def reading_on(call_id: str) -> Callable[[Any], Any]:
    """Return an answer that reads on where the last result was cut."""

    def answer(request: Any) -> Any:
        [part] = request.history.messages[-1].calls
        found = MARKER.search(told(part))
        assert found is not None
        return calls(
            call("read", {"path": found[1], "offset": int(found[2])}, id=call_id)
        )

    return answer


@pytest.mark.law("tools.6")
@pytest.mark.parametrize("fails", [False, True])
async def test_the_model_reads_on_where_its_result_was_cut(
    opened: Open, tmp_path: Path, fails: bool
) -> None:
    model = ScriptedProvider(
        calls(call("count", {"upto": 9000, "fails": fails}, id="count")),
        reading_on("rest"),
        text("done"),
    )
    async with opened(model) as runtime:
        session = await run(runtime, tmp_path, "one")
        parts = await parts_of(session)
        message_id, cut = parts["count"]
        rest = told(parts["rest"][1])
        shown, _, after = told(cut).partition("[... ")
        assert parts["rest"][1].state == "succeeded"
        # The first line that is read is the one after the last that was shown whole.
        last = shown.splitlines()[-1] if shown.endswith("\n") else ""
        assert last
        number = int(last.removeprefix("line "))
        assert rest.startswith(f"{number + 1}\tline {number + 1}\n")
        assert re.search(r"\(lines \d+-\d+ of 9,000: go on with offset=\d+\)\Z", rest)
        assert "left out here; to see them" in after
        assert await session.output(message_id, "count") == counted(9000)


@pytest.mark.law("tools.6")
async def test_it_is_there_after_the_process_ended(
    opened: Open, tmp_path: Path
) -> None:
    first = ScriptedProvider(calls(call("count", {"upto": 9000})), text("done"))
    async with opened(first) as runtime:
        session = await run(runtime, tmp_path, "one")
        message_id, cut = (await parts_of(session))["call_count"]
    found = MARKER.search(told(cut))
    assert found is not None
    path = found[1]
    then = ScriptedProvider(
        calls(call("read", {"path": path, "offset": 8999}, id="rest")), text("done")
    )
    async with opened(then) as runtime:
        session = await run(runtime, tmp_path, "one")
        _, rest = (await parts_of(session))["rest"]
        assert told(rest) == "8999\tline 8999\n9000\tline 9000"
        assert await session.output(message_id, "call_count") == counted(9000)


@pytest.mark.law("tools.6")
async def test_another_session_does_not_find_it_even_with_its_key(
    opened: Open, tmp_path: Path
) -> None:
    path = ""

    def steal(request: Any) -> Any:
        return calls(call("read", {"path": path}, id="steal"))

    model = ScriptedProvider(
        calls(call("count", {"upto": 9000})),
        text("done"),
        steal,
        # Who made the same output has it under the same key.
        calls(call("count", {"upto": 9000})),
        steal,
        text("done"),
    )
    async with opened(model) as runtime:
        owner = await run(runtime, tmp_path, "owner")
        message_id, cut = (await parts_of(owner))["call_count"]
        found = MARKER.search(told(cut))
        assert found is not None
        path = found[1]
        other = await run(runtime, tmp_path, "other")
        tried = [
            part
            for message in await other.history()
            for part in getattr(message, "calls", ())
            if part.call_id == "steal"
        ]
        assert [part.state for part in tried] == ["failed", "succeeded"]
        assert tried[0].failure is not None
        assert tried[0].failure.code == "output.not_found"
        with pytest.raises(MessageNotFoundError):
            await other.output(message_id, "call_count")


async def test_a_call_that_keeps_nothing_more_says_so(
    opened: Open, tmp_path: Path
) -> None:
    model = ScriptedProvider(calls(call("count", {"upto": 3})), text("done"))
    async with opened(model) as runtime:
        session = await run(runtime, tmp_path, "one")
        message_id, _ = (await parts_of(session))["call_count"]
        with pytest.raises(OutputNotFoundError, match="nothing else is kept"):
            await session.output(message_id, "call_count")
        with pytest.raises(OutputNotFoundError, match="no settled call"):
            await session.output(message_id, "call_other")
        with pytest.raises(MessageNotFoundError):
            await session.output("msg_other", "call_count")


@pytest.mark.law("tools.6")
async def test_what_is_lost_is_told_to_be_lost(tmp_path: Path) -> None:
    """As when a log was carried to another store without its complete outputs."""
    url = f"sqlite:///{tmp_path / 'test.db'}"

    @asynccontextmanager
    async def opened(model: ScriptedProvider) -> AsyncIterator[Runtime]:
        async with open_runtime(
            url,
            plugins=[sqlite, BuiltinTools(), Tools(COUNT), model],
            load_entry_points=False,
            environment={"DOVETAIL_CONFIG": ""},
        ) as runtime:
            yield runtime

    async with opened(
        ScriptedProvider(calls(call("count", {"upto": 9000})), text("done"))
    ) as runtime:
        session = await run(runtime, tmp_path, "one")
        message_id, cut = (await parts_of(session))["call_count"]
    found = MARKER.search(told(cut))
    assert found is not None
    key = bytes.fromhex(found[1].removeprefix("managed:"))
    with sqlite3.connect(tmp_path / "test.db") as database:
        gone = database.execute("delete from blob where digest = ?", (key,))
        assert gone.rowcount == 1
    database.close()
    model = ScriptedProvider(
        calls(call("read", {"path": found[1]}, id="rest")), text("done")
    )
    async with opened(model) as runtime:
        session = await run(runtime, tmp_path, "one")
        with pytest.raises(OutputNotFoundError, match="the rest is lost"):
            await session.output(message_id, "call_count")
        _, rest = (await parts_of(session))["rest"]
        assert rest.failure is not None
        assert rest.failure.code == "output.not_found"
        assert "lost" in rest.failure.message


@pytest.mark.law("storage.4")
@pytest.mark.law("tools.6")
async def test_a_pruned_session_leaves_no_complete_output_that_only_it_had(
    opened: Open, tmp_path: Path
) -> None:
    alike, alone = {"upto": 5000}, {"upto": 6000}
    model = ScriptedProvider(
        calls(call("count", alike, id="1"), call("count", alone, id="2")),
        text("done"),
        calls(call("count", alike, id="1")),
        text("done"),
    )
    async with opened(model) as runtime:
        mine = await run(runtime, tmp_path, "mine")
        other = await run(runtime, tmp_path, "other")
        parts = await parts_of(mine)
        done = await runtime.sessions.prune("mine", ("transcript",))
        # More than the message ever held.
        assert done.bytes > len(counted(6000))
        for message_id, part in parts.values():
            with pytest.raises(OutputNotFoundError):
                await mine.output(message_id, part.call_id)
        [(message_id, part)] = (await parts_of(other)).values()
        assert await other.output(message_id, part.call_id) == counted(5000)

        def kept(rows: Reader) -> list[bool]:
            values = (counted(5000), counted(6000))
            digests = [hashlib.sha256(value.encode()).hexdigest() for value in values]
            return [rows.blob(digest) is not None for digest in digests]

        assert await runtime._log.read(kept) == [True, False]
        await runtime.sessions.rebuild()
        await runtime.sessions.prune("other", ("transcript",))
        assert await runtime._log.read(kept) == [False, False]


@pytest.mark.law("tools.6")
@pytest.mark.parametrize(
    ("said", "lines"),
    [
        ("[tools.count]\nlines = 20", 20),
        ("[agents.build]\nlines = 10\n[tools.count]\nlines = 20", 10),
        ("[agents.build]\nlines = 30\n[tools.count]\nlines = 20", 20),
    ],
    ids=["tool", "agent", "both"],
)
async def test_as_much_is_shown_as_the_configuration_says_and_all_is_kept(
    opened: Open, tmp_path: Path, said: str, lines: int
) -> None:
    (tmp_path / "dovetail.toml").write_text(said)
    model = ScriptedProvider(calls(call("count", {"upto": 100})), text("done"))
    async with opened(model) as runtime:
        session = await run(runtime, tmp_path, "one")
        [(message, part)] = (await parts_of(session)).values()
        assert len(told(part).splitlines()) == lines
        assert MARKER.search(told(part))
        assert await session.output(message, part.call_id) == counted(100)
