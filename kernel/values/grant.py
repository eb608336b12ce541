"""What allowed a call to do something, as its events name it."""

from collections.abc import Iterable, Sequence
from typing import Literal

from .codec import clean_text
from .frozen import frozen

GrantKind = Literal["rule", "approval", "request", "policy", "plugin"]

MAX_SHOWN = 8
"""Resources that are named of what one thing allowed in one call."""
MAX_LENGTH = 200
"""Characters of each; the call's arguments have them whole."""


@frozen
class Grant:
    """One thing that a call was allowed, and by what (law access.19)."""

    action: str
    """What it was allowed to do, such as ``edit``."""
    by: tuple[str, ...]
    """What allowed it, each by its kind and name: ``rule allow read *``, ``approval
    apr_...``, ``request req_...`` for the answer to one, ``policy allow``, ``plugin
    name``. Several, where several resources were allowed by several."""
    resources: tuple[str, ...] = ()
    """To what: the first of them, the long ones cut. None of them where many were
    looked at, as by a search."""
    more: int = 0
    """How many more there were."""


def named(kind: GrantKind, name: str) -> str:
    """Return what allowed something, as a ``Grant`` names it."""
    return f"{kind} {clean_text(name)}"


class Grants:
    """What a call was allowed so far; each is handed over once."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, tuple[str, ...]], Grant] = {}
        self._handed_out: set[tuple[str, tuple[str, ...]]] = set()

    def add(self, action: str, by: Iterable[str], resources: Sequence[str]) -> None:
        """Take note of something that was allowed."""
        key = (clean_text(action), tuple(dict.fromkeys(by)))
        known = self._found.get(key)
        shown = [*known.resources] if known is not None else []
        more = known.more if known is not None else 0
        for one in resources:
            if len(shown) < MAX_SHOWN:
                cut = one if len(one) <= MAX_LENGTH else f"{one[: MAX_LENGTH - 1]}…"
                shown.append(clean_text(cut))
            else:
                more += 1
        self._found[key] = Grant(*key, tuple(shown), more)

    def take(self) -> tuple[Grant, ...]:
        """Return what was not handed over yet."""
        fresh = [key for key in self._found if key not in self._handed_out]
        self._handed_out.update(fresh)
        return tuple(self._found[key] for key in fresh)
