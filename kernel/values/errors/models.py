"""Errors of models and their providers."""

from collections.abc import Sequence
from typing import Literal

from .base import DovetailError, NotFoundError

MAX_OFFERED = 8
"""Names that a message lists of what is there instead."""


class ModelError(DovetailError):
    """A model cannot be used."""

    code = "model.failed"


class ModelNotSelectedError(ModelError):
    """Neither the session, its agent nor the configuration names a model."""

    code = "model.not_selected"

    def __init__(self, offered: Sequence[str] = ()) -> None:
        super().__init__(
            "no model is selected: give the session a model such as "
            f"'openai/gpt-5.2', or set `model` in dovetail.toml{_offered(offered)}"
        )
        self.offered = tuple(offered)
        """Models that can be asked; ``provider/...`` stands for any of it."""


class ModelUnknownError(ModelError):
    """No provider in the Location serves ``model``."""

    code = "model.unknown"

    def __init__(
        self,
        model: str,
        offered: Sequence[str] = (),
        missing: str | None = None,
        near: Sequence[str] = (),
    ) -> None:
        tail = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
        if offered:
            tail += _offered(offered)
        elif missing is not None:
            tail += f"; {missing}"
        elif not near:
            tail = "; no provider is offered that has its key"
        super().__init__(f"model {model!r} is not offered (use provider/model){tail}")
        self.model = model
        self.near = tuple(near)
        """Names of providers that look like the one that was asked for, as
        ``provider/...``."""
        self.offered = tuple(offered)
        """Models that can be asked; ``provider/...`` stands for any of it."""


class ModelFactsError(ModelError):
    """Newer facts about models could not be had; what was known before is kept."""

    code = "model.facts"

    def __init__(self, source: str, problem: str) -> None:
        super().__init__(
            f"facts about models of {source!r} were not renewed: {problem}; what was "
            "known before is kept"
        )
        self.source = source
        self.problem = problem


def _offered(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:MAX_OFFERED])
    more = len(names) - MAX_OFFERED
    return (f"; offered here: {shown}" if shown else "") + (
        f" and {more} more" if more > 0 else ""
    )


ProviderFault = Literal[
    "provider.authentication",
    "provider.key_missing",
    "provider.rate_limited",
    "provider.quota",
    "provider.invalid_request",
    "provider.unknown_model",
    "provider.part_refused",
    "provider.context_overflow",
    "provider.content_refused",
    "provider.unavailable",
    "provider.unreachable",
    "provider.stream_broken",
    "provider.invalid_output",
    "provider.empty_answer",
    "provider.answer_limit",
    "provider.failed",
]


class ProviderError(ModelError):
    """A provider refused, failed or broke off.

    ``code`` says which fault it is: ``provider.authentication`` (401, 403),
    ``key_missing`` (no key is configured), ``rate_limited`` (429), ``quota`` (429 or
    402: paying would help, waiting would not), ``invalid_request`` (other 4xx),
    ``unknown_model`` (it serves no such model, or not to this key),
    ``part_refused`` (a 4xx because of something that a message holds, such as an image
    that cannot be read: later requests tell of it instead of holding it),
    ``context_overflow`` (too much input), ``content_refused``, ``unavailable`` (5xx),
    ``unreachable`` (no connection), ``stream_broken`` (a response that broke off),
    ``invalid_output`` (a response that breaks the protocol), ``empty_answer`` (neither
    text nor a call), ``answer_limit`` (more than AnswerLimits let through) and
    ``failed``.
    ``status`` is the HTTP status or None, ``retry_after`` the provider's own advice in
    seconds or None, ``retryable`` whether the same request may succeed later.
    """

    code = "provider.failed"

    def __init__(
        self,
        fault: ProviderFault,
        provider: str,
        problem: str,
        *,
        status: int | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
    ) -> None:
        answered = f" answered {status}" if status is not None else ""
        super().__init__(f"provider {provider!r}{answered}: {problem}")
        self.code = fault
        self.provider = provider
        self.problem = problem
        self.status = status
        self.retryable = retryable
        self.retry_after = retry_after
        self.usage: object = None
        """A Usage: the tokens that it told of before it failed, if it did."""


class OutputInvalidError(ModelError):
    """The model did not give the value that a prompt wanted, also when it was told why.

    Raised by whoever asks for the value; the execution ended ``failed`` with this code.
    What it said instead is in its message, and in ``text`` where it is at hand.
    """

    code = "output.invalid"

    def __init__(self, name: str, problems: Sequence[str], text: str = "") -> None:
        told = "; ".join(problems[:MAX_OFFERED])
        super().__init__(
            f"the answer is not the value {name!r} that was asked for: {told}; what "
            "the model said instead is kept in its message"
        )
        self.name = name
        self.problems = tuple(problems)
        """Why, a line each."""
        self.text = text
        """What the model wrote."""


class MediaUnsupportedError(ModelError):
    """The prompt attaches a file that its model cannot read; use another model, or say
    it in text. What was said earlier to another model is left out instead."""

    code = "media.unsupported"

    def __init__(self, model: str, ability: str, file: str, why: str = "") -> None:
        tail = f" ({why})" if why else ""
        super().__init__(
            f"model {model!r} does not read files of the kind {ability!r}{tail}, and "
            f"{file!r} is one; use a model that does, or attach what it says as text"
        )
        self.model = model
        self.ability = ability
        """What it would need: ``audio``, ``image`` or ``pdf``."""
        self.file = file


class MediaTooLargeError(ModelError):
    """The prompt attaches a file that is larger than its model's provider takes."""

    code = "media.too_large"

    def __init__(
        self, model: str, ability: str, file: str, size: int, most: int
    ) -> None:
        super().__init__(
            f"file {file!r} has {size} bytes, and model {model!r} takes {ability!r} "
            f"files of at most {most} bytes; make it smaller"
        )
        self.model = model
        self.ability = ability
        self.file = file
        self.size = size
        self.most = most


class ValueNotGivenError(NotFoundError):
    """The prompt wants a value, and no answer has given it yet; ``wait`` first."""

    code = "output.not_given"
    noun = "value yet of input"
