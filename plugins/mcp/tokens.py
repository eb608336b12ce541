"""Tokens: what lets us in at a server after a person logged in there.

Owns one private file per server, and that what is in it is refreshed once for all
processes: whoever finds a token over takes a lock, looks again, and only then asks for
another one. Once it is asked for, that is not cut off by anything here: where refresh
tokens are good for one time, an answer that nobody keeps is a login that is lost.
Nothing here says a token in a message, and none is sent where others can read it.
"""

import ipaddress
import json
import os
import re
import tempfile
import time
from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import anyio
import httpx2
import platformdirs
from anyio import to_thread
from attrs import asdict, evolve, field, frozen
from filelock import FileLock, Timeout

EARLY = 60
"""Seconds before its end from which on a token is refreshed, if it lasts that long."""
LOCK_SECONDS = 60.0
LOOK_SECONDS = 0.05
"""Pause between two looks whether another process is ready."""
REFRESH_SECONDS = 30.0
MAX_CHALLENGE = 16_384
MAX_SCOPES = 4_000
"""Characters of the scopes that a server may ask for."""
REFUSED = -32_052
OVER = frozenset(("invalid_grant", "invalid_client", "unauthorized_client"))
"""Answers of a token endpoint after which only a person can log in again (RFC 6749,
section 5.2)."""


class RefreshError(Exception):
    """A login could not be refreshed now; another time it may be."""


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
    method: str | None = None
    """How a client with a secret shows it: ``client_secret_basic``, or else in the
    form."""
    revocation: str | None = None
    """Where it is given back (RFC 7009)."""
    since: float = 0.0
    """When they were given, in seconds since 1970."""
    scope: str | None = None
    """What they are for; None: nobody said."""
    needed: str | None = None
    """What the server asked for since then that they are not for."""

    def wanted(self) -> str | None:
        """Return what another login is asked for: what this one is for, and what it
        is not."""
        return both_scopes(self.scope, self.needed)

    def ended(self) -> bool:
        return self.ends is not None and time.time() > self.ends

    def over(self) -> bool:
        if self.ends is None:
            return False
        # One that is good for a minute is not over from the beginning.
        early = min(EARLY, (self.ends - self.since) / 2)
        return time.time() > self.ends - early

    def refreshing(self) -> httpx2.Request | None:
        """Return the request for other ones, or None where there can be none."""
        if not (self.refresh and self.endpoint and self.client_id):
            return None
        data = {"grant_type": "refresh_token", "refresh_token": self.refresh}
        if self.resource:
            data["resource"] = self.resource
        return self._asking(self.endpoint, data)

    def giving_back(self) -> httpx2.Request | None:
        """Return the request that ends them, or None where there can be none."""
        if not (self.revocation and self.client_id):
            return None
        data = {"token": self.refresh or self.access}
        return self._asking(self.revocation, data)

    def _asking(self, url: str, data: dict[str, str]) -> httpx2.Request:
        assert self.client_id is not None
        return asking(url, data, self.client_id, self.client_secret, self.method)

    def refreshed(self, answer: Mapping[str, Any]) -> "Tokens":
        """Return what an answer of the token endpoint gives. What it leaves out stays
        (RFC 6749, section 6)."""
        other = answer.get("refresh_token")
        scope = answer.get("scope")
        return evolve(
            self,
            scope=scope if isinstance(scope, str) else self.scope,
            access=str(answer["access_token"]),
            refresh=other if isinstance(other, str) and other else self.refresh,
            ends=ending(answer.get("expires_in")),
            since=time.time(),
        )


def both_scopes(one: str | None, other: str | None) -> str | None:
    """Return the scopes of two lists, each once, those of the first before the others;
    None where there is none."""
    found = dict.fromkeys([*(one or "").split(), *(other or "").split()])
    return " ".join(found) or None


def ending(seconds: object) -> float | None:
    """Return when a token ends that is good for so many seconds; None where nobody
    says."""
    if isinstance(seconds, int | float | str):
        with suppress(ValueError, OverflowError):
            return time.time() + float(seconds)
    return None


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
            ours = not hasattr(os, "getuid") or (
                state.st_uid == os.getuid() and not state.st_mode & 0o077
            )
            if ours:
                return Tokens(**json.loads(self.path.read_text()))
        return None

    def write(self, tokens: Tokens) -> None:
        """Keep tokens in place of those of before, whole or not at all."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Made with mode 600.
        number, name = tempfile.mkstemp(dir=self.path.parent, prefix=".tokens-")
        with os.fdopen(number, "w") as file:
            json.dump(asdict(tokens), file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, self.path)

    def remove(self) -> Tokens | None:
        """Forget them, and return what there was. Waits for whoever refreshes them:
        otherwise they would be there again."""
        if not self.path.exists():
            return None
        with self.lock():
            kept = self.read()
            self.path.unlink(missing_ok=True)
        return kept

    def lock(self) -> FileLock:
        """Return what one process at a time holds."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Taken in one worker thread and given back in another.
        return FileLock(
            self.path.with_suffix(".lock"), timeout=LOCK_SECONDS, thread_local=False
        )

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Hold the lock. Waiting for it can be cancelled, unlike a thread.

        Raises:
            RefreshError: somebody else holds it for too long.
        """
        lock = self.lock()
        end = anyio.current_time() + LOCK_SECONDS
        while not await to_thread.run_sync(_taken, lock):
            if anyio.current_time() > end:
                raise RefreshError("its login is being refreshed by another process")
            await anyio.sleep(LOOK_SECONDS)
        try:
            yield
        finally:
            lock.release()


def _taken(lock: FileLock) -> bool:
    with suppress(Timeout):
        lock.acquire(timeout=0)
        return True
    return False


def asking(
    url: str,
    data: Mapping[str, str],
    client_id: str,
    client_secret: str | None = None,
    method: str | None = None,
) -> httpx2.Request:
    """Return a request of a client to an authorization server (RFC 6749, section
    2.3.1)."""
    form = {**data, "client_id": client_id}
    headers = {"Accept": "application/json"}
    if client_secret and method == "client_secret_basic":
        pair = f"{quote(client_id, safe='')}:{quote(client_secret, safe='')}"
        headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    elif client_secret:
        form["client_secret"] = client_secret
    return httpx2.Request("POST", url, data=form, headers=headers)


def here(url: str) -> bool:
    """Whether an address is one of this machine."""
    host = urlsplit(url).hostname or ""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def private(url: str) -> bool:
    """Whether nobody on the way can read what is sent to an address."""
    return urlsplit(url).scheme == "https" or here(url)


def _folder() -> Path:
    return platformdirs.user_config_path("dovetail", appauthor=False) / "mcp-tokens"


def _wanted_scopes(response: httpx2.Response) -> str | None:
    """Return the scopes that an answer asks for because ours are too few, as they are
    sent; None where it does not."""
    said = "".join(response.headers.get_list("www-authenticate"))[:MAX_CHALLENGE]
    if not re.search(r'\berror="?insufficient_scope\b', said):
        return None
    found = re.search(r'(?<![\w-])scope=(?:"([^"]*)"|([^\s,"]+))', said)
    scopes = (found[1] or found[2] or "").split() if found else []
    # What a scope may be (RFC 6749, section 3.3).
    sound = [one for one in scopes if re.fullmatch(r"[!#-\[\]-~]{1,150}", one)]
    return " ".join([*dict.fromkeys(sound)][:20]) or None


def _say_instead(response: httpx2.Response, text: str) -> None:
    """Put an error of the protocol in the place of the body of an answer."""
    said = {"jsonrpc": "2.0", "id": None, "error": {"code": REFUSED, "message": text}}
    stream = response.stream
    assert isinstance(stream, httpx2.AsyncByteStream)
    response.headers["content-type"] = "application/json"
    response.headers.pop("content-length", None)
    response.stream = _Instead(json.dumps(said).encode(), stream)


class _Instead(httpx2.AsyncByteStream):
    """A body in place of another one, which is closed with it."""

    def __init__(self, body: bytes, stream: httpx2.AsyncByteStream) -> None:
        self._body = body
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body

    async def aclose(self) -> None:
        await self._stream.aclose()


class StoredLogin(httpx2.Auth):
    """Shows a server the token that is kept for it, and refreshes it."""

    def __init__(
        self,
        server: str,
        file: TokenFile,
        client: Callable[[], httpx2.AsyncClient] = httpx2.AsyncClient,
    ) -> None:
        """``client`` makes what asks for other tokens."""
        self._server = server
        self._file = file
        self._client = client

    async def async_auth_flow(
        self, request: httpx2.Request
    ) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """Add the token; where it is over or refused, another one, once.

        Raises:
            LoginNeededError: nothing lets us in any more.
            RefreshError: there may be another token, and it is not to be had now.
        """
        tokens = await to_thread.run_sync(self._file.read)
        if tokens is not None and tokens.over():
            try:
                tokens = await self._fresh(tokens) or tokens
            except RefreshError:
                # It is asked for early: what is kept may do until next time.
                if tokens.ended():
                    raise
        if tokens is not None:
            request.headers["Authorization"] = f"Bearer {tokens.access}"
        response = yield request
        if response.status_code == 403 and tokens is not None:
            await self._not_enough(response)
        if response.status_code != 401:
            return
        fresh = None if tokens is None else await self._fresh(tokens)
        if fresh is None:
            raise LoginNeededError(self._server)
        request.headers["Authorization"] = f"Bearer {fresh.access}"
        response = yield request
        if response.status_code == 403:
            await self._not_enough(response)
        if response.status_code == 401:
            raise LoginNeededError(self._server)

    async def _not_enough(self, response: httpx2.Response) -> None:
        """Where a server wants a login that is for more (RFC 6750, section 3.1), keep
        what for, and have the answer say so. It is the answer of one request: what
        this login is for goes on. Nobody logs in again for what a login is for
        already."""
        wanted = _wanted_scopes(response)
        if wanted is None:
            return
        why = f"this login is not for it; {wanted} is what it wants"
        async with self._file.held():
            kept = await to_thread.run_sync(self._file.read)
            if kept is not None:
                has = set((kept.scope or "").split())
                if has.issuperset(wanted.split()):
                    why = f"it refuses a login that is for {wanted}"
                else:
                    why += f": dovetail mcp login {self._server}"
                    needed = both_scopes(kept.needed, wanted)
                    if needed != kept.needed and len(needed or "") <= MAX_SCOPES:
                        made = evolve(kept, needed=needed)
                        await to_thread.run_sync(self._file.write, made)
        _say_instead(response, why)

    async def _fresh(self, seen: Tokens) -> Tokens | None:
        """Return other tokens than those that were seen, or None where there can be
        none."""
        found: Tokens | None = None
        async with self._file.held():
            kept = await to_thread.run_sync(self._file.read)
            if kept is None:
                return None  # forgotten meanwhile
            if kept.access != seen.access and not kept.over():
                return kept  # another process was quicker
            request = kept.refreshing()
            if request is None:
                return None
            if not private(str(request.url)):
                raise RefreshError("its login is refreshed at a place without TLS")
            # From here on what is kept may be worth nothing any more.
            with anyio.CancelScope(shield=True):
                found = await self._asked(kept, request)
        return found

    async def _asked(self, kept: Tokens, request: httpx2.Request) -> Tokens | None:
        why = f"no answer in {REFRESH_SECONDS:g} s"
        answer: httpx2.Response | None = None
        try:
            with anyio.move_on_after(REFRESH_SECONDS):
                async with self._client() as client:
                    answer = await client.send(request)
        except httpx2.HTTPError as error:
            why = type(error).__name__
        if answer is not None:
            said = json_of(answer)
            if answer.status_code == 200 and isinstance(said.get("access_token"), str):
                made = kept.refreshed(said)
                await to_thread.run_sync(self._file.write, made)
                return made
            if said.get("error") in OVER:
                # Nobody asks with it again.
                gone = evolve(kept, refresh=None)
                await to_thread.run_sync(self._file.write, gone)
                return None
            why = f"HTTP {answer.status_code}"
        raise RefreshError(f"its login could not be refreshed: {why}")


def json_of(answer: httpx2.Response) -> dict[str, Any]:
    """Return the object that an answer holds; an empty one where it holds none."""
    with suppress(ValueError, RecursionError):
        said = answer.json()
        if isinstance(said, dict):
            return said
    return {}
