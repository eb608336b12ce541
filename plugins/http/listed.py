"""What is listed of the HTTP door, without importing it."""

COMMANDS = {
    "serve": "Offer a database over HTTP",
}
