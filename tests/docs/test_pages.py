"""Every program that README and docs show runs, and prints what the page says.

A comment before a fenced block says how it is used::

    <!-- test: rehearsal -->       the model openai/rehearsal answers, in the sample
    <!-- test: twice -->           prints the same when it is run again
    <!-- test: continues -->       goes on from the program before it
    <!-- test: file weather.py --> is saved under this name for the rest of the page
    <!-- test: output -->          is what the program before it prints; ... is anything
    <!-- test: console -->         is typed at a shell, and answered as shown
    <!-- test: skip REASON -->     is not run

A Python block without a comment is a program of its own.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import anyio
import pytest
from anyio.from_thread import start_blocking_portal
from attrs import define
from dovetail.plugins.rehearsal import copy_sample, rehearsal_server
from support.bounds import HANG
from support.environments import LIGHT
from support.pages import Block, Shell, blocks_of, fits
from support.programs import run_forked
from support.zygote import Zygote

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@define
class Stage:
    """Where the programs of one page run."""

    folder: Path
    page: Path
    printed: str = ""
    program: str = ""
    zygote: ClassVar[Zygote]

    def play(self, block: Block) -> None:
        where = f"{self.page.name}:{block.line}"
        if block.how == "skip":
            assert block.detail, f"{where} is skipped without a reason"
        elif block.how == "file":
            block.write_into(self.folder)
        elif block.how == "console":
            with Shell(self.folder, self.environment()) as shell:
                shell.play(block, where)
        elif block.how == "output":
            assert fits(self.printed, block.text), (
                f"{where} shows\n{block.text}\nbut this is printed:\n{self.printed}"
            )
        else:
            before = self.program if block.how == "continues" else ""
            # Blank lines keep the line numbers of a traceback those of the page.
            blank = "\n" * (block.line - before.count("\n"))
            self.program = f"{before}{blank}{block.text}"
            self.run(where, block.how == "rehearsal")
            if block.how == "twice":
                printed = self.printed
                self.run(where, False)
                assert self.printed == printed, f"{where} prints something else"

    def environment(self) -> dict[str, str]:
        """Return what is there besides: nothing that is configured on this machine."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if name in ("PATH", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "VIRTUAL_ENV")
        }
        own = str(Path(sys.executable).parent)
        return {
            **kept,
            "PATH": os.pathsep.join((own, kept.get("PATH", os.defpath))),
            "HOME": str(self.folder / "home"),
            "XDG_CONFIG_HOME": str(self.folder / "home" / "config"),
            "PYTHONPATH": str(self.folder),
            "PYTHONWARNINGS": "error",
            "PYTEST_ADDOPTS": LIGHT,
        }

    def run(self, where: str, rehearsed: bool) -> None:
        environment = self.environment()
        folder = self.folder
        if not rehearsed:
            return self.ends_well(where, folder, environment)
        folder = self.folder / f"sample-{where.rpartition(':')[2]}"
        copy_sample(folder)
        with (
            start_blocking_portal() as portal,
            portal.wrap_async_context_manager(rehearsal_server()) as server,
        ):
            environment["OPENAI_BASE_URL"] = server.base_url
            environment["OPENAI_API_KEY"] = "none-needed"
            return self.ends_well(where, folder, environment)

    def ends_well(self, where: str, cwd: Path, environment: dict[str, str]) -> None:
        program = self.folder / f"{self.page.stem}.md.py"
        program.write_text(self.program, encoding="utf-8")
        if self.page.name == "README.md":
            # What is read first is run as a reader runs it.
            done = subprocess.run(
                [sys.executable, "-B", program],
                cwd=cwd,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=2 * HANG,
            )
            code, out, err = done.returncode, done.stdout, done.stderr
        else:
            ended = run_forked(
                self.zygote,
                program,
                cwd=cwd,
                environment=environment,
                limit=2 * HANG,
            )
            code, out, err = ended.code, ended.out, ended.err
        assert code == 0, f"{where} fails:\n{out}\n{err}"
        self.printed = out


@pytest.fixture(scope="module", autouse=True)
def stage(zygote: Zygote) -> None:
    Stage.zygote = zygote


@pytest.mark.parametrize(
    # Tutorials want a folder of their own: see test_tutorial and test_adapters.
    "page",
    [page for page in PAGES if page.name not in ("tutorial.md", "adapters.md")],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_what_a_page_shows_is_so(page: Path, tmp_path: Path) -> None:
    stage = Stage(tmp_path, page)
    for block in blocks_of(page.read_text(encoding="utf-8")):
        stage.play(block)


def links() -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        if page.exists():
            text = re.sub(
                r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S
            )
            for link in re.findall(r"\]\(([^)\s]+)\)", text):
                if not re.match(r"[a-z]+:|#", link):
                    yield page, link.partition("#")[0]


def test_every_link_between_pages_leads_somewhere() -> None:
    broken = [
        f"{page.name}: {link}"
        for page, link in links()
        if not (page.parent / link).exists()
    ]
    assert broken == []


def test_every_page_is_in_the_index() -> None:
    listed = {
        (page.parent / link).resolve()
        for page, link in links()
        if page.name == "README.md"
    }
    pages = {page for page in PAGES if page.name != "README.md"}
    assert sorted(page.name for page in pages - listed) == []


# --- the test can fail ------------------------------------------------------------


def played(tmp_path: Path, *blocks: str) -> Stage:
    stage = Stage(tmp_path, Path("page.md"))
    for block in blocks_of("\n\n".join(blocks)):
        stage.play(block)
    return stage


def test_a_program_that_fails_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        played(tmp_path, "```python\n1 / 0\n```")


def test_other_output_is_found(tmp_path: Path) -> None:
    program = "```python\nprint(1)\nprint(2)\n```"
    played(tmp_path, program, "<!-- test: output -->\n```text\n1\n...\n```")
    with pytest.raises(AssertionError, match="but this is printed"):
        played(tmp_path, program, "<!-- test: output -->\n```text\n1\n3\n```")


def test_another_answer_of_the_shell_is_found(tmp_path: Path) -> None:
    said = "<!-- test: console -->\n```console\n$ A=1\n$ echo $A\n{}\n```"
    played(tmp_path, said.format("1"))
    with pytest.raises(AssertionError, match="but this is printed"):
        played(tmp_path, said.format("2"))
    with pytest.raises(AssertionError, match="false ended with 1"):
        played(tmp_path, "<!-- test: console -->\n```console\n$ false\n```")


def test_a_program_goes_on_from_the_one_before(tmp_path: Path) -> None:
    first = "```python\na = 1\n```"
    played(tmp_path, first, "<!-- test: continues -->\n```python\nassert a\n```")
    with pytest.raises(AssertionError, match="NameError"):
        played(tmp_path, first, "```python\nassert a\n```")


def test_a_program_that_does_something_else_when_run_again_is_found(
    tmp_path: Path,
) -> None:
    again = "<!-- test: twice -->\n```python\n{}\n```"
    played(tmp_path, again.format("print(1)"))
    grows = "open('n', 'a').write('x')\nprint(open('n').read())"
    with pytest.raises(AssertionError, match="something else"):
        played(tmp_path, again.format(grows))


def test_a_file_can_be_imported(tmp_path: Path) -> None:
    file = "<!-- test: file thing.py -->\n\n```python\nA = 1\n```"
    played(tmp_path, file, "```python\nfrom thing import A\nassert A\n```")


def test_an_unknown_comment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="not a way"):
        played(tmp_path, "<!-- test: someday -->\n```python\n1 / 0\n```")
    with pytest.raises(AssertionError, match="without a reason"):
        played(tmp_path, "<!-- test: skip -->\n```python\n1 / 0\n```")


async def test_a_rehearsed_program_has_a_model_and_a_sample(tmp_path: Path) -> None:
    program = (
        "import os, urllib.request\n"
        "assert os.path.exists('ledger/averages.py')\n"
        "print(urllib.request.urlopen(os.environ['OPENAI_BASE_URL'] + '/models')"
        ".read().decode())\n"
    )
    block = f"<!-- test: rehearsal -->\n```python\n{program}```"
    stage = await anyio.to_thread.run_sync(played, tmp_path, block)
    assert '"rehearsal"' in stage.printed
