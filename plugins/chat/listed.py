"""What is listed of the conversation, without importing it."""

COMMANDS = {
    "chat": "Talk with a model in this directory",
}
