"""Errors of the store and its medium."""

from .base import DovetailError


class StoreError(DovetailError):
    """The store could not do it. What was confirmed before stays confirmed."""

    code = "store.failed"

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"store {where}: {problem}")
        self.where = where
        self.problem = problem


class StoreUnknownError(StoreError):
    """No plugin opens stores of this kind of URL."""

    code = "store.unknown_url"


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


class StoreForeignError(StoreError):
    """The file is a database of another program; it was not touched."""

    code = "store.foreign"


class StoreNewerError(StoreError):
    """A newer release wrote this file; this one would not understand it."""

    code = "store.newer"


class StoreMigrationError(StoreError):
    """A migration failed and the file is as it was. ``step`` names it."""

    code = "store.migration_failed"

    def __init__(self, where: str, step: str, problem: str) -> None:
        super().__init__(where, f"migration {step} failed and was undone: {problem}")
        self.step = step


class StoreClosedError(StoreError):
    """The store was closed."""

    code = "store.closed"

    def __init__(self, where: str) -> None:
        super().__init__(where, "closed")
