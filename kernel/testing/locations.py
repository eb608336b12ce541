"""Locations of tests: directories with files in them."""

from collections.abc import Mapping
from pathlib import Path

from ..values.errors import InvalidValueError
from ..values.location import Location


def filled_location(folder: Path, files: Mapping[str, str | bytes]) -> Location:
    """Write files into a directory and return it as a Location.

    ``files`` maps paths in it to text, written as it is in UTF-8, or to bytes.

    Raises:
        InvalidValueError: a path leads out of the directory; nothing was written.
    """
    location = Location.at(folder)
    targets = {name: (location.path / name).resolve() for name in files}
    for name, target in targets.items():
        if location.path not in target.parents:
            raise InvalidValueError("path", name, "must lead to a file in the Location")
    for name, content in files.items():
        targets[name].parent.mkdir(parents=True, exist_ok=True)
        data = content.encode() if isinstance(content, str) else content
        targets[name].write_bytes(data)
    return location
