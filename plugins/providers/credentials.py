"""Credentials that a ``[providers.NAME]`` table names: a command, or the keyring.

Owns how either is asked. What is asked when, and how long an answer is kept, is the
kernel's. Imported when a table names one. No message made here holds what was answered.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NoReturn

import anyio
import orjson
from anyio import to_thread
from dovetail.kernel import (
    ConfigurationError,
    Credential,
    CredentialSource,
    ProviderError,
)

MAX_OUTPUT = 65_536
"""Bytes that a command may answer."""
COMMAND_SECONDS = 30.0
"""How long it may take: some renew a login first."""
LASTS = 300.0
"""Seconds that a key is used whose command does not say when it ends."""
_SECRETS = ("token", "access_token", "accessToken", "key", "api_key")
_ENDS = ("expires_on", "expires_at", "expires", "expiration", "expiry", "expiresOn")


def of_command(
    provider: str,
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    lasts: float,
    bearer: bool,
    now: Callable[[], float],
) -> CredentialSource:
    """Return what runs a command for a key, without a shell: its output, or an object
    in JSON that says when it ends, as those of cloud providers print it.

    Raises:
        ConfigurationError: the program is named by a path that depends on where it is
            started.
    """
    program = os.path.expanduser(command[0])
    if os.path.dirname(program) and not os.path.isabs(program):
        raise ConfigurationError(
            f"api_key_command of [providers.{provider}]",
            "name a program, an absolute path, or one from ~",
        )
    argv = [program, *command[1:]]

    async def fetch(refused: Credential | None) -> Credential:
        answer = await _output(provider, argv, environment)
        return _read(provider, answer, lasts, bearer, now())

    about = f"the command {os.path.basename(program)}"
    return CredentialSource(provider, fetch, repr(argv), about)


def of_keyring(
    provider: str, service: str, user: str, *, bearer: bool
) -> CredentialSource:
    """Return what asks the keyring of the user's system; it needs the extra
    ``keyring``."""

    async def fetch(refused: Credential | None) -> Credential:
        # In a thread: it may wait for somebody who unlocks it.
        found = await to_thread.run_sync(look, abandon_on_cancel=True)
        if not found:
            _fail(provider, f"the keyring holds none for {service!r} and {user!r}")
        return Credential(found, bearer=bearer)

    def look() -> str | None:
        try:
            import keyring
        except ImportError:
            _fail(provider, "the keyring needs: pip install 'dovetail[keyring]'")
        try:
            found: str | None = keyring.get_password(service, user)
        except Exception as error:
            # Boundary: one of many programs of the system, whose words may be anything.
            _fail(provider, f"the keyring cannot be asked ({type(error).__name__})")
        return found

    return CredentialSource(provider, fetch, f"{service}\n{user}", "the keyring")


async def _output(
    provider: str, argv: list[str], environment: Mapping[str, str]
) -> bytes:
    home = environment.get("HOME") or os.sep
    told = f"the command {os.path.basename(argv[0])!r} of api_key_command"
    try:
        process = await anyio.open_process(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # Not the Location: what lies there is not to be found as a program's own.
            cwd=home,
            env=dict(environment),
            start_new_session=True,
        )
    except OSError as error:
        problem = error.strerror or type(error).__name__
        _fail(provider, f"{told} cannot be run: {problem}")
    answer = bytearray()
    try:
        with anyio.move_on_after(COMMAND_SECONDS) as waiting:
            assert process.stdout is not None
            async for chunk in process.stdout:
                answer += chunk
                if len(answer) > MAX_OUTPUT:
                    _fail(provider, f"{told} printed more than {MAX_OUTPUT} bytes")
            await process.wait()
        if waiting.cancelled_caught:
            _fail(provider, f"{told} did not end within {COMMAND_SECONDS:g} seconds")
    finally:
        with anyio.CancelScope(shield=True):
            await _end(process)
    if process.returncode:
        _fail(provider, f"{told} ended with {process.returncode}; run it to see why")
    return bytes(answer)


async def _end(process: "anyio.abc.Process") -> None:
    """End a process with all that it started."""
    if sys.platform == "win32":
        if process.returncode is None:
            process.kill()
    else:
        # Also when it ended by itself: what it left behind has its group.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    await process.aclose()


def _read(
    provider: str, answer: bytes, lasts: float, bearer: bool, now: float
) -> Credential:
    text = answer.decode("utf-8", "replace").strip()
    ends: float | None = now + lasts
    if text.startswith("{"):
        try:
            found: Any = orjson.loads(text)
        except orjson.JSONDecodeError:
            found = None
        told = found if isinstance(found, dict) else {}
        texts = (told.get(name) for name in _SECRETS)
        text = next((one for one in texts if isinstance(one, str) and one), "")
        ends = _end_of(told, now) or ends
        bearer = bearer or str(told.get("token_type", told.get("tokenType", ""))) != ""
    if not text:
        _fail(provider, "the command of api_key_command printed no key")
    return Credential(text, None if ends is None else int(ends * 1000), bearer)


def _end_of(told: Mapping[str, Any], now: float) -> float | None:
    """Return when a token ends that was told of, in seconds since 1970."""
    within = _number(told.get("expires_in", told.get("expiresIn")))
    if within is not None:
        return now + within
    for name in _ENDS:
        value = told.get(name)
        number = _number(value)
        if number is not None:
            # Some count milliseconds; no year has as many seconds.
            return number / 1000 if number > 1e11 else number
        if isinstance(value, str):
            try:
                when = datetime.fromisoformat(value)
            except ValueError:
                continue
            # Azure's command line tells the time of this machine, without a zone.
            return (when if when.tzinfo else when.astimezone(UTC)).timestamp()
    return None


def _number(value: Any) -> float | None:
    if isinstance(value, str) and re.fullmatch(r"\d{1,14}", value):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < 1e14 else None


def _fail(provider: str, problem: str) -> NoReturn:
    raise ProviderError("provider.authentication", provider, problem)
