"""A custom provider adapter: from a foreign protocol to model events.

The protocol is made up, and spoken over a memory stream instead of a socket: a request
is one line of JSON, the answer is lines of ``say WORD``, ``call NAME ARGUMENTS`` and
``end``. What matters is the shape: encode each message once, stream what comes, say
typed errors, finish exactly once.
"""

import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from attrs import frozen
from dovetail.kernel import (
    AssistantMessage,
    Finish,
    Message,
    ModelEvent,
    ModelInfo,
    ModelRequest,
    Provider,
    ProviderError,
    Register,
    TextDelta,
    Tool,
    ToolCall,
    ToolContext,
    UserMessage,
    hookimpl,
    open_runtime,
)


async def parrot(request: bytes) -> AsyncIterator[str]:
    """The service: asks for the time once, then repeats what it was told."""
    *_, last = json.loads(request)["messages"]
    if last["from"] == "user":
        yield f"call clock {json.dumps({'zone': last['text']})}"
    else:
        for word in last["results"][0].split():
            yield f"say {word} "
    yield "end"


class ParrotRoute:
    """One way to one model. A route never repeats a request and never runs a tool."""

    @asynccontextmanager
    async def stream(
        self, request: ModelRequest
    ) -> AsyncIterator[AsyncIterator[ModelEvent]]:
        # Settled messages are encoded once; the next request begins with these bytes.
        messages = b",".join(request.history.encoded("parrot", encode))
        yield decode(parrot(b'{"messages":[' + messages + b"]}"))


def encode(message: Message) -> bytes:
    if isinstance(message, AssistantMessage):
        results = [part.text for part in message.calls]
        return json.dumps({"from": "parrot", "results": results}).encode()
    return json.dumps({"from": "user", "text": message.text}).encode()


async def decode(lines: AsyncIterator[str]) -> AsyncIterator[ModelEvent]:
    called = 0
    async for line in lines:
        verb, _, rest = line.partition(" ")
        if verb == "say":
            yield TextDelta("0", rest)
        elif verb == "call":
            called += 1
            name, _, arguments = rest.partition(" ")
            yield ToolCall(f"call_{called}", name, arguments)
        elif verb == "end":
            yield Finish("tool_calls" if called else "stop")
        else:
            raise ProviderError("provider.invalid_output", "parrot", repr(line))


@frozen
class Zone:
    zone: str


async def clock(input: Zone, context: ToolContext) -> str:
    return f"it is noon in {input.zone}"


class ParrotPlugin:
    name = "parrot"

    @hookimpl
    def dovetail_register_providers(self, register: Register[Provider]) -> None:
        register(
            Provider(
                name="parrot",
                route=lambda model: ParrotRoute(),
                models=[ModelInfo("parrot/grey")],
                open=False,
            )
        )

    @hookimpl
    def dovetail_register_tools(self, register: Register[Tool[Zone, str]]) -> None:
        register(Tool("clock", "Tell the time.", Zone, clock, effect="pure"))


async def main(folder: str) -> None:
    async with open_runtime(
        f"sqlite:///{folder}/agents.db", plugins=[ParrotPlugin()]
    ) as runtime:
        session = await runtime.sessions.create(location=folder, model="parrot/grey")
        await session.prompt("Lisbon")
        outcome = await session.wait()
        user, _, answer = await session.history()
        assert isinstance(user, UserMessage)
        assert isinstance(answer, AssistantMessage)
        print(answer.text)
        assert outcome.succeeded
        assert answer.text.strip() == "it is noon in Lisbon"

        other = await runtime.sessions.create(location=folder, model="parrot/green")
        await other.prompt("Lisbon")
        refused = await other.wait()
        assert refused.reason is not None
        print(refused.status, refused.reason.code)
        assert refused.reason.code == "model.unknown"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        anyio.run(main, folder)
