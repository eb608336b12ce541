"""Execution: who runs a session, Step by Step, and how it goes on after a crash."""
