"""Restoring: a file that a call changed is made to hold again what it held.

Owns that nobody's change is lost by it: the file must hold just what the call left, and
be the very file, reached without a link that was not there when it was changed. What is
done to it is done by ``_files``, whole or not at all.
"""

import hashlib
import os
from contextlib import suppress

import anyio.to_thread
from dovetail.kernel import Location, Restoration, ToolFailure

from ._files import Files, remove_folders
from ._paths import Target, resolve_now

VERB = "restore"
CHANGED = "somebody changed it since"
CUT_OFF = "the call was cut off, and what the file held before is not known"
MAX_KNOWN = 3 * 1024 * 1024
"""Bytes of a file that are looked at for what it holds: more than are kept."""


async def restore(files: Files, location: Location, wanted: Restoration) -> str | None:
    """Make a file hold what it held; return why that cannot be, or None."""
    # Not cancellable: once begun, it is finished, and it is short.
    return await anyio.to_thread.run_sync(_restore, files, location.directory, wanted)


def _restore(files: Files, directory: str, wanted: Restoration) -> str | None:
    try:
        target = resolve_now(directory, wanted.path, VERB)
        if target.canonical != wanted.path:
            return "a symbolic link leads elsewhere now"
        with files.alone(target):
            # As it is by now: others of this process may have been at it.
            target = resolve_now(directory, wanted.path, VERB)
            if target.canonical != wanted.path:
                return "a symbolic link leads elsewhere now"
            try:
                problem = _put(files, target, wanted)
            except ToolFailure:
                # Another process may have been at the same, and was quicker.
                if not _is_done(files, directory, wanted):
                    raise
                problem = None
            if problem is None and wanted.then is None and not wanted.look:
                remove_folders(target, wanted.folders, directory)
            return problem
    except ToolFailure as error:
        return str(error)


def _put(files: Files, target: Target, wanted: Restoration) -> str | None:
    if target.kind not in ("missing", "file"):
        return CHANGED
    held, seen = known(files, target) if target.kind == "file" else (None, None)
    if held == wanted.then:
        return None
    if held != wanted.now:
        return CHANGED
    if wanted.look:
        return None
    # The same for whoever goes on with this after a crash, and for nobody else.
    token = _token_of(wanted)
    if wanted.again:
        # A folder that may be written and not listed is no reason not to restore.
        with suppress(ToolFailure):
            files.tidy(target, token, VERB)
    if wanted.then is not None:
        files.replace(target, wanted.then, VERB, wanted.now, token=token)
    elif seen is not None:
        files.remove(target, VERB, seen)
    return None


def _is_done(files: Files, directory: str, wanted: Restoration) -> bool:
    target = resolve_now(directory, wanted.path, VERB)
    if target.canonical != wanted.path or wanted.look:
        return False
    held = known(files, target)[0] if target.kind == "file" else None
    return target.kind in ("missing", "file") and held == wanted.then


def _token_of(wanted: Restoration) -> str:
    named = hashlib.sha256(wanted.path.encode("utf-8", "surrogatepass"))
    for held in (wanted.now, wanted.then):
        named.update(b"-" if held is None else hashlib.sha256(held).digest())
    return f"restore {named.hexdigest()}"


def known(files: Files, target: Target) -> tuple[bytes, os.stat_result]:
    """Return what a file holds, as far as anybody keeps so much, and its status then.

    Raises:
        ToolFailure: it cannot be read.
    """
    with files.open(target, VERB) as descriptor:
        seen = os.fstat(descriptor)
        content = bytearray()
        while len(content) < MAX_KNOWN and (
            chunk := os.pread(descriptor, 1_048_576, len(content))
        ):
            content += chunk
    return bytes(content), seen
