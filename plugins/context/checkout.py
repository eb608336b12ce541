"""The git checkout around a directory. Reads the file system; call it in a thread."""

import os
from pathlib import Path


def checkout_root(directory: Path) -> Path | None:
    """Return the root of the innermost git checkout that holds the directory."""
    for folder in (directory, *directory.parents):
        # A directory in a clone, a file in a worktree or a submodule.
        if os.path.lexists(folder / ".git"):
            return folder
    return None
