"""Path authority: which file a model's path means, and that it is still that file.

Owns the way from the text of a path to an approved, verified descriptor. Knows
nothing of what is done with it. The order is always: ``resolve`` (looks at names and
identities, never at content), ``approve`` (asks), then one of the ``open_`` functions
(checks every identity again, law access.2).

The check and the operation are one: a path is walked from the root of the file system
component by component with descriptors that follow no symbolic link, so what was
compared is what is opened, however the tree is changed meanwhile.

Rules. A relative path starts at the Location and may not leave it. An absolute path
outside the Location is allowed and needs the permission ``external_directory`` first.
A path that looks as if it were inside and leads out through a symbolic link is
refused. ``~`` is refused instead of guessed at: a shell would expand it, a file may be
called so. Fifos, devices and sockets are refused. Names are those that the folders
store, where a file system takes others for them.
"""

import errno
import os
import re
import stat
import string
import unicodedata
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Literal

import anyio.to_thread
from attrs import frozen
from dovetail.kernel import Action, Location, ToolContext, ToolFailure, clean_text

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

EDIT = Action("edit", "path", "change, replace or make a file")
READ = Action("read", "path", "show what is in a file or a folder")
EXTERNAL = Action("external_directory", "folder", "work in a folder outside")

Kind = Literal["file", "directory", "other", "missing"]

_OTHER_CASE = str.maketrans(
    string.ascii_letters, string.ascii_uppercase + string.ascii_lowercase
)

_WALK = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW
_WALK |= os.O_CLOEXEC


@frozen
class Identity:
    """Which object of the file system something is."""

    device: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> "Identity":
        return cls(status.st_dev, status.st_ino)


@frozen
class Target:
    """What a path means, as it was when it was resolved."""

    given: str
    """As the model wrote it; for messages."""
    canonical: str
    """Absolute and free of symbolic links."""
    resource: str
    """The name for permissions: relative to the Location with ``/``, or absolute."""
    kind: Kind
    identity: Identity | None
    """None for what does not exist."""
    anchor: str
    """The directory that the operation works from: the target itself if it is a
    directory, else the nearest one above it that exists."""
    anchor_identity: Identity
    root: str | None
    """The Location's directory; None for a target outside it."""
    root_identity: Identity | None
    external: str | None
    """The resource of ``external_directory``; None inside the Location."""

    def below(self, path: str) -> str:
        """Return the resource of a relative path below this directory."""
        if self.resource == ".":
            return path
        return f"{self.resource.rstrip('/')}/{path}"

    @property
    def name(self) -> str:
        """The last component."""
        return os.path.basename(self.canonical)

    @property
    def missing_folders(self) -> tuple[str, ...]:
        """The folders between the anchor and the target that do not exist yet."""
        if self.kind != "missing":
            return ()
        suffix = os.path.relpath(self.canonical, self.anchor).split(os.sep)
        return tuple(suffix[:-1])


async def refuse_unsaved(target: Target, context: ToolContext, verb: str) -> None:
    """Refuse to change a file that a person has changed in an editor and not saved.

    Raises:
        ToolFailure: so it is. Nothing was changed.
    """
    if target.kind == "file" and await context.unsaved(target.canonical) is not None:
        raise failure(
            verb,
            target.given,
            "a person has changed it in an editor, and not saved it",
            "nothing was changed; ask them to save it or to undo that, then read it",
        )


def failure(verb: str, given: str, why: str, then: str = "") -> ToolFailure:
    """Return the failure of an operation on a path, in one form everywhere."""
    shown = given if len(given) <= 300 else f"{given[:300]}..."
    return ToolFailure(
        f"cannot {verb} {shown!r}: {why}" + (f"; {then}" if then else "")
    )


def reason(error: OSError) -> str:
    """Return why the system refused, without a path of the machine."""
    return (error.strerror or type(error).__name__).lower()


def shown_path(path: str) -> str:
    """Return a path that stays on its line: control characters are escaped."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], clean_text(path))


async def resolve(location: Location, given: str, verb: str) -> Target:
    """Return what a path means. Reads names and identities, never content.

    Raises:
        ToolFailure: the path cannot be used; says why and what to do.
    """
    return await anyio.to_thread.run_sync(resolve_now, location.directory, given, verb)


async def approve(
    target: Target,
    context: ToolContext,
    action: str,
    resources: Sequence[str],
    metadata: dict[str, object] | None = None,
    *,
    folder: str | None = None,
) -> None:
    """Ask for the folder if it is outside the Location, then for the action.

    Raises:
        PermissionDeniedError: one of them is denied. Let it pass.
    """
    if target.external is not None:
        await context.ask(
            "external_directory",
            (target.external,),
            save=(target.external,),
            metadata={"path": target.canonical},
        )
    await context.ask(
        action,
        resources,
        save=tuple(resources),
        folder=folder,
        metadata=metadata,
        begun=False,
    )


def resolve_now(directory: str, given: str, verb: str) -> Target:
    """Do ``resolve`` in this thread."""
    _check_text(given, verb)
    try:
        root_status = os.stat(directory, follow_symlinks=False)
        if not stat.S_ISDIR(root_status.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "it is not a folder any more")
        lexical = _lexical(directory, given, verb)
        canonical = _canonical(directory, lexical, given, verb)
        inside = within(directory, canonical)
        if not inside and within(directory, lexical):
            raise failure(
                verb,
                given,
                "a symbolic link on the way leads out of the Location",
                "give the absolute path it leads to, which needs its own permission",
            )
        status = _status(canonical)
        anchor = canonical
        if status is None or not stat.S_ISDIR(status.st_mode):
            anchor = os.path.dirname(canonical)
            while _status(anchor) is None:
                anchor = os.path.dirname(anchor)
        anchor_status = os.stat(anchor, follow_symlinks=False)
    except OSError as error:
        raise failure(verb, given, reason(error)) from error
    resource = os.path.relpath(canonical, directory) if inside else canonical
    return Target(
        given=given,
        canonical=canonical,
        resource=resource.replace(os.sep, "/"),
        kind=_kind(status),
        identity=Identity.of(status) if status else None,
        anchor=anchor,
        anchor_identity=Identity.of(anchor_status),
        root=directory if inside else None,
        root_identity=Identity.of(root_status) if inside else None,
        external=None if inside else f"{anchor.rstrip('/')}/*",
    )


def within(directory: str, path: str) -> bool:
    """Tell whether a path is the directory or lies below it, by its text."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def _check_text(given: str, verb: str) -> None:
    if not given:
        raise failure(verb, given, "the path is empty", "'.' is the Location itself")
    if "\0" in given:
        raise failure(verb, given, "a path cannot contain NUL")
    try:
        given.encode()
    except UnicodeEncodeError as error:
        raise failure(verb, given, "the path is not valid Unicode") from error
    if given == "~" or given.startswith("~/"):
        raise failure(
            verb,
            given,
            "'~' is not expanded",
            "give the absolute path; for a folder that is called '~' write './~'",
        )


def _lexical(directory: str, given: str, verb: str) -> str:
    if os.path.isabs(given):
        # POSIX keeps two leading slashes apart; no system here gives them a meaning.
        return "/" + os.path.normpath(given).lstrip("/")
    lexical = os.path.normpath(os.path.join(directory, given))
    if not within(directory, lexical):
        raise failure(
            verb,
            given,
            "a relative path may not leave the Location",
            "give an absolute path to ask for permission to go outside",
        )
    return lexical


def _canonical(directory: str, lexical: str, given: str, verb: str) -> str:
    """Return the real path; components that do not exist yet are kept as they are."""
    existing, missing = lexical, ""
    while True:
        try:
            real = _as_stored(directory, os.path.realpath(existing, strict=True))
            break
        except FileNotFoundError:
            if os.path.lexists(existing):
                raise failure(
                    verb,
                    given,
                    "a symbolic link on the way leads to nothing",
                    "remove or repair the link first",
                ) from None
            existing, name = os.path.split(existing)
            missing = os.path.join(name, missing) if missing else name
    try:
        real.encode()
    except UnicodeEncodeError as error:
        why = "its real name is not valid UTF-8, so no permission could name it"
        raise failure(verb, given, why) from error
    if not missing:
        return real
    if not os.path.isdir(real):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    return os.path.join(real, missing)


def _as_stored(directory: str, real: str) -> str:
    """Return a path with each name below the Location, or the root, as it is stored.

    Where a file system folds case or accents one file answers to many names, and a
    rule knows one of them.
    """
    path = directory if within(directory, real) else "/"
    for name in real.removeprefix(path).split("/"):
        if name:
            path = os.path.join(path, _stored_name(path, name))
    return path


def _stored_name(folder: str, name: str) -> str:
    identity = _identity_of(os.path.join(folder, name))
    spellings = {
        name.swapcase(),
        name.translate(_OTHER_CASE),
        unicodedata.normalize("NFC", name),
        unicodedata.normalize("NFD", name),
        # What some take no notice of: a dot at the end (vfat, shares of Windows), a
        # character that is not seen (ext4 and f2fs where they fold, HFS+).
        f"{name}.",
        f"{name}\u200b",
    }
    if not any(
        _identity_of(os.path.join(folder, one)) == identity
        for one in spellings - {name}
    ):
        return name
    # A folder is listed only when a name means the same in another spelling: it folds,
    # or these are two hard links.
    stored = os.listdir(folder)
    if name in stored:
        return name
    found = sorted(
        one for one in stored if _identity_of(os.path.join(folder, one)) == identity
    )
    near = [one for one in found if folded(one) == folded(name)]
    # A short name of vfat (SECRET~1.ENV) is like no other: that it is the same file
    # tells which one is meant.
    return (near or found or [name])[0]


_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff0-\ufff8]"
)
"""Characters that a file system which folds takes no notice of: the default ignorable
ones of https://www.unicode.org/reports/tr44/#Default_Ignorable_Code_Point, as far as
names of files hold them."""


def folded(path: str) -> str:
    """Return what is the same for names that differ in case, the form of accents or
    what is not seen only."""
    plain = _UNSEEN.sub("", unicodedata.normalize("NFC", path))
    return unicodedata.normalize("NFC", plain.casefold())


def _identity_of(path: str) -> Identity | None:
    try:
        return Identity.of(os.lstat(path))
    except OSError:
        return None


def _status(path: str) -> os.stat_result | None:
    try:
        return os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _kind(status: os.stat_result | None) -> Kind:
    if status is None:
        return "missing"
    if stat.S_ISREG(status.st_mode):
        return "file"
    if stat.S_ISDIR(status.st_mode):
        return "directory"
    return "other"


# --- touching what was approved ---------------------------------------------------


def moved(target: Target, verb: str) -> ToolFailure:
    """Return the failure of a target that is no longer what was approved."""
    return failure(
        verb,
        target.given,
        "it was moved or replaced after the permission was asked for",
        "nothing was touched; call again to ask for what is there now",
    )


@contextmanager
def open_anchor(target: Target, verb: str) -> Iterator[int]:
    """Yield a descriptor of the target's anchor, verified to be the approved one.

    Raises:
        ToolFailure: the anchor, or the Location's root, is something else now.
    """
    try:
        descriptor = _walk(target)
    except OSError as error:
        # ELOOP or ENOTDIR: a link or a file took the place of a folder.
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENOENT):
            raise moved(target, verb) from error
        raise failure(verb, target.given, reason(error)) from error
    if descriptor is None:
        raise moved(target, verb)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _walk(target: Target) -> int | None:
    """Return the anchor's descriptor, or None when an identity differs."""
    current = os.open("/", _WALK)
    path = "/"
    good = True
    try:
        for part in ("", *(one for one in target.anchor.split("/") if one)):
            if part:
                below = os.open(part, _WALK, dir_fd=current)
                os.close(current)
                current = below
                path = f"{path.rstrip('/')}/{part}"
            for known, identity in (
                (target.root, target.root_identity),
                (target.anchor, target.anchor_identity),
            ):
                if path == known and Identity.of(os.fstat(current)) != identity:
                    good = False
        if good:
            return current
    except BaseException:
        os.close(current)
        raise
    os.close(current)
    return None


def check_kind(target: Target, verb: str, wanted: Kind) -> None:
    """Refuse a target that is not what the operation needs. Call it after approval.

    Raises:
        ToolFailure: it is missing, or something else.
    """
    if target.kind == wanted:
        return
    if target.kind == "missing":
        raise failure(verb, target.given, "there is no such file or folder")
    if target.kind == "other":
        raise failure(
            verb, target.given, "it is a fifo, a device or a socket, not a file"
        )
    if target.kind == "directory":
        raise failure(verb, target.given, "it is a folder, not a file")
    raise failure(verb, target.given, "it is a file, not a folder")


@contextmanager
def open_directory(target: Target, verb: str) -> Iterator[int]:
    """Yield a descriptor of an approved directory that can be listed."""
    check_kind(target, verb, "directory")
    with open_anchor(target, verb) as anchor:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        try:
            descriptor = os.open(".", flags, dir_fd=anchor)
        except OSError as error:
            raise failure(verb, target.given, reason(error)) from error
        try:
            yield descriptor
        finally:
            os.close(descriptor)


@asynccontextmanager
async def hold_open(target: Target, verb: str) -> AsyncIterator[int]:
    """Yield a descriptor of an approved directory.

    Raises:
        ToolFailure: it is missing, not a folder, or not what was approved.
    """
    with ExitStack() as opened:
        yield await anyio.to_thread.run_sync(
            opened.enter_context, open_directory(target, verb)
        )


@asynccontextmanager
async def start_in(target: Target, verb: str) -> AsyncIterator[str]:
    """Yield a path in which a child process starts in the approved directory.

    Raises:
        ToolFailure: it is missing, not a folder, or not what was approved.
    """
    async with hold_open(target, verb) as descriptor:
        yield descriptor_path(descriptor, target.canonical)


def descriptor_path(descriptor: int, otherwise: str) -> str:
    """Return a path that means this very directory to a child process.

    On Linux it goes through the descriptor, so that the child starts in the verified
    directory whatever happened to its name; elsewhere it is the plain path.
    """
    through = f"/proc/self/fd/{descriptor}"
    return through if os.path.isdir(through) else otherwise
