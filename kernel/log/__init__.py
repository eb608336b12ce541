"""The event log: commit, project, tail, broadcast."""
