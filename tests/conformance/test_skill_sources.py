"""The skill source keeps what its suite asks of a stranger's."""

from pathlib import Path

import pytest
from dovetail.kernel.testing.conformance import SkillConformance
from dovetail.plugins.skills import plugin

pytestmark = pytest.mark.law("plugins.7")

SKILL = "---\nname: sums\ndescription: {}\n---\nAdd one after the other.\n"


class TestFolders(SkillConformance):
    version = 1
    plugin = plugin
    skills = ("sums",)

    def prepare(self, folder: Path) -> None:
        sums = folder / ".agents" / "skills" / "sums"
        (sums / "parts").mkdir(parents=True)
        (sums / "SKILL.md").write_text(SKILL.format("How to add up."))
        (sums / "parts" / "table.txt").write_text("1 2 3\n")
        (sums / "odd.txt").write_text("1 3\n")
        broken = folder / ".dovetail" / "skills" / "broken"
        broken.mkdir(parents=True)
        (broken / "SKILL.md").write_text("---\nname: [\n---\n")

    def change(self, folder: Path) -> None:
        path = folder / ".agents" / "skills" / "sums" / "SKILL.md"
        path.write_text(SKILL.format("How to add up quickly."))
