"""The plugin ``context``: what it offers to a Location, through its hook."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from dovetail.kernel import ContextSource, Location, Place, SessionSource
from dovetail.kernel.context.algebra import render_baseline
from dovetail.kernel.context.sampling import observe
from dovetail.plugins.context import plugin
from dovetail.plugins.context.environment import date_source, environment_source

LINK = ".symlink-target.txt"


def shared(directory: Path) -> list[ContextSource]:
    return [one for one in offered(directory) if isinstance(one, ContextSource)]


def offered(directory: Path) -> list[ContextSource | SessionSource]:
    sources: list[ContextSource | SessionSource] = []
    place = Place(Location.at(directory), environment={"DOVETAIL_CONFIG": ""})
    plugin.dovetail_register_context(register=sources.append, place=place)
    return sources


def test_it_offers_sources_for_a_location_and_for_each_session(tmp_path: Path) -> None:
    sources = offered(tmp_path)
    of_sessions = [one for one in sources if isinstance(one, SessionSource)]
    assert sorted(one.key for one in sources if one not in of_sessions) == [
        "core/date",
        "core/environment",
        "core/git",
        "core/instructions",
    ]
    assert sorted(one.key for one in of_sessions) == [
        "core/caller",
        "core/files",
        "core/instructions.nested",
    ]


async def test_the_environment_tells_the_directory_and_whether_it_is_a_checkout(
    tmp_path: Path,
) -> None:
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    (tmp_path / "repo" / "in").mkdir()
    location = Location.at(tmp_path / "repo" / "in")
    observation = await environment_source(location).observe()
    assert observation is not None
    assert f"Working directory: {location.directory}\n" in observation.baseline
    assert observation.baseline.endswith("git checkout: yes")


@pytest.mark.law("context.2")
async def test_a_new_day_changes_the_date_and_nothing_else(tmp_path: Path) -> None:
    days = iter([datetime(2026, 3, 1, 12), datetime(2026, 3, 2, 12)])
    sources = [
        date_source(lambda: int(next(days).timestamp() * 1000)),
        environment_source(Location.at(tmp_path)),
    ]
    first, second = await observe(sources), await observe(sources)
    assert "Today's date: 2026-03-01" in render_baseline(first)
    changed = dict(first.digests.items() ^ second.digests.items())
    assert set(changed) == {"core/date"}
    assert second.observed["core/date"].update == "Today's date is now: 2026-03-02"


@pytest.mark.law("context.5")
async def test_the_baseline_holds_no_clock_and_is_the_same_each_time(
    tmp_path: Path,
) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "AGENTS.md").write_text("use tabs")
    first = render_baseline(await observe(shared(tmp_path)))
    second = render_baseline(await observe(shared(tmp_path)[::-1]))
    assert first == second
    assert first.index("Today's date") < first.index("Working directory")
    assert first.endswith("use tabs")


def rebuild(tree: Path, folder: Path) -> Path:
    """Make the real tree: files without their ``.data``, and the links."""
    root = folder.resolve() / tree.name
    (root / ".git").mkdir(parents=True)
    for path in sorted(tree.rglob("*")):
        target = root / path.relative_to(tree)
        if path.name.endswith(".data"):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.with_suffix("").write_bytes(path.read_bytes())
        elif path.name.endswith(LINK):
            target.parent.mkdir(parents=True, exist_ok=True)
            link = target.with_name(target.name.removesuffix(LINK))
            link.symlink_to(path.read_text().strip())
    return root


async def test_real_trees_give_the_chain_from_root_to_leaf_each_once(
    corpus: Any, tmp_path: Path
) -> None:
    trees = [path for path in corpus("agents-md-trees").path.iterdir() if path.is_dir()]
    assert trees
    for tree in trees:
        root = rebuild(tree, tmp_path)
        folders = [root, *sorted(path.parent for path in root.rglob("AGENTS.md"))]
        for leaf in folders:
            inside = [leaf, *leaf.parents]
            chain = inside[: inside.index(root) + 1][::-1]
            files = [one / "AGENTS.md" for one in chain if (one / "AGENTS.md").exists()]
            baseline = render_baseline(await observe(shared(leaf)))
            place = 0
            for file in files:
                text = file.read_text(encoding="utf-8").strip()
                assert baseline.count(text) == 1
                assert baseline.index(text) >= place
                place = baseline.index(text)
            assert baseline.count("\nFrom /") == len(files)
