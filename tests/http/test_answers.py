"""Answers that are not what they should be: each part of each answer, changed.

Real answers of a server are recorded once, for everything that the client can ask. Then
each is given again with one thing in it changed: a part that is missing, or is of
another type. Whatever that is, the client gives a value that is what its type says, or
one named error.
"""

import json
import os
import re
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator, Mapping
from copy import deepcopy
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import anyio
import attrs
import httpx
import pytest
from dovetail.builtin_tools import plugin as builtin_plugin
from dovetail.kernel import (
    Budget,
    DovetailError,
    ExportedEvent,
    Generation,
    ModelFile,
    OutputPolicy,
    Page,
    Place,
    Placed,
    Problem,
    Prompt,
    PromptArgument,
    PromptCommand,
    PromptFile,
    PromptSource,
    QuestionAnswer,
    RebuiltRequest,
    Register,
    Rule,
    Runtime,
    ServerAnswerError,
    TextDelta,
    from_json,
    hookimpl,
    to_json,
)
from dovetail.kernel.testing import ScriptedProvider, call, calls, finish, text
from dovetail.plugins.client import RemoteRuntime, connect
from dovetail.plugins.client.location import (
    RemoteLocation,
    RemotePermissions,
    RemoteQuestions,
)
from dovetail.plugins.client.requests import RemoteRequests
from dovetail.plugins.client.session import RemoteSession
from dovetail.plugins.client.sessions import RemoteSessions
from dovetail.plugins.skills import plugin as skills_plugin
from support.asgi import StreamedTransport
from support.askers import AskingTools
from support.bounds import HANG
from support.doors import served

MODEL = "scripted/model"
PICTURE = b"\x89PNG" + bytes(range(256))
PICTURE_DATA = b64encode(PICTURE).decode()
KEY = sha256(PICTURE).hexdigest()
SCHEMA = {"type": "object", "properties": {"sum": {"type": "integer"}}}

ODD: tuple[Any, ...] = (None, True, 7, -1, 0.5, "", "x", [], {}, [None], {"x": [1]})
"""What is put in the place of a part."""


# --- what can be asked ------------------------------------------------------------


async def every(items: Any) -> list[Any]:
    async with items:
        return [one async for one in items]


async def some(runtime: Any) -> Any:
    async with runtime.events() as tail:
        return [await anext(tail) for _ in range(3)]


async def exported(runtime: Any) -> Any:
    events = await every(runtime.sessions.at("ses_job").export())
    await runtime.sessions.remove("ses_job", interrupt=True)
    return events


async def live(runtime: Any) -> Any:
    async with runtime.live(session_id="ses_a") as watched:
        await runtime.sessions.at("ses_a").rename("Seen")
        return [await anext(watched)]


async def begun(runtime: Any) -> Any:
    return await (await runtime.sessions.at("ses_a").begin())()


async def written(runtime: Any) -> Any:
    found = await runtime.location().commands()
    return [found, [await one.write({"issue": "4"}) for one in found]]


async def replayed(runtime: Any) -> Any:
    line = ExportedEvent(
        session_id="ses_new",
        seq=0,
        kind="session.created",
        version=1,
        created=1,
        data={"directory": "/"},
    )
    return await runtime.sessions.replay([line])


async def placed(runtime: Any) -> Any:
    return await runtime.location().where()


async def output(runtime: Any) -> Any:
    session = runtime.sessions.at("ses_a")
    page = await session.messages(order="asc")
    return [await session.output(one.id, "c1") for one in page.items[1:2]]


async def answered(runtime: Any, id: str, handle: str) -> Any:
    here = runtime.location()
    for asked in await getattr(here, handle).pending(id):
        if handle == "questions":
            await here.questions.reply(asked.id, [QuestionAnswer(("red",))])
        else:
            await here.permissions.reply(asked.id, "always")


async def refused(runtime: Any) -> Any:
    for asked in await runtime.requests.pending(session_id="ses_dismissed"):
        await runtime.location().questions.dismiss(asked.id)
        await runtime.requests.reply(asked.id, "once")


async def revoked(runtime: Any) -> Any:
    here = runtime.location()
    found = await here.permissions.saved()
    for one in found:
        await here.permissions.revoke(one.id)
    return found


async def detached(runtime: Any) -> Any:
    session = runtime.sessions.at("ses_job")
    found = await session.detachable()
    return [await session.detach(message, call) for message, call in found]


async def job(runtime: Any, name: str, *arguments: Any) -> Any:
    session = runtime.sessions.at("ses_job")
    found = await session.jobs()
    return [await getattr(session, name)(one.id, *arguments) for one in found]


def at(session: str, name: str, /, *arguments: Any, **options: Any) -> Any:
    def ask(runtime: Any) -> Any:
        return getattr(runtime.sessions.at(session), name)(*arguments, **options)

    return ask


def here(name: str, *arguments: Any) -> Any:
    return lambda runtime: getattr(runtime.location(), name)(*arguments)


def there(name: str, *arguments: Any, **options: Any) -> Any:
    return lambda runtime: getattr(runtime.sessions, name)(*arguments, **options)


ASKS: Mapping[str, Callable[[Any], Awaitable[Any]]] = {
    "RemoteSessions.create": there("create", "ses_b", ".", MODEL),
    "RemoteSessions.get": there("get", "ses_a"),
    "RemoteSessions.find": there("find", "ses_a"),
    "RemoteSessions.spending": there("spending"),
    "RemoteSessions.list": there("list", limit=2),
    "RemoteSessions.active": there("active"),
    "RemoteSessions.verify": there("verify"),
    "RemoteSessions.verify one": there("verify", "ses_a"),
    "RemoteSessions.replay": replayed,
    "RemoteSessions.claim": there("claim", "ses_b", "elsewhere"),
    "RemoteSessions.release": there("release", "ses_b"),
    "RemoteSessions.repair": there("repair", "ses_a"),
    "RemoteSessions.rebuild": there("rebuild"),
    "RemoteSessions.clean_outputs": there(
        "clean_outputs", OutputPolicy(days=None, bytes=None)
    ),
    "RemoteSession.prompt": at("ses_b", "prompt", "Hi", key="k", resume=False),
    "RemoteSession.pending": at("ses_b", "pending"),
    "RemoteSession.deliver": at("ses_wait", "deliver", "msg_wait", "queue"),
    "RemoteSession.withdraw": at("ses_wait", "withdraw", "msg_wait"),
    "RemoteSession.withdraw refused": at("ses_wait", "withdraw", "none"),
    "RemoteSession.prompt refused": at("ses_b", "prompt", "Other", key="k"),
    "RemoteSession.wait": at("ses_a", "wait"),
    "RemoteSession.value": at("ses_a", "value", "msg_sum"),
    "RemoteSession.resume": at("ses_a", "resume"),
    "RemoteSession.begin": begun,
    "RemoteSession.continuation": at("ses_a", "continuation"),
    "RemoteSession.interrupt": at("ses_a", "interrupt"),
    "RemoteSession.detachable": at("ses_job", "detachable"),
    "RemoteSession.detach": detached,
    "RemoteSession.jobs": at("ses_job", "jobs"),
    "RemoteSession.extend_job": lambda runtime: job(runtime, "extend_job", 100),
    "RemoteSession.stop_job": lambda runtime: job(runtime, "stop_job"),
    "RemoteSession.wait_for_job": lambda runtime: job(runtime, "wait_for_job"),
    "RemoteSession.info": at("ses_a", "info"),
    "RemoteSession.held_until": at("ses_ask", "held_until"),
    "RemoteSession.events": lambda runtime: every(
        runtime.sessions.at("ses_question").events()
    ),
    "RemoteSession.export_outputs": lambda runtime: every(
        runtime.sessions.at("ses_a").export_outputs()
    ),
    "RemoteSession.export": exported,
    "RemoteSession.messages": at("ses_a", "messages"),
    "RemoteSession.message": at("ses_a", "message", "msg_sum"),
    "RemoteSession.todos": at("ses_a", "todos"),
    "RemoteSession.output": output,
    "RemoteSession.file": at("ses_a", "file", KEY),
    "RemoteSession.history": at("ses_a", "history"),
    "RemoteSession.context": at("ses_a", "context"),
    "RemoteSession.requests": at("ses_a", "requests"),
    "RemoteSession.request": at("ses_a", "request", 1),
    "RemoteSession.fork": at("ses_a", "fork", id="ses_fork"),
    "RemoteSession.lineage": at("ses_fork", "lineage"),
    "RemoteSession.plan_revert": at("ses_a", "plan_revert", "msg_sum"),
    "RemoteSession.revert": at("ses_a", "revert", "msg_sum"),
    "RemoteSession.unrevert": at("ses_a", "unrevert"),
    "RemoteSession.move": at("ses_b", "move", "."),
    "RemoteSession.switch_model": at("ses_b", "switch_model", "scripted/other"),
    "RemoteSession.switch_agent": at("ses_b", "switch_agent", "plan"),
    "RemoteSession.set_generation": at("ses_b", "set_generation", Generation()),
    "RemoteSession.set_fallback": at("ses_b", "set_fallback", [MODEL]),
    "RemoteSession.set_budget": at("ses_b", "set_budget", Budget(steps=5)),
    "RemoteSession.instruct": at("ses_b", "instruct", "Be brief"),
    "RemoteSession.rename": at("ses_b", "rename", "Title"),
    "RemoteSession.compact": at("ses_a", "compact"),
    "RemoteSessions.remove": there("remove", "ses_fork"),
    "RemoteSessions.prune": there("prune", "ses_wait", ["trace"]),
    "RemoteRuntime.events": some,
    "RemoteRuntime.live": live,
    "RemoteRequests.pending": lambda runtime: runtime.requests.pending(),
    "RemotePermissions.pending": lambda runtime: runtime.location().permissions.pending(
        "ses_ask"
    ),
    "RemotePermissions.meaning": lambda runtime: runtime.location().permissions.meaning(
        [Rule("fly", "*", "allow")]
    ),
    "RemotePermissions.reply": lambda runtime: answered(
        runtime, "ses_ask", "permissions"
    ),
    "RemotePermissions.saved revoke": revoked,
    "RemoteQuestions.pending reply": lambda runtime: answered(
        runtime, "ses_question", "questions"
    ),
    "RemoteQuestions.dismiss RemoteRequests.reply refused": refused,
    "RemoteLocation.where": placed,
    "RemoteLocation.model_for": here("model_for", MODEL),
    "RemoteLocation.model_for refused": here("model_for", "none/such"),
    "RemoteLocation.tools": here("tools"),
    "RemoteLocation.models": here("models"),
    "RemoteLocation.providers": here("providers"),
    "RemoteLocation.agents": here("agents"),
    "RemoteLocation.skills": here("skills"),
    "RemoteLocation.commands": written,
    "RemoteLocation.prompt": here("prompt", "Hi @a"),
    "RemoteLocation.agent_for": here("agent_for", "plan"),
    "RemoteLocation.agent_problems": here("agent_problems"),
    "RemoteLocation.ready": here("ready"),
    "RemoteLocation.skill_problems": here("skill_problems"),
    "RemoteLocation.context": here("context"),
    "RemoteLocation.served_models": here("served_models", "scripted"),
    "RemoteLocation.refresh_models": here("refresh_models"),
    "RemoteLocation.plugins": here("plugins"),
}
"""Everything, in the order in which it is asked of one server."""


def test_everything_that_the_client_can_ask_is_asked() -> None:
    asked = {one for name in ASKS for one in name.split() if "." in one}
    asked |= {"RemotePermissions.revoke", "RemoteQuestions.reply"}
    for kind in (
        RemoteRuntime,
        RemoteSessions,
        RemoteSession,
        RemoteRequests,
        RemoteLocation,
        RemotePermissions,
        RemoteQuestions,
    ):
        names = {one for one in vars(kind) if not one.startswith("_")}
        for name in names - QUIET:
            assert f"{kind.__name__}.{name}" in asked


QUIET = {"at", "ask", "tell", "wire", "waiting", "location", "hear_reach"}
"""What asks nothing, or is part of what does."""


# --- a server that has all of it --------------------------------------------------


class Says:
    """A plugin with a command."""

    @hookimpl
    def dovetail_register_prompts(
        self, register: Register[PromptSource], place: Place
    ) -> None:
        async def write(given: Mapping[str, str]) -> str:
            return f"Look at {given['issue']}."

        async def commands() -> list[PromptCommand]:
            return [PromptCommand("triage", write, "", (PromptArgument("issue"),))]

        register(PromptSource("tracker/prompts", commands))


async def prepared(runtime: Runtime, folder: Path) -> None:
    """Have sessions of all kinds: that ended, that wait, that run."""
    sessions = runtime.sessions
    session = await sessions.create("ses_a", folder, MODEL, title="Whole")
    file = PromptFile("a.txt", "text/plain", b64encode(b"Hi").decode())
    await session.prompt(Prompt("Look", (file,)), id="msg_first")
    with anyio.fail_after(HANG):
        await _allowed(runtime, "ses_a")
        await session.wait()
    await session.prompt("How much?", output=SCHEMA, id="msg_sum")
    with anyio.fail_after(HANG):
        await session.wait()
    waits = await sessions.create("ses_wait", folder, MODEL)
    await waits.prompt("Later", id="msg_wait", resume=False)
    for name in ("ses_ask", "ses_question", "ses_dismissed", "ses_job"):
        session = await sessions.create(name, folder, MODEL)
        await session.prompt("Go")
        with anyio.fail_after(HANG):
            await _asked(runtime, name)
    with anyio.fail_after(HANG):
        await _allowed(runtime, "ses_job")
        while not session.detachable():
            await anyio.lowlevel.checkpoint()


async def _asked(runtime: Runtime, id: str) -> Any:
    while not (found := await runtime.requests.pending(session_id=id)):
        await anyio.lowlevel.checkpoint()
    return found[0]


async def _allowed(runtime: Runtime, id: str) -> None:
    await runtime.requests.reply((await _asked(runtime, id)).id, "once")


SCRIPT = (
    calls(call("bash", {"command": "seq 30000"}, id="c1")),
    [TextDelta("0", "Here: "), ModelFile("1", "image/png", PICTURE_DATA), finish()],
    text('{"sum": 5}'),
    calls(call("paint")),
    calls(call("colour")),
    calls(call("colour")),
    calls(call("bash", {"command": "read word < go"}, id="c2")),
    *(text("Later") for _ in range(9)),
)


# --- what is recorded, and told again ---------------------------------------------

Key = tuple[str, str]


@attrs.define
class Told:
    """One answer as it was given."""

    status: int
    headers: httpx.Headers
    data: bytes

    def response(self, data: bytes | None = None) -> httpx.Response:
        content = self.data if data is None else data
        headers = {
            name: one
            for name, one in self.headers.items()
            if name not in ("content-length", "transfer-encoding")
        }
        return httpx.Response(self.status, headers=headers, content=content)


class Recording(httpx.AsyncBaseTransport):
    """Keeps every answer, streams as far as they were read."""

    def __init__(self, inner: StreamedTransport) -> None:
        self._inner = inner
        self.told: dict[Key, Told] = {}

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *raised: Any) -> None:
        await self._inner.__aexit__(*raised)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self._inner.handle_async_request(request)
        told = Told(answer.status_code, answer.headers, b"")
        self.told[key_of(request)] = told
        answer.stream = _Kept(answer.stream, told)
        return answer


class _Kept(httpx.AsyncByteStream):
    def __init__(self, stream: Any, told: Told) -> None:
        self._stream = stream
        self._told = told

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        part: bytes = await anext(self._stream)
        self._told.data += part
        return part

    async def aclose(self) -> None:
        await self._stream.aclose()


class Replaying(httpx.AsyncBaseTransport):
    """Gives recorded answers, one of them changed the first two times."""

    def __init__(self) -> None:
        self.told: dict[Key, Told] = {}
        self.changed: Key | None = None
        self.instead: Told | None = None
        self.left = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        key = key_of(request)
        if key == self.changed and self.left:
            self.left -= 1
            assert self.instead is not None
            return self.instead.response()
        if key not in self.told:
            # Something was named that the server never told of.
            return httpx.Response(404, json=NO_SUCH)
        return self.told[key].response()


NO_SUCH = {"code": "server.no_route", "message": "there is nothing"}


def key_of(request: httpx.Request) -> Key:
    # Not what it was asked for: a reader goes on from where it was.
    return request.method, request.url.path


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """Ask everything of a server, once; return the answers of each."""
    folder = tmp_path_factory.mktemp("answers")
    os.mkfifo(folder / "go")
    skill = folder / ".dovetail" / "skills" / "one"
    skill.mkdir(parents=True)
    (skill / "SKILL.md").write_text("---\nname: one\ndescription: First\n---\nDo it")
    (skill.parent / "odd").mkdir()
    (skill.parent / "odd" / "SKILL.md").write_text("---\nname: [\n---\n")
    agents = folder / ".dovetail" / "agents"
    agents.mkdir()
    (agents / "odd.md").write_text("---\nmode: [\n---\nSo")

    async def record() -> Mapping[str, Any]:
        found = {}
        model = ScriptedProvider(*SCRIPT)
        plugins = (builtin_plugin, skills_plugin, model, AskingTools(), Says())
        async with served(*plugins, location=folder) as it:
            await prepared(it.runtime, folder)
            transport = Recording(StreamedTransport(it.door))
            async with connect("http://localhost", transport=transport) as runtime:
                for name, ask in ASKS.items():
                    transport.told = {}
                    try:
                        with anyio.fail_after(HANG):
                            await ask(runtime)
                    except DovetailError:
                        assert "refused" in name or "served" in name, name
                    found[name] = transport.told
        return found

    return anyio.run(record)


# --- what is changed --------------------------------------------------------------


def nodes(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where the parts of JSON data are. Of long arrays, of the first ones."""
    yield path
    if isinstance(value, dict):
        for name, one in value.items():
            yield from nodes(one, (*path, name))
    elif isinstance(value, list):
        for place, one in enumerate(value[:2]):
            yield from nodes(one, (*path, place))


def changes(value: Any) -> Iterator[Any]:
    """Yield the same data with one part missing, or another."""
    for path in nodes(value):
        for odd in (_MISSING, *ODD):
            made = deepcopy(value)
            if not path:
                if odd is not _MISSING:
                    yield odd
                continue
            holder = made
            for step in path[:-1]:
                holder = holder[step]
            if odd is _MISSING:
                del holder[path[-1]]
            elif holder[path[-1]] == odd:
                continue
            else:
                holder[path[-1]] = odd
            yield made


_MISSING = object()


def changed(told: Told, most: int) -> Iterator[Told]:
    """Yield an answer with one part changed: of its body, of one of its lines or events
    of each kind, as far as they are read, or of what its headers say."""
    kind = told.headers.get("content-type", "")
    for name in ("dovetail-position", "dovetail-stopped"):
        if name in told.headers:
            for odd in (*map(json.dumps, ODD), "{", ""):
                headers = httpx.Headers({**told.headers, name: odd})
                yield attrs.evolve(told, headers=headers)
            yield attrs.evolve(told, headers=httpx.Headers())
    if kind.startswith("application/json"):
        for value in changes(json.loads(told.data)):
            yield attrs.evolve(told, data=json.dumps(value).encode())
    mark = b"\n\n" if kind.startswith("text/event-stream") else b"\n"
    if kind.startswith(("text/event-stream", "application/x-ndjson")):
        lines = told.data.split(mark)
        seen = set()
        for place, line in enumerate(lines[:most]):
            head, brace, data = line.partition(b"{")
            if not brace:
                continue
            value = json.loads(brace + data)
            shape = value.get("type") or value.get("kind")
            if shape in seen:
                continue
            seen.add(shape)
            for other in changes(value):
                made = [*lines]
                made[place] = head + json.dumps(other).encode()
                yield attrs.evolve(told, data=mark.join(made))


# --- what becomes of it -----------------------------------------------------------


def check(value: Any) -> None:
    """Look that a value is what its type says, all the way down."""
    if isinstance(value, RemoteSession):
        assert SESSION_ID.fullmatch(value.id)
    elif isinstance(value, PromptCommand):
        assert type(value.name) is str
        assert type(value.description) is str
        for one in value.arguments:
            check(one)
    elif isinstance(value, Page):
        assert {type(value.cursor), type(value.previous)} <= {str, type(None)}
        for one in value:
            check(one)
    elif isinstance(value, Placed):
        assert type(value.cursor) is int
        check(value.event)
    elif isinstance(value, RebuiltRequest):
        check(value.recorded)
        assert (type(value.body), type(value.digest)) == (bytes, str)
        assert type(value.problem) in (str, type(None))
    elif attrs.has(type(value)):
        shown = to_json(value)
        assert to_json(from_json(shown, type(value))) == shown
    elif isinstance(value, list | tuple):
        for one in value:
            check(one)
    else:
        json.dumps(value, default=bytes.hex)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("name", ASKS)
async def test_whatever_is_answered_is_a_value_or_one_named_error(
    name: str, recorded: Mapping[str, Mapping[Key, Told]]
) -> None:
    transport = Replaying()
    count = 0
    async with connect("http://localhost:4096", transport=transport) as runtime:
        for told in recorded.values():
            transport.told |= told
        transport.told |= recorded[name]
        refuses = any(one.status >= 400 for one in recorded[name].values())
        for key, told in recorded[name].items():
            for instead in changed(told, READ.get(name, 100)):
                count += 1
                transport.changed, transport.instead = key, instead
                transport.left = 2
                error = None
                with anyio.fail_after(HANG):
                    try:
                        check(await ASKS[name](runtime))
                    except DovetailError as raised:
                        error = raised
                if isinstance(error, ServerAnswerError):
                    assert error.origin == "http://localhost:4096"
                    assert error.origin in str(error)
                    assert all(isinstance(one, Problem) for one in error.problems)
                elif error is not None:
                    # What was refused before, or what is not there under this name.
                    assert refuses or error.code == NO_SUCH["code"], (key, instead)
    assert count or name in SAYING_NOTHING


READ = {"RemoteRuntime.events": 3, "RemoteSession.export": 2}
"""Events or lines that are read, or are as good as all others."""
SAYING_NOTHING = {
    "RemoteSession.file",  # bytes, which their key proves
    *(
        f"RemoteSession.{one}"
        for one in ("deliver", "withdraw", "move", "switch_model")
    ),
    *(f"RemoteSession.{one}" for one in ("switch_agent", "set_generation")),
    *(f"RemoteSession.{one}" for one in ("set_fallback", "set_budget", "instruct")),
    "RemoteSession.rename",
    "RemoteSessions.claim",
    "RemoteSessions.release",
}
SESSION_ID = re.compile(r"[A-Za-z0-9_.:-]{1,200}")
