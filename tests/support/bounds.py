"""The bound of what may hang.

It says nothing about how quick something is, and is wide enough for a machine on which
twenty others are busy. Only a test that fails waits so long.
"""

HANG = 180
"""Seconds."""
