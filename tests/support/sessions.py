"""Sessions as events only: whole, valid conversations, without running anything."""

from collections.abc import Sequence
from typing import Any

from dovetail.kernel import (
    AskedText,
    AvailabilityChanged,
    ChildAsked,
    ChildSpent,
    CompactionEnded,
    CompactionFailed,
    CompactionRequested,
    CompactionStarted,
    ContextUpdated,
    EpochStarted,
    Event,
    ExecutionEnded,
    ExecutionStarted,
    Failure,
    FallbackSet,
    FileChange,
    FileMade,
    FilesRestored,
    Generation,
    GenerationSet,
    JobEnded,
    JobId,
    JobStarted,
    LeftOut,
    MessageId,
    ModelFellBack,
    NoticeAdded,
    Output,
    OutputAccepted,
    OutputRefused,
    OutputsShortened,
    Prompt,
    PromptAdmitted,
    PromptPromoted,
    PromptRedelivered,
    PromptWithdrawn,
    ReasoningEnded,
    RequestAnswered,
    RequestAsked,
    RequestDescription,
    RequestId,
    RetryScheduled,
    SentRequest,
    SessionCreated,
    SessionId,
    SessionInstructed,
    SessionMoved,
    SessionReverted,
    SessionTitled,
    SessionUnreverted,
    StepEnded,
    StepFailed,
    StepStarted,
    TextContent,
    TextEnded,
    TitleFailed,
    Todo,
    TodosReplaced,
    ToolCalled,
    ToolFailed,
    ToolStarted,
    ToolSucceeded,
    Usage,
    UserWords,
)
from hypothesis import strategies as st

SENT = SentRequest(
    digest="0" * 64,
    bytes=3,
    made_of="1" * 32,
    prefix=2,
    prefix_digest="2" * 64,
    description=RequestDescription(
        protocol="canonical",
        plugin="a",
        model="b",
        settings={},
        system=("secret words",),
        tools="[]",
    ),
)


class Writer:
    """Writes one session's events; every method is something that may happen."""

    def __init__(self, session_id: str = "s") -> None:
        self.id = SessionId(session_id)
        self.events: list[Event] = []
        self._count = 0
        self._pending: list[MessageId] = []
        self._asked: list[RequestId] = []
        self._epoch = False
        self._asked_for: int | None = None
        self._running = False
        self._settled: MessageId | None = None
        self._promoted: MessageId | None = None
        self.add(SessionCreated, directory="/w", title="Ein Titel")

    def add(self, kind: Any, **fields: Any) -> None:
        self.events.append(kind(session_id=self.id, **fields))

    def name(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}_{self.id}_{self._count}"

    def admit(self, text: str = "Fix it", delivery: str = "steer") -> None:
        made = MessageId(self.name("msg"))
        self._pending.append(made)
        self.add(
            PromptAdmitted,
            input_id=made,
            prompt=Prompt(text),
            output=Output({"type": "object", "description": "secret schema"}),
            delivery=delivery,
            key=self.name("key"),
        )

    def promote(self) -> None:
        if self._pending:
            self._promoted = self._pending.pop(0)
            self.add(PromptPromoted, input_id=self._promoted)

    def withdraw(self) -> None:
        if self._pending:
            self.add(PromptWithdrawn, input_id=self._pending.pop())

    def redeliver(self) -> None:
        if self._pending:
            self.add(PromptRedelivered, input_id=self._pending[-1], delivery="queue")

    def title(self) -> None:
        self.add(SessionTitled, title=self.name("title"))

    def generate(self) -> None:
        self.add(GenerationSet, generation=Generation(seed=7))

    def fall_back(self) -> None:
        self.add(FallbackSet, models=("b/two",))
        why = Failure("provider.quota", "secret words")
        self.add(ModelFellBack, model="a/one", next="b/two", failure=why)

    def answer(self) -> None:
        """Give a value for what was promoted, after an answer that was none."""
        if self._settled and self._promoted:
            given = {"input_id": self._promoted, "message_id": self._settled}
            self.add(OutputRefused, problem="secret problem", **given)
            self.add(OutputAccepted, value={"secret": 1}, **given)

    def fail_title(self) -> None:
        asked = (AskedText("a/small", "secret prompt", SENT),)
        failure = Failure("provider.failed", "secret")
        self.add(TitleFailed, failure=failure, asked=asked, cost=0.5, unpriced=1)

    def instruct(self) -> None:
        self.add(SessionInstructed, instructions="secret order")

    def child(self) -> None:
        self.add(ChildSpent, child="other", usage=Usage(input=2, output=1), unpriced=2)
        asked = RequestId(self.name("per"))
        self.add(
            ChildAsked, child="other", request_id=asked, what="permission", agent="a"
        )

    def move(self) -> None:
        self.add(SessionMoved, directory=f"/{self.name('w')}")

    def notice(self) -> None:
        self.add(NoticeAdded, message_id=self.name("msg"), text="secret notice")

    def epoch(self) -> None:
        self._epoch = True
        self.add(EpochStarted, baseline="secret baseline", sources={"a/b": "1"})

    def update(self) -> None:
        if self._epoch:
            self.add(
                ContextUpdated,
                message_id=self.name("msg"),
                text="secret update",
                sources={"a/b": "2"},
            )

    def lose_source(self) -> None:
        if self._epoch:
            away = {"a/b": LeftOut("a", "secret reason")}
            self.add(AvailabilityChanged, unavailable=away, ended=("a/c",))

    def ask_for_compaction(self) -> None:
        if self._asked_for is None:
            self._asked_for = len(self.events)
            self.add(CompactionRequested)

    def start_compaction(self) -> None:
        self.add(
            CompactionStarted,
            reason="asked" if self._asked_for is not None else "full",
            strategy="summary",
            model="a/small",
            tokens=900,
            limit=800,
            requested=self._asked_for,
            request=SENT,
        )

    def fail_compaction(self) -> None:
        """Give up one that may have been asked for, which waits no more."""
        self.start_compaction()
        self.add(
            CompactionFailed,
            failure=Failure("provider.failed", "broke"),
            usage=Usage(input=5, output=1),
            requested=self._asked_for,
            asked=(AskedText("a/small", "secret record", SENT),),
        )
        self._asked_for = None

    def compact(self) -> None:
        """Replace all but the last two messages by a summary."""
        self.start_compaction()
        places = [
            number
            for number, event in enumerate(self.events)
            if isinstance(
                event, PromptPromoted | NoticeAdded | ContextUpdated | StepStarted
            )
        ]
        self.add(
            CompactionEnded,
            message_id=self.name("msg"),
            text="secret summary",
            kept=places[-2] if places[1:] else len(self.events),
            longest=5,
            replaced=len(places[:-2]),
            tokens_before=900,
            tokens_after=300,
            said=(UserWords(3, "secret words"),),
            names=("secret/file.py",),
            model="a/small",
            usage=Usage(input=7, output=2),
            requested=self._asked_for,
            asked=(AskedText("a/small", "secret record", SENT),),
        )
        self._asked_for = None
        self.epoch()

    def shorten(self) -> None:
        self.add(
            OutputsShortened,
            before=len(self.events) - 3,
            longest=3,
            results=1,
            tokens_before=900,
            tokens_after=500,
        )
        self.epoch()

    def ask(self) -> None:
        made = RequestId(self.name("per"))
        self._asked.append(made)
        self.add(
            RequestAsked,
            request_id=made,
            what="permission",
            agent="build",
            body={"action": "edit", "resources": ["secret name"]},
        )

    def reply(self) -> None:
        if self._asked:
            self.add(
                RequestAnswered,
                request_id=self._asked.pop(),
                outcome="answered",
                by="person",
                answer={"reply": "once"},
            )

    def execution(self) -> None:
        if self._running:
            self.add(
                ExecutionEnded, status="failed", reason=Failure("model.failed", "why")
            )
        else:
            self.add(ExecutionStarted, owner="own_1")
        self._running = not self._running

    def idle(self) -> None:
        if self._running:
            self.execution()

    def give_up(self) -> None:
        """Have a Step fail that was tried again."""
        message = MessageId(self.name("msg"))
        failure = Failure("provider.unavailable", "secret")
        self.add(StepStarted, message_id=message, agent="build", model="a/b")
        self.add(
            RetryScheduled,
            message_id=message,
            attempt=2,
            delay_ms=1,
            failure=failure,
            usage=Usage(input=3, output=1),
            cost=0.25,
            unpriced=1,
        )
        why = Failure("provider.unavailable", "down")
        self.add(StepFailed, message_id=message, failure=why, request=SENT)

    def step(self, settled: bool = True, fails: bool = False) -> None:
        message = MessageId(self.name("msg"))
        self._settled = message if settled or fails else None
        self.add(StepStarted, message_id=message, agent="build", model="a/b")
        self.add(ReasoningEnded, message_id=message, text="secret thought")
        self.add(TextEnded, message_id=message, text="secret answer")
        self.add(
            FileMade,
            message_id=message,
            mime="image/png",
            bytes=3,
            managed="a" * 64,
            metadata={"secret": 1},
        )
        for number, outcome in enumerate((ToolSucceeded, ToolFailed)):
            call = {"message_id": message, "call_id": f"call_{number}"}
            self.add(ToolCalled, tool="read", arguments='{"path": "secret"}', **call)
            self.add(ToolStarted, **call)
            if outcome is ToolSucceeded:
                self.add(TodosReplaced, todos=(Todo("1", "secret plan"),), **call)
                job = JobId(self.name("job"))
                self.add(JobStarted, job_id=job, tool="read", title="secret", **call)
                self.add(JobEnded, job_id=job, state="failed", said="secret")
            if outcome is ToolSucceeded:
                self.add(
                    ToolSucceeded,
                    content=(TextContent("secret text"),),
                    data={"secret": 1},
                    managed="0" * 64,
                    **call,
                )
            else:
                self.add(
                    ToolFailed, failure=Failure("tool.failed", "secret why"), **call
                )
        usage = Usage(input=3, output=5)
        if fails:
            failure = Failure("provider.failed", "broke")
            self.add(
                StepFailed,
                message_id=message,
                failure=failure,
                usage=usage,
                request=SENT,
            )
        elif settled:
            self.add(
                StepEnded, message_id=message, finish="stop", usage=usage, request=SENT
            )

    def revert(self) -> None:
        """Go back to the beginning, and forward again."""
        if self._settled and not self._running:
            change = FileChange("/w/a", "0" * 64, "1" * 64)
            self.add(
                SessionReverted,
                message_id=self._settled,
                first=1,
                files=(change,),
                todos=-1,
            )
            self.add(FilesRestored, of=len(self.events) - 1, done=("/w/a",))
            self.add(SessionUnreverted, files=(change,))
            self.add(FilesRestored, of=len(self.events) - 1, left={"/w/a": "why"})


ACTS = (
    "admit",
    "promote",
    "withdraw",
    "redeliver",
    "title",
    "instruct",
    "notice",
    "epoch",
    "update",
    "lose_source",
    "fail_title",
    "ask",
    "reply",
    "execution",
    "step",
    "fail",
    "leave",
    "give_up",
    "ask_for_compaction",
    "start_compaction",
    "fail_compaction",
    "compact",
    "shorten",
    "child",
    "generate",
    "fall_back",
    "answer",
)


def written(acts: Sequence[str], session_id: str = "s") -> list[Event]:
    """Return the events of a session in which these things happen in this order."""
    writer = Writer(session_id)
    for act in acts:
        if act in ("fail", "leave"):
            writer.step(settled=False, fails=act == "fail")
        else:
            getattr(writer, act)()
    return writer.events


sessions = st.lists(st.sampled_from(ACTS), max_size=20).map(written)
"""Random sessions, each of events that may follow one another."""


def conversation(session_id: str = "s") -> list[Event]:
    """Return a session with a bit of everything, settled and idle."""
    acts = ["epoch", "admit", "admit", "redeliver", "execution", "promote", "step"]
    acts += [
        "ask",
        "reply",
        "update",
        "lose_source",
        "fail_title",
        "title",
        "withdraw",
        "fail",
        "execution",
    ]
    acts += ["ask_for_compaction", "shorten", "compact", "fail_compaction"]
    acts += ["instruct", "notice", "child", "admit", "promote", "epoch", "step"]
    acts += ["generate", "fall_back", "answer", "give_up"]
    return written(acts, session_id)
