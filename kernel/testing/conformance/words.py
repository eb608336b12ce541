"""Words: what must not be in a text that a model is told again and again.

A clock, a random id, the address of an object, the name of the machine or of a home
directory: each changes between runs or machines, breaks prompt caches, and tells the
model nothing (law context.5).
"""

import re
import socket
from datetime import UTC, datetime
from pathlib import Path

from ...values.clock import Clock

_ADDRESS = re.compile(r"\bat 0x[0-9A-Fa-f]{6,}\b")
_UUID = re.compile(
    r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.I
)
_MOMENT = re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d")
_TIME = re.compile(r"(?<![\d:.])([01]?\d|2[0-3]):([0-5]\d)(?::[0-5]\d)?(?![\d:])")
_NUMBER = re.compile(r"(?<![\d.])1\d{9}(?:\d{3})?(?:\.\d+)?(?!\d)")

_NEAR_MINUTES = 2
_NEAR_SECONDS = 86_400


def strangers(text: str, clock: Clock, known: tuple[str, ...] = ()) -> list[str]:
    """Return what does not belong into a lasting text, each in a few words.

    ``known`` are texts that may be there, such as the Location's directory.
    """
    for one in known:
        text = text.replace(one, "")
    now = clock.now() / 1000
    found = [f"the address of an object ({one})" for one in _ADDRESS.findall(text)]
    found += [f"a random id ({one})" for one in _UUID.findall(text)]
    found += [f"a moment ({one}...)" for one in _MOMENT.findall(text)]
    found += [
        f"the time of day ({match.group()})"
        for match in _TIME.finditer(text)
        if _is_now(int(match[1]), int(match[2]), now)
    ]
    found += [
        f"the time as a number ({match.group()})"
        for match in _NUMBER.finditer(text)
        if _is_near(match.group(), now)
    ]
    return found + _names(text)


def addresses(text: str) -> list[str]:
    """Return the addresses of objects in a text."""
    return _ADDRESS.findall(text)


def _is_now(hour: int, minute: int, now: float) -> bool:
    moments = (datetime.fromtimestamp(now, UTC), datetime.fromtimestamp(now))
    for moment in moments:
        apart = abs((hour - moment.hour) * 60 + minute - moment.minute)
        if min(apart, 1440 - apart) <= _NEAR_MINUTES:
            return True
    return False


def _is_near(number: str, now: float) -> bool:
    value = float(number)
    seconds = value / 1000 if value > 1e11 else value
    return abs(seconds - now) < _NEAR_SECONDS


def _names(text: str) -> list[str]:
    found = []
    host = socket.gethostname()
    named = rf"(?<![\w.-]){re.escape(host)}(?![\w-])"
    if len(host) > 4 and host != "localhost" and re.search(named, text):
        found.append(f"the name of this machine ({host})")
    try:
        home = str(Path.home())
    except RuntimeError:
        # An account without a home has none to tell.
        return found
    if len(home) > 4 and re.search(rf"{re.escape(home)}(?![\w.-])", text):
        found.append(f"the home directory ({home})")
    return found
