"""The plugin that opens ``sqlite:`` URLs. Imports peewee only when one is opened."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from urllib.parse import parse_qsl, unquote, urlsplit

from dovetail.kernel import hookimpl
from dovetail.kernel.ports import Store
from dovetail.kernel.values.errors import InvalidValueError
from dovetail.kernel.values.frozen import frozen

LONGEST_WAIT = 3600.0


@frozen
class SqliteUrl:
    """What a URL says. ``path`` is None for a database in memory."""

    path: str | None
    busy_timeout: float = 5.0

    @classmethod
    def parse(cls, url: str) -> "SqliteUrl | None":
        """Return what a URL says, or None for a URL of another kind.

        ``sqlite:///a.db`` is relative to the working directory, ``sqlite:////a.db`` is
        absolute, ``sqlite://`` is in memory; ``%`` escapes stand for other characters.
        ``?busy_timeout=`` gives the seconds that a lock of another process is waited
        for.

        Raises:
            InvalidValueError: it is one of ours, and wrong.
        """
        if not _is_ours(url):
            return None
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise _refused(url, str(error)) from error
        if not url[7:].startswith("//") or parts.netloc:
            raise _refused(
                url,
                "write sqlite:///relative.db, sqlite:////absolute.db or sqlite://",
            )
        if parts.fragment:
            raise _refused(url, "write %23 for a # in the path")
        path = unquote(parts.path[1:])
        if "\0" in path:
            raise _refused(url, "a path cannot hold a NUL")
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        wait = _seconds(url, options.pop("busy_timeout", "5"))
        if options:
            raise _refused(url, f"unknown option {min(options)!r}")
        return cls(None if path in ("", ":memory:") else path, wait)


class SqlitePlugin:
    """Opens stores in SQLite files."""

    @hookimpl
    def dovetail_open_store(
        self, url: str
    ) -> AbstractAsyncContextManager[Store] | None:
        """Open ``sqlite:///path`` or ``sqlite://`` (in memory)."""
        return _opened(url) if _is_ours(url) else None


def _is_ours(url: str) -> bool:
    return url.partition(":")[0].lower() == "sqlite"


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Store]:
    # A wrong URL is refused in here: it is a mistake of whoever gave it, and what the
    # hook raises would be one of this plugin.
    parsed = SqliteUrl.parse(url)
    assert parsed is not None
    # Here, because a process that opens no SQLite store should not pay for it.
    from .sqlite.store import open_sqlite

    async with open_sqlite(parsed.path, busy_timeout=parsed.busy_timeout) as store:
        yield store


def _seconds(url: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= LONGEST_WAIT:
        raise _refused(
            url, f"busy_timeout is a number of seconds up to {LONGEST_WAIT:g}"
        )
    return seconds


def _refused(url: str, rule: str) -> InvalidValueError:
    return InvalidValueError("store URL", url, rule)


plugin = SqlitePlugin()
