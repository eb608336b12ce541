"""A runtime in another process: its sessions, Locations and requests.

Each class here stands for the one of the kernel that it is called like, with the same
methods. What differs is said at the method, and listed in ``docs/http.md``.
"""

import os
import re
from base64 import b64decode
from collections.abc import (
    AsyncIterable,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from datetime import datetime, tzinfo
from types import TracebackType
from typing import Any, Literal, Self, TypeVar
from urllib.parse import quote

import httpx
from dovetail.kernel import (
    AdmittedPrompt,
    AgentProblem,
    AgentProfile,
    Budget,
    CleanedOutputs,
    ContextEpoch,
    ContinuationReport,
    Delivery,
    Event,
    ExportedEvent,
    ExportedOutput,
    Generation,
    Input,
    Job,
    Json,
    Location,
    LocationPlugin,
    Message,
    ModelInfo,
    Outcome,
    Output,
    OutputPolicy,
    Page,
    PendingRequest,
    PermissionRequest,
    Placed,
    Prompt,
    PromptFile,
    ProviderState,
    Pruned,
    QuestionAnswer,
    QuestionRequest,
    RebuiltRequest,
    RecordedRequest,
    Repaired,
    Replayed,
    Retention,
    Reverted,
    RevertPlan,
    Rule,
    SavedApproval,
    Saving,
    SessionId,
    SessionInfo,
    SessionNotFoundError,
    Skill,
    SkillProblem,
    SourceState,
    Span,
    Spending,
    Todo,
    ToolDefinition,
    Verified,
    exported_from_line,
    from_json,
    to_json,
)

from .tails import RemoteLines, RemoteLive, RemoteTail, event_of, placed_of
from .wire import Wire

T = TypeVar("T")

POLL_SECONDS = 25.0
"""For which one question waits for an outcome; then it is asked again."""
PATIENCE = 60.0
"""Seconds for which a reader that follows waits for a server to come back."""
_ID = re.compile(r"[A-Za-z0-9_.:-]{1,200}\Z")


def connect(
    url: str,
    token: str | None = None,
    *,
    patience: float = PATIENCE,
    transport: httpx.AsyncBaseTransport | None = None,
) -> "RemoteRuntime":
    """Return a runtime that a server offers: ``async with connect(url) as runtime``.

    Arguments:
        url: the address of the server, such as ``http://127.0.0.1:4096``.
        token: what the server wants to be shown. Never a part of the address.
        patience: seconds for which ``events(follow=True)`` waits for a server that has
            gone to come back.
        transport: how it is reached, for tests and odd networks; httpx's own way.

    Nothing is asked before it is used. Errors are those that the same call raises in
    the process, and beside them ``ServerError`` and ``ServerUnreachableError``.

    Raises:
        ServerError: the address has a password in it.
    """
    return RemoteRuntime(Wire(url, token, patience, transport))


class RemoteRuntime:
    """As ``Runtime``."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.sessions = RemoteSessions(wire)
        """The sessions of the store."""
        self.requests = RemoteRequests(wire)
        """Everything that waits for a person."""

    def __repr__(self) -> str:
        return f"<RemoteRuntime at {self._wire.origin}>"

    async def __aenter__(self) -> Self:
        await self._wire.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._wire.__aexit__(kind, error, traceback)

    def location(
        self, path: "str | os.PathLike[str] | Location | None" = None
    ) -> "RemoteLocation":
        """As ``Runtime.location``; the path is one of the server's machine, and without
        one it is the server's own Location."""
        return RemoteLocation(self._wire, path)

    def live(self, *, session_id: str | None = None) -> RemoteLive:
        """As ``Runtime.live``, from when it is entered or first read."""
        return RemoteLive(self._wire, "event", {"session": session_id})

    def events(
        self, after: int | None = None, follow: bool = False
    ) -> RemoteTail[Placed]:
        """As ``Runtime.events``."""
        return RemoteTail(self._wire, "log", after, follow, placed_of)


def _ours(shown: Any, kind: Any) -> Any:
    return from_json(shown["dovetail"], kind)


def _all(shown: Any, kind: Any) -> Any:
    return tuple(from_json(one, kind) for one in shown["data"])


def _page(shown: Any, kind: Any) -> Page[Any]:
    cursor = shown["cursor"]
    items = [_ours(one, kind) for one in shown["data"]]
    return Page(items, cursor.get("next"), cursor.get("previous"))


def _zone(zone: tzinfo) -> str:
    """Return the name of a time zone, or how far it is ahead where it has none."""
    named = getattr(zone, "key", None)
    if isinstance(named, str):
        return named
    ahead = datetime(1970, 1, 1, tzinfo=zone).strftime("%z")
    return f"{ahead[:3]}:{ahead[3:5]}"


def _session_path(id: str) -> str:
    # What cannot be an id would name another path.
    if not isinstance(id, str) or not _ID.match(id) or id in (".", ".."):
        raise SessionNotFoundError(str(id))
    return f"session/{id}"


def _place(location: "str | os.PathLike[str] | Location") -> dict[str, Any]:
    if isinstance(location, Location):
        found = {"directory": location.directory, "workspaceID": location.workspace}
        return {name: one for name, one in found.items() if one is not None}
    return {"directory": os.fspath(location)}


def _model(model: str | None) -> dict[str, str] | None:
    if model is None:
        return None
    provider, _, name = model.partition("/")
    return {"providerID": provider, "id": name}


def _given(**fields: Any) -> dict[str, Any]:
    return {name: one for name, one in fields.items() if one is not None}


class RemoteSessions:
    """As ``Sessions``."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def create(
        self,
        id: str | None = None,
        location: "str | os.PathLike[str] | Location | None" = None,
        model: str | None = None,
        agent: str | None = None,
        title: str | None = None,
        budget: Budget | None = None,
        parent: str | None = None,
        instructions: str | None = None,
        generation: Generation | None = None,
        fallback: Sequence[str] | None = None,
    ) -> "RemoteSession":
        """As ``Sessions.create``. The location is one of the server's machine; without
        one it is the server's own."""
        body = _given(
            id=id,
            location=None if location is None else _place(location),
            model=_model(model),
            agent=agent,
            title=title,
            budget=None if budget is None else to_json(budget),
            parent=parent,
            instructions=instructions,
            generation=None if generation is None else to_json(generation),
            fallback=None if fallback is None else list(fallback),
        )
        made = await self._wire.ask("POST", "session", body)
        return RemoteSession(SessionId(made["data"]["id"]), self._wire)

    async def get(self, id: str) -> "RemoteSession":
        """As ``Sessions.get``."""
        await self._wire.ask("GET", _session_path(id))
        return RemoteSession(SessionId(id), self._wire)

    def at(self, id: str) -> "RemoteSession":
        """As ``Sessions.at``."""
        return RemoteSession(SessionId(id), self._wire)

    async def find(self, beginning: str) -> SessionId:
        """As ``Sessions.find``."""
        found = await self._wire.ask("GET", "find", query={"id": str(beginning)})
        return SessionId(found["data"])

    async def spending(
        self, since: int = 0, zone: tzinfo | None = None
    ) -> Sequence[Spending]:
        """As ``Sessions.spending``; without a zone, days begin where the server is."""
        query = {"since": since, "zone": None if zone is None else _zone(zone)}
        found: Sequence[Spending] = _all(
            await self._wire.ask("GET", "spending", query=query), Spending
        )
        return found

    async def list(
        self,
        location: "str | os.PathLike[str] | Location | None" = None,
        search: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
        parent: str | None = None,
        roots: bool = False,
        order: Literal["asc", "desc"] | None = None,
    ) -> Page[SessionInfo]:
        """As ``Sessions.list``; beside a cursor, which knows them, nothing but the
        limit counts."""
        query = {
            "directory": None if location is None else _place(location)["directory"],
            "search": search,
            "limit": limit,
            "cursor": cursor,
            "parent": parent,
            "roots": roots,
            "order": order,
        }
        return _page(await self._wire.ask("GET", "session", query=query), SessionInfo)

    async def active(self) -> Sequence[SessionId]:
        """As ``Sessions.active``."""
        found = await self._wire.ask("GET", "session/active")
        return [SessionId(one) for one in found["data"]]

    async def verify(self, id: str | None = None) -> Sequence[Verified]:
        """As ``Sessions.verify``."""
        if id is None:
            found: Sequence[Verified] = _all(
                await self._wire.ask("GET", "verify"), Verified
            )
            return found
        one = await self._wire.ask("GET", f"{_session_path(id)}/verify")
        return (from_json(one["data"], Verified),)

    async def replay(
        self,
        events: Iterable[ExportedEvent] | AsyncIterable[ExportedEvent],
        owner: str | None = None,
        outputs: Iterable[ExportedOutput] = (),
    ) -> Replayed | None:
        """As ``Sessions.replay``."""
        if isinstance(events, AsyncIterable):
            brought: list[Any] = [one async for one in events]
        else:
            brought = list(events)
        lines = [_line(one) for one in (*brought, *outputs)]
        done = await self._wire.ask(
            "POST", "session/import", query={"owner": owner}, content=b"".join(lines)
        )
        if done["data"] is None:
            return None
        return from_json(done["data"], Replayed)

    async def claim(self, id: str, owner: str) -> None:
        """As ``Sessions.claim``."""
        await self._wire.ask("POST", f"{_session_path(id)}/claim", {"owner": owner})

    async def release(self, id: str) -> None:
        """As ``Sessions.release``."""
        await self._wire.ask("POST", f"{_session_path(id)}/release")

    async def repair(self, id: str) -> Repaired:
        """As ``Sessions.repair``."""
        found = await self._wire.ask("POST", f"{_session_path(id)}/repair")
        return from_json(found["data"], Repaired)

    async def rebuild(self, id: str | None = None) -> int:
        """As ``Sessions.rebuild``."""
        path = "rebuild" if id is None else f"{_session_path(id)}/rebuild"
        return int((await self._wire.ask("POST", path))["data"])

    async def prune(
        self,
        id: str,
        classes: Sequence[Retention] = ("trace",),
        before: int | None = None,
        *,
        with_forks: bool = False,
    ) -> Pruned:
        """As ``Sessions.prune``."""
        body = {"classes": list(classes), "before": before, "with_forks": with_forks}
        found = await self._wire.ask("POST", f"{_session_path(id)}/prune", body)
        return from_json(found["data"], Pruned)

    async def clean_outputs(self, policy: OutputPolicy | None = None) -> CleanedOutputs:
        """As ``Sessions.clean_outputs``; without a policy, by that of the server."""
        body = _given(policy=None if policy is None else to_json(policy))
        found = await self._wire.ask("POST", "output/clean", body)
        return from_json(found["data"], CleanedOutputs)


def _line(one: ExportedEvent | ExportedOutput) -> bytes:
    import orjson

    return orjson.dumps(to_json(one)) + b"\n"


class RemoteSession:
    """As ``Session``."""

    def __init__(self, id: SessionId, wire: Wire) -> None:
        self.id = id
        self._wire = wire
        self._path = _session_path(id)

    def __repr__(self) -> str:
        return f"RemoteSession({self.id!r})"

    async def _ask(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        whole = f"{self._path}/{path}" if path else self._path
        return await self._wire.ask(method, whole, body, query=query)

    # --- saying something ---------------------------------------------------------

    async def prompt(
        self,
        prompt: str | Prompt,
        *,
        key: str | None = None,
        delivery: Delivery = "steer",
        resume: bool = True,
        budget: Budget | None = None,
        instructions: str | None = None,
        output: "Mapping[str, Json] | Output | None" = None,
        generation: Generation | None = None,
        id: str | None = None,
    ) -> AdmittedPrompt:
        """As ``Session.prompt``; the value that is wanted is told by a JSON Schema or
        an ``Output``. After ``ServerUnreachableError`` repeat it with the
        same key or id: whether it was admitted is not known."""
        said = prompt if isinstance(prompt, Prompt) else Prompt(prompt)
        wanted = Output(output) if isinstance(output, Mapping) else output
        shown: dict[str, Any] = {"text": said.text}
        if said.files:
            shown["files"] = [_attached(one) for one in said.files]
        body = _given(
            prompt=shown,
            id=id,
            key=key,
            delivery=delivery,
            resume=resume,
            budget=None if budget is None else to_json(budget),
            instructions=instructions,
            output=None if wanted is None else to_json(wanted),
            generation=None if generation is None else to_json(generation),
        )
        admitted = await self._ask("POST", "prompt", body)
        receipt: AdmittedPrompt = _ours(admitted["data"], AdmittedPrompt)
        return receipt

    async def pending(self) -> Sequence[Input]:
        """As ``Session.pending``."""
        found: Sequence[Input] = _all(await self._ask("GET", "pending"), Input)
        return found

    async def withdraw(self, input_id: str) -> None:
        """As ``Session.withdraw``."""
        await self._ask("DELETE", f"pending/{quote(input_id, safe='')}")

    async def deliver(self, input_id: str, delivery: Delivery) -> None:
        """As ``Session.deliver``."""
        path = f"pending/{quote(input_id, safe='')}/delivery"
        await self._ask("POST", path, {"delivery": delivery})

    async def compact(self) -> int:
        """As ``Session.compact``."""
        told = await self._ask("POST", "compact")
        return int(told["dovetail-position"])

    # --- running ------------------------------------------------------------------

    async def wait(self) -> Outcome:
        """As ``Session.wait``."""
        while True:
            found = await self._ask("GET", "outcome", seconds=POLL_SECONDS)
            if found["data"] is not None:
                return from_json(found["data"], Outcome)

    async def value(self, input_id: str) -> Any:
        """As ``Session.value``, always as JSON data."""
        path = f"input/{quote(input_id, safe='')}/value"
        return (await self._ask("GET", path))["data"]

    async def resume(self, accept: str | None = None) -> Outcome:
        """As ``Session.resume``."""
        return await (await self.begin(accept))()

    async def begin(
        self, accept: str | None = None
    ) -> Callable[[], Awaitable[Outcome]]:
        """As ``Session.begin``."""
        body = _given(accept=accept)
        found = await self._ask("POST", "resume", body, seconds=0)

        async def outcome() -> Outcome:
            if found["data"] is None:
                return await self.wait()
            return from_json(found["data"], Outcome)

        return outcome

    async def continuation(self) -> ContinuationReport:
        """As ``Session.continuation``."""
        found = await self._ask("GET", "continuation")
        return from_json(found["data"]["report"], ContinuationReport)

    async def interrupt(self, reason: str | None = None) -> bool:
        """As ``Session.interrupt``."""
        told = await self._ask("POST", "interrupt", _given(reason=reason))
        return bool(told["dovetail-stopped"] == "true")

    # --- jobs ---------------------------------------------------------------------

    async def jobs(self) -> Sequence[Job]:
        """As ``Session.jobs``."""
        found: Sequence[Job] = _all(await self._ask("GET", "job"), Job)
        return found

    async def detach(self, message_id: str, call_id: str) -> Job:
        """As ``Session.detach``."""
        body = {"messageID": message_id, "callID": call_id}
        return from_json((await self._ask("POST", "detach", body))["data"], Job)

    async def detachable(self) -> Sequence[tuple[str, str]]:
        """As ``Session.detachable``, of the calls that run in the server."""
        found = (await self._ask("GET", "detachable"))["data"]
        return [(one["messageID"], one["callID"]) for one in found]

    async def wait_for_job(self, job_id: str, seconds: float | None = None) -> Job:
        """As ``Session.wait_for_job``."""
        path = f"job/{quote(job_id, safe='')}/wait"
        left = seconds
        while True:
            part = POLL_SECONDS if left is None else min(left, POLL_SECONDS)
            job = from_json((await self._ask("GET", path, seconds=part))["data"], Job)
            left = None if left is None else left - part
            if not job.running or (left is not None and left <= 0):
                return job

    async def stop_job(self, job_id: str) -> Job:
        """As ``Session.stop_job``."""
        found = await self._ask("POST", f"job/{quote(job_id, safe='')}/stop")
        return from_json(found["data"], Job)

    async def extend_job(self, job_id: str, seconds: float) -> Job:
        """As ``Session.extend_job``."""
        path = f"job/{quote(job_id, safe='')}/extend"
        found = await self._ask("POST", path, {"seconds": seconds})
        return from_json(found["data"], Job)

    # --- looking ------------------------------------------------------------------

    async def info(self) -> SessionInfo:
        """As ``Session.info``."""
        found: SessionInfo = _ours((await self._ask("GET", ""))["data"], SessionInfo)
        return found

    async def held_until(self) -> int | None:
        """As ``Session.held_until``."""
        found: int | None = (await self._ask("GET", "lease"))["data"]
        return found

    def events(
        self, after: int | None = None, follow: bool = False
    ) -> RemoteTail[Event]:
        """As ``Session.events``, over as many connections as it takes."""
        path = f"{self._path}/event"
        return RemoteTail(self._wire, path, after, follow, event_of)

    def export(self, after: int | None = None) -> RemoteLines[ExportedEvent]:
        """As ``Session.export`` of what is there; it follows nothing. One that breaks
        off raises, so that half of it is not taken for all."""
        return self._exported(ExportedEvent, after=after)

    def export_outputs(
        self, after: int | None = None, upto: int | None = None
    ) -> RemoteLines[ExportedOutput]:
        """As ``Session.export_outputs``."""
        query = {"after": after, "upto": upto, "events": False, "outputs": True}
        return self._exported(ExportedOutput, **query)

    def _exported(self, kind: type[T], **query: Any) -> RemoteLines[T]:
        def read(line: bytes) -> T:
            found = exported_from_line(line)
            assert isinstance(found, kind), "the server was asked for no other"
            return found

        return RemoteLines(self._wire, f"{self._path}/export", query, read)

    async def messages(
        self,
        limit: int = 50,
        cursor: str | None = None,
        order: Literal["asc", "desc"] | None = None,
    ) -> Page[Message]:
        """As ``Session.messages``; beside a cursor, which knows it, no order counts."""
        query = {"limit": limit, "cursor": cursor}
        if cursor is None:
            query["order"] = order
        return _page(await self._ask("GET", "message", **query), Message)

    async def message(self, id: str) -> Message:
        """As ``Session.message``."""
        found = await self._ask("GET", f"message/{quote(id, safe='')}")
        message: Message = _ours(found["data"], Message)
        return message

    async def todos(self) -> Sequence[Todo]:
        """As ``Session.todos``."""
        found: Sequence[Todo] = _all(await self._ask("GET", "todo"), Todo)
        return found

    async def output(self, message_id: str, call_id: str) -> str:
        """As ``Session.output``, fetched by page."""
        path = f"message/{quote(message_id, safe='')}/output"
        parts = []
        offset: int | None = 0
        while offset is not None:
            page = await self._ask(
                "GET", path, call=call_id, offset=offset, limit=1024 * 1024
            )
            parts.append(page["data"]["text"])
            offset = page["data"].get("next")
        return "".join(parts)

    async def file(self, key: str) -> bytes:
        """As ``Session.file``."""
        found: bytes = await self._ask("GET", f"file/{quote(key, safe='')}")
        return found

    async def history(self) -> Sequence[Message]:
        """As ``Session.history``."""
        found = await self._ask("GET", "context")
        return [_ours(one, Message) for one in found["data"]]

    async def context(self) -> Sequence[ContextEpoch]:
        """As ``Session.context``."""
        told: Sequence[ContextEpoch] = _all(
            await self._ask("GET", "told"), ContextEpoch
        )
        return told

    # --- travelling ---------------------------------------------------------------

    async def requests(self) -> Sequence[RecordedRequest]:
        """As ``Session.requests``."""
        found: Sequence[RecordedRequest] = _all(
            await self._ask("GET", "sent"), RecordedRequest
        )
        return found

    async def request(self, which: int | str) -> RebuiltRequest:
        """As ``Session.request``."""
        path = f"sent/{quote(str(which), safe='')}"
        found = (await self._ask("GET", path))["data"]
        return RebuiltRequest(
            from_json(found["recorded"], RecordedRequest),
            b64decode(found["body"]),
            found["digest"],
            found.get("problem"),
        )

    async def fork(
        self,
        at: int | str | None = None,
        *,
        id: str | None = None,
        title: str | None = None,
    ) -> "RemoteSession":
        """As ``Session.fork``."""
        made = await self._ask("POST", "fork", _given(at=at, id=id, title=title))
        return RemoteSession(SessionId(made["data"]["id"]), self._wire)

    async def lineage(self) -> Sequence[Span]:
        """As ``Session.lineage``."""
        found: Sequence[Span] = _all(await self._ask("GET", "lineage"), Span)
        return found

    async def plan_revert(self, to: str) -> RevertPlan:
        """As ``Session.plan_revert``."""
        plan = await self._ask("POST", "revert/plan", {"messageID": to})
        return from_json(plan["data"], RevertPlan)

    async def revert(self, to: str) -> Reverted:
        """As ``Session.revert``."""
        done = await self._ask("POST", "revert", {"messageID": to})
        return from_json(done["data"], Reverted)

    async def unrevert(self) -> Reverted:
        """As ``Session.unrevert``."""
        return from_json((await self._ask("POST", "unrevert"))["data"], Reverted)

    async def move(self, location: "str | os.PathLike[str] | Location") -> None:
        """As ``Session.move``."""
        await self._ask("POST", "move", {"location": _place(location)})

    # --- changing -----------------------------------------------------------------

    async def switch_model(self, model: str | None) -> None:
        """As ``Session.switch_model``."""
        await self._ask("POST", "model", {"model": _model(model)})

    async def switch_agent(self, agent: str | None) -> None:
        """As ``Session.switch_agent``."""
        await self._ask("POST", "agent", {"agent": agent})

    async def set_generation(self, generation: Generation | None) -> None:
        """As ``Session.set_generation``."""
        shown = None if generation is None else to_json(generation)
        await self._ask("PUT", "generation", {"generation": shown})

    async def set_fallback(self, models: Sequence[str] | None) -> None:
        """As ``Session.set_fallback``."""
        named = None if models is None else list(models)
        await self._ask("PUT", "fallback", {"models": named})

    async def set_budget(self, budget: Budget | None) -> None:
        """As ``Session.set_budget``."""
        shown = None if budget is None else to_json(budget)
        await self._ask("PUT", "budget", {"budget": shown})

    async def instruct(self, instructions: str | None) -> None:
        """As ``Session.instruct``."""
        await self._ask("PUT", "instructions", {"instructions": instructions})

    async def rename(self, title: str) -> None:
        """As ``Session.rename``."""
        await self._ask("PUT", "title", {"title": title})


def _attached(file: PromptFile) -> dict[str, str]:
    return {"uri": f"data:{file.mime};base64,{file.data}", "name": file.name}


class RemoteRequests:
    """As ``RequestsHandle``."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def pending(
        self,
        *,
        session_id: str | None = None,
        location: str | None = None,
        what: str | None = None,
    ) -> Sequence[PendingRequest]:
        """As ``RequestsHandle.pending``."""
        query = {"session": session_id, "directory": location, "what": what}
        found: Sequence[PendingRequest] = _all(
            await self._wire.ask("GET", "request", query=query), PendingRequest
        )
        return found

    async def reply(
        self,
        request_id: str,
        answer: str | Mapping[str, Json],
        message: str | None = None,
        *,
        session_id: str | None = None,
        by: Literal["person", "policy"] = "person",
        shown: str | None = None,
    ) -> None:
        """As ``RequestsHandle.reply``."""
        said = answer if isinstance(answer, str) else dict(answer)
        body = _given(message=message, session_id=session_id, by=by, shown=shown)
        path = f"request/{quote(request_id, safe='')}/reply"
        await self._wire.ask("POST", path, {"answer": said, **body})


class RemoteLocation:
    """As ``LocationHandle``."""

    def __init__(
        self, wire: Wire, path: "str | os.PathLike[str] | Location | None"
    ) -> None:
        self._wire = wire
        place = {} if path is None else _place(path)
        self._query = {
            "location[directory]": place.get("directory"),
            "location[workspace]": place.get("workspaceID"),
        }
        self.permissions = RemotePermissions(self)
        """Permission requests that wait for an answer, and saved approvals."""
        self.questions = RemoteQuestions(self)
        """Questions that wait for an answer."""

    @property
    def wire(self) -> Wire:
        """Where it is asked."""
        return self._wire

    async def ask(self, path: str, method: str = "GET", body: Any = None) -> Any:
        return await self._wire.ask(method, path, body, query=self._query)

    async def waiting(
        self, what: str, kind: type[T], session_id: str | None
    ) -> Sequence[T]:
        """Return requests that wait here; those of a session are its own and those of
        the sessions that work for it."""
        found = await self.ask(f"{what}/request")
        waiting: Sequence[Any] = [_ours(one, kind) for one in found["data"]]
        if session_id is None:
            return waiting
        requests = RemoteRequests(self._wire)
        of = await requests.pending(session_id=session_id, what=what)
        ids = {(one.session_id, one.id) for one in of}
        return [one for one in waiting if (one.session_id, one.id) in ids]

    async def where(self) -> Location:
        """Return the Location that is meant, on the server's machine.

        Raises:
            LocationNotFoundError: there is no such directory.
        """
        found = await self.ask("location")
        return Location(found["directory"], found.get("workspaceID"))

    async def model_for(
        self, model: str | None = None, agent: str | None = None
    ) -> str:
        """As ``LocationHandle.model_for``."""
        query = {**self._query, "model": model, "agent": agent}
        found = await self._wire.ask("GET", "model/used", query=query)
        return str(found["data"])

    async def tools(self) -> Sequence[ToolDefinition]:
        """As ``LocationHandle.tools``."""
        found: Sequence[ToolDefinition] = _all(await self.ask("tool"), ToolDefinition)
        return found

    async def models(self) -> Sequence[ModelInfo]:
        """As ``LocationHandle.models``."""
        return await self._of("model", ModelInfo)

    async def providers(self) -> Sequence[ProviderState]:
        """As ``LocationHandle.providers``."""
        return await self._of("provider", ProviderState)

    async def agents(self) -> Sequence[AgentProfile]:
        """As ``LocationHandle.agents``."""
        return await self._of("agent", AgentProfile)

    async def skills(self) -> Sequence[Skill]:
        """As ``LocationHandle.skills``."""
        return await self._of("skill", Skill)

    async def agent_for(self, agent: str | None = None) -> AgentProfile:
        """As ``LocationHandle.agent_for``."""
        query = {**self._query, "agent": agent}
        found = await self._wire.ask("GET", "agent/used", query=query)
        profile: AgentProfile = _ours(found["data"], AgentProfile)
        return profile

    async def agent_problems(self) -> Sequence[AgentProblem]:
        """As ``LocationHandle.agent_problems``."""
        found: Sequence[AgentProblem] = _all(
            await self.ask("agent/problem"), AgentProblem
        )
        return found

    async def skill_problems(self) -> Sequence[SkillProblem]:
        """As ``LocationHandle.skill_problems``."""
        found: Sequence[SkillProblem] = _all(
            await self.ask("skill/problem"), SkillProblem
        )
        return found

    async def context(self) -> Sequence[SourceState]:
        """As ``LocationHandle.context``."""
        found: Sequence[SourceState] = _all(await self.ask("context"), SourceState)
        return found

    async def served_models(self, provider: str) -> Sequence[ModelInfo]:
        """As ``LocationHandle.served_models``: it is the server that asks."""
        path = f"provider/{quote(provider, safe='')}/served"
        found = await self.ask(path, "POST")
        return [_ours(one, ModelInfo) for one in found["data"]]

    async def refresh_models(self) -> Sequence[str]:
        """As ``LocationHandle.refresh_models``: it is the server that asks."""
        found: Sequence[str] = tuple((await self.ask("model/refresh", "POST"))["data"])
        return found

    async def plugins(self) -> Sequence[LocationPlugin]:
        """The plugins of the Location, as ``PluginsHandle.list`` has them."""
        found: Sequence[LocationPlugin] = _all(await self.ask("plugin"), LocationPlugin)
        return found

    async def _of(self, path: str, kind: type[T]) -> Sequence[T]:
        found = await self.ask(path)
        return [_ours(one, kind) for one in found["data"]]


class RemotePermissions:
    """As ``PermissionsHandle``."""

    def __init__(self, location: RemoteLocation) -> None:
        self._location = location

    async def pending(
        self, session_id: str | None = None
    ) -> Sequence[PermissionRequest]:
        """As ``PermissionsHandle.pending``."""
        return await self._location.waiting("permission", PermissionRequest, session_id)

    async def meaning(
        self, rules: Sequence[Rule]
    ) -> tuple[Sequence[Rule], Sequence[str]]:
        """As ``PermissionsHandle.meaning``."""
        body = {"rules": [to_json(one) for one in rules]}
        found = await self._location.ask("permission/meaning", "POST", body)
        meant = tuple(from_json(one, Rule) for one in found["data"]["rules"])
        return meant, tuple(found["data"]["odd"])

    async def reply(
        self,
        request_id: str,
        reply: Literal["once", "always", "reject"],
        message: str | None = None,
        *,
        by: Literal["person", "policy"] = "person",
        saving: Saving | None = None,
        session_id: str | None = None,
        shown: str | None = None,
    ) -> None:
        """As ``PermissionsHandle.reply``, wherever it was asked."""
        kept = _given(saving=None if saving is None else to_json(saving))
        body = _given(message=message, session_id=session_id, by=by, shown=shown)
        path = f"request/{quote(request_id, safe='')}/reply"
        await self._location.wire.ask("POST", path, {"answer": reply, **body, **kept})

    async def saved(self) -> Sequence[SavedApproval]:
        """As ``PermissionsHandle.saved``."""
        found = await self._location.ask("permission/saved")
        return [_ours(one, SavedApproval) for one in found["data"]]

    async def revoke(self, approval_id: str) -> None:
        """As ``PermissionsHandle.revoke``."""
        path = f"permission/saved/{quote(approval_id, safe='')}"
        await self._location.ask(path, "DELETE")


class RemoteQuestions:
    """As ``QuestionsHandle``."""

    def __init__(self, location: RemoteLocation) -> None:
        self._location = location

    async def pending(self, session_id: str | None = None) -> Sequence[QuestionRequest]:
        """As ``QuestionsHandle.pending``."""
        return await self._location.waiting("question", QuestionRequest, session_id)

    async def reply(
        self,
        request_id: str,
        answers: Sequence[QuestionAnswer],
        *,
        session_id: str | None = None,
        shown: str | None = None,
    ) -> None:
        """As ``QuestionsHandle.reply``."""
        said = {"answers": [to_json(one) for one in answers]}
        await RemoteRequests(self._location.wire).reply(
            request_id, said, session_id=session_id, shown=shown
        )

    async def dismiss(
        self,
        request_id: str,
        message: str | None = None,
        *,
        session_id: str | None = None,
        shown: str | None = None,
    ) -> None:
        """As ``QuestionsHandle.dismiss``."""
        said = {"answers": None, "message": message}
        await RemoteRequests(self._location.wire).reply(
            request_id, said, session_id=session_id, shown=shown
        )
