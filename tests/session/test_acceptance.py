"""Who has to agree before a session goes on that was left."""

from pathlib import Path

import anyio
import pytest
from dovetail.kernel import (
    ContinuationChangedError,
    ToolContext,
)
from dovetail.kernel.testing import (
    Gate,
    ScriptedProvider,
    text,
)
from support.bounds import HANG
from support.crashes import copied, on
from support.hosts import kinds_of
from support.left import Input, Ran, accept, called_only, in_a_call


@pytest.mark.law("recovery.4")
async def test_nothing_goes_on_by_itself_by_default(tmp_path: Path) -> None:
    state = await in_a_call(tmp_path, "pure")
    ran = Ran()
    provider = ScriptedProvider(text("done"))
    async with on(state, ran.tool("pure"), plugins=[provider], lives=1) as runtime:
        session = await runtime.sessions.get("it")
        await anyio.wait_all_tasks_blocked()
        assert (await kinds_of(session))[-1] == "tool.started"
        with anyio.fail_after(HANG):
            outcome = await session.resume()
        assert (outcome.status, outcome.reason.code) == (
            "paused",
            "continuation.unaccepted",
        )
        assert (await session.info()).outcome == outcome
        assert await session.wait() == outcome
    assert ran.tokens == []
    assert provider.requests == []


@pytest.mark.law("recovery.4")
@pytest.mark.parametrize(
    ("policy", "effect", "moved", "goes_on", "by"),
    [
        ("report", "unsafe", False, False, None),
        ("clean", "unsafe", False, False, None),
        ("clean", "not_started", False, True, "clean"),
        ("clean", "not_started", True, False, None),
        ("always", "unsafe", False, True, "policy"),
        ("always", "not_started", True, True, "policy"),
        ("always", "not_started", False, True, "clean"),
    ],
)
async def test_a_policy_decides_who_agrees(
    policy: str,
    effect: str,
    moved: bool,
    goes_on: bool,
    by: str | None,
    tmp_path: Path,
) -> None:
    state = (
        await called_only(tmp_path)
        if effect == "not_started"
        else await in_a_call(tmp_path)
    )
    provider = ScriptedProvider(text("done"))
    more = [Ran().tool(name="new")] if moved else []
    async with on(
        state, Ran().tool(), *more, plugins=[provider], lives=1, resume=policy
    ) as runtime:
        session = await runtime.sessions.get("it")
        with anyio.fail_after(HANG):
            await session.wait()
        events = [event async for event in session.events()]
    accepted = [one for one in events if one.kind == "continuation.accepted"]
    assert [one.by for one in accepted] == ([by] if by else [])
    assert len(provider.requests) == (1 if goes_on else 0)
    kinds = [one.kind for one in events]
    if goes_on:
        at = kinds.index("continuation.reported")
        assert kinds[at : at + 3] == [
            "continuation.reported",
            "continuation.accepted",
            "execution.started",
        ]
        assert accepted[0].digest == events[at].digest
        assert accepted[0].attempt == 1


@pytest.mark.law("recovery.4")
async def test_a_person_accepts_by_digest_and_that_is_an_event(tmp_path: Path) -> None:
    state = await in_a_call(tmp_path)
    async with on(
        state, Ran().tool(), plugins=[ScriptedProvider(text("done"))], lives=1
    ) as runtime:
        session = await runtime.sessions.get("it")
        report = await session.continuation()
        assert (await accept(session)).succeeded
        [accepted] = [
            one async for one in session.events() if one.kind == "continuation.accepted"
        ]
        assert (accepted.by, accepted.digest, accepted.attempt) == (
            "person",
            report.digest,
            0,
        )


@pytest.mark.law("recovery.4")
async def test_a_new_prompt_accepts_and_the_same_one_again_does_not(
    tmp_path: Path,
) -> None:
    state = await in_a_call(tmp_path)
    provider = ScriptedProvider(text("done"))
    async with on(state, Ran().tool(), plugins=[provider], lives=1) as runtime:
        session = await runtime.sessions.get("it")
        await session.prompt("Wait.", key="k", resume=False)
        with anyio.fail_after(HANG):
            await session.prompt("Wait.", key="k")
            assert (await session.wait()).status == "paused"
            await session.prompt("And now?")
            assert (await session.wait()).succeeded
        [accepted] = [
            one async for one in session.events() if one.kind == "continuation.accepted"
        ]
        assert accepted.by == "prompt"
        said = [one.text for one in await session.history() if one.type == "user"]
        assert said == ["Go.", "Wait.", "And now?"]


@pytest.mark.law("recovery.4")
async def test_a_report_that_changed_meanwhile_is_not_accepted(tmp_path: Path) -> None:
    state = await in_a_call(tmp_path)
    async with on(
        state, Ran().tool(), plugins=[ScriptedProvider()], lives=1
    ) as runtime:
        session = await runtime.sessions.get("it")
        old = await session.continuation()
        await session.prompt("Something else.", resume=False)
        new = await session.continuation()
        assert old.digest != new.digest
        with pytest.raises(ContinuationChangedError) as caught:
            await session.resume(accept=old.digest)
        assert caught.value.code == "continuation.changed"
        with pytest.raises(ContinuationChangedError):
            await session.resume(accept="nonsense")
        assert "continuation.accepted" not in await kinds_of(session)
        assert not runtime.sessions._coordinator.busy("it")


@pytest.mark.law("recovery.4")
async def test_a_report_is_recorded_once_as_long_as_it_is_the_same(
    tmp_path: Path,
) -> None:
    state = await in_a_call(tmp_path)
    for lives in (1, 2, 3):
        async with on(
            state, Ran().tool(), plugins=[ScriptedProvider()], lives=lives
        ) as runtime:
            session = await runtime.sessions.get("it")
            with anyio.fail_after(HANG):
                for _ in range(2):
                    assert (await session.resume()).status == "paused"
            kinds = await kinds_of(session)
            assert kinds.count("continuation.reported") == 1
            [recorded] = [
                one
                async for one in session.events()
                if one.kind == "continuation.reported"
            ]
            shown = await session.continuation()
            assert recorded.digest == shown.digest
            assert recorded.report["trusted_hash"] == shown.trusted_hash


@pytest.mark.law("recovery.6")
async def test_going_on_by_itself_is_counted_and_ends(tmp_path: Path) -> None:
    state = await in_a_call(tmp_path, "pure")
    for lives in range(1, 12):
        gate = Gate()

        async def body(input: Input, context: ToolContext, gate: Gate = gate) -> str:
            await gate.pass_through()
            return ""

        provider = ScriptedProvider()
        async with on(
            state,
            Ran().tool("pure", body),
            plugins=[provider],
            lives=lives,
            resume="always",
        ) as runtime:
            session = await runtime.sessions.get("it")
            with anyio.fail_after(HANG):
                if lives <= 10:
                    await gate.reached()
                    await anyio.wait_all_tasks_blocked()
                else:
                    outcome = await session.wait()
                    assert outcome.status == "paused"
            attempts = [
                one.attempt
                async for one in session.events()
                if one.kind == "continuation.accepted"
            ]
            assert attempts == list(range(1, min(lives, 10) + 1))
            last = copied(state)
        state = last
    # A person may let it try again, and it counts anew once a Step ended.
    provider = ScriptedProvider(text("done"))
    async with on(
        state, Ran().tool("pure"), plugins=[provider], lives=12, resume="always"
    ) as runtime:
        session = await runtime.sessions.get("it")
        assert (await accept(session)).succeeded


@pytest.mark.law("recovery.4")
async def test_an_old_report_is_no_reason_to_stop_once_it_was_settled(
    tmp_path: Path,
) -> None:
    state = await in_a_call(tmp_path)
    provider = ScriptedProvider(text("done"), text("again"))
    async with on(state, Ran().tool(), plugins=[provider], lives=1) as runtime:
        session = await runtime.sessions.get("it")
        await accept(session)
        await session.prompt("Once more.")
        with anyio.fail_after(HANG):
            assert (await session.wait()).succeeded
        assert (await session.continuation()).clean
        assert (await kinds_of(session)).count("continuation.accepted") == 1
