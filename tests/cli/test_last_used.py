"""The session that ``--continue`` means."""

from pathlib import Path

import pytest
from dovetail.kernel import Location, open_runtime
from dovetail.kernel.testing import ScriptedProvider, text
from dovetail.plugins.console.last_used import LOOKED_AT, last_used, note_used
from support.commands import MODEL, Home, text as said
from support.replay import serve


@pytest.fixture(autouse=True)
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "dovetail" / "used"


async def test_the_one_used_last_is_gone_on_with_however_many_were_begun_since(
    home: Home, state: Path
) -> None:
    here = Location.at(home.work)
    model = ScriptedProvider(text("Used."))
    async with open_runtime(home.url, plugins=[model]) as runtime:
        assert await last_used(runtime, here, home.url) is None
        for number in range(LOOKED_AT + 2):
            await runtime.sessions.create(
                f"s{number}", location=here, model="scripted/model"
            )
        old = await runtime.sessions.get("s0")
        await old.prompt("Use it")
        await old.wait()
        note_used(here.directory, home.url, "s0")
        found = await last_used(runtime, here, home.url)
        assert found is not None
        assert found.id == "s0"
        spoil(state)
        found = await last_used(runtime, here, home.url)
        assert found is not None
        assert found.id != "s0"


def spoil(state: Path) -> None:
    """Make the note none, which nobody else could read."""
    (note,) = state.iterdir()
    assert note.stat().st_mode & 0o077 == 0
    note.write_bytes(b"\xff\0")


async def test_a_prompt_of_a_run_is_a_use(home: Home, state: Path) -> None:
    home.environment["XDG_STATE_HOME"] = str(state.parent.parent)
    async with serve(*(said("Ok.") for _ in range(4))) as server:
        home.serve_from(server.url)
        first = (await home.do("run", "one", "--json", "-m", MODEL)).lines()[0]
        await home.do("run", "two", "--json", "-m", MODEL)
        await home.do("run", "more", "-s", first["session"])
        again = (await home.do("run", "and", "--continue", "--json")).lines()[0]
    assert again["session"] == first["session"]
