"""Changes of files: what is kept of each, so that whoever goes back can have it again.

Owns what is not kept: what is large, and what holds a key (law access.6). Contents are
kept by their digest, each once in the whole store, for as long as an event names them.
"""

import hashlib
from collections.abc import Callable, Sequence

from ..ports import Transaction
from ..values.codec import clean_text
from ..values.frozen import frozen
from ..values.tool import FileChange

MAX_KEPT = 2 * 1024 * 1024
"""Bytes of a content that is kept."""
MAX_WHY = 500
"""Characters of why nothing is known of one."""


@frozen
class KeptChange:
    """One change of a file, with what is to be kept of it."""

    change: FileChange
    contents: tuple[bytes, ...] = ()

    @classmethod
    def of(
        cls,
        path: str,
        before: bytes | None,
        after: bytes | None,
        redact: Callable[[str], str],
        unknown: str | None = None,
        folders: int = 0,
    ) -> "KeptChange":
        """Return what a tool said, with the digests, and what may be kept."""
        if unknown is not None:
            told = redact(clean_text(unknown))[:MAX_WHY]
            return cls(FileChange(path, None, _digest(after), told, folders))
        contents = [one for one in (before, after) if one is not None]
        reasons = [_unkept(one, redact) for one in contents]
        unkept = next((one for one in reasons if one is not None), None)
        change = FileChange(path, _digest(before), _digest(after), unkept, folders)
        return cls(change, () if unkept else tuple(contents))


def kept(rows: Transaction, changes: Sequence[KeptChange]) -> tuple[FileChange, ...]:
    """Keep the contents, and return what is recorded of the changes."""
    for one in changes:
        for content in one.contents:
            rows.put_blob(content)
    return tuple(one.change for one in changes)


def _digest(content: bytes | None) -> str | None:
    return None if content is None else hashlib.sha256(content).hexdigest()


def _unkept(content: bytes, redact: Callable[[str], str]) -> str | None:
    if len(content) > MAX_KEPT:
        return f"it has {len(content):,} bytes, and up to {MAX_KEPT:,} are kept"
    text = content.decode(errors="replace")
    return "it holds a key" if redact(text) != text else None
