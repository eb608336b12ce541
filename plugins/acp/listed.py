"""What is listed of editors, without importing it."""

COMMANDS = {
    "acp": "Serve an editor (Agent Client Protocol)",
}
