"""The rehearsal as a program: serves until its standard input ends.

It prints one line of JSON: ``base_url`` and ``model``, and with ``--sample DIR``, after
writing the sample project there, ``prompt``. Whoever started it keeps its standard
input open for as long as it is needed; so it never outlives them.
"""

import json
import sys
from argparse import ArgumentParser
from pathlib import Path

import anyio

from .sample import copy_sample, sample_prompt
from .server import rehearsal_server


async def serve(sample: Path | None, port: int, pace: float) -> None:
    """Serve until standard input ends."""
    offer = {}
    if sample is not None:
        copy_sample(sample)
        offer["prompt"] = sample_prompt()
    async with rehearsal_server(port=port, pace=pace) as server:
        offer |= {"base_url": server.base_url, "model": server.model}
        print(json.dumps(offer), flush=True)
        # An own thread, left behind when interrupted: a read cannot be cancelled.
        await anyio.to_thread.run_sync(sys.stdin.buffer.read, abandon_on_cancel=True)


def main() -> None:
    """Read the arguments and serve."""
    parser = ArgumentParser(
        prog="python -m dovetail.plugins.rehearsal",
        description="Serve a rehearsal of a model on loopback, until input ends.",
    )
    parser.add_argument("--sample", type=Path, help="write the sample project here")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--pace", type=float, default=0.0, help="seconds per piece")
    given = parser.parse_args()
    try:
        anyio.run(serve, given.sample, given.port, given.pace)
    except OSError as error:
        parser.exit(1, f"{parser.prog}: {error}\n")
    except KeyboardInterrupt:
        parser.exit(130)


if __name__ == "__main__":
    main()
