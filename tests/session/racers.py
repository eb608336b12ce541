"""A process that prompts one session of a shared file under one key; see
test_admission.

Arguments: folder, name. Says ``ready``, waits for a line on standard input, then
admits the prompt many times at once and prints each receipt as a line of JSON. Waits
for the work, says how it ended, and ends; a line ``hold`` in place of the first makes
it wait to be killed instead.
"""

import sys
from pathlib import Path

import anyio
from anyio import to_thread
from dovetail.kernel.testing import ScriptedProvider, text
from dovetail.kernel.values.codec import dumps, to_json

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.hosts import host


async def main(folder: Path, name: str) -> None:
    provider = ScriptedProvider(text("done"))
    async with host(folder, provider, lease_seconds=1.0) as runtime:
        session = await runtime.sessions.create(
            id="shared", location=folder, model=provider.model
        )
        print("ready", flush=True)
        told = (await to_thread.run_sync(sys.stdin.readline)).strip()

        async def admit() -> None:
            receipt = await session.prompt("go", key="ticket-42", delivery="queue")
            print(dumps(to_json(receipt)).decode(), flush=True)

        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(admit)
        if told == "hold":
            print("admitted", flush=True)
            await anyio.sleep_forever()
        outcome = await session.wait()
        print(f"requests={len(provider.requests)} {outcome.status}", flush=True)


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]), sys.argv[2])
