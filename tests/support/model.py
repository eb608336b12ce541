"""What sessions are, said in plain Python: the model that real rooms are compared with.

Owns the meaning of every act that the proof performs. Uses nothing of the kernel: no
store, no events, no projections, only dictionaries and lists that are changed in place.
"""

from typing import Any

from attrs import define, field

NOW = 1_700_000_000_000
"""The time of everything: nothing may depend on it (law events.10)."""


def identifier(prefix: str, number: int) -> str:
    """Return the id that the kernel makes of a random part that only counts."""
    return f"{prefix}_{NOW:012x}{number:020x}"


class Refused(Exception):
    """The act is refused with this code, and nothing changed."""

    def __init__(self, code: str, *details: Any) -> None:
        super().__init__(code, *details)
        self.said = (code, *details)


@define
class ModelInput:
    """One admitted input."""

    id: str
    seq: int
    text: str
    delivery: str
    key: str | None
    state: str = "pending"


@define
class ModelMessage:
    """One message of the transcript."""

    id: str
    seq: int
    type: str
    text: str | None = None
    parts: list[list[str]] = field(factory=list)
    end: str | None = None

    def plain(self) -> tuple[Any, ...]:
        """Return it as something to compare."""
        parts = tuple(tuple(part) for part in self.parts)
        return (self.id, self.seq, self.type, self.text, parts, self.end)


@define
class ModelSession:
    """One session."""

    id: str
    title: str | None
    kinds: list[str] = field(factory=lambda: ["session.created"])
    model: str | None = None
    status: str = "idle"
    outcome: str = "idle"
    steps: int = 0
    tokens: int = 0
    inputs: dict[str, ModelInput] = field(factory=dict)
    keys: dict[str, tuple[str, str, Any]] = field(factory=dict)
    messages: list[ModelMessage] = field(factory=list)
    asked: dict[str, bool] = field(factory=dict)
    """Permission requests, and whether they wait."""
    epoch: tuple[int, int] | None = None
    updates: set[str] = field(factory=set)
    """Messages that the current epoch was updated by."""
    hidden: set[str] = field(factory=set)
    """Those of earlier epochs, which no model is shown again."""
    settled: list[str] = field(factory=list)
    """Messages in the order they were complete, which is that of the history."""

    @property
    def head(self) -> int:
        """The number of the last event."""
        return len(self.kinds) - 1

    @property
    def open(self) -> ModelMessage | None:
        """The message of the Step that runs."""
        found = [one for one in self.messages if one.end is None]
        return found[0] if found else None

    def add(self, kind: str) -> int:
        """Note one more event and return its number."""
        self.kinds.append(kind)
        return self.head

    def pending(self, delivery: str | None = None) -> list[ModelInput]:
        """Return pending inputs in admission order."""
        return [
            one
            for one in self.inputs.values()
            if one.state == "pending" and delivery in (None, one.delivery)
        ]


class Model:
    """All sessions, in the order they were made, and their events in commit order."""

    def __init__(self) -> None:
        self.sessions: dict[str, ModelSession] = {}
        self.log: list[tuple[str, int]] = []
        self._made = 0

    def perform(self, number: int, acts: "list[tuple[Any, ...]]") -> list[Any]:
        """Do what ``acts`` say, one after another, and return what each says.

        ``number`` is where the random parts of new ids count from.
        """
        self._made = number
        said = []
        for name, session_id, *rest in acts:
            before = {key: one.head for key, one in self.sessions.items()}
            try:
                said.append(getattr(self, name)(session_id, *rest))
            except Refused as error:
                said.append(error.said)
            for key, one in self.sessions.items():
                self.log += [
                    (key, seq) for seq in range(before.get(key, -1) + 1, one.head + 1)
                ]
        return said

    def _new(self, prefix: str) -> str:
        self._made += 1
        return identifier(prefix, self._made)

    def _session(self, session_id: str) -> ModelSession:
        if session_id not in self.sessions:
            raise Refused("session.not_found")
        return self.sessions[session_id]

    def _input(self, session_id: str, input_id: str) -> ModelInput:
        session = self._session(session_id)
        if input_id not in session.inputs:
            raise Refused("input.not_found")
        return session.inputs[input_id]

    # --- the acts -----------------------------------------------------------------

    def create(self, session_id: str, title: str | None) -> str:
        if session_id not in self.sessions:
            self.sessions[session_id] = ModelSession(session_id, title)
        return session_id

    def admit(self, session_id: str, text: str, delivery: str, key: str | None) -> Any:
        session = self._session(session_id)
        if key in session.keys:
            known_text, known_delivery, receipt = session.keys[key]
            differs = [
                part
                for part, same in (
                    ("prompt", known_text == text),
                    ("delivery", known_delivery == delivery),
                )
                if not same
            ]
            if differs:
                raise Refused("prompt.conflict", *differs)
            return receipt
        input_id = self._new("msg")
        seq = session.add("prompt.admitted")
        session.inputs[input_id] = ModelInput(input_id, seq, text, delivery, key)
        receipt = (input_id, session_id, key, delivery, seq, NOW)
        if key is not None:
            session.keys[key] = (text, delivery, receipt)
        return receipt

    def withdraw(self, session_id: str, input_id: str) -> None:
        found = self._input(session_id, input_id)
        if found.state == "promoted":
            raise Refused("input.not_pending")
        if found.state == "pending":
            found.state = "withdrawn"
            self.sessions[session_id].add("prompt.withdrawn")

    def deliver(self, session_id: str, input_id: str, delivery: str) -> None:
        found = self._input(session_id, input_id)
        if found.state != "pending":
            raise Refused("input.not_pending")
        if found.delivery != delivery:
            found.delivery = delivery
            self.sessions[session_id].add("prompt.redelivered")

    def promote(self, session_id: str, idle: bool) -> list[str]:
        session = self._session(session_id)
        due = session.pending("steer")
        if not due and idle:
            due = session.pending("queue")[:1]
        for one in due:
            self._show(session, one)
        return [one.id for one in due]

    def promote_one(self, session_id: str, input_id: str) -> None:
        session = self._session(session_id)
        found = session.inputs.get(input_id)
        if found is None or found.state != "pending":
            raise Refused("event.failed")
        self._show(session, found)

    def _show(self, session: ModelSession, one: ModelInput) -> None:
        one.state = "promoted"
        seq = session.add("prompt.promoted")
        self._say(session, one.id, seq, "user", one.text)

    def _say(
        self, session: ModelSession, message_id: str, seq: int, type: str, text: str
    ) -> None:
        session.messages.append(ModelMessage(message_id, seq, type, text, end="end"))
        session.settled.append(message_id)

    def title(self, session_id: str, title: str) -> None:
        session = self._session(session_id)
        if session.title != title:
            session.title = title
            session.add("session.titled")

    def switch(self, session_id: str, model: str | None) -> None:
        session = self._session(session_id)
        if session.model != model:
            session.model = model
            session.add("session.model_switched")

    def begin(self, session_id: str) -> None:
        self._session(session_id).status = "running"
        self.sessions[session_id].add("execution.started")

    def end(self, session_id: str, outcome: str) -> None:
        session = self._session(session_id)
        session.status, session.outcome = "idle", outcome
        session.add("execution.ended")

    def step(self, session_id: str) -> str:
        session = self._session(session_id)
        message_id = self._new("msg")
        seq = session.add("step.started")
        session.messages.append(ModelMessage(message_id, seq, "assistant"))
        return message_id

    def part(self, session_id: str, kind: str, text: str) -> None:
        session = self._session(session_id)
        assert session.open is not None
        session.open.parts.append([kind, text])
        session.add(f"{kind}.ended")

    def call(self, session_id: str, call_id: str, end: str) -> None:
        session = self._session(session_id)
        assert session.open is not None
        session.open.parts.append(["tool", call_id, end])
        session.add("tool.called")
        session.add("tool.started")
        session.add(f"tool.{end}")

    def settle(self, session_id: str, message_id: str, end: str) -> None:
        session = self._session(session_id)
        found = [one for one in session.messages if one.id == message_id]
        if not found or found[0].end is not None:
            raise Refused("event.failed")
        found[0].end = end
        session.settled.append(message_id)
        session.steps += 1
        session.tokens += 3
        session.add("step.ended" if end == "stop" else "step.failed")

    def notice(self, session_id: str, text: str) -> None:
        session = self._session(session_id)
        message_id = self._new("msg")
        seq = session.add("notice.added")
        self._say(session, message_id, seq, "notice", text)

    def epoch(self, session_id: str) -> None:
        session = self._session(session_id)
        seq = session.add("context.epoch_started")
        session.epoch = (seq, seq)
        session.hidden |= session.updates
        session.updates = set()

    def update(self, session_id: str, text: str) -> None:
        session = self._session(session_id)
        message_id = self._new("msg")
        if session.epoch is None:
            raise Refused("event.failed")
        seq = session.add("context.updated")
        session.epoch = (session.epoch[0], seq)
        session.updates.add(message_id)
        self._say(session, message_id, seq, "notice", text)

    def ask(self, session_id: str) -> str:
        session = self._session(session_id)
        request_id = self._new("per")
        session.asked[request_id] = True
        session.add("request.asked")
        return request_id

    def reply(self, session_id: str, request_id: str) -> None:
        session = self._session(session_id)
        if not session.asked.get(request_id):
            raise Refused("event.failed")
        session.asked[request_id] = False
        session.add("request.answered")

    def bulk(self, session_id: str, count: int) -> None:
        session = self._session(session_id)
        for number in range(count):
            session.title = f"bulk {number}"
            session.add("session.titled")

    def fail(self, session_id: str, how: str) -> None:
        self._session(session_id)
        raise Refused("mine" if how == "decision" else "event.failed")
