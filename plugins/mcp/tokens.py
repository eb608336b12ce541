"""Tokens: what lets us in at a server after a person logged in there.

Owns one private file per server, and that what is in it is refreshed once for all
processes: whoever finds a token over takes a lock, looks again, and only then asks for
another one. Nothing here says a token in a message.
"""

import json
import os
import tempfile
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
import platformdirs
from anyio import to_thread
from attrs import asdict, evolve, field, frozen
from filelock import FileLock

EARLY = 60
"""Seconds before its end from which on a token is refreshed."""
LOCK_SECONDS = 60.0


class LoginNeededError(Exception):
    """Somebody has to log in first; the text says how."""

    def __init__(self, server: str) -> None:
        super().__init__(f"it wants a login: dovetail mcp login {server}")


@frozen
class Tokens:
    """What a login gave."""

    access: str = field(repr=False)
    refresh: str | None = field(default=None, repr=False)
    ends: float | None = None
    """Seconds since 1970; None: nobody said."""
    endpoint: str | None = None
    """Where it is refreshed."""
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    resource: str | None = None

    def over(self) -> bool:
        return self.ends is not None and time.time() > self.ends - EARLY

    def refreshing(self) -> httpx2.Request | None:
        """Return the request for other ones, or None where there can be none."""
        if not (self.refresh and self.endpoint and self.client_id):
            return None
        data = {
            "grant_type": "refresh_token",
            "refresh_token": self.refresh,
            "client_id": self.client_id,
        }
        for name, value in (
            ("client_secret", self.client_secret),
            ("resource", self.resource),
        ):
            if value:
                data[name] = value
        return httpx2.Request("POST", self.endpoint, data=data)

    def refreshed(self, answer: Mapping[str, Any]) -> "Tokens":
        """Return what an answer of the token endpoint gives. What it leaves out stays
        (RFC 6749, section 6)."""
        seconds = answer.get("expires_in")
        return evolve(
            self,
            access=str(answer["access_token"]),
            refresh=answer.get("refresh_token") or self.refresh,
            ends=None if seconds is None else time.time() + float(seconds),
        )


class TokenFile:
    """The tokens of one server, in a file of the user's own with mode 600."""

    def __init__(self, server: str, url: str, folder: Path | None = None) -> None:
        kept = folder or _folder()
        mark = sha256(url.encode()).hexdigest()[:16]
        self.path = kept / f"{server}-{mark}.json"

    def read(self) -> Tokens | None:
        """Return what is kept. What others could have read or written is not used."""
        with suppress(OSError, ValueError, TypeError):
            state = self.path.stat()
            private = not hasattr(os, "getuid") or (
                state.st_uid == os.getuid() and not state.st_mode & 0o077
            )
            if private:
                return Tokens(**json.loads(self.path.read_text()))
        return None

    def write(self, tokens: Tokens) -> None:
        """Keep tokens in place of those of before, whole or not at all."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Made with mode 600.
        number, name = tempfile.mkstemp(dir=self.path.parent, prefix=".tokens-")
        with os.fdopen(number, "w") as file:
            json.dump(asdict(tokens), file)
        os.replace(name, self.path)

    def remove(self) -> bool:
        """Forget them; return whether there were some."""
        with suppress(FileNotFoundError):
            self.path.unlink()
            return True
        return False

    def lock(self) -> FileLock:
        """Return what one process at a time holds."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Taken in one worker thread and given back in another.
        return FileLock(
            self.path.with_suffix(".lock"), timeout=LOCK_SECONDS, thread_local=False
        )


def _folder() -> Path:
    return platformdirs.user_config_path("dovetail", appauthor=False) / "mcp-tokens"


class StoredLogin(httpx2.Auth):
    """Shows a server the token that is kept for it, and refreshes it."""

    requires_response_body = True

    def __init__(self, server: str, file: TokenFile) -> None:
        self._server = server
        self._file = file

    async def async_auth_flow(
        self, request: httpx2.Request
    ) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """Add the token; where it is over or refused, another one, once."""
        tokens = await to_thread.run_sync(self._file.read)
        if tokens is None or tokens.over():
            async for one in _driven(self._refresh(tokens)):
                tokens = one if isinstance(one, Tokens) else tokens
                if isinstance(one, _Ask):
                    one.answer = yield one.request
        if tokens is not None:
            request.headers["Authorization"] = f"Bearer {tokens.access}"
        response = yield request
        if response.status_code != 401:
            return
        fresh: Tokens | None = None
        async for one in _driven(self._refresh(tokens)):
            fresh = one if isinstance(one, Tokens) else fresh
            if isinstance(one, _Ask):
                one.answer = yield one.request
        if fresh is None or (tokens is not None and fresh.access == tokens.access):
            raise LoginNeededError(self._server)
        request.headers["Authorization"] = f"Bearer {fresh.access}"
        response = yield request
        if response.status_code == 401:
            raise LoginNeededError(self._server)

    async def _refresh(self, seen: Tokens | None) -> AsyncGenerator[Any, None]:
        """Yield the question to ask, if there is one, and then what came of it."""
        if seen is None:
            return
        lock = self._file.lock()
        await to_thread.run_sync(lock.acquire)
        try:
            kept = await to_thread.run_sync(self._file.read)
            if kept is not None and kept.access != seen.access and not kept.over():
                yield kept  # another process was quicker
                return
            asking = (kept or seen).refreshing()
            if asking is None:
                return
            asked = _Ask(asking)
            yield asked
            answer = asked.answer
            if answer is None or answer.status_code != 200:
                return
            with suppress(ValueError, KeyError, TypeError):
                made = (kept or seen).refreshed(json.loads(await answer.aread()))
                await to_thread.run_sync(self._file.write, made)
                yield made
        finally:
            await to_thread.run_sync(lock.release)


class _Ask:
    def __init__(self, request: httpx2.Request) -> None:
        self.request = request
        self.answer: httpx2.Response | None = None


async def _driven(steps: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
    try:
        async for one in steps:
            yield one
    finally:
        await steps.aclose()
