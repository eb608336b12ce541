"""Agent files: agent profiles that people keep as Markdown files with front matter.

Owns where such files are looked for, what is read of them, and what their keys mean:
the front matter says what ``[agents.NAME]`` of ``dovetail.toml`` says, in our words or
in those of Claude Code and opencode, and the body is the instructions. Knows nothing of
what becomes of it: a file is one more layer of settings of an agent.

They are looked for in the user's own folders, and from the root of the git checkout
down to the Location. A tree is other people's data: links out of the checkout, pipes,
files of other users and endless files are expected, and each file that is passed over
is told once, by name, and hurts no other one. Of a folder that the user does not vouch
for (``trusted``), a file only ever makes things stricter: see ``trust``.

Looks at the disk; call it in a thread.
"""

import os
import stat
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

from attrs import define, field

from ..contracts import AgentProblem, RuleEffect
from ..values.encoding import text_encoding
from ..values.errors import ConfigurationError, FrontMatterError
from ..values.frozen import frozen
from ..values.location import Location
from .file import user_file
from .file_settings import AgentSettings, agent_settings
from .front_matter import UnreadableKey, read_front_matter
from .table import Table

IN_LOCATION = (
    ".opencode/agent",
    ".opencode/agents",
    ".claude/agents",
    ".dovetail/agents",
)
"""Of equal names the later folder has the last word."""
IN_HOME = (".config/opencode/agent", ".config/opencode/agents", ".claude/agents")
MAX_FILE = 262_144
"""Bytes of one file."""
MAX_FILES = 500
"""Files of all folders together."""
MAX_NAME = 128

Reading = Callable[[str], RuleEffect]
"""Tells whether a resource may be read."""


@frozen
class AgentFile:
    """One file that says something about an agent."""

    name: str
    """The agent that it is about."""
    path: str
    settings: AgentSettings
    notices: tuple[str, ...] = ()
    """What it says and what was ignored, one line each."""


@frozen
class _Folder:
    path: Path
    root: Path | None
    """The directory that it came with; None for one of the user's own."""
    trusted: bool
    owners: frozenset[int] | None = None
    """Whose files in it count; None means anybody's."""


def find_agent_files(
    location: Location,
    environment: Mapping[str, str],
    home: str | None,
    trusted: Collection[str],
    reading: Reading,
) -> Sequence[AgentFile | AgentProblem]:
    """Return what is found, the files that have the last word last, and a problem for
    each file that was passed over. ``trusted`` are real directories."""
    search = _Search(location, reading)
    for folder in _folders(location, environment, home, trusted):
        search.run(folder)
    return search.found


def _folders(
    location: Location,
    environment: Mapping[str, str],
    home: str | None,
    trusted: Collection[str],
) -> Iterator[_Folder]:
    own = user_file(environment)
    if own is not None:
        # Whoever has no file of their own wants nothing of their own here.
        if home is not None:
            for name in IN_HOME:
                yield _Folder(Path(home, name), None, True)
        yield _Folder(own[0].parent / "agents", None, True)
    here = location.path
    root = location.checkout() or here
    upwards = [here, *here.parents]
    try:
        owners = location.owners()
    except OSError:
        return  # it is gone, and so are the folders in it
    for folder in upwards[: upwards.index(root) + 1][::-1]:
        vouched = str(folder) in trusted
        for name in IN_LOCATION:
            yield _Folder(
                folder / name, root, vouched, None if folder == here else owners
            )


@define
class _Search:
    location: Location
    reading: Reading
    found: list[AgentFile | AgentProblem] = field(factory=list)
    _seen: set[Path] = field(factory=set)

    def run(self, folder: _Folder) -> None:
        try:
            names = sorted(os.listdir(folder.path))
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            self._problem(folder.path, f"it cannot be listed: {error.strerror}")
            return
        for name in names:
            path = folder.path / name
            if not name.lower().endswith(".md") or path in self._seen:
                continue
            if len(self._seen) >= MAX_FILES:
                self._problem(path, f"the search ended after {MAX_FILES} files")
                return
            self._seen.add(path)
            try:
                self._read(folder, path)
            except (ConfigurationError, FrontMatterError) as error:
                told = str(error).removeprefix(f"{path}: ")
                self._problem(path, told)
            except UnicodeError:
                self._problem(path, "it is not text, or its name is none")
            except OSError as error:
                told = error.strerror or type(error).__name__
                self._problem(path, f"it cannot be read: {told}")

    def _read(self, folder: _Folder, path: Path) -> None:
        str(path).encode()
        real = path.resolve(strict=True)
        self._check(folder, path, real)
        header, body = read_front_matter(_text(real), ("description",))
        if header.get("disable") == "true":
            return
        data, ignored = _meant(header, body)
        name = _name(header, path)
        settings = agent_settings(Table.top(path, data))
        table = Table.top(path, data)
        if not folder.trusted:
            from .trust import Restraint

            kept = Restraint(table, folder.path.parent.parent)
            settings = kept.agent(name, settings)
            ignored += (one.removeprefix(f"{path}: ") for one in kept.notices)
        self.found.append(AgentFile(name, str(path), settings, tuple(ignored)))

    def _check(self, folder: _Folder, path: Path, real: Path) -> None:
        """Refuse a file that may not be read, or that nobody meant."""
        if folder.root is None:
            return
        if not real.is_relative_to(folder.root) or ".git" in real.parts:
            raise FrontMatterError("it leads outside of its checkout")
        effect = self.reading(self.location.resource(real))
        if effect == "deny":
            raise FrontMatterError("reading it is denied")
        if effect == "ask" and real != path:
            raise FrontMatterError("it leads to what may not be read unasked")
        if folder.owners is not None and real.stat().st_uid not in folder.owners:
            raise FrontMatterError("it belongs to another user")

    def _problem(self, path: Path, problem: str) -> None:
        shown = str(path).encode("utf-8", "replace").decode()
        self.found.append(AgentProblem(shown, problem))


def _text(real: Path) -> str:
    # No link is followed any more, and what became a pipe since does not block.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with open(os.open(real, flags | getattr(os, "O_CLOEXEC", 0)), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise FrontMatterError("it is not a regular file")
        data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise FrontMatterError(f"it is over {MAX_FILE} bytes")
    encoding = text_encoding(data)
    if encoding is None:
        raise FrontMatterError("it is not text, or UTF-16 without a byte order mark")
    return data.decode(encoding)


def _name(header: Mapping[str, object], path: Path) -> str:
    given = header.get("name", "")
    name = " ".join(given.split()) if isinstance(given, str) else ""
    name = name or path.stem
    if len(name) > MAX_NAME or not name.isprintable():
        raise FrontMatterError(f"its name must have 1 to {MAX_NAME} printable letters")
    return name


# --- what its keys mean -----------------------------------------------------------

_TOOLS = {"task": "subagent", "agent": "subagent", "multiedit": "edit"}
"""Claude Code's names of tools, in small letters, that are not ours."""
_STEPS = ("steps", "maxSteps", "maxTurns")
_SAMPLING = ("temperature", "top_p")


def _meant(
    header: Mapping[str, object], body: str
) -> tuple[dict[str, object], list[str]]:
    """Return the front matter as ``[agents.NAME]`` would say it, with what of it is
    ignored. Keys that are nobody's here, such as ``color``, are for other programs.

    Raises:
        FrontMatterError: a value is not of its kind.
    """
    for key, value in header.items():
        if isinstance(value, UnreadableKey):
            raise FrontMatterError(f"its {key} is not YAML: {value.problem}")
    said: dict[str, object] = {}
    ignored: list[str] = []
    if isinstance(description := header.get("description"), str):
        if description.strip():
            said["description"] = description.strip()
    elif description is not None:
        raise FrontMatterError("its description must be text")
    if body.strip():
        said["instructions"] = body.strip()
    model = header.get("model")
    if isinstance(model, str) and all(model.partition("/")):
        said["model"] = model
    elif model not in (None, "", "inherit"):
        ignored.append(f"its model {str(model)[:80]!r} is ignored: name provider/model")
    for key in (*_STEPS, "lines", "bytes"):
        if key in header:
            number = _number(header[key])
            if not isinstance(number, int):
                raise FrontMatterError(f"its {key} must be a whole number")
            said["steps" if key in _STEPS else key] = number
    offered, hidden = _tools(header.get("tools"))
    if offered is not None:
        said["tools"] = offered
    hidden += _tools(header.get("disallowedTools"))[0] or []
    hidden += _tools(header.get("without"))[0] or []
    if hidden:
        said["without"] = hidden
    rules = [*_rules(header.get("rules")), *_permission(header.get("permission"))]
    if rules:
        said["rules"] = rules
    options = header.get("options", {})
    if not isinstance(options, dict):
        raise FrontMatterError("its options must be keys and values")
    typed = {
        **{key: header[key] for key in _SAMPLING if key in header},
        **options,
    }
    if typed:
        said["options"] = {key: _typed(value) for key, value in typed.items()}
    generation = header.get("generation", {})
    if not isinstance(generation, dict):
        raise FrontMatterError("its generation must be keys and values")
    if generation:
        said["generation"] = _typed(generation)
    return said, ignored


def _tools(value: object) -> tuple[list[str] | None, list[str]]:
    """Return the tools that are offered, or None for all, and those that are not.

    A list, a text with commas, or names with ``true`` and ``false``.
    """
    if value is None or value == "":
        return None, []
    if isinstance(value, dict):
        names = {_tool(name): said for name, said in value.items()}
        if not all(said in ("true", "false") for said in names.values()):
            raise FrontMatterError("each of its tools must be true or false")
        return None, [name for name, said in names.items() if said == "false"]
    found = value.split(",") if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise FrontMatterError("its tools must be names")
    if any(one.strip() == "*" for one in found):
        return None, []
    return [_tool(one) for one in found if one.strip()], []


def _tool(name: str) -> str:
    name = name.strip()
    if "(" in name:
        raise FrontMatterError(
            f"its tool {name[:80]!r} is limited to some calls; say that with a rule, "
            "such as permission: {bash: {'git *': allow}}"
        )
    # Tools of plugins are called as they are.
    lower = name.lower()
    return _TOOLS.get(lower, lower if name.isalpha() else name)


def _rules(value: object) -> Iterator[dict[str, object]]:
    if value is None or value == "":
        return
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise FrontMatterError("its rules must be a list of action, resource, effect")
    yield from value


def _permission(value: object) -> Iterator[dict[str, object]]:
    """Yield what opencode's ``permission`` says, as rules."""
    if value is None or value == "":
        return
    if isinstance(value, str):
        value = {"*": value}
    if not isinstance(value, dict):
        raise FrontMatterError("its permission must be keys and values")
    for action, said in value.items():
        for resource, effect in (
            said.items() if isinstance(said, dict) else (("*", said),)
        ):
            yield {"action": action, "resource": resource, "effect": effect}


def _number(value: object) -> object:
    text = str(value).strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else value


def _typed(value: object) -> object:
    """Return a value with the type that it would have in JSON: front matter is read as
    text."""
    if isinstance(value, dict):
        return {key: _typed(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_typed(one) for one in value]
    if value in ("true", "false"):
        return value == "true"
    number = _number(value)
    if isinstance(number, str):
        try:
            return float(number) if number[:1] in "-0123456789." else number
        except ValueError:
            return number
    return number
