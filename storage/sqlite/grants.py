"""Saved approvals: the operational table ``approval``. Knows nothing of matching."""

from collections.abc import Sequence

import attrs
from dovetail.kernel.ports import ApprovalRow

from .database import View
from .tables import Approval, render, slot, slots, upsert

_APPROVALS = render(
    Approval.select(*slots(Approval, "number"))
    .where(Approval.directory == slot("directory"))
    .order_by(Approval.number),
    "directory",
)
_PUT_APPROVAL = upsert(Approval, "id", omit="number")
_DELETE_APPROVAL = render(Approval.delete().where(Approval.id == slot("id")), "id")


class GrantReads(View):
    """Reading saved approvals."""

    def approvals(self, directory: str) -> Sequence[ApprovalRow]:
        return [ApprovalRow(*row) for row in self.all(_APPROVALS, (directory,))]


class GrantWrites(GrantReads):
    """Writing saved approvals."""

    def put_approval(self, row: ApprovalRow) -> None:
        self.write(_PUT_APPROVAL, attrs.astuple(row, recurse=False))

    def delete_approval(self, approval_id: str) -> bool:
        return self.write(_DELETE_APPROVAL, (approval_id,)).rowcount > 0
