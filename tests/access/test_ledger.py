"""The approval ledger: what an ``always`` is, how long it counts, what it allowed."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, get_args

import anyio
import pytest
from attrs import evolve, frozen
from dovetail.kernel import (
    ApprovalPattern,
    ApprovalScope,
    Grant,
    InvalidValueError,
    Location,
    PermissionDeniedError,
    PermissionRejectedError,
    RequestChangedError,
    RequestEndedError,
    Rule,
    RuleEffect,
    RuntimeClosedError,
    Saving,
    SessionCreated,
    SessionId,
    Tool,
    ToolContext,
    ToolDefinition,
    open_runtime,
)
from dovetail.kernel.access.basis import Basis, definition_text
from dovetail.kernel.access.permissions import Permissions
from dovetail.kernel.access.request import AskRequest
from dovetail.kernel.log.commit import EventLog
from dovetail.kernel.requests.asking import Requests
from dovetail.kernel.testing.clock import ManualClock
from dovetail.kernel.testing.memory_store import MemoryState, MemoryStore
from dovetail.kernel.testing.scripted import ScriptedProvider, call, calls, text
from dovetail.kernel.values.ids import MessageId
from support.bounds import HANG
from support.hosts import Tools

HERE, THERE = "/place", "/other"
ONE, TWO, ELSEWHERE = SessionId("ses_1"), SessionId("ses_2"), SessionId("ses_3")
POST = ToolDefinition("post", "Post a file.", {"type": "object"})


class Door:
    """One process with the store open: what it asks, and what it answers."""

    def __init__(self, state: MemoryState, clock: ManualClock) -> None:
        self.log = EventLog(MemoryStore(state), clock)
        self.requests = Requests(self.log)
        self.rules: dict[str, tuple[Rule, ...]] = {}
        self.common: tuple[Rule, ...] = ()
        self.tools = {"post": definition_text(POST, "unsafe", "poster")}
        self._at: dict[str, Permissions] = {}

    def at(self, directory: str = HERE) -> Permissions:
        if directory not in self._at:
            self._at[directory] = Permissions(
                Location(directory),
                self.log,
                self.requests,
                lambda agent: (*self.rules.get(agent, ()), *self.common),
                basis=lambda agent: Basis(
                    dict(self.tools),
                    (*self.rules.get(agent or "", ()), *self.common),
                    self.common,
                    self.common,
                ),
            )
        return self._at[directory]

    async def asked(self, directory: str = HERE) -> Any:
        """Return the one request that waits."""
        bell = self.log.bell(None)
        with anyio.fail_after(HANG):
            while not (found := await self.at(directory).pending()):
                await bell.wait()
        self.log.forget_bell(None, bell)
        [request] = found
        return request

    async def ends(
        self, wanted: AskRequest, reply: Any, directory: str = HERE, **options: Any
    ) -> Any:
        """Let it be asked and answered; return the request as it was shown."""
        with anyio.fail_after(HANG):
            async with anyio.create_task_group() as tasks:

                async def ask() -> None:
                    try:
                        await self.at(directory).ask(wanted)
                    except PermissionRejectedError:
                        assert reply == "reject"

                tasks.start_soon(ask)
                shown = await self.asked(directory)
                await self.at(directory).reply(shown.id, reply, **options)
        return shown

    async def allows(self, wanted: AskRequest, directory: str = HERE) -> bool:
        """Say whether it is allowed without a question."""
        shown = None
        by: tuple[str, ...] = ()
        with anyio.fail_after(HANG):
            async with anyio.create_task_group() as tasks:

                async def ask() -> None:
                    nonlocal by
                    try:
                        by = await self.at(directory).ask(wanted)
                    except PermissionRejectedError:
                        return
                    tasks.cancel_scope.cancel()

                tasks.start_soon(ask)
                shown = await self.asked(directory)
                await self.at(directory).reply(shown.id, "reject")
        return shown is None and by != ()


@pytest.fixture
def state() -> MemoryState:
    return MemoryState()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def door(state: MemoryState, clock: ManualClock) -> AsyncIterator[Door]:
    door = Door(state, clock)
    for session_id, directory in ((ONE, HERE), (TWO, HERE), (ELSEWHERE, THERE)):
        await door.log.append(
            SessionCreated(session_id=session_id, directory=directory)
        )
    yield door
    door.log.close()


@pytest.fixture
def another(state: MemoryState, clock: ManualClock) -> Door:
    """A second process on the same store."""
    return Door(state, clock)


numbers = iter(range(10**6))


def want(*resources: str, **changes: Any) -> AskRequest:
    resources = resources or ("a.txt",)
    wanted = AskRequest(
        session_id=ONE,
        agent="build",
        action="post",
        resources=resources,
        save=resources,
        message_id=MessageId("msg_1"),
        call_id=f"call_{next(numbers)}",
        tool="post",
    )
    return evolve(wanted, **changes)


# --- what an approval is ----------------------------------------------------------


@pytest.mark.law("access.15")
async def test_an_approval_tells_everything_that_it_allows_and_who_gave_it(
    door: Door, clock: ManualClock
) -> None:
    until = clock.now() + 60_000
    shown = await door.ends(
        want("a.txt", folder="sub"), "always", saving=Saving(expires=until)
    )
    [saved] = await door.at().approvals.saved()
    assert (saved.action, saved.kind, saved.pattern) == ("post", "exact", "a.txt")
    assert (saved.agent, saved.folder, saved.scope) == ("build", "sub", "location")
    assert (saved.directory, saved.session_id) == (HERE, ONE)
    assert (saved.author, saved.created, saved.expires) == (
        "person",
        clock.now(),
        until,
    )
    assert (saved.request_id, saved.tool, saved.stale) == (shown.id, "post", None)


@pytest.mark.law("access.15")
async def test_whoever_answers_chooses_where_it_holds(door: Door) -> None:
    for scope, (same, other, elsewhere) in {
        "session": (True, False, False),
        "location": (True, True, False),
        "everywhere": (True, True, True),
    }.items():
        name = f"{scope}.txt"
        await door.ends(want(name), "always", saving=Saving(scope=scope))  # type: ignore[arg-type]
        assert await door.allows(want(name)) == same
        assert await door.allows(want(name, session_id=TWO)) == other
        there = want(name, session_id=ELSEWHERE)
        assert await door.allows(there, THERE) == elsewhere
        # It is for one agent, wherever it holds.
        assert not await door.allows(want(name, agent="plan"))
    assert [one.pattern for one in await door.at(THERE).approvals.saved()] == [
        "everywhere.txt"
    ]


@pytest.mark.law("access.15")
async def test_one_for_every_agent_is_for_every_agent(door: Door) -> None:
    await door.ends(want(), "always", saving=Saving(any_agent=True))
    assert await door.allows(want(agent="plan"))
    [saved] = await door.at().approvals.saved()
    assert saved.agent is None
    # Nobody's approval beats what is configured for an agent.
    door.rules["plan"] = (Rule("post", "a.*", "ask"),)
    assert not await door.allows(want(agent="plan"))
    assert await door.allows(want())


@pytest.mark.law("access.15")
async def test_a_prefix_and_a_glob_are_what_they_are_shown_as(door: Door) -> None:
    saving = Saving(
        patterns=(ApprovalPattern("src/", "prefix"), ApprovalPattern("s*.py", "glob"))
    )
    await door.ends(want("src/a.py"), "always", saving=saving)
    assert await door.allows(want("src/b.txt"))
    assert await door.allows(want("s/x.py"))
    assert not await door.allows(want("lib/src/b.txt"))
    kinds = [(one.kind, one.pattern) for one in await door.at().approvals.saved()]
    assert kinds == [("prefix", "src/"), ("glob", "s*.py")]


@pytest.mark.law("access.15")
async def test_a_pattern_allows_no_command_of_which_not_all_is_known(
    door: Door,
) -> None:
    command = want("git log", action="bash")
    saving = Saving(
        patterns=(ApprovalPattern("git ", "prefix"), ApprovalPattern("git *", "glob"))
    )
    await door.ends(command, "always", saving=saving)
    assert await door.allows(want("git log --oneline | git hash-object", action="bash"))
    for line in ("git log $(rm x)", "git log; rm x", "git log > x"):
        assert not await door.allows(want(line, action="bash"))


@pytest.mark.parametrize(
    "saving",
    [
        Saving(scope="world"),  # type: ignore[arg-type]
        Saving(any_agent="yes"),  # type: ignore[arg-type]
        Saving(expires=1),
        Saving(expires="never"),  # type: ignore[arg-type]
        Saving(patterns=(ApprovalPattern("b.txt"),)),
        Saving(patterns=(ApprovalPattern("b", "prefix"),)),
        Saving(patterns=(ApprovalPattern("a.txt", "regex"),)),  # type: ignore[arg-type]
        Saving(patterns=(ApprovalPattern(" ", "prefix"),)),
        Saving(patterns=("a.txt",)),  # type: ignore[arg-type]
    ],
    ids=repr,
)
async def test_what_cannot_be_remembered_answers_nothing(
    door: Door, saving: Saving
) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(door.at().ask, want())
        request = await door.asked()
        with pytest.raises(InvalidValueError):
            await door.at().reply(request.id, "always", saving=saving)
        assert await door.at().pending() == [request]
        with pytest.raises(InvalidValueError):
            await door.at().reply(request.id, "once", saving=Saving())
        await door.at().reply(request.id, "once")


# --- what it rests on -------------------------------------------------------------


@pytest.mark.law("access.16")
async def test_a_tool_that_is_another_one_is_asked_about_again(door: Door) -> None:
    await door.ends(want(), "always")
    before = door.tools["post"]
    for changed, told in (
        (definition_text(evolve(POST, description="Rm."), "unsafe", "poster"), "desc"),
        (definition_text(evolve(POST, schema={}), "unsafe", "poster"), "schema"),
        (definition_text(POST, "pure", "poster"), "effect was unsafe, is pure"),
        (definition_text(POST, "unsafe", "evil"), "plugin was poster, is evil"),
    ):
        door.tools["post"] = changed
        shown = await door.ends(want(), "reject")
        [why] = shown.again
        assert "the tool 'post' changed" in why
        assert told in why
        [saved] = await door.at().approvals.saved()
        assert saved.stale is not None
        assert saved.stale in why
    del door.tools["post"]
    assert "not offered any more" in (await door.ends(want(), "reject")).again[0]
    # What is changed back is what it was: nothing was taken away.
    door.tools["post"] = before
    assert await door.allows(want())


@pytest.mark.law("access.16")
async def test_rules_about_it_that_are_others_are_asked_about_again(
    door: Door,
) -> None:
    await door.ends(want(), "always")
    door.common = (Rule("read", "*", "allow"),)
    assert await door.allows(want()), "these are about something else"
    door.common = (Rule("post", "b*", "deny"),)
    shown = await door.ends(want(), "always")
    assert "the rules about 'post' changed" in shown.again[0]
    assert await door.allows(want())
    door.rules["build"] = (Rule("post", "c*", "allow"),)
    assert not await door.allows(want())
    door.rules.clear()
    assert await door.allows(want())


@pytest.mark.law("access.16")
async def test_two_processes_with_different_tools_each_count_their_own(
    door: Door, another: Door
) -> None:
    another.tools["post"] = definition_text(
        evolve(POST, description="Post it twice."), "unsafe", "poster"
    )
    await door.ends(want(), "always")
    assert await door.allows(want())
    assert not await another.allows(want())
    await another.ends(want(), "always")
    assert await door.allows(want())
    assert await another.allows(want())
    stale = [one.stale is None for one in await door.at().approvals.saved()]
    assert stale == [True, False]
    another.log.close()


@pytest.mark.law("access.16")
async def test_an_answer_from_another_process_rests_on_what_was_shown(
    door: Door, another: Door
) -> None:
    another.tools.clear()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(door.at().ask, want())
        request = await another.asked()
        await another.at().reply(request.id, "always", shown=request.shown)
    assert await door.allows(want())
    another.log.close()


@pytest.mark.law("access.16")
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Today is 2026-11-27.", "Today is 2026-11-28."),
        ("Now: 2026-11-27T15:04:05Z.", "Now: 2026-11-28T01:00:00.5+01:00."),
        ("It is Friday, 27 November 2026.", "It is Saturday, 28 November 2026."),
        ("Built Nov 27, 2026 at 9:15 pm", "Built Dec 1, 2026 at 10:15 am"),
        ("On 11/27/2026.", "On 11/28/2026."),
    ],
)
def test_a_date_in_a_description_is_no_change(before: str, after: str) -> None:
    one, two = (
        definition_text(evolve(POST, description=words), "unsafe", "poster")
        for words in (before, after)
    )
    assert one == two
    fields = {"when": {"type": "string", "description": before}}
    then = {"when": {"description": after, "type": "string"}}
    assert definition_text(evolve(POST, schema=fields), "pure", "p") == definition_text(
        evolve(POST, schema=then), "pure", "p"
    )


@pytest.mark.law("access.16")
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Reads 10 files.", "Reads 99 files."),
        ("Posts to 10.0.0.1.", "Posts to 10.0.0.2."),
        ("May post.", "Must post."),
        ("Keeps 3 lines.", "Keeps 4 lines."),
    ],
)
def test_what_only_looks_like_a_date_is_a_change(before: str, after: str) -> None:
    one, two = (
        definition_text(evolve(POST, description=words), "unsafe", "poster")
        for words in (before, after)
    )
    assert one != two


@pytest.mark.law("access.3")
@pytest.mark.parametrize("where", ["configured", "agent", "tightening"])
@pytest.mark.parametrize("effect", ["ask", "deny"])
@pytest.mark.parametrize("scope", get_args(ApprovalScope))
async def test_what_is_configured_beats_every_approval(
    door: Door, where: str, effect: RuleEffect, scope: ApprovalScope
) -> None:
    """Also one that was given in sight of the rule, wherever the rule stands."""
    rule = Rule("post", "a*", effect, tightens=where == "tightening")
    around = Rule("post", "b*", "allow")
    kept = Saving(scope, any_agent=True)
    await door.ends(want(), "always", saving=kept)
    if where == "agent":
        door.rules["build"] = (rule, around)
    else:
        door.common = (rule, around) if where == "tightening" else (around, rule)
    if effect == "ask":
        await door.ends(want(), "always", saving=kept)
        assert not await door.allows(want())
    else:
        with pytest.raises(PermissionDeniedError):
            await door.at().ask(want())
    # The last rule that matches counts, and none but a tightening one is in its way.
    door.common = (rule, Rule("post", "a*", "allow"))
    door.rules.clear()
    if where == "tightening" and effect == "deny":
        with pytest.raises(PermissionDeniedError):
            await door.at().ask(want())
    else:
        assert await door.allows(want()) == (where != "tightening")


# --- answers ----------------------------------------------------------------------


@pytest.mark.law("access.17")
async def test_an_answer_to_one_request_is_none_to_another(door: Door) -> None:
    first = await door.ends(want("a.txt"), "once")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(door.at().ask, want("b.txt"))
        second = await door.asked()
        assert first.shown != second.shown
        with pytest.raises(RequestChangedError) as refused:
            await door.at().reply(second.id, "once", shown=first.shown)
        assert refused.value.code == "request.changed"
        assert await door.at().pending() == [second]
        await door.at().reply(second.id, "once", shown=second.shown)


@pytest.mark.law("access.17")
@pytest.mark.parametrize(
    ("changes", "same"),
    [({}, True), ({"metadata": {"text": "two"}}, False), ({"save": ("x",)}, False)],
    ids=["the same", "another text", "another offer"],
)
async def test_an_answer_counts_only_for_a_call_that_asks_what_was_shown(
    door: Door, another: Door, changes: dict[str, Any], same: bool
) -> None:
    """The question was answered after its process died, and the call goes on in one
    whose tool may be another one inside."""
    wanted = want(metadata={"text": "one"})

    async def ask() -> None:
        with pytest.raises(RuntimeClosedError):
            await door.at().ask(wanted)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        asked = await door.asked()
        door.log.close()
    await another.at().reply(asked.id, "once", shown=asked.shown)
    assert await another.allows(evolve(wanted, **changes)) == same
    another.log.close()


@pytest.mark.law("access.18")
async def test_of_two_doors_the_second_one_is_told_how_the_first_one_answered(
    door: Door, another: Door, clock: ManualClock
) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(door.at().ask, want())
        request = await another.asked()
        outcomes: list[Any] = []

        async def answer(one: Door, reply: Any) -> None:
            try:
                await one.at().reply(request.id, reply, shown=request.shown)
                outcomes.append(reply)
            except RequestEndedError as late:
                outcomes.append(late)

        async with anyio.create_task_group() as doors:
            doors.start_soon(answer, door, "once")
            doors.start_soon(answer, another, "always")
    [won] = [one for one in outcomes if isinstance(one, str)]
    [late] = [one for one in outcomes if isinstance(one, RequestEndedError)]
    assert (late.outcome, late.by, late.ended) == ("answered", "person", clock.now())
    assert late.answer["reply"] == won
    assert (late.code, late.name) == ("request.ended", request.id)
    assert request.id in str(late)
    assert won in str(late)
    another.log.close()


@pytest.mark.law("access.18")
async def test_who_comes_after_a_restart_is_told_too(door: Door, another: Door) -> None:
    request = await door.ends(want(), "reject", message="not now")
    with pytest.raises(RequestEndedError) as late:
        await another.at().reply(request.id, "once")
    assert late.value.answer == {"reply": "reject", "message": "not now"}
    another.log.close()


# --- what it allowed --------------------------------------------------------------


@frozen
class Nothing:
    pass


def posting(*actions: str, effect: Any = "unsafe") -> Tool[Any, Any]:
    async def execute(input: object, context: ToolContext) -> str:
        for action in actions:
            await context.ask(action, ["a.txt"], save=["a.txt"])
        return "Posted."

    return Tool("post", "Post.", Nothing, execute, effect=effect)


async def run(
    tmp_path: Path, tool: Tool[Any, Any], reply: str | None = None, **options: Any
) -> list[Any]:
    """Let a session call the tool once, and return the session's events."""
    model = ScriptedProvider(calls(call("post", id="c")), text("Ok."))
    url = f"sqlite:///{tmp_path / 'a.db'}"
    async with open_runtime(url, plugins=[model, Tools(tool)], **options) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=model.model)
        permissions = runtime.location(tmp_path).permissions
        with anyio.fail_after(HANG):
            async with session.events(follow=True) as tail:
                await session.prompt("go")
                async for event in tail:
                    if event.kind == "request.asked":
                        [request] = await permissions.pending(session.id)
                        await permissions.reply(request.id, reply)  # type: ignore[arg-type]
                    if event.kind == "execution.ended":
                        break
        async with session.events() as events:
            return [event async for event in events]


def granted(events: Sequence[Any]) -> list[tuple[str, Grant]]:
    return [
        (event.kind, one) for event in events for one in getattr(event, "granted", ())
    ]


@pytest.mark.law("access.19")
async def test_each_use_of_an_approval_is_in_an_event_of_its_call(
    tmp_path: Path,
) -> None:
    events = await run(tmp_path, posting("post"), "always")
    [asked] = [one for one in events if one.kind == "request.asked"]
    [(kind, grant)] = granted(events)
    # Who answered is in the event from which on the call goes on.
    assert (kind, grant.by) == ("tool.started", (f"request {asked.request_id}",))
    later = await run(tmp_path, posting("post"))
    [(kind, grant)] = granted(later)
    assert kind == "tool.succeeded"
    [by] = grant.by
    assert by.startswith("approval apr_")
    assert (grant.action, grant.resources, grant.more) == ("post", ("a.txt",), 0)
    # No commit is made for it: a call has the events that it had without.
    plain = [one.kind for one in await run(tmp_path, posting())]
    assert [one.kind for one in later] == plain


@pytest.mark.law("access.19")
async def test_a_rule_a_policy_and_a_plugin_are_named_too(tmp_path: Path) -> None:
    tool = posting("read", "post")
    events = await run(tmp_path, tool, on_permission="allow")
    assert [grant.by for _, grant in granted(events)] == [
        ("rule allow read *",),
        ("policy allow",),
    ]


@pytest.mark.law("access.3")
async def test_a_file_that_nobody_vouched_for_can_ask_and_not_allow(
    tmp_path: Path,
) -> None:
    await run(tmp_path, posting("post"), "always")
    for effect, asked in (("allow", False), ("ask", True)):
        (tmp_path / "dovetail.toml").write_text(
            "[[permissions.rules]]\n"
            f'action = "post"\nresource = "*"\neffect = "{effect}"\n'
        )
        kinds = [one.kind for one in await run(tmp_path, posting("post"), "once")]
        assert ("request.asked" in kinds) == asked
