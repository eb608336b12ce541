"""Files that a prompt names: what ``@path`` means in a directory.

Owns how a name in a text is read, and what is attached of a file that is there. Knows
nothing of what plugins call by names; ``prompts`` asks them.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ..values.errors import PromptInvalidError
from ..values.prompt import MAX_FILES_BYTES, PromptFile

MOST_NAMED = 1_000
"""Names in one text that are looked at."""
_NAMED = re.compile(r"""(?:(?<=\s)|(?<=\A))@(?:"([^"\n]+)"|([^\s"]+))""")
_TRAILING = ".,;:!?)]}>'"


def names_in(text: str) -> Iterator[tuple[str, str]]:
    """Yield each name in a text, as it is written and without what may end a sentence
    behind it; the two are the same where it stands in quotes."""
    for match in _NAMED.finditer(text):
        whole = match[1] or match[2]
        yield whole, whole if match[1] else whole.rstrip(_TRAILING)


def named_files(text: str, folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield each file that a text names and that is there, once."""
    seen: set[Path] = set()
    for looked, (whole, bare) in enumerate(names_in(text)):
        if looked == MOST_NAMED:
            return
        for name in dict.fromkeys((whole, bare)):
            with suppress(OSError, ValueError):
                path = folder / os.path.expanduser(name)
                if name and path.is_file() and not _is_of_the_system(path):
                    if path not in seen:
                        seen.add(path)
                        yield name, path
                    break


def _is_of_the_system(path: Path) -> bool:
    """Whether a system tells of itself and its programs there: the environment of this
    process, with its keys, looks like a file."""
    return path.resolve().parts[1:2] in (("proc",), ("sys",))


def attached(text: str, folder: Path) -> tuple[PromptFile, ...]:
    """Return the files that a text names, by content. Reads them: for a thread.

    Raises:
        PromptInvalidError: one cannot be read, or they are too large.
    """
    files: list[PromptFile] = []
    held = 0
    for name, path in named_files(text, folder):
        files.append(PromptFile.of(path, name=name))
        # No more of them is held than may be said.
        held += len(files[-1].data) * 3 // 4 - 2
        if held > MAX_FILES_BYTES:
            names = [one.name for one in files]
            rule = f"they are over {MAX_FILES_BYTES} bytes together"
            raise PromptInvalidError("attached files", names, rule)
    return tuple(files)
