"""The command ``keys``: what is kept, and that no key is shown."""

import stat

import pytest
from support.commands import Home

SECRET = "sk-do-not-show-me-1234"


async def test_a_key_is_kept_and_used_and_never_shown(home: Home) -> None:
    environment = {"GROQ_API_KEY": None}
    done = await home.do("keys", "set", "groq", input=f"{SECRET}\n".encode())
    assert (done.code, SECRET in done.out + done.err) == (0, False)
    kept = home.path / ".config" / "dovetail" / "keys.toml"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    listed = await home.do("keys", "list", "--json")
    assert listed.lines() == [{"provider": "groq"}]
    models = await home.do("models", "--json", environment=environment)
    usable = {one["provider"] for one in models.lines() if one["usable"]}
    assert "groq" in usable
    assert SECRET not in models.out + models.err
    gone = await home.do("keys", "remove", "groq")
    assert gone.code == 0
    assert (await home.do("keys", "remove", "groq")).code == 1
    assert (await home.do("keys", "list")).out == ""


@pytest.mark.law("models.3")
async def test_a_file_that_others_can_read_is_told_where_a_key_is_missing(
    home: Home,
) -> None:
    await home.do("keys", "set", "groq", input=SECRET.encode())
    (home.path / ".config" / "dovetail" / "keys.toml").chmod(0o644)
    done = await home.do("keys", "list")
    assert done.code != 0
    assert "chmod 600" in done.err
    models = await home.do("models", environment={"GROQ_API_KEY": None})
    assert "chmod 600" in models.out
    assert SECRET not in models.out + models.err + done.err


async def test_a_key_that_no_provider_reads_is_kept_and_that_is_said(
    home: Home,
) -> None:
    done = await home.do("keys", "set", "anthropc", input=SECRET.encode())
    assert done.code == 0
    assert "no provider that is offered here reads it" in done.err
    assert "did you mean anthropic?" in done.err
    assert (await home.do("keys", "list")).out == "anthropc\n"


async def test_a_key_may_be_typed_and_is_not_echoed(home: Home) -> None:
    async with home.at_terminal("keys", "set", "groq") as person:
        await person.until("Key of groq")
        await person.type(f"{SECRET}\n")
        assert await person.end() == 0
        assert SECRET not in person.shown
    assert (await home.do("keys", "list")).out == "groq\n"
