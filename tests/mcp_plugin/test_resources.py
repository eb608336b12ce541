"""Resources of servers: listed and read by tools, asked for, bounded."""

from pathlib import Path
from typing import Any

import pytest
from dovetail.kernel import FileContent
from dovetail.kernel.testing import call, calls, text
from mcp_plugin.servers import FakeServer
from mcp_plugin.test_client import world
from mcp_plugin.test_misbehaving import parts_of, told

PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJ"
    "RU5ErkJggg=="
)
"""One black pixel."""


def library() -> FakeServer:
    def read(params: dict[str, Any]) -> Any:
        uri = params["uri"]
        if uri == "x://picture":
            return {"contents": [{"uri": uri, "blob": PNG, "mimeType": "image/png"}]}
        return {"contents": [{"uri": uri, "text": f"It is \x1b[31m{uri}."}]}

    server = FakeServer()
    server.lists = {
        "resources/list": {
            "resources": [
                {"uri": "x://one", "name": "one", "description": "The\x1b[2J first"}
            ]
        },
        "resources/templates/list": {
            "resourceTemplates": [{"uriTemplate": "x://{name}", "name": "any"}]
        },
        "resources/read": read,
    }
    return server


@pytest.mark.law("mcp.5")
async def test_resources_are_listed_and_read_by_tools(tmp_path: Path) -> None:
    async with world(
        tmp_path,
        {"lib": library()},
        calls(
            call("mcp_resources", {}, id="list"),
            call("mcp_read", {"server": "lib", "uri": "x://one"}, id="read"),
            call("mcp_read", {"server": "lib", "uri": "x://picture"}, id="picture"),
            call("mcp_read", {"server": "none", "uri": "x://one"}, id="none"),
        ),
        text("Done."),
    ) as here:
        await here.ask()
        parts = await parts_of(here.session)
    assert told(parts["list"]) == (
        "@lib:x://one (one): The first\n@lib:x://{name} (any)"
    )
    assert told(parts["read"]) == "[resource x://one]\nIt is x://one."
    assert isinstance(parts["picture"].content[1], FileContent)
    assert "there is no MCP server 'none'" in told(parts["none"])


@pytest.mark.law("mcp.5")
async def test_a_resource_is_asked_for_before_the_server_hears_of_it(
    tmp_path: Path,
) -> None:
    server = library()
    async with world(
        tmp_path,
        {"lib": server},
        calls(call("mcp_read", {"server": "lib", "uri": "x://one"}, id="read")),
        text("Done."),
        on_permission="deny",
    ) as here:
        await here.ask()
        failure = (await parts_of(here.session))["read"].failure
    assert failure is not None
    assert failure.code.startswith("permission.")
    assert "resources/read" not in server.methods()


async def test_where_no_server_has_resources_there_are_no_tools_for_them(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, {"s": FakeServer()}, text("Done.")) as here:
        await here.ask()
        names = [tool.name for tool in here.script.requests[0].tools]
    assert not [name for name in names if name.startswith("mcp_")]
