"""Permissions: durable questions "may this be done", and remembered answers.

Owns the requests of one Location: when one is needed, that it is durable before
anybody waits, that it is answered once, and what an ``always`` remembers. Knows the
rules as a function from an agent's name, and nothing of who asks the person: a request
is an event, and whoever follows the log sees it. Neighbours: ``rules`` below decides,
``log.commit`` keeps.

A request belongs to a call. Its id follows from the call and from what is asked, so
that a call which is continued after the process died finds the request that it left,
and the answer it got meanwhile (law access.5).
"""

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count
from typing import Literal, get_args

import anyio
from attrs import evolve, field, frozen

from ..contracts import Rule, RuleEffect
from ..log.commit import EventLog, LogTransaction, event_at
from ..ports import ApprovalRow, PermissionRow, Reader, Transaction
from ..values.codec import clean_text, sanitised
from ..values.errors import (
    ApprovalNotFoundError,
    InvalidValueError,
    OwnerFencedError,
    PermissionDeniedError,
    PermissionNotFoundError,
    PermissionRejectedError,
    RuntimeClosedError,
    StoreError,
)
from ..values.events import PermissionAsked, PermissionReplied, PermissionReply
from ..values.ids import MessageId, RequestId, SessionId, new_id
from ..values.location import Location
from ..values.tool import Json
from .rules import decide, deciding_rule, matches

logger = logging.getLogger(__name__)

Policy = Literal["ask", "allow", "deny"]
"""What happens where neither a rule nor an approval decides."""

PERSON, POLICY, INTERRUPT = "person", "policy", "interrupt"

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
class PermissionRequest:
    """A request that waits for an answer."""

    id: RequestId
    session_id: SessionId
    agent: str
    action: str
    resources: tuple[str, ...]
    save: tuple[str, ...]
    message_id: MessageId | None
    call_id: str | None
    metadata: Mapping[str, Json]
    created: int
    """Milliseconds since 1970."""


@frozen
class SavedApproval:
    """A remembered ``always`` (law access.4)."""

    id: str
    agent: str
    """The one agent that it is for."""
    action: str
    kind: Literal["exact", "glob"]
    pattern: str
    author: str
    created: int
    expires: int | None


@frozen
class _Standing:
    """How things stand with one request before it is made."""

    effect: RuleEffect
    id: RequestId
    pending: bool
    reply: PermissionReplied | None


class Permissions:
    """The permission requests and saved approvals of one Location."""

    def __init__(
        self,
        location: Location,
        log: EventLog,
        rules_for: Callable[[str], Sequence[Rule]],
        policy: Policy = "ask",
        answer: Callable[["AskRequest"], tuple[RuleEffect, str] | None] | None = None,
    ) -> None:
        self._location = location
        self._log = log
        self._rules_for = rules_for
        self._policy = policy
        self._answer = answer or _no_answer
        # Requests that a plugin wants a person to see, whatever is approved.
        self._insisted: set[str] = set()
        # Requests that a call of this process waits for or took the answer of: an
        # answer counts once. It grows by one per question to a person, which is slow.
        self._used: set[str] = set()
        # Requests that were waiting when the first call of this process asked.
        self._left: set[str] | None = None

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
        effect = decide(request.action, request.resources, rules)
        if effect != "ask" and not await self._left_by(request):
            return _conclude(effect, request, rules)
        standing = await self._reserve(request, rules)
        effect = standing.effect
        if effect == "ask" and standing.reply is not None:
            return _heed(standing.reply, request)
        if effect == "ask" and self._policy == "ask":
            if answer is not None and answer[0] == "ask":
                self._insisted.add(standing.id)
            return _heed(await self._question(request, rules, standing.id), request)
        if standing.pending:
            granted = effect == "allow" or (effect == "ask" and self._policy == "allow")
            await self._settle(standing.id, "once" if granted else "reject", POLICY)
        if effect == "ask":
            effect = "allow" if self._policy == "allow" else "ask"
        return _conclude(effect, request, rules)

    async def allowing(self, request: AskRequest) -> Callable[[str], bool]:
        """Return what tells of one resource whether the action is allowed now.

        It decides as ``ask`` would and never asks: where a person would have to be
        asked, the answer is no. Resources of the request are not looked at.
        """
        action = request.action
        rules = [
            rule
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
            answer = self._answer(evolve(request, resources=(resource,)))
            if answer is not None and answer[0] == "deny":
                return False
            said = () if answer is None else (_as_rule(answer[0]),)
            effect = decide(action, (resource,), (*said, *rules), approvals)
            return effect == "allow" or (effect == "ask" and self._policy == "allow")

        return allowed

    async def _left_by(self, request: AskRequest) -> bool:
        """Return whether the call may have left a request in an earlier process."""
        if self._left is None:
            rows = await self._log.read(self._pending_rows)
            self._left = {row.id for row in rows}
        return bool(self._left) and _request_id(request, 0) in self._left

    async def _refuse_left(self, request: AskRequest) -> None:
        """Answer the request that this call left in an earlier process, if it did."""
        if await self._left_by(request):
            standing = await self._reserve(request, [Rule("*", "*", "deny")])
            if standing.pending:
                await self._settle(standing.id, "reject", POLICY)

    async def _reserve(self, request: AskRequest, rules: Sequence[Rule]) -> _Standing:
        """Return how things stand; a question or an answer is nobody else's then."""
        while True:
            look = partial(
                self._look,
                request=request,
                rules=rules,
                used=frozenset(self._used),
                now=self._log.clock.now(),
                fresh=RequestId(new_id("per", self._log.clock)),
            )
            standing = await self._log.read(look)
            if standing.effect != "ask":
                return standing
            if standing.reply is None and self._policy != "ask":
                return standing
            if standing.id not in self._used:
                self._used.add(standing.id)
                return standing

    def _look(
        self,
        rows: Reader,
        request: AskRequest,
        rules: Sequence[Rule],
        used: frozenset[str],
        now: int,
        fresh: RequestId,
    ) -> _Standing:
        approvals = self._approvals(rows, request.agent, now)
        effect = decide(request.action, request.resources, rules, approvals)
        if request.call_id is None:
            return _Standing(effect, fresh, False, None)
        for ordinal in count():
            request_id = _request_id(request, ordinal)
            if request_id in used:
                continue
            row = rows.permission(request_id)
            if row is None or row.answered_seq is None:
                return _Standing(effect, request_id, row is not None, None)
            reply = event_at(rows, row.session_id, row.answered_seq)
            # Who interrupted a call did not answer the question, and a policy may be
            # another one today.
            if isinstance(reply, PermissionReplied) and reply.by not in (
                INTERRUPT,
                POLICY,
            ):
                return _Standing(effect, request_id, False, reply)
        raise AssertionError("unreachable")

    async def _question(
        self, request: AskRequest, rules: Sequence[Rule], request_id: RequestId
    ) -> PermissionReplied | None:
        """Make the request durable and return its reply; None where none is needed."""

        def put(tx: LogTransaction) -> bool:
            if request.guard is not None:
                request.guard(tx)
            row = tx.rows.permission(request_id)
            if row is not None:
                if row.answered_seq is None:
                    # Left by an earlier process: this one waits for it now.
                    tx.append(_asked(request, request_id))
                return True
            # An approval may have been saved since the request was looked at.
            approvals = self._approvals(tx.rows, request.agent, tx.now)
            if decide(request.action, request.resources, rules, approvals) == "allow":
                return False
            tx.append(_asked(request, request_id))
            return True

        # Subscribed before the request exists, so that no answer can be missed.
        bell = self._log.bell(request.session_id)
        try:
            if not await self._log.commit(put):
                return None
            while True:
                reply = await self._log.read(lambda rows: _reply(rows, request_id))
                if reply is not None:
                    return reply
                if not await bell.wait():
                    raise RuntimeClosedError
        except anyio.get_cancelled_exc_class():
            # As long as one commit takes; the store bounds that.
            with anyio.CancelScope(shield=True):
                await self._withdraw(request, request_id)
            raise
        finally:
            self._log.hush(request.session_id, bell)

    async def _withdraw(self, request: AskRequest, request_id: RequestId) -> None:
        try:
            await self._settle(request_id, "reject", INTERRUPT, request.guard)
        except (OwnerFencedError, StoreError, RuntimeClosedError) as error:
            # It stays listed, and is found again when the call is continued.
            logger.warning("request %s was not withdrawn: %s", request_id, error)

    async def _settle(
        self,
        request_id: RequestId,
        reply: PermissionReply,
        by: str,
        guard: Callable[[LogTransaction], None] | None = None,
    ) -> None:
        """Answer one request, if it still waits, without any consequence for others."""

        def settle(tx: LogTransaction) -> None:
            if guard is not None:
                guard(tx)
            row = tx.rows.permission(request_id)
            if row is not None and row.answered_seq is None:
                tx.append(_replied(row, reply, by))

        await self._log.commit(settle)

    # --- answering ----------------------------------------------------------------

    async def pending(
        self, session_id: str | None = None
    ) -> Sequence[PermissionRequest]:
        """Return the requests that wait, oldest first; also those of dead processes."""
        return await self._log.read(
            lambda rows: [
                _shown(asked)
                for row in self._pending_rows(rows)
                if session_id in (None, row.session_id)
                and (asked := _question_of(rows, row))
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
    ) -> None:
        """Answer a request; durable when this returns. Whoever waits goes on.

        ``once`` allows it. ``always`` also saves an approval for each entry of its
        ``save``, until ``expires`` (milliseconds since 1970) or for good, and allows
        every other waiting request of the Location that is fully allowed now; without
        ``save`` it counts as ``once``. ``reject`` refuses it, with ``message`` as
        advice to the model, and every other waiting request of the session.

        A request that nobody waits for is answered too: the answer counts when its
        call is continued. Once begun, cancelling does not stop it.

        Raises:
            PermissionNotFoundError: no such request waits in this Location.
            InvalidValueError: an argument is none of the above.
        """
        if reply not in get_args(PermissionReply):
            raise InvalidValueError("reply", reply, '"once", "always" or "reject"')
        advice = _advice(message)
        rules: Sequence[Rule] = ()

        def answer(tx: LogTransaction) -> None:
            row = self._row(tx.rows, request_id)
            if row is None:
                raise PermissionNotFoundError(request_id)
            tx.append(_replied(row, reply, by, advice))
            if reply == "reject" and by not in (INTERRUPT, POLICY):
                for other in tx.rows.pending_permissions(session_id=row.session_id):
                    tx.append(_replied(other, "reject", request_id, advice))
            asked = _question_of(tx.rows, row) if reply == "always" else None
            if asked is not None and asked.save:
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
        asked: PermissionAsked,
        author: str,
        expires: int | None,
    ) -> None:
        known = {
            (each.action, each.pattern)
            for each in self._approvals(tx.rows, asked.agent, tx.now)
            if each.kind == "exact" and each.expires is None
        }
        for pattern in dict.fromkeys(asked.save):
            if (asked.action, pattern) in known:
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
                )
            )

    def _release(
        self, tx: LogTransaction, answered: PermissionAsked, rules: Sequence[Rule]
    ) -> None:
        """Allow what its agent waits for elsewhere and is fully allowed now."""
        approvals = self._approvals(tx.rows, answered.agent, tx.now)
        for row in self._pending_rows(tx.rows):
            asked = _question_of(tx.rows, row)
            if asked is None or asked.agent != answered.agent:
                continue
            if asked.request_id in self._insisted:
                continue
            if decide(asked.action, asked.resources, rules, approvals) == "allow":
                tx.append(_replied(row, "once", answered.request_id))

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

    def _pending_rows(self, rows: Reader) -> Sequence[PermissionRow]:
        found = rows.pending_permissions(directory=self._location.directory)
        return [row for row in found if self._is_mine(rows, row)]

    def _row(self, rows: Reader, request_id: str) -> PermissionRow | None:
        """Return a request of this Location that waits."""
        row = rows.permission(request_id)
        if row is None or row.answered_seq is not None:
            return None
        return row if self._is_mine(rows, row) else None

    def _is_mine(self, rows: Reader, row: PermissionRow) -> bool:
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


def _request_id(request: AskRequest, ordinal: int) -> RequestId:
    """Return the id of the n-th time that this call asks just this.

    A pure function, so that it needs no storage to be the same after a restart.
    """
    parts = [
        request.session_id,
        request.message_id or "",
        request.call_id or "",
        request.action,
        *request.resources,
    ]
    digest = hashlib.sha256(str(ordinal).encode())
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(f"\0{len(data)}\0".encode() + data)
    return RequestId(f"per_{digest.hexdigest()[:32]}")


def _asked(request: AskRequest, request_id: RequestId) -> PermissionAsked:
    return PermissionAsked(
        session_id=request.session_id,
        request_id=request_id,
        agent=request.agent,
        action=_storable(request.action),
        resources=tuple(_storable(each) for each in request.resources),
        # A name that cannot be stored as it is cannot be approved to the letter.
        save=tuple(each for each in request.save if _storable(each) == each),
        message_id=request.message_id,
        call_id=None if request.call_id is None else _storable(request.call_id),
        begun=request.begun,
        metadata=sanitised(dict(request.metadata)),
    )


def _storable(text: str) -> str:
    """Return text that has a UTF-8; a file's name may be without one."""
    return text.encode("utf-8", "backslashreplace").decode()


def _shown(asked: PermissionAsked) -> PermissionRequest:
    return PermissionRequest(
        id=asked.request_id,
        session_id=asked.session_id,
        agent=asked.agent,
        action=asked.action,
        resources=asked.resources,
        save=asked.save,
        message_id=asked.message_id,
        call_id=asked.call_id,
        metadata=asked.metadata,
        created=asked.created,
    )


def _question_of(rows: Reader, row: PermissionRow) -> PermissionAsked | None:
    """Return what was asked; None, which the log has warned of, when unreadable."""
    event = event_at(rows, row.session_id, row.seq)
    return event if isinstance(event, PermissionAsked) else None


# --- what an answer is ------------------------------------------------------------


def _replied(
    row: PermissionRow, reply: PermissionReply, by: str, message: str | None = None
) -> PermissionReplied:
    return PermissionReplied(
        session_id=SessionId(row.session_id),
        request_id=RequestId(row.id),
        reply=reply,
        by=by,
        message=message if reply == "reject" else None,
    )


def _reply(rows: Reader, request_id: str) -> PermissionReplied | None:
    row = rows.permission(request_id)
    if row is None or row.answered_seq is None:
        return None
    event = event_at(rows, row.session_id, row.answered_seq)
    if isinstance(event, PermissionReplied):
        return event
    # An answer that cannot be read allows nothing.
    return _replied(row, "reject", POLICY)


def _advice(message: str | None) -> str | None:
    if message is None or not message.strip():
        return None
    if len(message) > MAX_ADVICE:
        raise InvalidValueError(
            "message", message, f"at most {MAX_ADVICE} characters of advice"
        )
    return clean_text(message)


def _heed(reply: PermissionReplied | None, request: AskRequest) -> None:
    if reply is not None and reply.reply == "reject":
        raise PermissionRejectedError(request.action, request.resources, reply.message)


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
    found = (deciding_rule(request.action, each, rules) for each in request.resources)
    why = next(
        f"a rule says deny {rule.action} {rule.resource!r}"
        for rule in found
        if rule is not None and rule.effect == "deny"
    )
    raise PermissionDeniedError(request.action, request.resources, why)
