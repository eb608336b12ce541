"""Every example is a program that checks itself; here each one is run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.bounds import HANG
from support.programs import Ended, run_forked
from support.zygote import Zygote

SERVERS = {"mount_in_starlette.py", "serve_and_connect.py"}
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FIRST = "embed.py"
"""What is read first is run as a reader runs it."""


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_the_example_runs_and_finds_what_it_promises(
    name: str, tmp_path: Path, zygote: Zygote
) -> None:
    if name in SERVERS:
        pytest.importorskip("starlette", reason="dovetail[server] is not installed")
    program = EXAMPLES / name
    done = (
        _started(program, tmp_path)
        if name == FIRST
        else run_forked(
            zygote, program, cwd=tmp_path, environment=os.environ, limit=HANG
        )
    )
    assert done.code == 0, done.err
    assert done.out
    assert not done.err


def _started(program: Path, folder: Path) -> Ended:
    done = subprocess.run(
        [sys.executable, program],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)
