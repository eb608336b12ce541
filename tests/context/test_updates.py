"""What changes while a session goes on is told to its model, once, at the boundary."""

from pathlib import Path

import anyio
import pytest
from attrs import frozen
from dovetail.kernel import (
    AgentProfile,
    ContextSource,
    ContextUpdated,
    EpochStarted,
    NoticeMessage,
    Observation,
    Register,
    Session,
    SessionSource,
    SessionView,
    StepStarted,
    Tool,
    ToolContext,
    hookimpl,
)
from dovetail.kernel.testing import ScriptedProvider, call, calls, text
from dovetail.kernel.testing.memory_store import MemoryState
from support.bounds import HANG
from support.crashes import copied, on
from support.hosts import host
from support.worlds import AWAY, World


@frozen
class Nothing:
    pass


async def asked(session: Session, words: str) -> None:
    with anyio.fail_after(HANG):
        await session.prompt(words)
        assert (await session.wait()).succeeded


async def updates(session: Session) -> list[ContextUpdated]:
    return [one async for one in session.events() if isinstance(one, ContextUpdated)]


async def epochs(session: Session) -> list[EpochStarted]:
    return [one async for one in session.events() if isinstance(one, EpochStarted)]


def notices(model: ScriptedProvider) -> list[str]:
    return [one.text for one in model.histories[-1] if isinstance(one, NoticeMessage)]


def scripted(steps: int) -> ScriptedProvider:
    return ScriptedProvider(*(text(f"answer {number}") for number in range(steps)))


@pytest.mark.law("context.9")
@pytest.mark.law("context.2")
@pytest.mark.law("context.3")
async def test_what_changed_is_told_once_and_replayed_word_for_word(
    tmp_path: Path,
) -> None:
    world = World(one=Observation("One: 1", "One is now 1"), two=Observation("Two."))
    model = scripted(5)
    async with host(tmp_path, model, plugins=[world]) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=model.model)
        await asked(session, "a")
        await asked(session, "b")
        assert await updates(session) == []

        world.now["one"] = Observation("One: 2", "One is now 2")
        await asked(session, "c")
        assert notices(model) == ["One is now 2"]
        world.now["one"] = AWAY
        await asked(session, "d")
        assert notices(model) == ["One is now 2"]
        world.now["one"] = Observation("One: 2", "One is now 2")
        await asked(session, "e")
        assert notices(model) == ["One is now 2"]
        for before, after in zip(model.histories, model.histories[1:], strict=False):
            assert after[: len(before)] == before
        assert {one.system[0] for one in model.requests} == {"One: 1\n\nTwo."}
        assert len(await epochs(session)) == 1


@pytest.mark.law("context.9")
async def test_a_change_is_told_after_the_results_of_calls(tmp_path: Path) -> None:
    world = World(one=Observation("One: 1"))

    async def change(_: Nothing, __: ToolContext) -> str:
        world.now["one"] = Observation("One: 2")
        return "changed"

    tool = Tool("change", "Change it.", Nothing, change, effect="pure")
    model = ScriptedProvider(calls(call("change", {}, id="a")), text("done"))
    async with host(tmp_path, model, tool, plugins=[world]) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=model.model)
        await asked(session, "go")
        [update] = await updates(session)
        [*_, result, notice] = model.histories[-1]
        assert result.type == "assistant"
        assert (notice.type, notice.id) == ("notice", update.message_id)
        events = [one async for one in session.events()]
        assert isinstance(events[update.seq + 1], StepStarted)


@pytest.mark.law("context.10")
async def test_what_is_gone_is_told_once_in_the_words_that_its_source_left(
    tmp_path: Path,
) -> None:
    world = World(
        one=Observation("One.", removal="One is over."), two=Observation("Two.")
    )
    model = scripted(5)
    async with host(tmp_path, model, plugins=[world]) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=model.model)
        await asked(session, "a")
        world.now.update(one=None, two=None)
        await asked(session, "b")
        [told] = notices(model)
        assert told.startswith("One is over.\n\n")
        assert "'t/two' no longer applies" in told
        await asked(session, "c")
        assert len(await updates(session)) == 1
        # What comes back is told as what is new.
        world.now["one"] = Observation(
            "One again.", "One is now this.", removal="Gone."
        )
        await asked(session, "d")
        assert notices(model)[-1] == "One again."
        # The words hold also when the plugin that had them is gone.
        await runtime.location(tmp_path).plugins.remove("world")
        await asked(session, "e")
        assert notices(model)[-1] == "Gone."


@pytest.mark.law("context.11")
async def test_values_are_compared_as_values_and_the_same_words_are_not_said_twice(
    tmp_path: Path,
) -> None:
    world = World(one=Observation("Branch main.", value={"branch": "main", "n": 1}))
    model = scripted(4)
    async with host(tmp_path, model, plugins=[world]) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=model.model)
        await asked(session, "a")
        # The same value in other words; the same words for another value.
        world.now["one"] = Observation("On main.", value={"n": 1, "branch": "main"})
        await asked(session, "b")
        world.now["one"] = Observation("Branch main.", value={"branch": "main", "n": 2})
        await asked(session, "c")
        assert await updates(session) == []
        world.now["one"] = Observation("Branch dev.", value={"branch": "dev", "n": 2})
        await asked(session, "d")
        assert notices(model) == ["Branch dev."]


@pytest.mark.law("context.11")
async def test_a_value_that_cannot_be_compared_is_broken_and_not_gone(
    tmp_path: Path,
) -> None:
    world = World(one=Observation("One."))
    model = scripted(2)
    async with host(tmp_path, model, plugins=[world]) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=model.model)
        await asked(session, "a")
        world.now["one"] = Observation("Two.", value=object())
        await asked(session, "b")
        assert await updates(session) == []
        states = await runtime.location(tmp_path).context()
        assert {one.key: one.state for one in states}["t/one"] == "unavailable"


@pytest.mark.law("context.11")
async def test_each_part_is_told_and_removed_for_itself(tmp_path: Path) -> None:
    def files(**found: str) -> Observation:
        return Observation(
            "These files:",
            parts={
                name: Observation(
                    f"{name}: {said}", f"{name} is now: {said}", removal=f"No {name}."
                )
                for name, said in found.items()
            },
        )

    world = World(one=files(b="B", a="A"), two=None)
    model = scripted(4)
    async with host(tmp_path, model, plugins=[world]) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=model.model)
        await asked(session, "a")
        assert model.requests[-1].system[0] == "These files:\n\nb: B\n\na: A"
        world.now["one"] = files(b="B", a="A2", c="C")
        world.now["two"] = files(x="X")
        await asked(session, "b")
        assert notices(model) == ["a is now: A2\n\nc: C\n\nThese files:\n\nx: X"]
        world.now["one"] = AWAY
        await asked(session, "c")
        assert len(await updates(session)) == 1
        world.now["one"] = files(b="B", c="C")
        await asked(session, "d")
        assert notices(model)[-1] == "No a."
        assert [*(await updates(session))[-1].sources] == ["t/one:a"]


@pytest.mark.law("context.12")
async def test_a_source_speaks_to_some_agents_and_one_observation_serves_all(
    tmp_path: Path,
) -> None:
    def tell(found: Observation, agent: str) -> Observation | None:
        if agent == "build":
            return None
        return Observation(f"{found.value} for {agent}", value=[found.value, agent])

    world = World(
        one=Observation("Only calm."), two=Observation("any", value="Bread"), three=None
    )
    world.options = {"one": {"agents": ("calm",)}, "two": {"tell": tell}}
    model = scripted(3)
    async with host(tmp_path, model, plugins=[world]) as runtime:
        for agent, told in {
            "calm": "Only calm.\n\nBread for calm",
            "loud": "Bread for loud",
            "build": "",
        }.items():
            world.asked.clear()
            session = await runtime.sessions.create(
                location=tmp_path, model=model.model, agent=agent
            )
            await asked(session, "a")
            [epoch] = await epochs(session)
            assert epoch.baseline == told
            assert sorted(world.asked) == ["one", "three", "two"]


@pytest.mark.law("context.12")
async def test_a_tell_that_breaks_makes_its_source_unavailable(tmp_path: Path) -> None:
    def tell(found: Observation, agent: str) -> Observation | None:
        raise LookupError(agent)

    world = World(one=Observation("One."), two=Observation("Two."))
    world.options = {"one": {"tell": tell}}
    model = scripted(1)
    async with host(tmp_path, model, plugins=[world]) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=model.model)
        await asked(session, "a")
        [epoch] = await epochs(session)
        assert epoch.baseline == "Two."
        assert [*epoch.left_out] == ["t/one"]


@pytest.mark.law("context.13")
@pytest.mark.law("context.1")
async def test_an_agent_with_other_instructions_begins_an_epoch_and_says_so(
    tmp_path: Path,
) -> None:
    world = World(one=Observation("One: 1"))
    model = scripted(5)
    async with host(tmp_path, model, plugins=[world]) as runtime:
        session = await runtime.sessions.create(
            location=tmp_path, model=model.model, agent="calm"
        )
        await asked(session, "a")
        world.now["one"] = Observation("One: 2")
        await asked(session, "b")
        await session.switch_agent("quiet")  # it has the same instructions
        await asked(session, "c")
        assert [one.cause for one in await epochs(session)] == ["first"]
        assert notices(model) == ["One: 2"]
        await session.switch_agent("loud")
        await asked(session, "d")
        assert [one.cause for one in await epochs(session)] == ["first", "agent"]
        # What the update said is in the Baseline now, and nowhere else.
        assert model.requests[-1].system == ("One: 2", "Be loud.")
        assert notices(model) == []
        assert [one.type for one in await session.messages(order="asc")].count(
            "notice"
        ) == 1
        world.now["one"] = Observation("One: 3")
        await asked(session, "e")
        assert notices(model) == ["One: 3"]
        assert model.requests[-1].system == ("One: 2", "Be loud.")


@pytest.mark.law("context.1")
async def test_instructions_that_moved_meanwhile_change_no_epoch_silently(
    tmp_path: Path,
) -> None:
    state = MemoryState()
    for number, instructions in enumerate(("Old.", "Old.", "New.")):

        class Agents:
            name = "agents"
            profile = AgentProfile("mine", instructions=instructions)

            @hookimpl
            def dovetail_register_agents(
                self, register: Register[AgentProfile]
            ) -> None:
                register(self.profile)

        model = scripted(1)
        plugins = [model, World(one=Observation("One.")), Agents()]
        async with on(state, plugins=plugins, lives=number) as runtime:
            session = await runtime.sessions.create(
                id="it", location=tmp_path, model=model.model, agent="mine"
            )
            await asked(session, "go")
            causes = [one.cause for one in await epochs(session)]
            assert causes == ["first", "agent"][: 2 if number == 2 else 1]
            assert model.requests[-1].system == ("One.", instructions)
            state = copied(state)


@pytest.mark.law("context.14")
async def test_a_source_is_not_observed_while_it_says_that_what_it_said_holds(
    tmp_path: Path,
) -> None:
    holds = True
    looks: list[bool] = []

    def held() -> bool:
        looks.append(holds)
        return holds

    world = World(
        one=Observation("One: 1", holds=held), two=Observation("", holds=held)
    )
    model = scripted(4)
    async with host(tmp_path, model, plugins=[world]) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=model.model)
        await asked(session, "a")
        world.now["one"] = Observation("One: 2", holds=held)
        world.now["two"] = Observation("Two.", holds=held)
        await asked(session, "b")
        assert sorted(world.asked) == ["one", "two"]
        assert looks == [True, True]
        holds = False
        await asked(session, "c")
        assert notices(model) == ["One: 2\n\nTwo."]
        assert sorted(world.asked) == ["one", "one", "two", "two"]


@pytest.mark.law("context.14")
async def test_what_speaks_to_one_session_is_kept_from_one_run_to_the_next(
    tmp_path: Path,
) -> None:
    asked_of: list[str] = []

    async def observe(view: SessionView) -> Observation:
        asked_of.append(view.session_id)
        said = view.instructions or "nothing"
        return Observation(
            f"Said: {said}", holds=lambda now: now.instructions == view.instructions
        )

    class Mine:
        name = "mine"

        @hookimpl
        def dovetail_register_context(
            self, register: Register[ContextSource | SessionSource]
        ) -> None:
            register(SessionSource("t/said", observe))

    model = scripted(5)
    async with host(tmp_path, model, plugins=[Mine()]) as runtime:
        one = await runtime.sessions.create("one", location=tmp_path, model=model.model)
        two = await runtime.sessions.create("two", location=tmp_path, model=model.model)
        for session in (one, two, one, two):
            await asked(session, "go")
        assert asked_of == ["one", "two"]
        await one.instruct("Be brief.")
        await asked(one, "go")
        assert asked_of == ["one", "two", "one"]
        assert "Said: Be brief." in "".join(notices(model))


@pytest.mark.law("context.14")
async def test_a_look_that_breaks_leads_to_an_observation(tmp_path: Path) -> None:
    def broken() -> bool:
        raise OSError("no disk")

    world = World(one=Observation("One: 1", holds=broken))
    model = scripted(2)
    async with host(tmp_path, model, plugins=[world]) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=model.model)
        await asked(session, "a")
        world.now["one"] = Observation("One: 2")
        await asked(session, "b")
        assert notices(model) == ["One: 2"]


@pytest.mark.law("context.12")
async def test_a_session_source_is_handed_the_session_that_it_speaks_to(
    tmp_path: Path,
) -> None:
    seen: list[SessionView] = []

    async def observe(view: SessionView) -> Observation | None:
        seen.append(view)
        return Observation(f"You are {view.agent} in {view.session_id}.")

    class Mine:
        name = "mine"

        @hookimpl
        def dovetail_register_context(
            self, register: Register[ContextSource | SessionSource]
        ) -> None:
            register(SessionSource("t/who", observe))
            register(SessionSource("t/calm", observe, agents=["calm"]))

    model = scripted(3)
    async with host(tmp_path, model, plugins=[Mine(), World()]) as runtime:
        for name in ("x", "y"):
            session = await runtime.sessions.create(
                id=name, location=tmp_path, model=model.model
            )
            await asked(session, "a")
            assert model.requests[-1].system[0] == f"You are build in {name}."
        await session.switch_agent("calm")
        await asked(session, "b")
        told = "You are calm in y."
        assert model.requests[-1].system == (f"{told}\n\n{told}", "Be calm.")
        assert {one.session_id for one in seen} == {"x", "y"}
