"""Benchmarks of the built-in tools, each called in a turn of a session, over the same
work done bare: ``rg`` alone, one read and one write, a pipe.

The model's part is scripted: what is measured is a prompt, the call with everything
that it makes durable, and the answer.
"""

import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio.to_thread
from dovetail.builtin_tools._search import find_ripgrep
from dovetail.kernel import Session, ToolPart, open_runtime
from dovetail.kernel.testing import ScriptedProvider, call, calls, text
from measure import Bench, Line, Program, Series, interleaved, timed

MB = 1_000_000
LINE = "def name_of(self, given):  # a line as long as those of programs are\n"


class Calling:
    """A session in which one tool after another is called."""

    def __init__(self, session: Session, model: ScriptedProvider) -> None:
        self._session = session
        self._model = model

    async def __call__(self, tool: str, **given: Any) -> None:
        """Call a tool in a turn of its own.

        Raises:
            RuntimeError: it failed.
        """
        self._model.then(calls(call(tool, given)), text("Done."))
        await self._session.prompt("Go on.")
        outcome = await self._session.wait()
        page = await self._session.messages(order="desc", limit=2)
        parts = [
            part
            for message in page.items
            for part in getattr(message, "parts", ())
            if isinstance(part, ToolPart)
        ]
        if not outcome.succeeded or not parts or parts[0].state != "succeeded":
            raise RuntimeError(f"{tool} failed: {outcome} {parts}")


@asynccontextmanager
async def calling(
    bench: Bench, folder: Path, *, ripgrep: bool = True
) -> AsyncIterator[Calling]:
    settings = bench.file()
    settings.write_text(f"[plugins.tools]\nripgrep = {str(ripgrep).lower()}\n")
    model = ScriptedProvider()
    async with open_runtime(
        f"sqlite:///{bench.file()}",
        plugins=[model],
        on_permission="allow",
        environment={"DOVETAIL_CONFIG": str(settings), "PATH": os.environ["PATH"]},
    ) as runtime:
        session = await runtime.sessions.create(location=folder, model=model.model)
        yield Calling(session, model)


async def searches(bench: Bench) -> list[Line]:
    """`grep` and `glob` in a tree of files, over ripgrep alone; without it they are
    shown by themselves."""
    count = bench.of(2_000, 50_000)
    tree = bench.folder()
    for number in range(count):
        path = tree / f"{number // 1000}" / f"{number % 1000 // 50}" / f"{number}.py"
        if number % 50 == 0:
            path.parent.mkdir(parents=True)
        seldom = "needle = 1\n" if number % (count // 50) == 0 else ""
        path.write_text(LINE * 10 + seldom + LINE * 10)
    program = find_ripgrep(os.environ)

    async with (
        calling(bench, tree, ripgrep=True) as fast,
        calling(bench, tree, ripgrep=False) as own,
    ):
        work = {
            "grep": {"pattern": "needle = [0-9]"},
            "glob": {"pattern": f"**/*{count - 1}.py"},
        }
        programs: dict[str, Program] = {}
        for tool, given in work.items():
            programs[f"{tool} own"] = _called(own, tool, **given)
            if program is not None:
                programs[f"{tool} fast"] = _called(fast, tool, **given)
                files = ["--files", "--glob", given["pattern"]]
                lines = ["--line-number", given["pattern"], "./"]
                bare = [program, *(lines if tool == "grep" else files)]
                programs[f"{tool} bare"] = _run(bare, tree)
        found = await interleaved(programs, bench.of(3, 5), warm_up=1)
    return [
        Line(
            f"{tool} in {count:,} files, {how}",
            "ms",
            found[f"{tool} {which}"],
            found.get(f"{tool} bare"),
        )
        for tool in work
        for which, how in (("fast", "by ripgrep"), ("own", "by itself"))
        if f"{tool} {which}" in found
    ]


async def edit_large(bench: Bench) -> list[Line]:
    """`edit` in a large file, over a bare read, replace, write and fsync."""
    folder = bench.folder()
    size = bench.of(10, 50)
    half = LINE * (size // 2 * MB // len(LINE))
    for name in ("ours", "bare"):
        (folder / name).write_text(f"{half}first\n{half}")
    words = {"ours": ("first", "second"), "bare": ("first", "second")}

    def turned(name: str) -> tuple[str, str]:
        old, new = words[name]
        words[name] = (new, old)
        return old, new

    async with calling(bench, folder) as tools:

        async def ours() -> None:
            old, new = turned("ours")
            await tools("edit", path="ours", old_string=old, new_string=new)

        def replace() -> None:
            old, new = turned("bare")
            held = (folder / "bare").read_bytes()
            with (folder / "new").open("wb") as file:
                file.write(held.replace(old.encode(), new.encode()))
                file.flush()
                os.fsync(file.fileno())
            (folder / "new").replace(folder / "bare")

        found = await interleaved(
            {
                "ours": timed(ours),
                "bare": timed(lambda: anyio.to_thread.run_sync(replace)),
            },
            bench.of(3, 9),
            warm_up=1,
        )
    return [Line(f"edit in a file of {size} MB", "ms", found["ours"], found["bare"])]


async def much_output(bench: Bench) -> list[Line]:
    """10 MB of output through `bash`, over reading them from a pipe."""
    folder = bench.folder()
    (folder / "log").write_text(LINE * (10 * MB // len(LINE)))
    async with calling(bench, folder) as tools:
        found: dict[str, Series] = await interleaved(
            {
                "ours": _called(tools, "bash", command="cat log"),
                "bare": _run(["bash", "-c", "cat log"], folder),
            },
            bench.of(3, 15),
            warm_up=1,
        )
    return [Line("10 MB of output by bash", "ms", found["ours"], found["bare"])]


def _called(tools: Calling, tool: str, **given: Any) -> Program:
    return timed(lambda: tools(tool, **given))


def _run(command: list[str], folder: Path) -> Program:
    def run() -> None:
        subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            check=True,
        )

    return timed(lambda: anyio.to_thread.run_sync(run))
