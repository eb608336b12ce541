"""Prompt: what a caller says, and the receipt for its admission."""

import base64
import binascii
import hashlib
import os
import re
from typing import Literal

from attrs import evolve, field

from .errors import InvalidValueError, KeyInvalidError, PromptInvalidError
from .frozen import frozen
from .ids import JobId, MessageId, SessionId
from .media import type_of

Delivery = Literal["steer", "queue"]
"""``steer`` joins the running work at the next Safe Step Boundary; ``queue`` waits
until the session would be idle, first in, first out."""

InputState = Literal["pending", "promoted", "withdrawn"]

MAX_PROMPT_BYTES = 1_048_576
MAX_FILES_BYTES = 8 * 1_048_576
"""Of all files that one prompt attaches."""
MAX_KEY_LENGTH = 255
MAX_INSTRUCTIONS = 8_192
MAX_LIMIT = 10**12
"""Of a budget, whatever it counts."""
_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?\Z")


@frozen
class PromptFile:
    """A file that the caller attaches, by content."""

    name: str
    """What the model is told that it is called."""
    mime: str
    """Its media type, such as ``image/png``."""
    data: str
    """The bytes in base64."""

    @classmethod
    def of(
        cls,
        source: "str | os.PathLike[str] | bytes",
        *,
        name: str | None = None,
        mime: str | None = None,
    ) -> "PromptFile":
        """Return a file by its path, or by its bytes, which need a ``name``.

        Reads it here and now. Its type is told by its content, or else by its name,
        unless ``mime`` says it. That the model can read it is seen when it is sent.

        Raises:
            PromptInvalidError: it is no file that can be read, has no name, or is over
                8 MiB.
        """
        if isinstance(source, bytes):
            if not name:
                raise PromptInvalidError("attached file", name, "bytes need a name")
            data = source
        else:
            path = os.fspath(source)
            name = name or os.path.basename(path)
            try:
                # A pipe would be waited for, and a device never ends.
                if not os.path.isfile(path):
                    raise OSError("it is no regular file")
                with open(path, "rb") as file:
                    data = file.read(MAX_FILES_BYTES + 1)
            except (OSError, ValueError) as error:
                raise PromptInvalidError("attached file", path, str(error)) from error
        if len(data) > MAX_FILES_BYTES:
            rule = f"over {MAX_FILES_BYTES} bytes"
            raise PromptInvalidError("attached file", name, rule)
        encoded = base64.b64encode(data).decode()
        return cls(name, mime or type_of(data, name), encoded)


@frozen
class Prompt:
    """What a caller says: text and attached files."""

    text: str
    """What is said."""
    files: tuple[PromptFile, ...] = ()
    """What is attached."""

    @classmethod
    def of(cls, prompt: "str | Prompt") -> "Prompt":
        """Return the prompt, checked.

        Raises:
            PromptInvalidError: it says nothing, is over 1 MiB of UTF-8 (names of files
                included), its files are over 8 MiB together, it holds lone surrogates,
                which no provider takes, or attaches a file whose data is not base64.
        """
        made = prompt if isinstance(prompt, Prompt) else cls(prompt)
        if not isinstance(made.text, str):
            raise PromptInvalidError("prompt", made.text, "it must be text")
        try:
            size = len(made.text.encode())
        except UnicodeEncodeError as error:
            raise PromptInvalidError(
                "prompt", made.text, f"lone surrogate at character {error.start}"
            ) from error
        if not isinstance(made.files, list | tuple):
            raise PromptInvalidError(
                "attached files", made.files, "give a list of PromptFile"
            )
        if not made.text.strip() and not made.files:
            raise PromptInvalidError("prompt", made.text, "it says nothing")
        held = 0
        for file in made.files:
            named, data = _file_size(file)
            size, held = size + named, held + data
        if size > MAX_PROMPT_BYTES:
            raise PromptInvalidError(
                "prompt", made.text, f"{size} bytes are over {MAX_PROMPT_BYTES}"
            )
        if held > MAX_FILES_BYTES:
            raise PromptInvalidError(
                "attached files",
                [one.name for one in made.files],
                f"{held} bytes are over {MAX_FILES_BYTES}",
            )
        files = made.files
        return made if type(files) is tuple else evolve(made, files=tuple(files))


def _file_size(file: object) -> tuple[int, int]:
    """Return how many bytes a file's names have, and its data."""
    if not isinstance(file, PromptFile):
        raise PromptInvalidError("attached file", file, "give a PromptFile")
    try:
        named = len(f"{file.name}{file.mime}".encode())
        return named, len(base64.b64decode(file.data, validate=True))
    except (UnicodeEncodeError, binascii.Error, ValueError, TypeError) as error:
        raise PromptInvalidError(
            "attached file", file.name, "its name must be text and its data base64"
        ) from error


@frozen
class Budget:
    """What work may use before it is paused. None means no limit.

    Looked at before every Step: one that runs is not cut off.
    """

    steps: int | None = None
    """Steps at the most."""
    tokens: int | None = None
    """Input and output together, as the provider counts."""
    cost: float | None = None
    """US dollars, by the prices that are known of the model."""
    seconds: float | None = None
    """Wall time of one execution."""

    @classmethod
    def checked(cls, budget: "Budget | None") -> "Budget | None":
        """Return the budget, checked.

        Raises:
            InvalidValueError: it is none, or one of its limits is no number of its
                type from 0 to 10**12: recorded, it could not be read again.
        """
        if budget is None:
            return None
        if not isinstance(budget, cls):
            raise InvalidValueError("budget", budget, "give a Budget")
        for name in ("steps", "tokens", "cost", "seconds"):
            limit = getattr(budget, name)
            types = int if name in ("steps", "tokens") else int | float
            fits = isinstance(limit, types) and not isinstance(limit, bool)
            if limit is not None and not (fits and 0 <= limit <= MAX_LIMIT):
                whole = "a whole number" if types is int else "a number"
                rule = f"{whole} from 0 to {MAX_LIMIT}, or None"
                raise InvalidValueError(f"budget of {name}", limit, rule)
        return budget


@frozen
class AdmittedPrompt:
    """The receipt of one admission: the prompt is durable (law inbox.1).

    The same key and content always give the same receipt (law inbox.3).
    """

    id: MessageId
    """Names the input now, and the user message once it is promoted."""
    session_id: SessionId
    """The session that accepted it."""
    key: str | None
    """The caller's own name for it, if there was one."""
    delivery: Delivery
    """Whether it joins the running work or waits for its end."""
    cursor: int
    """The sequence number of the admission; ``events(after=cursor)`` shows the rest."""
    created: int
    """Milliseconds since 1970."""


@frozen
class Input:
    """One admitted input and its state. It is in exactly one state (law inbox.2)."""

    id: MessageId
    """What it is withdrawn by."""
    session_id: SessionId
    """The session that it belongs to."""
    prompt: Prompt
    """What was said."""
    delivery: Delivery
    """Whether it joins the running work or waits for its end."""
    state: InputState
    """Whether it waits still."""
    seq: int
    """The sequence number of the admission, which is also the order of promotion."""
    created: int
    """Milliseconds since 1970."""
    key: str | None = field(default=None)
    """The caller's own name for it, if there was one."""
    job_id: JobId | None = field(default=None)
    """The job whose end it tells; None for what a caller said."""


def check_key(key: str) -> str:
    """Return an idempotency key, or refuse it.

    Raises:
        KeyInvalidError: empty, over 255 characters, or other than printable ASCII
            without spaces at its ends.
    """
    if not isinstance(key, str) or not key:
        raise KeyInvalidError("idempotency key", key, "it must not be empty")
    if len(key) > MAX_KEY_LENGTH:
        raise KeyInvalidError(
            "idempotency key", key, f"at most {MAX_KEY_LENGTH} characters"
        )
    if not _KEY.match(key):
        raise KeyInvalidError(
            "idempotency key", key, "printable ASCII, no space at either end"
        )
    return key


def check_instructions(text: str | None) -> str | None:
    """Return what a caller wants a session to keep to, or refuse it; None for nothing.

    Raises:
        InvalidValueError: it is no text, or over 8 KiB of UTF-8, which every request
            has in it.
    """
    if text is None:
        return None
    try:
        size = len(text.encode())
    except (AttributeError, UnicodeEncodeError) as error:
        rule = "give text that can be stored"
        raise InvalidValueError("instructions", text, rule) from error
    if size > MAX_INSTRUCTIONS:
        rule = f"at most {MAX_INSTRUCTIONS} bytes of UTF-8"
        raise InvalidValueError("instructions", f"{text[:40]}...", rule)
    return text if text.strip() else None


def prompt_digest(encoded: bytes) -> str:
    """Return the digest that tells whether two encoded prompts are the same."""
    return hashlib.sha256(encoded).hexdigest()
