"""Statements of saved approvals: ``approval``, ``approval_changes``."""

from ..tables import Approval, ApprovalChanges, render, slot, slots, upsert

APPROVALS = render(
    Approval.select(*slots(Approval, "number"))
    .where(Approval.directory == slot("directory"))
    .order_by(Approval.number),
    "directory",
)
PUT_APPROVAL = upsert(Approval, "id", omit="number")
DELETE_APPROVAL = render(Approval.delete().where(Approval.id == slot("id")), "id")

APPROVAL_DIRECTORY = render(
    Approval.select(Approval.directory).where(Approval.id == slot("id")), "id"
)
APPROVAL_CHANGES = render(
    ApprovalChanges.select(*slots(ApprovalChanges)).where(
        ApprovalChanges.directory == slot("directory")
    ),
    "directory",
)
PUT_APPROVAL_CHANGES = upsert(ApprovalChanges, "directory")
