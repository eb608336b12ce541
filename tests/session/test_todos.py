"""The to-do list of a session: replaced whole, kept in its log, told to who asks."""

from pathlib import Path
from typing import Any

import anyio
import pytest
from dovetail.builtin_tools import plugin as builtin
from dovetail.kernel import (
    InvalidValueError,
    Runtime,
    Session,
    Todo,
    ToolPart,
)
from dovetail.kernel.testing.scripted import ScriptedProvider, call, calls, text
from dovetail.kernel.values.todo import MAX_TODOS, checked_todos
from hypothesis import given, strategies as st
from support.bounds import HANG
from support.hosts import host, kinds_of

ONE = {"id": "1", "content": "look", "status": "completed", "priority": "high"}
TWO = {"id": "2", "content": "leap", "status": "in_progress"}


def listing(*lists: list[dict[str, Any]]) -> ScriptedProvider:
    """Return a model that writes these lists, a Step for each."""
    return ScriptedProvider(
        *(
            calls(call("todowrite", {"todos": todos}, id=f"c{number}"))
            for number, todos in enumerate(lists)
        ),
        text("Done."),
    )


async def written(runtime: Runtime, folder: Path) -> tuple[Session, list[str]]:
    """Return a session that is done, and what its calls came to."""
    session = await runtime.sessions.create(location=folder, model="scripted/model")
    await session.prompt("go")
    with anyio.fail_after(HANG):
        assert (await session.wait()).succeeded
    messages = (await session.messages(order="asc")).items
    return session, [
        part.text
        for message in messages
        for part in getattr(message, "parts", ())
        if isinstance(part, ToolPart)
    ]


async def test_each_list_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    provider = listing([{"id": "1", "content": "look"}], [ONE, TWO])
    async with host(tmp_path, provider, plugins=[builtin]) as runtime:
        session, told = await written(runtime, tmp_path)
        assert await session.todos() == (
            Todo("1", "look", "completed", "high"),
            Todo("2", "leap", "in_progress", "medium"),
        )
        assert told == [
            "1 of 1 left.\n[ ] 1: look",
            "1 of 2 left.\n[x] 1: look\n[>] 2: leap",
        ]
        assert (await kinds_of(session)).count("todos.replaced") == 2
    async with host(tmp_path, listing(), plugins=[builtin]) as runtime:
        again = await runtime.sessions.get(session.id)
        assert len(await again.todos()) == 2
        await runtime.sessions.rebuild(session.id)
        assert len(await again.todos()) == 2


async def test_there_is_an_empty_list_before_the_first_and_after_the_last(
    tmp_path: Path,
) -> None:
    async with host(tmp_path, listing([ONE], []), plugins=[builtin]) as runtime:
        before = await runtime.sessions.create(location=tmp_path)
        assert await before.todos() == ()
        session, told = await written(runtime, tmp_path)
        assert await session.todos() == ()
        assert told[-1] == "The list is empty."


async def test_the_same_list_again_is_no_event(tmp_path: Path) -> None:
    provider = listing([ONE, TWO], [ONE, TWO])
    async with host(tmp_path, provider, plugins=[builtin]) as runtime:
        session, _ = await written(runtime, tmp_path)
        assert (await kinds_of(session)).count("todos.replaced") == 1


@pytest.mark.law("tools.4")
@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ([TWO, {**TWO, "id": "3"}], "one at a time; in progress are 2, 3"),
        ([ONE, ONE], "each entry has its own"),
        ([{"id": "", "content": "x"}], "id"),
        ([{"id": "1", "content": "  "}], "1 to 2000 characters"),
        ([{"id": "a\nb", "content": "x"}], "printable"),
        ([{"id": "1", "content": "x", "status": "done"}], "status"),
        ([{"id": "1", "content": "x", "priority": 1}], "priority"),
        ([{"id": str(number), "content": "x"} for number in range(201)], "200"),
    ],
)
async def test_a_list_that_is_wrong_leaves_the_one_before_and_says_why(
    tmp_path: Path, wrong: list[dict[str, Any]], why: str
) -> None:
    provider = listing([ONE, TWO], wrong)
    async with host(tmp_path, provider, plugins=[builtin]) as runtime:
        session, told = await written(runtime, tmp_path)
        assert why in told[1]
        assert [one.id for one in await session.todos()] == ["1", "2"]


@given(
    st.lists(
        st.builds(
            Todo,
            st.text(max_size=70),
            st.text(max_size=5) | st.just("x" * 2001),
            st.sampled_from(["pending", "in_progress", "completed", "odd"]),
            st.sampled_from(["high", "low", 3]),
        ),
        max_size=6,
    )
)
def test_what_is_kept_is_well_formed_and_stays_as_it_is(todos: list[Todo]) -> None:
    try:
        kept = checked_todos(todos)
    except InvalidValueError:
        return
    assert checked_todos(kept) == kept
    assert len({one.id for one in kept}) == len(kept) <= MAX_TODOS
    assert sum(one.status == "in_progress" for one in kept) <= 1
