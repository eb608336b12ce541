"""What a person says by the names of servers: prompts and resources."""

import base64
from pathlib import Path
from typing import Any

import anyio
import pytest
from dovetail.kernel import PromptInvalidError, UserMessage
from dovetail.kernel.testing import text
from mcp_plugin.servers import FakeServer, tool
from mcp_plugin.test_client import world
from mcp_plugin.test_resources import library
from support.bounds import HANG


def tracker() -> FakeServer:
    def get(params: dict[str, Any]) -> Any:
        said = f"Triage {params.get('arguments')}.\x1b[2J See @lib:x://one."
        return {
            "messages": [
                {"role": "user", "content": {"type": "text", "text": said}},
                {"role": "assistant", "content": {"type": "text", "text": "I do."}},
            ]
        }

    server = FakeServer(tool("echo"))
    server.lists = {
        "prompts/list": {
            "prompts": [
                {
                    "name": "triage",
                    "description": "Look at\x1b[2J an issue",
                    "arguments": [{"name": "issue", "required": True}],
                },
                {"name": "with space/s"},
            ]
        },
        "prompts/get": get,
    }
    return server


@pytest.mark.law("mcp.11")
async def test_prompts_of_servers_are_commands_that_are_said(tmp_path: Path) -> None:
    servers = {"lib": library(), "tracker": tracker()}
    async with world(tmp_path, servers, text("Done."), settle=False) as here:
        place = here.runtime.location(tmp_path)
        with anyio.fail_after(HANG):
            listed = await place.commands()
            said = await place.prompt("/tracker:triage it is 42")
        await here.session.prompt(said)
        await here.session.wait()
        [first] = [
            one
            for one in await here.session.messages(order="asc")
            if isinstance(one, UserMessage)
        ]
    assert [(one.name, one.description) for one in listed] == [
        ("tracker:triage", "Look at an issue"),
        ("tracker:with_space_s", ""),
    ]
    assert [one.name for one in listed[0].arguments] == ["issue"]
    assert first.text == (
        "Triage {'issue': 'it is 42'}. See @lib:x://one.\n\n(assistant) I do."
    )
    # What the server wrote names nothing.
    assert said.files == ()
    assert "resources/read" not in servers["lib"].methods()


@pytest.mark.law("mcp.11")
async def test_a_resource_that_a_prompt_names_is_attached_as_the_servers_words(
    tmp_path: Path,
) -> None:
    server = library()
    long = {"contents": [{"uri": "x://long", "text": "x" * 300_000}]}
    read = server.lists["resources/read"]
    server.lists["resources/read"] = lambda params: (
        long if params["uri"] == "x://long" else read(params)
    )
    async with world(tmp_path, {"lib": server}, settle=False) as here:
        place = here.runtime.location(tmp_path)
        with anyio.fail_after(HANG):
            said = await place.prompt(
                "See @lib:x://one, @lib:x://picture, @lib:x://long and @ann:x."
            )
    assert [(one.name, one.mime) for one in said.files] == [
        ("lib:x://one", "text/plain"),
        ("lib:x://picture", "text/plain"),
        ("lib:x://picture", "image/png"),
        ("lib:x://long", "text/plain"),
    ]
    assert base64.b64decode(said.files[0].data).decode() == (
        "[what the MCP server lib has of lib:x://one: its words]\n"
        "[resource x://one]\nIt is x://one."
    )
    cut = base64.b64decode(said.files[3].data).decode()
    assert len(cut) < 263_000
    assert "characters left out" in cut


@pytest.mark.law("mcp.11")
async def test_what_is_denied_or_not_there_is_said_instead(tmp_path: Path) -> None:
    gone = FakeServer()
    gone.broken = "there is nobody"
    (tmp_path / "dovetail.toml").touch()
    home = tmp_path / "home"
    home.mkdir()
    rules = home / "own.toml"
    rules.write_text(
        '[permissions]\nrules = [{ action = "mcp", resource = "lib:*", '
        'effect = "deny" }]\n'
    )
    lib = library()
    servers = {"lib": lib, "gone": gone, "tracker": tracker()}
    async with world(
        tmp_path,
        servers,
        tables={"timeout": 0.2},
        environment={"DOVETAIL_CONFIG": str(rules)},
    ) as here:
        place = here.runtime.location(tmp_path)
        for typed, why in (
            ("See @lib:x://one", "a rule denies"),
            ("See @gone:x://one", "is not there now"),
            ("/gone:x", "is not there now"),
            ("/tracker:none", "/tracker:triage"),
            ("/tracker:triage", "issue="),
        ):
            with anyio.fail_after(HANG), pytest.raises(PromptInvalidError, match=why):
                await place.prompt(typed)
    assert "resources/read" not in lib.methods()
