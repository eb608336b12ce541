"""Benchmarks of whole processes: starting, importing, memory."""

import os
import subprocess
import sys
from pathlib import Path
from time import perf_counter

from attrs import frozen
from measure import Bench, Line, Program, Series, interleaved
from ours import opened, turn
from turns import TEXT, asked_last, facts_of

HERE = Path(__file__).resolve().parent


@frozen
class Ran:
    """What one process took."""

    until_done: float
    """Seconds until it said that it was done."""
    processor: float
    """Seconds of processor time, all in all."""
    said: str
    """What it said after that."""


def run(bench: Bench, *arguments: object) -> Ran:
    """Run a Python program that prints a line when its work is done.

    With compiled modules in place, as an installation has them: the first run of a
    program, which makes them, should not be counted.
    """
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(bench.bytecode)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    began = perf_counter()
    process = subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        stdout=subprocess.PIPE,
        env=environment,
    )
    assert process.stdout is not None
    done = process.stdout.readline()
    took = perf_counter() - began
    said = process.stdout.read().decode()
    process.stdout.close()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or not done:
        raise RuntimeError(f"{arguments} failed")
    return Ran(took, usage.ru_utime + usage.ru_stime, said)


async def imports(bench: Bench) -> list[Line]:
    """Processor time of importing, over an interpreter that does nothing."""

    def importing(code: str) -> Program:
        async def program() -> float:
            return run(bench, "-c", f"{code}\nprint()").processor

        return program

    found = await interleaved(
        {
            "bare": importing("pass"),
            "kernel": importing("import dovetail.kernel"),
            "runtime": importing("from dovetail.kernel import open_runtime"),
            "libraries": importing("import asyncio, httpx, orjson, sqlite3"),
        },
        bench.of(5, 60),
    )
    return [
        Line("import dovetail.kernel", "ms", found["kernel"], found["bare"], "<= 4"),
        Line(
            "from dovetail.kernel import open_runtime",
            "ms",
            found["runtime"],
            found["bare"],
        ),
        Line(
            "  over the libraries of the floor",
            "ms",
            found["runtime"],
            found["libraries"],
        ),
    ]


async def process_start(bench: Bench) -> list[Line]:
    """From the start of a process to the end of its first turn, and its memory."""
    folder, database = bench.folder(), bench.file()
    async with opened(bench.url, database) as runtime:
        session = await runtime.sessions.create(location=folder, model=TEXT)
        await turn(session)
        body = await asked_last(bench.url)
        facts = await facts_of(session, 10)
    kept = bench.folder()
    (kept / "body").write_bytes(body)
    (kept / "facts").write_bytes(b"\n".join(facts))
    peaks: dict[str, list[float]] = {"ours": [], "floor": []}

    async def ours() -> float:
        ran = run(bench, HERE / "ours.py", bench.url, bench.file(), folder)
        peaks["ours"].append(float(ran.said))
        return ran.until_done

    async def floor() -> float:
        files = (kept / "body", kept / "facts")
        ran = run(bench, HERE / "first_turn.py", bench.url, bench.file(), *files)
        peaks["floor"].append(float(ran.said))
        return ran.until_done

    found = await interleaved(
        {"ours": ours, "floor": floor}, bench.of(5, 40), warm_up=1
    )
    memory = {name: Series(tuple(values)) for name, values in peaks.items()}
    return [
        Line(
            "process start to the first turn's end",
            "ms",
            found["ours"],
            found["floor"],
            "<= 2",
        ),
        Line("peak memory after it", "MB", memory["ours"], memory["floor"], "<= 2"),
    ]


async def idle_memory(bench: Bench) -> list[Line]:
    """What an open session costs that had its turns and waits, in memory."""
    count = bench.of(300, 1000)
    lines = []
    for what, how in (("idle session", "handle"), ("  with a reader", "reader")):
        arguments = (bench.url, bench.file(), bench.folder(), str(count), how)
        ran = run(bench, HERE / "idle.py", *arguments)
        each = float(ran.said)
        goal = "<= 50 kB" if how == "handle" else ""
        lines.append(Line(f"{what}, {count} of them", "kB", Series((each,)), goal=goal))
    return lines
