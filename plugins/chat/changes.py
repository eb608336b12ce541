"""Changes: what a call does to files, line by line, as far as its arguments say so.

Owns where in the arguments of an editing tool its change is found. Knows no colours and
no width. Pure.
"""

from collections.abc import Mapping, Sequence
from difflib import unified_diff
from typing import Any

DIFF_CONTEXT = 2
PATCH = "*** Begin Patch"


def change_of(arguments: Mapping[str, Any]) -> Sequence[str]:
    """Return the lines of a change, each beginning with ``+``, ``-``, ``@`` or a space;
    none where a call does not edit."""
    old, new = arguments.get("old_string"), arguments.get("new_string")
    if isinstance(old, str) and isinstance(new, str):
        return changed_lines(old, new)
    content = arguments.get("content")
    if isinstance(content, str) and isinstance(arguments.get("path"), str):
        return [f"+{line}" for line in content.splitlines()]
    for value in arguments.values():
        if isinstance(value, str) and value.lstrip().startswith(PATCH):
            return patch_lines(value)
    return ()


def changed_lines(old: str, new: str) -> list[str]:
    """Return what changes from one text to the other, line by line."""
    diff = unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=DIFF_CONTEXT)
    # Without the two heads, and without numbers: they are of the part only.
    return [line for line in list(diff)[2:] if not line.startswith("@@")]


def patch_lines(patch: str) -> Sequence[str]:
    """Return a patch line by line, but for its outermost marks."""
    marks = ("*** Begin Patch", "*** End Patch")
    return [
        f"@ {line[4:]}" if line.startswith("*** ") else line
        for line in patch.splitlines()
        if line.strip() not in marks
    ]
