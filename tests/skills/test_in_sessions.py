"""Skills in a session: who is told of which, and what happens when one changes."""

from pathlib import Path

import anyio
import pytest
from dovetail.builtin_tools import plugin as tools
from dovetail.kernel import (
    AgentProfile,
    AssistantMessage,
    NoticeMessage,
    Register,
    Rule,
    Session,
    hookimpl,
)
from dovetail.kernel.testing import ScriptedProvider, call, calls, text
from dovetail.plugins.skills import plugin as skills
from support.bounds import HANG
from support.hosts import host


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Skills of whoever runs the tests are none of this."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def write(folder: Path, name: str, said: str = "d") -> Path:
    path = folder / name / "SKILL.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"---\nname: {name}\ndescription: {said}\n---\nBody of {name}.")
    return path


class Agents:
    name = "agents"

    @hookimpl
    def dovetail_register_agents(self, register: Register[AgentProfile]) -> None:
        rules = [
            Rule("read", "*", "allow"),
            Rule("read", "*.pem", "ask"),
            Rule("skill", "*", "allow"),
            Rule("skill", "secret", "deny"),
        ]
        register(AgentProfile("open", rules=rules))
        register(AgentProfile("closed", rules=[Rule("skill", "*", "deny")]))
        register(AgentProfile("without", tools=["read"]))


async def asked(session: Session, words: str = "go") -> None:
    with anyio.fail_after(HANG):
        await session.prompt(words)
        assert (await session.wait()).succeeded


def told(model: ScriptedProvider) -> list[str]:
    return [one.text for one in model.histories[-1] if isinstance(one, NoticeMessage)]


@pytest.mark.law("context.21")
async def test_a_skill_that_comes_changes_or_goes_is_told_at_the_next_boundary(
    tmp_path: Path,
) -> None:
    work = tmp_path / "work"
    folder = work / ".agents" / "skills"
    work.mkdir()
    model = ScriptedProvider(*(text(f"{number}") for number in range(6)))
    async with host(tmp_path, model, plugins=[skills]) as runtime:
        session = await runtime.sessions.create(location=work, model=model.model)
        await asked(session)
        path = write(folder, "a", "First.")
        await asked(session)
        assert told(model)[-1].endswith("These are available:\n\n- a: First.")
        path.write_text(path.read_text() + "More.")
        await asked(session)
        assert len(told(model)) == 1
        assert (await runtime.location(work).skills())[0].body.endswith("More.")
        write(folder, "a", "Second.")
        write(folder, "b", "Other.")
        await asked(session)
        expected = "The skills that are available are now:\n\n- a: Second.\n- b: Other."
        assert told(model)[-1] == expected
        for name in "ab":
            (folder / name / "SKILL.md").unlink()
        await asked(session)
        assert told(model)[-1] == "There are no skills to load any more."
        await asked(session)
        assert len(told(model)) == 3


@pytest.mark.law("context.21")
async def test_what_somebody_else_saw_first_is_told_all_the_same(
    tmp_path: Path,
) -> None:
    """Whoever lists the skills has them searched for, and the model is told still."""
    work = tmp_path / "work"
    write(work / ".agents" / "skills", "a")
    model = ScriptedProvider(text("1"), text("2"))
    async with host(tmp_path, model, plugins=[skills]) as runtime:
        session = await runtime.sessions.create(location=work, model=model.model)
        await asked(session)
        write(work / ".agents" / "skills", "b")
        assert len(await runtime.location(work).skills()) == 2
        await asked(session)
        assert "- b: d" in told(model)[-1]


@pytest.mark.law("context.12")
async def test_an_agent_is_told_of_the_skills_that_it_may_load(tmp_path: Path) -> None:
    folder = tmp_path / "work" / ".agents" / "skills"
    write(folder, "plain")
    write(folder, "secret")
    model = ScriptedProvider(*(text(f"{number}") for number in range(5)))
    async with host(tmp_path, model, plugins=[skills, tools, Agents()]) as runtime:
        found = {}
        for agent in ("build", "open", "closed", "without"):
            session = await runtime.sessions.create(
                location=tmp_path / "work", model=model.model, agent=agent
            )
            await asked(session)
            system = "\n".join(model.requests[-1].system)
            found[agent] = [
                name for name in ("plain", "secret") if f"- {name}" in system
            ]
        assert found == {
            "build": ["plain", "secret"],
            "open": ["plain"],
            "closed": [],
            "without": [],
        }
        await session.switch_agent("open")
        await asked(session)
        assert "\n- plain: d" in told(model)[-1]
        assert "secret" not in told(model)[-1]


async def results(session: Session) -> list[str]:
    [message] = [
        one
        for one in await session.messages(order="asc")
        if isinstance(one, AssistantMessage) and one.calls
    ]
    return [
        one.content[0].text if one.content else one.failure.message  # type: ignore
        for one in message.calls
    ]


@pytest.mark.law("context.22")
async def test_the_files_of_a_skill_are_read_under_its_permission_and_no_others(
    tmp_path: Path,
) -> None:
    """The skill lies outside of the Location, where reading would be asked about."""
    own = tmp_path / "config" / "dovetail" / "skills"
    write(own, "mine")
    write(own, "secret")
    write(own, "other")
    (own / "mine" / "refs").mkdir()
    (own / "mine" / "refs" / "a.md").write_text("the reference\n")
    (own / "mine" / ".hidden").write_text("hidden")
    (own / "mine" / "out.md").symlink_to("../other/SKILL.md")
    (own / "mine" / "server.pem").write_text("the key")
    (own / "secret" / "a.md").write_text("the secret")
    (tmp_path / "work").mkdir()
    paths = {
        "a": "skill:mine/refs/a.md",
        "b": "skill:mine/../other/SKILL.md",
        "c": "skill:mine/out.md",
        "d": "skill:mine/.hidden",
        "e": "skill:secret/a.md",
        "f": "skill:gone/a.md",
        "g": "skill:mine/",
        "h": "skill:mine//etc/hostname",
        "i": "skill:mine/server.pem",
        "j": "skill:mine/refs/none.md",
    }
    model = ScriptedProvider(
        calls(*(call("read", {"path": path}, id=id) for id, path in paths.items())),
        text("done"),
    )
    async with host(
        tmp_path,
        model,
        plugins=[skills, tools, Agents()],
        on_permission="deny",
    ) as runtime:
        session = await runtime.sessions.create(
            location=tmp_path / "work", model=model.model, agent="open"
        )
        await asked(session)
        first, *others = await results(session)
    assert first.startswith("1\tthe reference")
    assert not [one for one in others if one.startswith("1\t")], others
    assert "the key" not in str(others)
