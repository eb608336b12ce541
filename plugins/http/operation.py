"""Operations: each thing that can be asked at the door, described once.

From one description come the route, the check of what is asked, the OpenAPI document
and the table in the docs. Owns how a request is read, bounded, and decoded into the
types that its operation declares; knows no operation.
"""

import re
import urllib.parse
from collections.abc import Awaitable, Callable, Sequence
from functools import cache, partial
from typing import Any, Generic, Literal, TypeVar, get_args

import anyio
import orjson
from anyio import to_thread
from attrs import NOTHING, Attribute, define, field, fields, frozen, has
from dovetail.kernel import (
    Location,
    Runtime,
    UndecodableError,
    input_decoder,
    loads_exact,
    to_json,
)
from starlette.requests import Request
from starlette.responses import Response

from .door import Door, encoded
from .problems import Refusal, malformed, too_large
from .waiting import BOUND, Bound
from .wrong import problem_in

B = TypeVar("B")
Q = TypeVar("Q")
R = TypeVar("R", bound=Callable[..., Awaitable[Any]])
S = TypeVar("S")
T = TypeVar("T")

Method = Literal["GET", "POST", "PUT", "DELETE"]
Meaning = Literal["same", "differs", "ours"]
"""Against opencode's operation of this method and path: the same, the same but for
what ``differs`` says, or none of that name there."""

MAX_BODY = 20 * 1024 * 1024
"""Bytes of a body: a prompt of 1 MiB, written in the widest way, and 8 MiB of files in
base64 fit."""
BODY_SECONDS = 30.0
"""In which a body must have come; one that trickles in holds a place."""
MAX_QUERIES = 50
"""Parts of a query."""
AT_ONCE = 50
"""Values of a listing that are shown and written in one go: about a millisecond."""
# What the published client adds to every question, whether or not it is meant.
BESIDE = frozenset({"directory", "workspace"})
LOCATION = "x-opencode-directory"


@frozen
class Operation:
    """One thing that can be asked."""

    method: Method
    """How it is asked."""
    path: str
    """Where, with the names of its parts in braces; a last one of ``{name:path}``
    takes slashes, too."""
    name: str
    """What it is called in the OpenAPI document."""
    run: "Callable[..., Awaitable[Any]]"
    """What does it. Its docstring describes the operation."""
    query: type | None
    """What may be asked for; None: nothing."""
    body: type | None
    """What must be brought as JSON; None: nothing is read."""
    answer: Any
    """The type of what is answered; None: nothing, with 204. A text is the media type
    of something that is no JSON."""
    refusals: tuple[int, ...]
    """The statuses of its own refusals, besides those that all have."""
    meaning: Meaning
    """Against opencode's of this name."""
    differs: str
    """How and why it differs."""
    long: bool = False
    """Whether its answer may be long however few parts it has."""


OPERATIONS: list[Operation] = []
"""All of them, in the order in which they are described."""


def operation(
    method: Method,
    path: str,
    name: str,
    *,
    query: type | None = None,
    body: type | None = None,
    answer: Any = None,
    refusals: Sequence[int] = (),
    meaning: Meaning = "ours",
    differs: str = "",
    long: bool = False,
) -> Callable[[R], R]:
    """Describe the decorated function as an operation."""

    def described(run: R) -> R:
        OPERATIONS.append(
            Operation(
                method,
                path,
                name,
                run,
                query,
                body,
                answer,
                tuple(refusals),
                meaning,
                differs,
                long,
            )
        )
        return run

    return described


@define
class Call(Generic[Q, B]):
    """One request, read and decoded."""

    runtime: Runtime
    """The runtime that is asked."""
    door: Door
    """What it came in by."""
    default: Location
    """The Location that is meant where none is named."""
    request: Request
    """The request as it came."""
    query: Q
    """What is asked for."""
    body: B
    """What was brought."""

    def location(self) -> Location:
        """Return the Location that the request names, or the server's own.

        Raises:
            LocationNotFoundError: there is no such directory.
        """
        directory = getattr(self.query, "directory", None)
        if directory is None and (said := self.request.headers.get(LOCATION)):
            directory = urllib.parse.unquote(said)
        found = self.default if directory is None else Location.at(directory)
        workspace = getattr(self.query, "workspace", None)
        if workspace is None:
            return found
        return Location(found.directory, workspace)

    async def while_there(self, work: Callable[[], Awaitable[T]]) -> "T | None":
        """Return what some long work comes to; None when whoever asked has gone, or the
        server closes. The work is then cancelled."""
        found: list[T] = []
        broken: list[Exception] = []
        async with anyio.create_task_group() as tasks:

            async def gone() -> None:
                while (await self.request.receive())["type"] != "http.disconnect":
                    pass
                tasks.cancel_scope.cancel()

            tasks.start_soon(gone)
            with self.door.waiting(tasks.cancel_scope):
                try:
                    found.append(await work())
                except Exception as error:
                    # Told as it is, and not as one of a group.
                    broken.append(error)
            tasks.cancel_scope.cancel()
        if broken:
            raise broken[0]
        return found[0] if found else None


@frozen
class Located:
    """Which Location is meant."""

    directory: str | None = field(
        default=None,
        metadata={
            "name": "location[directory]",
            "description": "The directory of the Location; without it, the server's.",
        },
    )
    workspace: str | None = field(
        default=None,
        metadata={
            "name": "location[workspace]",
            "description": "Tells apart several workspaces on one directory.",
        },
    )


def query_name(attribute: "Attribute[Any]") -> str:
    """Return what a field of a query is called in an address."""
    return str(attribute.metadata.get("name", attribute.name))


async def read_call(
    operation: Operation,
    runtime: Runtime,
    door: Door,
    default: Location,
    request: Request,
) -> "Call[Any, Any]":
    """Read a request.

    Raises:
        Refusal: it is too large, or cannot be read.
        UndecodableError: the body is not what the operation asks for.
    """
    query = _query(operation.query, request)
    body = None
    if operation.body is not None:
        data = await read_body(request, MAX_BODY)
        body = _body(operation.body, request, data)
    return Call(runtime, door, default, request, query, body)


async def read_body(request: Request, most: int) -> bytes:
    """Return the body of a request, bounded in size and in time.

    Raises:
        Refusal: it is too large or too slow.
    """
    said = request.headers.get("content-length", "0")
    if not said.isascii() or not said.isdigit():
        raise malformed("Content-Length is no number")
    if int(said[:20]) > most:
        raise too_large("the body", most)
    parts: list[bytes] = []
    size = 0
    bound: Bound = request.scope[BOUND]
    end: float | None = None

    def until() -> float:
        nonlocal end
        if end is None:
            end = anyio.current_time() + BODY_SECONDS
        return end

    while True:
        message = await bound.within(request.receive(), until, _too_slow)
        if message["type"] == "http.disconnect":
            raise malformed("the body breaks off")
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            raise too_large("the body", most)
        if not message.get("more_body", False):
            return b"".join((*parts, part)) if parts else part
        parts.append(part)


def _too_slow() -> Refusal:
    return Refusal(
        408, "server.too_slow", f"the body did not come in {BODY_SECONDS:g} s"
    )


# Making one takes longer than all the rest of a request. What came is read once.
_decoder = cache(partial(input_decoder, given_up=True))


def _body(kind: type, request: Request, data: bytes) -> Any:
    said = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    optional = all(one.default is not NOTHING for one in fields(kind))
    if not data and optional:
        return _decoder(kind)({})
    # A form of another page can send text, and never this without asking first.
    if said != "application/json" and not said.endswith("+json"):
        raise malformed("send application/json", "Content-Type")
    try:
        found = loads_exact(data.decode())
    except (UnicodeDecodeError, UndecodableError) as error:
        raise malformed(f"the body is not JSON in UTF-8: {error}"[:300]) from error
    try:
        return _decoder(kind)(found)
    except UndecodableError as error:
        raise UndecodableError(
            error.what, [problem_in(one, found) for one in error.problems]
        ) from error


def _query(kind: type | None, request: Request) -> Any:
    if kind is None and not request.scope["query_string"]:
        return None
    given: dict[str, str] = {}
    known = {query_name(one): one for one in fields(kind)} if kind is not None else {}
    try:
        pairs = urllib.parse.parse_qsl(
            request.scope["query_string"].decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_QUERIES,
        )
    except (UnicodeDecodeError, ValueError) as error:
        raise malformed(
            "the query is not written as UTF-8 in percent signs, or has over "
            f"{MAX_QUERIES} parts"
        ) from error
    for name, value in pairs:
        if name not in known:
            if name in BESIDE or name.startswith("location["):
                continue
            raise malformed(f"the query {name[:80]!r} is unknown here", name[:80])
        if name in given:
            raise malformed(f"the query {name!r} stands twice", name)
        given[name] = value
    if kind is None:
        return None
    made: dict[str, Any] = {}
    for name, value in given.items():
        one = known[name]
        made[one.name] = _typed(name, value, one.type)
    try:
        return _decoder(kind)(made)
    except UndecodableError as error:
        first = str(error.problems[0])
        named = re.match(r"\$\.(\w+)", first)
        name = query_name(getattr(fields(kind), named[1])) if named else None
        raise malformed(f"the query is refused: {first}", name) from error


def _typed(name: str, text: str, kind: Any) -> Any:
    """Return a value of a query as its type would have it in JSON."""
    kinds = get_args(kind) or (kind,)
    if bool in kinds:
        if text not in ("true", "false"):
            raise malformed(f"the query {name!r} is true or false", name)
        return text == "true"
    if int in kinds or float in kinds:
        if not re.fullmatch(r"-?[0-9]{1,18}(?:\.[0-9]{1,9})?", text):
            raise malformed(f"the query {name!r} is a number", name)
        if "." not in text:
            return int(text)
        if int in kinds:
            raise malformed(f"the query {name!r} is a whole number", name)
        return float(text)
    return text


# --- what is answered -------------------------------------------------------------

SHAPES = f"{__package__}."


@cache
def _shape_fields(kind: Any) -> tuple[str, ...] | None:
    """Return the fields of a shape of the door, and None for anything else."""
    if not has(kind) or not kind.__module__.startswith(SHAPES):
        return None
    return tuple([one.name for one in fields(kind)])


def _plain(value: Any) -> Any:
    """Return a value as JSON data, as far down as it is not that already. In shapes of
    the door, what is None is left out; values of the kernel are whole, as they are
    everywhere."""
    names = _shape_fields(value.__class__)
    if names is None:
        return to_json(value)
    found = {}
    for name in names:
        one = getattr(value, name)
        if one is not None:
            found[name] = one
    return found


def _all_plain(value: Any) -> Any:
    if _shape_fields(value.__class__) is not None:
        value = _plain(value)
    if isinstance(value, list | tuple):
        return [_all_plain(one) for one in value]
    if isinstance(value, dict):
        return {name: _all_plain(one) for name, one in value.items()}
    return to_json(value)


def written(value: Any) -> bytes:
    """Return what is answered as JSON; what JSON cannot hold is replaced in it."""
    try:
        return orjson.dumps(value, _plain)
    except TypeError:
        return encoded(_all_plain(value))


async def each(show: Callable[[S], T], values: Sequence[S]) -> tuple[T, ...]:
    """Return values as they are shown; many of them beside the event loop, on which
    others wait for their turn."""
    if len(values) <= AT_ONCE:
        return tuple(map(show, values))
    return await to_thread.run_sync(lambda: tuple(map(show, values)))


async def answered(operation: Operation, value: Any) -> Any:
    """Return the response with what an operation came to; what streams is one. What is
    long is written beside the event loop."""
    if operation.answer is None:
        # Nothing, but for what a header can say.
        return Response(status_code=204, headers=value)
    if isinstance(operation.answer, str):
        return value
    listed = getattr(value, "data", None)
    many = isinstance(listed, list | tuple) and len(listed) > AT_ONCE
    if many or operation.long:
        body = await to_thread.run_sync(written, value)
    else:
        body = written(value)
    return Response(body, media_type="application/json")
