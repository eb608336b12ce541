"""What goes on: each durable event exactly once, and nothing left of who has gone."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from dovetail.kernel import event_from_json, event_to_json
from dovetail.kernel.testing import Gate, ScriptedProvider, text
from dovetail.plugins.http import door, stream
from dovetail.plugins.http.door import encoded
from hypothesis import given, strategies as st
from support.bounds import HANG
from support.doors import MODEL, Served, served

Frame = dict[str, Any]


async def frames(answer: httpx.Response) -> AsyncGenerator[Frame]:
    """Yield the events of a stream: its name, its id and what it says."""
    assert isinstance(answer.stream, httpx.AsyncByteStream)
    rest = b""
    async with aclosing(aiter(answer.stream)) as parts:
        async for part in parts:
            *whole, rest = (rest + part).split(b"\n\n")
            for one in whole:
                lines = [line.split(": ", 1) for line in one.decode().split("\n")]
                found: Frame = {name: value for name, value in lines if name}
                if found:
                    found["data"] = json.loads(found["data"])
                    yield found


@asynccontextmanager
async def following(
    it: Served, path: str, **options: Any
) -> AsyncIterator[AsyncIterator[Frame]]:
    async with it.http.stream("GET", f"/api/{path}", **options) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        async with aclosing(frames(answer)) as found:
            yield found


async def prompted(it: Served, id: str = "ses_a", words: str = "Hi") -> None:
    session = await it.runtime.sessions.create(id, ".", "scripted/model")
    await session.prompt(words)
    await session.wait()


async def recorded(it: Served, id: str = "ses_a") -> list[int]:
    session = await it.runtime.sessions.get(id)
    return [event.seq async for event in session.events()]


async def test_a_session_is_read_and_followed_with_one_mark_between() -> None:
    async with served(ScriptedProvider(text("One"), text("Two"))) as it:
        await prompted(it)
        there = await recorded(it)
        with anyio.fail_after(HANG):
            async with following(it, "session/ses_a/event") as found:
                read = [await anext(found) for _ in there]
                assert [int(one["id"]) for one in read] == there
                mark = await anext(found)
                assert mark["event"] == "synced"
                assert mark["data"] == {"type": "synced", "cursor": there[-1]}
                await prompted(it, words="More")
                new = (await recorded(it))[len(there) :]
                assert [int((await anext(found))["id"]) for _ in new] == new
        for one in read:
            event = event_from_json(one["data"]["data"])
            assert event.kind == one["data"]["type"]
            assert event_to_json(event) == one["data"]["data"]


async def test_a_reader_goes_on_after_its_cursor_however_it_says_so() -> None:
    async with served(ScriptedProvider(text("One"))) as it:
        await prompted(it)
        there = await recorded(it)
        for options in (
            {"params": {"after": "3", "follow": "false"}},
            {"params": {"follow": "false"}, "headers": {"Last-Event-ID": "3"}},
            {
                "params": {"after": "0", "follow": "false"},
                "headers": {"Last-Event-ID": "3"},
            },
        ):
            async with following(it, "session/ses_a/event", **options) as found:
                read = [one async for one in found]
            assert [int(one["id"]) for one in read[:-1]] == there[4:]
            assert read[-1]["event"] == "synced"


@pytest.mark.parametrize("cursor", ["x", "-2", "1.5", "١", "1e9", "9" * 30, "a\tb"])
async def test_a_cursor_that_is_none_is_refused(cursor: str) -> None:
    async with served() as it:
        await it.runtime.sessions.create("ses_a")
        for path in ("session/ses_a/event", "log"):
            told = await it.ask("GET", path, 400, params={"after": cursor})
            assert told["_tag"] == "InvalidCursorError"
            assert told["code"] == "cursor.invalid"
        await it.ask("GET", "session/ses_b/event", 404)


@pytest.mark.law("events.5")
async def test_each_event_comes_once_wherever_the_connection_is_cut() -> None:
    """A thousand connections, each cut after some bytes, while sessions run."""
    model = ScriptedProvider(*(text(f"Answer {n}") for n in range(20)))
    async with served(model) as it:
        seen: list[tuple[str, int]] = []
        cursor = "-1"
        cuts = 0
        done = anyio.Event()

        async def work() -> None:
            async with anyio.create_task_group() as tasks:
                for number in range(20):
                    tasks.start_soon(prompted, it, f"ses_{number}")
            done.set()

        async def read(after: str, size: int) -> str:
            """Take so many bytes, and return the cursor of the last whole event."""
            data = b""
            url = f"/api/log?after={after}&follow=false"
            async with (
                it.http.stream("GET", url) as answer,
                aclosing(aiter(answer.stream)) as parts,
            ):
                async for part in parts:
                    data += part
                    if len(data) >= size:
                        break
            whole = data[:size].rpartition(b"\n\n")[0]
            for one in whole.split(b"\n\n"):
                lines = dict(
                    line.split(b": ", 1) for line in one.split(b"\n") if b": " in line
                )
                if b"id" in lines:
                    after = lines[b"id"].decode()
                    event = json.loads(lines[b"data"])
                    mark = event["durable"]
                    seen.append((mark["aggregateID"], mark["seq"]))
            return after

        with anyio.fail_after(HANG):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(work)
                while cuts < 1000 or not done.is_set():
                    cursor = await read(cursor, 200 + cuts * 37 % 3000)
                    cuts += 1
                await read(cursor, 10**9)
        assert len(seen) == len(set(seen))
        for number in range(20):
            own = [seq for name, seq in seen if name == f"ses_{number}"]
            assert own == await recorded(it, f"ses_{number}")


async def test_what_happens_is_watched_with_its_deltas() -> None:
    gate = Gate()
    async with served(ScriptedProvider([gate, *text("He", "llo")])) as it:
        with anyio.fail_after(HANG):
            async with following(it, "event") as found, following(it, "event") as other:
                first = await anext(found)
                assert first["data"]["type"] == "server.connected"
                assert (await anext(other))["data"] == first["data"]
                session = await it.runtime.sessions.create(
                    "ses_a", ".", "scripted/model"
                )
                await session.prompt("Hi")
                gate.open()
                await session.wait()
                kinds = []
                words = ""
                while "execution.ended" not in kinds:
                    one = (await anext(found))["data"]
                    assert (await anext(other))["data"] == one
                    kinds.append(one["type"])
                    if one["type"] == "live.delta":
                        words += one["data"]["text"]
                assert words == "Hello"
                assert "prompt.admitted" in kinds


async def test_a_slow_reader_is_dropped_alone_and_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # It takes nothing for as long as the other one takes thousands.
    monkeypatch.setattr(door, "SEND_SECONDS", 10 * HANG)
    async with served(ScriptedProvider()) as it:
        session = await it.runtime.sessions.create("ses_a")
        with anyio.fail_after(HANG):
            async with following(it, "event") as slow, following(it, "event") as quick:
                await anext(slow)
                await anext(quick)
                for number in range(4_200):
                    await session.rename(f"Title {number}")
                    await anext(quick)
                read = [one async for one in slow]
                assert read[-1]["event"] == "end"
                assert read[-1]["data"]["code"] == "live.overflow"
                await session.rename("Still there")
                last = (await anext(quick))["data"]
                assert last["data"]["title"] == "Still there"


async def test_whoever_follows_is_told_when_the_door_closes() -> None:
    async with served() as it:
        await it.runtime.sessions.create("ses_a")
        with anyio.fail_after(HANG):
            for path in ("event", "log", "session/ses_a/event"):
                async with following(it, path) as found:
                    read = [await anext(found)]
                    it.door.close()
                    read += [one async for one in found]
                    assert read[-1]["event"] == "end"
                    assert read[-1]["data"]["code"] == "server.closing"
                it.door.closing = anyio.Event()


async def test_silence_is_broken_by_a_sign_of_life(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with served() as it:

        @asynccontextmanager
        async def opened() -> AsyncIterator[Any]:
            async with it.runtime.live_lines() as lines:
                yield lines

        found = b""
        shown = stream.EventStream(it.door, opened, ping=0.001)

        async def receive() -> Any:
            await anyio.sleep_forever()

        with anyio.fail_after(HANG):
            async with anyio.create_task_group() as tasks:

                async def send(message: Any) -> None:
                    nonlocal found
                    found += message.get("body", b"")
                    if found.count(stream.PING) == 4:
                        tasks.cancel_scope.cancel()

                tasks.start_soon(shown, {"method": "GET"}, receive, send)
        assert found == stream.PING * 4


async def test_a_thousand_who_came_and_went_leave_nothing() -> None:
    async with served() as it:
        await it.runtime.sessions.create("ses_a")
        with anyio.fail_after(HANG):
            for number in range(1000):
                path = ("event", "log", "session/ses_a/event")[number % 3]
                async with following(it, path) as found:
                    await anext(found)
            await left(it)
        assert not it.door._waiting
        assert not it.runtime._log.live.watched


async def left(it: Served) -> None:
    while it.transport.running:
        await anyio.lowlevel.checkpoint()


@given(st.text(), st.text(alphabet="\n\r\u2028\u2029\x00 :", max_size=20))
def test_no_text_breaks_a_frame(words: str, odd: str) -> None:
    made = stream.frame(encoded({"text": words + odd}), event="x", id="1")
    head, _, rest = made.partition(b"data: ")
    assert head == b"event: x\nid: 1\n"
    assert rest.endswith(b"\n\n")
    assert rest.count(b"\n") == 2
    assert b"\r" not in rest
    assert json.loads(rest)["text"] == words + odd


async def test_a_page_of_the_log_says_whether_more_comes(tmp_path: Path) -> None:
    async with served(ScriptedProvider(text("One"))) as it:
        await it.ask("POST", "session", json={"id": "ses_a", "model": MODEL})
        await prompted(it)
        there = await recorded(it)
        page = await it.ask("GET", "session/ses_a/history?limit=4")
        assert [one["durable"]["seq"] for one in page["data"]] == there[:4]
        assert page["hasMore"] is True
        rest = await it.ask("GET", "session/ses_a/history?after=3")
        assert [one["durable"]["seq"] for one in rest["data"]] == there[4:]
        assert rest["hasMore"] is False


async def test_a_page_of_the_log_has_only_the_kinds_that_are_asked_for() -> None:
    async with served(ScriptedProvider(text("One"), text("Two"))) as it:
        await it.ask("POST", "session", json={"id": "ses_a", "model": MODEL})
        await prompted(it)
        await prompted(it)
        asked = "session/ses_a/history?kinds=step.started,step.ended"
        both = ["step.started", "step.ended"]
        page = await it.ask("GET", f"{asked}&limit=3")
        assert [one["type"] for one in page["data"]] == [*both, both[0]]
        assert page["hasMore"] is True
        last = page["data"][-1]["durable"]["seq"]
        rest = await it.ask("GET", f"{asked}&after={last}")
        assert [one["type"] for one in rest["data"]] == both[1:]
        assert rest["hasMore"] is False
        assert (await it.ask("GET", "session/ses_a/history?kinds=none"))["data"] == []
