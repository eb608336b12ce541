"""The command ``serve``: one store, offered over HTTP until it is told to end."""

import ipaddress
import logging
import os
import re
import secrets
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import anyio
import click
from dovetail.kernel import (
    DATABASE_VARIABLE,
    InvalidValueError,
    default_database_url,
    open_runtime,
)

from .door import (
    MAX_HEADERS,
    SEND_SECONDS,
    BrokenOffError,
    Door,
    Receive,
    Scope,
    Send,
    answer,
    encoded,
)
from .problems import answer_to, busy, headers_too_large, malformed

Resume = Literal["report", "clean", "always"]

TOKEN_VARIABLE = "DOVETAIL_TOKEN"
DRAIN_SECONDS = 10
"""For how long answers that are under way may take when the server ends."""
HEADER_SECONDS = 15.0
"""In which the head of a request must have come; one that trickles in holds a place."""
MAX_CONNECTIONS = 1024


@click.command("serve")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="The address to listen on. Another than loopback needs a token.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=4096,
    show_default=True,
    help="0 takes a free one.",
)
@click.option(
    "--db",
    metavar="URL",
    envvar=DATABASE_VARIABLE,
    help="The database, such as sqlite:///agents.db. "
    f"[default: {DATABASE_VARIABLE}, or a file of yours]",
)
@click.option(
    "--location",
    metavar="DIR",
    default=".",
    type=click.Path(exists=True, file_okay=False),
    help="The directory that is meant where a request names none.",
)
@click.option(
    "--token-file",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="A file with the token that callers must show; made where it is not there. "
    f"{TOKEN_VARIABLE} does the same.",
)
@click.option(
    "--allow-host",
    "hosts",
    metavar="NAME",
    multiple=True,
    help="A name that the server may be called by, besides localhost and addresses.",
)
@click.option(
    "--allow-origin",
    "origins",
    metavar="ORIGIN",
    multiple=True,
    help="Another page that may use it from a browser, such as https://example.org.",
)
@click.option(
    "--resume",
    type=click.Choice(["report", "clean", "always"]),
    default="clean",
    show_default=True,
    help="What an earlier process left: report leaves it to somebody, clean goes on "
    "where nothing has to be re-checked, always goes on in any case.",
)
def serve_command(
    host: str,
    port: int,
    db: str | None,
    location: str,
    token_file: str | None,
    hosts: tuple[str, ...],
    origins: tuple[str, ...],
    resume: Resume,
) -> int:
    """Offer the sessions of a database over HTTP.

    It goes on with what an earlier process left, killed or not: with input that waits
    and work that was cut off, where nothing has to be re-checked first, and never with
    what a person interrupted.

    Any number of processes may use the database beside it. SIGTERM and Ctrl-C end it:
    nothing new is taken, what runs is settled, and whoever follows is told.
    """
    # Here, because it needs the extra.
    try:
        import uvicorn  # noqa: F401 - here to be missed before anything is begun

        from .application import app
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f'{error.name} is not installed: pip install "dovetail[server]"'
        ) from error
    from .door import Admittance

    token = token_of(token_file, os.environ.get(TOKEN_VARIABLE))
    if token is None and not is_loopback(host):
        raise click.UsageError(
            f"{host} can be reached from elsewhere: give a token by --token-file or "
            f"{TOKEN_VARIABLE}"
        )
    try:
        admittance = Admittance(token, (*hosts, *_own_name(host)), origins)
    except InvalidValueError as error:
        raise click.UsageError(str(error)) from error

    listening = listen(host, port)

    async def serve() -> None:
        async with open_runtime(db or default_database_url(), resume=resume) as runtime:
            door = app(runtime, admittance, location=location)
            _tell(listening.getsockname(), token is not None)
            await stand(door, listening)

    with listening:
        anyio.run(serve)
    return 0


async def stand(door: Door, listening: socket.socket) -> None:
    """Serve what is behind a door on a socket, until a signal comes. The door is closed
    then, and what is answered has ``DRAIN_SECONDS`` to end; a second signal does not
    wait. Whoever says nothing, or takes nothing, is let go of."""
    import uvicorn

    config = uvicorn.Config(
        door,
        http=_timed(_http()),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=MAX_HEADERS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    logging.getLogger("uvicorn.error").addFilter(Brief())
    await _run(uvicorn.Server(config), listening, door.close)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; whoever connects from now on is not refused.

    Raises:
        ClickException: it cannot: the port is taken, say.
    """
    try:
        [(family, _, _, _, address), *_] = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        listening = socket.create_server(address[:2], family=family, backlog=2048)
        # Whoever connects has it of this one; asyncio sets it on sockets of its own
        # only. Without it the body of an answer waits until the reader has acknowledged
        # its head, which may take 40 ms, and a delta waits for the one before.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except OSError as error:
        raise click.ClickException(
            f"cannot listen on {host}, port {port}: {error.strerror}"
        ) from error


async def _run(
    server: Any, listening: socket.socket, close: Callable[[], None]
) -> None:
    """Serve until a signal comes. A second one ends it without waiting."""
    import asyncio

    loop = asyncio.get_running_loop()

    def end(number: int, _: object) -> None:
        # uvicorn's own would send the signal again afterwards, and end the process
        # before the runtime is closed.
        server.force_exit = server.should_exit
        server.should_exit = True
        loop.call_soon_threadsafe(close)

    server.handle_exit = end
    await server.serve(sockets=[listening])


class Brief(logging.Filter):
    """Says in a line that an answer broke off: uvicorn has a traceback for it, as if
    the server had failed, where a reader went away or was let go."""

    def filter(self, record: logging.LogRecord) -> bool:
        import asyncio

        error = record.exc_info[1] if record.exc_info else None
        ends = isinstance(error, asyncio.CancelledError)
        if ends or isinstance(error, BrokenOffError):
            why = "the server ends" if ends else str(error)
            record.levelno, record.levelname = logging.WARNING, "WARNING"
            record.msg, record.args = "an answer broke off: %s", (why,)
            record.exc_info = record.exc_text = None
        return True


def _tell(address: tuple[Any, ...], guarded: bool) -> None:
    name = f"[{address[0]}]" if ":" in str(address[0]) else str(address[0])
    click.echo(f"API:  http://{name}:{address[1]}/api")
    click.echo(f"page: http://{name}:{address[1]}/")
    if not guarded:
        click.echo(
            "no token: whoever may run programs on this machine may use it", err=True
        )


def _http() -> Any:
    from uvicorn.protocols.http.h11_impl import H11Protocol

    return H11Protocol


def _timed(protocol: Any) -> Any:
    """Return a protocol that lets go of who does not say what it wants, or does not
    take what it asked for: uvicorn waits without end for the head of a request, of the
    first and of each that follows, and for what it wrote to be taken. What no
    application sees, because it is no HTTP or one connection too many, is answered as
    everything is."""
    import h11

    class Timed(protocol):  # type: ignore[misc] # a class that is only known now
        _head: Any = None
        _full: Any = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if len(self.connections) > MAX_CONNECTIONS:
                self.app = _crowded
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._watch()

        def pause_writing(self) -> None:
            super().pause_writing()
            # Later than the door, which gives such a reader up first and says so.
            self._full = self.loop.call_later(SEND_SECONDS + 1, self.transport.abort)

        def resume_writing(self) -> None:
            self._taken()
            super().resume_writing()

        def connection_lost(self, error: Exception | None) -> None:
            self._rest()
            self._taken()
            super().connection_lost(error)

        def send_400_response(self, msg: str) -> None:
            # While an exception is handled that knows more than the text.
            status = getattr(sys.exc_info()[1], "error_status_hint", 400)
            if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                for event in _refusal(status):
                    self.transport.write(self.conn.send(event))
            self.transport.close()

        def _watch(self) -> None:
            """Count the time for as long as no request is at work."""
            if self.cycle is not None and not self.cycle.response_complete:
                self._rest()
            elif self._head is None:
                self._head = self.loop.call_later(HEADER_SECONDS, self._late)

        def _rest(self) -> None:
            if self._head is not None:
                self._head.cancel()
                self._head = None

        def _taken(self) -> None:
            if self._full is not None:
                self._full.cancel()
                self._full = None

        def _late(self) -> None:
            # Closed, it waits for what was written to be taken, for ever if need be.
            self.transport.close()
            self._head = self.loop.call_later(SEND_SECONDS, self.transport.abort)

    return Timed


def _refusal(status: int) -> "list[Any]":
    """Return the answer to what is no request, as h11 sends it."""
    import h11

    if status == 431:
        refusal = headers_too_large(MAX_HEADERS)
    else:
        refusal = malformed("this is no HTTP request as it is understood here")
    status, _, body = answer_to(refusal)
    data = encoded(body)
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(data))),
        ("Connection", "close"),
    ]
    return [
        h11.Response(status_code=status, headers=headers),
        h11.Data(data=data),
        h11.EndOfMessage(),
    ]


async def _crowded(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer whoever comes when there are as many connections as there may be."""
    refusal = busy(f"{MAX_CONNECTIONS} connections are open already")
    status, headers, body = answer_to(refusal)
    await answer(send, status, body, {**headers, "Connection": "close"})


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _own_name(host: str) -> tuple[str, ...]:
    """Return the name that it listens on, where that is a name."""
    return () if re.fullmatch(r"[0-9.:a-fA-F]+", host) else (host,)


def token_of(file: str | None, given: str | None) -> str | None:
    """Return the token that callers must show.

    Raises:
        UsageError: the file can be read by others, or is none; or two were given.
    """
    if file is None:
        return given or None
    if given:
        raise click.UsageError(f"give --token-file or {TOKEN_VARIABLE}, not both")
    path = Path(file)
    try:
        made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _token_in(path)
    except OSError as error:
        raise click.UsageError(f"{file} cannot be made: {error.strerror}") from error
    with open(made, "w", encoding="ascii") as written:
        written.write(f"{(token := secrets.token_urlsafe(32))}\n")
    return token


def _token_in(path: Path) -> str:
    try:
        # What is looked at is what is read, whatever the name becomes meanwhile.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise click.UsageError(f"{path} cannot be read: {error.strerror}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise click.UsageError(f"{path} is no file")
        if status.st_mode & 0o077 or status.st_uid not in (0, os.getuid()):
            raise click.UsageError(
                f"others can read {path}: chmod 600 it, and make a new token"
            )
        token = os.read(descriptor, 4096).decode("utf-8", "replace").strip()
    finally:
        os.close(descriptor)
    if not token:
        raise click.UsageError(f"{path} is empty")
    return token
