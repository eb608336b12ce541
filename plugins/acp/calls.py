"""Calls: a tool call as an editor shows it.

Owns what a call is called, of which kind it is, which files it is about, and what it
would change, told by its arguments. Knows the tools by the names of their arguments
only, so that a stranger's tool is shown as well as can be.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from acp import schema as s
from attrs import frozen
from dovetail.kernel import (
    Content,
    FileContent,
    Json,
    MessageId,
    TextContent,
    clean_text,
)

Kind = Literal[
    "read",
    "edit",
    "delete",
    "move",
    "search",
    "execute",
    "think",
    "fetch",
    "switch_mode",
    "other",
]

KINDS: Mapping[str, Kind] = {
    "read": "read",
    "write": "edit",
    "edit": "edit",
    "apply_patch": "edit",
    "glob": "search",
    "grep": "search",
    "recall": "search",
    "websearch": "search",
    "bash": "execute",
    "job": "execute",
    "webfetch": "fetch",
    "todowrite": "think",
    "skill": "read",
    "subagent": "other",
    "question": "other",
}
MAX_TITLE = 200
MAX_SHOWN = 256 * 1024
"""Characters of one text of a call that an editor is sent."""
MAX_BEFORE = 1024 * 1024
"""Bytes of a file that is read to show what a call would change of it."""
_TELLING = ("command", "path", "file_path", "pattern", "query", "url", "name", "prompt")
"""What a call is about, the most telling first."""
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_PATCHED = re.compile(r"^\*\*\* (Add|Update|Delete) File: (.+?)\s*$")
_MOVED = re.compile(r"^\*\*\* Move to: (.+?)\s*$")

ToolContent = (
    s.ContentToolCallContent | s.FileEditToolCallContent | s.TerminalToolCallContent
)


@frozen
class Call:
    """One tool call, as far as it is known."""

    message_id: str
    call_id: str
    tool: str
    arguments: Mapping[str, Json]
    """What the model wrote; empty where that is no object."""
    directory: str
    """Of the Location, which relative paths begin at."""
    written: str = ""
    """The text of the arguments."""

    @classmethod
    def of(
        cls, message_id: str, call_id: str, tool: str, arguments: str, directory: str
    ) -> "Call":
        """Return a call by what the model wrote."""
        return cls(
            message_id, call_id, tool, _object(arguments), directory, written=arguments
        )

    @property
    def id(self) -> str:
        """What the client calls it by: a provider's own id is unique in one message
        only."""
        return tool_call_id(self.message_id, self.call_id)

    @property
    def kind(self) -> Kind:
        return KINDS.get(self.tool, "other")

    @property
    def title(self) -> str:
        """The call on one line, in which everything that is there can be seen."""
        texts = {k: v for k, v in self.arguments.items() if isinstance(v, str)}
        named = [one for one, _ in _sections(self.patch)] if self.patch else []
        if named:
            subject = ", ".join(named)
        else:
            subject = next(
                (texts[name] for name in (*_TELLING, *texts) if texts.get(name)), ""
            )
        told = visible(subject, MAX_TITLE)
        if self.tool == "bash" and told:
            return told
        return f"{visible(self.tool, 64)} {told}".rstrip()

    @property
    def patch(self) -> str | None:
        """The text of a patch, for ``apply_patch``."""
        given = self.arguments.get("input")
        return given if self.tool == "apply_patch" and isinstance(given, str) else None

    @property
    def locations(self) -> list[s.ToolCallLocation]:
        """The files that it is about, absolute."""
        if self.patch is not None:
            return [
                s.ToolCallLocation(path=self._absolute(path))
                for path, _ in _sections(self.patch)
            ]
        for name in ("path", "file_path"):
            path = self.arguments.get(name)
            if isinstance(path, str) and path and not _is_uri(path):
                line = self.arguments.get("offset")
                known = isinstance(line, int) and line > 0 and self.tool == "read"
                return [
                    s.ToolCallLocation(
                        path=self._absolute(path), line=line if known else None
                    )
                ]
        return []

    def diffs(self, *, done: bool = False) -> list[ToolContent]:
        """Return what it changes, file by file. Before it is ``done``, looks at the
        disk for what a whole file is written over; call it in a thread."""
        old, new = self.arguments.get("old_string"), self.arguments.get("new_string")
        path, content = self.arguments.get("path"), self.arguments.get("content")
        if self.patch is not None:
            return [
                _diff(self._absolute(name), *change)
                for name, change in _sections(self.patch)
            ]
        if not isinstance(path, str) or not path:
            return []
        if self.tool == "edit" and isinstance(old, str) and isinstance(new, str):
            return [_diff(self._absolute(path), old, new)]
        if self.tool == "write" and isinstance(content, str):
            whole = self._absolute(path)
            before = None if done else _held(whole, self.directory)
            return [_diff(whole, before, content)]
        return []

    def _absolute(self, path: str) -> str:
        return os.path.normpath(os.path.join(self.directory, clean_text(path)))


def tool_call_id(message_id: MessageId | str, call_id: str) -> str:
    return f"{message_id}:{clean_text(call_id)}"


def visible(text: str, limit: int) -> str:
    """Return text on one line of at most ``limit`` characters, in which everything that
    is there can be seen: nothing in it hides or turns around the rest."""
    shown = _UNSEEN.sub(_escaped, clean_text(text[: limit + 1]))
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def _escaped(match: re.Match[str]) -> str:
    sign = match.group()
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(sign, f"\\u{ord(sign):04x}")


def bounded(text: str) -> str:
    """Return as much of a text as an editor is sent."""
    told = clean_text(text)
    if len(told) <= MAX_SHOWN:
        return told
    half = MAX_SHOWN // 2
    left = len(told) - 2 * half
    return f"{told[:half]}\n... {left} characters left out ...\n{told[-half:]}"


def text_content(text: str) -> s.ContentToolCallContent:
    """Return a text as content of a call."""
    block = s.TextContentBlock(type="text", text=bounded(text))
    return s.ContentToolCallContent(type="content", content=block)


def result_content(content: Sequence[Content]) -> list[ToolContent]:
    """Return what the model was shown, as an editor is."""
    shown: list[ToolContent] = []
    for one in content:
        if isinstance(one, TextContent):
            if one.text:
                shown.append(text_content(one.text))
        elif isinstance(one, FileContent) and one.mime.startswith("image/"):
            image = s.ImageContentBlock(type="image", data=one.data, mime_type=one.mime)
            shown.append(s.ContentToolCallContent(type="content", content=image))
        else:
            shown.append(text_content(f"[{one.mime}]"))
    return shown


def _diff(path: str, old: str | None, new: str) -> s.FileEditToolCallContent:
    return s.FileEditToolCallContent(
        type="diff",
        path=path,
        old_text=None if old is None else bounded(old),
        new_text=bounded(new),
    )


def _object(text: str) -> Mapping[str, Json]:
    try:
        data = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _is_uri(path: str) -> bool:
    return path.startswith(("managed:", "skill:"))


def _held(path: str, directory: str) -> str | None:
    """Return the text of a file in the directory; None where there is none to show."""
    real = os.path.realpath(path)
    if os.path.commonpath((real, os.path.realpath(directory))) != os.path.realpath(
        directory
    ):
        return None
    try:
        # NONBLOCK: a fifo must not be waited for.
        descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not os.path.isfile(real):
                return None
            data = file.read(MAX_BEFORE + 1)
        return data.decode() if len(data) <= MAX_BEFORE else None
    except (OSError, ValueError):
        return None


def _sections(patch: str) -> Iterator[tuple[str, tuple[str | None, str]]]:
    """Yield each file of a patch with what it takes away and what it puts there."""
    path: str | None = None
    kind = ""
    old: list[str] = []
    new: list[str] = []

    def section() -> tuple[str, tuple[str | None, str]]:
        before = None if kind == "Add" else "\n".join(old)
        return path or "", (before, "\n".join(new))

    for line in patch.split("\n"):
        named = _PATCHED.match(line)
        if named or line.startswith("*** End Patch"):
            if path is not None:
                yield section()
            path, kind = (named[2], named[1]) if named else (None, "")
            old, new = [], []
        elif path is None or _MOVED.match(line):
            continue
        elif kind == "Add":
            new.append(line[1:] if line.startswith("+") else line)
        elif line.startswith("-"):
            old.append(line[1:])
        elif line.startswith("+"):
            new.append(line[1:])
        elif line.startswith(" "):
            old.append(line[1:])
            new.append(line[1:])
    if path is not None:
        yield section()
