"""The published client of opencode's V2 surface works on the door, unchanged.

It is pinned in ``typescript/package.json``; ``npm install`` there brings it.
"""

import shutil
import subprocess
from pathlib import Path

import anyio
import pytest
from anyio import to_thread
from dovetail.kernel import open_runtime
from dovetail.kernel.testing import ScriptedProvider, call, calls, text
from dovetail.plugins.http import app
from dovetail.storage.plugin import plugin as sqlite_plugin
from support.askers import AskingTools
from support.bounds import HANG
from support.sockets import listening

HERE = Path(__file__).parent / "typescript"


@pytest.fixture
def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not here")
    if not (HERE / "node_modules").is_dir():
        pytest.skip(f"the client is not here: npm install in {HERE}")
    return found


def test_a_session_from_its_beginning_to_its_end(node: str, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("A note")
    model = ScriptedProvider(
        calls(call("paint")),
        calls(call("colour", id="one")),
        calls(call("colour", id="two")),
        text("Summary"),
    )

    async def main() -> "subprocess.CompletedProcess[str]":
        async with open_runtime(
            f"sqlite:///{tmp_path.with_suffix('.db')}",
            plugins=[sqlite_plugin, model, AskingTools()],
            load_entry_points=False,
        ) as runtime:
            door = app(runtime, location=tmp_path)
            async with listening(door) as address:
                return await to_thread.run_sync(
                    lambda: subprocess.run(
                        [node, HERE / "whole.mjs", address, str(tmp_path)],
                        capture_output=True,
                        text=True,
                        timeout=HANG,
                    )
                )

    done = anyio.run(main)
    assert done.stdout == "all of it\n", done.stderr
