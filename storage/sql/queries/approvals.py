"""Statements of saved approvals: ``approval``, ``approval_changes``."""

from ..rendering import Statement, slot, slots, upsert
from ..tables import Approval, ApprovalChanges

APPROVALS = Statement(
    Approval.select(*slots(Approval, "number"))
    .where(Approval.directory == slot("directory"))
    .order_by(Approval.number),
    "directory",
)
PUT_APPROVAL = upsert(Approval, "id", omit="number")
DELETE_APPROVAL = Statement(Approval.delete().where(Approval.id == slot("id")), "id")
APPROVAL_DIRECTORY = Statement(
    Approval.select(Approval.directory).where(Approval.id == slot("id")), "id"
)
APPROVAL_CHANGES = Statement(
    ApprovalChanges.select(*slots(ApprovalChanges)).where(
        ApprovalChanges.directory == slot("directory")
    ),
    "directory",
)
PUT_APPROVAL_CHANGES = upsert(ApprovalChanges, "directory")
