"""`dovetail serve`: another process, real sockets, real signals.

One server is a new process of Python, and the others are forks of one that has imported
all that they do.
"""

import asyncio
import json
import logging
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import anyio
import click
import httpx
import pytest
import uvicorn
from anyio import to_thread
from dovetail.plugins.cli.program import run_program
from dovetail.plugins.client import RemoteRuntime, connect
from dovetail.plugins.http import door, serve
from dovetail.plugins.http.serve import (
    _http,
    _timed,
    is_loopback,
    listen,
    serve_command,
    token_of,
)
from support.bounds import HANG
from support.commands import Done
from support.processes import longer
from support.programs import Forking, Running


def arguments(folder: Path, *options: str, port: int = 0) -> list[str]:
    """Return what starts a server, whose database is in a folder."""
    database = f"sqlite:///{folder / 'agents.db'}"
    own = [f"--port={port}", f"--db={database}", f"--location={folder}"]
    return ["serve", *own, *options]


def address_of(said: IO[str]) -> str:
    """Return the address that a server says first."""
    line = said.readline()
    found = re.match(r"API:  (http://\S+)/api$", line)
    assert found, line
    return found[1]


Serving = Callable[..., AbstractContextManager[tuple[Running, str]]]


@pytest.fixture
def serving(tmp_path: Path, forked: Forking) -> Serving:
    """Return a function that starts a server, and yields it with its address."""

    @contextmanager
    def serving(
        *options: str, port: int = 0, program: str | None = None, **environment: str
    ) -> Iterator[tuple[Running, str]]:
        process = forked(
            *arguments(tmp_path, *options, port=port),
            program=program,
            environment={**os.environ, "HOME": str(tmp_path), **environment},
        )
        try:
            yield process, address_of(process.stdout)
        finally:
            process.kill()

    return serving


@pytest.fixture
def typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """Return a function that runs a command in this process: the server is another."""
    monkeypatch.setenv("HOME", str(tmp_path))

    def run(*arguments: str) -> Done:
        code = run_program(arguments)
        told = capsys.readouterr()
        return Done(code, told.out, told.err)

    return run


def test_a_server_and_a_command_share_a_database_and_a_signal_ends_it(
    tmp_path: Path, typed: Callable[..., Done]
) -> None:
    with (
        subprocess.Popen(
            [sys.executable, "-m", "dovetail.plugins.cli", *arguments(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "HOME": str(tmp_path)},
        ) as process,
        ExitStack() as stack,
    ):
        stack.callback(process.kill)
        assert process.stdout is not None
        address = address_of(process.stdout)
        with httpx.Client(base_url=address, timeout=HANG) as client:
            made = client.post("/api/session", json={"id": "ses_a", "title": "Here"})
            assert made.status_code == 200, made.text
            shown = typed(
                "sessions", "--json", f"--db=sqlite:///{tmp_path / 'agents.db'}"
            )
            assert '"id":"ses_a"' in shown.out, shown.err
            with client.stream("GET", "/api/session/ses_a/event") as answer:
                lines = answer.iter_lines()
                while "synced" not in next(lines):
                    pass
                process.send_signal(signal.SIGTERM)
                assert "server.closing" in "".join(lines)
        assert process.wait(HANG) == 0


@pytest.mark.law("events.5")
def test_a_reader_goes_on_after_the_server_was_killed(serving: Serving) -> None:
    """In the middle of what it tells: the next one on the same file tells the rest."""
    reached: list[bool] = []

    async def main() -> None:
        seen: list[int] = []
        told = anyio.Event()

        async def follow(runtime: RemoteRuntime) -> None:
            session = await runtime.sessions.get("ses_a")
            async with session.events(follow=True) as tail:
                async for event in tail:
                    seen.append(event.seq)
                    if event.seq == 3:
                        told.set()
                    if event.seq == 6:
                        return

        async def rename(runtime: RemoteRuntime, *names: str) -> None:
            session = await runtime.sessions.create("ses_a")
            for name in names:
                await session.rename(name)

        with serving() as (first, address):
            port = int(address.rpartition(":")[2])
            async with connect(address, patience=HANG) as runtime:
                runtime.hear_reach(reached.append)
                await rename(runtime, "a", "b", "c")
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(follow, runtime)
                    await told.wait()
                    first.kill()
                    await to_thread.run_sync(first.wait)
                    again = await to_thread.run_sync(
                        lambda: stack.enter_context(serving(port=port))
                    )
                    assert again[1] == address
                    await rename(runtime, "d", "e", "f")
        assert seen == list(range(7))
        # Where it was there again before anybody looked, there was nothing to tell.
        assert reached in ([], [False, True])

    with ExitStack() as stack:
        anyio.run(main)


CHARGING = """
import os
import signal
from contextlib import asynccontextmanager

from attrs import frozen
from dovetail.kernel import Provider, ProviderRoute, Tool, UserMessage, hookimpl
from dovetail.kernel.testing.scripted import call, finish
from dovetail.kernel.values.request import TextDelta


@frozen
class Charge:
    pass


async def charge(input, context):
    os.kill(os.getpid(), signal.SIGKILL)


class Model(ProviderRoute):
    @hookimpl
    def dovetail_register_providers(self, register, place):
        register(Provider("shop", route=lambda _: self))

    @hookimpl
    def dovetail_register_tools(self, register):
        register(Tool("charge", "Charge the card.", Charge, charge, effect="unsafe"))

    @asynccontextmanager
    async def stream(self, request):
        yield self._play(request.history.messages[-1])

    async def _play(self, last):
        if isinstance(last, UserMessage) and last.text == "charge":
            yield call("charge", {}, id="c1")
            yield finish("tool_calls")
        else:
            yield TextDelta("0", "Here.")
            yield finish("stop")


plugin = Model()
"""


@pytest.mark.law("recovery.4", "recovery.11")
def test_a_server_that_was_killed_is_gone_on_with_by_the_next_one(
    tmp_path: Path, serving: Serving
) -> None:
    """Input that waits is gone on with; what must be looked at first is shown."""
    (tmp_path / "charging.py").write_text(CHARGING)
    (tmp_path / "own.toml").write_text(
        f'plugin_files = ["{tmp_path / "charging.py"}"]\n[permissions]\n'
        'rules = [{ action = "charge", resource = "*", effect = "allow" }]\n'
    )
    config = {"DOVETAIL_CONFIG": str(tmp_path / "own.toml")}
    model = {"providerID": "shop", "id": "model"}
    with (
        serving(**config) as (first, address),
        httpx.Client(base_url=f"{address}/api", timeout=HANG) as client,
    ):
        for name, text in (("ses_waits", "hello"), ("ses_left", "charge")):
            client.post("/session", json={"id": name, "model": model})
            said = {"prompt": {"text": text}, "resume": name == "ses_left"}
            with suppress(httpx.TransportError):  # it kills its own server
                client.post(f"/session/{name}/prompt", json=said)
        assert first.wait(HANG) == -signal.SIGKILL
    with (
        serving(**config) as (_, address),
        httpx.Client(base_url=f"{address}/api", timeout=HANG) as client,
    ):

        def ended(session: str) -> Any:
            path = f"/session/{session}/outcome?seconds=20"
            while (found := client.get(path).json()["data"]) is None:
                pass
            return found

        assert ended("ses_waits")["status"] == "succeeded"
        assert ended("ses_left")["status"] == "paused"
        listed = {
            one["id"]: one["dovetail"]["outcome"]["reason"]
            for one in client.get("/session").json()["data"]
        }
        assert listed["ses_waits"] is None
        assert listed["ses_left"]["code"] == "continuation.unaccepted"
        report = client.get("/session/ses_left/continuation").json()["data"]
        [left] = report["report"]["calls"]
        assert (left["tool"], left["known"]) == ("charge", "unknown")
        resumed = {"accept": report["digest"]}
        assert client.post("/session/ses_left/resume", json=resumed).is_success
        assert ended("ses_left")["status"] == "succeeded"


def test_who_does_not_say_what_it_wants_is_let_go(serving: Serving) -> None:
    head = b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for milliseconds in longer(200):
        program = (
            "import sys; from dovetail.plugins.http import serve; "
            f"serve.HEADER_SECONDS = {milliseconds / 1000}; "
            "from dovetail.plugins.cli import main; sys.exit(main())"
        )
        with serving(program=program) as (_, address):
            port = int(address.rpartition(":")[2])
            assert said_until_the_end(port, head[:30]) == b""
            answered = said_until_the_end(port, head + head[:30])
            assert answered.count(b"200 OK") <= 1
            if answered:
                # And not let go before it had said anything.
                break


def said_until_the_end(port: int, begun: bytes) -> bytes:
    """Return what a server says to whoever begins so and then is silent."""
    said = b""
    with socket.create_connection(("127.0.0.1", port), HANG) as silent:
        silent.sendall(begun)
        with suppress(ConnectionResetError):
            while part := silent.recv(4096):
                said += part
    return said


def test_who_does_not_take_what_it_asked_for_is_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whether one answer waits to be taken or more than the server holds."""
    for module, name in (
        (door, "SEND_SECONDS"),
        (serve, "SEND_SECONDS"),
        (serve, "HEADER_SECONDS"),
    ):
        monkeypatch.setattr(module, name, 0.05)
    body = b"a" * 40_000

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await door.answer(send, 200, body.decode())

    async def main(heads: int) -> None:
        gone = anyio.Event()

        class Watched(_timed(_http())):  # type: ignore[misc] # known only now
            def connection_made(self, transport: Any) -> None:
                # The system takes next to nothing of it, and asyncio holds the rest.
                raw = transport.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
                super().connection_made(transport)

            def connection_lost(self, error: Exception | None) -> None:
                super().connection_lost(error)
                gone.set()

        config = uvicorn.Config(
            door.Door(application, door.Admittance()),
            http=Watched,
            lifespan="off",
            log_config=None,
        )
        server = uvicorn.Server(config)
        with listen("127.0.0.1", 0) as place, socket.socket() as reader:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(server.serve, [place])
                reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                reader.connect(place.getsockname())
                reader.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * heads)
                with anyio.fail_after(HANG):
                    await gone.wait()
                server.should_exit = True

    for heads in (1, 10):
        anyio.run(main, heads)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (door.ReaderGoneError(), "the reader took nothing for 60 s"),
        (asyncio.CancelledError(), "the server ends"),
        (RuntimeError("a mistake"), None),
    ],
)
def test_an_answer_that_breaks_off_is_a_line_in_the_log_and_a_mistake_is_traced(
    error: BaseException,
    said: str | None,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logger, brief = logging.getLogger("uvicorn.error"), serve.Brief()
    # A server that ran in this process may have said otherwise.
    monkeypatch.setattr(logger, "parent", logging.getLogger())
    monkeypatch.setattr(logger, "propagate", True)
    caplog.set_level(logging.WARNING, logger.name)
    logger.addFilter(brief)
    try:
        logger.error("Exception in ASGI application\n", exc_info=error)
    finally:
        logger.removeFilter(brief)
    [record] = caplog.records
    if said is None:
        assert record.exc_info is not None
    else:
        assert record.getMessage() == f"an answer broke off: {said}"
        assert (record.exc_info, record.levelname) == (None, "WARNING")


def test_what_is_no_request_is_refused_as_everything_is(serving: Serving) -> None:
    line = b"GET /api/health HTTP/1.1\r\n"
    said = {
        b"\x00\x01\r\n\r\n": (400, "server.malformed"),
        line + b"\r\n": (400, "server.malformed"),
        line + b"Host: localhost\r\nContent-Length: -1\r\n\r\n": (
            400,
            "server.malformed",
        ),
        line + b"Host: localhost\r\nX: " + b"a" * 100_000: (431, "server.too_large"),
    }
    with serving() as (_, address):
        port = int(address.rpartition(":")[2])
        for request, (status, code) in said.items():
            with socket.create_connection(("127.0.0.1", port), HANG) as asking:
                asking.sendall(request)
                answered = b""
                while part := asking.recv(4096):
                    answered += part
            start, _, body = answered.partition(b"\r\n\r\n")
            assert start.startswith(b"HTTP/1.1 %d " % status)
            told = json.loads(body)
            assert told["code"] == code
            assert told["_tag"] == "InvalidRequestError"
            assert told["message"]


def test_a_token_out_of_a_file_is_asked_for(tmp_path: Path, serving: Serving) -> None:
    file = tmp_path / "token"
    with serving(f"--token-file={file}") as (_, address):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        shown = {"Authorization": f"Bearer {file.read_text().strip()}"}
        assert httpx.get(f"{address}/api/health", timeout=HANG).status_code == 401
        found = httpx.get(f"{address}/api/health", headers=shown, timeout=HANG)
        assert found.status_code == 200


def test_an_address_that_others_reach_needs_a_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DOVETAIL_TOKEN", raising=False)
    for host in ("0.0.0.0", "192.168.1.5", "::", "example.org"):
        assert not is_loopback(host)
        with pytest.raises(click.UsageError, match="token"):
            serve_command.main(["--host", host], standalone_mode=False)
    for host in ("127.0.0.1", "127.0.0.2", "::1", "localhost"):
        assert is_loopback(host)


def test_a_token_that_others_can_read_is_none(tmp_path: Path) -> None:
    file = tmp_path / "token"
    made = token_of(str(file), None)
    assert made is not None
    assert len(made) >= 32
    assert token_of(str(file), None) == made
    file.chmod(0o640)
    with pytest.raises(click.UsageError, match="chmod"):
        token_of(str(file), None)
    file.chmod(0o600)
    link = tmp_path / "link"
    link.symlink_to(file)
    with pytest.raises(click.UsageError):
        token_of(str(link), None)
    with pytest.raises(click.UsageError):
        token_of(str(tmp_path), None)
    file.write_text("\n")
    with pytest.raises(click.UsageError, match="empty"):
        token_of(str(file), None)
    with pytest.raises(click.UsageError, match="not both"):
        token_of(str(file), "given")
    assert token_of(None, "given") == "given"
    assert token_of(None, "") is None


def test_no_answer_waits_until_the_reader_has_its_beginning() -> None:
    with (
        listen("127.0.0.1", 0) as listening,
        socket.create_connection(listening.getsockname()),
        listening.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_commands_show_the_sessions_of_a_server(
    serving: Serving, typed: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = "correct-horse-battery"
    monkeypatch.setenv("DOVETAIL_TOKEN", token)
    with serving() as (_, address):
        headers = {"Authorization": f"Bearer {token}"}
        body = {"id": "ses_a", "title": "From afar"}
        httpx.post(f"{address}/api/session", json=body, headers=headers, timeout=HANG)
        over = ("--server", address)
        assert "From afar" in typed(*over, "sessions").out
        assert "From afar" in typed(*over, "show", "ses_a").out
        assert "session.created" in typed(*over, "log", "ses_a").out
        assert "From afar" in typed(*over, "export", "ses_a").out
        refused = typed(*over, "doctor")
        assert refused.code == 2
        assert "--server" in refused.err
        missing = typed(*over, "show", "none")
        assert (missing.code, "session.not_found" in missing.err) == (2, True)
