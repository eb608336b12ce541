"""The model on loopback: a program of its own that answers as fast as it can.

It speaks the streaming Chat Completions protocol and takes no time to think, so what
is measured against it is the cost of everybody else. A request for the model ``text``
is answered with 20 deltas, one for ``tool`` with a call of the tool ``tick``, until
its last message holds ``FINISH``. It looks at the two ends of a body only, so that its
own cost does not grow with a session. What was asked last can be fetched with GET.

Run as a program it prints its port and serves until its input ends.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DELTAS = 20
WORDS = "the quick brown fox jumps over a lazy dog and "
FINISH = "FINISH"


def _chunk(delta: dict[str, object], finish: str | None = None) -> bytes:
    event = {
        "id": "chatcmpl-benchmark",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "benchmark",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }
    return _frame(json.dumps(event).encode())


def _frame(data: bytes) -> bytes:
    line = b"data: " + data + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(line), line)


_USAGE = {
    "id": "chatcmpl-benchmark",
    "object": "chat.completion.chunk",
    "created": 1700000000,
    "model": "benchmark",
    "choices": [],
    "usage": {"prompt_tokens": 1000, "completion_tokens": 20, "total_tokens": 1020},
}
_END = [_frame(json.dumps(_USAGE).encode()), _frame(b"[DONE]") + b"0\r\n\r\n"]

TEXT = [
    _chunk({"role": "assistant", "content": ""}),
    *(_chunk({"content": f"{number} {WORDS}"}) for number in range(DELTAS)),
    _chunk({}, "stop"),
    *_END,
]


def _call(**more: object) -> dict[str, object]:
    return {"tool_calls": [{"index": 0, **more}]}


_NAMED = {"name": "tick", "arguments": ""}
TOOL = [
    _chunk({"role": "assistant", "content": None}),
    _chunk(_call(id="call_benchmark", type="function", function=_NAMED)),
    *(
        _chunk(_call(function={"arguments": piece}))
        for piece in ('{"', "word", '":', '"to', "ck", '"}')
    ),
    _chunk({}, "tool_calls"),
    *_END,
]

_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)


class _Connection(asyncio.Protocol):
    """One connection: request after request."""

    last = b""

    def __init__(self) -> None:
        self._received = bytearray()
        self._needed = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._needed:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._received[:end]).lower()
            _, _, rest = head.partition(b"\r\ncontent-length:")
            self._needed = end + 4 + int(rest.partition(b"\r\n")[0] or b"0")
            self._start = end + 4
        if len(self._received) < self._needed:
            return
        body = bytes(self._received[self._start :])
        fetch = self._received.startswith(b"GET")
        self._received.clear()
        self._needed = 0
        if fetch:
            length = len(_Connection.last)
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n" % length)
            self._transport.write(b"\r\n" + _Connection.last)
        else:
            _Connection.last = body
            self._answer(body[:80], body[-160:])

    def _answer(self, begins: bytes, ends: bytes) -> None:
        calls = b'"tool"' in begins and FINISH.encode() not in ends
        self._transport.write(_HEAD)
        # Each piece by itself, as a model sends them.
        for piece in TOOL if calls else TEXT:
            self._transport.write(piece)


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


@contextmanager
def model_server() -> Iterator[str]:
    """Run the server as a process and give its base URL."""
    process = subprocess.Popen(
        [sys.executable, Path(__file__).resolve()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait()


if __name__ == "__main__":
    asyncio.run(_serve())
