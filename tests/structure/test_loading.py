"""What importing loads: one copy of each module, and little of it."""

import gc
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dovetail.kernel.lazy import Importing

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("kernel", "storage", "builtin_tools", "plugins")


def loaded_after(code: str, cwd: Path) -> set[str]:
    """Return the modules that a fresh interpreter has loaded after some code."""
    program = f"{code}\nimport sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=cwd, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


LISTING = """
import anyio
from dovetail.kernel import open_runtime

async def main():
    async with open_runtime("sqlite://") as runtime:
        await runtime.sessions.list()

anyio.run(main)
"""
IMPORTING = """
import importlib

for name in {names!r}:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        # What an extra brings need not be there.
        if error.name.partition(".")[0] not in ("starlette", "uvicorn"):
            raise
"""


def test_no_test_has_loaded_a_folder_under_its_bare_name() -> None:
    assert not set(FOLDERS) & set(sys.modules)


def test_importing_everything_loads_no_folder_under_its_bare_name() -> None:
    # From the checkout: there the bare names could be imported by mistake.
    modules = [
        ".".join(("dovetail", *path.relative_to(ROOT).with_suffix("").parts))
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path.name != "__main__.py" and "testing" not in path.parts
    ]
    names = [name.removesuffix(".__init__") for name in modules]
    loaded = loaded_after(IMPORTING.format(names=names), ROOT)
    assert not set(FOLDERS) & loaded
    assert "dovetail.kernel.values.ids" in loaded


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        (
            "import dovetail.kernel",
            "anyio attr attrs cattrs click httpx orjson peewee pluggy yaml",
        ),
        (
            "from dovetail.kernel import DovetailError",
            "anyio attr attrs cattrs click httpx orjson peewee pluggy yaml",
        ),
        ("from dovetail.kernel import Tool, hookimpl", "click httpx peewee"),
        ("from dovetail.kernel import open_runtime", "click httpx peewee trio"),
        (
            LISTING,
            "httpx peewee trio dovetail.kernel.execution.runner"
            " dovetail.kernel.history.history dovetail.kernel.location.services",
        ),
        ("from dovetail.storage.sqlite.store import open_sqlite", "peewee playhouse"),
    ],
)
def test_importing_the_kernel_stays_light(
    code: str, absent: str, tmp_path: Path
) -> None:
    assert not set(absent.split()) & loaded_after(code, tmp_path)


@pytest.fixture
def collector() -> Iterator[None]:
    yield
    gc.enable()


@pytest.mark.usefixtures("collector")
def test_importing_holds_the_collector_and_leaves_it_as_it_was() -> None:
    gc.enable()
    with Importing():
        assert not gc.isenabled()
        with Importing():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ImportError), Importing():
        raise ImportError
    assert gc.isenabled()
    gc.disable()
    with Importing():
        pass
    assert not gc.isenabled()


def test_importing_keeps_what_an_application_froze() -> None:
    before = gc.get_freeze_count()
    gc.freeze()
    frozen = gc.get_freeze_count()
    try:
        with Importing():
            pass
        assert 0 < gc.get_freeze_count() <= frozen
    finally:
        if not before:
            gc.unfreeze()
