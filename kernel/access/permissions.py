"""Permissions: requests "may this be done", and remembered answers.

Owns what a permission request asks, when one is needed, what its answer means, and
what an ``always`` remembers, in one Location. Knows the rules as a function from an
agent's name, and nothing of who asks the person. Neighbours: ``rules`` decides,
``requests`` keeps a request from being asked to its one answer.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

import anyio
from attrs import evolve, field, frozen

from ..contracts import Rule, RuleEffect
from ..log.commit import EventLog, LogTransaction
from ..ports import ApprovalRow, Reader, RequestRow, Transaction
from ..requests import asking as requests
from ..requests.asking import INTERRUPT, PERSON, POLICY, Asking, Requests, Standing
from ..values.codec import clean_text, from_json, sanitised, to_json
from ..values.errors import (
    ApprovalNotFoundError,
    InvalidValueError,
    PermissionDeniedError,
    PermissionRejectedError,
    RequestNotFoundError,
    UndecodableError,
)
from ..values.events import PermissionReply, RequestAnswered, RequestAsked
from ..values.ids import MessageId, RequestId, SessionId, new_id
from ..values.location import Location
from ..values.patterns import matches, needed
from ..values.tool import Json
from .rules import WorkingFolder, decide, denying_rule

WHAT = "permission"
"""The kind of request."""

Policy = Literal["ask", "allow", "deny"]
"""What happens where neither a rule nor an approval decides."""

MAX_ADVICE = 8_192
"""Characters of advice that go with a rejection."""


@frozen
class AskRequest:
    """What one call of one agent wants to do."""

    session_id: SessionId
    agent: str
    action: str
    resources: tuple[str, ...]
    save: tuple[str, ...] = ()
    """What ``always`` remembers, each to the letter."""
    folder: str | None = None
    """The folder that it is to happen in, as a resource, where that matters: what
    ``always`` remembers is for this folder only."""
    metadata: Mapping[str, Json] = field(factory=dict)
    message_id: MessageId | None = None
    call_id: str | None = None
    begun: bool = False
    """Whether the call may have had an effect before it asks this."""
    guard: Callable[[LogTransaction], None] | None = field(
        default=None, eq=False, repr=False
    )
    """Raises where whoever asks may not write any more; runs in each transaction that
    is made for the call."""


@frozen
class PermissionBody:
    """What a permission request asks, as its event keeps it."""

    action: str
    """What is to be done, such as ``edit``; see the table of actions."""
    resources: tuple[str, ...]
    """What it is to be done to; all of it must be allowed."""
    save: tuple[str, ...] = ()
    """The patterns that an ``always`` would remember."""
    folder: str | None = None
    """The folder that relative resources are of, as a resource."""
    metadata: Mapping[str, Json] = field(factory=dict)
    """What the tool says besides, for whoever shows the question."""


@frozen
class PermissionAnswer:
    """What was said to a permission request, as its event keeps it."""

    reply: PermissionReply
    """Once, always, or not at all."""
    message: str | None = None
    """What the person says to the model instead; None for nothing."""


@frozen
class PermissionRequest:
    """A permission request, as whoever answers it sees it."""

    id: RequestId
    """What it is answered by."""
    session_id: SessionId
    """The session that it belongs to."""
    agent: str
    """Whose call it is: an ``always`` holds for this agent only."""
    action: str
    """What is to be done, such as ``edit``."""
    resources: tuple[str, ...]
    """What it is to be done to; all of it must be allowed."""
    save: tuple[str, ...]
    """What ``always`` would remember, each to the letter."""
    folder: str | None
    """The folder that it is to happen in, as a resource; ``always`` remembers it for
    this folder only. None: it does not matter."""
    message_id: MessageId | None
    """The message of the call that asks; None where no call does."""
    call_id: str | None
    """The call that asks, as its provider named it; None where no call does."""
    metadata: Mapping[str, Json]
    """What the tool says besides, for whoever shows the question."""
    created: int
    """Milliseconds since 1970."""

    @classmethod
    def of(cls, asked: RequestAsked) -> "PermissionRequest | None":
        """Return what an event asks; None when that is no permission, or was removed
        by retention."""
        if asked.what != WHAT or not asked.body:
            return None
        try:
            body = from_json(dict(asked.body), PermissionBody)
        except UndecodableError:
            return None
        return cls(
            id=asked.request_id,
            session_id=asked.session_id,
            agent=asked.agent,
            action=body.action,
            resources=body.resources,
            save=body.save,
            folder=body.folder,
            message_id=asked.message_id,
            call_id=asked.call_id,
            metadata=body.metadata,
            created=asked.created,
        )


@frozen
class SavedApproval:
    """A remembered ``always`` (law access.4)."""

    id: str
    """What it is removed by."""
    agent: str
    """The one agent that it is for."""
    action: str
    """What may be done."""
    kind: Literal["exact", "glob"]
    """How ``pattern`` is read: as the resource itself, or with ``*`` and ``?``."""
    pattern: str
    """What it may be done to."""
    author: str
    """Who said ``always``."""
    created: int
    """Milliseconds since 1970."""
    expires: int | None
    """Milliseconds since 1970 from which on it does not count; None: never."""
    folder: str | None
    """The one folder that it is for, as a resource; None: wherever in the Location."""


class Permissions:
    """The permission requests and saved approvals of one Location."""

    def __init__(
        self,
        location: Location,
        log: EventLog,
        requests: Requests,
        rules_for: Callable[[str], Sequence[Rule]],
        policy: Policy = "ask",
        answer: Callable[["AskRequest"], tuple[RuleEffect, str] | None] | None = None,
    ) -> None:
        self._location = location
        self._log = log
        self._requests = requests
        self._rules_for = rules_for
        self._policy = policy
        self._answer = answer or _no_answer
        # Requests that a plugin wants a person to see, whatever is approved.
        self._insisted: set[str] = set()

    def __repr__(self) -> str:
        return f"<Permissions {self._location.directory!r} policy={self._policy}>"

    # --- asking -------------------------------------------------------------------

    async def ask(self, request: AskRequest) -> None:
        """Return when the action on all resources is allowed.

        Rules decide first, then saved approvals, then the policy. Plugins can be
        stricter than all of them, and allow what none of them decides. Where the policy
        is to ask, the request is durable before this waits, and waits as long as nobody
        answers. Policies other than ``ask`` leave no event. A call that asks the same
        again after a restart waits for the request that it left, or takes the answer
        that this got meanwhile, once.

        Cancelling it withdraws the request: it is answered ``reject`` by ``interrupt``.

        Raises:
            PermissionDeniedError: a rule or a plugin denies it.
            PermissionRejectedError: the person said no, or the policy did.
            RuntimeClosedError: the runtime closes; the request stays.
        """
        rules = tuple(self._rules_for(request.agent))
        answer = self._answer(request)
        if answer is not None:
            effect, who = answer
            if effect == "deny":
                await self._refuse_left(request)
                raise PermissionDeniedError(
                    request.action, request.resources, f"plugin {who!r} denies it"
                )
            rules = (_as_rule(effect), *rules)
        effect = self._decide(request, rules)
        asking = _asking(request)
        if effect != "ask" and not await self._requests.left_in(request.session_id):
            return _conclude(effect, request, rules)
        effect, standing = await self._reserve(request, asking, rules)
        if effect == "ask" and standing.answer is not None:
            return _obey(standing.answer, request)
        if effect == "ask" and self._policy == "ask":
            if answer is not None and answer[0] == "ask":
                self._insisted.add(standing.id)

            def needed(tx: LogTransaction) -> bool:
                # An approval may have been saved since the request was looked at.
                approvals = self._approvals(tx.rows, request.agent, tx.now)
                return self._decide(request, rules, approvals) != "allow"

            try:
                reply = await self._requests.wait(asking, standing.id, needed)
            finally:
                self._insisted.discard(standing.id)
            return None if reply is None else _obey(reply, request)
        if standing.pending:
            granted = effect == "allow" or (effect == "ask" and self._policy == "allow")
            await self._settle(standing.id, request, "once" if granted else "reject")
        if effect == "ask":
            effect = "allow" if self._policy == "allow" else "ask"
        return _conclude(effect, request, rules)

    async def allowing(self, request: AskRequest) -> Callable[[str], bool]:
        """Return what tells of one resource whether the action is allowed now.

        It decides as ``ask`` would and never asks: where a person would have to be
        asked, the answer is no. Resources of the request are not looked at.
        """
        action = request.action
        # Thousands of things are asked about, and few rules can be about any of them.
        rules = [
            (needed(rule.resource), rule)
            for rule in self._rules_for(request.agent)
            if matches(rule.action, action)
        ]
        now = self._log.clock.now()
        approvals = [
            row
            for row in await self._log.read(
                lambda rows: self._approvals(rows, request.agent, now)
            )
            if row.action == action
        ]

        def allowed(resource: str) -> bool:
            one = evolve(request, resources=(resource,))
            answer = self._answer(one)
            if answer is not None and answer[0] == "deny":
                return False
            said = () if answer is None else (_as_rule(answer[0]),)
            about = [rule for text, rule in rules if text in resource]
            effect = self._decide(one, (*said, *about), approvals)
            return effect == "allow" or (effect == "ask" and self._policy == "allow")

        return allowed

    def _decide(
        self,
        request: AskRequest | PermissionRequest,
        rules: Sequence[Rule],
        approvals: Sequence[ApprovalRow] = (),
    ) -> RuleEffect:
        where = WorkingFolder(self._location.directory, request.folder or ".")
        return decide(request.action, request.resources, rules, approvals, where)

    async def _refuse_left(self, request: AskRequest) -> None:
        """Answer the request that this call left in an earlier process, if it did."""
        if await self._requests.left_in(request.session_id):
            denied = [Rule("*", "*", "deny")]
            _, standing = await self._reserve(request, _asking(request), denied)
            if standing.pending:
                await self._settle(standing.id, request, "reject")

    async def _reserve(
        self, request: AskRequest, asking: Asking, rules: Sequence[Rule]
    ) -> tuple[RuleEffect, Standing]:
        """Return what holds now; a question or an answer is nobody else's then."""
        now = self._log.clock.now()

        def effect(rows: Reader) -> RuleEffect:
            approvals = self._approvals(rows, request.agent, now)
            return self._decide(request, rules, approvals)

        def claims(effect: RuleEffect, standing: Standing) -> bool:
            counts = standing.answer is not None or self._policy == "ask"
            return effect == "ask" and counts

        return await self._requests.reserve(asking, effect, claims)

    async def _settle(
        self, request_id: RequestId, request: AskRequest, reply: PermissionReply
    ) -> None:
        await self._requests.settle(
            request.session_id,
            request_id,
            "answered",
            POLICY,
            request.guard,
            _answer(reply),
        )

    # --- answering ----------------------------------------------------------------

    async def pending(
        self, session_id: str | None = None
    ) -> Sequence[PermissionRequest]:
        """Return the requests that wait, oldest first; also those of dead processes."""
        return await self._log.read(
            lambda rows: [
                request
                for _, request in self._waiting(rows)
                if session_id in (None, request.session_id)
            ]
        )

    async def reply(
        self,
        request_id: str,
        reply: PermissionReply,
        message: str | None = None,
        *,
        by: str = PERSON,
        expires: int | None = None,
        session_id: str | None = None,
    ) -> None:
        """Answer a request; durable when this returns. Whoever waits goes on.

        ``once`` allows it. ``always`` also saves an approval for each entry of its
        ``save``, until ``expires`` (milliseconds since 1970) or for good, and allows
        every other waiting request of the Location that is fully allowed now; without
        ``save`` it counts as ``once``. ``reject`` refuses it, with ``message`` as
        advice to the model, and every other waiting request of the session.

        ``session_id`` is needed only where two sessions have requests of one id. A
        request that nobody waits for is answered too: the answer counts when its
        call is continued. Once begun, cancelling does not stop it.

        Raises:
            RequestNotFoundError: no such request waits in this Location.
            InvalidValueError: an argument is none of the above.
        """
        if reply not in get_args(PermissionReply):
            raise InvalidValueError("reply", reply, '"once", "always" or "reject"')
        advice = _advice(message)
        rules: Sequence[Rule] = ()

        def answer(tx: LogTransaction) -> None:
            row, asked = self._row(tx, request_id, session_id)
            tx.append(_replied(row, reply, by, advice))
            if reply == "reject" and by not in (INTERRUPT, POLICY):
                for other, _ in requests.pending(
                    tx.rows, session_id=row.session_id, what=WHAT
                ):
                    tx.append(_replied(other, "reject", request_id, advice))
            if reply == "always" and asked is not None and asked.save:
                self._save(tx, asked, by, expires)
                self._release(tx, asked, rules)

        with anyio.CancelScope(shield=True):
            if reply == "always":
                # In the event-loop thread: what rules come from is not for others.
                waiting = await self.pending()
                agents = [each.agent for each in waiting if each.id == request_id]
                rules = tuple(self._rules_for(agents[0])) if agents else ()
            await self._log.commit(answer)

    def _save(
        self,
        tx: LogTransaction,
        asked: PermissionRequest,
        author: str,
        expires: int | None,
    ) -> None:
        known = {
            (each.action, each.pattern, each.folder)
            for each in self._approvals(tx.rows, asked.agent, tx.now)
            if each.kind == "exact" and each.expires is None
        }
        for pattern in dict.fromkeys(asked.save):
            if (asked.action, pattern, asked.folder) in known:
                continue
            tx.rows.put_approval(
                ApprovalRow(
                    id=new_id("apr", self._log.clock),
                    directory=self._location.directory,
                    workspace=self._location.workspace,
                    agent=asked.agent,
                    action=asked.action,
                    kind="exact",
                    pattern=pattern,
                    author=author,
                    created=tx.now,
                    expires=expires,
                    folder=asked.folder,
                )
            )

    def _release(
        self, tx: LogTransaction, answered: PermissionRequest, rules: Sequence[Rule]
    ) -> None:
        """Allow what its agent waits for elsewhere and is fully allowed now."""
        approvals = self._approvals(tx.rows, answered.agent, tx.now)
        for row, asked in self._waiting(tx.rows):
            if asked.agent != answered.agent or asked.id in self._insisted:
                continue
            if self._decide(asked, rules, approvals) == "allow":
                tx.append(_replied(row, "once", answered.id))

    # --- saved approvals ----------------------------------------------------------

    async def saved(self) -> Sequence[SavedApproval]:
        """Return the saved approvals that hold now, in the order they were saved."""
        now = self._log.clock.now()
        rows = await self._log.read(lambda rows: self._approvals(rows, None, now))
        return [
            SavedApproval(
                id=row.id,
                agent=row.agent,
                action=row.action,
                kind=row.kind,
                pattern=row.pattern,
                author=row.author,
                created=row.created,
                expires=row.expires,
                folder=row.folder,
            )
            for row in rows
        ]

    async def revoke(self, approval_id: str) -> None:
        """Take a saved approval back. What it allowed so far stays done.

        Raises:
            ApprovalNotFoundError: this Location has no such approval.
        """

        def delete(rows: Transaction) -> None:
            mine = {
                row.id
                for row in rows.approvals(self._location.directory)
                if row.workspace == self._location.workspace
            }
            if approval_id not in mine or not rows.delete_approval(approval_id):
                raise ApprovalNotFoundError(approval_id)

        await self._log.store.transact(delete)

    # --- rows of this Location ----------------------------------------------------

    def _approvals(
        self, rows: Reader, agent: str | None, now: int
    ) -> Sequence[ApprovalRow]:
        return [
            row
            for row in rows.approvals(self._location.directory)
            if row.workspace == self._location.workspace
            and agent in (None, row.agent)
            and (row.expires is None or now < row.expires)
        ]

    def _waiting(self, rows: Reader) -> Sequence[tuple[RequestRow, PermissionRequest]]:
        """Return what waits in this Location and can be read, oldest first."""
        found = requests.pending(rows, directory=self._location.directory, what=WHAT)
        return [
            (row, request)
            for row, asked in found
            if self._is_mine(rows, row)
            and (request := PermissionRequest.of(asked)) is not None
        ]

    def _row(
        self, tx: LogTransaction, request_id: str, session_id: str | None
    ) -> tuple[RequestRow, PermissionRequest | None]:
        """Return a request of this Location that waits."""
        for row in tx.rows.pending_requests(id=request_id, session_id=session_id):
            if row.what == WHAT and self._is_mine(tx.rows, row):
                row = requests.waiting(tx, row.session_id, request_id)
                asked = requests.question_of(tx.rows, row)
                return row, None if asked is None else PermissionRequest.of(asked)
        raise RequestNotFoundError(request_id)

    def _is_mine(self, rows: Reader, row: RequestRow) -> bool:
        session = rows.session(row.session_id)
        return (
            row.directory == self._location.directory
            and session is not None
            and session.workspace == self._location.workspace
        )


def _no_answer(request: AskRequest) -> None:
    return None


def _as_rule(answer: RuleEffect) -> Rule:
    """Return what a plugin answered as a rule, so that it counts wherever rules do: an
    ``ask`` is stricter than any approval, an ``allow`` holds where nothing else does.
    """
    return Rule("*", "*", answer, tightens=answer == "ask")


# --- what a request is ------------------------------------------------------------


def _asking(request: AskRequest) -> Asking:
    body = PermissionBody(
        action=_storable(request.action),
        resources=tuple(_storable(each) for each in request.resources),
        # A name that cannot be stored as it is cannot be approved to the letter.
        save=tuple(each for each in request.save if _storable(each) == each),
        folder=None if request.folder is None else _storable(request.folder),
        metadata=sanitised(dict(request.metadata)),
    )
    return Asking(
        session_id=request.session_id,
        what=WHAT,
        agent=request.agent,
        identity=(request.action, *request.resources, request.folder or ""),
        body=to_json(body),
        message_id=request.message_id,
        call_id=request.call_id,
        begun=request.begun,
        guard=request.guard,
    )


def _storable(text: str) -> str:
    """Return text that has a UTF-8; a file's name may be without one."""
    return text.encode("utf-8", "backslashreplace").decode()


# --- what an answer is ------------------------------------------------------------


def _answer(reply: PermissionReply, message: str | None = None) -> dict[str, Any]:
    said = PermissionAnswer(reply, message if reply == "reject" else None)
    answer: dict[str, Any] = to_json(said)
    return answer


def _replied(
    row: RequestRow, reply: PermissionReply, by: str, message: str | None = None
) -> RequestAnswered:
    return requests.ended(row, "answered", by, _answer(reply, message))


def _advice(message: str | None) -> str | None:
    if message is None or not message.strip():
        return None
    if len(message) > MAX_ADVICE:
        raise InvalidValueError(
            "message", message, f"at most {MAX_ADVICE} characters of advice"
        )
    return clean_text(message)


def _obey(ended: RequestAnswered, request: AskRequest) -> None:
    """Return when the answer allows it. One that cannot be read allows nothing."""
    message = None
    # What the model is told is who said no, and never that a person did who was not
    # asked about this.
    if ended.outcome == "answered":
        why = _WHOSE_NO.get(
            ended.by, "the person rejected something else, and with it this"
        )
        try:
            said = from_json(dict(ended.answer), PermissionAnswer)
        except UndecodableError:
            why = "the answer cannot be read"
        else:
            if said.reply != "reject":
                return
            message = said.message
    elif ended.outcome == "expired":
        message = why = "nobody answered in time"
    else:
        why = "the question was withdrawn before anybody answered it"
    raise PermissionRejectedError(request.action, request.resources, message, why)


_WHOSE_NO = {
    PERSON: "rejected by the person",
    POLICY: "rejected by a policy, without asking a person",
}


def _conclude(effect: RuleEffect, request: AskRequest, rules: Sequence[Rule]) -> None:
    """Return when allowed; tell who denied it otherwise."""
    if effect == "allow":
        return
    if effect == "ask":
        raise PermissionRejectedError(
            request.action,
            request.resources,
            "nobody can be asked here; do without it or say what would be needed",
        )
    rule = denying_rule(request.action, request.resources, rules)
    why = "" if rule is None else f"a rule says deny {rule.action} {rule.resource!r}"
    raise PermissionDeniedError(request.action, request.resources, why)
