"""A table of a configuration file, which is asked for what it should hold.

Owns the types that settings have, and how a mistake is told: by the file and the path
of the key, and never by a value. Knows no setting.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..values.errors import ConfigurationError, ConfigurationUntrustedError
from ..values.tool import Json
from .file import FILE_NAME

MAX_DEPTH = 32
"""Of tables and arrays inside each other."""


def shown(name: str) -> str:
    """Return a key as TOML would write it, cut to a bearable length."""
    if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
        return name
    return repr(name if len(name) <= 64 else f"{name[:61]}...")


def where(at: Sequence[str | int]) -> str:
    """Return the path of a key as TOML would write it: ``agents.build.rules[3]``."""
    parts = [f"[{one}]" if isinstance(one, int) else f".{shown(one)}" for one in at]
    return "".join(parts).removeprefix(".")


class Table:
    """A table of a file, at a path of keys, that is asked for what it should hold."""

    def __init__(
        self, path: Path, at: tuple[str | int, ...], data: Mapping[str, Any]
    ) -> None:
        self.path = path
        self.at = at
        """The keys, and the positions in arrays, that lead to it."""
        self._data = data

    @classmethod
    def top(cls, path: Path, data: Mapping[str, Any]) -> "Table":
        return cls(path, (), data)

    # --- complaints ---------------------------------------------------------------

    def error(self, key: str, problem: str) -> ConfigurationError:
        at = (*self.at, key)
        return ConfigurationError(str(self.path), f"{where(at)} {problem}", at)

    def untrusted(self, key: str, problem: str) -> ConfigurationUntrustedError:
        return ConfigurationUntrustedError(
            str(self.path),
            f"{key} {problem}; if you trust this directory, add "
            f"{str(self.path.parent)!r} to `trusted` in your own {FILE_NAME}",
        )

    def ignored(self, key: str, what: str, folder: Path | None = None) -> str:
        """Say what is ignored because nobody vouches for the folder: the file's own,
        unless it belongs to another one."""
        return (
            f"{self.path}: {key}: {what} is ignored, because "
            f"{str(folder or self.path.parent)!r} is not in `trusted` of your own "
            f"{FILE_NAME}"
        )

    def _wrong(self, key: str, wanted: str) -> ConfigurationError:
        return self.error(key, f"must be {wanted}, not {_type(self._data[key])}")

    def only(self, *known: str) -> "Table":
        """Refuse every other key."""
        for key in self._data:
            if key not in known:
                from difflib import get_close_matches

                near = get_close_matches(key[:64], known, 1)
                advice = f"; did you mean {near[0]!r}?" if near else ""
                raise self.error(key, f"is not a known setting{advice}")
        return self

    # --- values -------------------------------------------------------------------

    def text(self, key: str) -> str | None:
        value = self._data.get(key)
        if value is None:
            return None
        if not isinstance(value, str):
            raise self._wrong(key, "a text")
        if not value.strip():
            raise self.error(key, "must not be empty")
        if "\0" in value:
            raise self.error(key, "must not hold a NUL character")
        return value

    def required(self, key: str) -> str:
        value = self.text(key)
        if value is None:
            raise self.error(key, "is missing")
        return value

    def texts(self, key: str) -> tuple[str, ...] | None:
        value = self._data.get(key)
        if value is None:
            return None
        if not isinstance(value, list):
            raise self._wrong(key, "an array of texts")
        for at, item in enumerate(value):
            if not isinstance(item, str) or not item.strip() or "\0" in item:
                raise self.error(key, f"must hold texts only; item {at} is none")
        return tuple(value)

    def count(self, key: str) -> int | None:
        value = self._data.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._wrong(key, "a whole number")
        if not 1 <= value < 2**31:
            raise self.error(key, "must be at least 1 and below 2**31")
        return value

    def flag(self, key: str) -> bool | None:
        value = self._data.get(key)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def table(self, key: str) -> "Table":
        """Return a table; one that is absent is empty."""
        value = self._data.get(key, {})
        if not isinstance(value, dict):
            raise self._wrong(key, "a table")
        return Table(self.path, (*self.at, key), value)

    def named(self, key: str) -> list[tuple[str, "Table"]]:
        """Return the tables of a table, by name."""
        outer = self.table(key)
        return [(name, outer.table(name)) for name in outer._data]

    def tables(self, key: str) -> list["Table"]:
        """Return an array of tables; one that is absent is empty."""
        value = self._data.get(key, [])
        if not isinstance(value, list):
            raise self._wrong(key, "an array of tables")
        for at, item in enumerate(value):
            if not isinstance(item, dict):
                raise self.error(key, f"must hold tables only; item {at} is none")
        return [
            Table(self.path, (*self.at, key, at), item) for at, item in enumerate(value)
        ]

    def json(self) -> dict[str, Json]:
        """Return the whole table as JSON data."""
        return {key: self._json(key, value, 1) for key, value in self._data.items()}

    def _json(self, key: str, value: Any, depth: int) -> Json:
        if depth > MAX_DEPTH:
            raise self.error(key, "nests too deeply")
        if isinstance(value, dict):
            return {
                name: self._json(key, item, depth + 1) for name, item in value.items()
            }
        if isinstance(value, list):
            return [self._json(key, item, depth + 1) for item in value]
        if isinstance(value, str | bool):
            return value
        if isinstance(value, int) and -(2**63) <= value < 2**64:
            return value
        if isinstance(value, float) and value - value == 0:
            return value
        raise self.error(key, f"holds {_type(value)}, which is not JSON; write a text")


def _type(value: object) -> str:
    return _TYPES.get(type(value), "a date or time")


_TYPES: dict[type, str] = {
    str: "a text",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    dict: "a table",
    list: "an array",
}
