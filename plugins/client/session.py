"""One session in another process."""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar, cast
from urllib.parse import quote

import anyio
from dovetail.kernel import (
    AdmittedPrompt,
    Budget,
    ContextEpoch,
    ContinuationReport,
    Delivery,
    ExportedEvent,
    ExportedOutput,
    Generation,
    Input,
    Job,
    Json,
    Location,
    Message,
    Outcome,
    Output,
    Page,
    Prompt,
    RebuiltRequest,
    RecordedRequest,
    Reverted,
    RevertPlan,
    SessionId,
    SessionInfo,
    Span,
    Todo,
    to_json,
)

from . import wire
from .answer import Answer
from .tails import RemoteLines, RemoteTail
from .values import (
    all_of_ours,
    given,
    id_in,
    model_of,
    ours,
    page_of,
    place_of,
    prompt_of,
    session_path,
)
from .wire import Wire

T = TypeVar("T")

# A union is a type to the codec, and to no type checker.
MESSAGE = cast("type[Message]", Message)

POLL_SECONDS = 25.0
"""For which one question waits for an outcome; then it is asked again."""


class RemoteSession:
    """As ``Session``."""

    def __init__(self, id: SessionId, wire: Wire) -> None:
        self.id = id
        self._wire = wire
        self._path = session_path(id)

    def __repr__(self) -> str:
        return f"RemoteSession({self.id!r})"

    async def _ask(
        self, method: str, path: str, body: Any = None, **query: Any
    ) -> Answer:
        whole = f"{self._path}/{path}" if path else self._path
        return await self._wire.ask(method, whole, body, query=query)

    async def _tell(self, method: str, path: str, body: Any = None) -> Answer:
        return await self._wire.tell(method, f"{self._path}/{path}", body)

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
        body = given(
            prompt=prompt_of(said),
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
        return ours(admitted["data"], AdmittedPrompt)

    async def pending(self) -> Sequence[Input]:
        """As ``Session.pending``."""
        return (await self._ask("GET", "pending"))["data"].read_all(Input)

    async def withdraw(self, input_id: str) -> None:
        """As ``Session.withdraw``."""
        await self._tell("DELETE", f"pending/{quote(input_id, safe='')}")

    async def deliver(self, input_id: str, delivery: Delivery) -> None:
        """As ``Session.deliver``."""
        path = f"pending/{quote(input_id, safe='')}/delivery"
        await self._tell("POST", path, {"delivery": delivery})

    async def compact(self) -> int:
        """As ``Session.compact``."""
        told = await self._tell("POST", "compact")
        return told["dovetail-position"].read(int)

    # --- running ------------------------------------------------------------------

    async def wait(self) -> Outcome:
        """As ``Session.wait``."""
        while True:
            found = await self._ask("GET", "outcome", seconds=POLL_SECONDS)
            outcome = found["data"].read_if(Outcome)
            if outcome is not None:
                return outcome
            # Whoever answers at once is asked no quicker for it.
            await anyio.sleep(wire.FIRST_PAUSE)

    async def value(self, input_id: str) -> Any:
        """As ``Session.value``, always as JSON data."""
        path = f"input/{quote(input_id, safe='')}/value"
        return (await self._ask("GET", path))["data"].read_json()

    async def resume(self, accept: str | None = None) -> Outcome:
        """As ``Session.resume``."""
        return await (await self.begin(accept))()

    async def begin(
        self, accept: str | None = None
    ) -> Callable[[], Awaitable[Outcome]]:
        """As ``Session.begin``."""
        body = given(accept=accept)
        told = await self._ask("POST", "resume", body, seconds=0)
        found = told["data"].read_if(Outcome)

        async def outcome() -> Outcome:
            return await self.wait() if found is None else found

        return outcome

    async def continuation(self) -> ContinuationReport:
        """As ``Session.continuation``."""
        found = await self._ask("GET", "continuation")
        return found["data"]["report"].read(ContinuationReport)

    async def interrupt(self, reason: str | None = None) -> bool:
        """As ``Session.interrupt``."""
        told = await self._tell("POST", "interrupt", given(reason=reason))
        return told["dovetail-stopped"].read(bool)

    # --- jobs ---------------------------------------------------------------------

    async def jobs(self) -> Sequence[Job]:
        """As ``Session.jobs``."""
        return (await self._ask("GET", "job"))["data"].read_all(Job)

    async def detach(self, message_id: str, call_id: str) -> Job:
        """As ``Session.detach``."""
        body = {"messageID": message_id, "callID": call_id}
        return (await self._ask("POST", "detach", body))["data"].read(Job)

    async def detachable(self) -> Sequence[tuple[str, str]]:
        """As ``Session.detachable``, of the calls that run in the server."""
        found = (await self._ask("GET", "detachable"))["data"]
        return [
            (one["messageID"].read(str), one["callID"].read(str))
            for one in found.items()
        ]

    async def wait_for_job(self, job_id: str, seconds: float | None = None) -> Job:
        """As ``Session.wait_for_job``."""
        path = f"job/{quote(job_id, safe='')}/wait"
        left = seconds
        while True:
            part = POLL_SECONDS if left is None else min(left, POLL_SECONDS)
            job = (await self._ask("GET", path, seconds=part))["data"].read(Job)
            left = None if left is None else left - part
            if not job.running or (left is not None and left <= 0):
                return job
            await anyio.sleep(wire.FIRST_PAUSE)

    async def stop_job(self, job_id: str) -> Job:
        """As ``Session.stop_job``."""
        found = await self._ask("POST", f"job/{quote(job_id, safe='')}/stop")
        return found["data"].read(Job)

    async def extend_job(self, job_id: str, seconds: float) -> Job:
        """As ``Session.extend_job``."""
        path = f"job/{quote(job_id, safe='')}/extend"
        found = await self._ask("POST", path, {"seconds": seconds})
        return found["data"].read(Job)

    # --- looking ------------------------------------------------------------------

    async def info(self) -> SessionInfo:
        """As ``Session.info``."""
        return ours((await self._ask("GET", ""))["data"], SessionInfo)

    async def held_until(self) -> int | None:
        """As ``Session.held_until``."""
        return (await self._ask("GET", "lease"))["data"].read_if(int)

    def events(self, after: int | None = None, follow: bool = False) -> RemoteTail:
        """As ``Session.events``, over as many connections as it takes.

        Raises (while iterating): as there, and
            ServerLogError: some events are missing, or the log is another one.
            ServerUnreachableError: it broke off; with ``follow`` only when nobody was
                there for as long as patience lasts.
        """
        return RemoteTail(self._wire, self.id, after, follow)

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
        return RemoteLines(self._wire, f"{self._path}/export", query, kind)

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
        return page_of(await self._ask("GET", "message", **query), MESSAGE)

    async def message(self, id: str) -> Message:
        """As ``Session.message``."""
        found = await self._ask("GET", f"message/{quote(id, safe='')}")
        return ours(found["data"], MESSAGE)

    async def todos(self) -> Sequence[Todo]:
        """As ``Session.todos``."""
        return (await self._ask("GET", "todo"))["data"].read_all(Todo)

    async def output(self, message_id: str, call_id: str) -> str:
        """As ``Session.output``, fetched by page."""
        path = f"message/{quote(message_id, safe='')}/output"
        parts = []
        offset: int | None = 0
        while offset is not None:
            page = await self._ask(
                "GET", path, call=call_id, offset=offset, limit=1024 * 1024
            )
            parts.append(page["data"]["text"].read(str))
            following = page["data"].get("next")
            before, offset = offset, following.read_if(int)
            if offset is not None and not before < offset <= wire.MAX_PART:
                raise following.wrong(f"it goes on from {before} at {offset}")
        return "".join(parts)

    async def file(self, key: str) -> bytes:
        """As ``Session.file``."""
        path = f"{self._path}/file/{quote(key, safe='')}"
        return await self._wire.fetch(path, key)

    async def history(self) -> Sequence[Message]:
        """As ``Session.history``."""
        found = await self._ask("GET", "context")
        return all_of_ours(found, MESSAGE)

    async def context(self) -> Sequence[ContextEpoch]:
        """As ``Session.context``."""
        return (await self._ask("GET", "told"))["data"].read_all(ContextEpoch)

    # --- travelling ---------------------------------------------------------------

    async def requests(self) -> Sequence[RecordedRequest]:
        """As ``Session.requests``."""
        return (await self._ask("GET", "sent"))["data"].read_all(RecordedRequest)

    async def request(self, which: int | str) -> RebuiltRequest:
        """As ``Session.request``."""
        path = f"sent/{quote(str(which), safe='')}"
        found = (await self._ask("GET", path))["data"]
        return RebuiltRequest(
            found["recorded"].read(RecordedRequest),
            found["body"].read_bytes(),
            found["digest"].read(str),
            found.get("problem").read_if(str),
        )

    async def fork(
        self,
        at: int | str | None = None,
        *,
        id: str | None = None,
        title: str | None = None,
    ) -> "RemoteSession":
        """As ``Session.fork``."""
        made = await self._ask("POST", "fork", given(at=at, id=id, title=title))
        return session_in(made["data"]["id"], self._wire)

    async def lineage(self) -> Sequence[Span]:
        """As ``Session.lineage``."""
        return (await self._ask("GET", "lineage"))["data"].read_all(Span)

    async def plan_revert(self, to: str | None) -> RevertPlan:
        """As ``Session.plan_revert``."""
        plan = await self._ask("POST", "revert/plan", {"messageID": to})
        return plan["data"].read(RevertPlan)

    async def revert(self, to: str | None) -> Reverted:
        """As ``Session.revert``."""
        done = await self._ask("POST", "revert", {"messageID": to})
        return done["data"].read(Reverted)

    async def unrevert(self) -> Reverted:
        """As ``Session.unrevert``."""
        return (await self._ask("POST", "unrevert"))["data"].read(Reverted)

    async def move(self, location: "str | os.PathLike[str] | Location") -> None:
        """As ``Session.move``."""
        await self._tell("POST", "move", {"location": place_of(location)})

    # --- changing -----------------------------------------------------------------

    async def switch_model(self, model: str | None) -> None:
        """As ``Session.switch_model``."""
        await self._tell("POST", "model", {"model": model_of(model)})

    async def switch_agent(self, agent: str | None) -> None:
        """As ``Session.switch_agent``."""
        await self._tell("POST", "agent", {"agent": agent})

    async def set_generation(self, generation: Generation | None) -> None:
        """As ``Session.set_generation``."""
        shown = None if generation is None else to_json(generation)
        await self._tell("PUT", "generation", {"generation": shown})

    async def set_fallback(self, models: Sequence[str] | None) -> None:
        """As ``Session.set_fallback``."""
        named = None if models is None else list(models)
        await self._tell("PUT", "fallback", {"models": named})

    async def set_budget(self, budget: Budget | None) -> None:
        """As ``Session.set_budget``."""
        shown = None if budget is None else to_json(budget)
        await self._tell("PUT", "budget", {"budget": shown})

    async def instruct(self, instructions: str | None) -> None:
        """As ``Session.instruct``."""
        await self._tell("PUT", "instructions", {"instructions": instructions})

    async def rename(self, title: str) -> None:
        """As ``Session.rename``."""
        await self._tell("PUT", "title", {"title": title})


def session_in(id: Answer, wire: Wire) -> RemoteSession:
    """Return the session whose id a server tells."""
    return RemoteSession(id_in(id), wire)
