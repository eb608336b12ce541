"""A conversation whose server is killed: what a person sees, and what comes of it."""

import json
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio
from anyio.abc import SocketAttribute, SocketStream
from support.commands import Child, Home, calling, saying, text
from support.replay import Answer, serve, sse
from support.screens import SeenTerminal, seen

CHAT = ("chat", "--model", "openai/m")
READY, ENTER, CTRL_C, CTRL_D, ESC = "ready", "\r", "\x03", "\x04", "\x1b"
GONE = "the server does not answer"
BACK = "the server answers again"


@asynccontextmanager
async def serving(home: Home, port: str = "0") -> AsyncIterator[tuple[Child, str]]:
    async with home.started("serve", "--port", port) as child:
        url = (await child.until("page:")).split("API:")[1].split("/api")[0].strip()
        yield child, url


@asynccontextmanager
async def talking(home: Home) -> AsyncIterator[tuple[Child, str, SeenTerminal]]:
    async with (
        serving(home) as (server, url),
        seen(home, "--server", url, *CHAT) as terminal,
    ):
        await terminal.until(READY)
        yield server, url, terminal


def port_of(url: str) -> str:
    return url.rpartition(":")[2]


async def leave(terminal: SeenTerminal) -> None:
    await terminal.until(READY)
    await terminal.type(CTRL_D)
    assert await terminal.end() == 0


async def test_work_that_was_cut_off_goes_on_before_the_eyes_of_who_watches(
    home: Home,
) -> None:
    held = Answer(sse(*saying("Half a ")), end="silent", released=anyio.Event())
    async with serve(held, text("The whole."), text("More.")) as model:
        home.serve_from(model.url)
        async with talking(home) as (server, url, terminal):
            await terminal.type("Say it" + ENTER)
            await terminal.until("Half a")
            server.send(signal.SIGKILL)
            await terminal.until(GONE, "server gone")
            async with serving(home, port_of(url)):
                await terminal.until(BACK)
                await terminal.until("The whole.", READY)
                await terminal.type("And" + ENTER)
                await terminal.until("More.", READY)
                for once in (
                    "> Say it",
                    "The whole.",
                    "> And",
                    "More.",
                    GONE,
                    BACK,
                ):
                    assert terminal.all.count(once) == 1, terminal.all
                await leave(terminal)
    [asked] = [one for one in model.requests if said(one.json()) == "And"]
    assert "The whole." in json.dumps(asked.json())


def said(request: object) -> object:
    return request["messages"][-1]["content"]  # type: ignore[index]


async def test_what_is_said_to_a_server_that_is_gone_stays_on_the_line(
    home: Home,
) -> None:
    async with serve(text("First."), text("Second.")) as model:
        home.serve_from(model.url)
        async with talking(home) as (server, url, terminal):
            await terminal.type("One" + ENTER)
            await terminal.until("First.", READY)
            server.send(signal.SIGKILL)
            await terminal.until(GONE, "server gone")
            await terminal.type("Two" + ENTER)
            await terminal.until("[server.unreachable]", "> Two")
            # Neither ends it: what is on the line is what they are about.
            await terminal.type(ESC + CTRL_C)
            await terminal.until_gone("> Two")
            await terminal.type("/he")
            await terminal.until("/help")
            await terminal.type(CTRL_C)
            await terminal.type("/sessions" + ENTER)
            await terminal.until_true(
                lambda: terminal.all.count("[server.unreachable]") == 2
            )
            await terminal.type("Two")
            await terminal.until("> Two")
            async with serving(home, port_of(url)):
                await terminal.until(BACK, READY, "> Two")
                await terminal.type(ENTER)
                await terminal.until("Second.", READY)
                assert terminal.all.count("First.") == 1
                assert terminal.all.count("Second.") == 1
                await leave(terminal)
    assert len(model.requests) == 2


async def test_who_waits_for_a_server_may_leave(home: Home) -> None:
    held = Answer(sse(*saying("Half a ")), end="silent", released=anyio.Event())
    async with serve(held) as model:
        home.serve_from(model.url)
        async with talking(home) as (server, url, terminal):
            await terminal.type("Say it" + ENTER)
            await terminal.until("Half a")
            server.send(signal.SIGKILL)
            await terminal.until("server gone")
            await terminal.type(CTRL_C)
            await terminal.until("once more")
            await terminal.type(CTRL_C)
            await terminal.end()
            assert f"dovetail --server {url} chat --session" in terminal.all


async def test_what_was_asked_when_the_server_was_killed_is_answered_to_the_next(
    home: Home,
) -> None:
    touch = calling(("bash", {"command": "touch made"}))
    async with serve(touch, text("Made.")) as model:
        home.serve_from(model.url)
        async with talking(home) as (server, url, terminal):
            await terminal.type("Make" + ENTER)
            await terminal.until("allow bash: touch made", "y once")
            server.send(signal.SIGKILL)
            await terminal.until(GONE)
            # The answer reaches nobody, and is not taken for one that did.
            await terminal.type("y")
            await terminal.until("[server.unreachable]")
            assert "allowed" not in terminal.all.replace("allow bash", "")
            async with serving(home, port_of(url)):
                await terminal.until(BACK)
                await terminal.until("y once")
                await terminal.type("y")
                await terminal.until("Made.")
                await leave(terminal)
    assert (home.work / "made").exists()


class Forgetful:
    """What lies between, and loses a question or its answer, once."""

    def __init__(self, port: int, question: re.Pattern[bytes], lost: str) -> None:
        self._port = port
        self._question = question
        self._lost = lost
        self.times = 0

    async def carry(self, near: SocketStream) -> None:
        far = await anyio.connect_tcp("127.0.0.1", self._port)
        asked = anyio.Event()
        # Whoever talks here may go at any time.
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            async with near, far, anyio.create_task_group() as tasks:
                tasks.start_soon(self._forth, near, far, asked, tasks.cancel_scope)
                async for part in far:
                    if asked.is_set():
                        break
                    await near.send(part)
                tasks.cancel_scope.cancel()

    async def _forth(
        self,
        near: SocketStream,
        far: SocketStream,
        asked: anyio.Event,
        both: anyio.CancelScope,
    ) -> None:
        async for part in near:
            if self._question.match(part) and not self.times:
                self.times += 1
                if self._lost == "question":
                    break
                asked.set()
            await far.send(part)
        both.cancel()


@asynccontextmanager
async def losing(
    home: Home, question: str, lost: str
) -> AsyncIterator[tuple[Forgetful, SeenTerminal]]:
    """A conversation over a server, with something that forgets in between."""
    async with (
        serving(home) as (_, url),
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        pattern = re.compile(f"POST /api/{question} ".encode())
        between = Forgetful(int(port_of(url)), pattern, lost)
        tasks.start_soon(listener.serve, between.carry)
        port = listener.extra(SocketAttribute.local_port)
        async with seen(
            home, "--server", f"http://127.0.0.1:{port}", *CHAT
        ) as terminal:
            await terminal.until(READY)
            yield between, terminal
        tasks.cancel_scope.cancel()


async def test_what_is_said_once_more_because_no_answer_came_is_said_once(
    home: Home,
) -> None:
    async with serve(text("First."), text("Second.")) as model:
        home.serve_from(model.url)
        prompt = "session/[^/ ]+/prompt"
        async with losing(home, prompt, "answer") as (between, terminal):
            await terminal.type("One" + ENTER)
            await terminal.until("[server.unreachable]", "First.", READY)
            assert between.times == 1
            # The line is there once more, beside what was said by it.
            await terminal.until_true(lambda: terminal.all.count("> One") == 2)
            await terminal.type(ENTER)
            await terminal.until_true(lambda: terminal.all.count("> One") == 1)
            await terminal.type("Two" + ENTER)
            await terminal.until("Second.", READY)
            await leave(terminal)
    words = [one["content"] for one in model.requests[1].json()["messages"]]
    assert json.dumps(words).count("One") == 1


async def test_an_answer_that_reached_nobody_is_asked_for_again(home: Home) -> None:
    touch = calling(("bash", {"command": "touch made"}))
    async with serve(touch, text("Made.")) as model:
        home.serve_from(model.url)
        reply = "request/[^/ ]+/reply"
        async with losing(home, reply, "question") as (between, terminal):
            await terminal.type("Make" + ENTER)
            await terminal.until("y once")
            await terminal.type("y")
            await terminal.until("[server.unreachable]", "y once")
            assert between.times == 1
            assert not (home.work / "made").exists()
            await terminal.type("y")
            await terminal.until("Made.")
            await leave(terminal)
    assert (home.work / "made").exists()
