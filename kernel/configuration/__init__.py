"""Configuration: what `dovetail.toml` and code say, read, checked and merged."""
