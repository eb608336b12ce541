"""What every test may use, and that a run of many tests uses every processor."""

import re
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from support.corpora import Corpus, find_corpus
from support.environments import build_wheel

# Before any test imports it; what it asserts is then told as tests tell it.
pytest.register_assert_rewrite("dovetail.kernel.testing.contracts.store")


ADDRESS = re.compile(r"0x[0-9a-f]{6,}")


# --- how they are run -------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "law(id): the promise that this test guards")
    # As pytest-xdist says it, which may be absent.
    config.addinivalue_line(
        "markers", "xdist_group(name): tests that one process runs, one after another"
    )


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
        # Not "auto", which counts a processor with two threads once.
        option.numprocesses = "logical"
    if option.numprocesses and option.dist == "no":
        option.dist = "loadgroup"


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def pytest_itemcollected(item: pytest.Item) -> None:
    if ADDRESS.search(item.nodeid):
        raise pytest.UsageError(
            f"{item.nodeid} is called otherwise in each process, so that a run on "
            "several processors cannot name it; give its parameters `ids`"
        )


# --- what they may use ------------------------------------------------------------


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


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
    base = tmp_path_factory.getbasetemp()
    if _is_worker(pytestconfig):
        base = base.parent
    folder = base / "wheel"
    with FileLock(base / "wheel.lock"):
        if not folder.exists():
            # Renamed when it is whole: a build that failed is no wheel.
            build_wheel(base / "wheel-begun")
            (base / "wheel-begun").rename(folder)
    (built,) = (folder / "wheels").glob("*.whl")
    return built
