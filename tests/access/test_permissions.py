"""Permissions: asked durably, answered once, remembered to the letter."""

import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import anyio
import attrs
import pytest
from dovetail.kernel import (
    ApprovalNotFoundError,
    InvalidValueError,
    Location,
    PermissionDeniedError,
    PermissionRejectedError,
    RequestAnswered,
    RequestAsked,
    RequestNotFoundError,
    Rule,
    RuleEffect,
    RuntimeClosedError,
    Saving,
    SessionCreated,
    SessionId,
    Store,
    StoreClosedError,
)
from dovetail.kernel.access import rules
from dovetail.kernel.access.permissions import Permissions
from dovetail.kernel.access.request import AskRequest
from dovetail.kernel.access.shell.commands import read_command
from dovetail.kernel.log.commit import EventLog, LogTransaction
from dovetail.kernel.log.reading import events_between
from dovetail.kernel.plugins.loader import load_plugins
from dovetail.kernel.requests.asking import Requests
from dovetail.kernel.testing.clock import ManualClock
from dovetail.kernel.testing.memory_store import MemoryState, MemoryStore
from dovetail.kernel.values.ids import MessageId
from support.bounds import HANG

HERE = "/place"
ONE, TWO = SessionId("ses_1"), SessionId("ses_2")

Rules = Callable[[str], Sequence[Rule]]


def no_rules(_: str) -> Sequence[Rule]:
    return ()


class Process:
    """One process with the store open: a log, and the permissions of a Location."""

    def __init__(self, store: Store, clock: ManualClock) -> None:
        self.store = store
        self.clock = clock
        self.log = EventLog(store, clock)
        self.requests = Requests(self.log)
        self.permissions = self.at(Location(HERE))

    def at(
        self,
        location: Location,
        rules: Rules = no_rules,
        policy: Literal["ask", "allow", "deny"] = "ask",
    ) -> Permissions:
        return Permissions(location, self.log, self.requests, rules, policy)

    def with_rules(self, *rules: Rule) -> Permissions:
        return self.at(Location(HERE), lambda _: rules)

    async def session(
        self, session_id: SessionId, directory: str = HERE, workspace: Any = None
    ) -> None:
        await self.log.append(
            SessionCreated(
                session_id=session_id, directory=directory, workspace=workspace
            )
        )

    async def events(self, session_id: SessionId = ONE) -> list[Any]:
        return await self.log.read(
            lambda rows: list(events_between(rows, session_id, after=0))
        )

    async def until_asked(self, wanted: int) -> list[Any]:
        """Wait until so many requests are pending, and return them."""
        bell = self.log.bell(None)
        while len(found := list(await self.permissions.pending())) < wanted:
            await bell.wait()
        self.log.forget_bell(None, bell)
        return found

    async def asked(self) -> list[str]:
        """Return the ids of requests, as often as somebody recorded to wait for one."""
        return [
            event.request_id
            for event in await self.events()
            if isinstance(event, RequestAsked)
        ]

    async def until_taken_up(self) -> None:
        """Wait until somebody else than who asked first waits for a request."""
        bell = self.log.bell(ONE)
        while len(await self.asked()) < 2:
            await bell.wait()
        self.log.forget_bell(ONE, bell)


@pytest.fixture
def state() -> MemoryState:
    return MemoryState()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["memory", "sqlite"])
async def opened(
    request: pytest.FixtureRequest,
    state: MemoryState,
    clock: ManualClock,
    tmp_path: Path,
) -> Callable[[], Any]:
    """Return what opens one more process on the same store."""

    @asynccontextmanager
    async def memory() -> AsyncIterator[Process]:
        store = MemoryStore(state)
        process = Process(store, clock)
        yield process
        process.log.close()
        await store.aclose()

    plugins = load_plugins(allow=["sqlite"], environment={})

    @asynccontextmanager
    async def sqlite() -> AsyncIterator[Process]:
        url = f"sqlite:///{tmp_path / 'test.db'}"
        manager = plugins.first("dovetail_open_store", url=url)
        async with manager as store:
            process = Process(store, clock)
            yield process
            process.log.close()

    return memory if request.param == "memory" else sqlite


@pytest.fixture
async def process(opened: Callable[[], Any]) -> AsyncIterator[Process]:
    async with opened() as process:
        await process.session(ONE)
        yield process


def want(
    *resources: str,
    action: str = "edit",
    save: Sequence[str] = (),
    call: str | None = "call_1",
    session: SessionId = ONE,
    agent: str = "build",
) -> AskRequest:
    return AskRequest(
        session_id=session,
        agent=agent,
        action=action,
        resources=resources or ("a.py",),
        save=tuple(save),
        message_id=MessageId("msg_1"),
        call_id=call,
    )


class Asker:
    """Asks in a task, and keeps how that ended."""

    def __init__(self, permissions: Permissions, request: AskRequest) -> None:
        self._permissions = permissions
        self._request = request
        self.result: Any = "waiting"
        self.done = anyio.Event()

    async def __call__(self) -> None:
        try:
            await self._permissions.ask(self._request)
            self.result = "allowed"
        except PermissionDeniedError as error:
            self.result = error
        finally:
            self.done.set()

    async def ended(self) -> Any:
        await self.done.wait()
        return self.result


# --- telling without asking --------------------------------------------------------


@pytest.mark.law("access.9")
async def test_a_long_text_is_decided_about_beside_the_loop(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    decided: list[int] = []

    def reading(text: str) -> Any:
        decided.append(threading.get_ident())
        return read_command(text)

    monkeypatch.setattr(rules, "_read_command", reading)
    hostile = [Rule("bash", f"*a?a?{at}*", "deny") for at in range(200)]
    permissions = process.with_rules(Rule("bash", "*", "allow"), *hostile)
    # What was decided before is not decided again.
    text = "; ".join(f"ls a{at}a" for at in range(400)) + f"; ls {id(process)}"
    await permissions.ask(want(text, action="bash"))
    assert decided
    assert threading.get_ident() not in decided


@pytest.mark.law("access.7")
async def test_what_may_be_done_without_a_question_can_be_told_of_many_things(
    process: Process,
) -> None:
    """It decides as asking would, also by what was approved, and leaves no trace."""
    await approve(process, want("asked.py", save=["saved.py"], action="read"))
    await approve(process, want("asked.py", save=["other.py"], action="edit"))
    before = await process.events()
    rules = (
        Rule("read", "src/*", "allow"),
        Rule("edit", "*", "allow"),
        Rule("*", "src/secret*", "deny"),
        Rule("read", "src/*.env", "ask"),
    )
    names = ("src/a.py", "src/secret.py", "src/x.env", "b.py", "saved.py", "other.py")
    for policy, unasked in (("ask", False), ("deny", False), ("allow", True)):
        at = process.at(Location(HERE), lambda _: rules, policy)
        allowed = await at.allowing(want(action="read"))
        told = [allowed(name) for name in names]
        assert told == [True, False, unasked, unasked, True, unasked]
    assert await process.events() == before


@pytest.mark.law("access.7")
@pytest.mark.parametrize(
    ("answer", "expected"),
    [("allow", (True, False)), ("ask", (False, False)), ("deny", (False, False))],
)
async def test_a_plugin_s_answer_counts_there_as_it_does_when_asking(
    process: Process, answer: RuleEffect, expected: tuple[bool, bool]
) -> None:
    def said(request: AskRequest) -> tuple[RuleEffect, str] | None:
        return (answer, "guard") if request.resources[0] == "a.py" else None

    permissions = Permissions(
        Location(HERE),
        process.log,
        process.requests,
        lambda _: (Rule("read", "b.py", "deny"),),
        "ask",
        said,
    )
    allowed = await permissions.allowing(want(action="read"))
    assert (allowed("a.py"), allowed("b.py")) == expected


# --- deciding ---------------------------------------------------------------------


async def test_a_rule_that_allows_asks_nobody(process: Process) -> None:
    allowing = process.with_rules(Rule("edit", "*", "allow"))
    await allowing.ask(want())
    assert await process.events() == []


@pytest.mark.law("access.1")
async def test_a_rule_that_denies_is_named(process: Process) -> None:
    denying = process.with_rules(Rule("edit", "*.py", "deny"))
    with pytest.raises(PermissionDeniedError) as caught:
        await denying.ask(want("b.txt", "a.py"))
    assert not isinstance(caught.value, PermissionRejectedError)
    assert "a rule says deny edit '*.py'" in str(caught.value)
    assert await process.events() == []


async def test_where_nobody_can_be_asked_the_policy_answers(process: Process) -> None:
    here = Location(HERE)
    await process.at(here, policy="allow").ask(want())
    with pytest.raises(PermissionRejectedError, match="nobody can be asked") as caught:
        await process.at(here, policy="deny").ask(want())
    assert caught.value.advice is not None
    assert await process.events() == []


async def test_a_policy_that_allows_does_not_overrule_a_deny(process: Process) -> None:
    permissions = process.at(
        Location(HERE), lambda _: [Rule("edit", "*", "deny")], "allow"
    )
    with pytest.raises(PermissionDeniedError):
        await permissions.ask(want())


async def test_a_policy_that_denies_keeps_to_saved_approvals(process: Process) -> None:
    await approve(process, want(save=["a.py"]))
    await process.at(Location(HERE), policy="deny").ask(want(call="call_2"))


async def test_nothing_named_is_asked_about(process: Process) -> None:
    allowing = process.with_rules(Rule("*", "*", "allow"))
    asker = Asker(allowing, attrs.evolve(want(), resources=()))
    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(asker)
            (request,) = await process.until_asked(1)
            await process.permissions.reply(request.id, "once")
    assert asker.result == "allowed"


# --- asking and answering ---------------------------------------------------------


async def answered(
    process: Process, request: AskRequest, reply: Any, **options: Any
) -> Any:
    """Ask, answer, and return how the asking ended."""
    asker = Asker(process.permissions, request)
    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(asker)
            (pending,) = await process.until_asked(1)
            await process.permissions.reply(pending.id, reply, **options)
    return asker.result


async def approve(process: Process, request: AskRequest, **options: Any) -> None:
    assert await answered(process, request, "always", **options) == "allowed"


async def test_a_request_shows_what_is_wanted(process: Process) -> None:
    request = attrs.evolve(
        want("a.py", "b.py", save=["a.py"]), metadata={"diff": "+1", "big": 2**70}
    )
    asker = Asker(process.permissions, request)
    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(asker)
            (pending,) = await process.until_asked(1)
            assert pending.session_id == ONE
            assert (pending.agent, pending.action) == ("build", "edit")
            assert pending.resources == ("a.py", "b.py")
            assert pending.save == ("a.py",)
            assert (pending.message_id, pending.call_id) == ("msg_1", "call_1")
            assert pending.metadata == {"diff": "+1", "big": str(2**70)}
            assert pending.created == process.clock.now()
            assert list(await process.permissions.pending(ONE)) == [pending]
            assert list(await process.permissions.pending("ses_9")) == []
            assert asker.result == "waiting"
            await process.permissions.reply(pending.id, "once")
    assert asker.result == "allowed"
    assert list(await process.permissions.pending()) == []
    asked, replied = await process.events()
    assert isinstance(asked, RequestAsked)
    assert isinstance(replied, RequestAnswered)
    assert (replied.answer["reply"], replied.by) == ("once", "person")
    assert list(await process.permissions.approvals.saved()) == []


async def test_a_rejection_carries_its_advice(process: Process) -> None:
    result = await answered(process, want(), "reject", message="use b.py")
    assert isinstance(result, PermissionRejectedError)
    assert result.advice == "use b.py"
    plain = await answered(process, want(call="call_2"), "reject", message=" ")
    assert isinstance(plain, PermissionRejectedError)
    assert plain.advice is None


@pytest.mark.law("access.5")
async def test_a_request_is_answered_exactly_once(process: Process) -> None:
    outcomes: list[str] = []

    async def reply(request_id: str, reply: Any) -> None:
        try:
            await process.permissions.reply(request_id, reply)
            outcomes.append(reply)
        except RequestNotFoundError:
            outcomes.append("late")

    asker = Asker(process.permissions, want())
    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(asker)
            (pending,) = await process.until_asked(1)
            for each in ("once", "reject", "always", "once"):
                tasks.start_soon(reply, pending.id, each)
    assert outcomes.count("late") == 3
    (won,) = [each for each in outcomes if each != "late"]
    replies = [e for e in await process.events() if isinstance(e, RequestAnswered)]
    assert [each.answer["reply"] for each in replies] == [won]
    assert (asker.result == "allowed") == (won != "reject")


async def test_an_answer_to_nothing_is_refused(process: Process) -> None:
    with pytest.raises(RequestNotFoundError) as caught:
        await process.permissions.reply("per_none", "once")
    assert caught.value.code == "request.not_found"
    with pytest.raises(InvalidValueError, match='"once", "always" or "reject"'):
        await process.permissions.reply("per_none", "yes")  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match="advice"):
        await process.permissions.reply("per_none", "reject", message="x" * 9_000)


async def test_a_rejection_rejects_what_else_its_session_waits_for(
    process: Process,
) -> None:
    await process.session(TWO)
    first = Asker(process.permissions, want(call="call_1"))
    second = Asker(process.permissions, want(call="call_2"))
    other = Asker(process.permissions, want(call="call_1", session=TWO))
    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            for each in (first, second, other):
                tasks.start_soon(each)
            pending = await process.until_asked(3)
            mine = next(one for one in pending if one.session_id == ONE)
            await process.permissions.reply(mine.id, "reject", message="stop")
            assert (await first.ended()).advice == "stop"
            assert (await second.ended()).advice == "stop"
            (left,) = await process.permissions.pending()
            assert left.session_id == TWO
            assert other.result == "waiting"
            await process.permissions.reply(left.id, "once")
    replies = [e for e in await process.events() if isinstance(e, RequestAnswered)]
    assert {each.by for each in replies} == {"person", mine.id}


async def test_the_same_call_may_ask_the_same_twice(process: Process) -> None:
    for _ in range(2):
        assert await answered(process, want(), "once") == "allowed"
    asked = [e for e in await process.events() if isinstance(e, RequestAsked)]
    assert len({each.request_id for each in asked}) == 2


async def test_two_tasks_of_one_call_get_a_request_each(process: Process) -> None:
    askers = [Asker(process.permissions, want()) for _ in range(5)]
    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            for each in askers:
                tasks.start_soon(each)
            pending = await process.until_asked(5)
            for one in pending:
                await process.permissions.reply(one.id, "once")
    assert [each.result for each in askers] == ["allowed"] * 5


async def test_something_asked_outside_of_a_call_is_always_new(
    process: Process,
) -> None:
    for _ in range(2):
        assert await answered(process, want(call=None), "once") == "allowed"


# --- always -----------------------------------------------------------------------


@pytest.mark.law("access.4")
async def test_always_is_remembered_to_the_letter(process: Process) -> None:
    asked = want("rm *.tmp", action="bash", save=["rm *.tmp"])
    await approve(process, asked, by="ann")
    (saved,) = await process.permissions.approvals.saved()
    assert (saved.agent, saved.action, saved.pattern) == ("build", "bash", "rm *.tmp")
    assert (saved.kind, saved.author, saved.expires) == ("exact", "ann", None)
    assert saved.created == process.clock.now()
    again = want("rm *.tmp", action="bash", call="call_2")
    await process.permissions.ask(again)
    sly = want("rm x; anything.tmp", action="bash", call="call_3")
    assert isinstance(await answered(process, sly, "reject"), PermissionRejectedError)


@pytest.mark.law("access.4")
async def test_an_approval_is_for_one_agent(process: Process) -> None:
    await approve(process, want(save=["a.py"]))
    other = want(call="call_2", agent="reviewer")
    assert isinstance(await answered(process, other, "reject"), PermissionRejectedError)


@pytest.mark.law("access.4")
async def test_an_approval_is_for_one_location(process: Process) -> None:
    await approve(process, want(save=["a.py"]))
    elsewhere = process.at(Location("/other"))
    await process.session(TWO, "/other")
    asker = Asker(elsewhere, want(session=TWO))
    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(asker)
            bell = process.log.bell(None)
            while not (pending := await elsewhere.pending()):
                await bell.wait()
            assert list(await process.permissions.pending()) == []
            with pytest.raises(RequestNotFoundError):
                await process.permissions.reply(pending[0].id, "once")
            await elsewhere.reply(pending[0].id, "once")
    assert asker.result == "allowed"
    assert list(await elsewhere.approvals.saved()) == []


@pytest.mark.law("access.4")
async def test_workspaces_of_one_directory_share_nothing(process: Process) -> None:
    await approve(process, want(save=["a.py"]))
    beside = process.at(Location(HERE, "w"))
    assert list(await beside.approvals.saved()) == []
    (saved,) = await process.permissions.approvals.saved()
    with pytest.raises(ApprovalNotFoundError):
        await beside.approvals.revoke(saved.id)


async def test_always_without_anything_to_save_counts_as_once(
    process: Process,
) -> None:
    await approve(process, want())
    assert list(await process.permissions.approvals.saved()) == []


async def test_the_same_approval_is_saved_once(process: Process) -> None:
    await approve(process, want("a.py", "b.py", save=["a.py", "a.py"]))
    await approve(process, want("b.py", save=["b.py", "a.py"], call="call_2"))
    saved = await process.permissions.approvals.saved()
    assert [each.pattern for each in saved] == ["a.py", "b.py"]


async def test_always_releases_what_is_now_allowed(process: Process) -> None:
    await process.session(TWO)
    first = Asker(process.permissions, want(save=["a.py", "b.py"]))
    covered = Asker(process.permissions, want("a.py", "b.py", session=TWO))
    half = Asker(process.permissions, want("a.py", "c.py", call="call_3"))
    stranger = Asker(process.permissions, want(call="call_4", agent="reviewer"))
    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            for each in (first, covered, half, stranger):
                tasks.start_soon(each)
            pending = await process.until_asked(4)
            mine = next(one for one in pending if one.save)
            await process.permissions.reply(mine.id, "always")
            assert await first.ended() == "allowed"
            assert await covered.ended() == "allowed"
            left = await process.permissions.pending()
            assert {one.call_id for one in left} == {"call_3", "call_4"}
            assert (half.result, stranger.result) == ("waiting", "waiting")
            await process.permissions.reply(left[0].id, "reject")
    (replied,) = [
        e for e in await process.events(TWO) if isinstance(e, RequestAnswered)
    ]
    assert (replied.answer["reply"], replied.by) == ("once", mine.id)


async def test_an_approval_that_comes_just_in_time_saves_the_question(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Asker(process.permissions, want(save=["a.py"]))
    late = Asker(process.permissions, want(call="call_2"))
    looked, go = anyio.Event(), anyio.Event()
    commit = process.log.commit

    async def slow_commit(decide: Any) -> Any:
        looked.set()
        await go.wait()
        return await commit(decide)

    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first)
            (pending,) = await process.until_asked(1)
            monkeypatch.setattr(process.log, "commit", slow_commit)
            tasks.start_soon(late)
            await looked.wait()
            monkeypatch.setattr(process.log, "commit", commit)
            await process.permissions.reply(pending.id, "always")
            go.set()
            assert await late.ended() == "allowed"
    asked = [e for e in await process.events() if isinstance(e, RequestAsked)]
    assert len(asked) == 1


@pytest.mark.law("access.3")
async def test_an_approval_does_not_override_a_configured_ask(
    process: Process,
) -> None:
    await approve(process, want(save=["a.py"]))
    strict = process.with_rules(Rule("edit", "a.py", "ask"))
    asker = Asker(strict, want(call="call_2"))
    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(asker)
            (pending,) = await process.until_asked(1)
            await process.permissions.reply(pending.id, "reject")
    assert isinstance(asker.result, PermissionRejectedError)


@pytest.mark.law("access.3")
async def test_always_does_not_release_what_is_configured_to_ask(
    process: Process,
) -> None:
    strict = process.with_rules(Rule("edit", "a.py", "ask"))
    askers = [Asker(strict, want(save=["a.py"], call=f"call_{n}")) for n in (1, 2)]
    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            for each in askers:
                tasks.start_soon(each)
            first, second = await process.until_asked(2)
            await strict.reply(first.id, "always")
            assert [each.id for each in await strict.pending()] == [second.id]
            await strict.reply(second.id, "once")


@pytest.mark.law("access.4")
async def test_a_revoked_approval_is_gone(process: Process) -> None:
    await approve(process, want(save=["a.py"]))
    (saved,) = await process.permissions.approvals.saved()
    await process.permissions.approvals.revoke(saved.id)
    assert list(await process.permissions.approvals.saved()) == []
    with pytest.raises(ApprovalNotFoundError):
        await process.permissions.approvals.revoke(saved.id)
    again = await answered(process, want(call="call_2"), "reject")
    assert isinstance(again, PermissionRejectedError)


@pytest.mark.law("access.4")
async def test_what_another_process_revokes_allows_nothing_any_more(
    opened: Callable[[], Any],
) -> None:
    async with opened() as mine, opened() as theirs:
        await mine.session(ONE)
        await approve(mine, want(save=["a.py"]))
        await mine.permissions.ask(want(call="call_2"))
        (saved,) = await theirs.permissions.approvals.saved()
        await theirs.permissions.approvals.revoke(saved.id)
        again = await answered(mine, want(call="call_3"), "reject")
        assert isinstance(again, PermissionRejectedError)


async def test_saved_approvals_are_read_only_where_they_changed(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    await approve(process, want(save=["a.py"]))
    await process.permissions.ask(want(call="call_2"))
    views: list[Any] = [
        await process.store.read(type),
        await process.store.transact(type),
    ]
    for view in views:
        monkeypatch.setattr(view, "approvals", None)
    await process.permissions.ask(want(call="call_3"))
    allowed = await process.permissions.allowing(want())
    assert allowed("a.py")


@pytest.mark.law("access.4")
async def test_an_approval_that_never_came_to_be_is_not_taken_for_the_next_one(
    process: Process,
) -> None:
    approvals = process.permissions.approvals
    await approve(process, want("a.py", save=["a.py"]))
    await process.permissions.ask(want("a.py", call="call_2"))
    (saved,) = await approvals.saved()

    def undone(tx: LogTransaction) -> None:
        [row] = tx.rows.approvals(HERE)
        tx.rows.put_approval(attrs.evolve(row, id="apr_undone", pattern="b.py"))
        assert approvals.ids(tx.rows, ONE) == tuple(sorted(("apr_undone", saved.id)))
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError):
        await process.log.commit(undone)
    await approve(process, want("c.py", save=["c.py"], call="call_3"))
    await process.permissions.ask(want("c.py", call="call_4"))
    assert len(await process.log.read(lambda rows: approvals.ids(rows, ONE))) == 2
    assert "apr_undone" not in await process.log.read(
        lambda rows: approvals.ids(rows, ONE)
    )
    again = await answered(process, want("b.py", call="call_5"), "reject")
    assert isinstance(again, PermissionRejectedError)


@pytest.mark.law("access.4")
async def test_an_approval_expires(process: Process) -> None:
    until = process.clock.now() + 60_000
    await approve(process, want(save=["a.py"]), saving=Saving(expires=until))
    process.clock.advance(59)
    await process.permissions.ask(want(call="call_2"))
    process.clock.advance(1)
    assert list(await process.permissions.approvals.saved()) == []
    again = await answered(process, want(call="call_3"), "reject")
    assert isinstance(again, PermissionRejectedError)


@pytest.mark.law("access.4")
async def test_a_name_without_utf8_is_asked_about_and_never_saved(
    process: Process,
) -> None:
    name = "caf\udce9.txt"
    await approve(process, want(name, save=[name]))
    assert list(await process.permissions.approvals.saved()) == []
    asked = (await process.events())[0]
    assert asked.body["resources"] == ["caf\\udce9.txt"]


# --- interruption and restart -----------------------------------------------------


@pytest.mark.law("access.5")
async def test_an_interrupted_call_withdraws_its_request(process: Process) -> None:
    asker = Asker(process.permissions, want())
    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(asker)
            (pending,) = await process.until_asked(1)
            tasks.cancel_scope.cancel()
    assert asker.result == "waiting"
    assert list(await process.permissions.pending()) == []
    replied = (await process.events())[-1]
    assert (replied.outcome, replied.by) == ("withdrawn", "interrupt")
    with pytest.raises(RequestNotFoundError):
        await process.permissions.reply(pending.id, "once")
    # What was interrupted was not refused: asked again, it is a question again.
    assert await answered(process, want(), "once") == "allowed"


async def test_withdrawing_one_request_leaves_the_others(process: Process) -> None:
    going, staying = (
        Asker(process.permissions, want(call=call)) for call in ("going", "staying")
    )
    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(staying)
            async with anyio.create_task_group() as inner:
                inner.start_soon(going)
                await process.until_asked(2)
                inner.cancel_scope.cancel()
            (left,) = await process.permissions.pending()
            assert left.call_id == "staying"
            await process.permissions.reply(left.id, "once")
    assert staying.result == "allowed"


async def ask_and_die(process: Process, request: AskRequest) -> None:
    with suppress(StoreClosedError):
        await process.permissions.ask(request)


@asynccontextmanager
async def died_asking(
    opened: Callable[[], Any], request: AskRequest
) -> AsyncIterator[Process]:
    """A process asks and is killed; the next one is yielded."""
    async with opened() as first:
        await first.session(ONE)
        with anyio.fail_after(HANG):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask_and_die, first, request)
                await first.until_asked(1)
                # The store is gone before anybody can clean up.
                await first.store.aclose()
                tasks.cancel_scope.cancel()
    async with opened() as second:
        yield second


@pytest.mark.law("access.5")
async def test_a_request_survives_its_process(opened: Callable[[], Any]) -> None:
    async with died_asking(opened, want()) as process:
        (pending,) = await process.permissions.pending()
        asker = Asker(process.permissions, want())
        with anyio.fail_after(HANG):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(asker)
                # Whoever waits for it now says so; it is the same request.
                await process.until_taken_up()
                assert list(await process.permissions.pending()) == [pending]
                await process.permissions.reply(pending.id, "once")
        assert asker.result == "allowed"
        assert await process.asked() == [pending.id, pending.id]


@pytest.mark.law("access.5")
@pytest.mark.parametrize("reply", ["once", "reject"])
async def test_an_answer_to_a_dead_process_counts_once(
    opened: Callable[[], Any], reply: Any
) -> None:
    async with died_asking(opened, want()) as process:
        (pending,) = await process.permissions.pending()
        await process.permissions.reply(pending.id, reply, message="no")
        with anyio.fail_after(HANG):
            if reply == "once":
                await process.permissions.ask(want())
            else:
                with pytest.raises(PermissionRejectedError) as caught:
                    await process.permissions.ask(want())
                assert caught.value.advice == "no"
        # The next time it is a new question.
        assert await answered(process, want(), "once") == "allowed"


@pytest.mark.law("access.5")
async def test_an_answer_is_for_the_call_that_asked(opened: Callable[[], Any]) -> None:
    async with died_asking(opened, want()) as process:
        (pending,) = await process.permissions.pending()
        await process.permissions.reply(pending.id, "once")
        for other in (
            want(call="call_2"),
            want("b.py"),
            want("a.py", "b.py"),
            want(action="write"),
            attrs.evolve(want(), message_id=MessageId("msg_2")),
        ):
            result = await answered(process, other, "reject")
            assert isinstance(result, PermissionRejectedError)


@pytest.mark.law("access.3")
async def test_a_rule_that_denies_now_beats_an_answer_of_before(
    opened: Callable[[], Any],
) -> None:
    async with died_asking(opened, want()) as process:
        (pending,) = await process.permissions.pending()
        await process.permissions.reply(pending.id, "once")
        denying = process.with_rules(Rule("edit", "*", "deny"))
        with pytest.raises(PermissionDeniedError, match="a rule says"):
            await denying.ask(want())


@pytest.mark.parametrize("effect", ["allow", "deny"])
async def test_a_question_that_a_rule_answers_now_is_not_left_open(
    opened: Callable[[], Any], effect: Any
) -> None:
    async with died_asking(opened, want()) as process:
        ruled = process.with_rules(Rule("edit", "*", effect))
        if effect == "allow":
            await ruled.ask(want())
        else:
            with pytest.raises(PermissionDeniedError):
                await ruled.ask(want())
        assert list(await process.permissions.pending()) == []
        replied = (await process.events())[-1]
        assert replied.by == "policy"
        assert (replied.answer["reply"] == "once") == (effect == "allow")


async def test_a_policy_answers_a_question_of_before(opened: Callable[[], Any]) -> None:
    async with died_asking(opened, want()) as process:
        await process.at(Location(HERE), policy="allow").ask(want())
        assert list(await process.permissions.pending()) == []


@pytest.mark.parametrize("policy", ["allow", "deny"])
async def test_a_persons_answer_of_before_beats_the_policy(
    opened: Callable[[], Any], policy: Any
) -> None:
    async with died_asking(opened, want()) as process:
        (pending,) = await process.permissions.pending()
        reply: Any = "reject" if policy == "allow" else "once"
        await process.permissions.reply(pending.id, reply, "not that")
        permissions = process.at(Location(HERE), policy=policy)
        if reply == "once":
            await permissions.ask(want())
        else:
            with pytest.raises(PermissionRejectedError, match="not that"):
                await permissions.ask(want())


async def test_what_an_earlier_process_interrupted_is_asked_again(
    opened: Callable[[], Any],
) -> None:
    async with opened() as first:
        await first.session(ONE)
        with anyio.fail_after(HANG):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(Asker(first.permissions, want()))
                await first.until_asked(1)
                tasks.cancel_scope.cancel()
    async with opened() as second:
        assert await answered(second, want(), "once") == "allowed"


@pytest.mark.law("access.5")
async def test_another_process_may_answer(opened: Callable[[], Any]) -> None:
    async with opened() as mine, opened() as theirs:
        await mine.session(ONE)
        asker = Asker(mine.permissions, want(save=["a.py"]))
        with anyio.fail_after(HANG):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(asker)
                (pending,) = await mine.until_asked(1)
                assert list(await theirs.permissions.pending()) == [pending]
                await theirs.permissions.reply(pending.id, "always")
        assert asker.result == "allowed"
        assert [one.pattern for one in await mine.permissions.approvals.saved()] == [
            "a.py"
        ]


async def test_a_runtime_that_closes_leaves_the_request(
    opened: Callable[[], Any],
) -> None:
    async with opened() as process:
        await process.session(ONE)

        async def ask() -> None:
            with pytest.raises(RuntimeClosedError):
                await process.permissions.ask(want())

        with anyio.fail_after(HANG):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                await process.until_asked(1)
                process.log.close()
    async with opened() as process:
        assert len(await process.permissions.pending()) == 1


async def test_a_cancelled_answer_is_whole_or_not_there(process: Process) -> None:
    asker = Asker(process.permissions, want(save=["a.py"]))
    with anyio.fail_after(HANG):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(asker)
            (pending,) = await process.until_asked(1)
            with anyio.CancelScope() as scope:
                scope.cancel()
                await process.permissions.reply(pending.id, "always")
            assert await asker.ended() == "allowed"
    assert len(await process.permissions.approvals.saved()) == 1
