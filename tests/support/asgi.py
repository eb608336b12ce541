"""An HTTP client's way to an ASGI application in the same process, streams included.

httpx's own waits for the whole answer, which one that goes on never is.
"""

from collections.abc import AsyncIterator, Callable, MutableMapping
from types import TracebackType
from typing import Any, Self

import anyio
import httpx
from anyio.abc import TaskGroup

Message = MutableMapping[str, Any]


class StreamedTransport(httpx.AsyncBaseTransport):
    """Calls an application, a task for each request: ``async with`` owns them."""

    def __init__(self, application: Callable[..., Any], client: str = "127.0.0.1"):
        self._application = application
        self._client = client
        self._tasks: TaskGroup | None = None
        self.running = 0
        """Requests that the application has not come to the end of."""

    async def __aenter__(self) -> Self:
        self._tasks = await anyio.create_task_group().__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        assert self._tasks is not None
        self._tasks.cancel_scope.cancel()
        await self._tasks.__aexit__(None, None, None)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.AsyncByteStream)
        assert self._tasks is not None
        exchange = _Exchange([part async for part in request.stream])
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": request.url.scheme,
            "path": request.url.path,
            "raw_path": request.url.raw_path.partition(b"?")[0],
            "query_string": request.url.query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "client": (self._client, 1),
            "server": ("127.0.0.1", 80),
        }
        self._tasks.start_soon(self._run, scope, exchange)
        try:
            await exchange.begun.wait()
        except BaseException:
            exchange.leave()
            raise
        if not exchange.status:
            exchange.leave()
            raise exchange.error or httpx.RemoteProtocolError("no answer")
        return httpx.Response(
            exchange.status, headers=exchange.headers, stream=exchange
        )

    async def _run(self, scope: dict[str, Any], exchange: "_Exchange") -> None:
        self.running += 1
        try:
            await self._application(scope, exchange.receive, exchange.send)
        except Exception as error:
            exchange.error = httpx.RemoteProtocolError(str(error))
            exchange.error.__cause__ = error
        finally:
            self.running -= 1
            exchange.begun.set()
            exchange.sending.close()


class _Exchange(httpx.AsyncByteStream):
    """One request and its answer."""

    def __init__(self, body: list[bytes]) -> None:
        self._body = body or [b""]
        self.begun = anyio.Event()
        self._gone = anyio.Event()
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.error: httpx.RemoteProtocolError | None = None
        # As a socket does: some of what is sent lies in between.
        self.sending, self._coming = anyio.create_memory_object_stream[bytes](4)

    async def receive(self) -> Message:
        if self._body:
            part = self._body.pop(0)
            more = bool(self._body)
            return {"type": "http.request", "body": part, "more_body": more}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = list(message["headers"])
            self.begun.set()
        elif message.get("body"):
            try:
                await self.sending.send(message["body"])
            except anyio.BrokenResourceError:
                # Nobody reads any more; a server drops it, too.
                await anyio.lowlevel.checkpoint()

    def __aiter__(self) -> AsyncIterator[bytes]:
        # No generator: trio wants each of them closed by hand, and httpx closes none.
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self._coming.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            if self.error is not None:
                raise self.error from None
            raise StopAsyncIteration from None

    def leave(self) -> None:
        self._gone.set()
        self._coming.close()

    async def aclose(self) -> None:
        self.leave()
