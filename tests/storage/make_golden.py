"""Writes the golden database of the current schema: run it once per release.

``python tests/storage/make_golden.py`` writes ``golden/schema-NNNN.db`` and beside it
what is in it. A golden file is never written again once its schema is released.
"""

import json
import sqlite3
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
from attrs import frozen
from dovetail.kernel import Prompt, PromptFile, Tool, ToolContext, to_json
from dovetail.kernel.testing import (
    ManualClock,
    ScriptedProvider,
    call,
    calls,
    reasoning,
    text,
)
from dovetail.storage.sqlite.migrations import STEPS

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.hosts import host

GOLDEN = Path(__file__).with_name("golden")
KEYED = "ticket-42"


@frozen
class Echo:
    text: str


async def _echo(input: Echo, context: ToolContext) -> str:
    return input.text * 5000


async def fill(folder: Path) -> dict[str, object]:
    """Make sessions of every kind, and return what a reader must find.

    Their directory is one that every machine has.
    """
    provider = ScriptedProvider(
        [reasoning("hm"), *text("first")],
        calls(call("echo", {"text": "long "}), call("nosuch", {})),
        text("second"),
    )
    tool = Tool("echo", "Echo.", Echo, _echo, effect="pure")
    async with host(folder, provider, tool, clock=ManualClock()) as runtime:
        one = await runtime.sessions.create(
            id="one", location="/", model=provider.model, title="The first"
        )
        receipt = await one.prompt("say something", key=KEYED)
        await one.wait()
        await one.prompt("use the tools")
        await one.wait()
        two = await runtime.sessions.create(id="two", location="/", parent="one")
        picture = PromptFile("a.png", "image/png", "QUJD" * 5000)
        await two.prompt(Prompt("look", (picture,)), resume=False)
        gone = await two.prompt("never mind", delivery="queue", resume=False)
        await two.withdraw(gone.id)
        return {
            "sessions": [info.id for info in await runtime.sessions.list()],
            "children": [info.id for info in await runtime.sessions.list(parent="one")],
            "receipt": to_json(receipt),
            "pending": [to_json(item) for item in await two.pending()],
            "messages": [
                to_json(message) for message in await one.messages(order="asc")
            ],
            "events": {
                session.id: len([event async for event in session.events()])
                for session in (one, two)
            },
        }


def main() -> None:
    name = f"schema-{len(STEPS):04}"
    with TemporaryDirectory() as made:
        folder = Path(made)
        content = anyio.run(fill, folder)
        connection = sqlite3.connect(folder / "test.db")
        connection.execute(f"VACUUM INTO '{GOLDEN / name}.db'")
        connection.close()
    told = json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True)
    (GOLDEN / f"{name}.json").write_text(told + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
