"""The plugin ``skills`` with the registry, on the real skills that people wrote."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dovetail.kernel import Location, Place, Skill, SkillSource
from dovetail.kernel.lifecycle.registrations import Registrations
from dovetail.kernel.skills.registry import SkillRegistry, skills_source
from dovetail.plugins.skills import plugin

SETS = ("skills-wild", "pi-skill-fixtures", "opencode-frontmatter")
UNUSABLE = ("no-frontmatter", "unterminated", "not-utf8")


@pytest.fixture(autouse=True)
def own_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the skills of whoever runs the tests out of them."""
    for name in ("HOME", "XDG_CONFIG_HOME", "USERPROFILE", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "nobody"))


def make_registry(directory: Path, *folders: Path) -> SkillRegistry:
    registry = SkillRegistry(Registrations[SkillSource]())
    place = Place(Location.at(directory), skill_folders=[str(one) for one in folders])
    plugin.dovetail_register_skills(
        register=lambda source: registry.register(source, "skills"), place=place
    )
    return registry


def real(corpus: Any) -> dict[str, Path]:
    return {name: corpus(name).path for name in SETS}


def skill_files(folder: Path) -> list[Path]:
    below = [path for path in folder.rglob("*") if path.name.lower() == "skill.md"]
    return below + [path for path in folder.glob("*.md") if path not in below]


async def test_skills_of_the_location_are_found_through_the_hook(
    tmp_path: Path,
) -> None:
    folder = tmp_path / ".agents" / "skills" / "a"
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text("---\ndescription: Use it: now\n---\nDo it.")
    registry = make_registry(tmp_path)
    assert await registry.get("a") == Skill(
        "a", "Use it: now", "Do it.", directory=str(Location.at(folder).directory)
    )
    observation = await skills_source(registry).observe()
    assert observation is not None
    assert observation.baseline.endswith("- a: Use it: now")


async def test_every_real_skill_file_is_listed_or_told_once(
    corpus: Any, tmp_path: Path
) -> None:
    folders = real(corpus)
    registry = make_registry(tmp_path, *folders.values())
    skills = await registry.skills()
    problems = registry.problems()
    files = [path for folder in folders.values() for path in skill_files(folder)]
    assert len(skills) + len(problems) == len(files)
    told = [one.path for one in problems]
    assert len(set(told)) == len(told)
    assert set(told) <= {str(path) for path in files}
    listed = {one.directory for one in skills if one.directory}
    for path in files:
        is_listed = str(path.parent) in listed or path.stem in {
            one.name for one in skills
        }
        top_level_renamed = path.name == "frontmatter.md"
        assert is_listed or str(path) in told or top_level_renamed, path


async def test_real_skills_have_the_names_and_descriptions_of_a_strict_reader(
    corpus: Any, tmp_path: Path
) -> None:
    wild = corpus("skills-wild")
    registry = make_registry(tmp_path, wild.path)
    by_folder = {one.directory: one for one in await registry.skills()}
    told = {one.path for one in registry.problems()}
    for row in wild.lines("INDEX.jsonl"):
        path = wild.path / row["file"]
        strict = row["strict_yaml"]
        if row["kind"] in UNUSABLE:
            assert str(path) in told
            continue
        skill = by_folder[str(path.parent)]
        assert str(path) not in told
        if strict["result"] == "map":
            assert skill.name == (strict["name"] or path.parent.name)
            assert len(skill.description) == strict["description_chars"]
        elif row["kind"].startswith("yaml-mapping"):
            lines = path.read_text(encoding="utf-8").splitlines()
            assert f"name: {skill.name}" in lines
            assert f"description: {skill.description}" in lines


async def test_deliberately_bad_skills_are_listed_or_told(
    corpus: Any, tmp_path: Path
) -> None:
    root = corpus("pi-skill-fixtures").path
    registry = make_registry(tmp_path, root / "skills", root / "skills-collision")
    assert registry.problems() == []  # nothing was searched yet
    names = {one.name for one in await registry.skills()}
    told = {Path(one.path).parent.name for one in registry.problems()}
    assert told == {"missing-description", "no-frontmatter", "invalid-yaml", "calendar"}
    assert {"child-skill", "bad--name", "Invalid_Name", "different-name"} <= names
    assert "calendar" in names
    quiet = await registry.get("disable-model-invocation")
    assert quiet.offered is False


async def test_a_byte_order_mark_costs_no_real_skill(
    corpus: Any, tmp_path: Path
) -> None:
    source = next(corpus("skills-wild").path.glob("ok/*/SKILL.md"))
    for end in (b"\n", b"\r\n"):
        folder = tmp_path / ".agents" / "skills" / f"n{len(end)}"
        folder.mkdir(parents=True)
        data = source.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", end)
        (folder / "SKILL.md").write_bytes(b"\xef\xbb\xbf" + data)
    registry = make_registry(tmp_path)
    (skill,) = await registry.skills()
    assert skill.name == source.parent.name
    assert "\r" not in skill.body


def test_registering_the_plugin_loads_no_yaml() -> None:
    program = "import sys, dovetail.plugins.skills; sys.exit('yaml' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
