"""The floor of a process that starts: a turn with httpx and sqlite3, and nothing else.

It does what ``floor.py`` does for one turn, and imports nothing that it does not need
for that: ``first_turn.py URL DATABASE BODY FACTS``, where the last two are files.
"""

import asyncio
import json
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx
from memory import peak
from storing import ANSWER, HEADERS, INSERT, PRAGMAS, SCHEMA


async def first_turn(url: str, path: str, body: bytes, facts: Sequence[bytes]) -> str:
    """Store the prompt, ask, store the answer."""
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in (*PRAGMAS, *SCHEMA):
        connection.execute(statement)

    def commit(first: int, stored: Sequence[bytes]) -> None:
        connection.execute("BEGIN IMMEDIATE")
        rows = [("first", first + number, fact) for number, fact in enumerate(stored)]
        connection.executemany(INSERT, rows)
        connection.execute("COMMIT")

    commit(0, facts[:-ANSWER])
    pieces = []
    async with (
        httpx.AsyncClient(headers=HEADERS, timeout=None) as client,
        client.stream("POST", f"{url}/chat/completions", content=body) as response,
    ):
        async for line in response.aiter_lines():
            if line.startswith("data: {"):
                choices = json.loads(line[6:])["choices"]
                delta = choices[0]["delta"] if choices else {}
                pieces.append(delta.get("content") or "")
    commit(len(facts) - ANSWER, facts[-ANSWER:])
    return "".join(pieces)


if __name__ == "__main__":
    url, path, *files = sys.argv[1:]
    body, facts = (Path(one).read_bytes() for one in files)
    asyncio.run(first_turn(url, path, body, facts.split(b"\n")))
    print("done", flush=True)
    print(peak())
