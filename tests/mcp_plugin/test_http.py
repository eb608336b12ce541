"""A server over HTTP, as hostile as one over standard input and output."""

import gzip
import json
import tracemalloc
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import anyio
import pytest
from dovetail.kernel import open_runtime
from dovetail.kernel.testing import ScriptedProvider, call, calls, text
from dovetail.plugins.mcp import McpPlugin
from mcp_plugin.servers import tool
from mcp_plugin.test_misbehaving import parts_of, quiet
from support.bounds import HANG

MIB = 1024 * 1024


@pytest.fixture
def anyio_backend() -> str:
    """One loop: what is tried is how much is read, which waits for nothing."""
    return "asyncio"


class Hostile(BaseHTTPRequestHandler):
    """Answers each call with far more than anybody should read."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        method, number = asked["method"], asked.get("id")
        if number is None:
            self.send_response(202)
            self.end_headers()
            return
        result: Any = {}
        if method == "initialize":
            result = {
                "protocolVersion": asked["params"]["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "hostile", "version": "1"},
            }
        elif method == "tools/list":
            result = {
                "tools": [tool("large"), tool("packed"), tool("small"), tool("cut")]
            }
        elif method == "tools/call":
            name = asked["params"]["name"]
            if name == "cut":
                self.cut()
                return
            if name == "large":
                self.large()
                return
            said = {"content": [{"type": "text", "text": "x" * 20 * MIB}]}
            if name == "packed":
                body = {"jsonrpc": "2.0", "id": number, "result": said}
                self.say(gzip.compress(json.dumps(body).encode()), "gzip")
                return
            result = {"content": [{"type": "text", "text": "small"}]}
        self.say(
            json.dumps({"jsonrpc": "2.0", "id": number, "result": result}).encode()
        )

    def say(self, body: bytes, encoding: str | None = None) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if encoding is not None:
            self.send_header("Content-Encoding", encoding)
        self.end_headers()
        self.wfile.write(body)

    def cut(self) -> None:
        """Begin an event that is too long."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        try:
            self.wfile.write(b"data: ")
            for _ in range(200):
                self.wfile.write(b"x" * MIB)
        except OSError:
            self.close_connection = True

    def large(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        try:
            for _ in range(200):
                self.wfile.write(b" " * MIB)
        except OSError:
            self.close_connection = True

    def do_GET(self) -> None:
        self.send_response(405)
        self.end_headers()

    do_DELETE = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hostile) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/mcp"
        server.shutdown()
        thread.join()


@pytest.mark.law("mcp.4")
async def test_an_answer_in_one_piece_is_read_no_further_than_the_bound(
    tmp_path: Path, url: str
) -> None:
    script = ScriptedProvider(
        calls(call("h_small", {}, id="first")),
        calls(*(call(f"h_{one}", {}, id=one) for one in ("large", "packed", "cut"))),
        calls(call("h_small", {}, id="small")),
        text("Done."),
    )
    plugin = McpPlugin({"h": {"url": url, "protocol": "legacy"}})
    async with (
        open_runtime(
            "sqlite://",
            plugins=[plugin, script],
            environment=quiet(tmp_path),
            on_permission="allow",
        ) as runtime,
        runtime.location(tmp_path),
    ):
        with anyio.fail_after(HANG):
            servers = plugin.servers_in(str(tmp_path))
            assert servers is not None
            await servers.settled()
            session = await runtime.sessions.create(
                location=str(tmp_path), model=script.model
            )
            await session.prompt("Go on")
            tracemalloc.start()
            try:
                await session.wait()
                _, most = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            parts = await parts_of(session)
    assert [parts[one].state for one in ("large", "packed")] == ["failed", "failed"]
    assert "over 16777216 bytes" in parts["large"].failure.message
    assert "the answer of h/cut was cut off" in parts["cut"].failure.message
    assert parts["small"].state == "succeeded"
    assert most < 80 * MIB
