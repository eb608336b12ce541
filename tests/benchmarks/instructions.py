"""How many instructions a turn, a Step and a start take, and what their floors do.

``instructions.py [text_turn] [tool_step] [start]``: the load of the machine changes
little of it, so that a change of one percent is seen where times say nothing. It needs
valgrind. A turn is counted after some others, and a Step likewise: what starting takes
is left out. Leases last for longer than the program, because valgrind makes a second of
what takes a fiftieth of one, and renewing them would be counted.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import anyio
from dovetail.kernel import Runtime, ToolContext
from floor import Floor
from model_server import model_server
from ours import opened, turn
from ticker import AGENT, Tick, Ticker
from turns import (
    STEP_FACTS,
    TEXT,
    TOOL,
    TURN_FACTS,
    asked_last,
    facts_of,
    unfinished,
)

HERE = Path(__file__).resolve().parent
BEFORE, COUNTED = 8, 20
LEASE = 3600.0


def counting(on: bool) -> None:
    """Have valgrind begin or end to count, where this runs in it."""
    subprocess.run(
        ["callgrind_control", "-i", "on" if on else "off", str(os.getpid())],
        check=True,
        stdout=subprocess.DEVNULL,
    )


async def _repeated(work: Callable[[], Awaitable[object]]) -> None:
    for _ in range(BEFORE):
        await work()
    counting(True)
    for _ in range(COUNTED):
        await work()
    counting(False)


class CountedTicker(Ticker):
    """Counts from one of its calls to another."""

    async def _tick(self, input: Tick, context: ToolContext) -> str:
        made = len(self.times)
        if made == BEFORE:
            counting(True)
        if made == BEFORE + COUNTED:
            counting(False)
        return await super()._tick(input, context)


# --- programs that valgrind runs --------------------------------------------------


async def text_turn(url: str, room: Path) -> None:
    """Text turns with one reader of what happens live."""

    async def watch(runtime: Runtime) -> None:
        async for _ in runtime.live():
            pass

    async with (
        opened(url, room / "turns.db", lease_seconds=LEASE) as runtime,
        anyio.create_task_group() as watching,
    ):
        watching.start_soon(watch, runtime)
        session = await runtime.sessions.create(location=room, model=TEXT)
        await _repeated(lambda: turn(session))
        watching.cancel_scope.cancel()


async def tool_step(url: str, room: Path) -> None:
    """Steps with a call each."""
    ticker = CountedTicker()
    async with opened(url, room / "steps.db", ticker, lease_seconds=LEASE) as runtime:
        session = await runtime.sessions.create(location=room, model=TOOL, agent=AGENT)
        await ticker.steps(session, BEFORE + COUNTED + 1)


async def floor_text_turn(url: str, room: Path) -> None:
    """The floor of a text turn."""
    floor = Floor(url, room / "floor.db")
    body, facts = _kept(room / "text_turn")
    await _repeated(lambda: floor.turn("a", body, facts))
    await floor.aclose()


async def floor_tool_step(url: str, room: Path) -> None:
    """The floor of a Step."""
    floor = Floor(url, room / "floor.db")
    body, facts = _kept(room / "tool_step")
    await _repeated(lambda: floor.step("a", body, facts))
    await floor.aclose()


PROGRAMS = (text_turn, tool_step, floor_text_turn, floor_tool_step)


# --- what is sent and stored, for the floors --------------------------------------


async def keep(url: str, room: Path) -> None:
    """Make a turn and some Steps, and keep what they sent and stored in files."""
    ticker = Ticker()
    async with opened(url, room / "kept.db", ticker) as runtime:
        session = await runtime.sessions.create(location=room, model=TEXT)
        await turn(session)
        _keep(room / "start", await asked_last(url), await facts_of(session, 10))
        await turn(session)
        facts = await facts_of(session, TURN_FACTS)
        _keep(room / "text_turn", await asked_last(url), facts)
        steps = await runtime.sessions.create(location=room, model=TOOL, agent=AGENT)
        await ticker.steps(steps, 5)
        ending = await facts_of(steps, STEP_FACTS + 3)
        body = unfinished(await asked_last(url))
        _keep(room / "tool_step", body, [*ending[1:STEP_FACTS], ending[0]])


def _keep(name: Path, body: bytes, facts: Sequence[bytes]) -> None:
    name.with_suffix(".body").write_bytes(body)
    name.with_suffix(".facts").write_bytes(b"\n".join(facts))


def _kept(name: Path) -> tuple[bytes, list[bytes]]:
    facts = name.with_suffix(".facts").read_bytes().split(b"\n")
    return name.with_suffix(".body").read_bytes(), facts


# --- running them -----------------------------------------------------------------


def _counted(arguments: Sequence[object], room: Path, *options: str) -> int:
    """Run a Python program in valgrind and return how many instructions it counted."""
    ran = subprocess.run(
        [
            *("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"),
            *(*options, sys.executable, *map(str, arguments)),
        ],
        env=_environment(room),
        capture_output=True,
        text=True,
    )
    found = re.search(r"Collected *: *(\d+)", ran.stderr)
    if ran.returncode or found is None:
        raise RuntimeError(ran.stderr)
    return int(found[1])


def _environment(room: Path) -> dict[str, str]:
    compiled = str(room / "bytecode")
    ours = {"PYTHONHASHSEED": "0", "PYTHONPYCACHEPREFIX": compiled}
    others = {**os.environ}
    # An installation has its modules compiled.
    others.pop("PYTHONDONTWRITEBYTECODE", None)
    return {**others, **ours}


def _started(room: Path, program: str, *arguments: object) -> int:
    """Return what a process takes, which finds its modules compiled."""

    def given(database: str) -> list[str]:
        path = room / f"{program}.{database}"
        return list(map(str, (HERE / program, arguments[0], path, *arguments[1:])))

    before = [sys.executable, *given("first")]
    subprocess.run(before, env=_environment(room), check=True, capture_output=True)
    return _counted(given("second"), room)


def _pair(name: str, url: str, room: Path) -> tuple[float, float]:
    """Return what ours and the floor take, in millions of instructions."""
    if name == "start":
        ours = _started(room, "ours.py", url, room)
        kept = (room / "start.body", room / "start.facts")
        return ours / 1e6, _started(room, "first_turn.py", url, *kept) / 1e6
    here = HERE / "instructions.py"
    made = [
        _counted((here, "--in", one, url, room), room, "--instr-atstart=no")
        for one in (name, f"floor_{name}")
    ]
    return made[0] / COUNTED / 1e6, made[1] / COUNTED / 1e6


def main(arguments: Sequence[str]) -> None:
    """Count what was asked for."""
    if arguments[:1] == ["--in"]:
        program = {one.__name__: one for one in PROGRAMS}[arguments[1]]
        anyio.run(program, arguments[2], Path(arguments[3]))
        return
    names = arguments or ["text_turn", "tool_step", "start"]
    with tempfile.TemporaryDirectory() as made, model_server() as url:
        room = Path(made)
        anyio.run(keep, url, room)
        for name in names:
            ours, floor = _pair(name, url, room)
            print(
                f"{name}: {ours:.1f} M, floor {floor:.1f} M, ratio {ours / floor:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1:])
