"""Settings: what is said about one server, read and checked.

Owns the keys of ``[mcp.NAME]``, those of ``.mcp.json``, and ``${NAME}`` in their
values. Knows nothing of the protocol.
"""

import json
import os
import re
import stat
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus, urlsplit

from attrs import evolve, field, frozen
from dovetail.kernel import ConfigurationError, Json, Redactor

FILE_NAME = ".mcp.json"
MAX_FILE = 262_144
"""Bytes of a ``.mcp.json``."""
MAX_SERVERS = 100
"""Servers of one Location."""
CALL_SECONDS = 300.0
LONGEST = 86_400.0

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}\Z")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_KEYS = frozenset(
    (
        *("command", "args", "env", "cwd", "url", "headers", "timeout", "trusted"),
        *("tools", "without", "enabled", "protocol", "type", "login", "client_id"),
        "client_secret",
    )
)
_USUAL = frozenset(("HOME", "LOGNAME", "PATH", "PWD", "SHELL", "TMPDIR", "USER"))
"""Variables that hold nothing that need be hidden."""
_SECRET_NAME = re.compile(
    r"key|token|secret|passw|credential|auth|cookie|dsn", re.IGNORECASE
)


WAIT_SECONDS = 4.0
"""How long a first Step waits for servers that are being begun."""
LONGEST_WAIT = 4.0
"""A Step waits no longer for what it is told of."""
ONCE_SECONDS = 30.0
"""How long they are waited for where only one thing is said."""
LONGEST_ONCE = 60.0


@frozen
class McpSettings:
    """The table ``[plugins.mcp]``. Servers are in ``[mcp.NAME]``."""

    wait: float = WAIT_SECONDS
    """Seconds that a first Step waits for servers at most, and no more than 4."""
    wait_once: float = ONCE_SECONDS
    """Seconds that a prompt waits for them where nothing is said after it, as in
    ``dovetail run``, and no more than 60."""
    logs: str | None = None
    """The folder of what servers write to their standard error."""
    checkout: bool = True
    """Whether ``.mcp.json`` of a trusted checkout is read."""


@frozen
class Server:
    """One server, as somebody named it."""

    name: str
    """What its tools begin with: a letter, then letters, digits, ``_`` and ``-``."""
    command: tuple[str, ...] = ()
    """The program and its arguments, for a server that is begun here."""
    url: str | None = None
    """Where it is, for one that is reached over HTTP."""
    env: Mapping[str, str] = field(factory=dict, repr=False)
    """Variables of its environment besides the few that every program needs."""
    cwd: str | None = None
    """The folder that it is begun in; None: the Location's."""
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    """Headers of every request to it."""
    timeout: float = CALL_SECONDS
    """Seconds that a call may take without a sign of progress."""
    trusted: bool = False
    """Whether what it says of the effects of its tools is believed."""
    tools: tuple[str, ...] | None = None
    """Its tools that are offered, by its own names for them; None: all."""
    without: tuple[str, ...] = ()
    """Its tools that are not."""
    enabled: bool = True
    """Whether it is used at all."""
    protocol: str = "auto"
    """``legacy`` asks for the handshake of before 2026 only."""
    client_id: str | None = None
    """The id of this client at its login, where none is given by registering."""
    source: str = "code"
    """Where it was named."""
    client_secret: str | None = field(default=None, repr=False)
    """What goes with ``client_id``, where the login knows this client by a secret."""
    hidden: frozenset[str] = field(default=frozenset(), repr=False)
    """What variables gave for ``${NAME}``, which no message and no list tells."""

    @classmethod
    def of(
        cls,
        name: str,
        table: Mapping[str, Json],
        environment: Mapping[str, str],
        source: str,
    ) -> "Server":
        """Read a table.

        Raises:
            ConfigurationError: the name or a key cannot be used. The message names
                both, and never a value.
        """
        return _Reader(name, table, environment, source).server()

    def redactor(self) -> Redactor:
        """Return what takes the secrets of this server out of a text: of its headers
        and its URL, of variables that were filled in, and of its environment what is
        called like a secret."""
        secrets = {*self.hidden, *self.headers.values()}
        secrets |= {one for name, one in self.env.items() if _SECRET_NAME.search(name)}
        # A header may say what kind of secret it is before it says it.
        secrets |= {one.partition(" ")[2] for one in self.headers.values()}
        secrets |= {self.client_secret or "", *_secrets_in(self.url or "")}
        return Redactor(secrets)


class _Reader:
    def __init__(
        self,
        name: str,
        table: Mapping[str, Json],
        environment: Mapping[str, str],
        source: str,
    ) -> None:
        self._name = name
        self._table: Mapping[str, Any] = table
        self._environment = environment
        self._source = source
        self._hidden: set[str] = set()

    def server(self) -> Server:
        if not isinstance(self._name, str) or not _NAME.match(self._name):
            raise ConfigurationError(
                self._source,
                f"mcp.{str(self._name)[:64]!r}: a name is 1 to 32 ASCII letters, "
                "digits, '_' and '-', letter first",
            )
        for key in self._table:
            if key not in _KEYS:
                raise self._wrong(key, "is not a known setting")
        command = self._table.get("command", ())
        if command == "":
            raise self._wrong("command", "must not be empty")
        words = (command,) if isinstance(command, str) else self._texts("command") or ()
        made = Server(
            self._name,
            (*(self._filled("command", one) for one in words), *self._args()),
            self._text("url"),
            self._texts_by_name("env"),
            self._text("cwd"),
            self._texts_by_name("headers"),
            self._seconds(),
            self._flag("trusted", usual=False),
            self._texts("tools"),
            self._texts("without") or (),
            self._flag("enabled", usual=True),
            self._text("protocol") or "auto",
            self._text("client_id"),
            self._source,
            self._text("client_secret"),
        )
        # Not before all is read that fills something in.
        made = evolve(made, hidden=frozenset(self._hidden))
        if bool(words) == bool(made.url) or (made.url and made.command):
            raise self._wrong("command", "or url must be given, and not both")
        if made.url and not re.match(r"https?://[!-~]+\Z", made.url):
            raise self._wrong("url", "must begin with https:// or http://")
        for name, value in made.headers.items():
            # Told here and without the value: what would carry it quotes a part of it.
            if not re.match(r"[!-~]+\Z", name) or not re.match(r"[\t -~]*\Z", value):
                raise self._wrong(
                    "headers", f"of {name[:64]!r} must be a line of printable ASCII"
                )
        if made.client_secret and not made.client_id:
            raise self._wrong("client_secret", "is that of a client_id, which is not")
        if made.protocol not in ("auto", "legacy"):
            raise self._wrong("protocol", 'must be "auto" or "legacy"')
        return made

    def _args(self) -> tuple[str, ...]:
        return tuple(
            self._filled("args", one) for one in self._texts("args", empty=True) or ()
        )

    def _wrong(self, key: str, why: str) -> ConfigurationError:
        return ConfigurationError(
            self._source, f"mcp.{self._name}.{str(key)[:64]} {why}"
        )

    def _filled(self, key: str, text: str) -> str:
        """Return a text with ``${NAME}`` and ``${NAME:-otherwise}`` filled in."""

        def value(match: "re.Match[str]") -> str:
            found = self._environment.get(match[1], match[2])
            if found is None:
                raise self._wrong(key, f"needs {match[1]!r}, which is not set")
            if match[1] in self._environment and match[1] not in _USUAL:
                self._hidden.add(found)
            return found

        return _VARIABLE.sub(value, text)

    def _text(self, key: str) -> str | None:
        value = self._table.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip() or "\0" in value:
            raise self._wrong(key, "must be a text, and not empty")
        return self._filled(key, value)

    def _texts(self, key: str, *, empty: bool = False) -> tuple[str, ...] | None:
        value = self._table.get(key)
        if value is None:
            return None
        if not isinstance(value, list | tuple) or not all(
            isinstance(one, str) and (one or empty) and "\0" not in one for one in value
        ):
            raise self._wrong(key, "must be a list of texts")
        return tuple(value)

    def _texts_by_name(self, key: str) -> dict[str, str]:
        value = self._table.get(key, {})
        if not isinstance(value, Mapping) or not all(
            isinstance(one, str) and "\0" not in one and "\n" not in name
            for name, one in value.items()
        ):
            raise self._wrong(key, "must be a table of texts")
        return {name: self._filled(key, one) for name, one in value.items()}

    def _flag(self, key: str, *, usual: bool) -> bool:
        value = self._table.get(key, usual)
        if not isinstance(value, bool):
            raise self._wrong(key, "must be true or false")
        return value

    def _seconds(self) -> float:
        value = self._table.get("timeout", CALL_SECONDS)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 < value <= LONGEST:
            raise self._wrong("timeout", f"must be seconds, at most {LONGEST:g}")
        return float(value)


def configured(
    tables: Mapping[str, Mapping[str, Json]],
    environment: Mapping[str, str],
    source: str = "dovetail.toml",
) -> tuple[list[Server], list[str]]:
    """Return the servers of some tables, and what is wrong with the others: one
    mistake hides no other server."""
    found: list[Server] = []
    wrong: list[str] = []
    for name, table in tables.items():
        try:
            found.append(Server.of(name, table, environment, source))
        except ConfigurationError as error:
            wrong.append(str(error))
    return found, wrong


def of_checkout(
    folder: Path, trusted: Collection[str], environment: Mapping[str, str]
) -> tuple[list[Server], list[str]]:
    """Return the servers of a folder's ``.mcp.json``, and what is wrong with others.

    The file came with the checkout: unless the person vouches for the folder, nothing
    of it is used, and that is said. Looks at the disk; call it in a thread.
    """
    path = folder / FILE_NAME
    try:
        data = _bytes(path)
    except (FileNotFoundError, NotADirectoryError):
        return [], []
    except OSError as error:
        return [], [f"{path}: it cannot be read: {error.strerror or error}"]
    if os.path.realpath(folder) not in trusted:
        why = f"ignored, because {str(folder)!r} is not in `trusted` of your own"
        return [], [f"{path}: {why} dovetail.toml"]
    try:
        tables = json.loads(data, object_pairs_hook=_once)["mcpServers"]
        tables = {name: dict(one) for name, one in tables.items()}
    except _TwiceError as error:
        return [], [f"{path}: it names {error.args[0][:64]!r} twice in one object"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return [], [f"{path}: it must be JSON with an object 'mcpServers' of objects"]
    tables = {
        name: {key: value for key, value in one.items() if key in _KEYS}
        for name, one in tables.items()
    }
    return configured(tables, environment, str(path))


class _TwiceError(Exception):
    """A name stands twice in one object."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object in which each name stands once: of two, a person who vouches for
    the file may have read the other one."""
    made: dict[str, Any] = {}
    for name, value in pairs:
        if name in made:
            raise _TwiceError(name)
        made[name] = value
    return made


def _bytes(path: Path) -> bytes:
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
    with open(os.open(path, flags), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(0, "it is no regular file")
        data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise OSError(0, f"it is over {MAX_FILE} bytes")
    return data


def together(*several: list[Server]) -> tuple[list[Server], list[str]]:
    """Return the servers of several places in the order of their names; of equal names
    the one of the first place, and that is said."""
    found: dict[str, Server] = {}
    said: list[str] = []
    for servers in several:
        for one in servers:
            if one.name in found:
                said.append(f"{one.source}: mcp.{one.name} is named elsewhere, too")
            else:
                found[one.name] = one
    ordered = [found[name] for name in sorted(found) if found[name].enabled]
    if len(ordered) > MAX_SERVERS:
        said.append(f"only the first {MAX_SERVERS} MCP servers are used")
    return ordered[:MAX_SERVERS], said


def _secrets_in(url: str) -> set[str]:
    """Return the password in a URL, and what of its query is called like a secret: as
    they are written and as they are meant."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return set()
    written = {parts.password or ""}
    for one in parts.query.split("&"):
        name, _, value = one.partition("=")
        if _SECRET_NAME.search(name):
            written.add(value)
    return {*written, *map(unquote_plus, written)}


def without_secrets(server: Server) -> Server:
    """Return a server as it may be shown: names of variables, and no secret."""
    hide = server.redactor()
    stars = dict.fromkeys
    return evolve(
        server,
        command=tuple(map(hide, server.command)),
        url=None if server.url is None else hide(server.url),
        env=stars(server.env, "***"),
        headers=stars(server.headers, "***"),
        cwd=None if server.cwd is None else hide(server.cwd),
        client_secret=None,
        hidden=frozenset(),
    )
