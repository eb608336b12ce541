"""Real data goes through prompts, tools, events, projections, export and import as it
is, or is refused with a typed error and leaves nothing behind."""

import base64
import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import frozen
from dovetail.kernel import (
    AssistantMessage,
    DovetailError,
    Event,
    InvalidValueError,
    Prompt,
    PromptFile,
    PromptInvalidError,
    Tool,
    ToolCall,
    ToolContext,
    UndecodableError,
    UserMessage,
)
from dovetail.kernel.log.reading import event_of
from dovetail.kernel.log.tail import Tail
from dovetail.kernel.testing.scripted import ScriptedProvider, call, calls, text
from dovetail.kernel.upkeep.rebuild import rebuild
from dovetail.kernel.upkeep.replay import Export, ExportedEvent, Replay
from dovetail.storage.sqlite.store import open_sqlite
from support.bounds import HANG
from support.hosts import host
from support.logs import log_on
from support.rooms import everything, unsound


def naughty(corpus: Any) -> list[str]:
    return list(corpus("naughty-strings").json("blns.json"))


def utf8_lines(corpus: Any) -> list[bytes]:
    path: Path = corpus("utf8tests").path
    return (path / "utf8tests.bin").read_bytes().splitlines()


def json_cases(corpus: Any) -> list[tuple[str, str, bytes]]:
    return [
        (case["name"], case["expect"], base64.b64decode(case["b64"]))
        for case in corpus("json-test-suite").lines("test_parsing.jsonl")
    ]


async def carried_over(folder: Path, session_id: str) -> list[Event]:
    """Rebuild a session, carry it to another file by lines, and return its events
    there, having compared everything on the way."""
    async with (
        open_sqlite(folder / "test.db") as here,
        open_sqlite(folder / "other.db") as there,
    ):
        source, target = log_on(here), log_on(there)
        before = await here.read(everything)
        await here.transact(lambda tx: rebuild(tx, session_id))
        assert await here.read(everything) == before
        export = Export(source, session_id, None, follow=False)
        lines = [one.to_line() async for one in export]
        # Through text and back, as through a file or a pipe.
        piped = "\n".join(lines).encode().decode().split("\n")
        events = [ExportedEvent.from_line(line) for line in piped]
        await target.commit(Replay(events).commit)
        assert await there.read(unsound) == []
        found = [await _events(log, session_id) for log in (source, target)]
        assert found[0] == found[1]
        records = [
            await one.read(lambda rows: rows.events(session_id, limit=100_000))
            for one in (here, there)
        ]
        assert [r.data for r in records[0]] == [r.data for r in records[1]]
        assert [event_of(record) for record in records[1]] == found[1]
        source.close()
        target.close()
    return found[1]


async def _events(log: Any, session_id: str) -> list[Event]:
    return [event async for event in Tail(log, session_id, None, follow=False)]


def in_answers(made: list[ToolCall]) -> list[list[Any]]:
    """Return answers that make these calls, as many in each as an answer may hold."""
    return [calls(*made[first : first + 200]) for first in range(0, len(made), 200)]


async def test_naughty_strings_stay_what_they_are_everywhere(
    tmp_path: Path, corpus: Any, anyio_backend: str
) -> None:
    """As prompts, titles, file names, answers, arguments and results of tools."""
    strings = [one for one in naughty(corpus) if one.strip()]
    # To a string it is the same which event loop runs: each has half of them.
    strings = strings[anyio_backend == "trio" :: 2]

    @frozen
    class Words:
        words: str

    heard: list[str] = []

    async def echo(input: Words, context: ToolContext) -> str:
        heard.append(input.words)
        return input.words

    said = [one for one in strings if len(one) < 200]
    provider = ScriptedProvider(
        *in_answers(
            [call("echo", {"words": s}, id=f"c{n}") for n, s in enumerate(said)]
        ),
        text(*strings),
    )
    tool = Tool("echo", "Echo.", Words, echo)
    async with host(tmp_path, provider, tool) as runtime:
        session = await runtime.sessions.create(
            id="s", location=tmp_path, model=provider.model
        )
        for one in strings:
            data = base64.b64encode(one.encode()).decode()
            prompt = Prompt(one, (PromptFile(one, "text/plain", data),))
            await session.prompt(prompt, resume=False)
            await session.rename(one[:200])
            assert (await session.info()).title == one[:200]
        with anyio.fail_after(HANG):
            assert (await session.resume()).succeeded
        history = await session.history()
        users = [one for one in history if isinstance(one, UserMessage)]
        answers = [one for one in history if isinstance(one, AssistantMessage)]
        assert [one.text for one in users] == strings
        assert [one.files[0].name for one in users] == strings
        made = [part for answer in answers for part in answer.calls]
        assert [part.text for part in made] == said
        assert sorted(heard) == sorted(said)
        assert answers[-1].text == "".join(strings)
        paged = []
        page = await session.messages(limit=200, order="asc")
        paged += page.items
        while page.cursor:
            page = await session.messages(200, page.cursor, "asc")
            paged += page.items
        assert paged == list(history)
    await carried_over(tmp_path, "s")


async def test_bytes_that_are_no_utf8_are_refused_or_read_with_replacement(
    tmp_path: Path, corpus: Any
) -> None:
    """Text that cannot be encoded is refused; what a reader made of it is kept."""
    lines = utf8_lines(corpus)
    provider = ScriptedProvider()
    kept: list[str] = []
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(id="s", location=tmp_path)
        for line in lines:
            if not line.strip():
                continue
            shown = line.decode(errors="replace")
            await session.prompt(shown, resume=False)
            kept.append(shown)
            halved = line.decode(errors="surrogateescape")
            if halved == shown:
                continue
            with pytest.raises(PromptInvalidError):
                await session.prompt(halved, resume=False)
            with pytest.raises(DovetailError) as caught:
                await session.rename(halved[:200])
            assert isinstance(caught.value, InvalidValueError), caught.value.code
        assert [one.prompt.text for one in await session.pending()] == kept
    events = await carried_over(tmp_path, "s")
    assert len(events) == 1 + len(kept)


async def test_json_texts_are_kept_as_arguments_to_the_letter(
    tmp_path: Path, corpus: Any
) -> None:
    """Sound or not, what a model wrote is what the log says, as far as it is text;
    and what is no JSON never reaches a tool."""
    cases = [
        (name, expect, data.decode(errors="replace"))
        for name, expect, data in json_cases(corpus)
        # Deep nesting is in the tests of the codec; it would only make this slow.
        if len(data) < 10_000
    ]
    ran: list[str] = []

    @frozen
    class Anything:
        pass

    async def take(input: Anything, context: ToolContext) -> str:
        ran.append(context.call_id)
        return "taken"

    provider = ScriptedProvider(
        *in_answers(
            [call("take", data, id=f"c{n}") for n, (*_, data) in enumerate(cases)]
        ),
        text("done"),
    )
    async with host(
        tmp_path, provider, Tool("take", "Take.", Anything, take)
    ) as runtime:
        session = await runtime.sessions.create(
            id="s", location=tmp_path, model=provider.model
        )
        await session.prompt("go")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded
        made = [
            part
            for one in await session.history()
            if isinstance(one, AssistantMessage)
            for part in one.calls
        ]
        assert [part.arguments for part in made] == [d for *_, d in cases]
        assert all(part.settled for part in made)
    for call_id in ran:
        data = cases[int(call_id[1:])][2]
        assert data.strip() == "" or isinstance(json.loads(data), dict), data
    await carried_over(tmp_path, "s")


async def test_a_line_that_is_no_event_is_refused_and_nothing_is_written(
    tmp_path: Path, corpus: Any
) -> None:
    """Whatever bytes are imported, sound JSON or not."""
    lines = [data for _, _, data in json_cases(corpus)]
    lines += [one.encode("utf-8", "surrogatepass") for one in naughty(corpus)]
    lines += utf8_lines(corpus)
    for line in lines:
        with pytest.raises(DovetailError) as caught:
            ExportedEvent.from_line(line)
        assert isinstance(caught.value, UndecodableError), line[:80]


async def test_any_json_as_the_data_of_an_event_is_taken_as_it_is_or_refused(
    tmp_path: Path, corpus: Any
) -> None:
    """An import of foreign data decides by type; what it takes reads back the same."""
    head = {"session_id": "s", "version": 1, "created": 5}
    first = {**head, "seq": 0, "kind": "session.created", "data": {"directory": "/w"}}
    texts = [data for _, _, data in json_cases(corpus)]
    texts += [json.dumps(one).encode() for one in naughty(corpus)]
    taken = 0
    async with open_sqlite(tmp_path / "test.db") as store:
        log = log_on(store)
        await log.commit(Replay([ExportedEvent.from_line(json.dumps(first))]).commit)
        for raw in texts:
            title = b'{"title":' + raw + b"}"
            envelope = json.dumps({**head, "kind": "session.titled"}).encode()[:-1]
            line = envelope + b',"seq":%d,"data":%s}' % (taken + 1, title)
            try:
                event = ExportedEvent.from_line(line)
                await log.commit(Replay([event]).commit)
            except DovetailError:
                found = await log.read(lambda rows: rows.head("s"))
                assert found is not None
                assert found.seq == taken
            else:
                taken += 1
                row = await log.read(lambda rows: rows.session("s"))
                assert row is not None
                assert row.title == json.loads(raw)
        assert taken > 400
        log.close()
    assert len(await carried_over(tmp_path, "s")) == taken + 1
