"""Access: rules, permission requests, saved approvals."""
