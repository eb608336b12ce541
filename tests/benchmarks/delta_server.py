"""A model that says ten thousand things, in each of six protocols.

A program of its own, so that what is measured against it is the cost of everybody
else. The first part of a request's path says which protocol is answered in. Each event
is a piece of the answer of its own, as servers send them. Run as a program it prints
its port and serves until its input ends.
"""

import asyncio
import binascii
import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

DELTAS = 10_000
WORD = "fox jumps "
STREAM, LINES = "text/event-stream", "application/x-ndjson"
FRAMES = "application/vnd.amazon.eventstream"


def _sse(event: dict[str, Any], *, named: bool = False) -> bytes:
    name = f"event: {event['type']}\n" if named else ""
    return f"{name}data: {json.dumps(event, separators=(',', ':'))}\n\n".encode()


def _chat() -> Iterator[bytes]:
    base = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return _sse({**base, "choices": [choice]})

    for _ in range(DELTAS):
        yield chunk({"content": WORD})
    yield chunk({}, "stop")
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": DELTAS,
        "total_tokens": DELTAS + 9,
    }
    yield _sse({**base, "choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


def _messages() -> Iterator[bytes]:
    message = {"id": "m1", "model": "m", "usage": {"input_tokens": 9}}
    yield _sse({"type": "message_start", "message": message}, named=True)
    block = {"type": "text", "text": ""}
    start = {"type": "content_block_start", "index": 0, "content_block": block}
    yield _sse(start, named=True)
    delta = {"type": "text_delta", "text": WORD}
    for _ in range(DELTAS):
        event = {"type": "content_block_delta", "index": 0, "delta": delta}
        yield _sse(event, named=True)
    yield _sse({"type": "content_block_stop", "index": 0}, named=True)
    end = {"stop_reason": "end_turn"}
    usage = {"output_tokens": DELTAS}
    yield _sse({"type": "message_delta", "delta": end, "usage": usage}, named=True)
    yield _sse({"type": "message_stop"}, named=True)


def _responses() -> Iterator[bytes]:
    item = {"id": "i1", "type": "message", "role": "assistant", "content": []}
    opened = {"id": "r1", "status": "in_progress", "output": []}
    yield _sse({"type": "response.created", "response": opened}, named=True)
    at = {"output_index": 0, "item": item}
    yield _sse({"type": "response.output_item.added", **at}, named=True)
    for number in range(DELTAS):
        place = {"item_id": "i1", "output_index": 0, "content_index": 0}
        event = {"type": "response.output_text.delta", "sequence_number": number}
        yield _sse({**event, **place, "delta": WORD, "logprobs": []}, named=True)
    text = {"type": "output_text", "text": WORD * DELTAS, "annotations": []}
    whole = {**item, "content": [text]}
    done = {"output_index": 0, "item": whole}
    yield _sse({"type": "response.output_item.done", **done}, named=True)
    usage = {"input_tokens": 9, "output_tokens": DELTAS, "total_tokens": DELTAS + 9}
    closed = {"id": "r1", "status": "completed", "output": [whole], "usage": usage}
    yield _sse({"type": "response.completed", "response": closed}, named=True)


def _gemini() -> Iterator[bytes]:
    usage = {"promptTokenCount": 9, "candidatesTokenCount": DELTAS}
    for number in range(DELTAS):
        said = {"parts": [{"text": WORD}], "role": "model"}
        candidate: dict[str, Any] = {"content": said, "index": 0}
        if number == DELTAS - 1:
            candidate["finishReason"] = "STOP"
        more = {"usageMetadata": usage, "modelVersion": "m", "responseId": "r1"}
        yield _sse({"candidates": [candidate], **more})


def _ollama() -> Iterator[bytes]:
    for _ in range(DELTAS):
        message = {"role": "assistant", "content": WORD}
        line = {"model": "m", "created_at": "t", "message": message, "done": False}
        yield json.dumps(line, separators=(",", ":")).encode() + b"\n"
    end = {"model": "m", "done": True, "done_reason": "stop", "eval_count": DELTAS}
    yield json.dumps({**end, "message": {"role": "assistant"}}).encode() + b"\n"


def _converse() -> Iterator[bytes]:
    yield _frame("messageStart", {"role": "assistant"})
    for _ in range(DELTAS):
        delta = {"contentBlockIndex": 0, "delta": {"text": WORD}}
        yield _frame("contentBlockDelta", delta)
    yield _frame("contentBlockStop", {"contentBlockIndex": 0})
    yield _frame("messageStop", {"stopReason": "end_turn"})
    usage = {"inputTokens": 9, "outputTokens": DELTAS, "totalTokens": DELTAS + 9}
    yield _frame("metadata", {"usage": usage, "metrics": {"latencyMs": 1}})


def _frame(kind: str, payload: dict[str, Any]) -> bytes:
    """Return an event as Amazon frames it: lengths, headers, and two checksums."""
    told = {
        ":event-type": kind,
        ":content-type": "application/json",
        ":message-type": "event",
    }
    headers = b"".join(
        struct.pack("!B", len(name))
        + name.encode()
        + struct.pack("!BH", 7, len(value))
        + value.encode()
        for name, value in told.items()
    )
    body = json.dumps(payload, separators=(",", ":")).encode()
    lengths = struct.pack("!II", len(headers) + len(body) + 16, len(headers))
    begun = lengths + struct.pack("!I", binascii.crc32(lengths)) + headers + body
    return begun + struct.pack("!I", binascii.crc32(begun))


PROTOCOLS = {
    "chat": (_chat, STREAM),
    "messages": (_messages, STREAM),
    "responses": (_responses, STREAM),
    "gemini": (_gemini, STREAM),
    "ollama": (_ollama, LINES),
    "converse": (_converse, FRAMES),
}


class Server(asyncio.Protocol):
    """Answers each request on a connection, one after another."""

    answers: dict[str, bytes]

    def __init__(self) -> None:
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._held += data
        head, mark, rest = self._held.partition(b"\r\n\r\n")
        if not mark:
            return
        size = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                size = int(line[15:])
        if len(rest) >= size:
            self._held = rest[size:]
            name = head.split(b" ", 2)[1].split(b"/")[1].decode()
            self._transport.write(self.answers[name])


def _answer(name: str) -> bytes:
    make, kind = PROTOCOLS[name]
    head = (
        f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    pieces = [b"%x\r\n%b\r\n" % (len(one), one) for one in make()]
    return head.encode() + b"".join(pieces) + b"0\r\n\r\n"


async def _serve() -> None:
    Server.answers = {name: _answer(name) for name in PROTOCOLS}
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Server, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


@contextmanager
def delta_server() -> Iterator[str]:
    """Run it for as long as the block, and give its URL."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.stdin.close()
        process.wait()


if __name__ == "__main__":
    asyncio.run(_serve())
