"""The wire: JSON-RPC 2.0 in lines, in both directions at once.

Owns framing, ids, and who waits for which answer. Knows no method of the protocol. The
official package brings a connection too; this one is ours because it must hold against
a client that floods, sends rubbish or never reads: what waits is bounded, each request
has its answer, a message is sent whole or not at all, and requests can be cancelled
from either side (``$/cancel_request``). It runs on asyncio and on trio.

JSON-RPC: https://www.jsonrpc.org/specification. The protocol's transport, one message a
line: https://agentclientprotocol.com/protocol/transports.
"""

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from math import inf
from typing import Protocol

import anyio
import anyio.lowlevel
import orjson
from anyio.abc import ObjectReceiveStream, ObjectSendStream, TaskGroup
from attrs import define, field, frozen
from dovetail.kernel import Json, sanitised

logger = logging.getLogger(__name__)

MAX_LINE = 32 * 1024 * 1024
"""Bytes of one message. A prompt with 8 MiB of files has 11 MiB."""
MAX_REQUESTS = 256
"""Requests of the client that are worked on at once."""
DRAIN_SECONDS = 30.0
"""For which what is being answered may take when the client is gone."""
SHOWN = 200
"""Characters of what is refused that are told of."""

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND = -32700, -32600, -32601
INVALID_PARAMS, INTERNAL_ERROR = -32602, -32603
CANCELLED, AUTH_REQUIRED, NOT_FOUND = -32800, -32000, -32002

CANCEL_REQUEST = "$/cancel_request"

Id = str | int | None
Message = Mapping[str, Json]


class Fault(Exception):
    """An error as it is sent: what a handler raises to refuse a request."""

    def __init__(self, number: int, message: str, data: Json = None) -> None:
        super().__init__(message)
        self.number = number
        self.data = data

    def shown(self) -> dict[str, Json]:
        told: dict[str, Json] = {"code": self.number, "message": str(self)}
        if self.data is not None:
            told["data"] = self.data
        return told


class Answered(Exception):
    """The client answered a request of ours with an error."""

    def __init__(self, number: Json, message: Json) -> None:
        super().__init__(str(message)[:SHOWN])
        self.number = number


class Gone(Exception):
    """The client is gone; nobody answers any more."""


class ByteStream(Protocol):
    """What the messages go through."""

    async def receive(self) -> bytes:
        """Return what came; empty at the end."""
        ...

    async def send(self, data: bytes) -> None:
        """Return when all of it was taken.

        Raises:
            OSError: nobody takes it any more.
        """
        ...


@frozen
class Reply:
    """The answer to a request."""

    result: Json = None
    then: Callable[[], None] | None = None
    """Done when the answer was sent."""


Handle = Callable[[str, Json], Awaitable[Reply]]
"""Answers a request, or raises a ``Fault``."""
Notify = Callable[[str, Json], Awaitable[None]]


@frozen
class Handlers:
    """What is done with what comes."""

    request: Handle
    notice: Notify
    """What must not wait for anything that the client has yet to say: the next message
    is read when it is done."""
    fault: Callable[[Exception], Fault]
    """What an error is told as that is no ``Fault``."""
    leave: Callable[[], Awaitable[None]]
    """Called when nothing more is read, and what is being answered is to come to its
    end."""
    notices: frozenset[str] = frozenset()
    """Methods that take no answer: with an id they are done all the same."""


@define
class _Waiting:
    """A request of ours."""

    done: anyio.Event = field(factory=anyio.Event)
    answer: Json = None
    error: Exception | None = None


class Connection:
    """One client. ``run`` returns when it is gone."""

    def __init__(self, stream: ByteStream, handlers: Handlers) -> None:
        self._stream = stream
        self._handlers = handlers
        self._last_id = 0
        self._waiting: dict[int, _Waiting] = {}
        self._working: dict[Id, anyio.CancelScope] = {}
        self._running = 0
        self._gone = False
        # Nothing is kept: who sends waits until the writer takes it.
        outgoing: tuple[ObjectSendStream[bytes], ObjectReceiveStream[bytes]]
        outgoing = anyio.create_memory_object_stream[bytes](0)
        self._outgoing, self._to_write = outgoing
        self._tasks: TaskGroup | None = None
        self._everything = anyio.CancelScope()
        self._reading = anyio.CancelScope()
        self._idle = anyio.Event()
        self._written = anyio.Event()

    @property
    def gone(self) -> bool:
        """Whether the client is gone."""
        return self._gone

    async def run(self) -> None:
        """Serve until the client closes its end, or ``drain`` is called. Whoever reads
        still has the answers to what was asked before."""
        with self._outgoing, self._to_write, self._everything:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                tasks.start_soon(self._write)
                with self._reading:
                    await self._read(tasks)
                # Nobody answers any more.
                self._give_up()
                with anyio.move_on_after(DRAIN_SECONDS):
                    await self._handlers.leave()
                    while self._running:
                        await self._idle.wait()
                    # What was taken last is still being written.
                    self._outgoing.close()
                    await self._written.wait()
                self._leave()
        self._tasks = None
        self._leave()

    def drain(self) -> None:
        """Read no more, and come to an end."""
        self._reading.cancel()

    async def _read(self, tasks: TaskGroup) -> None:
        try:
            async for line in _lines(self._stream):
                await self._take(line, tasks)
        except OSError:
            logger.debug("reading broke off", exc_info=True)

    def _leave(self) -> None:
        self._gone = True
        self._everything.cancel()
        self._give_up()

    def _give_up(self) -> None:
        for one in tuple(self._waiting.values()):
            one.error = one.error or Gone("the client is gone")
            one.done.set()

    # --- sending ------------------------------------------------------------------

    async def notify(self, method: str, params: Message) -> None:
        """Send a notification; return when it was written.

        Raises:
            Gone: the client is gone.
        """
        await self._send({"jsonrpc": "2.0", "method": method, "params": params})

    async def request(self, method: str, params: Message) -> Json:
        """Ask the client, and return its answer. Cancelled, the client is told so.

        Raises:
            Answered: with an error.
            Gone: the client is gone.
        """
        async with self.asking(method, params) as answer:
            return await answer()

    @asynccontextmanager
    async def asking(
        self, method: str, params: Message
    ) -> AsyncIterator[Callable[[], Awaitable[Json]]]:
        """Ask the client, and yield what waits for the answer. Left before there is
        one, the client is told that nobody waits for it any more."""
        self._last_id += 1
        number = self._last_id
        waiting = self._waiting[number] = _Waiting()

        async def answer() -> Json:
            await waiting.done.wait()
            if waiting.error is not None:
                raise waiting.error
            return waiting.answer

        sent = False
        try:
            await self._send(
                {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            )
            sent = True
            yield answer
        finally:
            del self._waiting[number]
            if sent and not waiting.done.is_set() and self._tasks is not None:
                # Beside the caller: a client that reads nothing must not hold it up.
                self._tasks.start_soon(self._withdraw, number)

    async def _withdraw(self, number: int) -> None:
        try:
            await self.notify(CANCEL_REQUEST, {"requestId": number})
        except Gone:
            return

    async def _send(self, message: Message) -> None:
        try:
            line = orjson.dumps(message)
        except TypeError:
            # Half of a surrogate pair, which many clients could not read, or a number
            # of more than 64 bits.
            line = json.dumps(sanitised(dict(message))).encode()
        if self._gone:
            raise Gone("the client is gone")
        try:
            await self._outgoing.send(line + b"\n")
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise Gone("the client is gone") from error

    async def _write(self) -> None:
        try:
            async for line in self._to_write:
                await self._stream.send(line)
        except OSError:
            logger.debug("writing broke off", exc_info=True)
            self._leave()
        finally:
            self._written.set()

    # --- receiving ----------------------------------------------------------------

    async def _take(self, line: bytes | None, tasks: TaskGroup) -> None:
        if line is None:
            await self._refuse(INVALID_REQUEST, f"a message has over {MAX_LINE} bytes")
            return
        if not line.strip():
            return
        try:
            message = _parsed(line)
        except (ValueError, RecursionError):
            await self._refuse(PARSE_ERROR, "a line is not JSON")
            return
        if not isinstance(message, dict):
            await self._refuse(INVALID_REQUEST, "a message is one JSON object")
            return
        if "method" not in message:
            await self._take_answer(message)
            return
        method = message["method"]
        number = message.get("id")
        known = number is None or (
            isinstance(number, str | int) and not isinstance(number, bool)
        )
        if not isinstance(method, str) or not known:
            shown = number if known else None
            await self._refuse(INVALID_REQUEST, "method is a string, id too", shown)
            return
        params = message.get("params")
        if "id" not in message or method in self._handlers.notices:
            await self._take_notice(method, params)
            if "id" in message:
                await self._respond(number, result=None)
            return
        if self._running >= MAX_REQUESTS:
            # Reading no further would keep back the answers that others wait for.
            await self._refuse(
                INTERNAL_ERROR, f"over {MAX_REQUESTS} requests at once", number
            )
            return
        self._running += 1
        tasks.start_soon(self._work, number, method, params)
        # In the order in which they came: each gets as far as its first wait.
        await anyio.lowlevel.checkpoint()

    async def _take_notice(self, method: str, params: Json) -> None:
        if method == CANCEL_REQUEST:
            wanted = params.get("requestId") if isinstance(params, dict) else None
            known = isinstance(wanted, str | int)
            scope = self._working.get(wanted) if known else None
            if scope is not None:
                scope.cancel()
            return
        try:
            await self._handlers.notice(method, params)
        except Fault as fault:
            logger.warning("%s was not done: %s", method[:SHOWN], fault)
        except Exception:
            # Boundary: a notification has no answer that could tell it.
            logger.exception("%s was not done", method[:SHOWN])

    async def _work(self, number: Id, method: str, params: Json) -> None:
        reply = Reply()
        fault: Fault | None = Fault(CANCELLED, "the request was cancelled")
        with anyio.CancelScope() as scope:
            self._working[number] = scope
            try:
                reply = await self._handlers.request(method, params)
                fault = None
            except Fault as refused:
                fault = refused
            except Gone:
                pass
            except Exception as error:
                # Boundary: whatever went wrong, the client has an answer.
                fault = self._handlers.fault(error)
        if self._working.get(number) is scope:
            del self._working[number]
        await self._respond(number, result=reply.result, fault=fault)
        if reply.then is not None:
            reply.then()
        self._running -= 1
        self._idle.set()
        self._idle = anyio.Event()

    async def _refuse(self, number: int, text: str, id: Id = None) -> None:
        logger.warning("refused: %s", text)
        await self._respond(id, fault=Fault(number, text))

    async def _respond(
        self, number: Id, *, result: Json = None, fault: Fault | None = None
    ) -> None:
        told: dict[str, Json] = {"jsonrpc": "2.0", "id": number}
        if fault is None:
            told["result"] = result
        else:
            told["error"] = fault.shown()
        try:
            await self._send(told)
        except Gone:
            return

    async def _take_answer(self, message: dict[str, Json]) -> None:
        number = message.get("id")
        waiting = None
        if isinstance(number, int) and not isinstance(number, bool):
            waiting = self._waiting.get(number)
        if waiting is None or waiting.done.is_set():
            # What was withdrawn may be answered still.
            logger.debug("an answer that nobody waits for")
            return
        error = message.get("error")
        if "result" in message and error is None:
            waiting.answer = message["result"]
        else:
            told = error if isinstance(error, dict) else {}
            waiting.error = Answered(told.get("code"), told.get("message", error))
        waiting.done.set()


def _parsed(line: bytes) -> Json:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        # Half of a surrogate pair is refused by what reads it, which can be told.
        return json.loads(line, parse_constant=_no_constant)


def _no_constant(name: str) -> Json:
    raise ValueError(f"{name} is no JSON")


async def _lines(stream: ByteStream) -> AsyncIterator[bytes | None]:
    """Yield each line; None for one that is too long, of which nothing is kept."""
    pieces: list[bytes] = []
    held: float = 0
    while data := await stream.receive():
        *ended, rest = data.split(b"\n")
        for piece in ended:
            pieces.append(piece)
            long = held + len(piece) > MAX_LINE
            line = None if long else b"".join(pieces)
            pieces, held = [], 0
            yield line
        held += len(rest)
        if held > MAX_LINE:
            pieces, held = [], inf
        elif rest:
            pieces.append(rest)
    if pieces:
        # Somebody wrote a last message without an end.
        yield b"".join(pieces)
