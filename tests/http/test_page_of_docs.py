"""What docs/http.md shows to be typed works as it stands there."""

import json
import shutil
import subprocess
from pathlib import Path

import anyio
import pytest
from anyio import to_thread
from dovetail.kernel import open_runtime
from dovetail.kernel.testing import ScriptedProvider, text
from dovetail.plugins.http import app
from dovetail.storage.plugin import plugin as sqlite_plugin
from support.bounds import HANG
from support.sockets import listening

PAGE = Path(__file__).resolve().parents[2] / "docs" / "http.md"


def commands() -> list[str]:
    text_ = PAGE.read_text(encoding="utf-8").partition("## A session with curl")[2]
    block = text_.partition("```console\n")[2].partition("```")[0]
    return (
        block.replace("\\\n", " ").replace("\n$ ", "\n").removeprefix("$ ").split("\n")
    )


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not here")
def test_the_session_with_curl() -> None:
    async def main() -> list[str]:
        model = ScriptedProvider(text("Hello"))
        async with (
            open_runtime(
                "sqlite://", plugins=[sqlite_plugin, model], load_entry_points=False
            ) as runtime,
            listening(app(runtime)) as address,
        ):
            told = []
            for one in filter(None, commands()):
                typed = one.replace("localhost:4096", address)
                done = await to_thread.run_sync(
                    lambda typed=typed: subprocess.run(
                        ["sh", "-c", typed],
                        capture_output=True,
                        text=True,
                        timeout=HANG,
                    )
                )
                assert done.returncode == 0, done.stderr
                told.append(done.stdout)
            return told

    made, said, waited, messages, events = anyio.run(main)
    assert json.loads(made)["data"]["id"] == "ses_curl"
    assert json.loads(said)["data"]["dovetail"]["key"] == "ticket-42"
    assert waited == ""
    assert json.loads(messages)["data"][0]["content"][0]["text"] == "Hello"
    assert "event: synced" in events
