"""Saved approvals: the operational table ``approval``. Knows nothing of matching.

An approval that is not what was saved allows nothing: it is left out, and the log says
so.
"""

import logging
from collections.abc import Sequence

import attrs
from dovetail.kernel.ports import ApprovalRow

from .checks import is_sound, summed
from .kept import Kept
from .view import View

_log = logging.getLogger("dovetail.storage")


class ApprovalReads(View):
    """Reading saved approvals."""

    def approvals(self, directory: str) -> Sequence[ApprovalRow]:
        found = self.all(self.sql.APPROVALS, (directory,))
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
        found = self.one(self.sql.APPROVAL_CHANGES, (directory,))
        if found is None:
            return 0
        return found[1] if is_sound("", found) else None


class ApprovalWrites(ApprovalReads):
    """Writing saved approvals."""

    kept: Kept

    def approval_changes(self, directory: str) -> int | None:
        known = self.kept.approval_changes.get(directory)
        if known is None:
            known = super().approval_changes(directory)
            if known is not None:
                self.kept.approval_changes[directory] = known
        return known

    def put_approval(self, row: ApprovalRow) -> None:
        self.write(
            self.sql.PUT_APPROVAL, summed("", *attrs.astuple(row, recurse=False))
        )
        self._count_change(row.directory)

    def delete_approval(self, approval_id: str) -> bool:
        found = self.one(self.sql.APPROVAL_DIRECTORY, (approval_id,))
        if found is None:
            return False
        self.write(self.sql.DELETE_APPROVAL, (approval_id,))
        self._count_change(found[0])
        return True

    def delete_approvals_of(self, session_id: str) -> None:
        for (approval_id,) in self.all(self.sql.SESSION_APPROVALS, (session_id,)):
            self.delete_approval(approval_id)

    def _count_change(self, directory: str) -> None:
        changes = self.approval_changes(directory)
        # One that is not known stays so, and costs reads only.
        if changes is not None:
            self.write(
                self.sql.PUT_APPROVAL_CHANGES, summed("", directory, changes + 1)
            )
            self.kept.approval_changes[directory] = changes + 1
