"""The Cohere plugin: its own chat, version 2, which tells plans and citations.

How a request is written and its answer read is ``cohere_chat``'s. Source of the list of
models: docs.cohere.com, reference/list-models.
"""

from collections.abc import Mapping

from dovetail.kernel import Json, ModelRequest, RequestBody

from .adapters import Adapter
from .endpoints import Endpoint
from .routes import Protocol


def _speaks(endpoint: Endpoint, model: str) -> Protocol:
    # Here, so that whoever asks no such model does not import it.
    from .cohere_chat import CohereProtocol

    return CohereProtocol(endpoint, model)


def written_again(request: ModelRequest, settings: Mapping[str, Json]) -> RequestBody:
    """Return the body of a request by its recorded settings.

    Raises:
        UndecodableError: they are not of this protocol.
    """
    # Here, so that whoever asks no such model does not import it.
    from .cohere_chat import written_again

    return written_again(request, settings)


plugin = Adapter(
    "cohere",
    "cohere-chat",
    _speaks,
    "/v2/chat",
    base_url="https://api.cohere.com",
    key_variable="CO_API_KEY",
    url_variable="CO_API_URL",
    write=written_again,
    models=("/v1/models", "endpoint=chat&page_size=1000"),
)
