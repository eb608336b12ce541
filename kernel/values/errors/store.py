"""Errors of the store and its medium."""

from collections.abc import Sequence
from typing import ClassVar

from .base import DovetailError


class StoreError(DovetailError):
    """The store could not do it. What was confirmed before stays confirmed."""

    code = "store.failed"

    may_pass: ClassVar[bool] = True
    """Whether it may be over by itself: what was accepted is tried again then."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"store {where}: {problem}")
        self.where = where
        self.problem = problem


class StoreUnknownError(StoreError):
    """No plugin opens stores of this kind of URL."""

    code = "store.unknown_url"
    may_pass = False


class StoreLockedError(StoreError):
    """Another process kept the store locked for longer than ``waited`` seconds."""

    code = "store.locked"

    def __init__(self, where: str, waited: float) -> None:
        super().__init__(where, f"locked by another process for over {waited:g} s")
        self.waited = waited


class StoreFullError(StoreError):
    """The disk is full. Nothing of this transaction was kept."""

    code = "store.full"


class StoreReadOnlyError(StoreError):
    """The file or its folder cannot be written."""

    code = "store.read_only"


class StoreDamagedError(StoreError):
    """The file is damaged: what it holds cannot be read as a database."""

    code = "store.damaged"
    may_pass = False


class StoreForeignError(StoreError):
    """The file is a database of another program; it was not touched."""

    code = "store.foreign"
    may_pass = False


class StoreNewerError(StoreError):
    """A newer release wrote this file; this one would not understand it."""

    code = "store.newer"
    may_pass = False


class StoreVersionError(StoreError):
    """Another version wrote this file, whose tables are not those of this one; it was
    not touched. Open it with that version, export its sessions, and import them here.

    ``table`` is one that is different, ``missing`` the columns that it lacks, and
    ``unknown`` those that this version does not know.
    """

    code = "store.other_version"
    may_pass = False

    def __init__(
        self,
        where: str,
        table: str,
        missing: Sequence[str] = (),
        unknown: Sequence[str] = (),
    ) -> None:
        lacks = [f"lacks {', '.join(map(repr, missing))}"] if missing else []
        has = [f"has {', '.join(map(repr, unknown))}"] if unknown else []
        super().__init__(
            where,
            f"another version wrote it, and it is not damaged: its table {table!r} "
            f"{' and '.join(lacks + has)}; use that version, and carry sessions over "
            "with `dovetail export` there and `dovetail import` here",
        )
        self.table = table
        self.missing = tuple(missing)
        self.unknown = tuple(unknown)


class StoreMigrationError(StoreError):
    """A migration failed and the file is as it was. ``step`` names it."""

    code = "store.migration_failed"
    may_pass = False

    def __init__(self, where: str, step: str, problem: str) -> None:
        super().__init__(where, f"migration {step} failed and was undone: {problem}")
        self.step = step


class StoreClosedError(StoreError):
    """The store was closed."""

    code = "store.closed"
    may_pass = False

    def __init__(self, where: str) -> None:
        super().__init__(where, "closed")
