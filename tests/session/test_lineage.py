"""Lineage: whose child a session is, and listing children and roots by pages."""

from pathlib import Path

import pytest
from dovetail.kernel import (
    InvalidValueError,
    Runtime,
    SessionCreated,
    SessionNotFoundError,
)
from dovetail.kernel.testing.scripted import ScriptedProvider
from support.hosts import host


async def listed(runtime: Runtime, **options: object) -> list[str]:
    found, cursor = [], None
    while True:
        page = await runtime.sessions.list(limit=2, cursor=cursor, **options)  # type: ignore[arg-type]
        found += [info.id for info in page]
        cursor = page.cursor
        if cursor is None:
            return found


@pytest.mark.law("events.11")
async def test_a_child_says_whose_it_is_and_is_found_by_that(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    async with host(tmp_path, ScriptedProvider()) as runtime:
        create = runtime.sessions.create
        await create("top", location=tmp_path)
        for number in range(5):
            place = elsewhere if number == 2 else tmp_path
            await create(f"child{number}", location=place, parent="top")
        await create("grandchild", location=tmp_path, parent="child1")
        await create("other", location=elsewhere)

        child = await runtime.sessions.get("child1")
        assert (await child.info()).parent == "top"
        assert (await child.info()).forked_from is None
        [first] = [event async for event in child.events()][:1]
        assert isinstance(first, SessionCreated)
        assert (first.parent, first.forked_from, first.forked_seq) == (
            "top",
            None,
            None,
        )

        children = [f"child{number}" for number in range(4, -1, -1)]
        everything = ["other", "grandchild", *children, "top"]
        for _ in range(2):
            assert await listed(runtime) == everything
            assert await listed(runtime, parent="top") == children
            assert await listed(runtime, parent="child1") == ["grandchild"]
            assert await listed(runtime, parent="other") == []
            assert await listed(runtime, parent="nobody") == []
            assert await listed(runtime, roots=True) == ["other", "top"]
            assert await listed(runtime, roots=True, location=tmp_path) == ["top"]
            assert await listed(runtime, parent="top", location=elsewhere) == ["child2"]
            # What is said of them after that changes nothing of it, nor does a rebuild.
            await child.rename("renamed")
            await runtime.sessions.rebuild()


async def test_a_parent_must_be_there_when_its_child_comes(tmp_path: Path) -> None:
    async with host(tmp_path, ScriptedProvider()) as runtime:
        create = runtime.sessions.create
        for parent in ("nobody", "mine", ""):
            with pytest.raises(SessionNotFoundError):
                await create("mine", location=tmp_path, parent=parent)
        assert await listed(runtime) == []
        await create("top", location=tmp_path)
        await create("mine", location=tmp_path, parent="top")
        # Called again it is the same session, whatever is said of it now.
        again = await create("mine", location=tmp_path, parent="nobody")
        assert (await again.info()).parent == "top"


async def test_nobody_is_a_child_and_a_root(tmp_path: Path) -> None:
    async with host(tmp_path, ScriptedProvider()) as runtime:
        with pytest.raises(InvalidValueError):
            await runtime.sessions.list(parent="top", roots=True)
