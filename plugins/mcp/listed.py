"""What is listed of servers of the Model Context Protocol, without importing it."""

COMMANDS = {
    "mcp": "Servers of the Model Context Protocol",
}
