"""What a person has changed in an editor and not saved stays theirs."""

from pathlib import Path
from typing import Any

import pytest
from dovetail.kernel import ToolFailure

pytestmark = pytest.mark.law("tools.19")


@pytest.fixture
def path(place: Path, tools: Any) -> Path:
    path = place / "a.txt"
    path.write_text("on the disk\n")
    tools.context.editor[str(path)] = "typed\r\nby a person"
    return path


def held(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


async def test_it_is_what_is_read_and_said_to_be_so(path: Path, tools: Any) -> None:
    told = await tools.text("read", path="a.txt")
    assert told.startswith("1\ttyped\n2\tby a person\n")
    assert "has not saved" in told
    assert (await tools.text("read", path="a.txt", offset=2)).startswith("2\tby")
    # The file itself was not looked at.
    assert tools.context.files == {}


async def test_a_long_one_is_read_by_pages(path: Path, tools: Any) -> None:
    tools.context.editor[str(path)] = "".join(f"{n}\n" for n in range(1, 5001))
    first = await tools.text("read", path="a.txt")
    assert len(first.splitlines()) <= 2000
    assert "go on with offset=1997" in first
    assert "1997\t1997" in await tools.text("read", path="a.txt", offset=1997)


@pytest.mark.parametrize(
    ("tool", "given"),
    [
        ("edit", {"path": "a.txt", "old_string": "disk", "new_string": "x"}),
        ("write", {"path": "a.txt", "content": "x"}),
        (
            "apply_patch",
            {
                "input": "*** Begin Patch\n*** Update File: a.txt\n@@\n"
                "-on the disk\n+x\n*** End Patch"
            },
        ),
        (
            "apply_patch",
            {"input": "*** Begin Patch\n*** Delete File: a.txt\n*** End Patch"},
        ),
    ],
    ids=["edit", "write", "update", "delete"],
)
async def test_nothing_is_written_over_it(
    path: Path, tools: Any, tool: str, given: dict[str, Any]
) -> None:
    with pytest.raises(ToolFailure, match="not saved it; nothing was changed"):
        await tools.call(tool, **given)
    assert held(path) == "on the disk\n"
    assert tools.context.changes == []
    del tools.context.editor[str(path)]
    await tools.call(tool, **given)
    assert held(path) != "on the disk\n"
