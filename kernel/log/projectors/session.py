"""The session's own row: what it is, and what it is called."""

from ...ports import SessionRow
from ...values import events as e
from .target import Projectors, Target, with_usage


def _session_created(to: Target, event: e.SessionCreated) -> None:
    to.put(
        SessionRow(
            id=event.session_id,
            directory=event.directory,
            workspace=event.workspace,
            title=event.title,
            agent=event.agent,
            model=event.model,
            parent=event.parent,
            forked_from=event.forked_from,
            forked_seq=event.forked_seq,
            created=event.created,
            updated=event.created,
        )
    )

    if event.within is not None:
        to.rows.hold_blob(event.session_id, event.seq, event.within)


def _model_switched(to: Target, event: e.ModelSwitched) -> None:
    to.change(event, model=event.model)


def _agent_switched(to: Target, event: e.AgentSwitched) -> None:
    to.change(event, agent=event.agent)


def _moved(to: Target, event: e.SessionMoved) -> None:
    to.change(event, directory=event.directory, workspace=event.workspace)


def _titled(to: Target, event: e.SessionTitled) -> None:
    usage = with_usage(to.session(event.session_id), event)
    to.change(event, title=event.title, **usage)


def _title_failed(to: Target, event: e.TitleFailed) -> None:
    to.change(event, **with_usage(to.session(event.session_id), event))


def _pruned(to: Target, event: e.SessionPruned) -> None:
    if event.title:
        to.change(event, title=None)


PROJECTORS: Projectors = {
    e.SessionCreated: _session_created,
    e.ModelSwitched: _model_switched,
    e.AgentSwitched: _agent_switched,
    e.SessionMoved: _moved,
    e.SessionTitled: _titled,
    e.TitleFailed: _title_failed,
    e.SessionPruned: _pruned,
}
