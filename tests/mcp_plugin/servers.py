"""Servers in memory, for tests in which no process is what is tested."""

import copy
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio

Tool = dict[str, Any]


def tool(name: str, description: str = "Does it.", **more: Any) -> Tool:
    """Return a tool as a server lists it."""
    schema = {"type": "object", "properties": {"text": {"type": "string"}}}
    return {
        "name": name,
        "description": description,
        "inputSchema": schema,
        **more,
    }


def said(text: str, **more: Any) -> dict[str, Any]:
    """Return the answer of a call."""
    return {"content": [{"type": "text", "text": text}], **more}


class FakeServer:
    """One server; ``transport`` is for ``McpPlugin``."""

    def __init__(
        self,
        *tools: Tool,
        call: Callable[["FakeServer", dict[str, Any]], Awaitable[Any]] | None = None,
        **more: Any,
    ) -> None:
        self.tools = list(tools)
        self.call = call
        self.more = more
        """What else its answer to ``initialize`` holds."""
        self.lists: dict[str, Any] = {}
        """What it answers to other methods."""
        self.heard: list[dict[str, Any]] = []
        self.begun = 0
        self.late: anyio.Event | None = None
        """What it waits for before it answers anything."""
        self.listing: Callable[[], Awaitable[None]] | None = None
        """What it does after it listed its tools, before it says so."""
        self.broken = ""
        self.forgotten = 0
        """The connections up to this one are known no more."""
        self._send: Any = None
        self._answers: dict[str, Any] = {}
        self._asked = 0

    @asynccontextmanager
    async def transport(self, server: Any) -> AsyncIterator[Any]:
        self.begun += 1
        if self.broken:
            raise OSError(self.broken)
        send, receive = anyio.create_memory_object_stream[Any](0)
        outgoing, incoming = anyio.create_memory_object_stream[Any](0)
        self._send = send
        async with anyio.create_task_group() as tasks:

            async def serve() -> None:
                async with incoming:
                    async for one in incoming:
                        message = one.message.model_dump(
                            by_alias=True, exclude_unset=True
                        )
                        self.heard.append(message)
                        tasks.start_soon(self._one, message)

            tasks.start_soon(serve)
            try:
                yield receive, outgoing
            finally:
                for stream in (send, receive, outgoing, incoming):
                    stream.close()
                tasks.cancel_scope.cancel()

    async def end(self) -> None:
        """End the connection, as a server that dies does."""
        self._send.close()

    async def send(self, message: dict[str, Any]) -> None:
        # Here, because every process of a run imports this file, and one runs it.
        from mcp.shared.message import SessionMessage
        from mcp_types import jsonrpc_message_adapter

        made = jsonrpc_message_adapter.validate_python({"jsonrpc": "2.0", **message})
        try:
            await self._send.send(SessionMessage(made))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return

    async def changed(self) -> None:
        """Say that the list of tools changed."""
        await self.send({"method": "notifications/tools/list_changed"})

    async def ask(self, method: str, **params: Any) -> Any:
        """Ask the client, and return what it says."""
        self._asked += 1
        number = f"ask-{self._asked}"
        event = self._answers[number] = anyio.Event()
        await self.send({"id": number, "method": method, "params": params})
        await event.wait()
        return self._answers[number]

    async def _one(self, message: dict[str, Any]) -> None:
        method, number = message.get("method"), message.get("id")
        if method is None:
            event = self._answers[str(number)]
            self._answers[str(number)] = message.get("result", message.get("error"))
            event.set()
            return
        if number is None:
            return
        if self.late is not None:
            await self.late.wait()
        if method != "initialize" and self.begun <= self.forgotten:
            error = {"code": -32600, "message": "Session not found"}
            await self.send({"id": number, "error": error})
            return
        if method == "initialize":
            able: dict[str, Any] = {"tools": {"listChanged": True}}
            for one in self.lists:
                able.setdefault(one.partition("/")[0], {"listChanged": True})
            result: Any = {
                "protocolVersion": message["params"]["protocolVersion"],
                "capabilities": able,
                "serverInfo": {"name": "fake", "version": "1"},
                **self.more,
            }
        elif method == "tools/list":
            result = {"tools": copy.deepcopy(self.tools)}
            if self.listing is not None:
                await self.listing()
        elif method == "tools/call" and self.call is not None:
            result = await self.call(self, message["params"])
        elif method in self.lists:
            found = self.lists[method]
            result = found(message["params"]) if callable(found) else found
        else:
            error = {"code": -32601, "message": "Method not found"}
            await self.send({"id": number, "error": error})
            return
        await self.send({"id": number, "result": result})

    def methods(self) -> list[str]:
        """Return what was asked of it so far."""
        return [one.get("method", "") for one in self.heard]


def among(servers: dict[str, FakeServer]) -> Callable[[Any], Any]:
    """Return a transport for several servers by their names."""
    return lambda server: servers[server.name].transport(server)
