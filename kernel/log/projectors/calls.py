"""Calls: the complete outputs that settlements hold, and what files held."""

from collections.abc import Iterable

from ...values import events as e
from ...values.tool import FileChange
from .target import Projectors, Target


def _call_settled(to: Target, event: e.ToolSucceeded | e.ToolFailed) -> None:
    if event.managed is not None:
        to.rows.keep_output(event.session_id, event.seq, event.managed, event.created)
    if event.changes:
        _hold(to, event, event.changes)


def _files_named(to: Target, event: e.SessionReverted | e.SessionUnreverted) -> None:
    _hold(to, event, event.files)


def _hold(to: Target, event: e.Event, changes: Iterable[FileChange]) -> None:
    """Keep what files held for as long as an event says that they did."""
    kept = [one for one in changes if one.unkept is None]
    for digest in {one.before for one in kept} | {one.after for one in kept}:
        if digest is not None:
            to.rows.hold_blob(event.session_id, event.seq, digest)


PROJECTORS: Projectors = {
    e.ToolSucceeded: _call_settled,
    e.ToolFailed: _call_settled,
    e.SessionReverted: _files_named,
    e.SessionUnreverted: _files_named,
}
