"""Every example is a program that checks itself; here each one is run."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.bounds import HANG

SERVERS = {"mount_in_starlette.py", "serve_and_connect.py"}
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_the_example_runs_and_finds_what_it_promises(name: str, tmp_path: Path) -> None:
    if name in SERVERS:
        pytest.importorskip("starlette", reason="dovetail[server] is not installed")
    done = subprocess.run(
        [sys.executable, EXAMPLES / name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert not done.stderr
