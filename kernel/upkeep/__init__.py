"""Upkeep: what is done to whole logs: replay, verify, repair, prune, rebuild."""
