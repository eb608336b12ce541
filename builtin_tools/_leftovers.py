"""Leftovers: what a call that was cut off by a crash wrote beside a file, removed.

Owns in which folders is looked for it and what is said where it stays. What is such a
file, and how it is removed, is for ``_files``.
"""

from collections.abc import Iterable

import anyio.to_thread
from dovetail.kernel import ToolContext, ToolFailure

from ._files import Files
from ._paths import resolve_now

VERB = "tidy up after"


async def tidy(files: Files, context: ToolContext, paths: Iterable[str]) -> str | None:
    """Remove what a call left beside these files; return what is to be told of it.

    Call it when nothing of the call runs any more. Nothing is told where nothing is
    left.
    """
    return await anyio.to_thread.run_sync(
        _tidy, files, context.location.directory, context.effect_token, tuple(paths)
    )


def _tidy(
    files: Files, directory: str, token: str, paths: tuple[str, ...]
) -> str | None:
    said: list[str] = []
    for path in paths:
        try:
            target = resolve_now(directory, path, VERB)
            left = files.tidy(target, token, VERB)
        except ToolFailure as error:
            said.append(f"It may have left a temporary file ({error}).")
            continue
        said += [f"Its temporary file {name} could not be removed." for name in left]
    return " ".join(said) or None
