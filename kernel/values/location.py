"""Location: the directory, and perhaps workspace, that a session is placed in."""

import os
from pathlib import Path

from attrs import frozen

from .errors import LocationNotFoundError


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
