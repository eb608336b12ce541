"""What other processes can see of the keys that a runtime was started with."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

PROGRAM = """
import ctypes, json, os, subprocess, sys
import anyio
from dovetail.kernel import open_runtime
from dovetail.kernel.testing import ScriptedProvider, call, calls, text

libc = ctypes.CDLL(None)
libc.getenv.restype = ctypes.c_char_p
os.environ["CHANGED_KEY"] = "secret-6"
del os.environ["REMOVED_SECRET"]

async def main(place, config):
    command = "tr '\\\\0' '\\\\n' < /proc/$PPID/environ; cat /proc/$PPID/mem; env"
    model = ScriptedProvider(calls(call("bash", {"command": command})), text("done"))
    environment = {"DOVETAIL_CONFIG": config, "PATH": os.environ["PATH"]}
    async with open_runtime("sqlite://", plugins=[model], on_permission="allow",
                            environment={**os.environ, **environment}) as runtime:
        session = await runtime.sessions.create(location=place, model=model.model)
        await session.prompt("go")
        await session.wait()
        [part] = [part for message in await session.history()
                  for part in getattr(message, "calls", ())]
        dumpable = libc.prctl(3, 0, 0, 0, 0)
    print(json.dumps({
        "shown": part.text, "dumpable": [dumpable, libc.prctl(3, 0, 0, 0, 0)],
        "environ": dict(os.environ), "getenv": libc.getenv(b"OPENAI_API_KEY").decode(),
        "handed": subprocess.check_output(["env"]).decode(),
    }))

anyio.run(main, *sys.argv[1:])
"""


def observed(folder: Path, *command: str) -> Any:
    config = folder / "user.toml"
    config.write_text(
        '[providers.acme]\nprotocol = "openai-chat"\nbase_url = "http://localhost:1/"\n'
        'api_key_env = "MY_ROUTER"\nmodels = ["m"]\n'
    )
    environment = {
        "PATH": "/usr/bin:/bin",
        "PLAIN": "visible",
        "OPENAI_API_KEY": "secret-1",
        "MY_ROUTER": "secret-2",
        "SOME_PASSWORD": "secret-3",
        "REMOVED_SECRET": "secret-4",
        "CHANGED_KEY": "secret-5",
    }
    done = subprocess.run(
        [*command, sys.executable, "-c", PROGRAM, str(folder), str(config)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.law("access.11")
def test_a_command_cannot_read_the_keys_of_the_runtime(tmp_path: Path) -> None:
    """Not from what it is handed, nor from what the system shows of its parent."""
    seen = observed(tmp_path)
    for number in (1, 2, 4, 5):
        assert f"secret-{number}" not in seen["shown"]
    # What the work may need is handed on; what is no secret stays visible.
    assert "SOME_PASSWORD=secret-3" in seen["shown"]
    assert seen["shown"].count("PLAIN=visible") == 2
    assert seen["dumpable"] == [0, 1]


def test_nothing_is_different_for_the_runtime_and_those_it_starts_itself(
    tmp_path: Path,
) -> None:
    seen = observed(tmp_path)
    expected = {
        "OPENAI_API_KEY": "secret-1",
        "MY_ROUTER": "secret-2",
        "CHANGED_KEY": "secret-6",
        "PLAIN": "visible",
    }
    assert seen["getenv"] == "secret-1"
    for name, value in expected.items():
        assert seen["environ"][name] == value
        assert f"{name}={value}\n" in seen["handed"]
