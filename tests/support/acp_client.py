"""A client of the Agent Client Protocol for tests, in the process of the agent.

Speaks plain JSON, so that it can say what no real client would, and checks each message
that the agent sends: against the models of the official package, and against the
protocol's own JSON Schema where that is beside the checkout.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from typing import Any

import anyio
from dovetail.kernel import OnPermission, Runtime, open_runtime
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from .bounds import HANG
from .corpora import find_corpus

ANSWERS = {
    "initialize": "InitializeResponse",
    "authenticate": "AuthenticateResponse",
    "session/new": "NewSessionResponse",
    "session/load": "LoadSessionResponse",
    "session/resume": "ResumeSessionResponse",
    "session/fork": "ForkSessionResponse",
    "session/list": "ListSessionsResponse",
    "session/close": "CloseSessionResponse",
    "session/prompt": "PromptResponse",
    "session/set_mode": "SetSessionModeResponse",
    "session/set_config_option": "SetSessionConfigOptionResponse",
}
REQUESTS = {
    "session/update": "SessionNotification",
    "session/request_permission": "RequestPermissionRequest",
    "elicitation/create": "CreateFormSessionElicitationRequest",
    "fs/read_text_file": "ReadTextFileRequest",
    "fs/write_text_file": "WriteTextFileRequest",
    "terminal/create": "CreateTerminalRequest",
    "terminal/output": "TerminalOutputRequest",
    "terminal/wait_for_exit": "WaitForTerminalExitRequest",
    "terminal/kill": "KillTerminalRequest",
    "terminal/release": "ReleaseTerminalRequest",
    "$/cancel_request": "CancelRequestNotification",
}
UNSTABLE = ("session/fork",)
"""What the stable schema does not have."""


@cache
def validator(name: str) -> Draft202012Validator | None:
    """Return what checks a definition of the protocol's own schema."""
    found = find_corpus("acp-golden")
    if found is None:
        return None
    schema = dict(found.json("schema/v1/schema.json"))
    schema.pop("anyOf", None)
    assert name in schema["$defs"], name
    return Draft202012Validator({**schema, "$ref": f"#/$defs/{name}"})


def check(name: str, value: Any, *, stable: bool = True) -> None:
    """Fail unless a value is what the protocol says.

    ``name`` is of one of the models, which take a second to import.
    """
    from acp import schema

    getattr(schema, name).model_validate(value)
    name = {"CreateFormSessionElicitationRequest": "CreateElicitationRequest"}.get(
        name, name
    )
    known = validator(name) if stable else None
    if known is not None:
        known.validate(value)


class Failed(Exception):
    """The agent answered with an error."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.number = error["code"]
        self.data = error.get("data")


class Pipe:
    """Bytes in one direction: what is written waits for whoever reads."""

    def __init__(self) -> None:
        self._in, self._out = anyio.create_memory_object_stream[bytes](8)

    async def receive(self) -> bytes:
        try:
            return await self._out.receive()
        except anyio.EndOfStream:
            return b""

    async def send(self, data: bytes) -> None:
        try:
            await self._in.send(data)
        except anyio.BrokenResourceError as error:
            raise BrokenPipeError from error

    def end(self) -> None:
        """Close the side that writes."""
        self._in.close()

    def break_(self) -> None:
        """Close the side that reads."""
        self._out.close()


class Duplex:
    """The agent's side of two pipes."""

    def __init__(self, receiving: Pipe, sending: Pipe) -> None:
        self.receive = receiving.receive
        self.send = sending.send


Answering = Callable[[dict[str, Any]], Awaitable[Any]]


class Client:
    """The client's side. Everything that came is in ``messages``."""

    def __init__(self, to_agent: Pipe, from_agent: Pipe) -> None:
        self.to_agent = to_agent
        self.from_agent = from_agent
        self.messages: list[dict[str, Any]] = []
        self.answering: dict[str, Answering] = {}
        """What answers requests of the agent, by method."""
        self.withdrawn: list[Any] = []
        self.checking = True
        """Whether each message is checked; ten thousand take a minute."""
        self._last = 0
        self._asked: dict[int, str] = {}
        self._answers: dict[int, dict[str, Any]] = {}
        self._came = anyio.Event()
        self._hearing = anyio.Event()
        self._hearing.set()

    @contextmanager
    def deaf(self) -> Iterator[None]:
        """Read nothing for as long as this is entered."""
        self._hearing = anyio.Event()
        try:
            yield
        finally:
            self._hearing.set()

    # --- reading ------------------------------------------------------------------

    async def run(self) -> None:
        """Take what the agent sends, until it ends."""
        rest = b""
        async with anyio.create_task_group() as tasks:
            while data := await self.from_agent.receive():
                await self._hearing.wait()
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    await self._take(json.loads(line), tasks)
            tasks.cancel_scope.cancel()
        assert not rest, "half of a message"
        self._ring()

    async def _take(self, message: dict[str, Any], tasks: Any) -> None:
        assert message["jsonrpc"] == "2.0"
        self.messages.append(message)
        method = message.get("method")
        if method is None:
            number = message["id"]
            asked = self._asked.get(number, "")
            if self.checking and asked in ANSWERS and "result" in message:
                stable = asked not in UNSTABLE
                check(ANSWERS[asked], message["result"], stable=stable)
            self._answers[number] = message
        else:
            if self.checking:
                check(REQUESTS[method], message["params"])
            if method == "$/cancel_request":
                self.withdrawn.append(message["params"]["requestId"])
            elif "id" in message and method in self.answering:
                tasks.start_soon(self._answer, message)
        self._ring()

    async def _answer(self, message: dict[str, Any]) -> None:
        result = await self.answering[message["method"]](message["params"])
        await self.write({"jsonrpc": "2.0", "id": message["id"], "result": result})

    def _ring(self) -> None:
        self._came.set()
        self._came = anyio.Event()

    async def until(self, found: Callable[[], Any]) -> Any:
        """Return what is found among what came, once it is there."""
        with anyio.fail_after(HANG):
            while not (result := found()):
                await self._came.wait()
            return result

    def updates(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Return the updates that came, or those of one kind."""
        found = [
            one["params"]["update"]
            for one in self.messages
            if one.get("method") == "session/update"
        ]
        return [one for one in found if kind in (None, one["sessionUpdate"])]

    def said(self, kind: str = "agent_message_chunk") -> str:
        """Return the text of all chunks of a kind."""
        return "".join(one["content"].get("text", "") for one in self.updates(kind))

    def requests(self, method: str) -> list[dict[str, Any]]:
        return [one for one in self.messages if one.get("method") == method]

    # --- writing ------------------------------------------------------------------

    async def write(self, message: Any) -> None:
        await self.to_agent.send(json.dumps(message).encode() + b"\n")

    async def begin(self, method: str, **params: Any) -> int:
        """Send a request, and return its id."""
        self._last += 1
        self._asked[self._last] = method
        await self.write(
            {"jsonrpc": "2.0", "id": self._last, "method": method, "params": params}
        )
        return self._last

    async def end(self, number: int) -> Any:
        """Return the answer to a request."""
        answer = await self.until(lambda: self._answers.get(number))
        if "error" in answer:
            raise Failed(answer["error"])
        return answer["result"]

    async def call(self, method: str, **params: Any) -> Any:
        return await self.end(await self.begin(method, **params))

    async def notify(self, method: str, **params: Any) -> None:
        await self.write({"jsonrpc": "2.0", "method": method, "params": params})

    async def initialize(self, **capabilities: Any) -> Any:
        return await self.call(
            "initialize", protocolVersion=1, clientCapabilities=capabilities
        )

    async def new(self, cwd: object, model: str | None = "scripted/model") -> str:
        """Return a new session in a directory, with a model."""
        made = await self.call("session/new", cwd=str(cwd), mcpServers=[])
        if model is not None:
            await self.set(made["sessionId"], "model", model)
        return str(made["sessionId"])

    async def set(self, session_id: str, option: str, value: str) -> Any:
        return await self.call(
            "session/set_config_option",
            sessionId=session_id,
            configId=option,
            value=value,
        )

    async def begin_prompt(self, session_id: str, text: str) -> int:
        block = {"type": "text", "text": text}
        return await self.begin("session/prompt", sessionId=session_id, prompt=[block])

    async def prompt(self, session_id: str, text: str) -> Any:
        """Return the stop reason."""
        answer = await self.end(await self.begin_prompt(session_id, text))
        return answer["stopReason"]


@asynccontextmanager
async def connected(runtime: Runtime) -> AsyncIterator[Client]:
    """Yield a client of an agent that serves a runtime. It hangs up when it leaves."""
    # Here, because every process of a run imports this file, and one runs it.
    from dovetail.plugins.acp.agent import Agent

    there, back = Pipe(), Pipe()
    agent = Agent(runtime, Duplex(there, back))
    client = Client(there, back)

    async def serve() -> None:
        await agent.run()
        back.end()

    try:
        with anyio.fail_after(2 * HANG):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(client.run)
                tasks.start_soon(serve)
                try:
                    yield client
                finally:
                    there.end()
    finally:
        for pipe in (there, back):
            pipe.end()
            pipe.break_()


@asynccontextmanager
async def opened(
    directory: object,
    *plugins: Any,
    on_permission: OnPermission = "ask",
    **capabilities: Any,
) -> AsyncIterator[tuple[Runtime, Client, str]]:
    """Yield a runtime, a client of an agent that serves it, and a session of it."""
    async with (
        open_runtime("sqlite://", plugins=plugins, on_permission=on_permission) as made,
        connected(made) as client,
    ):
        await client.initialize(**capabilities)
        yield made, client, await client.new(directory)
