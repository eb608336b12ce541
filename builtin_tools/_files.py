"""Approved files: opening one for reading, replacing one whole.

Owns the order of writers of one file in this process, and the memory of which object
took which one's place by our own hand. Knows nothing of permissions or text.
Everything here is synchronous and runs in worker threads.
"""

import errno
import hashlib
import os
import secrets
import stat
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from attrs import define, evolve, field, frozen
from dovetail.kernel import ToolFailure

from ._paths import Identity, Target, check_kind, failure, moved, open_anchor, reason
from ._text import BOM_BYTES

_REMEMBERED = 1024
"""How many replaced files are remembered; forgetting one costs a call again."""


_TEMPORARY = ".tmp"

_MAX_DIGEST = 64 * 1024 * 1024

MAX_OVER = 64 * 1024 * 1024
"""Bytes of a file that is written over: it is held to be put back if that fails."""


_NOT_REPLACEABLE = frozenset(
    (
        errno.EACCES,  # the folder may not be written
        errno.EPERM,  # a sticky or immutable folder; a mount that knows no modes
        errno.EROFS,  # a writable file mounted into a read-only tree
        errno.EBUSY,  # the file itself is a mount point
        errno.EXDEV,
        errno.EOPNOTSUPP,
    )
)
"""Why a file cannot be replaced that perhaps can be written. A full disk is not one of
them: what is written over then would be lost."""


@frozen
class Written:
    """What a replacement did."""

    created: bool
    size: int
    digest: str
    """The SHA-256 of the new content."""
    in_place: bool = False
    """The file could be written and not replaced, so a crash in between would have left
    a part of the new content."""
    folders: int = 0
    """How many folders above it were made."""
    instead: bytes | None = None
    """What it holds in the place of what it was given: an editor may change what it
    saves, such as to format it."""


Through = Callable[[str, str], bool]
"""Has an editor write: the path, and the text. False where it does not, and wrote
nothing. May raise a ToolFailure."""

MAX_THROUGH = 2 * 1024 * 1024
"""Bytes of a text that an editor is given."""

IN_PLACE = "written in place and not atomically, because it cannot be replaced here"


def digest_of(descriptor: int, alive: Callable[[], None]) -> str | None:
    """Return the SHA-256 of an open file's content, or None for more than 64 MiB.

    ``alive`` is called between chunks and may raise.
    """
    digest, offset = hashlib.sha256(), 0
    while chunk := os.pread(descriptor, 1_048_576, offset):
        alive()
        digest.update(chunk)
        offset += len(chunk)
        if offset > _MAX_DIGEST:
            return None
    return digest.hexdigest()


@define
class _Lock:
    lock: threading.Lock = field(factory=threading.Lock)
    users: int = 0


class Files:
    """Opens and replaces approved files. One per plugin, shared by its tools.

    Locks are thread locks, not tasks' locks, because the work is done in worker
    threads and because two runtimes on two event loops may share one plugin. They are
    held for one read-compare-replace and never while anybody is asked.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[str, _Lock] = {}
        self._successors: OrderedDict[
            str, tuple[Identity, frozenset[Identity | None]]
        ] = OrderedDict()

    @contextmanager
    def alone(self, target: Target) -> Iterator[None]:
        """Keep other writers of this file in this process out."""
        key = target.canonical
        with self._guard:
            entry = self._locks.setdefault(key, _Lock())
            entry.users += 1
        try:
            with entry.lock:
                yield
        finally:
            with self._guard:
                entry.users -= 1
                if not entry.users:
                    del self._locks[key]

    @contextmanager
    def open(self, target: Target, verb: str) -> Iterator[int]:
        """Yield a descriptor of an approved regular file, verified by identity.

        Raises:
            ToolFailure: it is missing, not a file, not readable, or not the file that
                was approved.
        """
        check_kind(target, verb, "file")
        with open_anchor(target, verb) as anchor:
            # NONBLOCK: should a fifo have taken its place, opening must not hang.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            try:
                descriptor = os.open(target.name, flags, dir_fd=anchor)
            except PermissionError as error:
                raise failure(verb, target.given, reason(error)) from error
            except OSError as error:
                raise moved(target, verb) from error
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise moved(target, verb)
            self._check(target, Identity.of(status), verb)
            yield descriptor
        finally:
            os.close(descriptor)

    def replace(
        self,
        target: Target,
        data: bytes,
        verb: str,
        expected: bytes | None = None,
        *,
        token: str,
        through: Through | None = None,
    ) -> Written:
        """Make ``data`` the content of an approved file, whole or not at all.

        The new content is written beside it, flushed to the disk and renamed into
        place, so that no reader ever sees a part of it; missing folders are made. The
        mode is kept, and the owner where the system allows it. A further hard link
        keeps the old content. With ``expected`` the file must still hold exactly
        that. Call it within ``alone``. The name of what is written beside it holds a
        mark of the ``token``, by which ``tidy`` finds it after a crash.

        A file that exists and can be written but not replaced (it is a mount point,
        its folder is read-only) is written over, and ``Written.in_place`` says so.

        With ``through`` an editor writes it, if it can: a plain text, in the Location,
        under a single name. That it is what was approved is seen just before; what came
        of it is taken from the disk afterwards, whatever the editor said.

        Raises:
            ToolFailure: the file, or a folder on the way, is not what was approved,
                or its content changed, or the system refuses. Nothing was changed
                then; if a file that was being written over could not be put back, the
                text says so.
        """
        if target.kind != "missing":
            check_kind(target, verb, "file")
        with open_anchor(target, verb) as anchor:
            try:
                with _folders(target, anchor) as (folder, made):
                    done = self._through(target, folder, data, verb, expected, through)
                    if done is None:
                        done = self._replace(
                            target, folder, data, verb, expected, token
                        )
                    return evolve(done, folders=made)
            except OSError as error:
                raise failure(verb, target.given, reason(error)) from error

    def _through(
        self,
        target: Target,
        folder: int,
        data: bytes,
        verb: str,
        expected: bytes | None,
        through: Through | None,
    ) -> Written | None:
        """Have an editor write; None where it is for the disk, as before."""
        text = _plain_text(data) if through is not None else None
        if through is None or text is None or target.root is None:
            return None
        before = self._status(target, folder, verb)
        if before is not None and (before.st_nlink > 1 or before.st_size > MAX_THROUGH):
            # An editor may write into the file, and so by its other names.
            return None
        held = None if before is None else _content(target, folder)
        if expected is not None and held != expected:
            raise _changed(target, verb)
        refused: ToolFailure | None = None
        try:
            if not through(target.canonical, text):
                return None
        except ToolFailure as error:
            refused = error
        there = _there(target, folder)
        if there is None or (there[1] == held and held != data):
            raise _unwritten(target, verb, refused, held) from refused
        status, found = there
        if refused is not None and found != data:
            why = f"{refused}, and the file holds another text since"
            raise failure(verb, target.given, why, "read it before you go on")
        if before is None or Identity.of(status) != Identity.of(before):
            self._remember(
                target, Identity.of(status), Identity.of(before) if before else None
            )
        return Written(
            before is None,
            len(found),
            hashlib.sha256(found).hexdigest(),
            instead=None if found == data else found,
        )

    def _replace(
        self,
        target: Target,
        folder: int,
        data: bytes,
        verb: str,
        expected: bytes | None,
        token: str,
    ) -> Written:
        before = self._status(target, folder, verb)
        try:
            return self._put(target, folder, data, verb, expected, before, token)
        except OSError as error:
            if before is None or error.errno not in _NOT_REPLACEABLE:
                raise
        return self._write_over(target, folder, data, verb, expected)

    def _put(
        self,
        target: Target,
        folder: int,
        data: bytes,
        verb: str,
        expected: bytes | None,
        before: os.stat_result | None,
        token: str,
    ) -> Written:
        """Put a new file in the place of the old one."""
        # Never the same twice: of two processes at the same call, one of which has lost
        # it and does not know yet, none may put the other's half of a file into place.
        temporary = f"{_mark_of(token)}{secrets.token_hex(4)}{_TEMPORARY}"
        # A new file gets what the umask allows; a secret one stays closed throughout.
        mode = 0o666 if before is None else 0o600
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, mode, dir_fd=folder)
        try:
            try:
                _write_all(descriptor, data)
                if before is not None:
                    _take_over(descriptor, before)
                os.fsync(descriptor)
                made = Identity.of(os.fstat(descriptor))
            finally:
                os.close(descriptor)
            # Once more, as late as can be: the file must still be the approved one.
            now = self._status(target, folder, verb)
            if (now is None) != (before is None):
                raise moved(target, verb)
            if expected is not None and _content(target, folder) != expected:
                raise _changed(target, verb)
            os.replace(temporary, target.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=folder)
            raise
        self._remember(target, made, Identity.of(now) if now else None)
        return Written(before is None, len(data), hashlib.sha256(data).hexdigest())

    def _write_over(
        self,
        target: Target,
        folder: int,
        data: bytes,
        verb: str,
        expected: bytes | None,
    ) -> Written:
        """Write over the old content, which is put back if that fails half-way."""
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(target.name, flags, dir_fd=folder)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise moved(target, verb)
            self._check(target, Identity.of(status), verb)
            if status.st_size > MAX_OVER:
                why = f"it can only be written over, and has over {MAX_OVER:,} bytes"
                raise failure(verb, target.given, why)
            with os.fdopen(os.dup(descriptor), "rb") as file:
                before = file.read()
            if expected is not None and before != expected:
                raise _changed(target, verb)
            try:
                _fill(descriptor, data)
            except OSError as error:
                try:
                    _fill(descriptor, before)
                except OSError:
                    why = f"{reason(error)} while it was written over"
                    then = "a part of it is lost"
                    raise failure(verb, target.given, why, then) from error
                raise
        finally:
            os.close(descriptor)
        digest = hashlib.sha256(data).hexdigest()
        return Written(False, len(data), digest, in_place=True)

    def tidy(self, target: Target, token: str, verb: str) -> tuple[str, ...]:
        """Remove what a replacement with this token left beside a file when it was cut
        off by a crash; return the names of what could not be removed.

        Only a regular file without further names is removed, and only one of this user.

        Raises:
            ToolFailure: its folder cannot be looked at.
        """
        if target.kind not in ("missing", "file") or target.missing_folders:
            return ()  # no such file was begun here
        with open_anchor(target, verb) as anchor:
            try:
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
                folder = os.open(".", flags, dir_fd=anchor)
            except OSError as error:
                raise failure(verb, target.given, reason(error)) from error
            try:
                mark = _mark_of(token)
                left = [
                    name
                    for name in os.listdir(folder)
                    if name.startswith(mark) and name.endswith(_TEMPORARY)
                ]
                return tuple(one for one in left if not _removed(one, folder))
            finally:
                os.close(folder)

    def ready(
        self, target: Target, verb: str, *, goes: bool = False
    ) -> os.stat_result | None:
        """Return the status of an approved file that can be changed now, or None where
        there is none and one can be made.

        ``goes`` is for a file whose name itself is to come or to go: that takes the
        right to write its folder.

        Raises:
            ToolFailure: it is not what was approved, or the system would refuse.
        """
        with open_anchor(target, verb) as anchor:
            try:
                # Below folders that are missing there is nothing yet.
                missing = bool(target.missing_folders)
                now = None if missing else self._status(target, anchor, verb)
                if (goes or now is None) and not os.access(".", os.W_OK, dir_fd=anchor):
                    raise failure(verb, target.given, "its folder is read-only")
                return now
            except OSError as error:
                raise failure(verb, target.given, reason(error)) from error

    def remove(self, target: Target, verb: str, seen: os.stat_result) -> None:
        """Remove an approved file that is still as it was ``seen``.

        A further hard link keeps the content. Call it within ``alone``.

        Raises:
            ToolFailure: it is not what was approved, or was changed since, or the
                system refuses. It is still there then.
        """
        check_kind(target, verb, "file")
        with open_anchor(target, verb) as folder:
            try:
                now = self._status(target, folder, verb)
                if now is None or _version(now) != _version(seen):
                    raise _changed(target, verb)
                os.unlink(target.name, dir_fd=folder)
            except OSError as error:
                raise failure(verb, target.given, reason(error)) from error

    def rename(self, source: Target, target: Target, verb: str) -> int:
        """Give an approved file another approved name, in one step; return how many
        folders were made for it.

        What had that name is replaced; missing folders are made. The two must not be
        names of one file: of two hard links the system would leave both. Call it within
        ``alone`` of both.

        Raises:
            ToolFailure: one of them, or a folder on the way, is not what was approved,
                or the system refuses. Nothing was changed then.
        """
        check_kind(source, verb, "file")
        if target.kind != "missing":
            check_kind(target, verb, "file")
        with open_anchor(source, verb) as above, open_anchor(target, verb) as anchor:
            try:
                with _folders(target, anchor) as (folder, made):
                    moving = self._status(source, above, verb)
                    there = self._status(target, folder, verb)
                    if moving is None:
                        raise moved(source, verb)
                    identity = Identity.of(moving)
                    replaced = Identity.of(there) if there else None
                    if replaced == identity:
                        raise failure(verb, target.given, "it is the same file")
                    os.rename(
                        source.name, target.name, src_dir_fd=above, dst_dir_fd=folder
                    )
            except OSError as error:
                raise failure(verb, source.given, reason(error)) from error
        self._remember(target, identity, replaced)
        return made

    def _status(self, target: Target, folder: int, verb: str) -> os.stat_result | None:
        """Return the status of what is there now, if it is what was approved."""
        try:
            status = os.stat(target.name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            if target.identity is not None:
                raise moved(target, verb) from None
            return None
        if not stat.S_ISREG(status.st_mode):
            raise moved(target, verb)
        self._check(target, Identity.of(status), verb)
        if not os.access(target.name, os.W_OK, dir_fd=folder):
            # Renaming would get around the file's own protection.
            raise failure(verb, target.given, "the file is read-only")
        return status

    def _check(self, target: Target, found: Identity, verb: str) -> None:
        """Refuse an object that is neither the approved one nor our own successor.

        Replacing a file gives it a new identity. Two calls of one Step on one file
        are approved on the first identity; the second one finds the first one's work,
        which is no stranger's.
        """
        if found == target.identity:
            return
        with self._guard:
            known = self._successors.get(target.canonical)
        if known is None or known[0] != found or target.identity not in known[1]:
            raise moved(target, verb)

    def _remember(
        self, target: Target, made: Identity, replaced: Identity | None
    ) -> None:
        with self._guard:
            known = self._successors.pop(target.canonical, None)
            before: frozenset[Identity | None] = frozenset({replaced})
            if known is not None and known[0] == replaced:
                before |= known[1]
            self._successors[target.canonical] = (made, before - {made})
            while len(self._successors) > _REMEMBERED:
                self._successors.popitem(last=False)


def _mark_of(token: str) -> str:
    digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
    return f".dovetail-{digest[:16]}-"


def _removed(name: str, folder: int) -> bool:
    """Remove a temporary file if it is one; tell whether it is gone."""
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        # Root gives what it writes to whom the file belongs.
        ours = os.geteuid() in (status.st_uid, 0)
        if not (stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and ours):
            return False
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


@contextmanager
def _folders(target: Target, anchor: int) -> Iterator[tuple[int, int]]:
    """Yield a descriptor of the file's folder, making the missing ones, and how many
    were made. Those go again, where what they were made for fails."""
    made: list[tuple[int, str]] = []
    with ExitStack() as opened:
        current = os.dup(anchor)
        opened.callback(os.close, current)
        try:
            for name in target.missing_folders:
                with suppress(FileExistsError):
                    os.mkdir(name, dir_fd=current)
                    made.append((current, name))
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                current = os.open(name, flags, dir_fd=current)
                opened.callback(os.close, current)
            yield current, len(made)
        except BaseException:
            with suppress(OSError):
                for above, name in reversed(made):
                    os.rmdir(name, dir_fd=above)
            raise


def remove_folders(target: Target, count: int, keep: str) -> None:
    """Remove so many folders above a file, from the nearest on, each if it is empty;
    neither ``keep`` nor what is above that."""
    path = target.canonical
    for _ in range(count):
        path = os.path.dirname(path)
        if os.path.commonpath((path, keep)) == path or os.path.realpath(path) != path:
            return
        try:
            os.rmdir(path)
        except FileNotFoundError:
            continue  # whoever was cut off came so far
        except OSError:
            return  # it is not empty, or must stay


def _version(status: os.stat_result) -> tuple[int, int, int, int]:
    """Return what tells a file from itself after somebody changed it."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _changed(target: Target, verb: str) -> ToolFailure:
    why = "its content changed meanwhile"
    return failure(verb, target.given, why, "nothing was written; read it again")


def _fill(descriptor: int, data: bytes) -> None:
    """Make ``data`` the whole content of an open file."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    _write_all(descriptor, data)
    os.ftruncate(descriptor, len(data))
    os.fsync(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _take_over(descriptor: int, before: os.stat_result) -> None:
    made = os.fstat(descriptor)
    if (made.st_uid, made.st_gid) != (before.st_uid, before.st_gid):
        # Only root may give files away; then the new one is ours, as with any editor.
        with suppress(PermissionError):
            os.fchown(descriptor, before.st_uid, before.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(before.st_mode))


def _plain_text(data: bytes) -> str | None:
    """Return a content as what an editor is given; None where it would not keep it."""
    if len(data) > MAX_THROUGH or data.startswith(BOM_BYTES) or b"\0" in data:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _there(target: Target, folder: int) -> tuple[os.stat_result, bytes] | None:
    """Return the regular file that has the name now, if there is one."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(target.name, flags, dir_fd=folder)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        return (status, file.read()) if stat.S_ISREG(status.st_mode) else None


def _unwritten(
    target: Target, verb: str, refused: ToolFailure | None, held: bytes | None
) -> ToolFailure:
    """Return what is told where the disk shows nothing of what an editor wrote."""
    why = str(refused or "the editor says that it wrote it, and the disk does not show")
    then = "there is no such file" if held is None else "the file is as it was"
    return failure(verb, target.given, why, f"{then}; read it before you go on")


def _content(target: Target, folder: int) -> bytes:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(target.name, flags, dir_fd=folder)
    with os.fdopen(descriptor, "rb") as file:
        return file.read()
