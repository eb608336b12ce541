"""Pages: the blocks that they show, and whether what is printed is what they show."""

import re
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType

from attrs import frozen

from support.bounds import HANG
from support.commands import without_slowness

BLOCK = re.compile(
    r"^(?:<!-- test: (?P<how>[^\n]+?) -->\n+)?"
    r"^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.M | re.S,
)
HOWS = ("rehearsal", "twice", "continues", "file", "console", "line", "output", "skip")


@frozen
class Block:
    """One fenced block of a page."""

    line: int
    language: str
    text: str
    how: str = ""
    detail: str = ""

    def write_into(self, folder: Path) -> None:
        """Save it under the name that the page gives it."""
        path = folder / self.detail
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.text, encoding="utf-8")

    def replace_line_in(self, folder: Path) -> None:
        """Put it in the place of the one line of a file that begins like it."""
        path = folder / self.detail
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        begin = self.text.partition("=")[0] + "="
        (at,) = [at for at, line in enumerate(lines) if line.startswith(begin)]
        lines[at] = self.text
        path.write_text("".join(lines), encoding="utf-8")


def blocks_of(page: str) -> list[Block]:
    """Return the blocks of a page that are Python or that a comment speaks of."""
    found = []
    for match in BLOCK.finditer(page):
        how, _, detail = (match["how"] or "").partition(" ")
        assert how in ("", *HOWS), f"{how!r} is not a way to test a block"
        if match["language"] == "python" or how:
            line = page.count("\n", 0, match.start("text"))
            found.append(Block(line, match["language"], match["text"], how, detail))
    return found


def fits(printed: str, shown: str) -> bool:
    """Tell whether a text is what a page shows, where ``...`` stands for anything."""
    parts = [re.escape(part) for part in shown.strip().split("...")]
    return re.fullmatch(".*?".join(parts), printed.strip(), re.S) is not None


def commands_of(block: Block) -> Iterator[tuple[str, str]]:
    """Yield the commands of a console block, each with the output that is shown."""
    for one in re.split(r"^\$ ", block.text, flags=re.M)[1:]:
        command, _, shown = one.partition("\n")
        yield command, shown


class Shell:
    """A shell in which commands are typed one after another."""

    END = "--- the command ended with"

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )
        self._limit = threading.Timer(10 * HANG, self._process.kill)

    def __enter__(self) -> "Shell":
        self._limit.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._limit.cancel()
        self._process.kill()
        self._process.communicate()

    def type(self, command: str) -> tuple[int, str]:
        """Run a command and return how it ended and all that it printed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(
            f"{{ {command}\n}} </dev/null\necho '{self.END}' $?\n"
        )
        self._process.stdin.flush()
        printed = ""
        for line in self._process.stdout:
            before, end, code = line.partition(self.END)
            printed += before
            if end:
                return int(code), printed
        raise AssertionError(f"the shell ended in {command!r}, having told {printed}")

    def play(self, block: Block, where: str) -> None:
        """Run the commands of a block and hold what they print against the page."""
        for command, shown in commands_of(block):
            code, printed = self.type(command)
            assert code == 0, f"{where}: {command} ended with {code}:\n{printed}"
            # How wide a column is depends on what else is in it, and on a busy machine
            # any code takes long.
            printed = without_slowness(printed)
            assert fits(_narrow(printed), _narrow(shown)), (
                f"{where}: {command} shows\n{shown}\nbut this is printed:\n{printed}"
            )


def _narrow(text: str) -> str:
    return re.sub(" {2,}", "  ", text)
