"""Fields of tool inputs: one place says what the model is told and what is enforced.

The metadata becomes the JSON Schema; the validators hold also for whoever calls a
tool in code.
"""

from typing import Any

import attrs


def text(description: str, *, default: Any = attrs.NOTHING, min_length: int = 0) -> Any:
    """Return a text field."""
    metadata: dict[str, Any] = {"description": description}
    validators: list[Any] = []
    if min_length:
        metadata["minLength"] = min_length
        validators.append(attrs.validators.min_len(min_length))
    return _field(metadata, validators, default)


def number(
    description: str, *, minimum: int, maximum: int | None = None, default: Any
) -> Any:
    """Return a field for a whole number within bounds."""
    metadata: dict[str, Any] = {"description": description, "minimum": minimum}
    validators: list[Any] = [attrs.validators.ge(minimum)]
    if maximum is not None:
        metadata["maximum"] = maximum
        validators.append(attrs.validators.le(maximum))
    return _field(metadata, validators, default)


def flag(description: str) -> Any:
    """Return a yes-or-no field that is off unless it is given."""
    return attrs.field(default=False, metadata={"description": description})


def _field(metadata: dict[str, Any], validators: list[Any], default: Any) -> Any:
    checks: Any = attrs.validators.and_(*validators) if validators else None
    if checks is not None and default is None:
        checks = attrs.validators.optional(checks)
    return attrs.field(default=default, validator=checks, metadata=metadata)
