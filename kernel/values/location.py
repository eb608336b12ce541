"""Location: the directory, and perhaps workspace, that a session is placed in."""

import os
from pathlib import Path

from .errors import LocationNotFoundError
from .frozen import frozen


@frozen
class Location:
    """Where a session works. Equal Locations share one graph of services."""

    directory: str
    """Absolute and free of symbolic links, as it was when the Location was made."""
    workspace: str | None = None
    """Tells apart several workspaces on one directory."""

    @classmethod
    def at(cls, path: "str | os.PathLike[str] | Location") -> "Location":
        """Return the Location of an existing directory.

        Raises:
            LocationNotFoundError: there is no such directory.
        """
        if isinstance(path, Location):
            return path
        text = os.fspath(path)
        if "\0" in text:
            raise LocationNotFoundError(text)
        try:
            resolved = Path(text).expanduser().resolve(strict=True)
        except (OSError, RuntimeError) as error:
            raise LocationNotFoundError(text) from error
        if not resolved.is_dir():
            raise LocationNotFoundError(text, "it must be a directory")
        return cls(str(resolved))

    @property
    def path(self) -> Path:
        """The directory as a path."""
        return Path(self.directory)

    def checkout(self) -> Path | None:
        """Return the root of the innermost git checkout that holds the directory.

        Looks at the disk; call it in a thread.
        """
        for folder in (self.path, *self.path.parents):
            # A directory in a clone, a file in a worktree or a submodule.
            if os.path.lexists(folder / ".git"):
                return folder
        return None

    def resource(self, real: Path) -> str:
        """Return how rules and permissions name a file: relative to the directory with
        ``/``, or absolute outside it. ``real`` is absolute and free of links."""
        if real.is_relative_to(self.path):
            return real.relative_to(self.path).as_posix()
        return real.as_posix()

    def owners(self) -> frozenset[int] | None:
        """Return whose files above the directory may be trusted: those of this process,
        of the directory's owner and of root. None where files have no owner in this
        sense.

        In a folder that everybody may write to, anybody could leave orders.

        Raises:
            OSError: the directory is not there now.
        """
        getuid = getattr(os, "getuid", None)
        if getuid is None:
            return None
        # Whoever owns it may be another user than this process, in a container.
        return frozenset((0, getuid(), self.path.stat().st_uid))
