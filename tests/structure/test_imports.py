"""Imports run one way: between modules, between rooms and between folders.

The graph is drawn from every import, also under ``TYPE_CHECKING`` and inside
functions. The one exception is the table of contents, ``kernel/contents``, which is the
top of the kernel by itself.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path

import pytest
from attrs import frozen

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("kernel", "storage", "builtin_tools", "plugins")

LEVELS: tuple[tuple[str, ...], ...] = (
    # How a package lists its public names; it knows none of them.
    ("lazy",),
    ("values",),
    ("ports", "contracts"),
    ("hookspecs",),
    # Registrations and scopes: what every room hands its contributions to.
    ("scope",),
    ("lifecycle", "log"),
    ("upkeep", "requests", "configuration", "tape"),
    ("access", "context", "models", "tools", "skills", "jobs"),
    ("plugins",),
    ("location",),
    ("history",),
    ("compaction",),
    ("execution",),
    ("sessions",),
    ("runtime",),
)
"""The rooms of the kernel, from the ground up. A room may import from below only."""

SERVICES = LEVELS[7]

ROOMS: dict[str, set[str]] = {
    here: {room for below in LEVELS[:level] for room in below}
    for level, rooms in enumerate(LEVELS)
    for here in rooms
}
"""What each room of the kernel may import, besides itself."""
# Contracts and scopes are for everybody; a service knows neither hooks nor upkeep.
for service in SERVICES:
    ROOMS[service] -= {"hookspecs", "upkeep", "configuration", "tape"}
ROOMS["scope"] = {"values"}
ROOMS["testing"] = set(ROOMS)
ROOMS["top"] = set(ROOMS) - {"testing"}

SCOPE = {
    "dovetail.kernel.lifecycle",
    "dovetail.kernel.lifecycle.scope",
    "dovetail.kernel.lifecycle.registrations",
    # What a stranger's code runs in.
    "dovetail.kernel.lifecycle.guests",
    # Which process one is in, which is not of the kernel at all.
    "dovetail.kernel.lifecycle.process",
}

COMMON_LIBRARIES = {"anyio", "attrs", "cattrs", "orjson", "platformdirs", "pluggy"}
"""Those of a room of which nothing is said."""
KERNEL_LIBRARIES = {
    "values": {"attr", "attrs", "cattrs", "orjson"},
    "ports": {"attrs"},
    "contracts": {"attrs"},
    "hookspecs": {"pluggy"},
    # What a person writes is YAML in Markdown, too.
    "configuration": {
        *("anyio", "attrs", "cattrs", "filelock", "orjson", "platformdirs", "yaml"),
    },
    "plugins": {"anyio", "attr", "attrs", "cattrs", "packaging", "pluggy"},
    "access": {"anyio", "attrs", "tree_sitter", "tree_sitter_bash"},
    # Pictures are brought within what providers take, where that extra is installed.
    "tools": COMMON_LIBRARIES | {"PIL"},
    # What records the traffic of HTTP clients knows one.
    "tape": {"anyio", "attrs", "httpx", "orjson"},
    "testing": {"anyio", "attrs", "pytest", "hypothesis"},
}


@frozen
class Import:
    """One imported module or name, as absolute as the source allows."""

    line: int
    target: str
    """``package.module`` of the statement."""
    name: str | None
    """The imported name, or None for ``import package.module``."""
    relative: bool


def imports_of(module: str, source: str, *, package: bool = False) -> list[Import]:
    """Return every import of a module, wherever in it."""
    found: list[Import] = []
    own = module if package else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [Import(node.lineno, a.name, None, False) for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            target = node.module or ""
            if node.level:
                parts = own.split(".")
                base = parts[: len(parts) - node.level + 1]
                target = ".".join([*base, *filter(None, [target])])
            found += [
                Import(node.lineno, target, a.name, bool(node.level))
                for a in node.names
            ]
    return found


class Tree:
    """The modules of the four folders and the edges between them."""

    def __init__(
        self, sources: Mapping[str, str], packages: Sequence[str] = ()
    ) -> None:
        self.packages = set(packages)
        self.imports = {
            module: imports_of(module, source, package=module in self.packages)
            for module, source in sources.items()
        }
        self.edges = {
            module: {
                target
                for one in found
                if (target := self.resolve(one)) in self.imports and target != module
            }
            for module, found in self.imports.items()
        }

    def resolve(self, one: Import) -> str:
        """Return the module that an import leads to."""
        if one.name is not None and f"{one.target}.{one.name}" in self.imports:
            return f"{one.target}.{one.name}"
        return one.target

    def all(self) -> Iterator[tuple[str, Import, str]]:
        for module, found in sorted(self.imports.items()):
            for one in found:
                yield module, one, self.resolve(one)


def room(module: str) -> str | None:
    """Return the room of the kernel that a module is in."""
    parts = module.split(".")
    if parts[:2] != ["dovetail", "kernel"]:
        return None
    if module in SCOPE:
        return "scope"
    return parts[2] if len(parts) > 2 and parts[2] != "contents" else "top"


def _provider_plugins() -> frozenset[str]:
    """Return the modules of providers that are plugins: those with an entry point."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    targets = project["project"]["entry-points"]["dovetail"].values()
    named = [re.match(r"dovetail\.plugins\.providers\.(\w+):", one) for one in targets]
    return frozenset(one[1] for one in named if one)


PROVIDERS = _provider_plugins()


def unit(module: str) -> str | None:
    """Return the plugin that a module belongs to; None for what plugins share."""
    parts = module.split(".")
    if parts[:2] != ["dovetail", "plugins"] or len(parts) < 3:
        return None
    if parts[2] != "providers":
        return parts[2]
    own = parts[3] if len(parts) > 3 else ""
    return f"providers.{own}" if own in PROVIDERS else "providers"


def wrong_directions(tree: Tree) -> list[str]:
    """Return each import between rooms of the kernel that runs the wrong way."""
    found = []
    for module, one, target in tree.all():
        here, there = room(module), room(target)
        if here is None or there is None or here == there:
            continue
        if there not in ROOMS.get(here, set()):
            found.append(f"{module}:{one.line} ({here}) imports {target} ({there})")
    return found


def cycles(tree: Tree) -> list[list[str]]:
    """Return the groups of modules that import each other in a circle."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for target in sorted(tree.edges[module]):
            if target not in index:
                visit(target)
                low[module] = min(low[module], low[target])
            elif target in stack:
                low[module] = min(low[module], index[target])
        if low[module] == index[module]:
            group = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(group) > 1:
                found.append(sorted(group))

    for module in sorted(tree.edges):
        if module not in index:
            visit(module)
    return found


def folder_crossings(tree: Tree, public: set[str]) -> list[str]:
    """Return each import between folders or plugins that is not allowed."""
    found = []
    for module, one, target in tree.all():
        where = f"{module}:{one.line}"
        if not target.startswith("dovetail."):
            continue
        here, there = module.split(".")[1], target.split(".")[1]
        if here != there and one.relative:
            found.append(f"{where} leaves its folder by a relative import")
        elif here == there and not one.relative and module != ELSEWHERE:
            found.append(f"{where} imports {target} of its own folder absolutely")
        elif here == there == "plugins":
            a, b = unit(module), unit(target)
            if a != b and b is not None and (a, b) not in SHARED:
                found.append(f"{where}: plugin {a} imports plugin {b}")
        elif here == "kernel" and there != "kernel":
            found.append(f"{where}: the kernel imports {target}")
        elif here != there and there != "kernel":
            found.append(f"{where}: {here} imports {there}")
        elif here != there:
            found += _into_the_kernel(module, one, public)
    return found


STORES: dict[str, set[str]] = {
    "sql": set(),
    # Which URLs are whose.
    "plugin": {"sqlite"},
}
"""Rooms beside the stores, and what each may import of the others; a store has a room
of its own, and knows what any SQL store shares."""

DRIVERS = {"sqlite3": "sqlite"}
"""Libraries of one database, and the room that knows it."""


def mixed_stores(tree: Tree) -> list[str]:
    """Return each import between rooms of the stores that runs the wrong way, and each
    of a driver where any database is meant."""
    found = []
    for module, one, target in tree.all():
        if not module.startswith("dovetail.storage."):
            continue
        here, parts = module.split(".")[2], target.split(".")
        there = parts[2] if parts[:2] == ["dovetail", "storage"] else None
        knows = {here, *STORES.get(here, {"sql"}), None}
        if there not in knows or DRIVERS.get(parts[0], here) != here:
            found.append(f"{module}:{one.line} ({here}) imports {target}")
    return found


APART = {
    "dovetail.kernel.log.projectors": {"target"},
}
"""Packages of subjects that know nothing of each other, and what they share."""


def mixed_subjects(tree: Tree) -> list[str]:
    """Return each import from one subject to another that lives apart from it."""
    found = []
    for module, one, target in tree.all():
        package, _, here = module.rpartition(".")
        above, _, there = target.rpartition(".")
        if package == above in APART and there not in APART[package]:
            found.append(f"{module}:{one.line}: {here} imports {there}")
    return found


ELSEWHERE = "dovetail.kernel.testing.pytest_plugin"
"""Installed as ``dovetail_pytest``, from where nothing here is relative."""

SHARED = {(f"providers.{one}", "providers") for one in PROVIDERS} | {
    ("console", "client"),
    ("cli", "console"),
    ("chat", "console"),
    ("cli", "chat"),
    ("acp", "mcp"),
    ("mcp", "http"),
}
"""What the providers have in common lies beside them, and what everything at a terminal
has in common lies beside the commands and the conversation; both work over a server by
its client; a conversation is what `dovetail` alone begins; the servers that an editor
hands over are any servers; and over HTTP there is one kind of door, whatever is behind
it."""


def plugins_in_a_circle(shared: Set[tuple[str, str]]) -> list[str]:
    """Return the plugins that would import each other, however far around."""
    knows = {one: {there for here, there in shared if here == one} for one, _ in shared}
    for between in knows:
        for one in knows:
            if between in knows[one]:
                knows[one] |= knows[between]
    return sorted(one for one in knows if one in knows[one])


def _into_the_kernel(module: str, one: Import, public: set[str]) -> list[str]:
    where = f"{module}:{one.line}"
    if one.target.startswith("dovetail.kernel.testing"):
        return [f"{where} imports the testing kit"]
    if module.startswith("dovetail.storage") and one.target.startswith(
        ("dovetail.kernel.ports", "dovetail.kernel.values")
    ):
        return []
    # The store comes through the same door as a stranger's: its plugin may use
    # what a stranger may use.
    if module.startswith("dovetail.storage") and not module.endswith(".plugin"):
        return [f"{where} imports {one.target}: a store knows ports and values only"]
    if one.target == "dovetail.kernel" and (one.name is None or one.name in public):
        return []
    return [f"{where} imports {one.target}.{one.name}, which is not public"]


ON_ITS_OWN_LOOP = {("dovetail.kernel.lifecycle.detached", "trio")}
"""Imported only while trio's event loop runs: anyio starts no task that nobody owns."""


def foreign_libraries(tree: Tree) -> list[str]:
    """Return each library that is imported where it does not belong."""
    found = []
    for module, one, target in tree.all():
        top = target.split(".")[0]
        if top == "dovetail" or top in sys.stdlib_module_names:
            continue
        where = f"{module}:{one.line} imports {top}"
        here = room(module)
        if here is not None:
            known = KERNEL_LIBRARIES.get(here, COMMON_LIBRARIES)
            if top not in known and (module, top) not in ON_ITS_OWN_LOOP:
                found.append(where)
        elif top in ("peewee", "playhouse") and ".storage." not in f"{module}.":
            found.append(where)
        elif top in FOLDERS:
            found.append(f"{where}: say dovetail.{top}")
    return found


def missing_modules(tree: Tree) -> list[str]:
    """Return each import of a module of ours that does not exist."""
    return [
        f"{module}:{one.line} imports {target}, which does not exist"
        for module, one, target in tree.all()
        if target.startswith("dovetail.") and target not in tree.imports
    ]


# --- this tree --------------------------------------------------------------------


def module_name(path: Path) -> str:
    parts = ["dovetail", *path.relative_to(ROOT).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.fixture(scope="module")
def tree() -> Tree:
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    assert len(paths) > 20
    return Tree(
        {module_name(path): path.read_text(encoding="utf-8") for path in paths},
        [module_name(path) for path in paths if path.name == "__init__.py"],
    )


@pytest.fixture(scope="module")
def public() -> set[str]:
    import dovetail.kernel

    return set(dovetail.kernel.__all__)


def test_rooms_of_the_kernel_import_one_way(tree: Tree) -> None:
    assert wrong_directions(tree) == []


def rooms_on_the_map() -> dict[str, int]:
    """Return the rooms of the kernel that the README lists, each with its row."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = text.partition("| room | what lives there |\n")[2].partition("\n\n")[0]
    return {
        name.removesuffix(".py"): number
        for number, row in enumerate(rows.splitlines()[1:])
        for name in re.findall(r"`([a-z_.]+)/?`", row.split("|")[1])
    }


def test_the_map_shows_every_room_above_those_that_know_it(tree: Tree) -> None:
    shown = rooms_on_the_map()
    rooms = {room for level in LEVELS for room in level}
    assert shown.keys() == rooms - {"lazy", "scope", "runtime"}
    wrong = [
        f"{module}:{one.line} imports {target}"
        for module, one, target in tree.all()
        if (here := room(module)) in shown and (there := room(target)) in shown
        if shown[here] < shown[there]  # type: ignore[index]
    ]
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle(tree: Tree) -> None:
    assert cycles(tree) == []


@pytest.mark.law("plugins.7")
def test_folders_and_plugins_keep_apart(tree: Tree, public: set[str]) -> None:
    assert folder_crossings(tree, public) == []


def test_no_plugins_import_each_other_in_a_circle() -> None:
    assert plugins_in_a_circle(SHARED) == []
    around = {("a", "b"), ("b", "c"), ("c", "a"), ("d", "a")}
    assert plugins_in_a_circle(around) == ["a", "b", "c"]


def test_stores_share_what_knows_none_of_them(tree: Tree) -> None:
    assert mixed_stores(tree) == []


def test_a_subject_is_read_without_the_others(tree: Tree) -> None:
    assert mixed_subjects(tree) == []


def test_libraries_stay_where_they_belong(tree: Tree) -> None:
    assert foreign_libraries(tree) == []


def test_every_imported_module_exists(tree: Tree) -> None:
    assert missing_modules(tree) == []


def test_every_room_of_the_kernel_is_in_the_table(tree: Tree) -> None:
    assert {room(module) for module in tree.imports} - {None} <= set(ROOMS)


def test_no_file_imports_a_folder_by_its_bare_name() -> None:
    """Bare, a folder would be loaded a second time under another name."""
    folders = (*FOLDERS, "tests", "examples")
    # Only what could do that is read as Python: few of a thousand files.
    likely = re.compile(rf"\b(?:from|import)\b.*(?<![.\w])(?:{'|'.join(FOLDERS)})\b")
    found = [
        f"{path.relative_to(ROOT)}:{one.line}"
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        if likely.search(text := path.read_text(encoding="utf-8"))
        for one in imports_of("x", text)
        if not one.relative and one.target.split(".")[0] in FOLDERS
    ]
    assert found == []


# --- the checks can fail ----------------------------------------------------------

KERNEL = "dovetail.kernel"
WRONG = {
    "a lower room imports a higher one": (
        wrong_directions,
        {f"{KERNEL}.values.a": "from ..sessions import b", f"{KERNEL}.sessions.b": ""},
    ),
    "only for types": (
        wrong_directions,
        {
            f"{KERNEL}.tools.a": "if TYPE_CHECKING:\n    from ..upkeep.b import c",
            f"{KERNEL}.upkeep.b": "",
        },
    ),
    "inside a function": (
        wrong_directions,
        {
            f"{KERNEL}.log.a": "def f():\n    from ..lifecycle.b import c",
            f"{KERNEL}.lifecycle.b": "",
        },
    ),
    "the table of contents from below": (
        wrong_directions,
        {f"{KERNEL}.tools.a": "from .. import Tool", KERNEL: ""},
    ),
    "the testing kit from above": (
        wrong_directions,
        {f"{KERNEL}.runtime": "from .testing.a import b", f"{KERNEL}.testing.a": ""},
    ),
    "what stores share imports one of them": (
        mixed_stores,
        {
            "dovetail.storage.sql.a": "from ..sqlite.b import c",
            "dovetail.storage.sqlite.b": "",
        },
    ),
    "what stores share imports a driver": (
        mixed_stores,
        {"dovetail.storage.sql.a": "def f():\n    import sqlite3"},
    ),
    "a subject imports another": (
        mixed_subjects,
        {
            f"{KERNEL}.log.projectors.a": "from .target import T\nfrom .b import c",
            f"{KERNEL}.log.projectors.b": "",
            f"{KERNEL}.log.projectors.target": "",
        },
    ),
    "a circle of two": (
        cycles,
        {
            f"{KERNEL}.tools.a": "from . import b",
            f"{KERNEL}.tools.b": "from .a import x",
        },
    ),
    "a circle through a function": (
        cycles,
        {
            "dovetail.plugins.p.a": "from .b import x",
            "dovetail.plugins.p.b": "from .c import x",
            "dovetail.plugins.p.c": "def f():\n    from . import a",
        },
    ),
    "a library of the store in the kernel": (
        foreign_libraries,
        {f"{KERNEL}.log.commit": "def f():\n    import peewee"},
    ),
    "an HTTP client in the kernel": (
        foreign_libraries,
        {f"{KERNEL}.models.a": "if TYPE_CHECKING:\n    from httpx import Client"},
    ),
    "an event loop among the values": (
        foreign_libraries,
        {f"{KERNEL}.values.a": "import anyio"},
    ),
    "a database outside the store": (
        foreign_libraries,
        {"dovetail.plugins.cli.a": "import playhouse.pool"},
    ),
    "a bare folder": (
        foreign_libraries,
        {"dovetail.plugins.a": "import kernel.values"},
    ),
    "a module that is not there": (
        missing_modules,
        {f"{KERNEL}.tools.a": "from .b import c"},
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_import_is_found(what: str) -> None:
    check, sources = WRONG[what]
    assert check(Tree(sources, [KERNEL])) != []  # type: ignore[operator]


CROSSINGS = {
    "the kernel imports a plugin": {f"{KERNEL}.a": "import dovetail.plugins.b"},
    "a plugin imports a private name": {
        "dovetail.plugins.a": "from dovetail.kernel import secret"
    },
    "a plugin imports a room": {
        "dovetail.plugins.a": "from dovetail.kernel.values.ids import Tool"
    },
    "a tool imports the store": {
        "dovetail.builtin_tools.a": "from dovetail.storage import x"
    },
    "a plugin imports a plugin": {
        "dovetail.plugins.a.x": "from ..b import y",
        "dovetail.plugins.b": "",
    },
    "a provider imports the other": {
        "dovetail.plugins.providers.openai": "from . import anthropic",
        "dovetail.plugins.providers.anthropic": "",
    },
    "what providers share imports one": {
        "dovetail.plugins.providers.sse": "from .openai import x",
        "dovetail.plugins.providers.openai": "",
    },
    "the store imports a service": {
        "dovetail.storage.a": "from dovetail.kernel import Tool"
    },
    "a folder is left by a relative import": {
        "dovetail.plugins.a": "from ..kernel import Tool"
    },
    "the own folder is named in full": {
        "dovetail.storage.a": "from dovetail.storage.b import c"
    },
    "the testing kit outside of tests": {
        "dovetail.plugins.a": "from dovetail.kernel.testing import x"
    },
}


@pytest.mark.parametrize("what", CROSSINGS)
def test_a_wrong_crossing_is_found(what: str) -> None:
    assert len(folder_crossings(Tree(CROSSINGS[what]), {"Tool"})) == 1


def test_allowed_imports_are_left_alone() -> None:
    tree = Tree(
        {
            KERNEL: "from .tools.a import b",
            f"{KERNEL}.values.ids": "import attrs",
            f"{KERNEL}.lifecycle.scope": "from attrs import define",
            f"{KERNEL}.ports": "from .values.ids import x",
            f"{KERNEL}.tools.a": "from ..lifecycle.scope import S\nimport anyio",
            "dovetail.storage.a": "from dovetail.kernel.ports import x\nimport peewee",
            "dovetail.storage.plugin": "from dovetail.kernel import Tool",
            "dovetail.plugins.a": "from dovetail.kernel import Tool",
            "dovetail.plugins.a.x": "from .y import z",
            "dovetail.plugins.a.y": "import httpx",
            "dovetail.plugins.providers.openai": "from .sse import events",
            "dovetail.plugins.providers.sse": "",
        },
        [KERNEL],
    )
    for check in (wrong_directions, cycles, foreign_libraries, missing_modules):
        assert check(tree) == []  # type: ignore[operator]
    assert folder_crossings(tree, {"Tool"}) == []
