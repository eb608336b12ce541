"""The operations of Locations: what each offers, and its files."""

import os
import stat
import urllib.parse
from collections.abc import Iterator
from mimetypes import guess_type
from pathlib import Path
from typing import Literal

from anyio import to_thread
from attrs import field, frozen
from dovetail.kernel import (
    AgentProblem,
    LocationPlugin,
    Prompt,
    SkillProblem,
    SourceState,
    ToolDefinition,
)
from starlette.responses import Response

from . import bodies as b, offers as o, shapes as s, showing
from .operation import Call, Located, operation
from .problems import Refusal, malformed, too_large

MAX_FILE = 16 * 1024 * 1024
"""Bytes of a file that is read whole."""
MAX_ENTRIES = 5_000
"""Entries of one directory that are told."""
MAX_LOOKED = 50_000
"""Entries that one search looks at."""
MAX_FOUND = 200
OF_THE_SYSTEM = frozenset({"proc", "sys"})
"""Below the root, where a system tells of itself and its programs: of what this server
has in its environment, for one."""
# What a project has for its tools, and nobody looks for.
SKIPPED = frozenset({".git", ".hg", "node_modules", ".venv", "__pycache__"})


@operation("GET", "/api/health", "v2.health.get", answer=s.Health, meaning="same")
async def health(call: Call[None, None]) -> s.Health:
    """Answer, so that one knows that the server does."""
    from importlib.metadata import version

    return s.Health(version=version("dovetail"))


@operation(
    "GET",
    "/api/location",
    "v2.location.get",
    query=Located,
    answer=s.LocationInfo,
    refusals=(404,),
    meaning="same",
)
async def location(call: Call[Located, None]) -> s.LocationInfo:
    """Return the Location that is meant."""
    return showing.location_info(call.location())


@operation(
    "GET",
    "/api/agent",
    "v2.agent.list",
    query=Located,
    answer=s.At[tuple[o.AgentShape, ...]],
    refusals=(404,),
    meaning="same",
)
async def agents(call: Call[Located, None]) -> s.At[tuple[o.AgentShape, ...]]:
    """Return the agents of a Location, in name order."""
    place = call.location()
    found = await call.runtime.location(place).agents()
    return s.At(showing.location_info(place), tuple(map(showing.agent, found)))


@operation(
    "GET",
    "/api/model",
    "v2.model.list",
    query=Located,
    answer=s.At[tuple[o.ModelShape, ...]],
    refusals=(404,),
    meaning="same",
)
async def models(call: Call[Located, None]) -> s.At[tuple[o.ModelShape, ...]]:
    """Return the models that are known by name; others may be accepted."""
    place = call.location()
    found = await call.runtime.location(place).models()
    return s.At(showing.location_info(place), tuple(map(showing.model, found)))


@frozen
class UsedQuery(Located):
    """What a session is given."""

    model: str | None = field(
        default=None, metadata={"description": "``provider/model``."}
    )
    agent: str | None = field(default=None, metadata={"description": "Its agent."})


@operation(
    "GET",
    "/api/model/used",
    "model.used",
    query=UsedQuery,
    answer=s.Data[str],
    refusals=(404, 409, 422),
)
async def model_used(call: Call[UsedQuery, None]) -> s.Data[str]:
    """Return the name of the model that a session here uses, if it is given this model
    and this agent. Whether it can be asked is told as far as that shows without a
    network."""
    query = call.query
    here = call.runtime.location(call.location())
    return s.Data(await here.model_for(query.model, query.agent))


@operation(
    "GET",
    "/api/provider",
    "v2.provider.list",
    query=Located,
    answer=s.At[tuple[o.ProviderShape, ...]],
    refusals=(404,),
    meaning="same",
)
async def providers(call: Call[Located, None]) -> s.At[tuple[o.ProviderShape, ...]]:
    """Return who serves models here, in name order."""
    place = call.location()
    found = await call.runtime.location(place).providers()
    return s.At(showing.location_info(place), tuple(map(showing.provider, found)))


@operation(
    "GET",
    "/api/provider/{providerID}",
    "v2.provider.get",
    query=Located,
    answer=s.At[o.ProviderShape],
    refusals=(404,),
    meaning="same",
)
async def provider(call: Call[Located, None], providerID: str) -> s.At[o.ProviderShape]:
    """Return who serves models under a name."""
    place = call.location()
    for one in await call.runtime.location(place).providers():
        if one.name == providerID:
            return s.At(showing.location_info(place), showing.provider(one))
    raise Refusal(
        404,
        "model.unknown",
        f"there is no provider {providerID!r}",
        tag="ProviderNotFoundError",
        providerID=providerID,
    )


@operation(
    "GET",
    "/api/skill",
    "v2.skill.list",
    query=Located,
    answer=s.At[tuple[o.SkillShape, ...]],
    refusals=(404,),
    meaning="same",
)
async def skills(call: Call[Located, None]) -> s.At[tuple[o.SkillShape, ...]]:
    """Return the skills of a Location, in name order."""
    place = call.location()
    found = await call.runtime.location(place).skills()
    return s.At(showing.location_info(place), tuple(map(showing.skill, found)))


@operation(
    "GET",
    "/api/command",
    "v2.command.list",
    query=Located,
    answer=s.At[tuple[o.CommandShape, ...]],
    refusals=(404,),
    meaning="differs",
    differs="`template` is what is typed: `POST /api/prompt` writes it out",
)
async def commands(call: Call[Located, None]) -> s.At[tuple[o.CommandShape, ...]]:
    """Return the commands of plugins that stand for prompts, in name order, as they are
    now. This may take twenty seconds."""
    place = call.location()
    found = await call.runtime.location(place).commands()
    return s.At(showing.location_info(place), tuple(map(showing.command, found)))


@operation(
    "POST",
    "/api/prompt",
    "prompt.made",
    query=Located,
    body=b.TypedBody,
    answer=s.Data[Prompt],
    refusals=(404,),
)
async def made_prompt(call: Call[Located, b.TypedBody]) -> s.Data[Prompt]:
    """Return what a person typed as it is to be said: ``/name arguments`` of a command
    written out, and what ``@name`` means attached. Says nothing to any session, and is
    only for what a person typed: what others wrote would make it name things."""
    here = call.runtime.location(call.location())
    said = showing.prompt(call.body.prompt)
    return s.Data(await here.prompt(said, files=call.body.files))


@operation(
    "GET",
    "/api/tool",
    "tool.list",
    query=Located,
    answer=s.At[tuple[ToolDefinition, ...]],
    refusals=(404,),
)
async def tools(call: Call[Located, None]) -> s.At[tuple[ToolDefinition, ...]]:
    """Return the tools that models are offered in a Location, in name order."""
    place = call.location()
    found = await call.runtime.location(place).tools()
    return s.At(showing.location_info(place), tuple(found))


@operation(
    "GET",
    "/api/context",
    "context.sources",
    query=Located,
    answer=s.At[tuple[SourceState, ...]],
    refusals=(404,),
)
async def context_sources(call: Call[Located, None]) -> s.At[tuple[SourceState, ...]]:
    """Return the Context Sources of a Location, in key order, each as it is now."""
    place = call.location()
    found = await call.runtime.location(place).context()
    return s.At(showing.location_info(place), tuple(found))


@operation(
    "POST",
    "/api/context/ready",
    "context.ready",
    query=Located,
    answer=s.At[tuple[str, ...]],
    refusals=(404,),
)
async def context_ready(call: Call[Located, None]) -> s.At[tuple[str, ...]]:
    """Begin what a Location begins on first need, such as the servers of plugins, and
    return once it is there or was waited for long enough: a line for each thing that is
    not. This may take ninety seconds."""
    place = call.location()
    found = await call.runtime.location(place).ready()
    return s.At(showing.location_info(place), tuple(found))


@frozen
class AgentQuery(Located):
    """What a session is given."""

    agent: str | None = field(default=None, metadata={"description": "Its agent."})


@operation(
    "GET",
    "/api/agent/used",
    "agent.used",
    query=AgentQuery,
    answer=s.Data[o.AgentShape],
    refusals=(404,),
)
async def agent_used(call: Call[AgentQuery, None]) -> s.Data[o.AgentShape]:
    """Return the profile that a session here has, if it is given this agent."""
    here = call.runtime.location(call.location())
    return s.Data(showing.agent(await here.agent_for(call.query.agent)))


@operation(
    "GET",
    "/api/agent/problem",
    "agent.problems",
    query=Located,
    answer=s.At[tuple[AgentProblem, ...]],
    refusals=(404,),
)
async def agent_problems(call: Call[Located, None]) -> s.At[tuple[AgentProblem, ...]]:
    """Return the files that look like agent profiles and are not used, or not all of
    them, and why."""
    place = call.location()
    found = await call.runtime.location(place).agent_problems()
    return s.At(showing.location_info(place), tuple(found))


@operation(
    "GET",
    "/api/skill/problem",
    "skill.problems",
    query=Located,
    answer=s.At[tuple[SkillProblem, ...]],
    refusals=(404,),
)
async def skill_problems(call: Call[Located, None]) -> s.At[tuple[SkillProblem, ...]]:
    """Return what looked like a skill and is not offered, and why."""
    place = call.location()
    found = await call.runtime.location(place).skill_problems()
    return s.At(showing.location_info(place), tuple(found))


@operation(
    "POST",
    "/api/provider/{providerID}/served",
    "provider.served",
    query=Located,
    answer=s.At[tuple[o.ModelShape, ...]],
    refusals=(404, 409),
)
async def served_models(
    call: Call[Located, None], providerID: str
) -> s.At[tuple[o.ModelShape, ...]]:
    """Ask a provider over the network which models it serves now."""
    place = call.location()
    found = await call.runtime.location(place).served_models(providerID)
    return s.At(showing.location_info(place), tuple(map(showing.model, found)))


@operation(
    "POST",
    "/api/model/refresh",
    "model.refresh",
    query=Located,
    answer=s.Data[tuple[str, ...]],
    refusals=(404, 409),
)
async def refresh_models(call: Call[Located, None]) -> s.Data[tuple[str, ...]]:
    """Get newer facts about models over the network, from whoever can here, and return
    in a sentence each what came of it."""
    here = call.runtime.location(call.location())
    return s.Data(tuple(await here.refresh_models()))


@operation(
    "GET",
    "/api/plugin",
    "plugin.list",
    query=Located,
    answer=s.At[tuple[LocationPlugin, ...]],
    refusals=(404,),
)
async def plugins(call: Call[Located, None]) -> s.At[tuple[LocationPlugin, ...]]:
    """Return the plugins of a Location and their health, in the order in which they
    are called."""
    place = call.location()
    found = await call.runtime.location(place).plugins.list()
    return s.At(showing.location_info(place), tuple(found))


# --- files ------------------------------------------------------------------------


@operation(
    "GET",
    "/api/fs/read/{path:path}",
    "v2.fs.read",
    query=Located,
    answer="application/octet-stream",
    refusals=(403, 404, 413),
    meaning="same",
)
async def read_file(call: Call[Located, None], path: str) -> Response:
    """Return one file of a Location, as it is."""
    place = call.location()
    data = await to_thread.run_sync(_read, place.directory, path)
    kind = guess_type(path)[0] or "application/octet-stream"
    quoted = urllib.parse.quote(Path(path).name)
    return Response(
        data,
        media_type=kind,
        headers={
            # It is shown as what it is, and runs nowhere: it is somebody else's.
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "Content-Disposition": f"attachment; filename*=UTF-8''{quoted}",
        },
    )


class _Inside:
    """A directory of which nothing outside is reached, whatever links say."""

    def __init__(self, root: str) -> None:
        self.root = os.path.realpath(root)

    def resolved(self, path: str) -> str:
        """Return where a path leads, relative to the root.

        Raises:
            Refusal: it leads out, or is none.
        """
        if "\0" in path or len(path) > 4096:
            raise malformed("the path is none", "path")
        try:
            whole = os.path.realpath(os.path.join(self.root, path.lstrip("/")))
        except (OSError, ValueError) as error:
            raise malformed("the path is none", "path") from error
        inside = os.path.commonpath([self.root, whole]) == self.root
        if not inside:
            raise Refusal(
                403,
                "server.forbidden",
                f"{path[:200]!r} leads out of the Location",
                tag="ForbiddenError",
            )
        if Path(whole).parts[1:2] and Path(whole).parts[1] in OF_THE_SYSTEM:
            raise _no_file(path)
        return os.path.relpath(whole, self.root)

    def open(self, path: str, flags: int) -> int:
        """Open what a path leads to. No link is followed on the way: what was resolved
        may have become one since.

        Raises:
            Refusal: it leads out, or there is no such file.
        """
        steps = [one for one in Path(self.resolved(path)).parts if one != "."]
        held = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for step in steps[:-1]:
                beyond = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                deeper = os.open(step, os.O_RDONLY | beyond, dir_fd=held)
                os.close(held)
                held = deeper
            own = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            return os.open(steps[-1] if steps else ".", flags | own, dir_fd=held)
        except OSError as error:
            raise _no_file(path) from error
        finally:
            os.close(held)


def _no_file(path: str) -> Refusal:
    return Refusal(
        404,
        "file.not_found",
        f"there is no {path[:200]!r} that can be read in the Location",
        tag="NotFoundError",
    )


def _read(root: str, path: str) -> bytes:
    descriptor = _Inside(root).open(path, os.O_RDONLY)
    try:
        # A pipe or a device would not end.
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _no_file(path)
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        # Some that look like files are none: those of a system about itself, say.
        raise _no_file(path) from error
    finally:
        os.close(descriptor)
    if len(data) > MAX_FILE:
        raise too_large("the file", MAX_FILE)
    return data


@frozen
class ListQuery(Located):
    """Which directory."""

    path: str | None = field(
        default=None,
        metadata={"description": "Relative to the Location; without it, that."},
    )


@operation(
    "GET",
    "/api/fs/list",
    "v2.fs.list",
    query=ListQuery,
    answer=s.At[tuple[o.Entry, ...]],
    refusals=(403, 404),
    meaning="same",
)
async def list_files(call: Call[ListQuery, None]) -> s.At[tuple[o.Entry, ...]]:
    """Return what is in a directory of a Location, directories first, at most 5,000."""
    place = call.location()
    path = call.query.path or "."
    found = await to_thread.run_sync(_list, place.directory, path)
    return s.At(showing.location_info(place), tuple(found))


def _list(root: str, path: str) -> list[o.Entry]:
    inside = _Inside(root)
    descriptor = inside.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        found = [
            (not entry.is_dir(follow_symlinks=False), entry.name)
            for entry in os.scandir(descriptor)
        ]
    finally:
        os.close(descriptor)
    base = inside.resolved(path)
    return [
        _entry(os.path.normpath(os.path.join(base, name)), is_file)
        for is_file, name in sorted(found)[:MAX_ENTRIES]
    ]


def _entry(path: str, is_file: bool) -> o.Entry:
    kind: Literal["file", "directory"] = "file" if is_file else "directory"
    return o.Entry(path, kind)


@frozen
class FindQuery(Located):
    """What is looked for."""

    query: str = field(kw_only=True, metadata={"description": "Letters of its path."})
    type: Literal["file", "directory"] | None = field(
        default=None, metadata={"description": "Only these."}
    )
    limit: int = field(
        default=50,
        metadata={
            "minimum": 1,
            "maximum": MAX_FOUND,
            "description": "How many at the most.",
        },
    )


@operation(
    "GET",
    "/api/fs/find",
    "v2.fs.find",
    query=FindQuery,
    answer=s.At[tuple[o.Entry, ...]],
    refusals=(404,),
    meaning="same",
)
async def find_files(call: Call[FindQuery, None]) -> s.At[tuple[o.Entry, ...]]:
    """Return files and directories whose path has these letters in this order, the
    best first. No link is followed."""
    place = call.location()
    query = call.query
    found = await to_thread.run_sync(
        _find, place.directory, query.query, query.type, query.limit
    )
    return s.At(showing.location_info(place), tuple(found))


def _find(root: str, wanted: str, kind: str | None, limit: int) -> list[o.Entry]:
    ranked = []
    for path, is_file in _walk(root):
        if kind is None or (kind == "file") == is_file:
            rank = _rank(path.casefold(), wanted.casefold())
            if rank is not None:
                ranked.append((rank, path, is_file))
    ranked.sort()
    return [_entry(path, is_file) for _, path, is_file in ranked[:limit]]


def _walk(root: str) -> Iterator[tuple[str, bool]]:
    """Yield what is below a directory, the nearest first, up to a bound."""
    looked = 0
    waiting = [""]
    while waiting:
        deeper: list[str] = []
        for folder in waiting:
            try:
                entries = sorted(
                    os.scandir(os.path.join(root, folder)), key=lambda one: one.name
                )
            except OSError:
                # Gone, or not for us to look into.
                continue
            for entry in entries:
                looked += 1
                if looked > MAX_LOOKED:
                    return
                is_folder = entry.is_dir(follow_symlinks=False)
                if is_folder and entry.name in SKIPPED:
                    continue
                path = os.path.join(folder, entry.name)
                yield path, not is_folder
                if is_folder:
                    deeper.append(path)
        waiting = deeper


def _rank(path: str, wanted: str) -> tuple[int, int] | None:
    """Return how well a path fits, the least the best; None when it does not."""
    name = path.rpartition("/")[2]
    if wanted in name:
        return (0 if name.startswith(wanted) else 1, len(path))
    if wanted in path:
        return (2, len(path))
    rest = iter(path)
    return (3, len(path)) if all(letter in rest for letter in wanted) else None
