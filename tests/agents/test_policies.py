"""What a call is held to: the policy of the Step that made it, whatever comes later."""

from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest
from attrs import frozen
from dovetail.kernel import AgentProfile, Rule, Session, Tool, ToolContext, ToolPart
from dovetail.kernel.access.policy import NOTHING, Policy, keep, policy_at
from dovetail.kernel.contracts import layer_of
from dovetail.kernel.testing import Gate, ScriptedProvider, call, calls, text
from dovetail.kernel.testing.memory_store import MemoryState, MemoryTransaction
from hypothesis import given, strategies as st
from support.bounds import HANG
from support.crashes import copied, on
from support.hosts import host

from .test_profiles import Agents, rules

FREE = AgentProfile("free", rules=(Rule("edit", "*", "allow"),))
STRICT = AgentProfile("strict", rules=(Rule("edit", "*", "deny"),))


@frozen
class Input:
    path: str = "a.py"


def editing(gate: Gate | None) -> Tool[Input, str]:
    """A tool that waits at a gate before it asks whether it may edit."""

    async def execute(input: Input, context: ToolContext) -> str:
        if gate is not None:
            await gate.pass_through()
        await context.ask("edit", [input.path])
        return "edited"

    return Tool("edit", "Edit.", Input, execute, effect="idempotent")


async def results(session: Session) -> list[str]:
    parts: list[str] = []
    for message in await session.messages(order="asc"):
        found = getattr(message, "parts", ())
        parts += [
            one.failure.code if one.failure else one.text
            for one in found
            if isinstance(one, ToolPart)
        ]
    return parts


@pytest.mark.law("agents.12")
@pytest.mark.parametrize(
    ("before", "after", "came"),
    [
        ("free", "strict", ["edited", "permission.denied"]),
        ("strict", "free", ["permission.denied", "edited"]),
    ],
)
async def test_switching_takes_effect_at_the_boundary_and_not_in_a_call(
    before: str, after: str, came: Sequence[str], tmp_path: Path
) -> None:
    gate = Gate()
    model = ScriptedProvider(calls(call("edit")), calls(call("edit")), text("Done."))
    agents = Agents(FREE, STRICT)
    async with host(tmp_path, model, editing(gate), plugins=[agents]) as runtime:
        session = await runtime.sessions.create(
            location=tmp_path, model=model.model, agent=before
        )
        await session.prompt("Go.")
        with anyio.fail_after(HANG):
            await gate.reached()
            await session.switch_agent(after)
            gate.open()
            assert (await session.wait()).succeeded
        assert await results(session) == came


@pytest.mark.law("agents.12")
@pytest.mark.parametrize("later", ["changed", "gone"])
@pytest.mark.parametrize(
    ("profile", "came"), [(FREE, "edited"), (STRICT, "permission.denied")]
)
async def test_after_a_crash_a_call_is_held_to_what_its_step_was_held_to(
    profile: AgentProfile, came: str, later: str, tmp_path: Path
) -> None:
    gate, state = Gate(), MemoryState()
    model = ScriptedProvider(calls(call("edit")))
    plugins = [model, Agents(profile)]
    async with on(state, editing(gate), plugins=plugins) as runtime:
        session = await runtime.sessions.create(
            id="it", location=tmp_path, model=model.model, agent=profile.name
        )
        await session.prompt("Go.")
        with anyio.fail_after(HANG):
            await gate.reached()
            await anyio.wait_all_tasks_blocked()
        state = copied(state)
    other = STRICT if profile is FREE else FREE
    changed = AgentProfile(profile.name, rules=other.rules, tools=["none"])
    agents = Agents(*([changed] if later == "changed" else []))
    again = ScriptedProvider(text("Done."))
    async with on(
        state, editing(None), plugins=[again, agents], lives=1, resume="always"
    ) as runtime:
        session = await runtime.sessions.get("it")
        with anyio.fail_after(HANG):
            outcome = await session.wait()
        assert await results(session) == [came]
        assert outcome.succeeded == (later == "changed")


@given(
    said=rules,
    layers=st.dictionaries(st.sampled_from("ab"), rules),
    tools=st.booleans(),
)
def test_a_kept_policy_is_found_as_it_was_and_a_lost_one_allows_nothing(
    said: list[Rule], layers: dict[str, list[Rule]], tools: bool
) -> None:
    together = [*said]
    for name, one in layers.items():
        together += layer_of(name, one)
    policy = Policy(tuple(together), ("read",) if tools else None)
    rows = MemoryTransaction(MemoryState(), "policies")
    digest = keep(rows, policy)
    assert policy_at(rows, digest) == policy
    assert keep(rows, policy) == digest
    assert policy_at(rows, "0" * 64) == NOTHING
    assert policy_at(rows, rows.put_blob(b'{"rules": 3}')) == NOTHING
