"""Permissions: may this be done? Decided, or asked.

Owns when a permission request is needed in one Location, and what its answer means for
it and for others that wait. Knows the rules as a function from an agent's name, and
nothing of who asks the person. Neighbours: ``rules`` decides, ``approvals`` remembers,
``requests`` keeps a request from being asked to its one end.
"""

import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache, partial
from typing import Literal, get_args

import anyio
from anyio import to_thread
from attrs import evolve

from ..contracts import Rule, RuleEffect
from ..lifecycle.guests import Guest, contained
from ..log.commit import EventLog, LogTransaction
from ..log.family import above
from ..ports import ApprovalRow, Reader, RequestRow
from ..requests import asking as requests
from ..requests.asking import INTERRUPT, PERSON, POLICY, Asking, Requests, RequestState
from ..values.codec import from_json
from ..values.errors import (
    InvalidValueError,
    PermissionDeniedError,
    PermissionRejectedError,
    RuntimeClosedError,
    StoreError,
    UndecodableError,
)
from ..values.events import PermissionReply, RequestAnswered, RequestAsked
from ..values.frozen import frozen
from ..values.grant import named
from ..values.ids import RequestId, SessionId
from ..values.location import Location
from ..values.patterns import matches, needed
from .approvals import Approvals, Saving, check_meant, checked_saving
from .basis import NO_BASIS, Basis
from .request import (
    WHAT,
    AskRequest,
    PermissionAnswer,
    PermissionRequest,
    RestingOn,
    again_because,
    answer_of,
    asking_for,
    checked_advice,
)
from .rules import Used, WorkingFolder, decide, denying_rule

logger = logging.getLogger(__name__)

Policy = Literal["ask", "allow", "deny"]
"""What happens where neither a rule nor an approval decides."""

Answerer = Callable[[PermissionRequest], Awaitable[Literal["once", "reject"] | None]]
"""Answers a request in code; None leaves it to whoever else answers."""


MAX_AGAIN = 20
"""Approvals that do not count any more of which a request says why."""


@frozen
class Decided:
    """What is to be done, and what allowed the parts of it that are allowed."""

    effect: RuleEffect
    used: tuple[Rule | ApprovalRow, ...] = ()

    @property
    def by(self) -> tuple[str, ...]:
        """The same by their names, each once: see ``Grant.by``."""
        return tuple(dict.fromkeys(map(_name_of, self.used)))


def _name_of(one: Rule | ApprovalRow) -> str:
    if isinstance(one, ApprovalRow):
        return named("approval", one.id)
    if one.source is not None and one.source.startswith("plugin "):
        return one.source
    return named("rule", f"{one.effect} {one.action} {one.resource}")


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
        answerer: Answerer | None = None,
        basis: Callable[[str | None], Basis] | None = None,
    ) -> None:
        self._location = location
        self._log = log
        self.approvals = Approvals(location, log, basis)
        self._requests = requests
        self._rules_for = rules_for
        self._policy = policy
        self._answer = answer or _no_answer
        self._answerer = answerer
        # Requests that a plugin wants a person to see, whatever is approved.
        self._insisted: set[str] = set()
        # What the requests that wait in this process are held to.
        self._held: dict[str, tuple[Rule, ...]] = {}

    def __repr__(self) -> str:
        return f"<Permissions {self._location.directory!r} policy={self._policy}>"

    # --- asking -------------------------------------------------------------------

    async def ask(self, request: AskRequest) -> tuple[str, ...]:
        """Return what allowed it when the action on all resources is allowed: see
        ``Grant.by``.

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
        rules = self._rules_of(request)
        answer = self._answer(request)
        if answer is not None:
            effect, who = answer
            if effect == "deny":
                await self._refuse_left(request)
                raise PermissionDeniedError(
                    request.action, request.resources, f"plugin {who!r} denies it"
                )
            rules = (_as_rule(effect, who), *rules)
        if sum(map(len, request.resources)) > _LONG:
            # Two hundred rules against a text of five hundred commands take a second.
            # Whoever decides about it again finds it decided.
            await to_thread.run_sync(self._decide, request, rules)
        decided = self._decide(request, rules)
        if decided.effect != "ask" and not await self._requests.left_in(
            request.session_id
        ):
            return _conclude(decided, request, rules)
        basis = self.approvals.basis(request.agent)
        asking = asking_for(request, _rests(basis, request))
        decided, state = await self._reserve(request, asking, rules, basis)
        effect = decided.effect
        if effect == "ask" and state.answer is not None:
            return _obey(state.answer, request)
        if effect == "ask" and self._policy == "ask":
            if answer is not None and answer[0] == "ask":
                self._insisted.add(state.id)

            def needed(tx: LogTransaction) -> bool:
                # An approval may have been saved since the request was looked at.
                nonlocal decided
                decided = self._decide(
                    request, rules, self._counting(tx.rows, request, basis, tx.now)
                )
                return decided.effect != "allow"

            again = await self._log.of_work(request.session_id).read(
                lambda rows: self._again(rows, request, rules, basis)
            )
            self._held[state.id] = rules
            try:
                reply = await self._requests.wait(
                    again_because(asking, again),
                    state.id,
                    needed,
                    self._answerer
                    and partial(self._let_answer, request.session_id, state.id),
                )
            finally:
                self._insisted.discard(state.id)
                self._held.pop(state.id, None)
            if reply is None:
                return _conclude(decided, request, rules)
            return _obey(reply, request)
        if state.pending:
            granted = effect == "allow" or (effect == "ask" and self._policy == "allow")
            await self._settle(state.id, request, "once" if granted else "reject")
        if effect == "ask" and self._policy == "allow":
            return (named("policy", "allow"),)
        return _conclude(decided, request, rules)

    def _rules_of(self, request: AskRequest) -> tuple[Rule, ...]:
        if request.rules is not None:
            return request.rules
        return tuple(self._rules_for(request.agent))

    async def allowing(
        self,
        request: AskRequest,
        found: Callable[[tuple[str, ...]], None] = lambda by: None,
    ) -> Callable[[str], bool]:
        """Return what tells of one resource whether the action is allowed now.

        It decides as ``ask`` would and never asks: where a person would have to be
        asked, the answer is no. Resources of the request are not looked at. ``found``
        is told what allowed each, once.
        """
        action = request.action
        # Thousands of things are asked about, and few rules can be about any of them.
        rules = [
            (needed(rule.resource), rule)
            for rule in self._rules_of(request)
            if matches(rule.action, action)
        ]
        log = self._log.of_work(request.session_id)
        await self.approvals.look(log)
        now = self._log.clock.now()
        basis = self.approvals.basis(request.agent)
        approvals = [
            row
            for row in await log.read(
                lambda rows: self._counting(rows, request, basis, now)
            )
            if row.action == action
        ]
        told: set[tuple[str, ...]] = set()

        def allowed(resource: str) -> bool:
            one = evolve(request, resources=(resource,))
            answer = self._answer(one)
            if answer is not None and answer[0] == "deny":
                return False
            said = () if answer is None else (_as_rule(*answer),)
            about = [rule for text, rule in rules if text in resource]
            decided = self._decide(one, (*said, *about), approvals)
            by = decided.by
            if decided.effect == "ask" and self._policy == "allow":
                by = (named("policy", "allow"),)
            elif decided.effect != "allow":
                return False
            if by not in told:
                told.add(by)
                found(by)
            return True

        return allowed

    def _decide(
        self,
        request: AskRequest | PermissionRequest,
        rules: Sequence[Rule],
        approvals: Sequence[ApprovalRow] = (),
    ) -> Decided:
        where = WorkingFolder(
            self._location.directory, request.folder or ".", os.path.realpath
        )
        action, resources = request.action, request.resources
        if sum(map(len, resources)) > _LONG:
            call = (request.session_id, request.message_id, request.call_id)
            held = (tuple(rules), tuple(approvals))
            return _decided(call, action, resources, *held, where)
        used: Used = []
        return Decided(
            decide(action, resources, rules, approvals, where, used), tuple(used)
        )

    def _counting(
        self,
        rows: Reader,
        request: AskRequest | PermissionRequest,
        basis: Basis,
        now: int,
    ) -> Sequence[ApprovalRow]:
        """Return the approvals that count for a request."""
        agent, session_id = request.agent, request.session_id
        held = self.approvals.holding(rows, agent, session_id, now)
        return [row for row in held if basis.changed(row) is None]

    def _again(
        self, rows: Reader, request: AskRequest, rules: Sequence[Rule], basis: Basis
    ) -> Sequence[str]:
        """Return why approvals of what is asked for do not count any more."""
        now = self._log.clock.now()
        held = self.approvals.holding(rows, request.agent, request.session_id, now)
        changes = {row: why for row in held if (why := basis.changed(row)) is not None}
        if not changes:
            return ()
        used = self._decide(request, rules, list(changes)).used
        return [
            f"{row.author} approved it on {_day(row.created)} ({row.id}), but "
            f"{changes[row]}"
            for row in dict.fromkeys(used)
            if isinstance(row, ApprovalRow)
        ][:MAX_AGAIN]

    async def _refuse_left(self, request: AskRequest) -> None:
        """Answer the request that this call left in an earlier process, if it did."""
        if await self._requests.left_in(request.session_id):
            denied = [Rule("*", "*", "deny")]
            basis = self.approvals.basis(request.agent)
            asking = asking_for(request, _rests(basis, request))
            _, state = await self._reserve(request, asking, denied, basis)
            if state.pending:
                await self._settle(state.id, request, "reject")

    async def _reserve(
        self,
        request: AskRequest,
        asking: Asking,
        rules: Sequence[Rule],
        basis: Basis,
    ) -> tuple[Decided, RequestState]:
        """Return what holds now; a question or an answer is nobody else's then."""
        await self.approvals.look(self._log.of_work(request.session_id))
        now = self._log.clock.now()

        def look(rows: Reader) -> Decided:
            approvals = self._counting(rows, request, basis, now)
            return self._decide(request, rules, approvals)

        def claims(decided: Decided, state: RequestState) -> bool:
            counts = state.answer is not None or self._policy == "ask"
            return decided.effect == "ask" and counts

        return await self._requests.reserve(asking, look, claims)

    async def _settle(
        self, request_id: RequestId, request: AskRequest, reply: PermissionReply
    ) -> None:
        await self._requests.settle(
            request.session_id,
            request_id,
            "answered",
            POLICY,
            request.guard,
            answer_of(reply),
        )

    async def _let_answer(self, session_id: SessionId, request_id: RequestId) -> None:
        """Let the application's function answer a request that waits."""

        def look(rows: Reader) -> PermissionRequest | None:
            row = rows.request(session_id, request_id)
            asked = None if row is None else requests.question_of(rows, row)
            return None if asked is None else PermissionRequest.of(asked)

        log = self._log.of_work(session_id)
        try:
            request = await log.read(look)
            reply = None if request is None else await self._answered_by_code(request)
            if reply is not None:
                answer = answer_of(reply)
                await self._requests.settle(
                    session_id, request_id, "answered", POLICY, answer=answer
                )
        except (StoreError, RuntimeClosedError) as error:
            # It waits on, for a person or for the next process.
            logger.warning("request %s was not answered: %s", request_id, error)

    async def _answered_by_code(
        self, request: PermissionRequest
    ) -> PermissionReply | None:
        """Return what the function answers. One that raises, or answers what is no
        answer, has rejected it: nothing is allowed by accident."""
        assert self._answerer is not None
        try:
            with contained(Guest(None, "the function given as on_permission")):
                reply: object = await self._answerer(request)
        except Exception:
            logger.exception("request %s is rejected: its function broke", request.id)
            return "reject"
        if reply is None or reply == "once":
            return None if reply is None else "once"
        if reply != "reject":
            logger.error("request %s is rejected: %r is no answer", request.id, reply)
        return "reject"

    # --- answering ----------------------------------------------------------------

    async def pending(
        self, session_id: str | None = None
    ) -> Sequence[PermissionRequest]:
        """Return the requests that wait, oldest first; also those of dead processes. Of
        a session: its own, and those of the sessions that work for it."""
        return await self._log.read(
            lambda rows: [
                request
                for _, request in self._waiting(rows)
                if session_id in (None, request.session_id)
                or session_id in above(rows, request.session_id)
            ]
        )

    async def reply(
        self,
        request_id: str,
        reply: PermissionReply,
        message: str | None = None,
        *,
        by: str = PERSON,
        saving: Saving | None = None,
        session_id: str | None = None,
        shown: str | None = None,
    ) -> None:
        """Answer a request; durable when this returns. Whoever waits goes on.

        ``once`` allows it. ``always`` also saves an approval for each entry of its
        ``save``, or of what ``saving`` says, and allows every other waiting request of
        the Location that is fully allowed now; without anything to save it counts as
        ``once``. ``reject`` refuses it, with ``message`` as advice to the model, and
        every other waiting request of the session.

        ``session_id`` is needed only where two sessions have requests of one id, and
        ``shown`` makes sure that what is answered is what was looked at. A request that
        nobody waits for is answered too: the answer counts when its call is continued
        and asks for the same. Once begun, cancelling does not stop it.

        Raises:
            RequestNotFoundError: there is no such request in this Location.
            RequestEndedError: it has its end; by whom, when and how is told.
            RequestChangedError: it is not what was ``shown``. Nothing was answered.
            InvalidValueError: an argument is none of the above, or the id alone does
                not say which request is meant.
        """
        if reply not in get_args(PermissionReply):
            raise InvalidValueError("reply", reply, '"once", "always" or "reject"')
        advice = checked_advice(message)
        if saving is not None and reply != "always":
            rule = "only an answer of always is remembered"
            raise InvalidValueError("reply", reply, rule)
        kept = checked_saving(saving or Saving(), self._log.clock.now())
        rules: Sequence[Rule] = ()
        basis = NO_BASIS

        def answer(tx: LogTransaction) -> None:
            row, event = self._row(tx, request_id, session_id, shown)
            asked = None if event is None else PermissionRequest.of(event)
            tx.append(_replied(row, reply, by, event, advice))
            if reply == "reject" and by not in (INTERRUPT, POLICY):
                for other, its in requests.pending(
                    tx.rows, session_id=row.session_id, what=WHAT
                ):
                    tx.append(_replied(other, "reject", request_id, its, advice))
            if reply == "always" and asked is not None:
                check_meant(asked, kept.patterns)
                if asked.save or kept.patterns:
                    self.approvals.save(tx, asked, by, kept)
                    self._release(tx, asked, rules, basis)

        with anyio.CancelScope(shield=True):
            if reply == "always":
                # In the event-loop thread: what rules come from is not for others.
                waiting = await self.pending()
                agents = [each.agent for each in waiting if each.id == request_id]
                if agents:
                    rules = tuple(self._rules_for(agents[0]))
                    basis = self.approvals.basis(agents[0])
            await self._log.commit(answer)

    def _release(
        self,
        tx: LogTransaction,
        answered: PermissionRequest,
        rules: Sequence[Rule],
        basis: Basis,
    ) -> None:
        """Allow what its agent waits for elsewhere and is fully allowed now."""
        for row, asked in self._waiting(tx.rows):
            if asked.agent != answered.agent or asked.id in self._insisted:
                continue
            held = self._held.get(asked.id)
            if held is None and _is_bound(tx, row):
                continue  # what it is held to is known where its call goes on
            approvals = self._counting(tx.rows, asked, basis, tx.now)
            if self._decide(asked, held or rules, approvals).effect == "allow":
                event = requests.question_of(tx.rows, row)
                tx.append(_replied(row, "once", answered.id, event))

    # --- rows of this Location ----------------------------------------------------

    def _waiting(self, rows: Reader) -> Sequence[tuple[RequestRow, PermissionRequest]]:
        """Return what waits in this Location and can be read, oldest first."""
        found = requests.pending(rows, directory=self._location.directory, what=WHAT)
        return [
            (row, request)
            for row, asked in found
            if requests.is_in(rows, row, self._location)
            and (request := PermissionRequest.of(asked)) is not None
        ]

    def _row(
        self,
        tx: LogTransaction,
        request_id: str,
        session_id: str | None,
        shown: str | None,
    ) -> tuple[RequestRow, RequestAsked | None]:
        """Return a request of this Location that waits, and what it asks."""
        known = [
            row
            for row in tx.rows.requests(request_id)
            if row.what == WHAT
            and session_id in (None, row.session_id)
            and requests.is_in(tx.rows, row, self._location)
        ]
        row = requests.only_waiting(tx.rows, request_id, known)
        return requests.waiting(tx, row.session_id, request_id, shown)


def _no_answer(request: AskRequest) -> None:
    return None


def _is_bound(tx: LogTransaction, row: RequestRow) -> bool:
    """Return whether a session may be held to more than its own agent is."""
    session = tx.rows.session(row.session_id)
    return session is None or session.parent is not None


_LONG = 2_000
"""Characters of resources about which it is decided off the loop."""


@lru_cache(maxsize=32)
def _decided(
    call: object,
    action: str,
    resources: tuple[str, ...],
    rules: tuple[Rule, ...],
    approvals: tuple[ApprovalRow, ...],
    where: WorkingFolder,
) -> Decided:
    """Decide once for each call: for the next one a link may lead elsewhere."""
    used: Used = []
    return Decided(
        decide(action, resources, rules, approvals, where, used), tuple(used)
    )


def _as_rule(answer: RuleEffect, who: str) -> Rule:
    """Return what a plugin answered as a rule, so that it counts wherever rules do: an
    ``ask`` is stricter than any approval, an ``allow`` holds where nothing else does.
    """
    return Rule("*", "*", answer, answer == "ask", named("plugin", who))


def _rests(basis: Basis, request: AskRequest) -> RestingOn:
    """Return what an ``always`` to a request rests on, to be kept with it: whoever
    answers may have other plugins."""
    action = request.action
    return RestingOn(
        definition=None
        if request.tool is None
        else basis.definitions.get(request.tool),
        rules=basis.rules_for(action, "location", request.agent),
        common=basis.rules_for(action, "location", None),
        user=basis.rules_for(action, "everywhere", None),
    )


def _day(moment: int) -> str:
    # Here, because few requests are asked again.
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(moment / 1000, UTC):%Y-%m-%d}"


# --- what an answer is ------------------------------------------------------------


def _replied(
    row: RequestRow,
    reply: PermissionReply,
    by: str,
    asked: RequestAsked | None,
    message: str | None = None,
) -> RequestAnswered:
    return requests.ended(row, "answered", by, answer_of(reply, message), asked)


def _obey(ended: RequestAnswered, request: AskRequest) -> tuple[str, ...]:
    """Return what allowed it when the answer does. One that cannot be read allows
    nothing."""
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
                return (named("request", ended.request_id),)
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


def _conclude(
    decided: Decided, request: AskRequest, rules: Sequence[Rule]
) -> tuple[str, ...]:
    """Return what allowed it when it is allowed; tell who denied it otherwise."""
    if decided.effect == "allow":
        return decided.by
    if decided.effect == "ask":
        raise PermissionRejectedError(
            request.action,
            request.resources,
            "nobody can be asked here; do without it or say what would be needed",
        )
    rule = denying_rule(request.action, request.resources, rules)
    why = "" if rule is None else f"a rule says deny {rule.action} {rule.resource!r}"
    raise PermissionDeniedError(request.action, request.resources, why)
