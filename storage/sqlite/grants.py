"""Saved approvals: the operational table ``approval``. Knows nothing of matching.

An approval that is not what was saved allows nothing: it is left out, and the log says
so.
"""

import logging
from collections.abc import Sequence

import attrs
from dovetail.kernel.ports import ApprovalRow

from .checks import is_sound, summed
from .database import View
from .statements import (
    APPROVAL_CHANGES,
    APPROVAL_DIRECTORY,
    APPROVALS,
    DELETE_APPROVAL,
    PUT_APPROVAL,
    PUT_APPROVAL_CHANGES,
)

_log = logging.getLogger("dovetail.storage")


class GrantReads(View):
    """Reading saved approvals."""

    def approvals(self, directory: str) -> Sequence[ApprovalRow]:
        found = self.all(APPROVALS, (directory,))
        sound = [row for row in found if is_sound("", row)]
        if len(sound) < len(found) and directory not in self._medium.warned:
            self._medium.warned.add(directory)
            _log.warning(
                "%d saved approvals of %r in %s are not what was saved; they allow "
                "nothing",
                len(found) - len(sound),
                directory,
                self._medium.name,
            )
        return [ApprovalRow(*row[:-1]) for row in sound]

    def approval_changes(self, directory: str) -> int | None:
        found = self.one(APPROVAL_CHANGES, (directory,))
        if found is None:
            return 0
        return found[1] if is_sound("", found) else None


class GrantWrites(GrantReads):
    """Writing saved approvals."""

    def put_approval(self, row: ApprovalRow) -> None:
        self.write(PUT_APPROVAL, summed("", *attrs.astuple(row, recurse=False)))
        self._count_change(row.directory)

    def delete_approval(self, approval_id: str) -> bool:
        found = self.one(APPROVAL_DIRECTORY, (approval_id,))
        if found is None:
            return False
        self.write(DELETE_APPROVAL, (approval_id,))
        self._count_change(found[0])
        return True

    def _count_change(self, directory: str) -> None:
        changes = self.approval_changes(directory)
        # One that is not known stays so, and costs reads only.
        if changes is not None:
            self.write(PUT_APPROVAL_CHANGES, summed("", directory, changes + 1))
