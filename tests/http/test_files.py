"""Files of a Location through the door: these, and nothing outside of it."""

import os
from pathlib import Path

import pytest
from support.doors import served


@pytest.fixture
def place(tmp_path: Path) -> Path:
    root = tmp_path / "place"
    (root / "src" / "deep").mkdir(parents=True)
    (root / "README.md").write_text("Read me")
    (root / "src" / "main.py").write_text("print()")
    (root / "src" / "deep" / "maintenance.txt").write_text("x")
    (root / ".git").mkdir()
    (root / ".git" / "main").write_text("x")
    (tmp_path / "secret.txt").write_text("secret")
    (root / "out").symlink_to(tmp_path / "secret.txt")
    (root / "up").symlink_to(tmp_path)
    (root / "in").symlink_to(root / "src")
    return root


async def test_a_file_is_read_and_runs_nowhere(place: Path) -> None:
    async with served(location=place) as it:
        for path in ("README.md", "src/main.py", "in/main.py", "src/../README.md"):
            answer = await it.http.get(f"/api/fs/read/{path.replace('..', '%2e%2e')}")
            assert answer.status_code == 200, path
            wanted = (place / path).resolve().read_bytes()
            assert answer.content == wanted
            assert "attachment" in answer.headers["content-disposition"]


@pytest.mark.parametrize(
    "path",
    [
        "%2e%2e/secret.txt",
        "src/%2e%2e/%2e%2e/secret.txt",
        "..%2fsecret.txt",
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "out",
        "up/secret.txt",
        "in/%2e%2e/%2e%2e/secret.txt",
    ],
)
async def test_nothing_outside_is_read(path: str, place: Path) -> None:
    async with served(location=place) as it:
        answer = await it.http.get(f"/api/fs/read/{path}")
        assert answer.status_code in (403, 404)
        assert "secret" not in answer.text.replace("secret.txt", "")
        assert "root:" not in answer.text


async def test_what_is_no_file_is_not_waited_for(place: Path) -> None:
    os.mkfifo(place / "pipe")
    async with served(location=place) as it:
        for path in ("pipe", "src", "none", "", "README.md/x", "a%00b", "x" * 5000):
            answer = await it.http.get(f"/api/fs/read/{path}")
            assert answer.status_code in (400, 404), path


async def test_a_directory_is_listed_directories_first(place: Path) -> None:
    async with served(location=place) as it:
        found = (await it.ask("GET", "fs/list"))["data"]
        assert [one["path"] for one in found][:2] == [".git", "src"]
        assert {one["type"] for one in found[:2]} == {"directory"}
        found = (await it.ask("GET", "fs/list?path=src"))["data"]
        assert [one["path"] for one in found] == ["src/deep", "src/main.py"]
        for path in ("..", "up", "../..", "/etc", "out"):
            answer = await it.http.get("/api/fs/list", params={"path": path})
            assert answer.status_code in (403, 404), path


async def test_files_are_found_by_letters_the_best_first(place: Path) -> None:
    async with served(location=place) as it:
        found = (await it.ask("GET", "fs/find?query=main"))["data"]
        names = ["src/main.py", "src/deep/maintenance.txt"]
        assert [one["path"] for one in found] == names
        found = (await it.ask("GET", "fs/find?query=main&limit=1"))["data"]
        assert [one["path"] for one in found] == names[:1]
        found = (await it.ask("GET", "fs/find?query=src&type=directory"))["data"]
        assert found[0] == {"path": "src", "type": "directory"}
        assert not (await it.ask("GET", "fs/find?query=secret"))["data"]
        told = await it.ask("GET", "fs/find", 400)
        assert told["code"] == "server.malformed"


async def test_another_location_is_named_in_the_query_or_in_a_header(
    place: Path,
) -> None:
    async with served() as it:
        by_query = await it.ask(
            "GET", "location", params={"location[directory]": str(place)}
        )
        by_header = await it.ask(
            "GET", "location", headers={"x-opencode-directory": str(place)}
        )
        assert by_query == by_header
        assert by_query["directory"] == str(place)
        told = await it.ask(
            "GET", "location", 404, params={"location[directory]": "/none/such"}
        )
        assert told["code"] == "location.not_found"
        for path in ("agent", "model", "provider", "skill", "command", "tool"):
            found = await it.ask(
                "GET", path, params={"location[directory]": str(place)}
            )
            assert found["location"] == by_query
        for name in ("agent", "plugin"):
            assert (await it.ask("GET", name))["data"]
        told = await it.ask("GET", "provider/none", 404)
        assert told["_tag"] == "ProviderNotFoundError"


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="there is no /proc")
async def test_a_file_that_cannot_be_read_is_as_none() -> None:
    """The first bytes of a process are nowhere; reading them is an error."""
    async with served(location="/proc/self") as it:
        told = await it.ask("GET", "fs/read/mem", 404)
        assert told["code"] == "file.not_found"


async def test_what_a_system_tells_of_this_process_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "own").symlink_to("/proc/self")
    async with served(location=tmp_path) as it:
        for place, path in (("/proc/self", "environ"), ("/", "proc/self/environ")):
            query = {"location[directory]": place}
            await it.ask("GET", f"fs/read/{path}", 404, params=query)
            await it.ask("GET", "fs/list", 404, params={**query, "path": "/proc/self"})
        await it.ask("GET", "fs/read/own/environ", 403)
        said = {
            "prompt": {"text": "See @/proc/self/environ @own/environ"},
            "files": True,
        }
        made = await it.ask("POST", "prompt", json=said)
        assert made["data"]["files"] == []
