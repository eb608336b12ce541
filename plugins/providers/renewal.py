"""Renewal: newer facts about models, fetched, looked at, and kept or not.

Owns that what is bad never takes the place of what is there, and that whoever reads
meanwhile, or after a crash, finds a whole copy.
"""

import contextlib
import os
import tempfile
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import orjson
from anyio import to_thread
from dovetail.kernel import ModelFactsError, ProviderError, Redactor
from filelock import FileLock, Timeout

from .routes import USER_AGENT
from .snapshot import Snapshot, UnsoundError, newest, written
from .transport import Target, open_transport

SECONDS = 120.0
"""How long all of it may take."""
CONNECT_SECONDS = 10.0
LOCK_SECONDS = 10.0
LEAST = 0.25
"""The part of the models known so far that newer facts must know as well: an answer
that lost most of them is cut, or somebody else's."""


async def renewed(url: str, copy: Path) -> str:
    """Fetch what models.dev, or whoever tells the same, knows now, and keep it.

    Returns in a sentence how much that is.

    Raises:
        ModelFactsError: it cannot be had or is not sound; what was there is kept.
    """
    host = _checked(url)
    target = Target(
        "catalog",
        url,
        (
            ("user-agent", USER_AGENT),
            ("accept", "application/json"),
            ("accept-encoding", "identity"),
        ),
        Redactor(),
        CONNECT_SECONDS,
        CONNECT_SECONDS,
    )
    try:
        with anyio.move_on_after(SECONDS) as waiting:
            async with open_transport() as transport:
                data = await transport.get(target)
    except ProviderError as error:
        raise ModelFactsError(host, error.problem) from None
    if waiting.cancelled_caught:
        raise ModelFactsError(host, f"it took more than {SECONDS:g} seconds")
    try:
        return await to_thread.run_sync(_kept, data, copy)
    except (UnsoundError, orjson.JSONDecodeError) as error:
        problem = str(error) if isinstance(error, UnsoundError) else "it is no JSON"
        raise ModelFactsError(host, problem) from None
    except OSError as error:
        problem = error.strerror or type(error).__name__
        raise ModelFactsError(host, f"{copy} cannot be written: {problem}") from error
    except Timeout:
        raise ModelFactsError(host, "another process renews them") from None


def _checked(url: str) -> str:
    """Return the host of an address that facts may come from: over https, or from this
    machine."""
    host, scheme, secret, local = "", "", False, False
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        host, scheme = parts.hostname or "", parts.scheme
        secret = parts.username is not None or parts.password is not None
        local = host == "localhost" or ip_address(host).is_loopback
    if not host or secret or scheme not in ("http", "https"):
        raise ModelFactsError("catalog", "its url is no https address")
    if scheme == "http" and not local:
        raise ModelFactsError(host, "its url must be https: prices are believed")
    return host


def _kept(data: bytes, copy: Path) -> str:
    made = written(orjson.loads(data))
    found, known = Snapshot(made), newest(copy)
    count = found.check()
    before = sum(len(known.rows(one)) for one in known.providers)
    if count < LEAST * before:
        raise UnsoundError(
            f"it knows of {count} models only, and {before} are known here"
        )
    copy.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(copy.with_suffix(".lock"), timeout=LOCK_SECONDS):
        descriptor, new = tempfile.mkstemp(prefix=".models-", dir=copy.parent)
        try:
            with open(descriptor, "wb") as file:
                file.write(made)
                file.flush()
                os.fsync(file.fileno())
            os.replace(new, copy)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(new)
            raise
    return f"{count} models of {len(found.providers)} providers"
