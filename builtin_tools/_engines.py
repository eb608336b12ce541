"""Engines: SearXNG and Brave, as the tool ``websearch`` asks them.

Owns what ``[plugins.tools.search]`` says, and the two protocols: the JSON of SearXNG
(https://docs.searxng.org/dev/search_api.html), which an installation has to switch on,
and the Web Search API of Brave (https://api-dashboard.search.brave.com/docs). An answer
is a stranger's data: its size is bounded, its shape is looked at, and no text of it is
in a failure.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import orjson
from attrs import field, frozen
from dovetail.kernel import ConfigurationError, Json, ToolFailure

from ._addresses import Hosts, kind_of
from ._http import Answer, Head, Web
from ._urls import RefusedError, Url, parse
from .websearch import SECONDS, SearchEngine, SearchResult

if TYPE_CHECKING:
    import ssl

logger = logging.getLogger(__name__)

MAX_ANSWER = 1024 * 1024
"""Bytes: an engine of engines gives some hundred results, of a kilobyte each."""
BRAVE = "https://api.search.brave.com/res/v1/web/search"
BRAVE_KEY = "BRAVE_API_KEY"

KEY = "plugins.tools.search"


def engine_of(
    table: Json, environment: Mapping[str, str], trust: "Callable[[], ssl.SSLContext]"
) -> tuple[SearchEngine, str] | None:
    """Return the engine that ``[plugins.tools.search]`` names, and its key, which may
    be empty; None where the variable of the key is not set.

    Raises:
        ConfigurationError: what is said makes no engine.
    """
    if not isinstance(table, Mapping):
        raise ConfigurationError(KEY, "must be a table")
    engine = table.get("engine")
    known = {"searxng": {"engine", "url"}, "brave": {"engine", "url", "api_key_env"}}
    if not isinstance(engine, str) or engine not in known:
        raise ConfigurationError(f"{KEY}.engine", "must be 'searxng' or 'brave'")
    for name, value in table.items():
        if name not in known[engine]:
            raise ConfigurationError(f"{KEY}.{name}"[:200], f"unknown for {engine!r}")
        if not isinstance(value, str) or not value:
            raise ConfigurationError(f"{KEY}.{name}", "must be a text")
    if engine == "searxng":
        if "url" not in table:
            raise ConfigurationError(f"{KEY}.url", "must say where SearXNG is")
        url = _address(table["url"])
        asked = _Asked("searxng", _web(trust, url), url)
        return SearchEngine("searxng", partial(_searxng, asked)), ""
    variable = table.get("api_key_env", BRAVE_KEY)
    key = environment.get(variable, "")
    if not key:
        logger.warning("websearch is not offered: %s is not set", variable)
        return None
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigurationError(f"{KEY}.api_key_env", "holds what is no key")
    url = _address(table.get("url", BRAVE))
    if url.scheme == "http" and not _on_this_machine(url):
        raise ConfigurationError(f"{KEY}.url", "a key is sent over https only")
    private = _web(trust, url) if "url" in table else Web(trust, Hosts())
    return SearchEngine(
        "brave", partial(_brave, _Asked("brave", private, url, key))
    ), key


def _web(trust: "Callable[[], ssl.SSLContext]", url: Url) -> Web:
    """Return what reaches this host, which a person named, also if it is their own."""
    host = f"[{url.host}]" if ":" in url.host else url.host
    return Web(trust, Hosts.of([f"{host}:{url.port}"]))


def _address(text: str) -> Url:
    try:
        url = parse(text)
    except RefusedError as error:
        raise ConfigurationError(f"{KEY}.url", str(error)) from error
    if "?" in url.target:
        raise ConfigurationError(f"{KEY}.url", "must be without a query")
    return url


def _on_this_machine(url: Url) -> bool:
    if url.address is not None:
        return kind_of(url.address)[1] == "loopback"
    return url.host == "localhost"


@frozen
class _Asked:
    """An engine, and how it is reached."""

    name: str
    web: Web
    url: Url
    key: str = field(default="", repr=False)

    async def get(self, parameters: Mapping[str, str]) -> Json:
        """Return the JSON of its answer.

        Raises:
            ToolFailure: there is none.
        """
        headers = [("Accept", "application/json")]
        if self.key:
            headers.append(("X-Subscription-Token", self.key))
        try:
            url = parse(f"{self.url}?{urlencode(parameters)}")
            answer = await self.web.get(url, _wanted, seconds=SECONDS, headers=headers)
            return self._data(answer)
        except RefusedError as error:
            raise ToolFailure(
                f"cannot search the web with {self.name}: {error}"
            ) from error

    def _data(self, answer: Answer) -> Json:
        status = answer.head.status
        if status != 200:
            raise RefusedError(_failure(self.name, status))
        if answer.cut:
            raise RefusedError(f"its answer has over {MAX_ANSWER:,} bytes")
        body = answer.body
        if self.key:
            # Whatever a server repeats: the key is in no output.
            body = body.replace(self.key.encode(), b"***")
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise RefusedError("its answer is no JSON") from error


def _wanted(head: Head) -> int:
    return MAX_ANSWER if head.status == 200 else 0


def _failure(name: str, status: int) -> str:
    if name == "searxng" and status == 403:
        return "it answered 403; its settings.yml must list json among search.formats"
    if name == "brave" and status in (401, 403, 422):
        return f"it answered {status}: the key or the query is refused"
    if status == 429:
        return "it answered 429: too much was asked; try again later"
    return f"it answered {status}"


# --- the protocols ----------------------------------------------------------------


async def _searxng(asked: _Asked, query: str, limit: int) -> Sequence[SearchResult]:
    data = await asked.get({"q": query, "format": "json"})
    found = list(_objects(data, "results"))
    scores = [one.get("score") for one in found]
    if all(isinstance(one, int | float) for one in scores):
        # It asks several engines at once: who answered first decides among equals.
        found.sort(key=lambda one: (-one["score"], _text(one, "url")))
    return [
        SearchResult(_text(one, "url"), _text(one, "title"), _text(one, "content"))
        for one in found
    ]


async def _brave(asked: _Asked, query: str, limit: int) -> Sequence[SearchResult]:
    data = await asked.get(
        {"q": query, "count": str(limit), "text_decorations": "false"}
    )
    web = data.get("web") if isinstance(data, dict) else None
    # Where nothing is found there is no such part.
    found = _objects(web, "results") if web is not None else ()
    return [
        SearchResult(_text(one, "url"), _text(one, "title"), _text(one, "description"))
        for one in found
    ]


def _objects(data: Json, name: str) -> Iterator[dict[str, Any]]:
    found = data.get(name) if isinstance(data, dict) else None
    if not isinstance(found, list):
        raise ToolFailure("cannot search the web: the answer is not as it should be")
    return (one for one in found if isinstance(one, dict))


def _text(data: Mapping[str, Json], name: str) -> str:
    value = data.get(name)
    return value if isinstance(value, str) else ""
