"""Benchmarks of the first thing that anybody sees: the help, and the prompt line."""

import os
import pty
import subprocess
import sys
from time import perf_counter

from measure import Bench, Line, interleaved
from processes import run

COMMAND = ("-m", "dovetail.plugins.cli")
DRAWN = b"opening"
"""What the status line says when the prompt line is drawn for the first time."""


def until_prompt(bench: Bench) -> float:
    """Return the seconds from the start of a conversation to its prompt line."""
    environment = {
        **os.environ,
        "PYTHONPYCACHEPREFIX": str(bench.bytecode),
        "XDG_STATE_HOME": str(bench.folder()),
        "TERM": "xterm",
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    master, slave = pty.openpty()
    began = perf_counter()
    process = subprocess.Popen(
        [sys.executable, *COMMAND],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment,
        start_new_session=True,
    )
    os.close(slave)
    shown = b""
    try:
        while DRAWN not in shown:
            shown += os.read(master, 65_536)
        return perf_counter() - began
    finally:
        process.kill()
        process.wait()
        os.close(master)


async def first_sight(bench: Bench) -> list[Line]:
    """The help and the prompt line, over an interpreter that does nothing."""

    async def bare() -> float:
        return run(bench, "-c", "print()").until_done

    async def told() -> float:
        return run(bench, *COMMAND, "--help").until_done

    async def prompt() -> float:
        return until_prompt(bench)

    found = await interleaved(
        {"bare": bare, "help": told, "prompt": prompt}, bench.of(5, 40), warm_up=1
    )
    return [
        Line("dovetail --help", "ms", found["help"], found["bare"], "<= 3"),
        Line(
            "dovetail, to its prompt line", "ms", found["prompt"], found["bare"], "<= 6"
        ),
    ]
