"""What every test may use, and that many tests use every processor and no disk."""

import gc
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings
from support.corpora import Corpus, find_corpus
from support.environments import build_wheel
from support.processes import NamedPipe, Pipes
from support.programs import Forking, forking
from support.slowness import slow_down
from support.zygote import Zygote

# Images of containers often have it said that nothing compiled is kept. Then each of
# the hundreds of processes that tests start would compile all that it imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Before any test imports it; what it asserts is then told as tests tell it.
pytest.register_assert_rewrite("dovetail.kernel.testing.contracts.store")


HERE = Path(__file__).resolve().parent
ADDRESS = re.compile(r"0x[0-9a-f]{6,}")
MEMORY = Path("/dev/shm")
"""A file system in memory, where there is one."""
ENOUGH = 2 << 30
"""Bytes that a run never fills; containers are often given far fewer there."""

OURS = ("SLOW", "EXAMPLES", "CRASH_", "PROOF_", "SCREENSHOTS", "LOCAL_MODEL")
"""What begins the name of a variable ``DOVETAIL_...`` that is for tests."""
PERSONAL = re.compile(
    r"(OPENAI|ANTHROPIC|GEMINI|GOOGLE|AWS|AZURE|OPENROUTER|OLLAMA)_"
    r"|\w+_API_KEY$"
    r"|(NO_COLOR|FORCE_COLOR|CLICOLOR|CLICOLOR_FORCE|COLUMNS|LINES)$"
    # As whoever runs tests out of a hook of git has them.
    r"|GIT_(DIR|WORK_TREE|INDEX_FILE|PREFIX|AUTHOR_|COMMITTER_|EDITOR)"
)
"""Variables of whoever runs the tests, which change what programs do."""

FIRST = (
    Path("crash"),
    Path("packages"),
    Path("structure/test_packaging.py"),
    Path("conformance"),
    Path("cli"),
    Path("proof"),
    Path("testing"),
    Path("docs"),
    Path("builtin_tools"),
    Path("storage"),
    Path("mcp_plugin"),
    Path("acp"),
    Path("chat"),
    Path("http"),
)
"""What takes longest, folders and files, in the order in which it is begun."""

# The same examples in each run, so that a change is to blame for what it breaks: the
# same again show less than others now and then, so these are not many. And none is too
# slow: machines are busy.
settings.register_profile(
    "same",
    max_examples=int(os.environ.get("DOVETAIL_EXAMPLES", "40")),
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
)
# For those who look for what is not known yet: `pytest --hypothesis-profile=other`.
settings.register_profile(
    "other", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("same")


# --- how they are run -------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "law(id): the promise that this test guards")
    config.addinivalue_line("markers", "local_model: talks to a real, tiny model")
    # On a disk each commit waits: half of the time of a run, for nothing. Processes are
    # killed here and computers are not. What is about disks asks for `disk_path`.
    if "TMPDIR" not in os.environ and _is_spacious(MEMORY):
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None
    _forget_who_runs_it()
    if seed := os.environ.get("DOVETAIL_SLOW"):
        slow_down(int(seed))


def _forget_who_runs_it() -> None:
    """Let no test see keys, configuration and taste of the person who runs it."""
    for name in list(os.environ):
        rest = name.removeprefix("DOVETAIL_")
        own = rest != name and not rest.startswith(OURS)
        if own or PERSONAL.match(name):
            del os.environ[name]
    # No file of configuration, where a test names none, and nothing beside it. Packages
    # are still to be had where this machine has them from.
    folder = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    packages = folder / "pip" / "pip.conf"
    if packages.is_file():
        os.environ.setdefault("PIP_CONFIG_FILE", str(packages))
    os.environ["XDG_CONFIG_HOME"] = "/nonexistent"
    os.environ["DOVETAIL_CONFIG"] = ""
    os.environ["GIT_CONFIG_GLOBAL"] = os.devnull
    os.environ["GIT_CONFIG_NOSYSTEM"] = "1"
    os.environ["TERM"] = "xterm"


def _is_spacious(folder: Path) -> bool:
    """Whether programs can be run from a folder, with room for all that tests write."""
    return (
        os.access(folder, os.R_OK | os.W_OK | os.X_OK)
        and not os.statvfs(folder).f_flag & os.ST_NOEXEC
        and shutil.disk_usage(folder).free > ENOUGH
    )


def _workers() -> int:
    """Half as many again as processors: some test always waits for another process."""
    known = hasattr(os, "sched_getaffinity")
    processors = len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1
    return processors + (processors + 1) // 2


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run whole folders on all processors, and named files and tests in this process.

    `-n`, `--tx`, `--dist` and `-p no:xdist` have the last word.
    """
    if not config.pluginmanager.hasplugin("xdist") or _is_worker(config):
        return
    option = config.option
    named = [Path(argument.partition("::")[0]) for argument in config.args]
    if option.numprocesses is None and not option.tx and any(map(Path.is_dir, named)):
        option.numprocesses = _workers()
    if option.numprocesses and option.dist == "no":
        # Each file in one process, which then makes once what is dear to make.
        option.dist = "loadfile"
        option.loadscopereorder = False


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Let each process begin to import at another folder.

    Whoever imports a file first compiles it, which takes longer than all else before
    the first test. The others come to it when that is done. Next to nothing of what is
    made meanwhile is garbage: nobody looks for any.
    """
    config = session.config
    if not _is_worker(config):
        return
    gc.disable()
    worker: dict[str, Any] = config.workerinput  # type: ignore[attr-defined]
    number = int(worker["workerid"].removeprefix("gw"))
    folders = []
    for argument in config.args:
        place = Path(argument)
        whole = place.is_dir() and place.resolve() == HERE
        found = (
            sorted({one.parent for one in HERE.glob("*/test_*.py")}) if whole else []
        )
        folders += [str(one) for one in found] or [argument]
    begin = number * len(folders) // worker["workercount"]
    config.args[:] = folders[begin:] + folders[:begin]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Begin with what takes long, so that no process waits for another at the end."""
    if _is_worker(config):

        def place(item: pytest.Item) -> tuple[int, Path]:
            path = item.path.relative_to(HERE)
            return _rank(path), path

        items.sort(key=place)


def pytest_collection_finish() -> None:
    """Let the garbage collector look no more at what stays until the end.

    That is half a million objects of tests, which each full collection would go through
    again: a third of a second, hundreds of times. What tests make it looks at seldomer
    too; a test that is about garbage collects it itself.
    """
    gc.collect()
    gc.freeze()
    gc.enable()
    gc.set_threshold(20_000, 20, 20)


def _rank(path: Path) -> int:
    places = {path, *path.parents}
    return next((n for n, one in enumerate(FIRST) if one in places), len(FIRST))


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def pytest_itemcollected(item: pytest.Item) -> None:
    if ADDRESS.search(item.nodeid):
        raise pytest.UsageError(
            f"{item.nodeid} is called otherwise in each process, so that a run on "
            "several processors cannot name it; give its parameters `ids`"
        )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests told by ``record_property("told", ...)``, whoever ran them."""
    told = [
        str(value)
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", None) == "call"
        for name, value in report.user_properties
        if name == "told"
    ]
    if told:
        terminalreporter.section("what was told")
        terminalreporter.write("".join(f"{one}\n" for one in told))


# --- what they may use ------------------------------------------------------------


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def interrupts() -> Iterator[None]:
    """Let SIGINT interrupt, which a shell makes programs ignore that it starts with
    ``&``, and which Python leaves alone then."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def disk_path() -> Iterator[Path]:
    """An empty folder that is not in memory, for what is about disks."""
    disk = "/var/tmp"
    with tempfile.TemporaryDirectory(
        prefix="dovetail-", dir=disk if os.access(disk, os.W_OK) else None
    ) as folder:
        yield Path(folder)


@pytest.fixture
def pipe() -> Iterator[Pipes]:
    """Return a function that makes a named pipe at a path."""
    made: list[NamedPipe] = []

    def make(path: Path) -> NamedPipe:
        made.append(NamedPipe(path))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def corpus() -> Any:
    """Return a function from a set's name to the set; absent sets skip the test."""

    def find(name: str) -> Corpus:
        found = find_corpus(name)
        if found is None:
            pytest.skip(f"the real-data set {name!r} is not beside this checkout")
        return found

    return find


@pytest.fixture(scope="session")
def wheel(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Path:
    """The wheel of dovetail, built once in a run by whoever asks first.

    Beside its folder is what it was built from, `source`.
    """
    base = _base(tmp_path_factory, pytestconfig)
    folder = base / "wheel"
    with FileLock(base / "wheel.lock"):
        if not folder.exists():
            # Renamed when it is whole: a build that failed is no wheel.
            build_wheel(base / "wheel-begun")
            (base / "wheel-begun").rename(folder)
    (built,) = (folder / "wheels").glob("*.whl")
    return built


@pytest.fixture(scope="session")
def zygote(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[Zygote]:
    """The process that forks one for each command, one for all who run tests."""
    zygote = Zygote(_base(tmp_path_factory, pytestconfig))
    yield zygote
    zygote.close()


@pytest.fixture
def forked(zygote: Zygote) -> Iterator[Forking]:
    """Return a function that starts commands and programs as forks of a process that
    has imported dovetail: a process of Python takes a third of a second to get there.
    """
    with forking(zygote) as start:
        yield start


def _base(factory: pytest.TempPathFactory, config: pytest.Config) -> Path:
    """The folder of this run, whichever process asks."""
    base = factory.getbasetemp()
    return base.parent if _is_worker(config) else base
