"""What holds of a runtime in the process holds of one that a server offers."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Literal

import anyio
import httpx
import pytest
from dovetail.kernel import (
    ApprovalNotFoundError,
    Budget,
    ContinuationChangedError,
    CursorInvalidError,
    InputNotFoundError,
    InputNotPendingError,
    InvalidValueError,
    KeyInvalidError,
    LiveDelta,
    LocationNotFoundError,
    MessageNotFoundError,
    ModelUnknownError,
    NothingRevertedError,
    OutputNotFoundError,
    Prompt,
    PromptConflictError,
    PromptFile,
    PromptInvalidError,
    QuestionAnswer,
    RequestEndedError,
    RequestNotFoundError,
    Rule,
    Saving,
    ServerError,
    ServerUnreachableError,
    SessionNotFoundError,
)
from dovetail.kernel.testing import Gate, ScriptedProvider, call, calls, text
from dovetail.plugins.client import connect
from dovetail.plugins.http import Admittance
from support.asgi import StreamedTransport
from support.askers import AskingTools
from support.bounds import HANG
from support.doors import embedded, remote, served

Opened = Callable[..., AbstractAsyncContextManager[Any]]
MODEL = "scripted/model"
REQUEST_ANSWERED = "request.answered"


@pytest.fixture(params=[embedded, remote], ids=["embedded", "remote"])
def opened(request: pytest.FixtureRequest) -> Opened:
    made: Opened = request.param
    return made


async def test_a_session_is_made_prompted_followed_and_read(opened: Opened) -> None:
    model = ScriptedProvider(text("Hello ", "there"), text("Again"))
    async with opened(model) as runtime:
        session = await runtime.sessions.create(
            "ses_a", ".", MODEL, title="Greeting", budget=Budget(steps=9)
        )
        assert session.id == "ses_a"
        with anyio.fail_after(HANG):
            async with session.events(follow=True) as tail:
                first = await anext(tail)
                assert (first.kind, first.seq) == ("session.created", 0)
                receipt = await session.prompt("Hi", key="one")
                assert receipt == await session.prompt("Hi", key="one")
                kinds = []
                async for event in tail:
                    kinds.append(event.kind)
                    if event.kind == "execution.ended":
                        break
        assert kinds[0] == "prompt.admitted"
        assert (await session.wait()).succeeded
        messages = await session.messages(order="asc")
        assert [one.text for one in messages] == ["Hi", "Hello there"]
        assert await session.message(messages.items[0].id) == messages.items[0]
        assert list(await session.history()) == list(messages)
        page = await session.messages(1)
        rest = await session.messages(1, page.cursor)
        assert [page.items[0].text, rest.items[0].text] == ["Hello there", "Hi"]
        info = await session.info()
        assert (info.title, info.model, info.status) == ("Greeting", MODEL, "idle")
        assert [one.id for one in await runtime.sessions.list()] == ["ses_a"]
        [found] = await runtime.sessions.verify("ses_a")
        assert found.sound
        read = [one.event.seq async for one in runtime.events()]
        assert read == [one.seq async for one in session.events()]
        assert (await session.context())[0].cause == "first"


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_a_listing_is_walked_forth_and_back_in_either_order(
    opened: Opened, order: Literal["asc", "desc"]
) -> None:
    async with opened(ScriptedProvider(text("One"), text("Two"))) as runtime:
        for name in ("ses_a", "ses_b", "ses_c", "ses_d"):
            title = "Odd" if name == "ses_b" else "Even"
            await runtime.sessions.create(name, ".", MODEL, title=title)
        session = await runtime.sessions.get("ses_a")
        for word in ("First", "Second"):
            await session.prompt(word)
            with anyio.fail_after(HANG):
                await session.wait()

        async def sessions(cursor: str | None) -> tuple[list[str], Any]:
            # A cursor knows its order; what narrows the listing is given again.
            given = None if cursor else order
            page = await runtime.sessions.list(
                search="even", limit=1, cursor=cursor, order=given
            )
            return [one.id for one in page], page

        async def messages(cursor: str | None) -> tuple[list[str], Any]:
            page = await session.messages(2, cursor, None if cursor else order)
            return [one.text for one in page], page

        walked = [await _walked(sessions), await _walked(messages)]
    whole = [["ses_a"], ["ses_c"], ["ses_d"]], [["First", "One"], ["Second", "Two"]]
    if order == "desc":
        whole = [
            [one[::-1] for one in whole[0][::-1]],
            [one[::-1] for one in whole[1][::-1]],
        ]
    assert walked == [(forth, forth[:-1][::-1]) for forth in whole]


async def _walked(
    read: Callable[[str | None], Awaitable[tuple[list[str], Any]]],
) -> tuple[list[list[str]], list[list[str]]]:
    """Return the pages of a listing to its end, and those before the last one."""
    shown, page = await read(None)
    forth = [shown]
    while page.cursor is not None:
        shown, page = await read(page.cursor)
        forth.append(shown)
    back = []
    while True:
        shown, page = await read(page.previous)
        if not shown:
            assert (page.cursor, page.previous) == (None, None)
            return forth, back
        back.append(shown)
        # What it was asked for from stands after it.
        following, _ = await read(page.cursor)
        assert following == forth[forth.index(shown) + 1]


async def test_errors_are_of_the_same_class_with_the_same_facts(
    opened: Opened,
) -> None:
    async with opened() as runtime:
        with pytest.raises(SessionNotFoundError) as missing:
            await runtime.sessions.get("none")
        assert missing.value.name == "none"
        with pytest.raises(SessionNotFoundError):
            await runtime.sessions.get("../a/b")
        with pytest.raises(LocationNotFoundError):
            await runtime.sessions.create(location="/none/such")
        with pytest.raises(InvalidValueError):
            await runtime.sessions.create("a b")
        with pytest.raises(CursorInvalidError):
            await runtime.sessions.list(cursor="AAAA")
        session = await runtime.sessions.create("ses_a", ".", MODEL)
        with pytest.raises(PromptInvalidError):
            await session.prompt("  ")
        with pytest.raises(KeyInvalidError):
            await session.prompt("Hi", key=" ")
        await session.prompt("Hi", key="one", resume=False)
        with pytest.raises(PromptConflictError) as conflict:
            await session.prompt("Other", key="one")
        assert conflict.value.differs == ("prompt",)
        assert conflict.value.key == "one"
        with pytest.raises(MessageNotFoundError):
            await session.message("none")
        with pytest.raises(InputNotFoundError):
            await session.withdraw("none")
        with pytest.raises(NothingRevertedError):
            await session.unrevert()
        with pytest.raises(ContinuationChangedError):
            await session.resume(accept="other")
        with pytest.raises(RequestNotFoundError):
            await runtime.requests.reply("none", "once")
        with pytest.raises(ApprovalNotFoundError):
            await runtime.location(".").permissions.revoke("none")
        with pytest.raises(InvalidValueError):
            await runtime.sessions.list(parent="a", roots=True)


async def test_what_waits_is_seen_changed_and_taken_back(opened: Opened) -> None:
    async with opened() as runtime:
        session = await runtime.sessions.create("ses_a", ".", MODEL)
        file = PromptFile("a.txt", "text/plain", "SGk=")
        receipt = await session.prompt(
            Prompt("Look", (file,)), delivery="queue", resume=False, id="msg_a"
        )
        assert receipt.id == "msg_a"
        [waits] = await session.pending()
        assert waits.prompt == Prompt("Look", (file,))
        await session.deliver("msg_a", "steer")
        await session.withdraw("msg_a")
        assert not list(await session.pending())
        with pytest.raises(InputNotPendingError):
            await session.deliver("msg_a", "queue")


async def test_work_is_interrupted_and_goes_on_by_its_report(opened: Opened) -> None:
    gate = Gate()
    async with opened(ScriptedProvider([gate], text("Done"))) as runtime:
        session = await runtime.sessions.create("ses_a", ".", MODEL)
        assert not await session.interrupt()
        await session.prompt("Hi")
        await gate.reached()
        assert list(await runtime.sessions.active()) == ["ses_a"]
        assert await session.interrupt("enough")
        assert (await session.wait()).status == "interrupted"
        report = await session.continuation()
        outcome = await session.resume(accept=report.digest)
        assert outcome.succeeded
        assert not list(await runtime.sessions.active())


async def test_a_person_is_asked_and_answers(opened: Opened) -> None:
    model = ScriptedProvider(
        calls(call("paint")), calls(call("colour", id="one")), text("Done")
    )
    async with opened(model, AskingTools()) as runtime:
        session = await runtime.sessions.create("ses_a", ".", MODEL)
        here = runtime.location(".")
        await session.prompt("Paint")
        with anyio.fail_after(HANG):
            while not (found := list(await here.permissions.pending())):
                await anyio.lowlevel.checkpoint()
            [asked] = found
            assert asked.resources == ("fence",)
            [waits] = await runtime.requests.pending(session_id="ses_a")
            assert (waits.id, waits.what) == (asked.id, "permission")
            await here.permissions.reply(asked.id, "always", shown=asked.shown)
            with pytest.raises(RequestEndedError) as late:
                await runtime.requests.reply(asked.id, "reject")
            assert late.value.outcome == "answered"
            while not (found := list(await here.questions.pending())):
                await anyio.lowlevel.checkpoint()
        [saved] = await here.permissions.saved()
        await here.permissions.revoke(saved.id)
        answer = QuestionAnswer(("red",))
        await here.questions.reply(found[0].id, [answer], shown=found[0].shown)
        assert (await session.wait()).succeeded


async def test_a_permission_is_given_by_policy_and_kept_where_it_is_said(
    opened: Opened,
) -> None:
    model = ScriptedProvider(calls(call("paint")), text("Done"))
    async with opened(model, AskingTools()) as runtime:
        session = await runtime.sessions.create("ses_a", ".", MODEL)
        here = runtime.location(".")
        await session.prompt("Paint")
        with anyio.fail_after(HANG):
            while not (found := list(await here.permissions.pending("ses_a"))):
                await anyio.lowlevel.checkpoint()
        saving = Saving(scope="everywhere", any_agent=True)
        await here.permissions.reply(
            found[0].id, "always", by="policy", saving=saving, session_id="ses_a"
        )
        with pytest.raises(RequestEndedError):
            await here.permissions.reply(
                found[0].id, "once", by="policy", session_id="ses_a"
            )
        assert (await session.wait()).succeeded
        by = [one.by async for one in session.events() if one.kind == REQUEST_ANSWERED]
        assert by == ["policy"]
        [saved] = await here.permissions.saved()
        assert saved.agent is None


async def test_a_location_says_what_a_session_would_use_and_what_rules_mean(
    opened: Opened,
) -> None:
    async with opened(ScriptedProvider(), AskingTools()) as runtime:
        here = runtime.location(".")
        assert await here.model_for(MODEL) == MODEL
        with pytest.raises(ModelUnknownError):
            await here.model_for("nobody/model")
        rules, odd = await here.permissions.meaning([Rule("paint", "*", "allow")])
        assert rules[0] == Rule("paint", "*", "allow")
        rules, odd = await here.permissions.meaning([Rule("fly", "*", "allow")])
        assert len(odd) == 1


async def test_a_reader_is_ended_from_beside_it(opened: Opened) -> None:
    async with opened(ScriptedProvider()) as runtime:
        session = await runtime.sessions.create("ses_a", ".", MODEL)
        sources = session.events(follow=True), runtime.live(session_id="ses_a")
        for number, source in enumerate(sources):
            seen = anyio.Event()

            async def read(source: Any = source, seen: anyio.Event = seen) -> None:
                async for _ in source:
                    seen.set()

            with anyio.fail_after(HANG):
                async with anyio.create_task_group() as tasks, source:
                    tasks.start_soon(read)
                    await session.rename(f"Title {number}")
                    await seen.wait()
                    source.close()
                assert [one async for one in source] == []


async def test_what_happens_is_watched_with_its_deltas(opened: Opened) -> None:
    gate = Gate()
    async with opened(ScriptedProvider([gate, *text("He", "llo")])) as runtime:
        session = await runtime.sessions.create("ses_a", ".", MODEL)
        with anyio.fail_after(HANG):
            async with runtime.live(session_id="ses_a") as live:
                await session.prompt("Hi")
                gate.open()
                words, kinds = "", []
                async for event in live:
                    kinds.append(event.kind)
                    if isinstance(event, LiveDelta):
                        words += event.text
                    if event.kind == "execution.ended":
                        break
        assert words == "Hello"
        assert "prompt.promoted" in kinds


async def test_a_session_is_changed_forked_and_turned_back(
    opened: Opened, tmp_path: Path
) -> None:
    async with opened(ScriptedProvider(text("One"), text("Two"))) as runtime:
        session = await runtime.sessions.create("ses_a", ".", MODEL)
        for words in ("first", "second"):
            await session.prompt(words, id=words)
            await session.wait()
        fork = await session.fork(id="ses_b", title="Other way")
        assert (await fork.info()).forked_from == "ses_a"
        assert [one.session_id for one in await fork.lineage()] == ["ses_a"]
        plan = await session.plan_revert("first")
        done = await session.revert("first")
        assert done.plan.first == plan.first
        assert [one.id for one in await session.history()] == ["first"]
        await session.unrevert()
        await session.rename("Renamed")
        await session.switch_agent("plan")
        await session.switch_model("scripted/other")
        await session.set_budget(Budget(tokens=5))
        await session.instruct("Be brief.")
        await session.move(tmp_path)
        info = await session.info()
        assert info.title == "Renamed"
        assert (info.agent, info.model) == ("plan", "scripted/other")
        assert info.location.directory == str(tmp_path)
        assert not await session.todos()
        assert not await session.jobs()
        assert await session.compact() > 0


async def test_a_value_is_wanted_and_given(opened: Opened) -> None:
    schema = {
        "type": "object",
        "properties": {"colour": {"type": "string"}},
        "required": ["colour"],
    }
    async with opened(ScriptedProvider(text('{"colour": "blue"}'))) as runtime:
        session = await runtime.sessions.create("ses_a", ".", MODEL)
        await session.prompt("Which?", output=schema)
        outcome = await session.wait()
        assert outcome.succeeded
        assert outcome.data == {"colour": "blue"}
        with pytest.raises(OutputNotFoundError):
            await session.file("0" * 64)


async def test_a_location_says_what_it_offers(opened: Opened) -> None:
    async with opened(ScriptedProvider(), AskingTools()) as runtime:
        here = runtime.location(".")
        assert [one.name for one in await here.tools()][:2] == ["colour", "paint"]
        assert "scripted" in [one.name for one in await here.providers()]
        assert "build" in [one.name for one in await here.agents()]
        await here.models()
        assert not await here.skills()


# --- only over the wire -----------------------------------------------------------


async def test_a_reader_goes_on_when_the_server_comes_back() -> None:
    """Killed between any two bytes: the next server gives what the last one did not."""
    model = ScriptedProvider(*(text(f"Answer {number}") for number in range(5)))
    async with served(model) as it:
        session = await it.runtime.sessions.create("ses_a", ".", MODEL)

        class Falling(StreamedTransport):
            """Breaks off each stream after some bytes."""

            count = 0

            async def handle_async_request(self, request: Any) -> Any:
                answer = await super().handle_async_request(request)
                if "event-stream" in answer.headers["content-type"]:
                    Falling.count += 1
                    stream: Any = answer.stream
                    given = stream.__anext__
                    left = [150 * Falling.count]

                    async def cut() -> bytes:
                        if left[0] <= 0:
                            raise anyio.EndOfStream
                        part: bytes = await given()
                        left[0] -= len(part)
                        return part

                    answer.stream = _Cut(stream, cut)
                return answer

        transport = Falling(it.door)
        async with connect("http://localhost", transport=transport) as runtime:
            there = await runtime.sessions.get("ses_a")
            seen = []
            with anyio.fail_after(HANG):
                async with there.events(follow=True) as tail:
                    for number in range(5):
                        await session.prompt(f"Question {number}")
                        async for event in tail:
                            seen.append(event.seq)
                            if event.kind == "execution.ended":
                                break
        assert seen == [one.seq async for one in session.events()]
        assert Falling.count > 5


class _Cut(httpx.AsyncByteStream):
    def __init__(self, stream: Any, take: Any) -> None:
        self._stream = stream
        self._take = take

    def __aiter__(self) -> "_Cut":
        return self

    async def __anext__(self) -> bytes:
        try:
            found: bytes = await self._take()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None
        return found

    async def aclose(self) -> None:
        await self._stream.aclose()


async def test_who_is_not_let_in_or_finds_nobody_is_told() -> None:
    async with served(admittance=Admittance("correct-horse-battery")) as it:
        for token in (None, "wrong"):
            transport = StreamedTransport(it.door)
            async with connect(
                "http://localhost", token, transport=transport
            ) as runtime:
                with pytest.raises(ServerError) as refused:
                    await runtime.sessions.list()
                assert refused.value.code == "server.unauthorized"
                assert refused.value.status == 401
    async with connect("http://127.0.0.1:9", "secret-token", patience=0.1) as runtime:
        with pytest.raises(ServerUnreachableError) as nobody:
            await runtime.sessions.list()
        assert nobody.value.origin == "http://127.0.0.1:9"
        assert "secret-token" not in str(nobody.value)
        session = await nobody_there(runtime)
        with pytest.raises(ServerUnreachableError):
            async with session.events(follow=True) as tail:
                await anext(tail)
    with pytest.raises(ServerError):
        connect("http://me:secret@localhost")


async def nobody_there(runtime: Any) -> Any:
    from dovetail.plugins.client.remote import RemoteSession

    return RemoteSession("ses_a", runtime._wire)  # type: ignore[arg-type]
