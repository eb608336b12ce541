"""Snapshot: facts about models in a compact form, one line for each provider.

Owns that form, and the reading of it: of a provider that nobody asks about only the
line is found, and of a model that nobody asks about nothing is made. ``models.jsonl``
beside this module came with the package; its facts are those of models.dev, under the
MIT licence, as they were in May 2026.

A line is ``{"provider": NAME, "models": {MODEL: [context, output, abilities, price,
released, knowledge]}}``. Abilities are letters (``LETTERS``), and null where they are
not known; a price is [input, output, cache read, cache write, [over, input, output,
cache read, cache write]...] in US dollars for a million tokens.
"""

import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson
from dovetail.kernel import ModelInfo, Price, PriceAbove

PACKAGED = Path(__file__).with_name("models.jsonl")
MADE = 1_778_198_400
"""When the facts of the package were gathered, in seconds since 1970. A copy that was
fetched later is newer, whenever the package was installed."""
MAX_BYTES = 8 * 1024 * 1024
MAX_MODELS = 20_000
MAX_NAME = 200
MAX_TOKENS = 1_000_000_000
MAX_PRICE = 1_000_000.0
LETTERS: Mapping[str, str] = {
    "a": "audio",
    "i": "image",
    "p": "pdf",
    "v": "video",
    "A": "makes_audio",
    "I": "makes_image",
    "r": "reasoning",
    "s": "schema",
    "t": "tools",
}
"""The abilities; ``d`` stands for a model that its provider advises against."""
_DATE = re.compile(r"\d{4}(-\d{2}){0,2}\Z")

Row = Sequence[Any]


class UnsoundError(ValueError):
    """It is no snapshot. The text says why."""


class Snapshot:
    """The facts of one file."""

    def __init__(self, data: bytes) -> None:
        """Take the bytes of a snapshot.

        Raises:
            UnsoundError: they are none.
        """
        self._lines: dict[str, bytes] = {}
        self._rows: dict[str, Mapping[str, Row]] = {}
        for line in data.splitlines():
            begin = re.match(rb'\{"provider":"([a-z0-9._-]{1,64})","models":\{', line)
            if begin is None or not line.endswith(b"}}"):
                raise UnsoundError("a line of it is that of no provider")
            self._lines[begin[1].decode()] = line

    @property
    def providers(self) -> Sequence[str]:
        """Whose models it knows."""
        return tuple(self._lines)

    def rows(self, provider: str) -> Mapping[str, Row]:
        """Return the models of a provider as they are written, by name.

        Raises:
            UnsoundError: the line is none.
        """
        found = self._rows.get(provider)
        if found is None:
            line = self._lines.get(provider)
            if line is None:
                return {}
            try:
                found = self._rows[provider] = orjson.loads(line)["models"]
            except orjson.JSONDecodeError:
                raise UnsoundError(f"the line of {provider!r} is no JSON") from None
        return found

    def models(self, provider: str) -> Sequence[ModelInfo]:
        """Return what is known of the models of a provider."""
        rows = self.rows(provider)
        made = (_info(f"{provider}/{name}", row) for name, row in rows.items())
        return [one for one in made if one is not None]

    def info(self, name: str) -> ModelInfo | None:
        """Return what is known of one model, by ``provider/model``."""
        provider, _, own = name.partition("/")
        row = self.rows(provider).get(own)
        return None if row is None else _info(name, row)

    def check(self) -> int:
        """Return how many models it knows of, each of which was looked at.

        Raises:
            UnsoundError: one of them is none.
        """
        count = 0
        for provider in self._lines:
            for name, row in self.rows(provider).items():
                count += 1
                sound = 0 < len(name) <= MAX_NAME and name.isprintable()
                if not sound or _info(name, row) is None:
                    raise UnsoundError(f"a model of {provider!r} is none")
        if count > MAX_MODELS:
            raise UnsoundError(f"it has more than {MAX_MODELS} models")
        return count


def newest(copy: Path) -> Snapshot:
    """Return the user's copy where there is a sound one that is newer than the
    package's, and else that."""
    for path, since in ((copy, MADE), (PACKAGED, 0)):
        stamp = _stamp(path)
        if stamp is not None and stamp[0] > since * 1_000_000_000:
            found = _read(path, stamp)
            if found is not None:
                return found
    return Snapshot(b"")


def age_of(copy: Path) -> float:
    """Return how many seconds ago a copy was made; infinitely many where none is."""
    stamp = _stamp(copy)
    return float("inf") if stamp is None else max(0.0, time.time() - stamp[0] / 1e9)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


@lru_cache(maxsize=4)
def _read(path: Path, stamp: tuple[int, int, int]) -> Snapshot | None:
    """Return a snapshot, once for all Locations; None where it is none."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            return None
        found = Snapshot(data)
        if path != PACKAGED:
            # Ours was looked at when it was made.
            found.check()
    except (OSError, UnsoundError):
        return None
    return found


# --- rows -------------------------------------------------------------------------


def _info(name: str, row: Any) -> ModelInfo | None:
    if not isinstance(row, list) or len(row) != 6:
        return None
    context, output, letters, price, released, knowledge = row
    counts = (context, output)
    dates = (released, knowledge)
    if not all(one is None or _is_count(one) for one in counts):
        return None
    if not all(one is None or _is_date(one) for one in dates):
        return None
    if letters is not None and not isinstance(letters, str):
        return None
    made = None
    if price is not None:
        made = _price(price)
        if made is None:
            return None
    known = None if letters is None else [LETTERS.get(one) for one in letters]
    return ModelInfo(
        name,
        context,
        output,
        made,
        None if known is None else tuple(sorted(filter(None, known))),
        released,
        knowledge,
        deprecated="d" in (letters or ""),
    )


def _price(row: Any) -> Price | None:
    if not isinstance(row, list) or len(row) < 4 or not _are_prices(row[:4]):
        return None
    above = []
    for one in row[4:]:
        sound = isinstance(one, list) and len(one) == 5 and _is_count(one[0])
        if not sound or not _are_prices(one[1:]):
            return None
        above.append(PriceAbove(*one))
    fresh, output, read, write = row[:4]
    return Price(fresh, output, read, write, tuple(above))


def _are_prices(given: Sequence[Any]) -> bool:
    """Whether these are prices of input, output, and what is kept, if that is known."""
    needed = all(_is_price(one) for one in given[:2])
    return needed and all(one is None or _is_price(one) for one in given[2:])


def _is_price(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 <= value <= MAX_PRICE


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 < value <= MAX_TOKENS


def _is_date(value: Any) -> bool:
    return isinstance(value, str) and _DATE.match(value) is not None


# --- making one -------------------------------------------------------------------

PROVIDERS: Mapping[str, str] = {
    "amazon-bedrock": "bedrock",
    "anthropic": "anthropic",
    "azure": "azure",
    "cerebras": "cerebras",
    "deepseek": "deepseek",
    "fireworks-ai": "fireworks",
    "github-models": "github-models",
    "google": "google",
    "google-vertex": "vertex",
    "google-vertex-anthropic": "vertex-anthropic",
    "groq": "groq",
    "huggingface": "huggingface",
    "mistral": "mistral",
    "moonshotai": "moonshot",
    "openai": "openai",
    "openrouter": "openrouter",
    "perplexity": "perplexity",
    "togetherai": "together",
    "xai": "xai",
    "zai": "zai",
}
"""What providers are called at models.dev, and here."""


def written(told: Any) -> bytes:
    """Return what models.dev tells as a snapshot: only what is known here and sound.

    Raises:
        UnsoundError: it is nothing of the kind.
    """
    if not isinstance(told, dict):
        raise UnsoundError("it is no object of providers")
    lines = []
    for theirs, ours in sorted(PROVIDERS.items(), key=lambda one: one[1]):
        provider = told.get(theirs)
        models = provider.get("models") if isinstance(provider, dict) else None
        if not isinstance(models, dict):
            continue
        rows = dict(_rows(models.items()))
        if rows:
            line = orjson.dumps({"provider": ours, "models": rows})
            lines.append(line + b"\n")
    return b"".join(lines)


def _rows(models: Iterable[tuple[Any, Any]]) -> Iterator[tuple[str, Row]]:
    for name, told in sorted(models, key=lambda one: str(one[0])):
        if not isinstance(name, str) or not isinstance(told, dict):
            continue
        if not 0 < len(name) <= MAX_NAME or not name.isprintable():
            continue
        row = _row(told)
        if _info(name, row) is not None:
            yield name, row


def _row(told: Mapping[str, Any]) -> Row:
    limit, kinds = _table(told.get("limit")), _table(told.get("modalities"))
    dates = [told.get("release_date"), told.get("knowledge")]
    return [
        limit.get("context") or None,
        limit.get("output") or None,
        _letters(told, kinds),
        _costs(_table(told.get("cost"))),
        *(one if _is_date(one) else None for one in dates),
    ]


def _letters(told: Mapping[str, Any], kinds: Mapping[str, Any]) -> str:
    taken, made = kinds.get("input"), kinds.get("output")
    able = {
        *(one for one in ("audio", "image", "pdf", "video") if one in (taken or ())),
        *(f"makes_{one}" for one in ("audio", "image") if one in (made or ())),
        *(["reasoning"] if told.get("reasoning") is True else []),
        *(["schema"] if told.get("structured_output") is True else []),
        *(["tools"] if told.get("tool_call") is True else []),
    }
    letters = [letter for letter, ability in LETTERS.items() if ability in able]
    return "".join([*letters, *(["d"] if told.get("status") == "deprecated" else [])])


def _costs(cost: Mapping[str, Any]) -> Row | None:
    if not _is_price(cost.get("input")) or not _is_price(cost.get("output")):
        return None
    above = []
    for tier in cost.get("tiers") or ():
        about = _table(_table(tier).get("tier"))
        if about.get("type") == "context":
            above.append([about.get("size"), *_four(_table(tier))])
    beyond = _table(cost.get("context_over_200k"))
    if beyond and not above:
        above.append([200_000, *_four(beyond)])
    return [*_four(cost), *above]


def _four(cost: Mapping[str, Any]) -> list[Any]:
    return [cost.get(one) for one in ("input", "output", "cache_read", "cache_write")]


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
