"""Fields of tool inputs: one place says what the model is told and what is enforced.

The metadata becomes the JSON Schema; the validators hold also for whoever calls a
tool in code.
"""

from typing import Any

import attrs


def text(
    description: str,
    *,
    default: Any = attrs.NOTHING,
    min_length: int = 0,
    max_length: int | None = None,
) -> Any:
    """Return a text field."""
    metadata: dict[str, Any] = {"description": description}
    validators: list[Any] = []
    if min_length:
        metadata["minLength"] = min_length
        validators.append(attrs.validators.min_len(min_length))
    if max_length is not None:
        metadata["maxLength"] = max_length
        validators.append(attrs.validators.max_len(max_length))
    return _field(metadata, validators, default)


def several(
    description: str,
    *,
    at_most: int,
    at_least: int = 0,
    default: Any = attrs.NOTHING,
) -> Any:
    """Return a field for a list, which is a tuple in its class."""
    metadata: dict[str, Any] = {"description": description, "maxItems": at_most}
    validators: list[Any] = [attrs.validators.max_len(at_most)]
    if at_least:
        metadata["minItems"] = at_least
        validators.append(attrs.validators.min_len(at_least))
    return _field(metadata, validators, default)


def number(
    description: str,
    *,
    minimum: int,
    maximum: int | None = None,
    default: Any,
    formerly: tuple[str, ...] = (),
) -> Any:
    """Return a field for a whole number within bounds, with the names it once had."""
    metadata: dict[str, Any] = {"description": description, "minimum": minimum}
    if formerly:
        metadata["formerly"] = formerly
    validators: list[Any] = [attrs.validators.ge(minimum)]
    if maximum is not None:
        metadata["maximum"] = maximum
        validators.append(attrs.validators.le(maximum))
    return _field(metadata, validators, default)


def choice(description: str, *, default: Any) -> Any:
    """Return a field for one of a few words, which its type names."""
    return attrs.field(default=default, metadata={"description": description})


def flag(description: str) -> Any:
    """Return a yes-or-no field that is off unless it is given."""
    return attrs.field(default=False, metadata={"description": description})


def _field(metadata: dict[str, Any], validators: list[Any], default: Any) -> Any:
    checks: Any = attrs.validators.and_(*validators) if validators else None
    if checks is not None and default is None:
        checks = attrs.validators.optional(checks)
    return attrs.field(default=default, validator=checks, metadata=metadata)
