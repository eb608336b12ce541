"""A store that something happened to: made once, harmed in copies, and consulted.

Consulting asks everything that a person or a program would ask of every session, and
takes nothing but answers and errors of dovetail.
"""

import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from attrs import frozen
from dovetail.kernel import (
    DovetailError,
    Prompt,
    PromptFile,
    Tool,
    ToolContext,
)
from dovetail.kernel.testing import ScriptedProvider, call, calls, reasoning, text

from support.bounds import HANG
from support.hosts import host
from support.left import request_waiting

SESSIONS = ("one", "two", "other")
MODEL = "scripted/model"


@frozen
class Say:
    text: str


async def _say(input: Say, context: ToolContext) -> str:
    await context.ask("say", [input.text], save=[input.text])
    return input.text * 4000


SAY = Tool("say", "Say.", Say, _say, effect="pure")


async def fill(folder: Path) -> None:
    """Make sessions with rows in every table; ``other`` is the one that stays well."""
    model = ScriptedProvider(
        [reasoning("hm"), *text("first")],
        calls(call("say", {"text": "long "}, id="c1")),
        text("second"),
        text("well"),
        calls(call("say", {"text": "asked "}, id="c2")),
    )
    async with host(folder, model, SAY) as runtime:
        one = await runtime.sessions.create(
            id="one", location="/", model=MODEL, title="A"
        )
        await one.prompt("say something", key="k1")
        await one.wait()
        await one.prompt("use the tool", key="k2")
        waiting = await request_waiting(runtime, one)
        await runtime.location("/").permissions.reply(waiting, "always")
        await one.wait()
        other = await runtime.sessions.create(id="other", location="/", model=MODEL)
        await other.prompt("and you?", key="k1")
        await other.wait()
        await runtime.sessions.prune("one")
        two = await runtime.sessions.create(id="two", location="/", model=MODEL)
        big = Prompt("look", (PromptFile("a.bin", "text/plain", "QUFB" * 6000),))
        await two.prompt(big, key="big")
        await request_waiting(runtime, two)
        await two.prompt("and then", delivery="queue")


@frozen
class Harm:
    """One change of one column of one row."""

    session: str | None
    """Whose row it is; None for one of no session in particular."""
    table: str
    key: str
    """Which row: a condition."""
    column: str
    value: Any

    def __str__(self) -> str:
        return f"{self.table}.{self.column} where {self.key} = {self.value!r:.40}"

    def do(self, path: Path) -> bool:
        """Change it, and say whether that was possible."""
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA writable_schema = ON")
            sql = f'UPDATE "{self.table}" SET "{self.column}" = ? WHERE {self.key}'
            try:
                connection.execute(sql, (self.value,))
                connection.commit()
            except sqlite3.Error:
                return False  # a constraint of the schema is in the way
        return True


def flipped(value: Any) -> Sequence[Any]:
    """Return what one changed byte may make of a value, or of its type."""
    if value is None:
        return (0, "", "x")
    if isinstance(value, int):
        return (value ^ 1, value ^ (1 << 62), -1 - value, None, "x")
    if isinstance(value, str):
        at = len(value) // 2
        other = value[:at] + chr(ord(value[at : at + 1] or "a") ^ 1) + value[at + 1 :]
        return (other, value.encode(), value + "\0", None)
    at = len(value) // 2
    other = value[:at] + bytes([(value[at : at + 1] or b"a")[0] ^ 1]) + value[at + 1 :]
    return (other, b"\xff" + value[1:], value.decode(errors="replace"), None)


def harms(path: Path, rows: int = 1000) -> list[Harm]:
    """Return the harms of some rows of each table: of each column, of each kind.

    Of events, some of each kind.
    """
    made: list[Harm] = []
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
        names = {int(key): name for key, name in _sessions(connection)}
        for table in [*(name for (name,) in found.fetchall()), "sqlite_master"]:
            seen: Counter[Any] = Counter()
            columns = connection.execute(f"PRAGMA table_info('{table}')").fetchall()
            keys = [one[1] for one in columns if one[5]]
            keys = ["name"] if table == "sqlite_master" else keys
            for row in connection.execute(f'SELECT * FROM "{table}"').fetchall():
                values = dict(zip([one[1] for one in columns], row, strict=True))
                seen[values.get("kind")] += 1
                if seen[values.get("kind")] > rows:
                    continue
                owner = values.get("id" if table == "aggregate" else "aggregate")
                key = " AND ".join(f'"{one}" = {_literal(values[one])}' for one in keys)
                made += [
                    Harm(names.get(owner), table, key, column, changed)
                    for column, value in values.items()
                    for changed in flipped(value)
                ]
    return made


def _sessions(connection: sqlite3.Connection) -> list[tuple[int, str]]:
    return connection.execute("SELECT id, session_id FROM aggregate").fetchall()


def _literal(value: Any) -> str:
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    return str(value) if isinstance(value, int) else f"'{value}'"


async def consult(folder: Path, of: str | None = None) -> dict[str, Any]:
    """Ask everything of every session, mend and go on; return answers and errors.

    With ``of``, only of this one and one other.
    """
    said: dict[str, Any] = {}

    async def ask(name: str, question: Callable[[], Any]) -> None:
        try:
            with anyio.fail_after(HANG):
                said[name] = await question()
        except DovetailError as error:
            said[name] = error

    model = ScriptedProvider(*[text("again")] * 40)
    try:
        async with host(folder, model, SAY, on_permission="allow") as runtime:
            sessions, place = runtime.sessions, runtime.location("/")
            await ask("list", sessions.list)
            await ask("events", lambda: drained(runtime.events()))
            await ask("pending", place.permissions.pending)
            await ask("saved", place.permissions.saved)
            await ask("verify", sessions.verify)
            for id in SESSIONS if of is None else {of, "other"}:
                await ask(f"{id} get", partial(sessions.get, id))
                session = said[f"{id} get"]
                if isinstance(session, DovetailError):
                    continue
                questions: dict[str, Callable[[], Any]] = {
                    "info": session.info,
                    "messages": partial(session.messages, order="asc"),
                    "history": session.history,
                    "inbox": session.pending,
                    "events": lambda session=session: drained(session.events()),
                    "export": lambda session=session: drained(session.export()),
                    "continuation": session.continuation,
                    "again": partial(
                        session.prompt, "say something", key="k1", resume=False
                    ),
                    "prompt": partial(session.prompt, "next"),
                    "wait": session.wait,
                    "resume": session.resume,
                    "inbox after": session.pending,
                    "rebuild": partial(sessions.rebuild, id),
                    "repair": partial(sessions.repair, id),
                    "messages after": partial(session.messages, order="asc"),
                    "prompt after": partial(session.prompt, "more"),
                    "wait after": session.wait,
                }
                for name, question in questions.items():
                    await ask(f"{id} {name}", question)
            await ask("verify after", sessions.verify)
    except DovetailError as error:
        said["open"] = error
    return said


async def drained(stream: Any) -> list[Any]:
    """Return everything up to the end of a stream."""
    async with stream:
        return [one async for one in stream]


def copied(source: Path, target: Path) -> Path:
    """Copy a store's file to a folder."""
    target.mkdir(parents=True, exist_ok=True)
    for old in target.iterdir():
        old.unlink()
    return Path(shutil.copy(source, target / "test.db"))
