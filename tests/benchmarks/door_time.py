"""What the HTTP door takes of the processor, and what a bare application does.

``door_time.py [prompt] [one] [fifty]``: both are served by a process of their own and
asked from here, in turns, so that neither what asks nor what else the machine does is
counted. Linux tells how long each thread of a process ran.
"""

import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import count
from pathlib import Path

import anyio
import doors
import uvicorn
from dovetail.kernel import open_runtime
from dovetail.plugins.http import app
from measure import Bench
from starlette.types import ASGIApp

ROUNDS = 10
KEYS = count()
READ = doors._get("/api/session/ses_a/event?follow=false")

Asked = Callable[[int, str], Awaitable[None]]


# --- the processes that serve -----------------------------------------------------


async def ours(room: Path, port: int) -> None:
    """Serve a session that is read, and another one that takes prompts."""
    bench = Bench("", room, short=True)
    async with open_runtime(f"sqlite:///{bench.file()}") as runtime:
        session = await runtime.sessions.create("ses_a", bench.folder())
        await runtime.sessions.create("ses_b", bench.folder())
        for number in range(doors.EVENTS - 1):
            await session.rename(f"Title {number}")
        await _serve(app(runtime), port)


async def bare(room: Path, port: int) -> None:
    """Serve what ours answered."""
    receipt, data = (room / "receipt").read_bytes(), (room / "data").read_bytes()
    with doors._Rows(Bench("", room, short=True)) as rows:
        await _serve(doors._bare(receipt, data, rows), port)


async def _serve(application: ASGIApp, port: int) -> None:
    config = uvicorn.Config(
        application, port=port, log_config=None, lifespan="off", http="h11"
    )
    await uvicorn.Server(config).serve()


# --- what is asked ----------------------------------------------------------------


async def prompt(port: int, session: str) -> None:
    """Have prompts admitted."""
    async with anyio.create_task_group() as tasks:
        for _ in range(doors.CLIENTS):
            made = partial(doors._post, KEYS, session)
            tasks.start_soon(doors._ask, port, made, doors.PROMPTS)


async def one(port: int, session: str) -> None:
    """Read all events ten times, one after the other."""
    for _ in range(10):
        await doors._ask(port, lambda: READ, 1)


async def fifty(port: int, session: str) -> None:
    """Read all events fifty times at once."""
    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(doors._ask, port, lambda: READ, 1)


WORK: dict[str, tuple[Asked, int]] = {
    "prompt": (prompt, doors.CLIENTS * doors.PROMPTS),
    "one": (one, 10 * doors.EVENTS),
    "fifty": (fifty, 50 * doors.EVENTS),
}


def _ran(process: int) -> int:
    """Return for how many nanoseconds the threads of a process ran."""
    threads = Path(f"/proc/{process}/task").iterdir()
    return sum(int((one / "schedstat").read_text().split()[0]) for one in threads)


async def _measured(names: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as made, ExitStack() as ending:
        room = Path(made)
        our_port, our_process = await _started("ours", room, ending)
        (room / "data").write_bytes(await doors._read(our_port, READ))
        receipt = await doors._read(our_port, doors._post(KEYS))
        (room / "receipt").write_bytes(receipt)
        port, process = await _started("bare", room, ending)
        sides = (our_port, our_process, "ses_b"), (port, process, doors.DURABLE)
        for name in names:
            work, times = WORK[name]
            took: tuple[list[float], list[float]] = [], []
            for number in range(-1, ROUNDS):
                for (port, process, session), found in zip(sides, took, strict=True):
                    before = _ran(process)
                    await work(port, session)
                    if number >= 0:
                        found.append((_ran(process) - before) / times / 1000)
            our_time, their_time = map(statistics.median, took)
            print(
                f"{name}: {our_time:.1f} us, bare {their_time:.1f} us, "
                f"ratio {our_time / their_time:.2f}, "
                f"of the least {min(took[0]) / min(took[1]):.2f}",
                flush=True,
            )


async def _started(kind: str, room: Path, ending: ExitStack) -> tuple[int, int]:
    """Begin to serve, and return the port and the process when it answers."""
    port, process = _begun(kind, room, ending)
    with anyio.fail_after(120):
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
            except OSError:
                await anyio.sleep(0.05)
            else:
                return port, process


def _begun(kind: str, room: Path, ending: ExitStack) -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = [sys.executable, __file__, "--serve", kind, str(room), str(port)]
    process = ending.enter_context(subprocess.Popen(arguments))
    ending.callback(process.terminate)
    return port, process.pid


def main(arguments: Sequence[str]) -> None:
    """Measure what was asked for."""
    if arguments[:1] == ["--serve"]:
        serve = {"ours": ours, "bare": bare}[arguments[1]]
        anyio.run(serve, Path(arguments[2]), int(arguments[3]))
        return
    anyio.run(_measured, arguments or list(WORK))


if __name__ == "__main__":
    main(sys.argv[1:])
