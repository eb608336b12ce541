"""Settings of plugins: a plugin's own attrs class, filled and checked.

Owns where the values come from and how a mistake is told. A plugin declares a class
``Settings``; its fields are the keys of ``[plugins.NAME]``, and each may also be given
by a variable ``DOVETAIL_<NAME>_<FIELD>`` in capitals, with ``_`` for whatever is
neither letter nor digit, which wins. A field with ``metadata={"secret": True}`` is in
no message (law access.6).
"""

import re
from collections.abc import Mapping
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import attrs

from ..values.codec import from_json, loads_exact
from ..values.errors import ConfigurationError, Problem, UndecodableError
from ..values.tool import Json

_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def variable(plugin: str, field: str) -> str:
    """Return the environment variable of one setting."""
    words = re.sub(r"[^A-Za-z0-9]+", "_", f"{plugin}_{field}").strip("_").upper()
    return f"DOVETAIL_{words}"


def settings_of(
    plugin: str,
    declared: type | None,
    table: Mapping[str, Json],
    environment: Mapping[str, str],
) -> Any:
    """Return a plugin's settings as it wants them.

    Raises:
        ConfigurationError: a value is missing, unknown or of the wrong type. The
            message names the plugin, the key, and the variable it came from.
    """
    if declared is None:
        return table
    # Resolved, because annotations may be texts.
    types = get_type_hints(declared)
    values: dict[str, Json] = dict(table)
    given: dict[str, str] = {}
    secrets: list[str] = []
    hidden: set[str] = set()
    for one in attrs.fields(declared):
        name = variable(plugin, one.name)
        text = environment.get(name)
        if text is not None:
            values[one.name] = _value(text, types.get(one.name, Any))
            given[one.name] = name
        if one.metadata.get("secret"):
            hidden.add(one.name)
            if one.name in values:
                secrets.append(str(values[one.name]))
    try:
        return from_json(values, declared, f"plugins.{plugin}")
    except UndecodableError as error:
        problems = [_problem(line, given, hidden, secrets) for line in error.problems]
    # Outside: the exception's own text may hold what must not be shown.
    raise ConfigurationError(f"[plugins.{plugin}]", "; ".join(problems))


def _problem(
    problem: Problem, given: Mapping[str, str], hidden: set[str], secrets: list[str]
) -> str:
    key, text = str(problem.path[0]) if problem.path else "", problem.text
    where = f"{key} ({given[key]})" if key in given else key or "the settings"
    leaks = any(secret and secret in text for secret in secrets)
    if key in hidden or leaks or (hidden and not key and "unknown field" not in text):
        missing = "missing" in text and not leaks
        text = text if missing else "the value is refused; it is secret and not shown"
    return f"{where}: {text}"


def _value(text: str, wanted: Any) -> Json:
    """Return the text of a variable as what the field wants, or as it is."""
    choices = {wanted}
    if get_origin(wanted) in (Union, UnionType):
        choices = set(get_args(wanted))
    if str in choices or wanted is Any:
        return text
    if bool in choices and text.strip().lower() in _TRUE + _FALSE:
        return text.strip().lower() in _TRUE
    try:
        return loads_exact(text)
    except UndecodableError:
        # What it should have been is told where all is checked.
        return text
