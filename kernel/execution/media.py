"""Media: whether the files of a prompt can be shown to its model.

Owns the look at what was said last, before it is sent: who attaches what the model
cannot read is told so. What was said earlier, perhaps to another model, is nobody's
mistake; its route leaves it out and says so in its place.
"""

import base64
from collections.abc import Iterator, Mapping

from ..models.catalog import ResolvedModel
from ..values.errors import MediaTooLargeError, MediaUnsupportedError
from ..values.media import ABILITIES, ability_for
from ..values.messages import AssistantMessage, UserMessage
from ..values.prompt import PromptFile
from ..values.request import RequestHistory


def reads_of(model: ResolvedModel) -> tuple[str, ...] | None:
    """Return which kinds of files a model is known to read; None: nobody knows."""
    known = None if model.info is None else model.info.abilities
    return None if known is None else tuple(one for one in ABILITIES if one in known)


def check_media(history: RequestHistory, model: ResolvedModel) -> None:
    """Look at the files that nobody has answered yet.

    Raises:
        MediaUnsupportedError: the model or its protocol cannot read one of them.
        MediaTooLargeError: one is larger than may be sent.
    """
    reads = reads_of(model)
    carried: Mapping[str, int] | None = getattr(model.route, "media", None)
    for file in _fresh(history):
        ability = ability_for(file.mime)
        if ability is None:
            continue
        if reads is not None and ability not in reads:
            raise MediaUnsupportedError(model.name, ability, file.name)
        if carried is None:
            continue
        if ability not in carried:
            why = "its provider's protocol has no place for them"
            raise MediaUnsupportedError(model.name, ability, file.name, why)
        size = len(base64.b64decode(file.data))
        if size > carried[ability]:
            most = carried[ability]
            raise MediaTooLargeError(model.name, ability, file.name, size, most)


def _fresh(history: RequestHistory) -> Iterator[PromptFile]:
    for message in reversed(history.messages):
        if isinstance(message, AssistantMessage):
            return
        if isinstance(message, UserMessage):
            yield from message.files
