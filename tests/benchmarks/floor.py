"""The floor: the same work with nothing in between.

httpx streams from the model server, orjson reads what comes, and sqlite3 stores the
same bytes that dovetail stores, in WAL mode with ``synchronous=FULL``: facts that are
known together in one commit, and each before anything relies on it. No sessions, no
recovery, no permissions, no readers: whoever builds all that has to pay for it on top.

A process that starts has a floor of its own: ``first_turn``.
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import orjson
from storing import ANSWER, HEADERS, INSERT, PRAGMAS, SCHEMA

NEXT = (
    "INSERT INTO head VALUES (?, 0) "
    "ON CONFLICT DO UPDATE SET seq = seq + 1 RETURNING seq"
)
WAIT = "INSERT INTO waiting VALUES (?, ?, ?)"


def connected(path: Path) -> sqlite3.Connection:
    """Return a connection to a database as durable as dovetail's."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for statement in (*PRAGMAS, *SCHEMA):
        connection.execute(statement)
    return connection


class Log:
    """Facts of sessions, in a table."""

    def __init__(self, path: Path) -> None:
        self.connection = connected(path)
        self._next: dict[str, int] = {}

    def commit(self, session: str, facts: Sequence[bytes]) -> None:
        """Store facts in one transaction; they are on disk when this returns."""
        seq = self._next.get(session, 0)
        self._next[session] = seq + len(facts)
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.executemany(
            INSERT, [(session, seq + number, fact) for number, fact in enumerate(facts)]
        )
        self.connection.execute("COMMIT")


class Model:
    """Asks the model server."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/chat/completions"
        self._client = httpx.AsyncClient(
            headers=HEADERS, timeout=None, limits=httpx.Limits(max_connections=None)
        )

    async def ask(self, body: bytes) -> str:
        """Stream one answer and return its text, or its call's arguments."""
        pieces: list[str] = []
        async with self._client.stream("POST", self._url, content=body) as response:
            async for line in response.aiter_lines():
                if line.startswith("data: {"):
                    choices = orjson.loads(line[6:])["choices"]
                    delta = choices[0]["delta"] if choices else {}
                    if delta.get("content"):
                        pieces.append(delta["content"])
                    for call in delta.get("tool_calls", ()):
                        pieces.append(call["function"].get("arguments", ""))
        return "".join(pieces)

    async def aclose(self) -> None:
        await self._client.aclose()


class Floor:
    """A model and a log."""

    def __init__(self, url: str, path: Path) -> None:
        self.model = Model(url)
        self.log = Log(path)

    async def turn(self, session: str, body: bytes, facts: Sequence[bytes]) -> str:
        """Store the prompt, ask, store the answer; the last facts are the answer's."""
        self.log.commit(session, facts[:-ANSWER])
        text = await self.model.ask(body)
        self.log.commit(session, facts[-ANSWER:])
        return text

    async def step(self, session: str, body: bytes, facts: Sequence[bytes]) -> str:
        """Ask, store the call, make it, store its result and what comes next."""
        arguments = orjson.loads(await self.model.ask(body))
        self.log.commit(session, facts[:-RESULT])
        result = f"{arguments['word']} at {session}"
        self.log.commit(session, facts[-RESULT:])
        return result

    async def aclose(self) -> None:
        await self.model.aclose()
        self.log.connection.close()


RESULT = 3
"""tool.succeeded, step.ended, and the next step.started."""


Work = Callable[[sqlite3.Connection], object]


class GroupWriter:
    """A thread that commits whatever waits together, and then tells all of them.

    Each piece of work has a savepoint of its own: one that fails fails alone.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    async def write(self, work: Work) -> None:
        """Run a function in a transaction; it is on disk when this returns."""
        done = self._loop.create_future()
        self._queue.put((work, done))
        await done

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        connection = connected(self._path)
        going = True
        while going:
            taken = [self._queue.get()]
            while len(taken) < 256 and not self._queue.empty():
                taken.append(self._queue.get())
            group = [one for one in taken if one is not None]
            going = len(group) == len(taken)
            if group:
                connection.execute("BEGIN IMMEDIATE")
                for work, _ in group:
                    connection.execute("SAVEPOINT one")
                    work(connection)
                    connection.execute("RELEASE one")
                connection.execute("COMMIT")
                self._loop.call_soon_threadsafe(_settle, [one[1] for one in group])
        connection.close()


_Waiting = tuple[Work, "asyncio.Future[None]"]


class GroupFloor:
    """A floor for many sessions at once: no task stands still for another's commit."""

    def __init__(self, url: str, path: Path) -> None:
        self.model = Model(url)
        self._writer = GroupWriter(path)
        self._next: dict[str, int] = {}

    async def turn(self, session: str, body: bytes, facts: Sequence[bytes]) -> str:
        """Do as the floor's ``turn`` does."""
        await self._commit(session, facts[:-ANSWER])
        text = await self.model.ask(body)
        await self._commit(session, facts[-ANSWER:])
        return text

    async def _commit(self, session: str, facts: Sequence[bytes]) -> None:
        seq = self._next.get(session, 0)
        self._next[session] = seq + len(facts)
        rows = [(session, seq + number, fact) for number, fact in enumerate(facts)]
        await self._writer.write(
            lambda connection: connection.executemany(INSERT, rows)
        )

    async def aclose(self) -> None:
        await self.model.aclose()
        self._writer.close()


def _settle(futures: Sequence[asyncio.Future[None]]) -> None:
    for future in futures:
        future.set_result(None)
