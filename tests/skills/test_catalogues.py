"""Remote catalogues of skills: what is taken of them, and what is not."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import anyio
import pytest
from anyio.abc import ByteStream
from dovetail.builtin_tools import BuiltinTools, catalogues as module
from dovetail.builtin_tools._addresses import Hosts
from dovetail.builtin_tools._catalogue import (
    MAX_FILES,
    MAX_SKILLS,
    base_of,
    below,
    is_safe,
    read_index,
)
from dovetail.builtin_tools._catalogue_copy import CURRENT
from dovetail.builtin_tools._http import Web, trusted
from dovetail.builtin_tools._urls import RefusedError
from dovetail.builtin_tools.catalogues import Catalogue, Catalogues
from dovetail.kernel import Skill, SkillProblem
from dovetail.kernel.testing import ScriptedProvider, text
from dovetail.plugins.skills import plugin as skills
from hypothesis import given, strategies as st
from support.bounds import HANG
from support.hosts import host
from support.websites import Answering, Website, answer, redirect, website

HOSTS = Hosts.of(["localhost"])


class Tools(BuiltinTools):
    """The plugin under the name that its entry point has."""

    name = "tools"


def skill(name: str, said: str = "d") -> str:
    return f"---\nname: {name}\ndescription: {said}\n---\nBody."


def index(*skills: tuple[str, Sequence[str]] | Mapping[str, object]) -> bytes:
    listed = [
        {"name": one[0], "files": [*one[1]]} if isinstance(one, tuple) else one
        for one in skills
    ]
    return answer(json.dumps({"skills": listed}), "application/json")


def pages(**more: bytes | Answering) -> dict[str, bytes | Answering]:
    return {
        "/c/index.json": index(
            ("one", ["SKILL.md", "refs/a.md"]), ("two", ["SKILL.md"])
        ),
        "/c/one/SKILL.md": answer(skill("one")),
        "/c/one/refs/a.md": answer("reference"),
        "/c/two/SKILL.md": answer(skill("two")),
        **more,
    }


def catalogue(site: Website, cache: Path) -> Catalogue:
    web = Web(lambda: trusted({}), HOSTS)
    [made] = Catalogues.of([f"{site.url}/c"], web, HOSTS, cache).found
    return made


async def names(one: Catalogue) -> list[str]:
    return [found.name for found in await one.find() if isinstance(found, Skill)]


async def problems(one: Catalogue) -> list[str]:
    return [f.problem for f in await one.find() if isinstance(f, SkillProblem)]


@pytest.mark.law("context.23")
async def test_what_is_fetched_is_kept_with_its_hashes_and_used_when_it_is_away(
    tmp_path: Path,
) -> None:
    async with website(pages()) as site:
        one = catalogue(site, tmp_path)
        assert await names(one) == []
        assert await one.refresh()
        assert not one.holds()
        assert await names(one) == ["one", "two"]
        found = [one for one in await one.find() if isinstance(one, Skill)]
        assert found[0].files == ("refs/a.md",)
        current = json.loads((one.copy.folder / CURRENT).read_text())
        assert set(current["skills"]["one"]) == {"SKILL.md", "refs/a.md"}
        for path in one.copy.folder.rglob("*"):
            if path.is_file():
                assert not path.stat().st_mode & 0o111
        base = one.base
    again = Catalogue(base, one.web, one.copy)
    assert not await again.refresh()
    assert await names(again) == ["one", "two"]
    assert "its copy is used" in (await problems(again))[0]


@pytest.mark.law("context.23")
async def test_a_refresh_counts_at_once_or_not_at_all(tmp_path: Path) -> None:
    gate = anyio.Event()
    asked = anyio.Event()

    async def slowly(stream: object) -> None:
        asked.set()
        await gate.wait()

    async with website(pages()) as site:
        one = catalogue(site, tmp_path)
        assert await one.refresh()
        before = await one.find()
        generation = one.copy.current()
        # Nothing is other: nothing is replaced.
        assert await one.refresh()
        assert one.copy.current().generation == generation.generation  # type: ignore
        site.pages["/c/one/SKILL.md"] = answer(skill("one", "changed"))
        site.pages["/c/two/SKILL.md"] = slowly
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one.refresh)
            await asked.wait()
            assert await one.find() == before
            tasks.cancel_scope.cancel()
        assert await one.find() == before
        assert len([*one.copy.folder.glob("g-*")]) == 1
        # One file that fails takes its skill with it, and no other.
        site.pages["/c/two/SKILL.md"] = answer(status=500)
        assert await one.refresh()
        assert await names(one) == ["one"]
        assert (await problems(one)) == ["'SKILL.md' of it: the server answered 500"]
        # What takes all of them away leaves the copy.
        site.pages["/c/one/SKILL.md"] = answer(status=500)
        assert not await one.refresh()
        assert await names(one) == ["one"]


@pytest.mark.law("context.23")
async def test_a_copy_that_is_not_what_was_fetched_is_not_used(tmp_path: Path) -> None:
    async with website(pages()) as site:
        one = catalogue(site, tmp_path)
        assert await one.refresh()
    [path] = one.copy.folder.glob("g-*/one/refs/a.md")
    path.write_text("Obey me.")
    assert await names(one) == ["two"]
    assert "is not what was fetched" in (await problems(one))[0]
    for wrong in ("{}", "[", '{"base": "x", "generation": "../x", "skills": {}}'):
        (one.copy.folder / CURRENT).write_text(wrong)
        assert await names(one) == []


@pytest.mark.law("context.23")
@pytest.mark.parametrize(
    "to",
    ["http://127.0.0.1:1/x", "http://localhost:1/c/x", "/other", "/c/../x", "//x/c/"],
)
async def test_nothing_leads_to_another_origin_or_out_of_the_catalogue(
    tmp_path: Path, to: str
) -> None:
    more = {"/c/one/SKILL.md": redirect(to), "/other": answer(skill("one"))}
    async with website({**pages(), **more}) as site:
        one = catalogue(site, tmp_path)
        assert await one.refresh()
        assert await names(one) == ["two"]
        assert "/other" not in site.paths


async def test_a_redirect_within_the_catalogue_is_followed(tmp_path: Path) -> None:
    more = {
        "/c/one/SKILL.md": redirect("/c/v2/SKILL.md"),
        "/c/v2/SKILL.md": answer(skill("one")),
        "/c/two/SKILL.md": redirect("/c/two/SKILL.md"),
    }
    async with website({**pages(), **more}) as site:
        one = catalogue(site, tmp_path)
        assert await one.refresh()
        assert await names(one) == ["one"]


async def test_sizes_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_FILE", 100)
    more = {"/c/one/refs/a.md": answer("x" * 101)}
    async with website({**pages(), **more}) as site:
        one = catalogue(site, tmp_path)
        assert await one.refresh()
        assert await names(one) == ["two"]
        site.pages["/c/index.json"] = answer(" " * (module.MAX_INDEX + 1))
        assert not await one.refresh()
        site.pages["/c/index.json"] = answer("<html>")
        assert not await one.refresh()
        assert await names(one) == ["two"]


@pytest.mark.parametrize(
    "path",
    [
        *("", ".", "..", "/a", "a/", "a//b", "a/../b", "../a", "./a", "~/a", "a/.."),
        *("a\\b", "..\\a", "C:a", "c:/a", "//host/a", "file:a", "http://x/a"),
        *("%2e%2e/a", "a/%2e%2e", "%252e%252e/a", "a%2fb", "a%5cb", "a%00b"),
        *("a\0b", "a\nb", "a?b", "a#b", "a*b", "a|b", 'a"b', "a<b", "a:b"),
        *("．．/a", "a／b", "‥/a", "a\u202eb", "a.", "a ", " a", ".hidden", "a/.git"),
        *("con", "nul.md", "COM1.txt", "a/aux", "lpt¹", "x" * 121, "a/" * 9 + "a"),
    ],
)
def test_a_path_that_could_mean_another_file_is_none(path: str) -> None:
    assert not is_safe(path)
    found = read_index(
        json.dumps({"skills": [{"name": "x", "files": ["SKILL.md", path]}]}).encode()
    )
    assert found.entries == ()
    assert len(found.problems) == 1


@given(st.text(min_size=1, max_size=40))
def test_whatever_is_safe_stays_below_the_folder_and_the_catalogue(path: str) -> None:
    if not is_safe(path):
        return
    folder = os.path.join(os.sep, "cache", "x")
    assert os.path.normpath(os.path.join(folder, path)).startswith(folder + os.sep)
    base = base_of("https://example.org/c/")
    url = below(base, "x", *path.split("/"))
    assert str(url).startswith("https://example.org/c/x/")
    assert "?" not in url.target


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"name": "X", "files": ["SKILL.md"]}, "lower case"),
        ({"name": "../x", "files": ["SKILL.md"]}, "lower case"),
        ({"name": "con", "files": ["SKILL.md"]}, "lower case"),
        ({"name": "a" * 65, "files": ["SKILL.md"]}, "lower case"),
        ({"name": 7, "files": ["SKILL.md"]}, "lower case"),
        ({"name": "x"}, "no SKILL.md"),
        ({"name": "x", "files": "SKILL.md"}, "no list"),
        ({"name": "x", "files": [7]}, "no list"),
        ({"name": "x", "files": ["a.md"]}, "no SKILL.md"),
        ({"name": "x", "files": ["SKILL.md", "skill.md"]}, "are one"),
        ({"name": "x", "files": ["SKILL.md", "a", "A/b"]}, "are one"),
        (
            {"name": "x", "files": ["SKILL.md", *map(str, range(MAX_FILES))]},
            "more than",
        ),
        ("x", "lower case"),
    ],
)
def test_an_entry_that_is_wrong_is_left_out_whole(entry: object, why: str) -> None:
    good = {"name": "good", "files": ["SKILL.md"]}
    found = read_index(json.dumps({"skills": [entry, good, good]}).encode())
    assert [one.name for one in found.entries] == ["good"]
    [(_, first), (_, second)] = found.problems
    assert why in first
    assert "two of this name" in second


def test_an_index_is_bounded_and_any_bytes_are_an_answer() -> None:
    many = [{"name": f"s{n}", "files": ["SKILL.md"]} for n in range(MAX_SKILLS + 5)]
    found = read_index(json.dumps({"skills": many}).encode())
    assert len(found.entries) == MAX_SKILLS
    assert len(found.problems) == 1
    for wrong in (b"", b"\xff", b"[]", b"7", b'{"skills": 7}', b"[" * 100_000):
        with pytest.raises(RefusedError):
            read_index(wrong)


@pytest.mark.parametrize(
    "given_",
    [
        "x",
        [7],
        ["ftp://example.org"],
        ["http://example.org/c"],
        ["https://127.0.0.1/c"],
        ["https://10.0.0.1/c"],
        ["https://[::1]/c"],
        ["https://localhost:3000/c"],
        ["https://user:word@example.org/c"],
        ["https://example.org/c?x=1"],
        [f"https://example.org/{n}" for n in range(30)],
    ],
)
def test_a_catalogue_that_is_not_of_the_public_internet_is_refused(
    tmp_path: Path, given_: object
) -> None:
    web = Web(lambda: trusted({}), Hosts.of([]))
    with pytest.raises(ValueError):  # noqa: PT011
        Catalogues.of(given_, web, Hosts.of([]), tmp_path)


async def test_a_name_that_means_a_private_address_is_refused_when_it_is_fetched(
    tmp_path: Path,
) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["10.0.0.1"]

    web = Web(lambda: trusted({}), Hosts.of([]), resolve)
    given_ = ["https://example.org/c"]
    [one] = Catalogues.of(given_, web, Hosts.of([]), tmp_path).found
    assert not await one.refresh()
    assert "not of the public internet" in (await problems(one))[0]


async def told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, site: Website, gate: anyio.Event
) -> list[str]:
    """Return what a model is told of skills in a second Step, once it was fetched."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "work" / ".dovetail").mkdir(parents=True, exist_ok=True)
    file = tmp_path / "dovetail.toml"
    file.write_text(
        "[plugins.tools]\n"
        f'private_hosts = ["localhost:{site.port}"]\n'
        f'skill_catalogues = ["{site.url}/c/index.json"]\n'
    )
    model = ScriptedProvider(text("one"), text("two"))
    async with host(
        tmp_path,
        model,
        plugins=[Tools(), skills],
        environment={"DOVETAIL_CONFIG": str(file)},
    ) as runtime:
        session = await runtime.sessions.create(
            location=tmp_path / "work", model=model.model
        )
        for words in ("a", "b"):
            with anyio.fail_after(HANG):
                await session.prompt(words)
                assert (await session.wait()).succeeded
                # Nothing is fetched before the first Step is over.
                gate.set()
                while not any(
                    one.directory and "cache" in one.directory
                    for one in await runtime.location(tmp_path / "work").skills()
                ):
                    await anyio.wait_all_tasks_blocked()
        return [one.text for one in model.histories[-1] if one.type == "notice"]


@pytest.mark.law("context.21")
async def test_what_came_from_a_catalogue_is_told_at_the_next_boundary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "work" / ".dovetail" / "skills" / "two"
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text(skill("two", "the project's own"))
    gate = anyio.Event()

    async def waiting(stream: ByteStream) -> None:
        await gate.wait()
        await stream.send(index(("one", ["SKILL.md"]), ("two", ["SKILL.md"])))

    async with website({**pages(), "/c/index.json": waiting}) as site:
        [told] = await told_of(tmp_path, monkeypatch, site, gate)
    # Of equal names that of this machine wins.
    assert told.endswith("- one: d\n- two: the project's own")


async def test_the_file_of_a_location_names_no_catalogue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    async with website(pages()) as site:
        (tmp_path / "dovetail.toml").write_text(
            f'[plugins.tools]\nskill_catalogues = ["{site.url}/c"]\n'
        )
        model = ScriptedProvider()
        async with host(tmp_path, model, plugins=[Tools()]) as runtime:
            await runtime.location(tmp_path).skills()
        assert site.requests == []
