"""The specification of skills, as agentskills.io/specification has it: which of its
rules a skill breaks.

Many skills in the wild break one and are of use all the same. So nothing here keeps a
skill from being offered: whoever wrote it is told. What makes a skill unusable is in
``skill_file``.
"""

import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path

MAX_NAME = 64
MAX_DESCRIPTION = 1_024
MAX_COMPATIBILITY = 500
"""Characters."""
KEYS = frozenset(
    ("name", "description", "license", "compatibility", "metadata", "allowed-tools")
)
OURS = frozenset(("disable-model-invocation",))
"""Keys that the specification does not know and that mean something here."""
SHOWN = 10
"""Unknown keys that are named."""


def broken_rules(header: Mapping[str, object], folder: Path | None) -> Iterator[str]:
    """Yield which rules a header breaks, each in a few words.

    ``folder`` is the skill's own; None for a skill that is one file.
    """
    if "name" not in header:
        yield "it has no name"
    else:
        yield from _name(str(header["name"]), folder)
    if len(str(header.get("description", ""))) > MAX_DESCRIPTION:
        yield f"its description has more than {MAX_DESCRIPTION} characters"
    if "license" in header and not _is_text(header["license"]):
        yield "its license is not text"
    if "compatibility" in header:
        said = header["compatibility"]
        if not _is_text(said) or len(str(said)) > MAX_COMPATIBILITY:
            most = MAX_COMPATIBILITY
            yield f"its compatibility is not text of 1 to {most} characters"
    if "metadata" in header and not _is_table_of_texts(header["metadata"]):
        yield "its metadata is not a table of texts"
    if "allowed-tools" in header and not isinstance(header["allowed-tools"], str):
        yield "its allowed-tools are not one text with spaces between them"
    unknown = sorted(str(key) for key in header.keys() - KEYS - OURS)
    if unknown:
        more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
        yield f"it has other keys: {', '.join(map(repr, unknown[:SHOWN]))}{more}"


def _name(given: str, folder: Path | None) -> Iterator[str]:
    name = unicodedata.normalize("NFKC", given.strip())
    if not 0 < len(name) <= MAX_NAME:
        yield f"its name has not 1 to {MAX_NAME} characters"
    if name != name.lower() or not all(one.isalnum() or one == "-" for one in name):
        yield "its name is not made of lower case letters, digits and hyphens"
    elif name.startswith("-") or name.endswith("-") or "--" in name:
        yield "a hyphen of its name stands at an end or beside another"
    if folder is not None and name != unicodedata.normalize("NFKC", folder.name):
        yield f"its name is not that of its folder, {folder.name!r}"


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_table_of_texts(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(one, str) for pair in value.items() for one in pair
    )
