"""Served: which models an endpoint says that it has.

Owns the reading of such lists, which are much the same everywhere, and is linear in
them. Asks by the transport; imported when somebody asks.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from dovetail.kernel import (
    ModelInfo,
    ProviderCredential,
    ProviderError,
    clean_text,
)

from .endpoints import Endpoint
from .reading import table, tokens, word
from .routes import shown_to, target_of
from .transport import Target, Transport

MOST = 5_000
"""Models that are read of one list."""
_CONTEXT = (
    "context_length",
    "context_window",
    "max_context_length",
    "max_model_len",
    "inputTokenLimit",
    "max_input_tokens",
)
_OUTPUT = ("max_completion_tokens", "max_output_tokens", "outputTokenLimit")


async def ask(
    transport: Transport,
    endpoint: Endpoint,
    path: str,
    authentication: dict[str, str],
    query: str = "",
) -> Sequence[ModelInfo]:
    """Return what the endpoint serves, in name order.

    Raises:
        ProviderError: it cannot be asked, or its answer is no such list.
    """
    target = target_of(endpoint, path, authentication, query, accept="application/json")
    live = endpoint.live
    if live is None:
        body = await transport.get(target)
    else:
        body = await _shown(transport, target, endpoint, live)
    try:
        listed = _listed(orjson.loads(body))
    except orjson.JSONDecodeError:
        listed = None
    if listed is None:
        raise ProviderError(
            "provider.invalid_output",
            endpoint.provider,
            "what it serves is no list; check base_url",
        )
    found = (_info(endpoint.provider, one) for one in listed[:MOST])
    known = {one.name: one for one in found if one is not None}
    return [known[name] for name in sorted(known)]


async def _shown(
    transport: Transport, target: Target, endpoint: Endpoint, live: ProviderCredential
) -> bytes:
    """Return what is there for whoever has a credential, renewed once if need be."""
    while True:
        credential = await live.current()
        try:
            body = await transport.get(shown_to(target, endpoint, credential, live))
        except ProviderError as error:
            if error.status != 401 or not live.refused(credential):
                raise
        else:
            live.accepted(credential)
            return body


def _listed(body: Any) -> list[Any] | None:
    if isinstance(body, list):
        return body
    for name in ("data", "models"):
        if isinstance(table(body).get(name), list):
            found: list[Any] = body[name]
            return found
    return None


def _info(provider: str, entry: Any) -> ModelInfo | None:
    one = table(entry)
    name = word(one.get("id")) or word(one.get("name")) or word(one.get("model"))
    name = clean_text(name.strip().removeprefix("models/"))
    if not name or not name.isprintable() or len(name) > 200:
        return None
    inner = (one, table(one.get("top_provider")))
    context = _first(inner, _CONTEXT)
    if context is None:
        # llama.cpp says what the model was trained for.
        context = tokens(table(one.get("meta")).get("n_ctx_train"))
    return ModelInfo(f"{provider}/{name}", context or None, _first(inner, _OUTPUT))


def _first(tables: Sequence[Mapping[str, Any]], names: Sequence[str]) -> int | None:
    found = (tokens(one.get(name)) for one in tables for name in names)
    return next((one for one in found if one), None)
