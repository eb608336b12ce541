"""One skill file: from its path to a Skill, or to the reason why it is none.

Reads the file system; call it in a thread. Knows nothing of where files are looked for.
"""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from ..contracts import Skill, SkillProblem
from ..values.encoding import text_encoding
from ..values.errors import FrontMatterError
from .front_matter import UnreadableKey, read_front_matter
from .skill_rules import broken_rules

_TOOL = re.compile(r"[^\s,(]+(?:\([^)]*\))?")
"""One tool of a list, such as ``Bash(git add *)``."""
MAX_FILE = 1_048_576
"""Bytes. A longer skill would not fit into a request anyway."""
MAX_NAME = 128
MAX_SAID = 1_024
"""Characters of what an author says that nothing rests on."""
MAX_METADATA = 100
MAX_BESIDE = 10
"""Files beside a skill that are named."""
MAX_BESIDE_SEEN = 1_000
"""Files beside a skill that are looked at to find them."""


def is_skill_name(name: str) -> bool:
    """Return whether a file of this name makes its folder a skill."""
    return name.lower() == "skill.md"


def read_skill(path: Path, real: Path) -> Skill | SkillProblem:
    """Return the skill of a file, or why there is none.

    ``real`` is where ``path`` leads, as it was checked. Never raises for what is in
    the file or on the disk.
    """
    try:
        text = _read(real)
        header, body = read_front_matter(text, ("description",))
        return _skill(path, header, body)
    except UnicodeDecodeError as error:
        name = error.encoding.upper()
        return SkillProblem(str(path), f"it is not {name}: byte {error.start} is wrong")
    except (FrontMatterError, _RefusedError) as error:
        return SkillProblem(str(path), str(error))
    except OSError as error:
        return SkillProblem(str(path), f"it cannot be read: {error.strerror or error}")


class _RefusedError(Exception):
    """The file cannot be a skill. The text says why."""


def _read(real: Path) -> str:
    if not stat.S_ISREG(real.stat().st_mode):  # opening a device may have effects
        raise _RefusedError("it is not a regular file")
    # No link is followed any more, and what became a pipe since does not block.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with open(os.open(real, flags), "rb") as file:
        data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise _RefusedError(f"it is over {MAX_FILE} bytes")
    encoding = text_encoding(data)
    if encoding is None:
        raise _RefusedError("it is not text, or UTF-16 without a byte order mark")
    return data.decode(encoding).removeprefix("\ufeff")


def _skill(path: Path, header: dict[str, object], body: str) -> Skill:
    in_folder = is_skill_name(path.name)
    fallback = path.parent.name if in_folder else path.stem
    name = " ".join(_text(header, "name").split()) or fallback
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise _RefusedError(f"its name must have 1 to {MAX_NAME} printable characters")
    description = _text(header, "description")
    if not description:
        raise _RefusedError("it has no description, so no model could choose it")
    return Skill(
        name=name,
        description=description,
        body=body,
        directory=str(path.parent) if in_folder else None,
        files=_beside(path) if in_folder else (),
        offered=_text(header, "disable-model-invocation").lower() != "true",
        license=_text_or_none(header.get("license")),
        compatibility=_text_or_none(header.get("compatibility")),
        metadata=_metadata(header.get("metadata")),
        allowed_tools=_tools(header.get("allowed-tools")),
        broken=tuple(broken_rules(header, path.parent if in_folder else None)),
    )


def _text_or_none(value: object) -> str | None:
    """Return a text that nothing rests on, or None where there is none."""
    text = " ".join(value.split()) if isinstance(value, str) else ""
    return text[:MAX_SAID] or None


def _metadata(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping):
        return {}
    pairs = [(key, one) for key, one in value.items() if isinstance(key, str)]
    return {
        key[:MAX_NAME]: str(one)[:MAX_SAID]
        for key, one in pairs[:MAX_METADATA]
        if isinstance(one, str | int | float | bool)
    }


def _tools(value: object) -> tuple[str, ...]:
    """Return the names of tools, out of one text or, as many write it, a list."""
    found: list[str] = []
    if isinstance(value, str):
        found = _TOOL.findall(value)
    elif isinstance(value, list):
        found = [one.strip() for one in value if isinstance(one, str)]
    return tuple(one[:MAX_SAID] for one in found[:MAX_METADATA])


def _text(header: dict[str, object], key: str) -> str:
    value = header.get(key, "")
    if isinstance(value, UnreadableKey):
        raise _RefusedError(f"its {key} is not YAML: {value.problem}")
    if not isinstance(value, str):
        raise _RefusedError(f"its {key} must be text, not a list or a table")
    return value.strip()


def _beside(path: Path) -> tuple[str, ...]:
    """Return some files beside a skill, those directly beside it first. Links are
    left out: where they lead is not part of the skill."""
    folder = path.parent
    names: list[str] = []
    seen = 0
    for current, folders, files in os.walk(folder):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        for file in sorted(files):
            seen += 1
            beside = Path(current, file)
            if is_skill_name(file) or file.startswith(".") or beside.is_symlink():
                continue
            name = beside.relative_to(folder).as_posix()
            if name.isprintable():  # a name that no text can hold helps nobody
                names.append(name)
        if len(names) >= MAX_BESIDE or seen >= MAX_BESIDE_SEEN:
            break
    return tuple(sorted(names[:MAX_BESIDE]))
