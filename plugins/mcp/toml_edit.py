"""Editing: one ``[mcp.NAME]`` table put into a ``dovetail.toml``, or taken out.

Owns that nothing else of the file changes: what a person wrote stays to the letter, and
what the file means afterwards is compared before it is written.
"""

import json
import os
import re
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dovetail.kernel import ConfigurationError

_HEADER = re.compile(r"[ \t]*\[[^\[\]]+\][ \t]*(?:#.*)?$")


def put(path: Path, name: str, table: Mapping[str, Any]) -> None:
    """Add a table at the end of a file, which is made where it is not there.

    Raises:
        ConfigurationError: there is one of this name, or the file is none of ours.
    """
    text = _read(path)
    known = _meaning(path, text)
    if name in known.get("mcp", {}):
        raise ConfigurationError(str(path), f"mcp.{name} is there already")
    lines = [f"[mcp.{name}]"]
    inner: list[str] = []
    for key, value in table.items():
        if isinstance(value, Mapping):
            inner += ["", f"[mcp.{name}.{key}]"]
            inner += [f"{_key(one)} = {_value(each)}" for one, each in value.items()]
        else:
            lines.append(f"{key} = {_value(value)}")
    gap = "" if not text or text.endswith("\n\n") else "\n" * (1 + (text[-1] != "\n"))
    made = text + gap + "\n".join([*lines, *inner]) + "\n"
    wanted = {**known, "mcp": {**known.get("mcp", {}), name: dict(table)}}
    _write(path, made, wanted)


def take(path: Path, name: str) -> None:
    """Take a table out of a file.

    Raises:
        ConfigurationError: there is none of this name, or it stands in the file in
            another way than as a table of its own.
    """
    text = _read(path)
    known = _meaning(path, text)
    if name not in known.get("mcp", {}):
        raise ConfigurationError(str(path), f"there is no mcp.{name}")
    ours = re.compile(rf"[ \t]*\[mcp\.{re.escape(name)}(?:\.[^\]]*)?\][ \t]*(?:#.*)?$")
    kept: list[str] = []
    inside = False
    for line in text.splitlines(keepends=True):
        if _HEADER.match(line.rstrip("\r\n")):
            inside = bool(ours.match(line.rstrip("\r\n")))
        if not inside:
            kept.append(line)
    servers = {one: each for one, each in known["mcp"].items() if one != name}
    wanted = {key: value for key, value in known.items() if key != "mcp"}
    if servers:
        wanted["mcp"] = servers
    _write(path, "".join(kept), wanted)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    # JSON's texts, numbers and truth values are TOML's as well.
    return json.dumps(value, ensure_ascii=True).replace("\x7f", "\\u007f")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(str(path), f"it cannot be read: {error}") from error


def _meaning(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise ConfigurationError(str(path), f"it is not TOML: {error}") from error


def _write(path: Path, text: str, wanted: Mapping[str, Any]) -> None:
    try:
        same = tomllib.loads(text) == wanted
    except ValueError:
        same = False
    if not same:
        raise ConfigurationError(
            str(path), "its [mcp] stands there in another way: change it by hand"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        target = path.resolve()
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
        number, name = tempfile.mkstemp(dir=target.parent, prefix=".dovetail-")
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(name, mode)
        os.replace(name, target)
    except OSError as error:
        raise ConfigurationError(str(path), f"it cannot be written: {error}") from error
