"""What holds of a runtime in the process holds of one that a server offers."""

import os
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta, timezone
from inspect import isawaitable, signature
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import anyio
import httpx
import pytest
from anyio import to_thread
from dovetail.builtin_tools import plugin as builtin_plugin
from dovetail.kernel import (
    AgentNotFoundError,
    ApprovalNotFoundError,
    Budget,
    CallNotDetachableError,
    ContinuationChangedError,
    CursorInvalidError,
    EventOwnerError,
    Generation,
    InputNotFoundError,
    InputNotPendingError,
    InvalidValueError,
    KeyInvalidError,
    LiveDelta,
    LocationHandle,
    LocationNotFoundError,
    MessageNotFoundError,
    ModelUnknownError,
    NothingRevertedError,
    OutputNotFoundError,
    OutputPolicy,
    PermissionsHandle,
    Place,
    Prompt,
    PromptArgument,
    PromptCommand,
    PromptConflictError,
    PromptFile,
    PromptInvalidError,
    PromptSource,
    QuestionAnswer,
    QuestionsHandle,
    Register,
    RequestEndedError,
    RequestNotFoundError,
    RequestsHandle,
    Rule,
    Runtime,
    Saving,
    SentRequestNotFoundError,
    ServerError,
    ServerUnreachableError,
    Session,
    SessionAmbiguousError,
    SessionNotFoundError,
    SessionRemovedError,
    Sessions,
    UnreadableEvent,
    hookimpl,
)
from dovetail.kernel.testing import Gate, ScriptedProvider, call, calls, text
from dovetail.plugins.client import connect, location, remote as client, requests
from dovetail.plugins.client.session import RemoteSession
from dovetail.plugins.client.sessions import RemoteSessions
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
        assert await runtime.sessions.find("ses") == "ses_a"
        assert (await runtime.sessions.at("ses_a").info()).id == "ses_a"
        with pytest.raises(SessionNotFoundError):
            await runtime.sessions.at("none").prompt("Hi")
        await runtime.sessions.create("ses_b")
        with pytest.raises(SessionAmbiguousError):
            await runtime.sessions.find("ses")
        with pytest.raises(SessionNotFoundError):
            await runtime.sessions.find("")
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
        await here.permissions.reply(found[0].id, "always", by="policy", saving=saving)
        with pytest.raises(RequestEndedError):
            await here.permissions.reply(found[0].id, "once", by="policy")
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
        assert (await session.plan_revert(None)).message_id is None
        await session.revert(None)
        assert not await session.history()
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
        assert (await here.agent_for("plan")).name == "plan"
        with pytest.raises(AgentNotFoundError):
            await here.agent_for("nobody")
        assert not await here.skill_problems()
        assert not await here.ready()
        assert not await here.agent_problems()
        assert all(one.key for one in await here.context())
        with pytest.raises(ModelUnknownError):
            await here.served_models("nobody")
        assert not await here.refresh_models()


class Says:
    """A plugin with a command, and with something that is called by a name."""

    @hookimpl
    def dovetail_register_prompts(
        self, register: Register[PromptSource], place: Place
    ) -> None:
        async def write(given: Mapping[str, str]) -> str:
            return f"Look at {given['issue']} for {given.get('who', 'nobody')}."

        async def commands() -> Sequence[PromptCommand]:
            arguments = PromptArgument("issue", "Which", True), PromptArgument("who")
            return [PromptCommand("triage", write, "Triage an issue", arguments)]

        async def attach(name: str) -> Sequence[PromptFile] | None:
            if name != "tracker:notes":
                return None
            return [PromptFile("notes", "text/plain", "Zm9ydHktdHdv")]

        register(PromptSource("tracker/prompts", commands, attach=attach))


async def test_what_a_person_types_means_the_same(
    opened: Opened, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("of the Location")
    async with opened(Says()) as runtime, runtime.location(tmp_path) as here:
        assert await here is here
        [command] = await here.commands()
        assert (command.name, command.description) == ("triage", "Triage an issue")
        assert [(one.name, one.required) for one in command.arguments] == [
            ("issue", True),
            ("who", False),
        ]
        given = {"issue": "4 2", "who": "it's me"}
        assert await command.write(given) == "Look at 4 2 for it's me."
        assert await here.prompt("/triage 43") == Prompt("Look at 43 for nobody.")
        with pytest.raises(PromptInvalidError):
            await here.prompt("/triage")
        assert await here.prompt("/unknown @a.txt") == Prompt("/unknown @a.txt")
        said = "See @tracker:notes and @a.txt."
        notes = PromptFile("notes", "text/plain", "Zm9ydHktdHdv")
        assert await here.prompt(said) == Prompt(said, (notes,))
        file = PromptFile.of(tmp_path / "a.txt", name="a.txt")
        assert await here.prompt(said, files=True) == Prompt(said, (file, notes))


async def test_a_value_is_read_by_its_receipt_and_its_request_is_proven(
    opened: Opened,
) -> None:
    schema = {"type": "object", "properties": {"sum": {"type": "integer"}}}
    async with opened(ScriptedProvider(text('{"sum": 5}'), text("No"))) as runtime:
        session = await runtime.sessions.create(
            "ses_a", ".", MODEL, generation=Generation(temperature=0.5), fallback=[]
        )
        receipt = await session.prompt("How much?", output=schema)
        with anyio.fail_after(HANG):
            await session.wait()
        assert await session.value(receipt.id) == {"sum": 5}
        with pytest.raises(InputNotFoundError):
            await session.value("inp_none")
        [recorded] = await session.requests()
        sent = await session.request(1)
        assert (sent.recorded, sent.proven) == (recorded, True)
        assert sent == await session.request(recorded.message_id)
        assert b"How much?" in sent.body
        with pytest.raises(SentRequestNotFoundError):
            await session.request(9)
        await session.set_generation(Generation(temperature=0.1))
        await session.set_generation(None)
        await session.set_fallback(["scripted/other"])
        with pytest.raises(InvalidValueError):
            await session.set_fallback(["other"])
        kinds = [one.kind async for one in session.events()]
        assert kinds.count("session.generation_set") == 2
        assert kinds.count("session.fallback_set") == 1
        go_on = await session.begin()
        with anyio.fail_after(HANG):
            assert (await go_on()).succeeded


async def test_a_log_is_carried_looked_after_and_let_go(opened: Opened) -> None:
    async with opened(ScriptedProvider(text("One"))) as runtime:
        sessions = runtime.sessions
        session = await sessions.create("ses_a", ".", MODEL)
        await session.prompt("first")
        with anyio.fail_after(HANG):
            await session.wait()
        async with session.export(1) as export:
            events = [one async for one in export]
        assert [one.seq for one in events][:2] == [2, 3]
        assert [one async for one in session.export_outputs()] == []
        assert await sessions.replay(events) is not None
        await sessions.claim("ses_a", "elsewhere")
        with pytest.raises(EventOwnerError):
            await session.rename("Mine")
        await sessions.release("ses_a")
        await session.rename("Mine")
        head = [one.seq async for one in session.events()][-1]
        assert (await sessions.repair("ses_a")).set_aside == 0
        assert await sessions.rebuild("ses_a") == head + 1
        assert await sessions.rebuild() == head + 1
        done = await sessions.prune("ses_a", ["trace", "transcript"], before=3)
        assert (done.session_id, done.events > 0) == ("ses_a", True)
        with pytest.raises(InvalidValueError):
            await sessions.prune("ses_a", ["forever"])
        with pytest.raises(SessionNotFoundError):
            await sessions.prune("none")
        [spent] = await sessions.spending(zone=timezone(-timedelta(hours=5)))
        assert (spent.model, spent.steps) == (MODEL, 1)
        assert not await sessions.spending(2**52, ZoneInfo("Asia/Kolkata"))
        cleaned = await sessions.clean_outputs(OutputPolicy(days=None, bytes=0))
        assert cleaned == await sessions.clean_outputs()
        gone = await sessions.remove("ses_a", interrupt=True, with_forks=True)
        assert gone.sessions == ("ses_a",)
        assert (await sessions.remove("ses_a")).sessions == ()
        with pytest.raises(SessionRemovedError):
            await session.rename("Again")
        with pytest.raises(SessionNotFoundError):
            await sessions.remove("none")


async def test_a_command_is_let_go_on_by_itself(opened: Opened, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    command = {"command": "echo one; read word < go"}
    model = ScriptedProvider(
        calls(call("bash", command, id="c1")), text("It goes on."), text("It ended.")
    )
    with anyio.fail_after(HANG):
        async with opened(builtin_plugin, model) as runtime:
            session = await runtime.sessions.create("ses_a", tmp_path, MODEL)
            async with runtime.live(session_id="ses_a") as live:
                await session.prompt("Go")
                async for event in live:
                    if event.kind == "request.asked":
                        await runtime.requests.reply(event.request_id, "once")
                    elif isinstance(event, LiveDelta) and event.text == "one":
                        break
            found = session.detachable()
            [(message_id, call_id)] = await found if isawaitable(found) else found
            job = await session.detach(message_id, call_id)
            with pytest.raises(CallNotDetachableError):
                await session.detach(message_id, "other")
            assert [one.id for one in await session.jobs()] == [job.id]
            await to_thread.run_sync((tmp_path / "go").write_text, "word\n")
            assert (await session.wait_for_job(job.id)).state == "succeeded"
            assert (await session.wait()).succeeded


async def test_who_follows_a_session_that_is_removed_is_told_and_at_the_end(
    opened: Opened,
) -> None:
    async with opened() as runtime:
        session = await runtime.sessions.create("ses_a", ".", MODEL)
        with anyio.fail_after(HANG):
            async with session.events(follow=True) as tail:
                assert (await anext(tail)).seq == 0
                await runtime.sessions.remove("ses_a")
                kinds = [one.kind async for one in tail]
        assert kinds[-1] == "session.removed"
        assert [one async for one in tail] == []


@pytest.mark.law("events.6")
async def test_what_cannot_be_read_of_a_log_is_told_in_its_place(
    opened: Opened, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    async with opened(url=url) as runtime:
        session = await runtime.sessions.create("ses_a", ".", MODEL)
        for number in range(3):
            await session.rename(f"Title {number}")
    with sqlite3.connect(tmp_path / "a.db") as database:
        database.execute("UPDATE event SET data = x'7b' WHERE seq = 2")
        database.execute("UPDATE event SET kind = 'session.dreamt' WHERE seq = 3")
    database.close()
    async with opened(url=url) as runtime:
        session = runtime.sessions.at("ses_a")
        for tail in (session.events(), runtime.events()):
            found = [getattr(one, "event", one) async for one in tail]
            assert [one.seq for one in found] == [0, 1, 2, 3]
            for one in found[2:]:
                assert isinstance(one, UnreadableEvent)
                assert one.is_damaged
        assert found[2].stored_kind == "session.titled"


@pytest.mark.law("events.6")
@pytest.mark.parametrize(
    ("count", "gone"),
    [
        (6, [2]),
        (6, [0, 1, 2]),
        (6, [5]),
        (6, [1, 3, 4, 5]),
        # More than is read at once.
        (500, [*range(20, 480)]),
    ],
    ids=lambda one: str(one)[:12],
)
async def test_what_is_missing_of_a_log_is_told_in_its_place(
    opened: Opened, tmp_path: Path, count: int, gone: list[int]
) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    async with opened(url=url) as runtime:
        session = await runtime.sessions.create("ses_a", ".", MODEL)
        for number in range(1, count):
            await session.rename(f"Title {number}")
    with sqlite3.connect(tmp_path / "a.db") as database:
        for seq in gone:
            database.execute("DELETE FROM event WHERE seq = ?", (seq,))
    database.close()
    async with opened(url=url) as runtime:
        session = runtime.sessions.at("ses_a")
        found = [one async for one in session.events()]
        assert [one.seq for one in found] == [*range(count)]
        for one in found:
            assert isinstance(one, UnreadableEvent) == (one.seq in gone)
            assert not isinstance(one, UnreadableEvent) or one.is_damaged
        assert [one async for one in session.events(3)] == found[4:]


NOT_THE_SAME = {
    ("Runtime", "live_lines"),  # bytes for a door
    ("Session", "export"),  # follows nothing
    ("LocationHandle", "editor"),  # what is open in an editor, in its process
}
"""What ``docs/http.md`` says of it."""


def test_all_that_a_runtime_has_is_there_with_the_same_arguments() -> None:
    """What is awaited and what it returns is told by the tests above."""
    differs = set()
    for ours, theirs in (
        (Runtime, client.RemoteRuntime),
        (Sessions, RemoteSessions),
        (Session, RemoteSession),
        (RequestsHandle, requests.RemoteRequests),
        (LocationHandle, location.RemoteLocation),
        (PermissionsHandle, location.RemotePermissions),
        (QuestionsHandle, location.RemoteQuestions),
    ):
        for name in {one for one in dir(ours) if not one.startswith("_")}:
            here = getattr(ours, name)
            if callable(here) and _arguments(here) != _arguments(
                getattr(theirs, name, None)
            ):
                differs.add((ours.__name__, name))
    assert differs == NOT_THE_SAME


def _arguments(function: Any) -> Any:
    """Return the names of arguments, and how they are given."""
    if function is None:
        return None
    parameters = signature(function).parameters.values()
    return [(one.name, one.kind) for one in parameters]


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
        reached: list[bool] = []
        runtime.hear_reach(reached.append)
        with pytest.raises(ServerUnreachableError):
            async with session.events(follow=True) as tail:
                await anext(tail)
        # Who gives up has not seen it come back.
        assert reached == [False]
    with pytest.raises(ServerError):
        connect("http://me:secret@localhost")


async def nobody_there(runtime: Any) -> Any:
    return RemoteSession("ses_a", runtime._wire)  # type: ignore[arg-type]
