"""Any sequence of the file tools, killed anywhere: the tree is what the receipt says.

A kill is made by the functions that change files: at a chosen one nothing more is done,
or half of it, or all of it, and from then on none does anything, so that no cleaning up
is seen that a killed process would not have done.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import anyio
import pytest
from attrs import define, field, frozen
from dovetail.builtin_tools import _files
from dovetail.kernel import Deed, ToolFailure
from hypothesis import given, strategies as st
from support.bounds import HANG

from .conftest import Toolbox

Files = Mapping[str, str]

PATHS = ("a", "b", "d/a", "d/e/b")
TOOLS = ("read", "write", "edit", "edit", *["apply_patch"] * 5)
LINES = st.lists(st.sampled_from(["x", "y", "z"]), max_size=4)


class KilledError(Exception):
    """Stands for the end of the process."""


@define
class Killer:
    """The module ``os``, with functions that change files and die at one of them."""

    at: int
    """At which of the calls that change something, from 1; 0: at none."""
    how: str
    """``before``, ``half`` or ``after``."""
    calls: int = 0
    dead: bool = False

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def point(
        self, do: Callable[[], Any], half: Callable[[], Any] | None = None
    ) -> Any:
        """Do something that a kill may hit."""
        if self.dead:
            raise KilledError
        self.calls += 1
        if self.calls != self.at:
            return do()
        if self.how == "after":
            do()
        elif self.how == "half" and half is not None:
            half()
        self.dead = True
        raise KilledError

    def open(self, path: str, flags: int, *args: Any, **named: Any) -> int:
        if not flags & os.O_CREAT:
            return os.open(path, flags, *args, **named)
        return cast("int", self.point(lambda: os.open(path, flags, *args, **named)))

    def write(self, descriptor: int, data: Any) -> int:
        half = data[: len(data) // 2]
        do, some = (
            lambda: os.write(descriptor, data),
            lambda: os.write(descriptor, half),
        )
        return cast("int", self.point(do, some))

    def mkdir(self, *args: Any, **named: Any) -> None:
        self.point(lambda: os.mkdir(*args, **named))

    def replace(self, *args: Any, **named: Any) -> None:
        self.point(lambda: os.replace(*args, **named))

    def rename(self, *args: Any, **named: Any) -> None:
        self.point(lambda: os.rename(*args, **named))

    def unlink(self, *args: Any, **named: Any) -> None:
        self.point(lambda: os.unlink(*args, **named))


@frozen
class Call:
    """One call, and what the tree is after each of its changes."""

    tool: str
    arguments: Mapping[str, Any]
    trees: Sequence[Files] = field(factory=list)
    """The first is the one before it. Only its last counts where it succeeds."""


# --- calls at random, and what they mean ------------------------------------------


def text_of(lines: Sequence[str], newline: bool) -> str:
    text = "".join(f"{line}\n" for line in lines)
    return text if newline else text.removesuffix("\n")


@st.composite
def calls_on(draw: st.DrawFn, files: Files) -> Call:
    """Draw a call that makes sense on a tree, mostly."""
    tool = draw(st.sampled_from(TOOLS))
    path = draw(st.sampled_from([*sorted(files) * 3, *PATHS]))
    if tool == "read":
        return Call(tool, {"path": path}, [files, files])
    if tool == "write":
        content = text_of(draw(LINES), draw(st.booleans()))
        given = {"path": path, "content": content}
        return Call(tool, given, [files, {**files, path: content}])
    if tool == "edit":
        old, new = draw(st.sampled_from(["x", "y\n"])), draw(st.sampled_from(["w", ""]))
        given = {"path": path, "old_string": old, "new_string": new}
        there = files.get(path, "")
        return Call(tool, given, [files, {**files, path: there.replace(old, new, 1)}])
    return draw(patches_on(files))


@st.composite
def patches_on(draw: st.DrawFn, files: Files) -> Call:
    lines = ["*** Begin Patch"]
    trees: list[Files] = [files]
    free = draw(st.permutations(PATHS))
    for path in free[: draw(st.integers(1, 3))]:
        now = trees[-1]
        makes_sense = ["delete", "update", "update", "move"] if path in now else ["add"]
        kind = draw(st.sampled_from([*makes_sense * 3, "add", "delete", "update"]))
        if kind == "add":
            added = draw(LINES)
            lines += [f"*** Add File: {path}", *(f"+{line}" for line in added)]
            trees.append({**now, path: text_of(added, newline=True)})
        elif kind == "delete":
            lines.append(f"*** Delete File: {path}")
            trees.append({name: now[name] for name in now if name != path})
        else:
            lines.append(f"*** Update File: {path}")
            to = draw(st.sampled_from(PATHS)) if kind == "move" else None
            if to is not None:
                lines.append(f"*** Move to: {to}")
            if to is None or draw(st.booleans()):
                hunk, text = draw(hunks_on(now.get(path, "")))
                lines += hunk
                if text != now.get(path):
                    trees.append({**now, path: text})
            if to is not None:
                left = {**trees[-1]}
                left[to] = left.pop(path, "")
                trees.append(left)
    return Call("apply_patch", {"input": "\n".join([*lines, "*** End Patch"])}, trees)


@st.composite
def hunks_on(draw: st.DrawFn, text: str) -> tuple[list[str], str]:
    """Draw a hunk for a text, and what it makes of it."""
    raw = text.splitlines(keepends=True)
    if not raw:
        return ["@@", "+new"], "new\n"
    at = draw(st.integers(0, len(raw) - 1))
    new = draw(st.sampled_from(["new", "x"]))
    shown = draw(st.booleans())  # with all lines around it, or without any
    above, below = (raw[:at], raw[at + 1 :]) if shown else ([], [])
    hunk = [f" {line.rstrip()}" for line in above]
    hunk += [f"-{raw[at].rstrip()}", f"+{new}"]
    hunk += [f" {line.rstrip()}" for line in below]
    return ["@@", *hunk], "".join([*raw[:at], f"{new}\n", *raw[at + 1 :]])


# --- the test ---------------------------------------------------------------------


def tree(place: Path) -> Files:
    """Return the files of a folder, but for what is left of a write that was cut."""
    return {
        str(path.relative_to(place)): path.read_text()
        for path in place.rglob("*")
        if path.is_file() and not path.name.startswith(".dovetail-")
    }


@frozen
class Kind:
    """What of a file no call may change by the way."""

    crlf: bool | None
    """None where no line of it has an end."""
    mode: int


def kinds(place: Path) -> Mapping[str, Kind]:
    """Return of each file how its lines end and what its mode is. Within one file all
    lines end alike."""
    found = {}
    for name in tree(place):
        data = (place / name).read_bytes()
        ends, pairs = data.count(b"\n"), data.count(b"\r\n")
        assert pairs in (0, ends), (name, data)
        assert data.count(b"\r") == pairs, (name, data)
        mode = (place / name).stat().st_mode & 0o777
        found[name] = Kind(bool(pairs) if ends else None, mode)
    return found


def check_kinds(
    call: Call, before: Files, were: Mapping[str, Kind], now: Files, place: Path
) -> None:
    """A file that stays keeps its line ends and its mode, and so does one that is
    moved; a new one is as the system makes it."""
    fresh = Kind(False, 0o666 & ~UMASK)
    for name, kind in kinds(place).items():
        moved = f"*** Move to: {name}\n" in str(call.arguments.get("input"))
        if name in before and now[name] == before[name] and not moved:
            assert kind == were[name], name
            continue
        possible = [were[name]] if name in before and not moved else [fresh]
        if moved or name not in before:
            possible += were.values()
        assert kind.mode in {one.mode for one in possible}, (name, kind)
        ends = {one.crlf for one in possible}
        assert kind.crlf is None or None in ends or kind.crlf in ends, (name, kind)


UMASK = os.umask(0)
os.umask(UMASK)


async def run(tools: Toolbox, call: Call, killer: Killer) -> str:
    """Make a call; return how it ended."""

    async def does(text: str, data: Any = None) -> None:
        killer.point(lambda: tools.context.deeds.append(Deed(text, data)))

    tools.context.does = does  # type: ignore[method-assign]
    try:
        await tools.call(call.tool, **call.arguments)
    except KilledError:
        return "killed"
    except ToolFailure:
        return "failed"
    return "done"


async def checked(tools: Toolbox, call: Call) -> str:
    """Return what a call's own check says after a restart."""
    tool = tools.tools[call.tool]
    if tool.check is None:
        return "cannot tell"
    try:
        given = tool.input(**call.arguments)
        found = await cast("Any", tool.check)(given, tools.context)
    except ToolFailure:
        return "cannot tell"
    return "not done" if found is None else "done"


async def sequence(place: Path, data: st.DataObject, patch: pytest.MonkeyPatch) -> None:
    for name in PATHS:
        if data.draw(st.integers(0, 3)):
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(
                text_of(data.draw(LINES), data.draw(st.booleans())),
                newline=data.draw(st.sampled_from(["\n", "\r\n"])),
            )
            (place / name).chmod(data.draw(st.sampled_from([0o644, 0o755, 0o600])))
    tools = Toolbox(place, os.environ)
    for _ in range(data.draw(st.integers(1, 4))):
        before, were = tree(place), kinds(place)
        call = data.draw(calls_on(before))
        killer = Killer(
            data.draw(st.integers(0, 16 if call.tool == "apply_patch" else 4)),
            data.draw(st.sampled_from(["before", "half", "after"])),
        )
        patch.setattr(_files, "os", killer)
        ended = await run(tools, call, killer)
        patch.setattr(_files, "os", os)
        now = tree(place)
        check_kinds(call, before, were, now, place)
        if ended == "done":
            assert now == call.trees[-1]
        elif ended == "failed":
            assert now == before
            assert not tools.context.deeds
        else:
            # As another process would go on: with the receipt and the tree.
            deeds = tools.context.deeds
            tools = Toolbox(place, os.environ)
            tools.context.deeds = deeds
            if call.tool == "apply_patch":
                assert now in call.trees[max(0, len(deeds) - 1) : len(deeds) + 1]
            else:
                assert now in (before, call.trees[-1])
            said = await checked(tools, call)
            if said == "done":
                assert now == call.trees[-1]
            elif said == "not done":
                assert now == before
                assert await run(tools, call, Killer(0, "")) == "done"
                assert tree(place) == call.trees[-1]
        tools.context.deeds = []


@pytest.mark.law("recovery.9")
@pytest.mark.law("tools.13")
@given(st.data())
def test_whatever_is_called_and_wherever_it_dies_the_receipt_is_true(
    data: st.DataObject,
) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        place = Path(folder).resolve()

        async def main() -> None:
            with anyio.fail_after(HANG):
                await sequence(place, data, patch)

        anyio.run(main)
