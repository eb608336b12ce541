"""What is listed of the rehearsal, without importing it."""

COMMANDS = {
    "demo": "Show a session that fixes a failing test",
}
