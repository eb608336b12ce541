"""Saved approvals: what an ``always`` remembers, as one Location has them (law
access.4).

Owns which of them hold, for whom and for how long, and how they are saved and taken
back. Knows nothing of how they match: ``rules`` does. What they rest on is ``basis``.
"""

from collections.abc import Callable, Sequence
from typing import Literal, get_args

from ..log.commit import EventLog, LogTransaction, WorkLog
from ..ports import EVERYWHERE, ApprovalRow, Reader, Transaction
from ..values.codec import clean_text
from ..values.errors import ApprovalNotFoundError, InvalidValueError
from ..values.frozen import frozen
from ..values.ids import new_id
from ..values.location import Location
from ..values.patterns import MAX_PATTERN
from ..values.shortcut import changed
from .basis import NO_BASIS, Basis
from .request import PermissionRequest
from .rules import covers

ApprovalScope = Literal["session", "location", "everywhere"]
"""Where an approval holds: in the session that asked, in its Location, or in all."""

ApprovalKind = Literal["exact", "prefix", "glob"]
"""How the text of an approval is read."""

MAX_PATTERNS = 100
"""Texts that one answer of ``always`` may name."""


@frozen
class ApprovalPattern:
    """What an answer of ``always`` is to remember in place of what is offered."""

    text: str
    """What it is about."""
    kind: ApprovalKind = "exact"
    """``exact``: just this. ``prefix``: whatever begins with it. ``glob``: with ``*``
    and ``?`` as in a rule."""


@frozen
class Saving:
    """What an answer of ``always`` is to remember."""

    scope: ApprovalScope = "location"
    """Where it holds."""
    any_agent: bool = False
    """Whether it holds for every agent, and not only for the one that asked."""
    expires: int | None = None
    """Milliseconds since 1970 until which it counts; None: until it is revoked."""
    patterns: tuple[ApprovalPattern, ...] = ()
    """What it is about; empty: each entry of the request's ``save``, to the letter."""


@frozen
class SavedApproval:
    """A remembered ``always`` (law access.4)."""

    id: str
    """What it is removed by."""
    agent: str | None
    """The one agent that it is for; None: every agent."""
    action: str
    """What may be done."""
    kind: ApprovalKind
    """How ``pattern`` is read: as the resource itself, as how it begins, or with ``*``
    and ``?``."""
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
    session_id: str | None
    """The session that asked for it."""
    request_id: str | None
    """The request that it was the answer to."""
    scope: ApprovalScope = "location"
    """Where it holds; ``session``: in ``session_id`` alone."""
    directory: str | None = None
    """Of the Location that it holds in; None: it holds everywhere."""
    tool: str | None = None
    """The tool whose call asked for it; None where no call did."""
    stale: str | None = None
    """Why it does not count now: what it rests on is another one. None: it counts."""


@frozen
class _Known:
    """The saved approvals that can hold in a directory, as they were committed."""

    changes: tuple[int, ...]
    """How often they had changed by then: those of the directory, and those of all."""
    rows: Sequence[ApprovalRow]
    ids: tuple[tuple[str | None, str], ...]
    """In order, each behind the one session that it is for."""


class Approvals:
    """The saved approvals of one Location."""

    def __init__(
        self,
        location: Location,
        log: EventLog,
        basis: Callable[[str | None], Basis] | None = None,
    ) -> None:
        """``basis`` returns what approvals for an agent, or for every one, rest on now;
        it is asked in the event loop."""
        self._location = location
        self._log = log
        self._basis = basis
        # One object, taken and put in one go: any thread may ask.
        self._known: _Known | None = None
        self._moved = False
        """Whether somebody found that they are others than are known."""

    @property
    def moved(self) -> bool:
        """Whether they are not known, or somebody found that they changed since. Who
        decides in a transaction looks there whether they did, and needs no look before
        it while nobody found that."""
        return self._known is None or self._moved

    def basis(self, agent: str | None) -> Basis:
        """Return what approvals rest on now."""
        return NO_BASIS if self._basis is None else self._basis(agent)

    async def look(self, log: EventLog | WorkLog) -> None:
        """Read them if they changed, so that nobody has to who decides about them next.

        Only what is committed is kept: a transaction may see what never comes to be.
        """
        known = self._known
        self._moved = False

        def read(rows: Reader) -> _Known | None:
            changes = self._changes(rows)
            if known is not None and known.changes == changes:
                return known
            found = self._read(rows)
            return None if changes is None else _Known(changes, found, _ids(found))

        self._known = await log.read(read)

    def ids(self, rows: Reader, session_id: str) -> tuple[str, ...]:
        """Return the ids of all that can hold for a session, in order."""
        known = self._still(rows)
        found = _ids(self._read(rows)) if known is None else known.ids
        return tuple(id for only, id in found if only in (None, session_id))

    def holding(
        self, rows: Reader, agent: str | None, session_id: str, now: int
    ) -> Sequence[ApprovalRow]:
        """Return those that hold for a session and an agent, whatever became of what
        they rest on."""
        known = self._still(rows)
        return [
            row
            for row in (known.rows if known else self._read(rows))
            if row.agent in (None, agent)
            and (row.scope != "session" or row.session_id == session_id)
            and (row.expires is None or now < row.expires)
        ]

    def _changes(self, rows: Reader) -> tuple[int, ...] | None:
        here = rows.approval_changes(self._location.directory)
        everywhere = rows.approval_changes(EVERYWHERE)
        return None if here is None or everywhere is None else (here, everywhere)

    def _read(self, rows: Reader) -> Sequence[ApprovalRow]:
        """Return all that can hold here, in the order in which they were saved."""
        here = rows.approvals(self._location.directory)
        mine = [row for row in here if row.workspace == self._location.workspace]
        found = [*mine, *rows.approvals(EVERYWHERE)]
        return found if len(found) == len(mine) else sorted(found, key=_age)

    def _still(self, rows: Reader) -> "_Known | None":
        """Return what is known of them, unless they changed since."""
        known = self._known
        if known is not None and known.changes == self._changes(rows):
            return known
        self._moved = True
        return None

    def save(
        self, tx: LogTransaction, asked: PermissionRequest, author: str, saving: Saving
    ) -> None:
        """Remember what a request offered to, or what the answer names; once."""
        agent = None if saving.any_agent else asked.agent
        rests = asked.rests
        rules = rests.common if saving.any_agent else rests.rules
        everywhere = saving.scope == "everywhere"
        made = ApprovalRow(
            id="",
            directory=EVERYWHERE if everywhere else self._location.directory,
            workspace=None if everywhere else self._location.workspace,
            agent=agent,
            action=asked.action,
            kind="exact",
            pattern="",
            author=author,
            created=tx.now,
            expires=saving.expires,
            folder=asked.folder,
            session_id=asked.session_id,
            request_id=asked.id,
            scope=saving.scope,
            tool=asked.tool,
            definition=rests.definition,
            rules=rests.user if everywhere else rules,
        )
        known = {
            _meaning(row)
            for row in self.holding(tx.rows, agent, asked.session_id, tx.now)
        }
        offered = tuple(ApprovalPattern(text) for text in asked.save)
        for one in dict.fromkeys(saving.patterns or offered):
            row = changed(made, kind=one.kind, pattern=one.text)
            lasting = changed(row, expires=None)
            if not known & {_meaning(row), _meaning(lasting)}:
                new = new_id("apr", self._log.clock)
                tx.rows.put_approval(changed(row, id=new))

    async def saved(self) -> Sequence[SavedApproval]:
        """Return the saved approvals that can hold here now, in the order they were
        saved; of those that do not count, with why not."""
        now = self._log.clock.now()
        rows = await self._log.read(self._read)
        found = [row for row in rows if row.expires is None or now < row.expires]
        bases = {agent: self.basis(agent) for agent in {row.agent for row in found}}
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
                session_id=row.session_id,
                request_id=row.request_id,
                scope=row.scope,
                directory=row.directory or None,
                tool=row.tool,
                stale=bases[row.agent].changed(row),
            )
            for row in found
        ]

    async def revoke(self, approval_id: str) -> None:
        """Take a saved approval back, also one that holds everywhere. What it allowed
        so far stays done.

        Raises:
            ApprovalNotFoundError: none of this id can hold in this Location.
        """

        def delete(rows: Transaction) -> None:
            mine = {row.id for row in self._read(rows)}
            if approval_id not in mine or not rows.delete_approval(approval_id):
                raise ApprovalNotFoundError(approval_id)

        await self._log.store.transact(delete)


def checked_saving(saving: Saving, now: int) -> Saving:
    """Return what is to be remembered, if it can be.

    Raises:
        InvalidValueError: a part of it is not what it has to be.
    """
    if saving.scope not in get_args(ApprovalScope):
        rule = f"one of {', '.join(get_args(ApprovalScope))}"
        raise InvalidValueError("scope", saving.scope, rule)
    if not isinstance(saving.any_agent, bool):
        raise InvalidValueError("any_agent", saving.any_agent, "True or False")
    until = saving.expires
    if until is not None and type(until) is not int:
        raise InvalidValueError("expires", until, "milliseconds since 1970, or None")
    if until is not None and until <= now:
        raise InvalidValueError("expires", until, "a time to come")
    if len(saving.patterns) > MAX_PATTERNS:
        rule = f"at most {MAX_PATTERNS} texts"
        raise InvalidValueError("patterns", len(saving.patterns), rule)
    for one in saving.patterns:
        if not isinstance(one, ApprovalPattern):
            raise InvalidValueError("patterns", one, "give ApprovalPattern")
        if one.kind not in get_args(ApprovalKind):
            rule = f"one of {', '.join(get_args(ApprovalKind))}"
            raise InvalidValueError("kind of a pattern", one.kind, rule)
        if not isinstance(one.text, str) or not one.text.strip():
            raise InvalidValueError("pattern", one.text, "a text that is not blank")
        longest = MAX_PATTERN if one.kind == "glob" else MAX_TEXT
        if len(one.text) > longest or clean_text(one.text) != one.text:
            rule = f"at most {longest} characters that have a UTF-8"
            raise InvalidValueError("pattern", one.text, rule)
    return saving


MAX_TEXT = 65_536
"""Characters of an approval's text."""


def check_meant(asked: PermissionRequest, patterns: Sequence[ApprovalPattern]) -> None:
    """Refuse patterns that have nothing to do with what is asked: an answer to one
    thing must not allow another one.

    Raises:
        InvalidValueError: one of them does not match anything of the request.
    """
    for one in patterns:
        row = ApprovalRow(
            *("", "", None, asked.agent, asked.action, one.kind, one.text, "", 0, None)
        )
        if not any(
            covers(row, asked.action, text) for text in (*asked.save, *asked.resources)
        ):
            rule = "it must match something that this request asks for"
            raise InvalidValueError(f"{one.kind} pattern", one.text, rule)


def _meaning(row: ApprovalRow) -> ApprovalRow:
    """Return a row without what makes two that allow the same two."""
    session = row.session_id if row.scope == "session" else None
    return changed(
        row, id="", author="", created=0, request_id=None, session_id=session
    )


def _ids(rows: Sequence[ApprovalRow]) -> tuple[tuple[str | None, str], ...]:
    found = [
        (row.id, row.session_id if row.scope == "session" else None) for row in rows
    ]
    return tuple((only, id) for id, only in sorted(found))


def _age(row: ApprovalRow) -> int:
    return row.created
