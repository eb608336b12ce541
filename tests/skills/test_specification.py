"""The rules of agentskills.io/specification: each one that a skill breaks is named."""

from pathlib import Path

import pytest
from dovetail.kernel import Skill, read_front_matter
from dovetail.kernel.configuration.skill_file import read_skill
from dovetail.kernel.configuration.skill_rules import broken_rules

WHOLE = """\
---
name: pdf-tools
description: Fills in forms. Use it for PDF files.
license: Apache-2.0
compatibility: Needs pdftk and the network.
metadata:
  author: ann
  version: "1.0"
allowed-tools: Bash(pdftk *) Read
---
Do it."""


def skill(folder: Path, text: str) -> Skill:
    folder.mkdir()
    path = folder / "SKILL.md"
    path.write_text(text)
    found = read_skill(path, path)
    assert isinstance(found, Skill)
    return found


def test_all_that_the_specification_names_is_known(tmp_path: Path) -> None:
    found = skill(tmp_path / "pdf-tools", WHOLE)
    assert found.broken == ()
    assert found.license == "Apache-2.0"
    assert found.compatibility == "Needs pdftk and the network."
    assert found.metadata == {"author": "ann", "version": "1.0"}
    assert found.allowed_tools == ("Bash(pdftk *)", "Read")


@pytest.mark.law("context.20")
@pytest.mark.parametrize(
    ("line", "with_", "rule"),
    [
        ("name: pdf-tools", "name: PDF-tools", "lower case"),
        ("name: pdf-tools", "name: pdf tools", "lower case"),
        ("name: pdf-tools", "name: -pdf", "hyphen"),
        ("name: pdf-tools", "name: pdf--tools", "hyphen"),
        ("name: pdf-tools", "name: other", "its folder"),
        ("name: pdf-tools", f"name: {'a' * 65}", "64 characters"),
        ("name: pdf-tools\n", "", "no name"),
        ("description: Fills", f"description: {'x' * 1024} Fills", "1024"),
        ("license: Apache-2.0", "license: [a, b]", "license"),
        ("compatibility: Needs", f"compatibility: {'x' * 500} Needs", "compatibility"),
        ("compatibility: Needs pdftk and the network.", "compatibility: [x]", "500"),
        ('version: "1.0"', "version: [1.0]", "metadata"),
        ("metadata:\n  author: ann\n", "metadata: ann\nx:\n", "metadata"),
        ("allowed-tools: Bash(pdftk *) Read", "allowed-tools: [Read]", "allowed-tools"),
        ("license: Apache-2.0", "licence: Apache-2.0", "'licence'"),
    ],
)
def test_a_skill_that_breaks_a_rule_is_offered_and_says_which(
    tmp_path: Path, line: str, with_: str, rule: str
) -> None:
    assert line in WHOLE
    found = skill(tmp_path / "pdf-tools", WHOLE.replace(line, with_))
    assert any(rule in one for one in found.broken), found.broken
    assert found.body == "Do it."


def test_names_of_any_script_are_names() -> None:
    for name in ("größe", "навык", "技能-2"):
        text = f"---\nname: {name}\ndescription: d\n---\n"
        header, _ = read_front_matter(text, ("description",))
        assert [*broken_rules(header, Path(f"/x/{name}"))] == []
