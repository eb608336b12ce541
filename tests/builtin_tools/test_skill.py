"""The tool skill: instructions by name."""

from pathlib import Path
from typing import Any

import pytest
from dovetail.kernel import PermissionDeniedError, Skill, ToolFailure
from support.tool_context import FakeToolContext


@pytest.fixture
def skilled(tools: Any, place: Path) -> Any:
    files = tuple(f"f{number:02}.md" for number in range(12))
    tools.context = FakeToolContext(
        place,
        skills=[
            Skill("brew", "Brew tea", "Boil water.\n", "/skills/brew", files),
            Skill("plain", "No folder", "Just do it."),
        ],
    )
    return tools


async def test_a_skill_comes_with_its_folder_and_some_of_its_files(
    skilled: Any,
) -> None:
    shown = await skilled.text("skill", name="brew")
    assert shown.startswith("# Skill: brew\n\nBoil water.\n\n")
    assert "Base directory of this skill: /skills/brew" in shown
    assert shown.count("\n- f") == 10
    assert skilled.context.asked == [("skill", ("brew",))]


async def test_a_skill_without_a_folder_is_its_text(skilled: Any) -> None:
    assert await skilled.text("skill", name="plain") == (
        "# Skill: plain\n\nJust do it."
    )


async def test_an_unknown_skill_names_those_there_are(skilled: Any) -> None:
    with pytest.raises(ToolFailure, match="no skill 'tea'; offered: brew, plain"):
        await skilled.call("skill", name="tea")


@pytest.mark.law("access.1")
async def test_a_denied_skill_is_not_even_looked_up(
    skilled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    skilled.context.deny = ("skill",)
    skilled.context.skills = None
    with pytest.raises(PermissionDeniedError):
        await skilled.call("skill", name="brew")
