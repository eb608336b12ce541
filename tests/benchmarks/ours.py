"""dovetail as an application uses it: what is measured.

Everything goes through the public API, with the plugins that are installed, so that
what is measured is what people get. Run as a program it makes one turn in a new
process: ``ours.py URL DATABASE FOLDER``.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from dovetail.kernel import Runtime, Session, open_runtime
from memory import peak

PROMPT = "Tell me something about foxes and dogs, in about two hundred words."


@asynccontextmanager
async def opened(
    url: str, database: Path, *plugins: object, **options: Any
) -> AsyncIterator[Runtime]:
    """Open a runtime on a database, with a model on loopback."""
    environment = {
        "DOVETAIL_CONFIG": "",
        "OPENAI_BASE_URL": url,
        "OPENAI_API_KEY": "none-needed",
    }
    async with open_runtime(
        f"sqlite:///{database}",
        plugins=plugins,
        on_permission="allow",
        environment=environment,
        **options,
    ) as runtime:
        yield runtime


async def turn(session: Session, text: str = PROMPT) -> None:
    """Prompt, and wait until that is answered."""
    await session.prompt(text)
    outcome = await session.wait()
    assert outcome.succeeded, outcome


async def _first_turn(url: str, database: str, folder: str) -> None:
    async with opened(url, Path(database)) as runtime:
        session = await runtime.sessions.create(location=folder, model="openai/text")
        await turn(session)
        print("done", flush=True)
        print(peak())


if __name__ == "__main__":
    anyio.run(_first_turn, *sys.argv[1:])
