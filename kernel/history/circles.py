"""Circles: whether a model does the same again and again, and nothing comes of it.

Owns the question, as a fold of settled Steps: a Step brings *news* when one of its
calls came with a result that the same call did not have before, since somebody last
said something. Where no Step brings news any more, each repeat counts, whatever stands
between: so A B A B is a circle as A A is, and a test that fails the same way after each
of many different edits is none. Knows nothing of what is done about it.

A call that waits for something, as its tool says, is no part of this: waiting once more
is what it is for.
"""

import hashlib
import json
from collections import Counter, OrderedDict
from collections.abc import Collection, Sequence

from ..values.codec import dumps, to_json
from ..values.messages import ToolPart

TOLD_AFTER = 2
"""Repeats without news after which the model is told."""
STOPPED_AFTER = 4
"""Repeats without news after which the execution pauses."""
REMEMBERED = 512
"""Calls with their results that are remembered, the last ones."""
SHORT = 10_000
"""Characters of arguments up to which other spellings of the same JSON are the same."""

_in_order = json.JSONEncoder(sort_keys=True).encode


class Circles:
    """What a model repeats in one session."""

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self.begin()

    def begin(self) -> None:
        """Begin anew: somebody said something, or the work ended."""
        self._seen.clear()
        self._again: Counter[bytes] = Counter()
        self._names: dict[bytes, str] = {}
        self.noticed = False
        """Whether the model was told, since it last brought news."""

    def step(self, calls: Sequence[ToolPart], waiting: Collection[str]) -> None:
        """Take in the calls of a settled Step, but for those that wait."""
        keys = {_key(one): one.tool for one in calls if one.call_id not in waiting}
        if not keys:
            return
        if all(key in self._seen for key in keys):
            self._again.update(keys.keys())
            self._names.update(keys)
        else:
            self._again.clear()
            self._names.clear()
            self.noticed = False
        for key in keys:
            self._seen[key] = None
            self._seen.move_to_end(key)
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)

    @property
    def repeats(self) -> int:
        """How often a call with its result was repeated, of that repeated most."""
        return max(self._again.values(), default=0)

    @property
    def tools(self) -> Sequence[str]:
        """The tools whose calls are repeated."""
        return sorted(set(self._names.values()))


def _key(part: ToolPart) -> bytes:
    """Return a digest of a call and its result."""
    made = hashlib.blake2b(digest_size=16)
    came = dumps([to_json(one) for one in part.content])
    if part.failure is not None:
        came += dumps(to_json(part.failure))
    for one in (part.tool.encode(), _arguments(part.arguments), came):
        made.update(len(one).to_bytes(8))
        made.update(one)
    return made.digest()


def _arguments(text: str) -> bytes:
    if len(text) <= SHORT:
        try:
            return _in_order(json.loads(text)).encode()
        except (ValueError, RecursionError):
            pass
    return text.encode("utf-8", "surrogatepass")
