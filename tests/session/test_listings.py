"""Listings by pages: opaque cursors that stay good while things are added."""

import base64
from pathlib import Path
from typing import Any

import anyio
import pytest
from dovetail.kernel import (
    CursorInvalidError,
    InvalidValueError,
    Runtime,
    SessionAmbiguousError,
    SessionNotFoundError,
    UserMessage,
)
from dovetail.kernel.testing.scripted import ScriptedProvider, text
from support.bounds import HANG
from support.hosts import host


async def pages(runtime: Runtime, limit: int, **options: Any) -> list[list[str]]:
    found, cursor = [], None
    while True:
        page = await runtime.sessions.list(limit=limit, cursor=cursor, **options)
        found.append([info.id for info in page])
        cursor = page.cursor
        if cursor is None:
            return found


async def test_pages_of_sessions_are_full_but_the_last_and_end_without_a_cursor(
    tmp_path: Path,
) -> None:
    async with host(tmp_path, ScriptedProvider()) as runtime:
        assert await pages(runtime, 3) == [[]]
        for number in range(6):
            await runtime.sessions.create(id=f"s{number}", location=tmp_path)
        newest_first = [f"s{number}" for number in range(5, -1, -1)]
        assert await pages(runtime, 3) == [newest_first[:3], newest_first[3:]]
        assert await pages(runtime, 4) == [newest_first[:4], newest_first[4:]]
        assert await pages(runtime, 200) == [newest_first]
        assert await pages(runtime, 1) == [[one] for one in newest_first]


async def test_a_walk_has_every_session_once_while_others_are_added(
    tmp_path: Path,
) -> None:
    """Those that were there when it began; the new ones come before the first page."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    async with host(tmp_path, ScriptedProvider()) as runtime:
        for number in range(40):
            place = elsewhere if number % 4 == 0 else tmp_path
            await runtime.sessions.create(
                id=f"s{number}", location=place, title=f"Nr {number}%"
            )
        walks: dict[str, list[str]] = {}

        async def walk(name: str, **options: Any) -> None:
            found = await pages(runtime, 3, **options)
            walks[name] = [one for page in found for one in page]

        async def add(number: int) -> None:
            for place in (tmp_path, elsewhere):
                await runtime.sessions.create(
                    id=f"new{number}{place.name}", location=place, title="Nr 9%"
                )
                await anyio.lowlevel.checkpoint()

        with anyio.fail_after(HANG):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(walk, "all")
                for number in range(20):
                    tasks.start_soon(add, number)
                tasks.start_soon(lambda: walk("elsewhere", location=elsewhere))
                tasks.start_soon(lambda: walk("search", search="nR 1"))
                tasks.start_soon(lambda: walk("percent", search="9%"))

    everything = [f"s{number}" for number in range(39, -1, -1)]
    wanted = {
        "all": everything,
        "elsewhere": [one for one in everything if int(one[1:]) % 4 == 0],
        "search": [one for one in everything if one[1] == "1"],
        "percent": ["s39", "s29", "s19", "s9"],
    }
    for name, right in wanted.items():
        old = [one for one in walks[name] if not one.startswith("new")]
        assert old == right, name
        assert len(set(walks[name])) == len(walks[name])


async def test_a_walk_through_messages_goes_on_while_more_are_said(
    tmp_path: Path,
) -> None:
    provider = ScriptedProvider(*[text(f"answer {n}") for n in range(12)])
    async with host(tmp_path, provider) as runtime:
        session = await runtime.sessions.create(location=tmp_path, model=provider.model)
        walked: dict[str, list[str]] = {"asc": [], "desc": []}
        cursors: dict[str, str | None] = {"asc": None, "desc": None}
        with anyio.fail_after(HANG):
            for number in range(6):
                await session.prompt(f"prompt {number}")
                await session.wait()
            for number in range(6, 12):
                for order in ("asc", "desc"):
                    page = await session.messages(2, cursors[order], order)  # type: ignore[arg-type]
                    walked[order] += [one.id for one in page]
                    cursors[order] = page.cursor
                await session.prompt(f"prompt {number}")
                await session.wait()
        history = await session.history()
        ids = [one.id for one in history]
        assert len(ids) == 24
        assert walked["asc"] == ids[:12]
        # From the end as it was when the walk began.
        assert walked["desc"] == ids[:12][::-1]
        assert cursors["desc"] is None
        assert isinstance(history[0], UserMessage)


def made(what: str) -> str:
    return base64.urlsafe_b64encode(what.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "7",
        "=",
        "====",
        "not a cursor",
        "\0",
        "\ud800",
        "ключ",
        "A" * 100_000,
        made("sessions"),
        made("sessions:"),
        made("sessions:x"),
        made("sessions:1:1"),
        made("messages.asc:1:sessions"),
        made("messages:3"),
        made(":3"),
        made("sessions:" + "9" * 5000),
        7,
        -1,
        b"x",
        True,
        ["x"],
    ],
)
async def test_what_is_no_cursor_of_a_listing_is_refused(
    tmp_path: Path, cursor: Any
) -> None:
    async with host(tmp_path, ScriptedProvider()) as runtime:
        session = await runtime.sessions.create(location=tmp_path)
        for refused in (
            runtime.sessions.list(cursor=cursor),
            session.messages(cursor=cursor),
            session.messages(cursor=cursor, order="asc"),
        ):
            with pytest.raises(CursorInvalidError) as caught:
                await refused
            assert caught.value.code == "cursor.invalid"
            assert len(str(caught.value)) < 1000


async def test_a_naughty_string_is_no_cursor(tmp_path: Path, corpus: Any) -> None:
    async with host(tmp_path, ScriptedProvider()) as runtime:
        for string in corpus("naughty-strings").json("blns.json"):
            with pytest.raises(CursorInvalidError):
                await runtime.sessions.list(cursor=string)


async def test_a_cursor_of_another_listing_or_order_is_refused(
    tmp_path: Path,
) -> None:
    provider = ScriptedProvider(text("one"), text("two"))
    async with host(tmp_path, provider) as runtime:
        for name in ("a", "b"):
            session = await runtime.sessions.create(
                id=name, location=tmp_path, model=provider.model
            )
            await session.prompt("go")
            with anyio.fail_after(HANG):
                await session.wait()
        cursors = {
            "sessions": (await runtime.sessions.list(limit=1)).cursor,
            "asc": (await session.messages(1, order="asc")).cursor,
            "desc": (await session.messages(1, order="desc")).cursor,
        }
        assert None not in cursors.values()
        for order in ("asc", "desc"):
            for name, cursor in cursors.items():
                if name == order:
                    await session.messages(cursor=cursor, order=order)  # type: ignore[arg-type]
                    continue
                with pytest.raises(CursorInvalidError):
                    await session.messages(cursor=cursor, order=order)  # type: ignore[arg-type]
        for name in ("asc", "desc"):
            with pytest.raises(CursorInvalidError):
                await runtime.sessions.list(cursor=cursors[name])


@pytest.mark.parametrize("limit", [0, -1, 201, 10**30])
async def test_a_page_has_from_one_to_two_hundred_items(
    tmp_path: Path, limit: int
) -> None:
    async with host(tmp_path, ScriptedProvider()) as runtime:
        session = await runtime.sessions.create(location=tmp_path)
        for refused in (runtime.sessions.list(limit=limit), session.messages(limit)):
            with pytest.raises(InvalidValueError):
                await refused


async def test_a_session_is_found_by_the_beginning_of_its_id(tmp_path: Path) -> None:
    async with host(tmp_path, ScriptedProvider()) as runtime:
        for name in ("apple", "apricot", "apricot-2", "berry"):
            await runtime.sessions.create(name, location=tmp_path, model="scripted/m")
        found = [await runtime.sessions.find(one) for one in ("b", "apricot", "app")]
        assert found == ["berry", "apricot", "apple"]
        with pytest.raises(SessionAmbiguousError) as several:
            await runtime.sessions.find("ap")
        assert several.value.candidates == ("apple", "apricot", "apricot-2")
        for none in ("", "cherry", "%", "apple_"):
            with pytest.raises(SessionNotFoundError):
                await runtime.sessions.find(none)
