"""Programs that use dovetail, run in processes that have imported it already."""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Protocol

import anyio
from anyio.from_thread import BlockingPortal, start_blocking_portal
from attrs import frozen

from support.bounds import HANG
from support.zygote import Forked, Zygote

PYTEST = """
import sys, pytest
# Of what is imported in a fork, nothing can be rewritten any more.
known = "ignore:Module already imported:pytest.PytestAssertRewriteWarning"
sys.argv += ["-W", known]
sys.exit(pytest.console_main())
"""
"""The program that ``python -m pytest`` is, for a fork."""


@frozen
class Ended:
    """A program that ended."""

    code: int
    out: str
    err: str


def run_forked(
    zygote: Zygote,
    program: Path,
    *,
    cwd: Path,
    environment: Mapping[str, str],
    limit: float,
) -> Ended:
    """Run a program in a fork: half of the time of a real start, and more, is that
    dovetail is imported.

    Raises:
        TimeoutError: it took longer than ``limit`` seconds; it was killed.
    """

    async def run() -> Ended:
        with TemporaryFile() as nothing, TemporaryFile() as out, TemporaryFile() as err:
            with anyio.fail_after(limit):
                process = await zygote.fork(
                    [],
                    (nothing.fileno(), out.fileno(), err.fileno()),
                    cwd=cwd,
                    environment=environment,
                    program=program,
                )
                try:
                    code = await process.wait()
                finally:
                    with anyio.CancelScope(shield=True):
                        if process.returncode is None:
                            process.kill()
                        await process.aclose()
            for one in (out, err):
                one.seek(0)
            return Ended(code, out.read().decode(), err.read().decode())

    return anyio.run(run)


# --- those that go on while a test does something ---------------------------------


class Running:
    """A process that was forked, for those who wait as threads do."""

    def __init__(
        self,
        portal: BlockingPortal,
        process: Forked,
        stdin: IO[str],
        stdout: IO[str],
    ) -> None:
        self.stdin, self.stdout = stdin, stdout
        self._portal, self._process = portal, process

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait(self, timeout: float = HANG) -> int:
        """Wait for its end and return the exit code; a signal is a negative one.

        Raises:
            TimeoutError: it goes on.
        """

        async def wait() -> int:
            with anyio.fail_after(timeout):
                return await self._process.wait()

        return self._portal.call(wait)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, or do nothing where it has ended."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it."""
        self._process.kill()


class Forking(Protocol):
    """What starts a process, as ``forking`` says it."""

    def __call__(
        self,
        *arguments: object,
        program: Path | str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Running: ...


@contextmanager
def forking(zygote: Zygote) -> Iterator[Forking]:
    """Yield a function that starts a command in a fork, or a program: a file or code.

    Its standard input and output are pipes, and all else is as here. Who still runs on
    leaving is killed.
    """
    with ExitStack() as stack:
        portal = stack.enter_context(start_blocking_portal())

        def start(
            *arguments: object,
            program: Path | str | None = None,
            environment: Mapping[str, str] | None = None,
        ) -> Running:
            given, telling = os.pipe()
            hearing, said = os.pipe()
            stdin = os.fdopen(telling, "w", encoding="utf-8")
            stdout = os.fdopen(hearing, encoding="utf-8")
            stack.callback(stdout.close)
            stack.callback(_closed, stdin)
            try:
                process = portal.call(
                    partial(
                        zygote.fork,
                        [str(one) for one in arguments],
                        (given, said, 2),
                        cwd=Path.cwd(),
                        environment=os.environ if environment is None else environment,
                        program=program,
                    )
                )
            finally:
                os.close(given)
                os.close(said)
            stack.callback(_ended, portal, process)
            return Running(portal, process, stdin, stdout)

        yield start


def _closed(stream: IO[str]) -> None:
    # Nobody may be left to read what was still to be written.
    with suppress(BrokenPipeError):
        stream.close()


def _ended(portal: BlockingPortal, process: Forked) -> None:
    if process.returncode is None:
        process.kill()
    portal.call(process.aclose)
