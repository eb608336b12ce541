"""Programs that use dovetail, run in processes that have imported it already."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile

import anyio
from attrs import frozen

from support.zygote import Zygote


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
