"""What a session says that its model was told of its world, and which Step was told."""

from pathlib import Path

import anyio
import pytest
from dovetail.kernel import AssistantMessage, Observation, Session, to_json
from dovetail.kernel.testing import ScriptedProvider, text
from support.bounds import HANG
from support.hosts import host
from support.worlds import AWAY, World


async def asked(session: Session) -> None:
    with anyio.fail_after(HANG):
        await session.prompt("go")
        assert (await session.wait()).succeeded


@pytest.mark.law("context.19")
async def test_each_step_is_shown_with_exactly_what_its_request_had(
    tmp_path: Path,
) -> None:
    world = World(one=Observation("One: 1"), two=AWAY)
    model = ScriptedProvider(*(text(f"{number}") for number in range(5)))
    async with host(tmp_path, model, plugins=[world]) as runtime:
        session = await runtime.sessions.create(
            location=tmp_path, model=model.model, agent="calm"
        )
        assert await session.context() == []
        await asked(session)
        world.now["one"] = Observation("One: 2")
        await asked(session)
        await asked(session)
        world.now["two"] = Observation("Two.")
        await session.switch_agent("loud")
        await asked(session)
        world.now["one"] = Observation("One: 3")
        await asked(session)

        first, second = await session.context()
        assert (first.cause, second.cause) == ("first", "agent")
        assert [*first.left_out] == ["t/two"]
        assert (len(first.steps), len(second.steps)) == (3, 2)
        steps = [
            one.id
            for one in await session.messages(order="asc")
            if isinstance(one, AssistantMessage)
        ]
        assert [*first.steps, *second.steps] == steps
        for step, request, history in zip(
            steps, model.requests, model.histories, strict=True
        ):
            epoch = first if step in first.steps else second
            said = (epoch.baseline, epoch.instructions)
            assert request.system == tuple(one for one in said if one)
            notices = [one.id for one in history if one.type == "notice"]
            assert notices == [one.message_id for one in epoch.told(step)]
        assert to_json(second)["cause"] == "agent"  # type: ignore[index,call-overload]
        with pytest.raises(ValueError, match="not in"):
            first.told("msg_x")
