"""A process that runs one session of a shared file; see test_ownership.

Reads commands from standard input: ``open`` lets the tool go on. Says on standard
output when its tool runs and how the execution ended.
"""

import sys
from pathlib import Path

import anyio
from anyio import to_thread
from attrs import frozen
from dovetail.kernel import Tool, ToolContext
from dovetail.kernel.testing import ScriptedProvider, call, calls, text

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.hosts import host


@frozen
class Nothing:
    pass


async def main(folder: Path, name: str) -> None:
    async def hold(input: Nothing, context: ToolContext) -> str:
        print(f"{name} holds", flush=True)
        await to_thread.run_sync(sys.stdin.readline)
        return f"held by {name}"

    provider = ScriptedProvider(
        calls(call("hold", id=f"call-{name}")), text(f"done by {name}")
    )
    tool = Tool("hold", "Hold.", Nothing, hold)
    async with host(
        folder, provider, tool, lease_seconds=1.0, resume="always"
    ) as runtime:
        session = await runtime.sessions.create(
            id="shared", location=folder, model=provider.model
        )
        await session.prompt(f"by {name}")
        print(f"{name} prompted", flush=True)
        outcome = await session.wait()
        print(f"{name} {outcome.status}", flush=True)


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]), sys.argv[2])
