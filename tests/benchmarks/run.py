"""Run the benchmarks and print them as a table: ``run.py [--short] [NAME...]``.

Each line holds dovetail against a floor program, or against itself in an easier
place, measured in interleaved rounds of this run. Nothing is judged: the goals are
shown beside what was found. ``docs/benchmarks.md`` says how to read it.
"""

import argparse
import os
import platform
import sqlite3
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from time import perf_counter

import admissions
import anyio
import boundaries
import decoding
import doors
import hooks
import hot_path
import live
import mcp_servers
import processes
import starts
import stores
import tools
import turns
from measure import Bench, Line, table
from model_server import model_server

BENCHMARKS: dict[str, Callable[[Bench], Awaitable[list[Line]]]] = {
    work.__name__: work
    for work in (
        turns.text_turn,
        turns.long_session,
        turns.tool_step,
        turns.scripted_step,
        turns.growth,
        turns.sessions_20,
        boundaries.boundaries,
        admissions.admission,
        admissions.admissions_64,
        starts.first_sight,
        processes.process_start,
        processes.imports,
        processes.idle_memory,
        turns.disk,
        live.live,
        decoding.decoding,
        decoding.requests,
        doors.doors,
        stores.tail,
        stores.long_log,
        stores.long_reads,
        stores.large_store,
        hooks.hook_calls,
        hooks.open_location,
        tools.searches,
        tools.edit_large,
        tools.much_output,
        mcp_servers.mcp_calls,
        mcp_servers.mcp_first_step,
    )
}
WORKS = (*BENCHMARKS, hot_path.profile.__name__)


def main(arguments: Sequence[str]) -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--short", action="store_true", help="within a minute")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(WORKS))
    chosen = parser.parse_args(arguments)
    unknown = set(chosen.names) - set(WORKS)
    if unknown:
        parser.error(
            f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(WORKS)}"
        )
    with (
        tempfile.TemporaryDirectory(prefix="dovetail-benchmarks-") as room,
        model_server() as url,
    ):
        bench = Bench(url, Path(room), short=chosen.short)
        names = chosen.names or list(WORKS)
        anyio.run(_run, bench, [name for name in names if name in BENCHMARKS])
        if hot_path.profile.__name__ in names:
            print(hot_path.profile(bench))


async def _run(bench: Bench, names: Sequence[str]) -> None:
    if not names:
        return
    lines: list[Line] = []
    for name in names:
        began = perf_counter()
        try:
            lines += await BENCHMARKS[name](bench)
        finally:
            took = perf_counter() - began
            print(f"{name}: {took:.1f} s", file=sys.stderr, flush=True)
    print(table(lines))
    versions = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    machine = f"{os.cpu_count()} processors, {platform.system()}"
    print(f"\nMedians of interleaved rounds. {versions}, {machine}.")


if __name__ == "__main__":
    main(sys.argv[1:])
