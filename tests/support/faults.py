"""What tests of faulty plugins have in common: what such plugins leave behind, for a
while, and that each fault is caught by its own check and by no other."""

import asyncio
import os
import subprocess
import threading
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

import anyio
import pytest
import trio
from attrs import define, field
from dovetail.kernel.testing.conformance import Report, check
from dovetail.kernel.testing.conformance.suite import Suite
from sniffio import current_async_library


@define(eq=False)
class LeftOpen:
    """What nobody closes before the test ends."""

    _left: ExitStack = field(factory=ExitStack)

    def one_more(self) -> None:
        """Leave a file open."""
        self._left.enter_context(open(os.devnull, "rb"))  # noqa: SIM115 - left open

    def a_thread(self) -> None:
        """Leave a thread running."""
        over = threading.Event()
        thread = threading.Thread(target=over.wait, daemon=True)
        thread.start()
        self._left.callback(thread.join)
        self._left.callback(over.set)

    def a_process(self) -> None:
        """Leave a process running."""
        process = self._left.enter_context(subprocess.Popen(["sleep", "60"]))
        self._left.callback(process.kill)

    def close(self) -> None:
        self._left.close()


LEFT_OPEN = LeftOpen()


async def leave_a_task() -> None:
    """Leave a task running, outside of every scope."""
    if current_async_library() == "trio":
        trio.lowlevel.spawn_system_task(trio.sleep_forever)
    else:
        asyncio.get_running_loop().create_task(asyncio.sleep(60))


async def swallow() -> None:
    """Wait a moment, and take a cancellation for nothing."""
    try:
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
    except anyio.get_cancelled_exc_class():
        return


# --- what is caught ---------------------------------------------------------------

SEEN_APART = ("cancellation", "kill", "leak")
"""The checks to which the two event loops look differently."""


def cases(faults: Iterable[tuple[str, str, type[Suite]]]) -> list[Any]:
    """Return parameters, a code and a faulty suite each, called by what is wrong."""
    return [pytest.param(code, faulty, id=what) for what, code, faulty in faults]


def assert_caught(code: str, faulty: type[Suite]) -> None:
    """Fail unless a fault is found, as this one code and nothing else."""
    report = check(faulty, backend="asyncio")
    assert report.codes == (code,), report.findings
    if code.partition(".")[2] in SEEN_APART:
        report = check(only(code, faulty), backend="trio")
        assert report.codes == (code,), report.findings


def only(code: str, faulty: type[Suite]) -> type[Suite]:
    """Return a suite that checks the same plugin for one thing."""
    others = {one.code for one in faulty.checks.of(faulty.version)} - {code}
    exempt = dict.fromkeys(others, "seen on the other event loop")
    return type(faulty.__name__, (faulty,), {"exempt": {**faulty.exempt, **exempt}})


def codes_of(kind: type[Suite]) -> set[str]:
    """Return the codes of all checks of a kind of suite."""
    return {one.code for one in kind.checks.of(kind.checks.latest)}


def assert_conforms(sound: type[Suite]) -> None:
    """Fail unless every check was run and nothing was found, with no exemption."""
    codes = tuple(one.code for one in sound.checks.of(sound.version))
    assert check(sound) == Report(sound.checks.kind, sound.version, codes)
